"""The counts of one client over the last minute, and whether there is room for one more request.

Each count is kept by the second.  What counts now is what was counted in this second and in the sixty before it: at
least the last 60 seconds, and at most the last 61.  So no 60 seconds ever hold more requests than the limit, whatever
their spacing; two counts for a minute each, or one that runs empty at a constant rate, would let twice as many through
in the worst minute.

A second that is over does not change any more, so it is read once.  A request asks the store for the seconds of which
something is not known yet: mostly three, the one that runs, the one before it, and the next one, in which machines may
be whose clocks are ahead.  All of it, and the addition, is one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: So many seconds count beside the one that runs.
MINUTE = 60

#: The store keeps each second's count for so long, in seconds: until no machine asks for it any more, be its clock a
#: little behind.
KEPT = MINUTE + 6.0

#: Clocks may differ by so much, in seconds: so long after its end a second may still change.
_SKEW = 1

#: After a refusal nobody asks the store again for this time, in seconds, so that who does not listen costs little.
_REST = 0.25

_NEVER = -(1 << 40)

REQUESTS, TOKENS = "requests", "tokens"


class Standing(NamedTuple):
    """How a client stands with one of its limits.

    @ivar kind: `REQUESTS` or `TOKENS`.
    @ivar limit: how many a minute may have.
    @ivar used: how many this one had.
    @ivar reset: in how many seconds nothing of that counts any more.
    """

    kind: str
    limit: int
    used: int
    reset: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


class Refusal(NamedTuple):
    """Why there is no room.

    @ivar standing: the limit that is used up.
    @ivar wait: in how many seconds there will be room, if nobody else takes it.
    """

    standing: Standing
    wait: float


class Trip(NamedTuple):
    """What a store is asked for.

    @ivar slot: the second in which something is added.
    @ivar slots: the seconds of which the counts come back, in the order of `amounts`, for each kind anew.
    @ivar amounts: the key of each count -> what is added to it.
    """

    slot: int
    slots: range
    amounts: Mapping[bytes, int]


class Verdict(NamedTuple):
    """What becomes of a request.

    @ivar refusal: why there is no room for it; None where there is.
    @ivar undo: what to tell the store of it, so that it does not count; nothing where there is nothing to tell.
    """

    refusal: Refusal | None
    undo: Mapping[bytes, int]


class _Window:
    """One kind's counts.

    @ivar used: all that counts.
    """

    __slots__ = ("_key", "kind", "limit", "missed", "seen", "used")

    def __init__(self, kind: str, limit: int, name: bytes) -> None:
        self.kind = kind
        self.limit = limit
        self._key = b"rate:%b:%b:" % (name, kind[:1].encode())
        self.seen: dict[int, int] = {}  # second -> what the store says
        self.missed: dict[int, int] = {}  # second -> what was counted here because the store was away
        self.used = 0

    def key(self, slot: int) -> bytes:
        return b"%b%d" % (self._key, slot)

    def learn(self, slot: int, count: int) -> None:
        seen = self.seen
        if count > 0:
            self.used += count - seen.get(slot, 0)
            seen[slot] = count
        elif slot in seen:
            self.used -= seen.pop(slot)

    def miss(self, slot: int, amount: int) -> None:
        self.used += amount
        self.missed[slot] = self.missed.get(slot, 0) + amount

    def forget(self, before: int, after: int) -> None:
        for counts in (self.seen, self.missed):
            for slot in [slot for slot in counts if not before <= slot <= after]:
                self.used -= counts.pop(slot)

    def free_at(self, room: int) -> int:
        """The first second in which no more than `room` counts."""
        used, at = self.used, 0
        for slot in sorted({*self.seen, *self.missed}):
            if used <= room:
                break
            used -= self.seen.get(slot, 0) + self.missed.get(slot, 0)
            at = slot + MINUTE + 1
        return at

    def standing(self, now: float) -> Standing:
        last = max((*self.seen, *self.missed), default=None)
        reset = 0.0 if last is None else max(0.0, last + MINUTE + 1 - now)
        return Standing(self.kind, self.limit, self.used, reset)


class Account:
    """One client's counts, as far as this process knows them.

    For each request, unless there is a reason to `rest`: ask the store for a `trip`, and `judge` by what it says.  When
    its answer is over, what it cost is `charge`d.
    """

    def __init__(self, name: bytes, requests: int = 0, tokens: int = 0) -> None:
        """
        @param name: stands for the client, the same on every machine; no longer than 64 bytes.
        @param requests: how many requests a minute may have; 0 for any number, which are not counted.
        @param tokens: how many tokens; 0 likewise.
        """
        self._requests = _Window(REQUESTS, requests, name) if requests else None
        self._tokens = _Window(TOKENS, tokens, name) if tokens else None
        self._windows = [window for window in (self._requests, self._tokens) if window is not None]
        self._known = _NEVER  # of the seconds up to this one nothing changes any more
        self._latest = _NEVER
        self._rests: float = _NEVER  # until then, what was refused is

    def trip(self, now: float) -> Trip:
        """What to ask a store for, for one more request.

        @param now: the Unix time.
        """
        slot = self._move(now)
        slots = range(max(self._known + 1, slot - MINUTE), slot + _SKEW + 1)
        requests = self._requests
        amounts = {
            window.key(each): 1 if each == slot and window is requests else 0
            for window in self._windows
            for each in slots
        }
        return Trip(slot, slots, amounts)

    def _move(self, now: float) -> int:
        slot = int(now)
        if slot != self._latest:
            if slot < self._latest - _SKEW:
                # the clock was set back: what is known is of another time
                self._known, self._rests = _NEVER, _NEVER
            self._latest = slot
            for window in self._windows:
                window.forget(slot - MINUTE, slot + _SKEW)
        return slot

    def judge(self, trip: Trip, counts: Sequence[int] | None, now: float, tokens: bool = True) -> Verdict:
        """Whether there is room for the request of a trip.

        @param counts: what the store says, in the order of ``trip.amounts``; None where it is away: then the request is
            counted here.
        @param now: the time of the trip.
        @param tokens: whether it may cost tokens.
        """
        if counts is not None:
            self._learn(trip, counts)
        elif self._requests is not None:
            self._requests.miss(trip.slot, 1)
        found = self._full(1, tokens)
        if found is None:
            return Verdict(None, {})
        self._rests = now + _REST
        undo = self._taken_back(trip, counts is not None)
        return Verdict(self._refusal(found, now), undo)

    def _learn(self, trip: Trip, counts: Sequence[int]) -> None:
        answers = iter(counts)
        for window in self._windows:
            for slot in trip.slots:
                count = next(answers)
                if slot <= self._known:
                    # a later request was answered sooner
                    count = max(count, window.seen.get(slot, 0))
                if slot >= self._latest - MINUTE:
                    window.learn(slot, count)
        self._known = max(self._known, trip.slot - _SKEW - 1)

    def _taken_back(self, trip: Trip, stored: bool) -> Mapping[bytes, int]:
        window = self._requests
        if window is None:
            return {}
        if not stored:
            window.miss(trip.slot, -1)
            return {}
        window.learn(trip.slot, window.seen.get(trip.slot, 0) - 1)
        return {window.key(trip.slot): -1}

    def rest(self, now: float, tokens: bool = True) -> Refusal | None:
        """Why there is no room, where that was found so recently that the store need not be asked; else None."""
        if now >= self._rests:
            return None
        self._move(now)
        found = self._full(0, tokens)
        return None if found is None else self._refusal(found, now)

    def _full(self, own: int, tokens: bool) -> tuple[int, _Window] | None:
        """The limit that is used up, and the second in which it is no longer.

        @param own: how many of the requests that were counted are the one that is judged.
        """
        found = []
        if (window := self._requests) is not None and window.used - own >= window.limit:
            found.append((window.free_at(window.limit - 1 + own), window))
        if tokens and (window := self._tokens) is not None and window.used >= window.limit:
            found.append((window.free_at(window.limit - 1), window))
        # when there is room in one of them and not in the other, it is refused again
        return max(found, key=lambda each: each[0]) if found else None

    @staticmethod
    def _refusal(full: tuple[int, _Window], now: float) -> Refusal:
        at, window = full
        return Refusal(window.standing(now), max(0.001, at - now))

    def charge(self, now: float, tokens: int) -> Trip:
        """What to tell the store of what an answer cost."""
        slot, window = self._move(now), self._tokens
        return Trip(slot, range(slot, slot + 1), {} if window is None else {window.key(slot): tokens})

    def charged(self, trip: Trip, counts: Sequence[int] | None) -> None:
        """What the store says to that, or None where it is away."""
        window = self._tokens
        if window is None:
            return
        if counts is None:
            window.miss(trip.slot, sum(trip.amounts.values()))
        else:
            window.learn(trip.slot, counts[0])

    def standings(self, now: float) -> list[Standing]:
        """How the client stands with each of its limits."""
        return [window.standing(now) for window in self._windows]
