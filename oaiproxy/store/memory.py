"""The store that is the process's own memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from oaiproxy.interfaces import IStateStore

#: What a value takes beside the bytes of its key and its value: two objects of bytes, a tuple, a time, and its place in
#: the ordered dictionary.  Measured with CPython 3.11 to 3.14 as 250 to 290 bytes (``python -m benchmarks stores``).
OVERHEAD = 280

#: What a count takes, its key included.
COUNT_COST = 350

#: Counts may take so many bytes more, as a part of what values may take: they are few, and no value drives one out.
_COUNTS_PART = 8

#: There is room for so many counts in any case.
_COUNTS_LEAST = 1000

#: So many values that are over are let go of for each that is put: more than come.
_SWEPT = 4


@implementer(IStateStore)
class MemoryStore:
    """Keeps values until there is no room for them: then those that were not asked for the longest go first.

    What is over is let go of while others are put, so there is no timer.  All is done when a method returns.

    @ivar bytes: what the values take, by a measured estimate.
    """

    def __init__(self, seconds: Callable[[], float], limit: int = 64 * 2**20) -> None:
        """
        @param seconds: tells the time.
        @param limit: how many bytes the values may take, keys and overhead included.
        """
        self._seconds = seconds
        self._limit = limit
        #: key -> value, and when it is over; the one that was used last is at the end.
        self._values: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        #: key -> count, and when it is over; the one that began last is at the end.
        self._counts: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._most_counts = max(_COUNTS_LEAST, limit // _COUNTS_PART // COUNT_COST)
        self._counts_swept = -1.0
        self.bytes = 0

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._values)

    def get(self, keys: Sequence[bytes]) -> Deferred[list[bytes | None]]:
        now = self._seconds()
        return succeed([self._get(key, now) for key in keys])

    def _get(self, key: bytes, now: float) -> bytes | None:
        found = self._values.get(key)
        if found is None:
            return None
        value, over = found
        if over <= now:
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return value

    def put(self, entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        now = self._seconds()
        for key, value in entries.items():
            self._drop(key)
            cost = len(key) + len(value) + OVERHEAD
            # one that has no room at all must not drive out all others
            if seconds > 0 and cost <= self._limit:
                self._values[key] = (value, now + seconds)
                self.bytes += cost
        self._make_room(now, _SWEPT * len(entries))
        return succeed(None)

    def _make_room(self, now: float, swept: int) -> None:
        """Let go of what there is no room for, and of some that are over."""
        while self._values:
            oldest = next(iter(self._values))
            if self.bytes <= self._limit:
                if swept <= 0 or self._values[oldest][1] > now:
                    return
                swept -= 1
            self._drop(oldest)

    def _drop(self, key: bytes) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self.bytes -= len(key) + len(found[0]) + OVERHEAD

    def forget(self, keys: Sequence[bytes]) -> Deferred[None]:
        for key in keys:
            self._drop(key)
        return succeed(None)

    def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        now = self._seconds()
        return succeed([self._add(key, amount, now, seconds) for key, amount in amounts.items()])

    def _add(self, key: bytes, amount: int, now: float, seconds: float) -> int:
        count, over = self._counts.get(key, (0, 0.0))
        if over <= now:
            # it begins anew, and so at the end
            self._counts.pop(key, None)
            count, over = 0, now + seconds
            if amount == 0 or seconds <= 0:
                return amount
            if len(self._counts) >= self._most_counts:
                self._make_room_for_a_count(now)
        self._counts[key] = (count + amount, over)
        return count + amount

    def _make_room_for_a_count(self, now: float) -> None:
        # all are looked at no more than once a second, however many come
        if now >= self._counts_swept + 1:
            self._counts_swept = now
            for key in [key for key, (_, over) in self._counts.items() if over <= now]:
                del self._counts[key]
        if len(self._counts) >= self._most_counts:
            self._counts.popitem(last=False)

    def close(self) -> Deferred[None]:
        self._values.clear()
        self._counts.clear()
        self.bytes = 0
        return succeed(None)
