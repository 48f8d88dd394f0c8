"""The HTTP server of a port: Twisted's, saying nothing of itself and erring in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from oaiproxy.api.errors import ApiError
from oaiproxy.api.heads import RequestHead
from oaiproxy.api.place import trace_of
from oaiproxy.api.secrets import Secrets, credentials, mask_url, url_credentials
from oaiproxy.clients import ErrorAnswer
from oaiproxy.settings import Limits
from oaiproxy.web.channel import ProxyChannel
from oaiproxy.web.clientbody import ClientBody
from oaiproxy.web.draining import Connections
from oaiproxy.web.respond import write_error

#: Paths in which there is nothing to hide.
_USUAL_PATHS = frozenset(
    (b"/v1/chat/completions", b"/v1/responses", b"/v1/completions", b"/v1/embeddings", b"/v1/models", b"/health")
)


class ProxyRequest(Request):
    """A client's request, handled as soon as its head has come.

    @ivar body: its body, which comes meanwhile.
    @ivar error_form: makes the answer of an error for this client; None for the API's error object.
    @ivar finish_head: sees the header fields of the answer last, whatever it will be, and may change them; or None.
    """

    defaultContentType = None
    body: ClientBody
    error_form: Callable[[ApiError], ErrorAnswer] | None = None
    finish_head: Callable[[Headers], None] | None = None

    def begin(self, head: RequestHead, body: ClientBody) -> None:
        """Handle it."""
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = head.target.partition(b"?")[0]
        self.args = {}
        self.body = body
        self.process()

    def _handleStar(self) -> None:
        self.responseHeaders.removeHeader(b"server")
        super()._handleStar()

    def render(self, resrc: IResource) -> None:
        """Let a resource answer; an `ApiError` that it raises is the answer."""
        # twisted.web's banner; an upstream's own Server header is passed on
        self.responseHeaders.removeHeader(b"server")
        try:
            super().render(resrc)
        except ApiError as e:
            write_error(self, e)

    def shown_path(self) -> str:
        """The path, for logs: without the query, and without what is a key elsewhere in the request."""
        path = self.uri.partition(b"?")[0]
        if path in _USUAL_PATHS:
            return path.decode("ascii")
        fields = ((name, value) for name, values in self.requestHeaders.getAllRawHeaders() for value in values)
        return mask_url(path, Secrets((*credentials(fields), *url_credentials(self.uri))))

    def processingFailed(self, reason: Failure) -> Failure:
        self._log.error("a request failed inside the proxy\n{trace}", trace=trace_of(reason.value or Exception()))
        if not self.startedWriting and not self._disconnected:
            write_error(self, ApiError("The proxy failed on this request; its log says why.", code="proxy_error"))
        return reason


class ProxySite(Site):
    """Serves one resource tree.

    @ivar connections: those that are open.
    """

    protocol = ProxyChannel  # type: ignore[assignment]
    _log = Logger()

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
        self._log.info(
            "{port} {method} {path} {status} {length}",
            port=self.port,
            method=request.method.decode("latin-1"),
            path=request.shown_path() if isinstance(request, ProxyRequest) else "",
            status=request.code,
            length=request.sentLength,
        )
