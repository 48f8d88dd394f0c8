"""Clients that leave while nothing is read from them.

Whoever reads from a connection learns of its end by reading.  A client that is held back, as the upstream takes nothing
of its upload, is not read from, and its socket is not watched at all by the reactor, which knows of reading and writing
only.  Linux tells of an end also where bytes in front of it have not been read (``EPOLLRDHUP``, epoll_ctl(2)), and an
epoll can itself be watched: so a port has one of its own for these sockets, which the reactor reads from like from any
other.  It takes no timer, and a connection that is read from costs nothing.

What cannot be seen so is seen when more is read: an end that has not come yet, as the client's kernel has to deliver
more in front of it than the buffers on the way take; the end of TLS (close_notify) of a client that keeps its socket
open; any end where there is no Linux.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class Departures:
    """Watches the connections of a port that are not read from."""

    def __init__(self, reactor: Any) -> None:
        """@param reactor: watches descriptors (`twisted.internet.interfaces.IReactorFDSet`)."""
        self._reactor = reactor
        self._epoll: select.epoll | None = None
        self._watched: dict[int, Callable[[], None]] = {}

    def watch(self, transport: Any, left: Callable[[], None]) -> int | None:
        """Begin to watch a connection that is no longer read from.

        @param transport: the connection's.
        @param left: called, once, where the other side has closed or reset it.
        @return: what `unwatch` takes; None where it cannot be watched.
        """
        number = _descriptor(transport)
        if number is None:
            return None
        try:
            if self._epoll is None:
                self._epoll = select.epoll()
                self._reactor.addReader(self)
            self._epoll.register(number, select.EPOLLRDHUP)
        except OSError:
            # no more descriptors, or no memory for them; without it the upload goes on as well
            if not self._watched:
                self.close()
            return None
        self._watched[number] = left
        return number

    def unwatch(self, number: int) -> None:
        """End it: the connection is read from again, or has ended."""
        if self._watched.pop(number, None) is not None and self._epoll is not None:
            # a closed socket has left by itself
            with suppress(OSError):
                self._epoll.unregister(number)

    def close(self) -> None:
        """Give back what watching takes, as no connection is open; more may come.

        Not before that: who uploads faster than the upstream takes it is held back thousands of times a second.
        """
        if self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None
        self._watched.clear()

    # for the reactor

    def fileno(self) -> int:
        return -1 if self._epoll is None else self._epoll.fileno()

    def doRead(self) -> None:
        assert self._epoll is not None
        for number, _ in self._epoll.poll(0):
            left = self._watched.get(number)
            self.unwatch(number)
            if left is not None:
                left()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The reactor watches nothing any more."""
        self.close()

    def logPrefix(self) -> str:
        return type(self).__name__


def _descriptor(transport: Any) -> int | None:
    """The number of a connection's socket, TLS or not; None where it has none, or nothing tells of its end."""
    if sys.platform != "linux":
        return None
    # a TLS transport has the methods of the one below it, but not its interfaces
    fileno = getattr(transport, "fileno", None)
    number: int = -1 if fileno is None else fileno()
    return None if number < 0 else number
