"""What the project wants of its figures, and whether it is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure, Figures
from benchmarks.sizes import BODIES, STREAMS

_OURS = ("passthrough", "bridge")


@dataclass(frozen=True)
class Goal:
    """A figure and what it is to be.

    @ivar what: the figure, in words.
    @ivar figure: it, of all that was measured; None where it was not.
    @ivar bound: what it is to be at most, or at least.
    @ivar least: whether the bound is what it has to reach, not what it must not exceed.
    @ivar form: how it is shown.
    @ivar unit: of what.
    @ivar below: whether it has to be under the bound, not at the most the bound.
    """

    what: str
    figure: Callable[[Figures], Figure | None]
    bound: float
    least: bool = False
    form: str = ".2f"
    unit: str = ""
    below: bool = False

    @property
    def said(self) -> str:
        """The bound in words."""
        how = "at least" if self.least else "under" if self.below else "at most"
        return f"{how} {self.bound:g}{_spaced(self.unit)}"

    def row(self, figures: Figures) -> tuple[str, str, str, str]:
        """What it is, what was found, what it is to be, and whether it is."""
        found = self.figure(figures)
        if found is None:
            return self.what, "not measured", self.said, ""
        verdict = "met" if self.met(found) else "**not met**"
        return self.what, found.shown(self.form) + _spaced(self.unit), self.said, verdict

    def met(self, found: Figure) -> bool:
        """Whether the median is as it is to be."""
        if self.least:
            return found.median >= self.bound
        return found.median < self.bound or (found.median == self.bound and not self.below)


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


def _ratio(one: str, other: str, what: str) -> Callable[[Figures], Figure | None]:
    return lambda figures: figures.ratio((one, what), (other, what))


def _own(who: str, what: str) -> Callable[[Figures], Figure | None]:
    return lambda figures: figures.figure(who, what)


def _each(what: str, figure: str, bounds: tuple[float, float], form: str, unit: str) -> Iterator[Goal]:
    """A goal for each kind of port."""
    for who, bound in zip(_OURS, bounds, strict=True):
        yield Goal(f"{what}, {who}", _own(who, figure), bound, form=form, unit=unit, below=True)


def _grows(who: str) -> Callable[[Figures], Figure | None]:
    """The cost of a piece in the longest stream, as so many times that in a short one."""
    return lambda figures: figures.ratio((who, f"chunk of {STREAMS[-1]}"), (who, f"chunk of {STREAMS[1]}"))


def _bends(who: str) -> Callable[[Figures], Figure | None]:
    """The cost of a byte more where bodies are largest, as so many times that where they are of middle size."""

    def slope(figures: Figures, small: int, large: int) -> list[float]:
        pairs = zip(figures.values(who, f"body of {small}"), figures.values(who, f"body of {large}"), strict=False)
        return [(more - less) / (large - small) for less, more in pairs]

    def found(figures: Figures) -> Figure | None:
        middle, high = slope(figures, BODIES[-4], BODIES[-2]), slope(figures, BODIES[-2], BODIES[-1])
        values = [b / a for a, b in zip(middle, high, strict=False) if a > 0]
        return Figure.of(values) if values else None

    return found


def _more_workers(figures: Figures) -> Figure | None:
    return figures.ratio(("2 workers", "rate"), ("1 workers", "rate"))


#: What is said to be no growth: what is measured differs by as much from run to run.
_STEADY = 1.25

#: A body and one copy of it; what a request of any size takes is little beside these, but not nothing.
_TWO_BODIES = 2.05

GOALS: tuple[Goal, ...] = (
    Goal("CPU of a request: passthrough / bare aiohttp", _ratio("passthrough", "aiohttp", "request"), 1.5),
    Goal("CPU of a request: FastAPI + httpx / passthrough", _ratio("fastapi", "passthrough", "request"), 8, True),
    Goal("CPU of a request: LiteLLM / passthrough", _ratio("litellm", "passthrough", "request"), 40, True),
    Goal("CPU of a request: bridge / passthrough", _ratio("bridge", "passthrough", "request"), 1.4),
    Goal("CPU of a request: bridge / bare aiohttp (1.4 of 1.5)", _ratio("bridge", "aiohttp", "request"), 2.1),
    Goal("CPU of a chunk: passthrough / bare aiohttp", _ratio("passthrough", "aiohttp", "chunk"), 1),
    Goal("the same where chunks come 50 ms apart", _ratio("passthrough", "aiohttp", "chunk paced"), 1),
    Goal("the same where all come at once: passthrough / nginx", _ratio("passthrough", "nginx", "chunk together"), 1),
    Goal("CPU of a chunk: bridge / passthrough", _ratio("bridge", "passthrough", "chunk"), 2.5),
    Goal("CPU of a chunk: LiteLLM's bridge / ours", _ratio("litellm-bridge", "bridge", "chunk"), 50, True),
    *_each("1,000 streams of 20 chunks/s, delay added p99", "held p99", (50, 50), ".1f", "ms"),
    *(Goal(f"chunks lost of them, {who}", _own(who, "held lost"), 0, form=".0f") for who in _OURS),
    *_each("memory of an open idle stream", "idle", (24, 48), ".1f", "KiB"),
    *_each("added to a request of 1 kB, p50", "answer added", (1, 2), ".2f", "ms"),
    Goal("throughput: two workers / one", _more_workers, 1.8, True),
    Goal("start to first answer", _own("passthrough", "start"), 0.7, unit="s", below=True),
    *(Goal(f"CPU of a chunk: stream of 100,000 / of 100, {who}", _grows(who), _STEADY) for who in _OURS),
    *(Goal(f"CPU of a byte: from 8 to 64 MB / from 64 kB to 8 MB, {who}", _bends(who), _STEADY) for who in _OURS),
    *(
        Goal(f"memory at the most / body of 64 MB, {who}", _own(who, f"memory of {BODIES[-1]}"), _TWO_BODIES)
        for who in _OURS
    ),
)
