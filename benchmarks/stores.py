"""What the homes of a state store can do, in this process: how many calls in a second, how long one takes, and what a
kept value costs."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from benchmarks.table import table
from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStateStore, IStoreState
from oaiproxy.settings import StoreSettings
from oaiproxy.store import MemoryStore, open_store
from oaiproxy.storeplace import StoreHome, StorePlace, store_place
from tests.redisserver import MISSING, RedisServer

#: The size of a value: about what a turn with some reasoning has.
SIZE = 4096

#: So many values are there to be asked for.
VALUES = 5000

#: So many of these are under way at the same time.
AT_ONCE = 32

_KEY = Secret("a key for benchmarks, of 32 characters")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    @ivar one_by_one: so many calls are made one after the other.
    @ivar many: and so many for the greatest number in a second.
    @ivar rounds: how often that is done.
    """

    one_by_one: int = 1000
    many: int = 3200
    rounds: int = 5


Call = Callable[[], Deferred[Any]]


async def latencies(call: Call, times: int) -> list[float]:
    """How long calls take, one after the other, in seconds; sorted."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        found.append(time.perf_counter() - began)
    return sorted(found)


async def rate(call: Call, times: int) -> tuple[float, float]:
    """How many calls are answered in a second, with some under way at a time, and the processor time for one."""
    began, spent, each = time.perf_counter(), time.process_time(), times // AT_ONCE

    async def some() -> None:
        for _ in range(each):
            await call()

    await gatherResults([ensureDeferred(some()) for _ in range(AT_ONCE)])
    done = each * AT_ONCE
    return done / (time.perf_counter() - began), (time.process_time() - spent) / done


def _key(n: int) -> bytes:
    return b"key of a turn %8d" % n


def calls(store: IStateStore) -> Iterator[tuple[str, Call]]:
    """What is measured, by name."""
    value, numbers = os.urandom(SIZE), itertools.count()

    def next_keys(count: int) -> list[bytes]:
        first = next(numbers) * 7
        return [_key(n % VALUES) for n in range(first, first + count)]

    yield "put", lambda: store.put({next_keys(1)[0]: value}, 3600)
    yield "get", lambda: store.get(next_keys(1))
    yield "get 10", lambda: store.get(next_keys(10))
    yield "add to 2", lambda: store.add(dict.fromkeys((b"requests", b"tokens"), 1), 3600)


async def measured(name: str, store: IStateStore, size: Size) -> list[tuple[str, ...]]:
    """The rows of a store, which is filled first: of each figure the best of the rounds; the others were disturbed."""
    for n in range(0, VALUES, 100):
        await store.put({_key(m): os.urandom(SIZE) for m in range(n, n + 100)}, 3600)
    rows = []
    for what, call in calls(store):
        one_by_one = [await latencies(call, size.one_by_one) for _ in range(size.rounds)]
        p50, p99 = (min(found[int(len(found) * part)] for found in one_by_one) for part in (0.5, 0.99))
        rates, spent = zip(*[await rate(call, size.many) for _ in range(size.rounds)], strict=True)
        times = (f"{1e6 * seconds:,.0f}" for seconds in (p50, p99, min(spent)))
        rows.append((f"{name}: {what}", *times, f"{max(rates):,.0f}"))
    return rows


class _Homes:
    """The homes, each opened and closed again."""

    def __init__(self, reactor: Any, open_: ExitStack) -> None:
        self._reactor = reactor
        self._folder = Path(tempfile.mkdtemp(prefix="stores"))
        open_.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self.redis = None if MISSING else RedisServer()
        if self.redis is not None:
            open_.callback(self.redis.stop, signal.SIGKILL)

    async def open(self, place: StorePlace, *, durable: bool = True) -> IStateStore:
        # large enough that nothing has to go
        store = open_store(StoreSettings(place, (_KEY,), bytes=2**30, durable=durable), self._reactor)
        while (state := IStoreState(store, None)) is not None and not state.available:
            await deferLater(self._reactor, 0)
        return store

    def places(self) -> Iterator[tuple[str, StorePlace, bool]]:
        """Name, place, and whether it is to be durable."""
        yield "memory", StorePlace(), True
        yield "SQLite", StorePlace(StoreHome.SQLITE, self._folder / "kept"), True
        yield "SQLite of workers", StorePlace(StoreHome.SQLITE, self._folder / "shared"), False
        if self.redis is not None:
            yield "Redis", store_place(self.redis.url), True
            yield "Redis, socket in the file system", store_place(f"unix:{self.redis.socket}?db=1"), True

    async def cost(self) -> list[tuple[str, ...]]:
        """What a value of `SIZE` bytes takes in each home."""
        entries = {_key(n): os.urandom(SIZE) for n in range(VALUES)}
        rows = []
        tracemalloc.start()
        memory, before = MemoryStore(self._reactor.seconds), tracemalloc.get_traced_memory()[0]
        for key, value in entries.items():
            # as it comes from a request, and not shared with anything
            await memory.put({bytes(bytearray(key)): bytes(bytearray(value))}, 3600)
        taken = (tracemalloc.get_traced_memory()[0] - before) / VALUES
        tracemalloc.stop()
        rows.append(("memory", f"{taken:,.0f}", f"{memory.bytes / VALUES:,.0f}"))
        path = self._folder / "cost"
        await self._fill(StorePlace(StoreHome.SQLITE, path), entries)
        rows.append(("SQLite, in the file", f"{path.stat().st_size / VALUES:,.0f}", ""))
        if self.redis is not None:
            used = self._used()
            await self._fill(store_place(self.redis.url + "/5"), entries)
            rows.append(("Redis, in its memory", f"{(self._used() - used) / VALUES:,.0f}", ""))
        return rows

    async def _fill(self, place: StorePlace, entries: dict[bytes, bytes]) -> None:
        store = await self.open(place)
        for key, value in entries.items():
            await store.put({key: value}, 3600)
        await store.close()

    def _used(self) -> int:
        assert self.redis is not None
        lines = self.redis.command("INFO", "memory").decode().splitlines()
        return int(dict(line.split(":", 1) for line in lines if ":" in line)["used_memory"])


async def everything(reactor: Any, size: Size) -> str:
    """Measure all homes that there are; the tables."""
    with ExitStack() as open_:
        homes = _Homes(reactor, open_)
        rows, cost = [], await homes.cost()
        for name, place, durable in homes.places():
            store = await homes.open(place, durable=durable)
            rows += await measured(name, store, size)
            await store.close()
    speed = table(
        f"Stores: values of {SIZE:,} bytes, best of {size.rounds}",
        ("", "µs, p50", "µs, p99", "processor time, µs", f"a second, {AT_ONCE} at once"),
        rows,
    )
    kept = table(f"Bytes for a kept value of {SIZE:,}", ("", "measured", "as it is counted"), cost)
    left = f"\n\nLeft out: Redis ({MISSING})." if MISSING else ""
    return f"{speed}\n\n{kept}{left}"


def stores() -> str:
    """How fast the homes of a state store are, and what a kept value costs."""
    from twisted.internet import reactor

    running: Any = reactor
    found: list[Any] = []

    def begin() -> None:
        ensureDeferred(everything(running, Size())).addBoth(found.append).addBoth(lambda _: running.stop())

    running.callWhenRunning(begin)
    running.run()
    (result,) = found
    if not isinstance(result, str):
        result.raiseException()
    return str(result)
