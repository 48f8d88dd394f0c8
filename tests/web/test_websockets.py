"""WebSockets, which are not relayed: clients that can do without are told so at once."""

from __future__ import annotations

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.settings import Access, AuthMode, Settings
from tests.web.asking import AskingTestCase

HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


class WebSocketTests(AskingTestCase):
    async def test_a_handshake_is_a_426_that_says_what_to_do_and_never_reaches_the_upstream(self) -> None:
        upstream = self.upstream()
        for kind in PortKind:
            port = self.proxy(kind)
            for path in ("/v1/responses", "/v1/realtime?model=gpt-realtime", "/v1/chat/completions", "/nowhere"):
                answer = await self.asks(port, f"GET {path}", *HANDSHAKE)
                self.assertEqual((answer.status, answer.error["code"]), (426, "websocket_unsupported"), path)
                self.assertEqual(answer.error["type"], "invalid_request_error")
                self.assertIn("POST /v1/responses with 'stream': true", answer.error["message"])
        self.assertEqual(upstream.requests, [])

    async def test_it_names_what_is_spoken_instead(self) -> None:
        # RFC 9110 section 15.5.22
        answer = await self.asks(self.proxy(upstream_port=1), "GET /v1/responses", *HANDSHAKE)
        self.assertEqual(answer.fields["upgrade"], "HTTP/1.1")
        self.assertIn("Upgrade", answer.fields["connection"].split(", "))

    async def test_the_connection_serves_the_request_over_http_that_follows(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy())
        client.send("\r\n".join(["GET /v1/responses HTTP/1.1", "Host: p", *HANDSHAKE]).encode() + b"\r\n\r\n")
        await client.until(b"websocket_unsupported")
        client.get("/v1/files")
        await client.until(b"HTTP/1.1 200 OK")
        self.assertEqual([request.line for request in upstream.requests], ["GET /v1/files HTTP/1.1"])

    async def test_an_offer_of_another_protocol_is_not_taken_up_and_the_request_served(self) -> None:
        # RFC 9110 section 7.8: a server may leave an Upgrade aside; IDEs of JetBrains offer h2c
        upstream = self.upstream()
        offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
        for kind in PortKind:
            answer = await self.asks(self.proxy(kind), "GET /v1/files", *offer)
            self.assertEqual(answer.status, 200)
            self.assertIsNone(upstream.requests[-1].field("upgrade"))

    async def test_who_shows_no_key_hears_of_that_first(self) -> None:
        key = "team-key-1234567890"
        access = Access(AuthMode.REPLACE, proxy_keys=(Secret(key),), upstream_key=Secret("sk-ours-1234567890"))
        port = self.proxy(settings=Settings(access=access), upstream_port=1)
        self.assertEqual((await self.asks(port, "GET /v1/responses", *HANDSHAKE)).status, 401)
        shown = await self.asks(port, "GET /v1/responses", *HANDSHAKE, f"Authorization: Bearer {key}")
        self.assertEqual(shown.status, 426)
