"""Connections to one upstream, kept for reuse."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web._newclient import Request as ClientRequest
from twisted.web.client import HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from zope.interface import implementer


@implementer(IHandshakeListener)
class Connection(HTTP11ClientProtocol):
    """A connection to an upstream.

    @ivar requests: how many requests were sent on it.
    @ivar heard: whether a byte has come back of the last of them.
    @ivar lost: why it ended, or None while it lives.
    """

    requests = 0
    heard = False
    lost: Failure | None = None
    _secure = False
    _unfinished = False
    _securing: Deferred[None] | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        transport = ITCPTransport(self.transport, None)
        if transport is not None:
            # an upstream that vanished without a word is noticed even while it owes us nothing for minutes
            transport.setTcpKeepAlive(True)

    def handshakeCompleted(self) -> None:
        self._secure = True
        if self._securing is not None and not self._securing.called:
            self._securing.callback(None)

    def secured(self) -> Deferred[None]:
        """Fires when the TLS handshake is complete; cancelled, it closes the connection.

        An endpoint has connected when there is TCP: a request that is written then waits for the handshake.
        """
        self._securing = Deferred(lambda _: self.drop())
        if self._secure:
            self._securing.callback(None)
        elif self.lost is not None:
            self._securing.errback(self.lost)
        return self._securing

    def request(self, request: ClientRequest) -> Deferred[IResponse]:
        self.requests += 1
        self.heard = False
        answering = super().request(request)
        if self._state == "TRANSMITTING":
            head: Any = self._responseDeferred
            head.addCallback(self._early, request)
        return answering

    def _early(self, response: IResponse, request: ClientRequest) -> IResponse:
        """An answer has begun: where the request is still being sent, the rest of it is of no use.

        Twisted would keep the answer back until the whole request was written.
        """
        self._stop_sending(request)
        return response

    def _stop_sending(self, request: ClientRequest) -> None:
        if self._state == "TRANSMITTING":
            self._state = "WAITING"
            self._unfinished = True
            # nobody can tell what would come next on this connection
            request.persistent = False
            self.transport.unregisterProducer()  # type: ignore[union-attr]
            request.stopWriting()
            head: Any = self._responseDeferred
            head.chainDeferred(self._finishedRequest)

    def _giveUp(self, reason: Failure) -> None:
        if self._currentRequest is not None:
            # what came is no answer: Twisted would forget who waits for one while the request is still being sent
            self._stop_sending(self._currentRequest)
        unfinished = self._unfinished or self._state == "TRANSMITTING_AFTER_RECEIVING_RESPONSE"
        super()._giveUp(reason)
        if unfinished:
            # the upstream need not take what is still to be written
            self.drop()

    def dataReceived(self, data: bytes) -> None:
        self.heard = True
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        super().connectionLost(reason)
        if self._securing is not None and not self._securing.called:
            self._securing.errback(reason)

    @property
    def until_close(self) -> bool:
        """Whether nothing but the end of the connection ends the body that comes (RFC 9112 section 6.3, item 8); to be
        asked when the head has come."""
        parser = self._parser
        if parser is None or parser.response.length is not UNKNOWN_LENGTH:
            return False
        return not parser.connHeaders.hasHeader(b"transfer-encoding")

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
    """Idle connections to an upstream, without a limit that a busy proxy would hit, and without repeats of its own.

    Twisted's default keeps two idle connections per host, so that a proxy under load makes most anew, and repeats
    requests on its own; what may be repeated is for `UpstreamClient` to say.
    """

    _factory: Any = _ConnectionFactory
    maxPersistentPerHost = 1024
    retryAutomatically = False
    # Shorter than what servers keep idle connections for (nginx 75 s, Node 5 s): the shorter, the fewer requests meet a
    # connection that the other side is just closing.  Those that do are repeated on a new one.
    cachedConnectionTimeout = 30

    def __init__(self, reactor: IReactorTime, endpoint: IStreamClientEndpoint, *, tls: bool) -> None:
        """
        @param reactor: for time.
        @param endpoint: makes connections to the upstream.
        @param tls: whether it makes TLS of them.
        """
        super().__init__(reactor, persistent=True)
        self._endpoint = endpoint
        self._tls = tls

    def connection(self, step: ConnectStep, *, fresh: bool) -> Deferred[Connection]:
        """An idle connection, at once, or a new one; always a new one where `fresh`.

        @param step: is told how far it is.
        @return: fails with what the endpoint's ``connect`` or the TLS handshake fails with.
        """
        key = endpoint = self._endpoint
        connecting: Deferred[Any] = self._newConnection(key, endpoint) if fresh else self.getConnection(key, endpoint)
        return connecting.addCallback(self._secured, step) if self._tls else connecting

    def _secured(self, connection: Connection, step: ConnectStep) -> Connection | Deferred[Connection]:
        if connection.requests:
            return connection
        step.handshake = True
        return connection.secured().addCallback(lambda _: connection)


class ConnectStep:
    """How far a connection is.

    @ivar handshake: whether there is TCP, and TLS is what it waits for.
    """

    handshake = False
