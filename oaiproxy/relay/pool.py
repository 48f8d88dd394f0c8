"""Connections to one upstream, kept for reuse."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from oaiproxy.relay.connections import Connection

#: How many idle connections are kept.
_KEPT = 1024

#: For how long, in seconds.  Shorter than what servers keep idle connections for (nginx 75 s, Node 5 s): the shorter,
#: the fewer requests meet a connection that the other side is just closing.  Those that do are repeated on a new one.
_KEPT_SECONDS = 30.0


class ConnectStep:
    """How far a connection is.

    @ivar handshake: whether there is TCP, and TLS is what it waits for.
    """

    handshake = False


class ConnectionPool:
    """The connections to an upstream: those that are idle are kept, and there is no limit to how many there are."""

    def __init__(self, clock: IReactorTime, endpoint: IStreamClientEndpoint, *, tls: bool) -> None:
        """
        @param clock: calls later.
        @param endpoint: makes connections to the upstream.
        @param tls: whether it makes TLS of them.
        """
        self._clock = clock
        self._endpoint = endpoint
        self._tls = tls
        self._factory = Factory.forProtocol(lambda: Connection(clock, self._freed))
        # the parent logs the start and the end of each connection at level info: noise for a proxy
        self._factory.noisy = False
        self._idle: list[Connection] = []
        self._room = _KEPT
        self._leaving: dict[Connection, Deferred[None]] = {}

    def idle(self) -> Connection | None:
        """A connection that was kept, or None where there is none."""
        while self._idle:
            connection = self._idle.pop()
            # what is sent on one that is about to close may arrive, and its answer would not: it would be sent twice
            if not connection.closing:
                return connection
        return None

    def connect(self, step: ConnectStep) -> Deferred[Connection]:
        """A new connection.

        @param step: is told how far it is.
        @return: fails with what the endpoint's ``connect`` or the TLS handshake fails with.
        """
        connecting: Deferred[Any] = self._endpoint.connect(self._factory)
        return connecting.addCallback(self._secured, step) if self._tls else connecting

    def _secured(self, connection: Connection, step: ConnectStep) -> Deferred[Connection]:
        step.handshake = True
        return connection.secured().addCallback(lambda _: connection)

    def _freed(self, connection: Connection) -> None:
        if connection.lost is not None:
            if connection in self._idle:
                self._idle.remove(connection)
            gone = self._leaving.pop(connection, None)
            if gone is not None:
                gone.callback(None)
        elif len(self._idle) < self._room:
            connection.keep(_KEPT_SECONDS)
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> Deferred[Any]:
        """Close the idle connections, and keep none from now on; fires when they are closed."""
        self._room = 0
        idle, self._idle = self._idle, []
        for connection in idle:
            self._leaving[connection] = Deferred()
        gone = DeferredList(list(self._leaving.values()))
        for connection in idle:
            connection.close()
        return gone
