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
from oaiproxy.clients import ErrorAnswer
from oaiproxy.web.draining import Connections, DrainingChannel
from oaiproxy.web.respond import write_error


class ProxyRequest(Request):
    """A client's request.

    @ivar error_form: makes the answer of an error for this client; None for the API's error object.
    @ivar finish_head: sees the header fields of the answer last, whatever it will be, and may change them; or None.
    """

    defaultContentType = None
    error_form: Callable[[ApiError], ErrorAnswer] | None = None
    finish_head: Callable[[Headers], None] | None = None

    def render(self, resrc: IResource) -> None:
        """Let a resource answer; an `ApiError` that it raises is the answer."""
        # twisted.web's banner; an upstream's own Server header is passed on
        self.responseHeaders.removeHeader(b"server")
        try:
            super().render(resrc)
        except ApiError as e:
            write_error(self, e)

    def processingFailed(self, reason: Failure) -> Failure:
        self._log.failure("a request failed inside the proxy", failure=reason)
        if not self.startedWriting and not self._disconnected:
            write_error(self, ApiError("The proxy failed on this request; its log says why.", code="proxy_error"))
        return reason


class ProxySite(Site):
    """Serves one resource tree.

    @ivar connections: those that are open.
    """

    protocol = DrainingChannel  # type: ignore[assignment]
    _log = Logger()

    def __init__(self, resource: IResource, port: str, **kwargs: Any) -> None:
        """
        @param resource: the root.
        @param port: what the access log calls this port.
        """
        # bodies belong to whoever reads them: twisted.web would parse forms and uploads
        super().__init__(resource, requestFactory=ProxyRequest, parsePOSTFormSubmission=False, **kwargs)
        self.port = port
        self.connections = Connections(self.reactor)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        channel: Any = super().buildProtocol(addr)
        channel.connections = self.connections
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """What a TLS client is offered (ALPN): the one protocol that is spoken here, whatever is installed."""
        return [b"http/1.1"]

    def log(self, request: HTTPRequest) -> None:
        """The access log: one line a request, without the query, which may hold a key."""
        self._log.info(
            "{port} {method} {path} {status} {length}",
            port=self.port,
            method=request.method.decode("latin-1"),
            path=request.uri.partition(b"?")[0].decode("latin-1"),
            status=request.code,
            length=request.sentLength,
        )
