"""The client's half of an exchange: what came in, and what goes upstream for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import IO

from oaiproxy.api.check import CHECKED_PATHS, check_body
from oaiproxy.api.errors import BadRequest
from oaiproxy.api.headers import for_upstream, for_upstream_bridge
from oaiproxy.api.request import ApiRequest, Body
from oaiproxy.api.secrets import is_secret_header
from oaiproxy.clients import DEFAULT, ClientProfile
from oaiproxy.relay import BytesBody, FileBody, RequestBody
from oaiproxy.transforms import TransformContext
from oaiproxy.web.context import PortContext
from oaiproxy.web.dialects import Call, CallContext, Dialect
from oaiproxy.web.paths import below_v1
from oaiproxy.web.site import ProxyRequest

Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes upstream.

    @ivar target: path and query below the upstream's base URL.
    @ivar headers: the header fields, Host included.
    @ivar body: the body, or None.
    @ivar call: the translation, or None where the answer is passed on as it is.
    @ivar warnings: what the client must be told.
    """

    method: bytes
    target: bytes
    headers: Pairs
    body: RequestBody | None
    call: Call | None = None
    warnings: tuple[str, ...] = ()


class Incoming:
    """A client's request, its body read.

    @ivar headers: the header fields as they came.
    """

    def __init__(self, port: PortContext, request: ProxyRequest) -> None:
        """
        @raise ApiError: its path is none that is passed on.
        """
        self._port = port
        self._request = request
        self._target = below_v1(request.uri)
        path, self._mark, self._query = self._target.partition(b"?")
        self._path = path.decode("latin-1").rstrip("/")
        self.method: bytes = request.method
        self.headers = [(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]

    def outgoing(self, dialect: Dialect | None) -> Outgoing:
        """What goes upstream.

        @param dialect: how it is said there; as it is where None.
        @raise ApiError: the request is refused, by us or by a transform.
        """
        if dialect is not None:
            return self._translated(dialect)
        headers = for_upstream(self.headers, host=self._port.upstream.host)
        if self.method == b"POST":
            if self._port.pipeline.for_request(self._port.kind, self._path):
                request = self._transformed()
                return Outgoing(
                    self.method, self._target, headers, BytesBody(request.body.raw), warnings=request.warnings
                )
            # a compressed body is for upstream to judge
            if self._path in CHECKED_PATHS and not self._request.getHeader(b"content-encoding"):
                raw = self.content()
                check_body(self._path, raw)
                return Outgoing(self.method, self._target, headers, BytesBody(raw))
        return Outgoing(self.method, self._target, headers, self._body_as_sent())

    @property
    def profile(self) -> ClientProfile:
        """How to speak to this client."""
        return DEFAULT

    def content(self) -> bytes:
        """The body's bytes."""
        if (data := self.in_memory()) is not None:
            return data
        return self._spooled().read()

    def in_memory(self) -> bytes | None:
        """The body's bytes, or None where it is so large that it was spooled to a file."""
        content = self._request.content
        return content.getvalue() if isinstance(content, BytesIO) else None

    def _body_as_sent(self) -> RequestBody | None:
        if (data := self.in_memory()) is not None:
            return BytesBody(data) if data else None
        return FileBody(self._spooled())

    def _spooled(self) -> IO[bytes]:
        file: IO[bytes] = self._request.content  # type: ignore[assignment]
        file.seek(0)
        return file

    def _transformed(self) -> ApiRequest:
        if encoding := self._request.getHeader(b"content-encoding"):
            raise BadRequest(
                f"The request body is compressed ({encoding.decode('latin-1')}), and this port has to read it: send it "
                "without Content-Encoding.",
                status=415,
                code="unsupported_content_encoding",
            )
        request = ApiRequest(
            port=self._port.kind,
            method=self.method.decode("latin-1"),
            path=self._path,
            headers=tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in self.headers
                if not is_secret_header(name)
            ),
            body=Body(self.content()),
        )
        return self._port.pipeline.run(request, TransformContext(self._port.settings, self._port.models))

    def _translated(self, dialect: Dialect) -> Outgoing:
        request = self._transformed()
        context = CallContext(
            settings=self._port.settings, models=self._port.models, profile=self.profile, now=int(time.time())
        )
        call = dialect(request, context)
        return Outgoing(
            method=b"POST",
            target=call.path + self._mark + self._query,
            headers=for_upstream_bridge(self.headers, host=self._port.upstream.host, stream=call.asks_stream),
            body=BytesBody(call.bodies[0]),
            call=call,
            warnings=request.warnings + call.warnings,
        )
