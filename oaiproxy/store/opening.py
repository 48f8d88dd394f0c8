"""Settings become a store."""

from __future__ import annotations

from typing import Any

from oaiproxy.interfaces import IStateStore
from oaiproxy.settings import StoreSettings
from oaiproxy.store.errors import StoreRefused
from oaiproxy.store.memory import MemoryStore
from oaiproxy.storeplace import StoreHome, StorePlace


def open_store(settings: StoreSettings, reactor: Any, *, check: bool = True) -> IStateStore:
    """Open a store.  A file is opened at once, which blocks; a server that is not there is tried until it is.

    @param settings: where it is, and what it is sealed with.
    @param reactor: for time, threads and connections.
    @param check: look through a file for damage.
    @raise StoreRefused: it cannot be used, and will not be later either.
    """
    place = settings.place or StorePlace()
    if place.home is StoreHome.MEMORY:
        return MemoryStore(reactor.seconds, settings.bytes)
    if not settings.keys:
        raise StoreRefused(f"there is no key for {place}")
    # imported late: most services do without
    from oaiproxy.store.sealed import SealedStore

    return SealedStore(_inner(place, settings, reactor, check), settings.keys)


def _inner(place: StorePlace, settings: StoreSettings, reactor: Any, check: bool) -> IStateStore:
    if place.home is StoreHome.REDIS:
        from oaiproxy.store.redis import RedisStore

        redis: IStateStore = RedisStore(reactor, place)
        return redis
    from oaiproxy.store.sqlite import SqliteStore

    assert place.path is not None
    sqlite: IStateStore = SqliteStore(reactor, place.path, settings.bytes, durable=settings.durable, check=check)
    return sqlite
