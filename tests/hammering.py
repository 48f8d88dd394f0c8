"""Clients that ask several machines at random moments, and what an exact limit would have let in of that."""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Hit:
    """A request and what became of it.

    @ivar at: when it was sent.
    @ivar until: when it was answered.
    @ivar status: its answer's status.
    @ivar place: which machine was asked.
    """

    at: float
    until: float
    status: int
    place: int


def hammer(bases: Sequence[str], key: str, seconds: float, rate: float, clients: int = 4, seed: int = 1) -> list[Hit]:
    """Ask all machines with one key; blocks.

    @param bases: their base URLs.
    @param seconds: for how long.
    @param rate: requests a second, of all clients on all machines together, on average: each pauses for random times,
        from none at all to four times the mean.
    @param clients: how many of them on each machine.
    @return: the requests, in the order they were sent.
    """
    hits: list[Hit] = []
    until = time.time() + seconds
    mean = len(bases) * clients / rate

    def client(place: int, chance: random.Random) -> None:
        where = urlsplit(bases[place])
        connection = HTTPConnection(where.hostname or "", where.port, timeout=30)
        while (at := time.time()) < until:
            connection.request("GET", f"{where.path}/files", headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            hits.append(Hit(at, time.time(), answer.status, place))
            # bursts, and pauses
            time.sleep(chance.choice((0.0, 0.0, 0.5, 1.0, 1.5, 3.0)) * mean)
        connection.close()

    threads = [
        threading.Thread(target=client, args=(place, random.Random(f"{seed} {place} {n}")))
        for place in range(len(bases))
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(hits, key=lambda hit: hit.at)


def let_in(hits: Sequence[Hit]) -> list[Hit]:
    """Those that were let in."""
    return [hit for hit in hits if hit.status == 200]


def busiest(hits: Sequence[Hit], seconds: float = 60.0) -> int:
    """The most of some requests that were both sent and answered within so many seconds: when in between a machine
    counted them nobody outside can tell."""
    times = [hit.at for hit in hits]
    return max(
        (
            sum(hit.until < first.at + seconds for hit in hits[place : bisect_left(times, first.at + seconds)])
            for place, first in enumerate(hits)
        ),
        default=0,
    )


def exact(hits: Sequence[Hit], limit: int, seconds: float = 60.0) -> int:
    """How many would have been let in by one that knows each moment, and all of them at once."""
    last: deque[float] = deque()
    count = 0
    for hit in hits:
        while last and last[0] <= hit.at - seconds:
            last.popleft()
        if len(last) < limit:
            last.append(hit.at)
            count += 1
    return count
