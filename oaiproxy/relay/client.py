"""Requests to the one configured upstream, sent exactly as they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web._newclient import Request as ClientRequest
from twisted.web.client import URI
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.relay.answer import HeaderPairs, UpstreamAnswer, discard
from oaiproxy.relay.connections import Connection, ConnectionPool, ConnectStep
from oaiproxy.relay.failures import CONNECT_ERRORS, SEND_ERRORS, AttemptFailed, Failures, cause_of
from oaiproxy.relay.limits import answered_in_time, within
from oaiproxy.relay.retry import RETRIES, Retry
from oaiproxy.relay.tls import UpstreamTls
from oaiproxy.relay.upload import BytesBody, RequestBody, StreamedBody, StreamedUpload, Upload
from oaiproxy.settings import Timeouts

#: treq keeps a cookie jar, in which a cookie set for one client would be sent for another.  This one takes nothing.
_NO_COOKIES = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))

#: What treq would act upon in an answer.  It fails on cookies that are not ASCII.
_NOT_FOR_TREQ = (b"content-encoding", b"set-cookie", b"set-cookie2")


class AttemptLog(Protocol):
    """Is told of each time that a request is sent, and of what comes of it but for the body that the caller gets."""

    def upstream_request(
        self, method: str, url: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None
    ) -> None: ...

    def upstream_response(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None
    ) -> None: ...

    def upstream_chunk(self, data: bytes) -> None: ...


@implementer(IAgent)
class _AsGiven:
    """The agent beneath treq: sends one request on one connection as it was given.

    Between this and its caller treq would add ``Accept-Encoding: gzip``, decode the body, normalise the URL and write
    the method in capitals.  What treq passes down is therefore ignored for what was given, and what it would act upon
    in the answer (`_NOT_FOR_TREQ`) is taken out of its sight and kept in `headers`.
    """

    def __init__(self, connection: Connection, request: ClientRequest) -> None:
        self._connection = connection
        self._request = request
        self.headers: list[tuple[bytes, bytes]] = []
        self.until_close = False

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        return self._connection.request(self._request).addCallback(self._answered)

    def _answered(self, response: IResponse) -> IResponse:
        self.until_close = self._connection.until_close
        self.headers = [(name, value) for name, values in response.headers.getAllRawHeaders() for value in values]
        for name in _NOT_FOR_TREQ:
            response.headers.removeHeader(name)
        return response


class _Stale(Exception):
    """A kept connection was closed before a byte came back: it had been given up when the request was on its way."""


class UpstreamClient:
    """Sends requests to one upstream and nowhere else: what a client sends never chooses the host."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        timeouts: Timeouts,
        retry: Retry | None = None,
        tls: IPolicyForHTTPS | None = None,
    ) -> None:
        """
        @param reactor: for connections and time.
        @param url: the upstream's base URL, ``https://api.openai.com/v1``.
        @param timeouts: how long it may take, in seconds.
        @param retry: when requests are sent again; never where it is None.
        @param tls: whose certificates are trusted; the platform's authorities where it is None.
        """
        uri = URI.fromBytes(url.encode("ascii"))
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            reactor, uri.host.decode("ascii"), uri.port, timeout=timeouts.connect
        )
        secure = uri.scheme == b"https"
        if secure:
            policy = tls or UpstreamTls()
            endpoint = wrapClientTLS(policy.creatorForNetloc(uri.host, uri.port), endpoint)
        self._pool = ConnectionPool(reactor, endpoint, tls=secure)
        self._reactor = reactor
        self._url = url
        self._origin = b"%b://%b" % (uri.scheme, uri.netloc)
        self._base: bytes = uri.path.rstrip(b"/")
        self._retry = retry or Retry()
        self.timeouts = timeouts
        #: the value of the Host header
        self.host: bytes = uri.netloc
        #: how error messages name the upstream
        self.name = uri.netloc.decode("ascii")
        self._failures = Failures(self.name, timeouts)

    def url(self, target: bytes) -> bytes:
        """The URL of a target below the base URL, for people to read."""
        return self._origin + self._base + target

    async def send(
        self,
        method: bytes,
        target: bytes,
        headers: HeaderPairs,
        body: RequestBody | None,
        *,
        log: AttemptLog | None = None,
        name: str = "",
        retry: bool = True,
    ) -> UpstreamAnswer:
        """Send a request and wait for the head of its answer.

        It is sent again, as `Retry` says, where no connection could be made, where the connection was lost before a
        byte of an answer came back, and where the answer's status says that none was made.  The last answer is passed
        on as it is; ``x-oaiproxy-retries`` among its header fields, or those of the error, says how often that was.
        A `StreamedBody` of which something was taken is gone: such a request is not sent again.

        While it waits to be sent again it holds no connection; cancelled, it is not sent again.

        @param method: the method, in the letters given.
        @param target: path and query below the base URL, such as ``/chat/completions?x=1``.
        @param headers: the header fields without Content-Length and the like, Host included.
        @param body: the body, or None.
        @param log: is told of each time it is sent.
        @param name: whose request it is, for the service's log.
        @param retry: whether it may be sent again at all.
        @raise UpstreamUnreachable: no connection, or it was lost before an answer came.
        @raise UpstreamTimeout: no connection or no answer in time.
        @raise UpstreamInvalid: what came back is not HTTP.
        """
        tried = 0
        while True:
            answer: UpstreamAnswer | None = None
            try:
                answer = await self._attempt(method, target, headers, body, log)
            except AttemptFailed as e:
                error, reason = e.error, e.error.message
                wait = self._retry.wait(tried) if retry and e.safe and not _is_gone(body) else None
                if wait is None:
                    if tried:
                        error.headers[RETRIES.decode("ascii")] = str(tried)
                    raise error from None
            else:
                reason = f"The upstream {self.name} answered {answer.status}."
                again = retry and not _is_gone(body)
                wait = self._retry.wait_after(answer.status, answer.headers, tried) if again else None
                if wait is None:
                    if tried:
                        answer.headers = [*answer.headers, (RETRIES, b"%d" % tried)]
                    return answer
            tried += 1
            self._log.info(
                "exchange {name}: {reason} Sending it again in {wait:.2f} s ({tried} of {limit})",
                name=name,
                reason=reason,
                wait=wait,
                tried=tried,
                limit=self._retry.limit,
            )
            if answer is None:
                await deferLater(self._reactor, wait)
            else:
                await discard(answer, None if log is None else log.upstream_chunk, self._reactor, wait)

    async def _attempt(
        self,
        method: bytes,
        target: bytes,
        headers: HeaderPairs,
        body: RequestBody | None,
        log: AttemptLog | None,
    ) -> UpstreamAnswer:
        """Send a request once.

        It is repeated at once where a kept connection was closed by the upstream before a byte of an answer came back,
        which is what a server does that gives an idle connection up (RFC 9112 section 9.3.1).

        @raise AttemptFailed: no answer came.
        """
        # a kept connection may be about to close, and what would be lost with it cannot be sent again
        fresh = isinstance(body, StreamedBody)
        while True:
            if log is not None:
                data = body.data if isinstance(body, BytesBody) else None
                log.upstream_request(method.decode("latin-1"), self.url(target), headers, data)
            connection = await self._connect(fresh)
            try:
                answer = await self._send_on(connection, method, target, headers, body)
            except _Stale:
                fresh = True
                continue
            if log is not None:
                log.upstream_response(answer.status, answer.headers)
            return answer

    async def _connect(self, fresh: bool) -> Connection:
        step = ConnectStep()
        connecting = self._pool.connection(step, fresh=fresh)
        try:
            # one that was kept is there at once
            return await (
                connecting
                if connecting.called
                else within(
                    self._reactor,
                    connecting,
                    self.timeouts.connect,
                    lambda: self._failures.connect_timeout(handshake=step.handshake),
                )
            )
        except CONNECT_ERRORS as e:
            raise self._failures.connecting(e) from None

    async def _send_on(
        self,
        connection: Connection,
        method: bytes,
        target: bytes,
        headers: HeaderPairs,
        body: RequestBody | None,
    ) -> UpstreamAnswer:
        kept = connection.requests > 0
        upload = None if body is None else _sending(body, self._reactor.seconds)
        agent = _AsGiven(connection, self._request(method, target, headers, upload))
        answering: Deferred[Any] = HTTPClient(agent, _NO_COOKIES).request(
            method.decode("ascii"),
            self._url,
            data=upload,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        failures = self._failures
        try:
            response: IResponse = await answered_in_time(
                self._reactor, answering, upload, self.timeouts, failures.upload_timeout, failures.answer_timeout
            )
        except SEND_ERRORS as e:
            cause, heard = cause_of(e), connection.heard
            connection.drop()
            if isinstance(cause, ApiError):
                # the client's body did not come
                raise AttemptFailed(cause, safe=False) from None
            if kept and not heard and isinstance(cause, ConnectionClosed):
                raise _Stale from None
            raise failures.sending(cause, heard=heard) from None
        if not 200 <= response.code <= 999:
            connection.drop()
            raise failures.status(response.code)
        return UpstreamAnswer(self.name, response, agent.headers, connection, until_close=agent.until_close)

    def _request(
        self, method: bytes, target: bytes, headers: HeaderPairs, upload: IBodyProducer | None
    ) -> ClientRequest:
        fields = Headers()
        for name, value in headers:
            fields.addRawHeader(name, value)
        try:
            return ClientRequest(method, self._base + target, fields, upload, persistent=True)
        except ValueError:
            raise BadRequest("The request's method or path has characters that HTTP does not allow.") from None

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()


def _sending(body: RequestBody, seconds: Callable[[], float]) -> Upload | StreamedUpload:
    return body.upload(seconds) if isinstance(body, StreamedBody) else Upload(body, seconds)


def _is_gone(body: RequestBody | None) -> bool:
    return isinstance(body, StreamedBody) and body.begun
