"""The HTTP server of a port: Twisted's, saying nothing of itself and erring in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, AnyStr
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES
from twisted.web.http import Request as HTTPRequest
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import Request, Site

from oaiproxy.api.errors import ApiError
from oaiproxy.api.headers import Header, safe_value
from oaiproxy.api.heads import RequestHead
from oaiproxy.api.place import trace_of
from oaiproxy.api.secrets import Secrets, credentials, mask_url, url_credentials
from oaiproxy.clients import ErrorAnswer
from oaiproxy.settings import Limits
from oaiproxy.web.accesslog import AccessLog
from oaiproxy.web.channel import ProxyChannel
from oaiproxy.web.clientbody import ClientBody
from oaiproxy.web.draining import Connections
from oaiproxy.web.respond import date, write_error

#: Paths in which there is nothing to hide.
_USUAL_PATHS = frozenset(
    (b"/v1/chat/completions", b"/v1/responses", b"/v1/completions", b"/v1/embeddings", b"/v1/models", b"/health")
)


class ProxyRequest(Request):
    """A client's request, handled as soon as its head has come.

    @ivar head: its head.
    @ivar body: its body, which comes meanwhile.
    @ivar error_form: makes the answer of an error for this client; None for the API's error object.
    @ivar finish_head: sees the header fields of the answer last, whatever it will be, and may change them; or None.
    @ivar own_fields: header fields of the answer that take the place of others of the same names.
    @ivar fields: the header fields of the answer; those of `responseHeaders` go with them.
    @ivar delimited: whether the answer that was begun says where its body ends; else the connection's end is its end.
    """

    channel: ProxyChannel
    defaultContentType = None
    head: RequestHead
    body: ClientBody
    error_form: Callable[[ApiError], ErrorAnswer] | None = None
    finish_head: Callable[[Headers], None] | None = None
    own_fields: Sequence[Header] = ()
    fields: Iterable[Header] = ()
    delimited = False
    _bodiless = False

    def begin(self, head: RequestHead, body: ClientBody) -> None:
        """Handle it."""
        self.head, self.body = head, body
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = head.target.partition(b"?")[0]
        self.args = {}
        # let it be made when somebody asks for it
        del self.requestHeaders
        self.process()

    @cached_property
    def requestHeaders(self) -> Headers:  # type: ignore[override]
        """The header fields of the request, as twisted.web has them."""
        headers = Headers()
        for name, value in self.head.fields:
            headers.addRawHeader(name, value)
        return headers

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        if isinstance(key, str):
            return super().getHeader(key)
        values = self.head.named.get(key.lower())
        return None if values is None else values[-1]

    def process(self) -> None:
        """Let the resource of the path answer; as in twisted.web, but without its banner and its encoders."""
        self.site = self.channel.site  # type: ignore[attr-defined]
        self.prepath = []
        self.postpath = [unquote_to_bytes(part) if b"%" in part else part for part in self.path[1:].split(b"/")]
        if self.path == b"*":
            self._handleStar()
            return
        try:
            self.render(getChildForRequest(self.site.resource, self))
        except BaseException:
            self.processingFailed(Failure())

    def render(self, resrc: IResource) -> None:
        """Let a resource answer; an `ApiError` that it raises is the answer."""
        try:
            super().render(resrc)
        except ApiError as e:
            write_error(self, e)

    def write(self, data: bytes) -> None:
        """Send a piece of the answer's body, and the head before the first."""
        if self.finished:
            raise RuntimeError("Something was written to an answer that was finished.")
        if self._disconnected:
            return
        head = b"" if self.startedWriting else self._begin_answer()
        if self._bodiless:
            data = b""
        self.sentLength += len(data)
        if data and self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if head or data:
            self.channel.write(head + data)

    def _begin_answer(self) -> bytes:
        """Decide how the end of the answer's body is told (RFC 9112 section 6.3).

        @return: the head of the answer.
        """
        self.startedWriting = 1
        last = self.channel.begin_answer()
        own = ((name, v) for name, values in self.responseHeaders.getAllRawHeaders() for v in values)
        fields = [*self.fields, *own]
        names = {name.lower() for name, _ in fields}
        modern = self.clientproto == b"HTTP/1.1"
        self._bodiless = self.method == b"HEAD" or self.code in NO_BODY_CODES
        # behind a 101 there is a protocol with ends of its own
        switches = self.code == 101
        self.chunked = modern and not (self._bodiless or switches) and b"content-length" not in names
        self.delimited = self.chunked or switches or b"content-length" in names
        if b"date" not in names:
            fields.append((b"Date", date()))
        if self.chunked:
            fields.append((b"Transfer-Encoding", b"chunked"))
        if last and modern and not switches:
            fields.append((b"Connection", b"close"))
        return b"%b %d %b\r\n%b\r\n" % (self.clientproto, self.code, self.code_message, _lines(fields))

    def shown_path(self) -> str:
        """The path, for logs: without the query, and without what is a key elsewhere in the request."""
        path = self.uri.partition(b"?")[0]
        if path in _USUAL_PATHS:
            return path.decode("ascii")
        return mask_url(path, Secrets((*credentials(self.head.fields), *url_credentials(self.uri))))

    def processingFailed(self, reason: Failure) -> Failure:
        self._log.error("a request failed inside the proxy\n{trace}", trace=trace_of(reason.value or Exception()))
        if not self.startedWriting and not self._disconnected:
            write_error(self, ApiError("The proxy failed on this request; its log says why.", code="proxy_error"))
        return reason


def _lines(fields: Sequence[Header]) -> bytes:
    """Header fields as they are sent."""
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    if lines.count(b"\n") == lines.count(b"\r") == len(fields):
        return lines
    # a line end in a value would be the end of the field
    return b"".join([b"%b: %b\r\n" % (name, safe_value(value)) for name, value in fields])


class ProxySite(Site):
    """Serves one resource tree.

    @ivar connections: those that are open.
    """

    protocol = ProxyChannel  # type: ignore[assignment]

    def __init__(self, resource: IResource, port: str, limits: Limits | None = None, **kwargs: Any) -> None:
        """
        @param resource: the root.
        @param port: what the access log calls this port.
        @param limits: what clients may ask of it.
        """
        self._limits = limits or Limits()
        super().__init__(resource, requestFactory=ProxyRequest, **{"timeout": self._limits.idle_seconds, **kwargs})
        self.port = port
        self.connections = Connections(self.reactor)
        self._access_log = AccessLog(self.reactor, port)

    def startFactory(self) -> None:
        super().startFactory()
        self._access_log.collect()

    def stopFactory(self) -> None:
        super().stopFactory()
        self._access_log.flush()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        channel: Any = super().buildProtocol(addr)
        channel.connections = self.connections
        channel.limits = self._limits
        channel.port = self.port
        return channel

    def _updateLogDateTime(self) -> None:
        """Nothing: twisted.web keeps a date each second for an access log that is not written here."""

    def acceptableProtocols(self) -> list[bytes]:
        """What a TLS client is offered (ALPN): the one protocol that is spoken here, whatever is installed."""
        return [b"http/1.1"]

    def log(self, request: HTTPRequest) -> None:
        """The access log: one line a request, without the query, which may hold a key."""
        path = request.shown_path() if isinstance(request, ProxyRequest) else ""
        self._access_log.add(request.method.decode("latin-1"), path, request.code, request.sentLength)
