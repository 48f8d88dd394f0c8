"""Every home of a store does the same."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor

from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStateStore
from oaiproxy.store import MemoryStore
from oaiproxy.store.redis import RedisStore
from oaiproxy.store.sealed import SealedStore
from oaiproxy.store.sqlite import SqliteStore
from oaiproxy.storeplace import store_place
from tests.redisserver import RedisTestCase
from tests.store.contract import StoreContract
from tests.support import ClockedReactor

#: Two, as while they are changed.
KEYS = (Secret("the newer key of 32 characters.."), Secret("the older key of 32 characters.."))


class MemoryTests(StoreContract):
    async def make(self) -> IStateStore:
        self.clock = ClockedReactor()
        return MemoryStore(self.clock.seconds)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class SqliteTests(StoreContract):
    async def make(self) -> IStateStore:
        self.clock = ClockedReactor()
        return SqliteStore(self.clock, Path(self.mktemp()), 2**24)

    async def pass_time(self, seconds: float) -> None:
        # nothing is to be late
        await self.until(lambda: not self.clock.waits())
        self.clock.advance(seconds)


class RedisTests(RedisTestCase, StoreContract):
    async def make(self) -> IStateStore:
        store = RedisStore(reactor, store_place(self.server.url))
        await self.until(lambda: store.available)
        return store

    async def pass_time(self, seconds: float) -> None:
        # the server has a clock of its own: everything in it gets so much less time
        for key in self.server.command("KEYS", "*"):
            self.server.command("PEXPIRE", key, self.server.command("PTTL", key) - int(1000 * seconds))


class SealedMemoryTests(MemoryTests):
    async def make(self) -> IStateStore:
        return SealedStore(await super().make(), KEYS)


class SealedSqliteTests(SqliteTests):
    async def make(self) -> IStateStore:
        return SealedStore(await super().make(), KEYS)


class SealedRedisTests(RedisTests):
    async def make(self) -> IStateStore:
        return SealedStore(await super().make(), KEYS)


# what only says what the others do is no test of its own
del StoreContract
