"""The client's half of an exchange: what came in, and what goes upstream for it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred

from oaiproxy.api.check import CHECKED_PATHS, check_body
from oaiproxy.api.errors import ApiError, BadRequest, NoWebSocket
from oaiproxy.api.headers import for_upstream, for_upstream_bridge, for_upstream_readable
from oaiproxy.api.loop import marked
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.api.secrets import is_secret_header, shown_fields
from oaiproxy.api.websocket import UPGRADE, can_switch, opens_websocket
from oaiproxy.clients import ClientProfile, ErrorAnswer, ErrorForm, error_message
from oaiproxy.relay import BytesBody, RequestBody, StreamedBody
from oaiproxy.web.context import MARK, PortContext
from oaiproxy.web.continuity import Turns
from oaiproxy.web.dialects import Call, CallContext
from oaiproxy.web.paths import below_v1
from oaiproxy.web.profiles import profile_of
from oaiproxy.web.site import ProxyRequest

Pairs = Sequence[tuple[bytes, bytes]]

#: A body of up to this size, in bytes, is collected although nobody reads it, so that it can be sent again.
SMALL = 1 << 18


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it goes upstream.

    @ivar target: path and query below the upstream's base URL.
    @ivar headers: the header fields, Host included.
    @ivar body: the body, or None.
    @ivar warnings: what the client must be told.
    @ivar switches: whether it is the handshake of a WebSocket, which may be answered with a 101.
    """

    method: bytes
    target: bytes
    headers: Pairs
    body: RequestBody | None
    warnings: tuple[str, ...] = ()
    switches: bool = False


