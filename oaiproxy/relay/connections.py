"""Connections to one upstream, kept for reuse."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import HTTPConnectionPool, _HTTP11ClientFactory


class Connection(HTTP11ClientProtocol):
    """A connection to an upstream.

    @ivar requests: how many requests were sent on it.
    @ivar lost: why it ended, or None while it lives.
    """

    requests = 0
    lost: Failure | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        transport = ITCPTransport(self.transport, None)
        if transport is not None:
            # an upstream that vanished without a word is noticed even while it owes us nothing for minutes
            transport.setTcpKeepAlive(True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        super().connectionLost(reason)

    def drop(self) -> None:
        """Close the connection now, whatever is under way on it."""
        if self.lost is None and self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


class _ConnectionFactory(_HTTP11ClientFactory):
    # the parent logs the start and the end of each connection at level info: noise for a proxy
    noisy = False

    def buildProtocol(self, addr: object) -> Connection:
        return Connection(self._quiescentCallback)


class ConnectionPool(HTTPConnectionPool):
    """Idle connections to upstreams, without a limit that a busy proxy would hit, and without repeats of its own.

    Twisted's default keeps two idle connections per host, so that a proxy under load makes most anew, and repeats
    requests on its own; what may be repeated is for `UpstreamClient` to say.
    """

    _factory: Any = _ConnectionFactory
    maxPersistentPerHost = 1024
    retryAutomatically = False
    # Shorter than what servers keep idle connections for (nginx 75 s, Node 5 s): the shorter, the fewer requests meet a
    # connection that the other side is just closing.  Those that do are repeated on a new one.
    cachedConnectionTimeout = 30

    def __init__(self, reactor: IReactorTime) -> None:
        super().__init__(reactor, persistent=True)

    async def connection(self, endpoint: IStreamClientEndpoint, *, fresh: bool) -> Connection:
        """An idle connection, or a new one; always a new one where `fresh`.

        @raise Exception: what the endpoint's ``connect`` fails with.
        """
        key = endpoint
        getting = self._newConnection(key, endpoint) if fresh else self.getConnection(key, endpoint)
        connection = await getting
        assert isinstance(connection, Connection)
        return connection
