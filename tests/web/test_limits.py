"""What a client may ask of a port, and what it is told where that was too much."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from oaiproxy.api.heads import FIELD_LIMIT, LINE_LIMIT, SECTION_LIMIT
from oaiproxy.api.request import PortKind
from oaiproxy.settings import Limits, Settings
from oaiproxy.web.incoming import SMALL
from tests.support import ClockedReactor, RawClient, SocketTestCase, http_answer, http_stream

HEAD = b"GET /v1/models HTTP/1.1\r\nHost: proxy\r\n"
CHAT = b'{"model": "m", "messages": []}'


class LimitTestCase(SocketTestCase):
    upstream_port = 1  # which nobody listens on

    def clocked(self, settings: Settings | None = None) -> int:
        """A proxy port whose time passes when the test says so."""
        self.clock = ClockedReactor()
        return self.proxy(settings=settings, clock=self.clock)

    async def refused(self, client: RawClient, status: int, code: str) -> dict[str, Any]:
        """What a client was told whose connection is closed then."""
        await client.closed
        head, _, body = client.received.partition(b"\r\n\r\n")
        self.assertEqual(int(head.split()[1]), status, client.received)
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        self.assertEqual((fields[b"Connection"], fields[b"Content-Length"]), (b"close", b"%d" % len(body)))
        error: dict[str, Any] = json.loads(body)["error"]
        self.assertEqual((error["code"], error["type"]), (code, "invalid_request_error"))
        self.assertNotIn(b"Twisted", head)
        await self.until(lambda: not len(self.site.connections))
        return error


class HeadTests(LimitTestCase):
    async def test_too_much_of_a_head(self) -> None:
        cases = [
            (b"GET /" + b"a" * LINE_LIMIT, 414, "request_line_too_long"),
            (HEAD + b"X: " + b"a" * SECTION_LIMIT, 431, "headers_too_large"),
            (HEAD + b"X: 1\r\n" * FIELD_LIMIT + b"\r\n", 431, "headers_too_large"),
        ]
        for data, status, code in cases:
            client = await self.client(self.proxy())
            client.send(data)
            await self.refused(client, status, code)

    async def test_as_much_as_that_is_taken(self) -> None:
        client = await self.client(self.proxy())
        client.send(HEAD + b"X: %b\r\n" % (b"a" * 300) * (FIELD_LIMIT - 1) + b"\r\n")
        received = await client.until(b'"object":"list"')
        self.assertTrue(received.startswith(b"HTTP/1.1 200 OK\r\n"))

    async def test_what_is_no_http(self) -> None:
        for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET /\r\n\r\n"):
            client = await self.client(self.proxy())
            client.send(data)
            await self.refused(client, 400, "invalid_http_request")

    async def test_a_refusal_comes_after_the_answers_before_it(self) -> None:
        client = await self.client(self.proxy())
        client.send(HEAD + b"\r\n" + HEAD + b"Bad Name: x\r\n\r\n" + HEAD + b"\r\n")
        await client.closed
        received = client.received
        self.assertEqual(received.count(b"HTTP/1.1 "), 2)
        self.assertLess(received.index(b"HTTP/1.1 200 OK"), received.index(b"HTTP/1.1 400 Bad Request"))


class SlowTests(LimitTestCase):
    async def test_a_head_that_trickles_ends_with_its_deadline(self) -> None:
        client = await self.client(self.clocked())
        client.send(HEAD)
        for second in range(1, 10):
            client.send(b"X-%d: 1\r\n" % second)
            (channel,) = await self.connected()
            await self.until(lambda channel=channel, second=second: b"X-%d" % second in channel._rest)
            self.clock.advance(1)
            self.assertFalse(client.received)
        self.clock.advance(1)
        await self.refused(client, 408, "request_timeout")

    async def connected(self) -> list[Any]:
        await self.until(lambda: len(self.site.connections))
        return list(self.site.connections)

    async def test_the_second_head_has_a_deadline_too(self) -> None:
        client = await self.client(self.clocked())
        client.send(HEAD + b"\r\nG")
        await client.until(b'"object":"list"')
        self.clock.advance(10)
        await client.closed
        self.assertIn(b"HTTP/1.1 408 Request Timeout\r\n", client.received)

    async def test_a_body_that_stands_still(self) -> None:
        self.upstream()
        for path in ("/v1/chat/completions", "/v1/files"):
            client = await self.client(self.clocked())
            client.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{" % path.encode())
            (channel,) = await self.connected()
            await self.until(lambda channel=channel: channel.requests)
            self.clock.advance(30)
            await self.refused(client, 408, "request_timeout")

    async def test_a_body_that_trickles(self) -> None:
        self.upstream()
        client = await self.client(self.clocked(Settings(limits=Limits(body_seconds=10))))
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        (channel,) = await self.connected()
        await self.until(lambda: channel.requests)
        for step in range(1, 30):
            # 200 bytes a second are no trickle, 20 are
            size = 200 if step <= 20 else 20
            before = channel._moved
            client.send(b"a" * size)
            await self.until(lambda before=before, size=size: channel._moved >= before + size)
            self.clock.advance(1)
            self.assertFalse(client.received, step)
        client.send(b"a" * 20)
        self.clock.advance(1)
        await self.refused(client, 408, "request_timeout")

    async def test_an_idle_connection_is_closed_without_a_word(self) -> None:
        client = await self.client(self.clocked())
        await self.connected()
        self.clock.advance(75)
        await client.closed
        self.assertEqual(client.received, b"")

    async def test_one_is_idle_from_its_last_answer_on(self) -> None:
        port = self.clocked()
        client = await self.client(port)
        await self.connected()
        self.clock.advance(70)
        client.send(HEAD + b"\r\n")
        await client.until(b'"object":"list"')
        self.clock.advance(74)
        await self.turns(5)
        self.assertFalse(client.closed.called)
        self.clock.advance(1)
        await client.closed

    async def test_an_answer_may_take_its_time(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        client = await self.client(self.clocked())
        client.post("/v1/chat/completions", CHAT)
        await self.until(lambda: upstream.requests)
        self.clock.advance(300)
        upstream.connections[0].write(http_answer(b"{}"))
        received = await client.until(b"{}")
        self.assertTrue(received.startswith(b"HTTP/1.1 200 OK\r\n"))


class BodyTests(LimitTestCase):
    SMALL_JSON = Settings(limits=Limits(json_body=100))

    async def test_a_json_body_that_says_that_it_is_too_large(self) -> None:
        upstream = self.upstream()
        for kind in PortKind:
            client = await self.client(self.proxy(kind, self.SMALL_JSON))
            client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
            error = await self.refused(client, 413, "request_too_large")
            self.assertIn("100 bytes", error["message"])
        self.assertEqual(upstream.connections, [])

    async def test_one_that_turns_out_to_be(self) -> None:
        upstream = self.upstream()
        for kind in PortKind:
            client = await self.client(self.proxy(kind, self.SMALL_JSON))
            client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"64\r\n%b\r\n" % (b" " * 100))
            await self.turns(5)
            self.assertFalse(client.received)
            client.send(b"1\r\n{\r\n")
            await self.refused(client, 413, "request_too_large")
        self.assertEqual(upstream.connections, [])

    async def test_one_in_chunks_that_is_not(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy(settings=self.SMALL_JSON))
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"".join(b"1\r\n%c\r\n" % byte for byte in CHAT) + b"0\r\n\r\n")
        await client.until(b"{}")
        self.assertEqual(upstream.requests[0].body, CHAT)

    async def test_uploads_are_not_limited_by_it(self) -> None:
        upstream = self.upstream()
        port = self.proxy(settings=self.SMALL_JSON)
        status, _, _ = await self.ask(port, "POST", "/v1/files", b"a" * (SMALL + 1))
        self.assertEqual(status, 200)
        self.assertEqual(len(upstream.requests[0].body), SMALL + 1)

    async def test_a_small_body_that_nobody_takes_leaves_the_connection_open(self) -> None:
        client = await self.client(self.proxy())
        for _ in range(3):
            client.send(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await self.turns(3)
            client.send(b"hello")
        client.send(HEAD + b"\r\n")
        received = await client.until(b'"object":"list"')
        self.assertEqual(received.count(b"HTTP/1.1 404 Not Found\r\n"), 3)
        self.assertNotIn(b"Connection: close", received)

    async def test_a_damaged_body_that_has_to_be_read(self) -> None:
        self.upstream()
        client = await self.client(self.proxy())
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"zz\r\n")
        await self.refused(client, 400, "invalid_http_body")

    async def test_pipelined_requests_are_answered_one_after_another(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: connection.write(http_stream(request.line.split()[1].encode()))
        client = await self.client(self.proxy())
        paths = [f"/v1/files/{n}" for n in range(20)]
        for path in paths:
            client.get(path)
        client.post("/v1/embeddings", b"{}")
        await client.until(b"/v1/embeddings")
        self.assertEqual([r.line.split()[1] for r in upstream.requests], [*paths, "/v1/embeddings"])


class DepthTests(LimitTestCase):
    """A nested bomb is an answer, not a crash."""

    async def test_json_of_any_depth(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"{}", "200 OK", "Content-Type: application/json"))
        for kind in PortKind:
            port = self.proxy(kind)
            for path in ("/v1/chat/completions", "/v1/responses", "/v1/completions"):
                for depth in (50, 150, 300, 500, 900, 1100, 5000, 100_000):
                    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
                        bomb = opened * depth + b"1" + closed * depth
                        body = (
                            b'{"model":"m","prompt":"x","input":"x","messages":[{"role":"user","content":"x"}],"tools":'
                            b"%b}" % bomb
                        )
                        status, _, answer = await self.ask(port, "POST", path, body, "Content-Type: application/json")
                        self.assertNotEqual(status, 500, (kind, path, depth, answer))
                        # how deep is too deep is Python's to say, and newer ones go deeper
                        if depth > 50_000 and (kind is PortKind.BRIDGE or path != "/v1/completions"):
                            self.assertEqual(
                                (status, json.loads(answer)["error"]["type"]), (400, "invalid_request_error")
                            )
        self.assertEqual(self.flushLoggedErrors(), [])


class DefaultTests(LimitTestCase):
    def test_they_are_what_the_documents_say(self) -> None:
        limits = Limits()
        self.assertEqual(
            (limits.json_body, limits.upload, limits.head_seconds, limits.body_seconds, limits.idle_seconds),
            (67108864, None, 10.0, 30.0, 75.0),
        )
        self.assertEqual(replace(Settings(), limits=limits), Settings())
