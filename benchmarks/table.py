"""How figures are taken and shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


def best(work: Callable[[], object], times: int = 5) -> float:
    """The shortest of some runs, in seconds: the others were disturbed."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown has it, with columns that line up on a terminal too.

    @param title: what is above it; "" for nothing.
    @param heads: the heads of its columns; all but the first are to the right.
    """
    widths = [max(3, *(len(row[column]) for row in (heads, *rows))) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join((first, *others)) + " |"

    rule = "| " + " | ".join(("-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:]))) + " |"
    return "\n".join((*((f"### {title}", "") if title else ()), line(heads), rule, *map(line, rows)))
