"""Handshakes of WebSockets: which requests are some, which can be answered, and the keys that stand in them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.heads import read_head
from oaiproxy.api.websocket import can_switch, offered_keys, opens_websocket, without_account

GET = b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\n"

#: What a GET says further, whether it is the handshake of a WebSocket, and whether it can be answered.
HANDSHAKES: list[tuple[bytes, bool, bool]] = [
    (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a2V5", True, True),
    (b"connection: keep-alive, upgrade\r\nupgrade: WebSocket", True, True),
    (b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket", True, True),
    # behind a server that takes away what is for each connection anew
    (b"Sec-WebSocket-Key: a2V5\r\nConnection: close", True, False),
    (b"Upgrade: websocket", True, False),
    (b"Connection: Upgrade\r\nSec-WebSocket-Key: a2V5", True, False),
    (b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1", True, False),
    (b"Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", True, False),
    (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", False, False),
    (b"Connection: Upgrade\r\nUpgrade: websockets", False, False),
    (b"Connection: Upgrade\r\nX-Upgrade: websocket", False, False),
]

OFFER = b"realtime, openai-insecure-api-key.sk-1234, openai-beta.realtime-v1,OpenAI-Insecure-API-Key.sk-5678"


class HandshakeTests(SynchronousTestCase):
    def test_it_is_known_by_its_upgrade_or_its_key(self) -> None:
        for lines, opens, _ in HANDSHAKES:
            self.assertEqual(opens_websocket(read_head(GET + lines)), opens, lines)

    def test_only_one_that_asks_this_very_connection_can_be_answered(self) -> None:
        for lines, _, whole in HANDSHAKES:
            self.assertEqual(can_switch(read_head(GET + lines)), whole, lines)

    def test_it_is_a_get_of_http_1_1(self) -> None:
        lines = HANDSHAKES[0][0]
        self.assertFalse(opens_websocket(read_head(b"POST /v1/responses HTTP/1.1\r\nHost: a\r\n" + lines)))
        self.assertFalse(can_switch(read_head(b"GET /v1/responses HTTP/1.0\r\nHost: a\r\n" + lines)))


class KeyTests(SynchronousTestCase):
    def test_the_keys_among_the_protocols(self) -> None:
        self.assertEqual(offered_keys(OFFER), [b"sk-1234", b"sk-5678"])
        self.assertEqual(offered_keys(b"realtime"), [])

    def test_fields_without_keys_and_what_belongs_to_them(self) -> None:
        offer = OFFER + b", openai-organization.org-1, openai-project.proj-1"
        self.assertEqual(
            without_account([(b"Host", b"a"), (b"sec-websocket-PROTOCOL", offer), (b"X", b"1, 2")]),
            [(b"Host", b"a"), (b"sec-websocket-PROTOCOL", b"realtime, openai-beta.realtime-v1"), (b"X", b"1, 2")],
        )

    def test_an_offer_of_nothing_else_is_left_out(self) -> None:
        fields = [(b"Sec-WebSocket-Protocol", b"openai-insecure-api-key.sk-1"), (b"Host", b"a")]
        self.assertEqual(without_account(fields), [(b"Host", b"a")])
