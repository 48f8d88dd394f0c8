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


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown has it."""
    print(f"### {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("| " + " | ".join(["---", *["---:"] * (len(heads) - 1)]) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
