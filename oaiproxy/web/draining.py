"""The connections of a port, and how they end when the service does.

A connection on which nothing is under way is closed at once.  One with a request on it is closed when that is
answered, which the answer says (``Connection: close``, RFC 9112 section 9.6).  One that has only just been made is
waited for: its request may be on the way, and a client does not send it again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from oaiproxy.web.leaving import Departures

#: The first request of a connection is waited for so long, in seconds.
FIRST_REQUEST = 2.0


class Connections:
    """The open connections of a port.

    @ivar draining: whether they are to end.
    @ivar changed: called whenever there are more or fewer of them.
    @ivar departures: watches those that are not read from.
    """

    def __init__(self, clock: Any) -> None:
        """@param clock: the reactor, or what calls later in its place."""
        self.draining = False
        self.changed: Callable[[], None] = lambda: None
        self.departures = Departures(clock)
        self.clock = clock
        self._open: set[DrainingChannel] = set()
        self._waiting: list[Deferred[None]] = []

    def __iter__(self) -> Iterator[DrainingChannel]:
        return iter(tuple(self._open))

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def add(self, channel: DrainingChannel) -> None:
        """A connection was made."""
        self._open.add(channel)
        self.changed()
        if self.draining:
            channel.drain()

    def remove(self, channel: DrainingChannel) -> None:
        """A connection has ended."""
        self._open.discard(channel)
        self.changed()
        if not self._open:
            self.departures.close()
            waiting, self._waiting = self._waiting, []
            for gone in waiting:
                gone.callback(None)

    def drain(self) -> None:
        """Let each end as soon as nothing is under way on it."""
        self.draining = True
        for channel in list(self._open):
            channel.drain()

    def close_idle(self) -> int:
        """Close those on which nothing is under way.

        @return: how many others there are.
        """
        staying = [channel for channel in self._open if not channel.leaving]
        idle = [channel for channel in staying if not channel.busy]
        for channel in idle:
            channel.close()
        return len(staying) - len(idle)

    def abort(self) -> int:
        """Close all at once, whatever is under way.

        @return: how many clients lose something by it.
        """
        left = list(self._open)
        for channel in left:
            channel.transport.abortConnection()  # type: ignore[union-attr]
        return sum(not channel.leaving for channel in left)

    def gone(self) -> Deferred[None]:
        """Fires when none is open; may be cancelled."""
        gone: Deferred[None] = Deferred(lambda d: self._waiting.remove(d) if d in self._waiting else None)
        if self._open:
            self._waiting.append(gone)
        else:
            gone.callback(None)
        return gone


class DrainingChannel(HTTPChannel):
    """A client's connection that its port knows of.

    @ivar connections: the port's; set by the site before the connection is made.
    """

    connections: Connections
    _used = False  # whether a request has come
    _first: IDelayedCall | None = None
    _watched: int | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is arriving, or is being answered."""
        raise NotImplementedError

    @property
    def leaving(self) -> bool:
        """Whether the client has its last answer, and only has to go."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection, on which nothing is under way."""
        raise NotImplementedError

    def connectionMade(self) -> None:
        super().connectionMade()
        self.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._first is not None and self._first.active():
            self._first.cancel()
        self.unwatch()
        super().connectionLost(reason)
        self.connections.remove(self)

    def loseConnection(self) -> None:
        # what is left is delivered, also to a client that has closed its own side
        self.unwatch()
        super().loseConnection()
        if ISSLTransport(self.transport, None) is not None:
            # the end of TLS is said; the client's own need not be waited for, and may never come (RFC 8446 section 6.1)
            self.transport.transport.loseConnection()  # type: ignore[union-attr]

    def watch(self) -> None:
        """Nothing is read from the client: let its end be noticed all the same."""
        self._watched = self.connections.departures.watch(self.transport, self._left)

    def unwatch(self) -> None:
        """It is read from again: its end is noticed by that."""
        watched, self._watched = self._watched, None
        if watched is not None:
            self.connections.departures.unwatch(watched)

    def _left(self) -> None:
        """The client has closed its side, or reset: as where it is read from, that is the end of the connection."""
        self._watched = None
        self.transport.abortConnection()  # type: ignore[union-attr]

    def drain(self) -> None:
        """End as soon as nothing is under way."""
        if self.leaving:
            return
        if self.requests:
            self.persistent = False
        if self.busy:
            return
        if self._used:
            self.close()
        else:
            self._first = self.connections.clock.callLater(FIRST_REQUEST, self._close_unless_busy)

    def _close_unless_busy(self) -> None:
        if not (self.busy or self.leaving):
            self.close()
