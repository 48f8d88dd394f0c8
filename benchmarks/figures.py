"""Figures, each measured some times."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure that was measured some times.

    @ivar median: what is said.
    @ivar least: the least of them.
    @ivar most: the most of them.
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """The figure of these."""
        return cls(statistics.median(values), min(values), max(values))

    def shown(self, form: str = ",.1f") -> str:
        """The median, and the least and the most beside it."""
        if self.least == self.most:
            return f"{self.median:{form}}"
        return f"{self.median:{form}} ({self.least:{form}} to {self.most:{form}})"


class Figures:
    """What was measured: the values of each round, by who and what."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = {}

    def add(self, who: str, what: str, value: float) -> None:
        """One more round's value."""
        self._values.setdefault((who, what), []).append(value)

    def values(self, who: str, what: str) -> list[float]:
        """The values of all rounds; none where it was not measured."""
        return self._values.get((who, what), [])

    def figure(self, who: str, what: str) -> Figure | None:
        """The figure, or None where it was not measured."""
        values = self.values(who, what)
        return Figure.of(values) if values else None

    def ratio(self, one: tuple[str, str], other: tuple[str, str]) -> Figure | None:
        """One figure as so many times another, round by round, as both of a round saw the same machine."""
        pairs = zip(self.values(*one), self.values(*other), strict=False)
        found = [a / b for a, b in pairs if b > 0]
        return Figure.of(found) if found else None

    def names(self, what: str) -> Iterable[str]:
        """Who has such a figure, in the order in which they came."""
        return dict.fromkeys(who for who, which in self._values if which == what)
