"""Requests to the one configured upstream, sent exactly as they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.client import URI
from twisted.web.iweb import IPolicyForHTTPS

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.relay.answer import HeaderPairs, UpstreamAnswer, discard
from oaiproxy.relay.connections import Connection
from oaiproxy.relay.failures import CONNECT_ERRORS, SEND_ERRORS, AttemptFailed, Failures
from oaiproxy.relay.limits import AnswerLimit, within
from oaiproxy.relay.pool import ConnectionPool, ConnectStep
from oaiproxy.relay.retry import RETRIES, Retry
from oaiproxy.relay.tls import UpstreamTls
from oaiproxy.relay.upload import PIECE, BytesBody, RequestBody, Sending, StreamedBody, Upload
from oaiproxy.settings import Timeouts

#: RFC 9110 section 9.1, and RFC 9112 section 3.2: visible characters only.
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")

#: Methods of which a server expects a body; that there is none is said (RFC 9110 section 8.6).
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))


class AttemptLog(Protocol):
    """Is told of each time that a request is sent, and of what comes of it but for the body that the caller gets."""

    def upstream_request(
        self, method: str, url: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None
    ) -> None: ...

    def upstream_response(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None
    ) -> None: ...

    def upstream_chunk(self, data: bytes) -> None: ...


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
        endpoint = _endpoint(reactor, uri.host.decode("ascii"), uri.port, timeouts.connect)
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
        switches: bool = False,
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
        @param switches: whether it is the handshake of a WebSocket, so that its answer may be a 101.
        @raise UpstreamUnreachable: no connection, or it was lost before an answer came.
        @raise UpstreamTimeout: no connection or no answer in time.
        @raise UpstreamInvalid: what came back is not HTTP.
        """
        tried = 0
        while True:
            answer: UpstreamAnswer | None = None
            try:
                answer = await self._attempt(method, target, headers, body, log, switches=switches)
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
        *,
        switches: bool,
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
            connection = (None if fresh else self._pool.idle()) or await self._connect()
            try:
                answer = await self._send_on(connection, method, target, headers, body, switches=switches)
            except _Stale:
                fresh = True
                continue
            if log is not None:
                log.upstream_response(answer.status, answer.headers)
            return answer

    async def _connect(self) -> Connection:
        step = ConnectStep()
        try:
            return await within(
                self._reactor,
                self._pool.connect(step),
                self.timeouts.connect,
                lambda: self._failures.connect_timeout(handshake=step.handshake),
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
        *,
        switches: bool,
    ) -> UpstreamAnswer:
        kept = connection.requests > 0
        request, sending = self._request(method, target, headers, body)
        answering = connection.send(request, sending, bodiless=method == b"HEAD", switches=switches)
        AnswerLimit(connection, sending, self._reactor, self.timeouts, self._failures)
        try:
            head = await answering
        except SEND_ERRORS as e:
            heard = connection.heard
            connection.drop()
            if kept and not heard and isinstance(e, ConnectionClosed):
                raise _Stale from None
            raise self._failures.sending(e, heard=heard) from None
        except ApiError as e:
            # the client's body did not come
            raise AttemptFailed(e, safe=False) from None
        return UpstreamAnswer(self.name, head, connection)

    def _request(
        self, method: bytes, target: bytes, headers: HeaderPairs, body: RequestBody | None
    ) -> tuple[bytes, Sending | None]:
        """The bytes of a request, and the part of its body that follows as the upstream takes it."""
        lines = [b"%b: %b" % field for field in headers]
        sending: Sending | None = None
        with_head = b""
        if isinstance(body, StreamedBody):
            sending = body.upload(self._reactor.seconds)
            length = body.length
            lines.append(b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length)
        elif body is not None:
            lines.append(b"Content-Length: %d" % body.length)
            if body.length <= PIECE:
                with_head = body.data
            else:
                sending = Upload(body, self._reactor.seconds)
        elif method in _WITH_BODY:
            lines.append(b"Content-Length: 0")
        fields = b"\r\n".join(lines)
        if not (_METHOD.fullmatch(method) and _TARGET.fullmatch(target)) or _ends_lines(fields, len(lines)):
            raise BadRequest("The request's method, path or header fields have characters that HTTP does not allow.")
        return b"%b %b%b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, self._base, target, fields, with_head), sending

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.close()


def _endpoint(reactor: Any, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """What connects to a host."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout)
    # asks for the addresses of a name, which is a lot of work where there is nothing to ask
    return HostnameEndpoint(reactor, host, port, timeout=timeout)


def _ends_lines(fields: bytes, count: int) -> bool:
    """Whether header lines have line ends other than those between them, or NUL."""
    return not (fields.count(b"\n") == fields.count(b"\r") == count - 1) or b"\0" in fields


def _is_gone(body: RequestBody | None) -> bool:
    return isinstance(body, StreamedBody) and body.begun
