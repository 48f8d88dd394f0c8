"""Requests to the one configured upstream, sent exactly as they are given."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IDelayedCall, IProtocol, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web._newclient import Request as ClientRequest
from twisted.web.client import (
    URI,
    BrowserLikePolicyForHTTPS,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from oaiproxy.api.errors import ApiError, BadRequest, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from oaiproxy.relay.connections import Connection, ConnectionPool
from oaiproxy.relay.upload import RequestBody
from oaiproxy.settings import Timeouts

#: Header fields as they cross the proxy: names and values, in order.
HeaderPairs = Sequence[tuple[bytes, bytes]]

#: treq keeps a cookie jar, in which a cookie set for one client would be sent for another.  This one takes nothing.
_NO_COOKIES = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))


class UpstreamAnswer:
    """The head of an upstream's answer, and the way to its body.

    @ivar status: the HTTP status.
    @ivar phrase: the reason phrase.
    @ivar headers: the header fields, without those of the connection.
    @ivar length: the body's length in bytes where the head says it, else None.
    """

    def __init__(self, response: IResponse, headers: HeaderPairs, connection: Connection) -> None:
        self._response = response
        self._connection = connection
        self.status: int = response.code
        self.phrase: bytes = response.phrase
        self.headers = headers
        self.length: int | None = None if response.length is UNKNOWN_LENGTH else response.length

    def header(self, name: bytes) -> bytes:
        """The value of a header field (`name` in lower case), or nothing."""
        return next((value for field, value in self.headers if field.lower() == name), b"")

    def deliver(self, protocol: IProtocol) -> None:
        """Send the body to `protocol`; nothing is read from the upstream before."""
        self._response.deliverBody(protocol)

    def abort(self) -> None:
        """Close the connection now; only before the body has ended."""
        self._connection.drop()

    @property
    def was_reset(self) -> bool:
        """Whether the connection ended otherwise than by an orderly close."""
        lost = self._connection.lost
        return lost is not None and lost.check(ConnectionLost) is not None


@implementer(IAgent)
class _AsGiven:
    """The agent beneath treq: sends one request on one connection as it was given.

    Between this and its caller treq would add ``Accept-Encoding: gzip``, decode the body, normalise the URL and write
    the method in capitals.  What treq passes down is therefore ignored for what was given, and what it would act upon
    in the answer (``Content-Encoding``) is taken out of its sight and kept in `headers`.
    """

    def __init__(self, connection: Connection, request: ClientRequest) -> None:
        self._connection = connection
        self._request = request
        self.headers: list[tuple[bytes, bytes]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        self._connection.requests += 1
        return self._connection.request(self._request).addCallback(self._answered)

    def _answered(self, response: IResponse) -> IResponse:
        self.headers = [(name, value) for name, values in response.headers.getAllRawHeaders() for value in values]
        response.headers.removeHeader(b"content-encoding")
        return response


class UpstreamClient:
    """Sends requests to one upstream and nowhere else: what a client sends never chooses the host."""

    def __init__(self, reactor: Any, url: str, timeouts: Timeouts, tls: IPolicyForHTTPS | None = None) -> None:
        """
        @param reactor: for connections and time.
        @param url: the upstream's base URL, ``https://api.openai.com/v1``.
        @param timeouts: how long it may take, in seconds.
        @param tls: whose certificates are trusted; the platform's authorities where it is None.
        """
        uri = URI.fromBytes(url.encode("ascii"))
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            reactor, uri.host.decode("ascii"), uri.port, timeout=timeouts.connect
        )
        if uri.scheme == b"https":
            policy = tls or BrowserLikePolicyForHTTPS()
            endpoint = wrapClientTLS(policy.creatorForNetloc(uri.host, uri.port), endpoint)
        self._endpoint = endpoint
        self._pool = ConnectionPool(reactor)
        self._reactor = reactor
        self._url = url
        self._origin = b"%b://%b" % (uri.scheme, uri.netloc)
        self._base: bytes = uri.path.rstrip(b"/")
        self.timeouts = timeouts
        #: the value of the Host header
        self.host: bytes = uri.netloc
        #: how error messages name the upstream
        self.name = uri.netloc.decode("ascii")

    def url(self, target: bytes) -> bytes:
        """The URL of a target below the base URL, for people to read."""
        return self._origin + self._base + target

    async def send(
        self, method: bytes, target: bytes, headers: HeaderPairs, body: RequestBody | None
    ) -> UpstreamAnswer:
        """Send a request and wait for the head of its answer.

        It is repeated, once, only where a kept connection was closed by the upstream before a byte of an answer came
        back, which is what a server does that gives an idle connection up (RFC 9112 section 9.3.1).

        @param method: the method, in the letters given.
        @param target: path and query below the base URL, such as ``/chat/completions?x=1``.
        @param headers: the header fields without Content-Length and the like, Host included.
        @param body: the body, or None.
        @raise UpstreamUnreachable: no connection, or it was lost before an answer came.
        @raise UpstreamTimeout: no connection or no answer in time.
        @raise UpstreamInvalid: what came back is not HTTP.
        """
        fresh = False
        while True:
            connection = await self._connect(fresh)
            reused = connection.requests > 0
            try:
                return await self._send_on(connection, method, target, headers, body)
            except (ResponseNeverReceived, RequestTransmissionFailed) as e:
                cause = _cause(e)
                if isinstance(cause, CancelledError):
                    raise cause from None
                if reused and not fresh and isinstance(cause, ConnectionClosed) and (body is None or body.replayable):
                    fresh = True
                    continue
                raise self._failed(cause, "before it answered") from None
            except (ResponseFailed, RequestGenerationFailed) as e:
                cause = _cause(e)
                if isinstance(cause, CancelledError):
                    raise cause from None
                raise self._failed(cause, "in the head of its answer") from None

    async def _connect(self, fresh: bool) -> Connection:
        try:
            return await self._pool.connection(self._endpoint, fresh=fresh)
        except (ConnectError, DNSLookupError, ConnectionClosed, TLSError, VerificationError, OSError) as e:
            raise self._failed(e, "while connecting") from None

    def _send_on(
        self, connection: Connection, method: bytes, target: bytes, headers: HeaderPairs, body: RequestBody | None
    ) -> Awaitable[UpstreamAnswer]:
        fields = Headers()
        for name, value in headers:
            fields.addRawHeader(name, value)
        try:
            request = ClientRequest(method, self._base + target, fields, body, persistent=True)
        except ValueError:
            raise BadRequest("The request's method or path has characters that HTTP does not allow.") from None
        agent = _AsGiven(connection, request)
        answering = HTTPClient(agent, _NO_COOKIES).request(
            method.decode("ascii"),
            self._url,
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        self._limit(answering)
        return answering.addCallback(lambda response: UpstreamAnswer(response, agent.headers, connection))

    def _limit(self, answering: Deferred[Any]) -> None:
        """Fail `answering` with `UpstreamTimeout` when no answer comes in time."""
        limit = self.timeouts.first_byte
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            answering.cancel()

        timer: IDelayedCall = self._reactor.callLater(limit, give_up)

        def answered(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            if late and isinstance(result, Failure):
                raise UpstreamTimeout(f"The upstream {self.name} did not answer within {limit:g} s.")
            return result

        answering.addBoth(answered)

    def _failed(self, cause: BaseException, stage: str) -> ApiError:
        if isinstance(cause, TimeoutError):
            return UpstreamTimeout(
                f"The upstream {self.name} could not be connected to within {self.timeouts.connect:g} s."
            )
        if isinstance(cause, DNSLookupError):
            return UpstreamUnreachable(f"The upstream's host name {self.name} cannot be resolved. Check --upstream.")
        if isinstance(cause, ConnectionRefusedError):
            return UpstreamUnreachable(
                f"The upstream {self.name} refused the connection. Is it running, and is --upstream right?"
            )
        if isinstance(cause, TLSError | VerificationError):
            return UpstreamUnreachable(f"No secure connection to the upstream {self.name}: {_tls_reason(cause)}.")
        if isinstance(cause, ConnectionClosed | ConnectError | ConnectBindError | OSError):
            return UpstreamUnreachable(f"The upstream {self.name} was lost {stage} ({type(cause).__name__}).")
        return UpstreamInvalid(f"The upstream {self.name} sent something that is not HTTP ({type(cause).__name__}).")

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()


def _cause(error: ResponseFailed | RequestGenerationFailed | RequestTransmissionFailed) -> BaseException:
    reasons: list[Failure] = error.reasons
    return reasons[0].value or error


def _tls_reason(cause: BaseException) -> str:
    if isinstance(cause, VerificationError):
        return "its certificate is for another host name"
    reasons = [entry[-1] for entry in cause.args[0]] if cause.args and isinstance(cause.args[0], list) else []
    return ", ".join(filter(None, reasons)) or "the TLS handshake failed"
