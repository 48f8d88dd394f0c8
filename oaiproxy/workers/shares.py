"""How many connections each worker has, in memory that all of them see.

Whoever waits for a connection on a shared socket is woken by it, and the kernel does not look at who has enough
already: many connections at once may all go to one worker (16 of 16 were seen to).  A worker that has more than another
leaves the next one to that for a moment.
"""

from __future__ import annotations

import mmap
import os
import tempfile

#: Of a place in which no worker takes connections.
_NOBODY = -1

_INT = 4


class Shares:
    """The numbers of connections of all workers: each writes its own, and reads those of the others.

    No lock is needed: a number is written in one go (an aligned word), and one that is a moment old does no harm.
    """

    def __init__(self, fd: int, count: int) -> None:
        """
        @param fd: the memory, as a file; it may be closed after this.
        @param count: how many places there are.
        """
        self._numbers = memoryview(mmap.mmap(fd, count * _INT)).cast("i")

    def write(self, place: int, connections: int) -> None:
        """Say how many connections the worker in a place has."""
        self._numbers[place] = connections

    def clear(self, place: int) -> None:
        """The worker in that place takes no connections."""
        self._numbers[place] = _NOBODY

    def has_enough(self, place: int) -> bool:
        """Whether a worker should leave the next connection to another.

        A few more than the others are not worth a wait: one, or an eighth where there are many.
        """
        mine = self._numbers[place]
        others = [n for at, n in enumerate(self._numbers) if at != place and n != _NOBODY]
        if not others:
            return False
        least = min(others)
        return mine > least + max(1, least // 8)


def new_memory(count: int) -> int:
    """Memory for `Shares`, without a worker in it yet.

    @return: its file descriptor.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("oaiproxy-shares")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, count * _INT)
    shares = Shares(fd, count)
    for place in range(count):
        shares.clear(place)
    return fd
