"""What a request costs, in microseconds of processor time of who passes it on."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contenders import Contender
from benchmarks.driver import Plan
from benchmarks.figures import Figure, Figures
from benchmarks.session import Session, session
from benchmarks.table import table

#: Pieces of text in a stream.
CHUNKS = 200


def measure(measuring: Session, seconds: float) -> None:
    """One round: each contender's cost of a request, of a stream, and of a stream that upstream writes at once.

    @param seconds: how long each is asked.
    """
    figures = measuring.figures
    for each in measuring.ready:
        name, path, port = each.contender.name, each.contender.path, each.port
        long = seconds * (2 if each.contender.slow else 1)
        request, _ = measuring.spent(each, Plan(port, path, seconds=long))
        stream, _ = measuring.spent(each, Plan(port, path, seconds=long, stream=True, chunks=CHUNKS))
        together, _ = measuring.spent(each, Plan(port, path, seconds=long, stream=True, chunks=CHUNKS, together=True))
        figures.add(name, "request", request)
        figures.add(name, "stream", stream)
        figures.add(name, "chunk", (stream - request) / CHUNKS)
        figures.add(name, "chunk together", (together - request) / CHUNKS)


def costs(contenders: Sequence[Contender], times: int, seconds: float) -> Figures:
    """Round after round, so that all see the same machine."""
    with session(contenders) as measuring:
        for _ in range(times):
            measure(measuring, seconds)
        return measuring.figures


def _shown(figure: Figure | None, form: str = ",.0f") -> str:
    return "" if figure is None else figure.shown(form)


def cost_table(figures: Figures, contenders: Sequence[Contender], times: int) -> str:
    """What was found."""
    rows = []
    for each in contenders:
        own = each.name
        ratio = figures.ratio((own, "request"), ("aiohttp", "request"))
        rows.append(
            (
                each.title,
                _shown(figures.figure(own, "request")),
                "" if ratio is None else f"{ratio.median:.2f}",
                _shown(figures.figure(own, "stream")),
                _shown(figures.figure(own, "chunk"), ",.2f"),
                _shown(figures.figure(own, "chunk together"), ",.2f"),
            )
        )
    heads = ("", "a request", "of aiohttp's", f"a stream of {CHUNKS} chunks", "a chunk of it", "a chunk, all at once")
    return table(f"Processor time in µs, 16 connections, median of {times} (least to most)", heads, rows)


def cost(contenders: Sequence[Contender], times: int, seconds: float) -> str:
    """Measure what a request, a stream and a chunk of it cost; the table."""
    return cost_table(costs(contenders, times, seconds), contenders, times)
