"""WebSockets: the handshake is passed on, and then what either side says, until one of them ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.error import ConnectionDone

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.relay.connections import _PARTING
from oaiproxy.settings import Access, AuthMode, Rates, Settings, Timeouts
from oaiproxy.web.exchanges import Exchanges, ShuttingDown
from tests.support import (
    ClockedReactor,
    RawClient,
    Received,
    ScriptedUpstream,
    UpstreamConnection,
    http_answer,
)
from tests.test_transforms import Mark
from tests.web.asking import AskingTestCase

HANDSHAKE = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
#: What is no frame, no text, and no line: nobody on the way has to understand it.
ODD = b"\x00\r\n\r\n\xff0\r\n\r\nGET / HTTP/1.1\r\n\r\n"


class Switched:
    """An upstream's end of a WebSocket.

    @ivar heard: all that the client said.
    """

    def __init__(self, connection: UpstreamConnection) -> None:
        self.connection = connection
        self.heard = bytearray()
        connection.dataReceived = self.heard.extend  # type: ignore[method-assign]


class WebSocketTestCase(AskingTestCase):
    def switching(self, behind: bytes = b"") -> ScriptedUpstream:
        """An upstream that takes every handshake, and says `behind` together with the head."""
        upstream = self.upstream()
        self.switched: list[Switched] = []

        def switch(connection: UpstreamConnection, request: Received) -> None:
            self.switched.append(Switched(connection))
            connection.write(SWITCH + behind)

        upstream.script = switch
        return upstream

    async def opened(self, port: int, path: str = "/v1/realtime?model=m", *fields: str) -> tuple[RawClient, Switched]:
        """A WebSocket: the client's end and the upstream's."""
        client = await self.client(port)
        client.get(path, *HANDSHAKE, *fields)
        await client.until(b"\r\n\r\n")
        await self.until(lambda: self.switched)
        return client, self.switched[-1]

    def said(self, client: RawClient) -> bytes:
        """What the client got behind the head."""
        return client.received.partition(b"\r\n\r\n")[2]


class RelayTests(WebSocketTestCase):
    async def test_the_handshake_reaches_the_upstream_with_what_is_for_each_connection_said_anew(self) -> None:
        upstream = self.switching()
        for kind in PortKind:
            await self.opened(
                self.proxy(kind), "/v1/responses?a=1", "Authorization: Bearer sk-client", "Origin: http://x"
            )
            request = upstream.requests[-1]
            self.assertEqual(request.line, "GET /v1/responses?a=1 HTTP/1.1")
            self.assertEqual((request.field("connection"), request.field("upgrade")), ("Upgrade", "websocket"))
            for name, value in (
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-version", "13"),
                ("authorization", "Bearer sk-client"),
                ("origin", "http://x"),
            ):
                self.assertEqual(request.field(name), value)

    async def test_the_client_gets_the_101_and_nothing_that_tells_of_a_body(self) -> None:
        self.switching()
        # that the connection serves no other request goes without saying
        client, _ = await self.opened(self.proxy(), "/v1/realtime", "Connection: close")
        head = client.received.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        self.assertEqual(head[0], b"http/1.1 101 switching protocols")
        fields = [line for line in head[1:] if not line.startswith(b"date:")]
        self.assertEqual(
            sorted(fields),
            [b"connection: upgrade", b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=", b"upgrade: websocket"],
        )

    async def test_what_either_says_reaches_the_other_byte_for_byte(self) -> None:
        self.switching()
        for kind in PortKind:
            client, upstream = await self.opened(self.proxy(kind))
            there, back = ODD + os.urandom(300_000), ODD + os.urandom(400_000)
            client.send(there)
            upstream.connection.write(back)
            await self.until(lambda upstream=upstream, there=there: len(upstream.heard) == len(there))
            await client.until(lambda data, back=back: data.endswith(back[-100:]))
            self.assertEqual((bytes(upstream.heard), self.said(client)), (there, back))

    async def test_so_does_what_comes_with_the_head_of_either(self) -> None:
        self.switching(behind=ODD)
        client = await self.client(self.proxy())
        client.send("\r\n".join(["GET /v1/realtime HTTP/1.1", "Host: p", *HANDSHAKE]).encode() + b"\r\n\r\n" + ODD)
        await client.until(ODD)
        await self.until(lambda: self.switched and self.switched[0].heard == ODD)
        self.assertEqual(self.said(client), ODD)

    async def test_silence_ends_nothing(self) -> None:
        # the user thinks
        clock = ClockedReactor()
        self.switching()
        port = self.proxy(settings=Settings(timeouts=Timeouts(first_byte=5, idle=5)), clock=clock)
        client, upstream = await self.opened(port)
        client.send(b"a")
        await self.until(lambda: upstream.heard == b"a")
        clock.advance(100_000)
        upstream.connection.write(b"b")
        await client.until(lambda data: data.endswith(b"\r\n\r\nb"))

    async def test_an_upstream_that_says_nothing_to_a_handshake_is_a_504(self) -> None:
        clock = ClockedReactor()
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        port = self.proxy(settings=Settings(timeouts=Timeouts(first_byte=5)), clock=clock)
        client = await self.client(port)
        client.get("/v1/realtime", *HANDSHAKE)
        await self.until(lambda: upstream.requests)
        clock.advance(5)
        self.assertIn(b"upstream_timeout", await client.until(b'"}}'))

    async def test_an_upstream_that_takes_no_websocket_answers_as_it_is_and_the_connection_goes_on(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"no", "404 Not Found"), http_answer(b"yes"))
        client = await self.client(self.proxy())
        client.get("/v1/realtime", *HANDSHAKE)
        self.assertIn(b"HTTP/1.1 404 Not Found", await client.until(b"\r\n\r\nno"))
        client.get("/v1/files")
        await client.until(b"\r\n\r\nyes")
        self.assertEqual(len(upstream.connections), 1)
        self.assertIsNone(upstream.requests[1].field("upgrade"))

    async def test_a_101_that_nobody_asked_for_is_a_502(self) -> None:
        self.switching()
        for answer in (
            await self.asks(self.proxy(), "GET /v1/files"),
            await self.asks(self.proxy(), "POST /v1/responses", *HANDSHAKE, body=b"{}"),
        ):
            self.assertEqual((answer.status, answer.error["code"]), (502, "upstream_invalid_response"))

    async def test_an_offer_of_another_protocol_is_not_taken_up_and_the_request_served(self) -> None:
        # RFC 9110 section 7.8: a server may leave an Upgrade aside; IDEs of JetBrains offer h2c
        upstream = self.upstream()
        offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
        for kind in PortKind:
            self.assertEqual((await self.asks(self.proxy(kind), "GET /v1/files", *offer)).status, 200)
            self.assertIsNone(upstream.requests[-1].field("upgrade"))


class EndTests(WebSocketTestCase):
    async def test_when_the_upstream_closes_the_client_gets_all_and_the_end(self) -> None:
        self.switching()
        client, upstream = await self.opened(self.proxy())
        last = os.urandom(500_000)
        upstream.connection.write(last)
        upstream.connection.close()
        reason = await client.closed
        self.assertIsInstance(reason, ConnectionDone)
        self.assertEqual(self.said(client), last)

    async def test_when_the_client_closes_the_upstream_gets_what_was_taken_and_the_end(self) -> None:
        census: list[Exchanges] = []
        self.switching()
        client, upstream = await self.opened(self.proxy(census=census))
        client.send(b"the last words")
        client.transport.loseConnection()
        self.assertIsInstance(await upstream.connection.lost, ConnectionDone)
        self.assertEqual(upstream.heard, b"the last words")
        self.assertEqual([len(exchanges) for exchanges in census], [0])

    async def test_an_upstream_that_takes_nothing_more_is_left_after_some_seconds(self) -> None:
        clock = ClockedReactor()
        self.switching()
        client, upstream = await self.opened(self.proxy(clock=clock))
        upstream.connection.transport.pauseProducing()
        client.send(bytes(8_000_000))
        await self.until(lambda: any(not channel.reading for channel in self.site.connections))
        client.transport.abortConnection()
        await self.until(lambda: clock.waits() == [_PARTING])
        clock.advance(_PARTING)
        upstream.connection.transport.resumeProducing()
        self.assertNotIsInstance(await upstream.connection.lost, ConnectionDone)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_a_reset_of_either_is_the_end_for_the_other(self) -> None:
        self.switching()
        ways: tuple[Callable[[RawClient, Switched], Any], ...] = (
            lambda client, upstream: client.transport.abortConnection(),
            lambda client, upstream: upstream.connection.reset(),
        )
        for way in ways:
            client, upstream = await self.opened(self.proxy())
            way(client, upstream)
            await client.closed
            await upstream.connection.lost
            await self.until(lambda: not len(self.site.connections))
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_its_connection_serves_nothing_else(self) -> None:
        scripted = self.switching()
        port = self.proxy()
        client, upstream = await self.opened(port)
        upstream.connection.close()
        await client.closed
        scripted.answers(http_answer(b"{}"))
        self.assertEqual((await self.asks(port, "GET /v1/files")).status, 200)
        self.assertEqual(len(scripted.connections), 2)

    async def test_an_exchange_that_is_ended_closes_both_sides_behind_what_was_said(self) -> None:
        census: list[Exchanges] = []
        self.switching()
        client, upstream = await self.opened(self.proxy(census=census))
        self.assertEqual([len(exchanges) for exchanges in census], [1], "it counts as long as it is open")
        upstream.connection.write(b"said")
        await client.until(b"said")
        for exchange in list(census[0]._running):
            exchange.end(ShuttingDown())
        self.assertIsInstance(await client.closed, ConnectionDone)
        self.assertIsInstance(await upstream.connection.lost, ConnectionDone)
        self.assertEqual(self.said(client), b"said")


class FlowTests(WebSocketTestCase):
    async def test_a_client_that_does_not_read_holds_the_upstream_back(self) -> None:
        self.switching()
        client, upstream = await self.opened(self.proxy())
        client.transport.pauseProducing()
        size = 40_000_000
        upstream.connection.write(bytes(size))
        await self.turns(200)
        sent = size - len(upstream.connection.transport.dataBuffer) - upstream.connection.transport._tempDataLen
        self.assertLess(sent, size // 2)
        client.transport.resumeProducing()
        await client.until(lambda data: len(data) > size)
        self.assertEqual(len(self.said(client)), size)

    async def test_an_upstream_that_does_not_read_holds_the_client_back(self) -> None:
        self.switching()
        client, upstream = await self.opened(self.proxy())
        upstream.connection.transport.pauseProducing()
        size = 40_000_000
        client.send(bytes(size))
        await self.until(lambda: any(not channel.reading for channel in self.site.connections))
        upstream.connection.transport.resumeProducing()
        await self.until(lambda: len(upstream.heard) == size)

    async def test_a_client_that_leaves_while_it_is_held_back_is_noticed(self) -> None:
        self.switching()
        client, upstream = await self.opened(self.proxy())
        upstream.connection.transport.pauseProducing()
        client.send(bytes(20_000_000))
        await self.until(lambda: any(not channel.reading for channel in self.site.connections))
        client.transport.abortConnection()
        await self.until(lambda: not len(self.site.connections))


class RefusedTests(WebSocketTestCase):
    """Where a WebSocket is not relayed clients that can do without are told so at once."""

    async def refused(self, port: int, line: str, words: str, *fields: str) -> None:
        answer = await self.asks(port, line, *(fields or HANDSHAKE))
        self.assertEqual((answer.status, answer.error["code"]), (426, "websocket_unsupported"), line)
        self.assertEqual(answer.error["type"], "invalid_request_error")
        self.assertIn(words, answer.error["message"])
        # RFC 9110 section 15.5.22
        self.assertEqual(answer.fields["upgrade"], "HTTP/1.1")
        self.assertIn("Upgrade", answer.fields["connection"].split(", "))
        self.assertEqual(self.scripted.requests, [], "nothing of it may reach the upstream")

    async def test_what_a_server_in_front_took_the_upgrade_from(self) -> None:
        self.scripted = self.switching()
        for kind in PortKind:
            for fields in (HANDSHAKE[2:], HANDSHAKE[1:], (HANDSHAKE[0], *HANDSHAKE[2:])):
                await self.refused(self.proxy(kind), "GET /v1/responses", "a server in front", *fields)

    async def test_where_requests_or_tokens_are_limited(self) -> None:
        self.scripted = self.switching()
        for rates in (Rates(requests=10), Rates(tokens=1000)):
            port = self.proxy(settings=Settings(rates=rates))
            await self.refused(port, "GET /v1/responses", "POST /v1/responses with 'stream': true")

    async def test_where_rules_or_transforms_have_to_see_what_is_asked_for(self) -> None:
        self.scripted = self.switching()
        port = self.proxy(transforms=[Mark("mark", paths=frozenset({"/responses"}))])
        await self.refused(port, "GET /v1/responses", "POST /v1/responses with 'stream': true")
        await self.opened(port, "/v1/realtime")

    async def test_the_connection_serves_the_request_over_http_that_follows(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy())
        client.get("/v1/responses", *HANDSHAKE[2:])
        await client.until(b"websocket_unsupported")
        client.get("/v1/files")
        await client.until(b"HTTP/1.1 200 OK")
        self.assertEqual([request.line for request in upstream.requests], ["GET /v1/files HTTP/1.1"])

    async def test_a_path_outside_v1_is_a_404(self) -> None:
        answer = await self.asks(self.proxy(upstream_port=1), "GET /realtime", *HANDSHAKE)
        self.assertEqual((answer.status, answer.error["code"]), (404, "unknown_path"))


class KeyTests(WebSocketTestCase):
    """Pages in a browser can show a key only among the protocols that they offer."""

    OURS, THEIRS = "sk-ours-1234567890", "team-key-1234567890"
    LENT = Access(AuthMode.REPLACE, upstream_key=Secret(OURS))
    KEYED = replace(LENT, proxy_keys=(Secret(THEIRS),))

    def offer(self, key: str) -> str:
        return f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{key}"

    async def test_by_default_it_goes_upstream_as_it_is(self) -> None:
        upstream = self.switching()
        await self.opened(self.proxy(), "/v1/realtime", self.offer("sk-client"))
        self.assertEqual(
            upstream.requests[0].field("sec-websocket-protocol"), "realtime, openai-insecure-api-key.sk-client"
        )

    async def test_a_key_of_the_proxys_lets_in_and_is_replaced(self) -> None:
        upstream = self.switching()
        await self.opened(self.proxy(settings=Settings(access=self.KEYED)), "/v1/realtime", self.offer(self.THEIRS))
        request = upstream.requests[0]
        self.assertEqual(request.field("authorization"), f"Bearer {self.OURS}")
        self.assertEqual(request.field("sec-websocket-protocol"), "realtime")
        self.assertNotIn(self.THEIRS, str(request.fields))

    async def test_who_shows_none_is_not_let_in(self) -> None:
        upstream = self.switching()
        port = self.proxy(settings=Settings(access=self.KEYED))
        for fields in ((), (self.offer("sk-another"),), ("Sec-WebSocket-Protocol: realtime",)):
            answer = await self.asks(port, "GET /v1/realtime", *HANDSHAKE, *fields)
            self.assertEqual(answer.status, 401)
        self.assertEqual(upstream.requests, [])

    async def test_a_page_of_elsewhere_does_not_get_the_key_that_is_lent_to_programs(self) -> None:
        upstream = self.switching()
        port = self.proxy(settings=Settings(access=self.LENT))
        answer = await self.asks(port, "GET /v1/realtime", *HANDSHAKE, "Origin: https://evil.example")
        self.assertEqual((answer.status, answer.error["code"]), (403, "origin_not_allowed"))
        self.assertEqual(upstream.requests, [])


class LogTests(WebSocketTestCase):
    async def test_the_traffic_log_has_the_handshake_without_keys_and_nothing_of_what_is_said(self) -> None:
        records: list[str] = []

        class Observer:
            def observe(self, record: dict[str, Any]) -> None:
                records.append(str(record))

        self.switching(behind=b"said")
        key = "not-like-other-keys-1234"
        offer = f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{key}"
        client, upstream = await self.opened(self.proxy(observers=[Observer()]), "/v1/realtime", offer)
        client.send(b"asked")
        await self.until(lambda: upstream.heard == b"asked")
        client.transport.loseConnection()
        await upstream.connection.lost
        told = "".join(records)
        self.assertIn("101", told)
        for hidden in (key, "said", "asked"):
            self.assertNotIn(hidden, told)
