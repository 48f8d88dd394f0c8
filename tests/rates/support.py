"""A machine that counts, for tests of the arithmetic: an account, and a store that several have in common."""

from __future__ import annotations

from collections.abc import Mapping

from oaiproxy.rates import Account, Trip
from oaiproxy.rates.account import Refusal

#: A Unix time at the beginning of a second.
NOON = 1_795_000_000.0


class Counts:
    """What a store does with counts."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}
        self.asked: list[Mapping[bytes, int]] = []
        self.away = False

    def add(self, amounts: Mapping[bytes, int]) -> list[int] | None:
        if self.away:
            return None
        self.asked.append(amounts)
        for key, amount in amounts.items():
            if amount:
                self.counts[key] = self.counts.get(key, 0) + amount
        return [self.counts.get(key, 0) for key in amounts]


class Machine:
    """Does with an account what the web layer does."""

    def __init__(self, counts: Counts, requests: int = 0, tokens: int = 0, skew: float = 0.0) -> None:
        self.account = Account(b"client", requests, tokens)
        self._counts = counts
        self._skew = skew

    def ask(self, now: float, costs: bool = True) -> Refusal | None:
        """Make a request."""
        now += self._skew
        found = self.account.rest(now, costs)
        if found is not None:
            return found
        return self.judge(self.send(now), now, costs)

    def send(self, now: float) -> tuple[Trip, list[int] | None]:
        """Count a request, of which the store's answer is still under way."""
        trip = self.account.trip(now)
        return trip, self._counts.add(trip.amounts)

    def judge(self, sent: tuple[Trip, list[int] | None], now: float, costs: bool = True) -> Refusal | None:
        """Take the store's answer."""
        verdict = self.account.judge(*sent, now, costs)
        if verdict.undo:
            self._counts.add(verdict.undo)
        return verdict.refusal

    def pay(self, now: float, tokens: int) -> None:
        """An answer has cost so much."""
        trip = self.account.charge(now + self._skew, tokens)
        self.account.charged(trip, self._counts.add(trip.amounts))

    def used(self, now: float) -> list[int]:
        self.account.trip(now + self._skew)
        return [standing.used for standing in self.account.standings(now + self._skew)]
