"""A process that adds to a count of a store: ``python -m tests.store.counting PLACE TIMES``.

It begins when it reads a line, and prints all the counts that it was told.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater, react

from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStateStore, IStoreState
from oaiproxy.settings import StoreSettings
from oaiproxy.store import open_store
from oaiproxy.storeplace import store_place

#: What all such processes are told.
KEY = Secret("the key of the counting processes")

#: What is counted.
COUNT = b"what the processes count"

#: So many are under way at the same time.
AT_ONCE = 5


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def count(reactor: Any, store: IStateStore, times: int) -> list[int]:
    """Add 1 so many times; the counts after each."""
    state = IStoreState(store)
    while not state.available:
        await deferLater(reactor, 0)
    say("ready")
    sys.stdin.readline()
    found: list[int] = []

    async def some() -> None:
        for _ in range(times // AT_ONCE):
            found.extend(await store.add({COUNT: 1}, 60))

    await gatherResults([ensureDeferred(some()) for _ in range(AT_ONCE)])
    await store.close()
    return found


def main(reactor: Any, place: str, times: str) -> Deferred[None]:
    store = open_store(StoreSettings(store_place(place), (KEY,)), reactor)
    counting = ensureDeferred(count(reactor, store, int(times)))
    return counting.addCallback(lambda found: say(json.dumps(found)))


if __name__ == "__main__":
    react(main, sys.argv[1:])