class Incoming:
    """A client's request; its body is there when it was collected.

    @ivar headers: the header fields as they came.
    @ivar profile: how to speak to this client.
    """

    def __init__(self, port: PortContext, request: ProxyRequest, target: bytes | None = None) -> None:
        """
        @param port: where it came in.
        @param request: the request.
        @param target: path and query below ``/v1`` that it is for, where it was sent to another.
        @raise ApiError: its path is none that is passed on, it names a client profile that there is not, or it is the
            handshake of a WebSocket that is not relayed.
        """
        self._port = port
        self._request = request
        self._target = below_v1(request.uri) if target is None else target
        path, self._mark, self._query = self._target.partition(b"?")
        self._path = path.decode("latin-1").rstrip("/")
        self._keyed: Pairs | None = None
        self._named: str | None = None  # the model, before transforms, where somebody wants to know it
        self.method: bytes = request.method
        self._transformed = self.method == b"POST" and bool(port.pipeline.for_request(port.kind, self._path))
        self.headers = request.head.fields
        self._switches = opens_websocket(request.head)
        if self._switches:
            self._check_handshake()
        self.profile: ClientProfile = profile_of(port, request)
        if self.profile.errors is ErrorForm.MESSAGE and self._asks_for_chat():
            request.error_form = self._error_message

    def _check_handshake(self) -> None:
        """@raise NoWebSocket: it cannot be relayed, or what the port's operator asks for would not hold on it."""
        port = self._port
        if not can_switch(self._request.head):
            raise NoWebSocket(
                "This is the handshake of a WebSocket without its 'Connection: Upgrade' and 'Upgrade: websocket': a "
                "server in front of this proxy has to pass both on."
            )
        if port.rates is not None or port.pipeline.for_request(port.kind, self._path):
            raise NoWebSocket(
                "This proxy relays no WebSocket for this path: its limits or rules are for requests, and would not "
                "hold for what is said on one. What the Responses API streams over a WebSocket comes over HTTP as "
                "well: POST /v1/responses with 'stream': true."
            )

    def collect(self) -> Deferred[None] | None:
        """Let the body come where somebody has to read it, or where it is so small that it can be sent again; see
        `ClientBody.collect`."""
        return self._request.body.collect(self._port.settings.limits.json_body)

    @property
    def streams(self) -> bool:
        """Whether the body goes upstream as it comes where the request is passed on: nobody reads it, and it is
        large."""
        length = self._request.body.length
        return not self._is_read() and (length is None or length > SMALL)

    def _is_read(self) -> bool:
        if self._transformed or self.method != b"POST":
            return self._transformed
        # a compressed body is for upstream to judge
        return self._path in CHECKED_PATHS and not self._request.getHeader(b"content-encoding")

    def passed_on(self) -> Outgoing:
        """What goes upstream where the request is passed on as it is, but for what transforms make of it.

        @raise ApiError: the request is refused, by us or by a transform.
        """
        headers = for_upstream(self._sent, host=self._port.upstream.host)
        if self._switches:
            return Outgoing(self.method, self._target, [*headers, *UPGRADE], None, switches=True)
        if self._transformed:
            request = self.asked()
            # a body that a transform has changed is another one
            self.forget()
            check_body(self._path, request.body.raw)
            return Outgoing(self.method, self._target, headers, BytesBody(request.body.raw), warnings=request.warnings)
        if self._is_read():
            raw = self.content()
            check_body(self._path, raw)
            return Outgoing(self.method, self._target, headers, BytesBody(raw))
        return Outgoing(self.method, self._target, headers, self._body_as_sent())

    @property
    def _sent(self) -> Pairs:
        """The header fields with the key that goes upstream, and with our mark, before what goes on is picked out."""
        if self._keyed is None:
            self._keyed = marked(self._port.keys.for_upstream(self.headers), MARK)
        return self._keyed

    def _asks_for_chat(self) -> bool:
        return self._port.kind is PortKind.BRIDGE and self.method == b"POST" and self._path == "/chat/completions"

    def _error_message(self, error: ApiError) -> ErrorAnswer:
        """An error for a client that shows only what the assistant says."""
        try:
            request = Body(self.content()).json()
        except BadRequest:
            request = {}
        return error_message(error, request, int(time.time()))

    def content(self) -> bytes:
        """The body's bytes; none where it was not collected."""
        return self._request.body.data or b""

    def forget(self) -> None:
        """Let go of the body, but where an error would be told in its terms: an answer may take long, and many
        clients say all of a conversation each time."""
        if self._request.error_form is None:
            self._request.body.forget()

    def in_memory(self) -> bytes | None:
        """The body's bytes, or None where it was not collected."""
        return self._request.body.data

    def _body_as_sent(self) -> RequestBody | None:
        body = self._request.body
        if body.data is not None:
            return BytesBody(body.data) if body.data else None
        body.check(self._port.settings.limits.upload)
        body.limit(self._port.settings.limits.upload)
        return StreamedBody(body)

    def said(self) -> Body:
        """The body in the client's dialect.

        @raise BadRequest: it cannot be read.
        """
        return Body(self.content())

    def asked(self, *, reworded: bool = False) -> ApiRequest:
        """The request in the client's dialect, after the transforms.

        @param reworded: whether it goes upstream in another dialect, so that its bytes are not needed any more.
        @raise ApiError: it is refused, by us or by a transform.
        """
        if encoding := self._request.getHeader(b"content-encoding"):
            raise BadRequest(
                f"The request body is compressed ({encoding.decode('latin-1')}), and this port has to read it: send it "
                "without Content-Encoding.",
                status=415,
                code="unsupported_content_encoding",
            )
        body = self.said()
        if reworded:
            body.keep_decoded()
            self.forget()
        request = ApiRequest(
            port=self._port.kind,
            method=self.method.decode("latin-1"),
            path=self._path,
            headers=shown_fields(self.headers),
            body=body,
        )
        if self._port.settings.think.on:
            self._named = request.model
        return self._port.pipeline.run(request, self._port.known)

    def context(self, turns: Turns | None = None) -> CallContext:
        """What a dialect may know of this request.

        @param turns: the kept turns of the conversation.
        """
        return CallContext(
            settings=self._port.settings,
            models=self._port.models,
            profile=self.profile,
            now=int(time.time()),
            named=self._named,
            turns=turns,
        )

    @property
    def account(self) -> bytes:
        """Stands for the credentials that go upstream where something depends on whose they are, the same in every
        process; it is for nobody's eyes, as short keys could be guessed by it."""
        digest = hashlib.blake2b(person=b"oaiproxy account", digest_size=16)
        for name, value in self._sent:
            if is_secret_header(name):
                digest.update(b"%b\n%b\n" % (name.lower(), value))
        return digest.digest()

    @property
    def tenant(self) -> bytes:
        """Stands for whose conversations the request is of; see `Keys.tenant`."""
        return self._port.keys.tenant(self._request)

    @property
    def own_account(self) -> bool:
        """Whether the client's own credentials go upstream."""
        return not self._port.keys.replaced

    def outgoing(self, call: Call, body: bytes) -> Outgoing:
        """One of a call's requests."""
        return Outgoing(
            method=b"POST",
            target=call.path + self._mark + self._query,
            headers=for_upstream_readable(self._sent, host=self._port.upstream.host)
            if call.as_is
            else for_upstream_bridge(self._sent, host=self._port.upstream.host, stream=call.asks_stream),
            body=BytesBody(body),
        )
