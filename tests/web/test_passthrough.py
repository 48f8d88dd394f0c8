"""The passthrough port, through real sockets: what is sent arrives, both ways."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from oaiproxy.settings import Settings, Timeouts
from tests.support import SocketTestCase, UpstreamConnection, http_answer, http_stream, unchunk

JSON = "Content-Type: application/json"


class RequestTests(SocketTestCase):
    async def test_method_path_query_and_body_arrive_byte_for_byte(self) -> None:
        upstream = self.upstream()
        body = b'{ "model":"gpt-4o",\t"messages" : [ ] , "odd": 1.50 }\n'
        await self.ask(self.proxy(), "POST", "/v1/chat/completions?a=%20b&&c", body, JSON)
        self.assertEqual(upstream.requests[0].line, "POST /v1/chat/completions?a=%20b&&c HTTP/1.1")
        self.assertEqual(upstream.requests[0].body, body)

    async def test_any_method_and_path_below_v1_goes_upstream(self) -> None:
        upstream = self.upstream()
        port = self.proxy()
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"):
            await self.ask(port, method, "/v1/some/thing%2Felse")
        self.assertEqual(
            [r.line for r in upstream.requests],
            [f"{m} /v1/some/thing%2Felse HTTP/1.1" for m in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")],
        )

    async def test_fields_arrive_but_for_those_of_the_connection(self) -> None:
        upstream = self.upstream()
        await self.ask(
            self.proxy(),
            "POST",
            "/v1/embeddings",
            b"{}",
            "Authorization: Bearer sk-client",
            "OpenAI-Organization: org-1",
            "Accept-Encoding: br",
            "Connection: x-private",
            "X-Private: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Authorization: Basic eA==",
        )
        request = upstream.requests[0]
        self.assertEqual(request.field("authorization"), "Bearer sk-client")
        self.assertEqual(request.field("openai-organization"), "org-1")
        self.assertEqual(request.field("accept-encoding"), "br")
        self.assertEqual(request.field("host"), f"127.0.0.1:{self.upstream_port}")
        for gone in ("x-private", "keep-alive", "proxy-authorization"):
            self.assertIsNone(request.field(gone), gone)

    async def test_a_bare_key_in_x_api_key_becomes_a_bearer_token(self) -> None:
        upstream = self.upstream()
        await self.ask(self.proxy(), "POST", "/v1/embeddings", b"{}", "X-Api-Key: sk-xcode")
        self.assertEqual(upstream.requests[0].field("authorization"), "Bearer sk-xcode")
        self.assertIsNone(upstream.requests[0].field("x-api-key"))

    async def test_without_a_key_none_is_invented(self) -> None:
        upstream = self.upstream()
        await self.ask(self.proxy(), "POST", "/v1/embeddings", b"{}")
        self.assertIsNone(upstream.requests[0].field("authorization"))

    async def test_an_upload_of_megabytes_arrives_whole(self) -> None:
        upstream = self.upstream()
        body = os.urandom(3_000_000)
        await self.ask(self.proxy(), "POST", "/v1/files", body, "Content-Type: multipart/form-data; boundary=x")
        self.assertEqual(upstream.requests[0].body, body)

    async def test_a_chunked_upload_arrives_whole(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy())
        client.send(
            b"POST /v1/files HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        await client.until(b"{}")
        self.assertEqual(upstream.requests[0].body, b"abcde")


class AnswerTests(SocketTestCase):
    async def test_status_fields_and_body_arrive_as_sent(self) -> None:
        upstream = self.upstream()
        upstream.answers(
            http_answer(
                b'{"error": "text" }',
                "429 Slow Down",
                "Content-Type: application/problem+json",
                "X-Request-Id: req_1",
                "X-Ratelimit-Remaining-Tokens: 0",
                "Retry-After: 7",
                "Set-Cookie: a=1",
                "Set-Cookie: b=2",
                "Server: upstream",
            )
        )
        status, head, body = await self.ask(self.proxy(), "POST", "/v1/responses", b"{}", JSON)
        self.assertEqual((status, body), (429, b'{"error": "text" }'))
        self.assertTrue(head.startswith(b"HTTP/1.1 429 Slow Down\r\n"))
        for line in (
            b"Content-Type: application/problem+json",
            b"X-Request-Id: req_1",
            b"X-Ratelimit-Remaining-Tokens: 0",
            b"Retry-After: 7",
            b"Set-Cookie: a=1",
            b"Set-Cookie: b=2",
            b"Server: upstream",
            b"Content-Length: 18",
        ):
            self.assertIn(b"\r\n" + line + b"\r\n", head + b"\r\n")

    async def test_a_compressed_body_arrives_compressed(self) -> None:
        self.upstream().answers(http_answer(b"\x1f\x8b\x08...", "200 OK", "Content-Encoding: gzip"))
        _, head, body = await self.ask(self.proxy(), "GET", "/v1/files/x/content")
        self.assertIn(b"Content-Encoding: gzip", head)
        self.assertEqual(body, b"\x1f\x8b\x08...")

    async def test_each_piece_of_a_stream_arrives_when_it_was_sent(self) -> None:
        upstream = self.upstream()
        connections: list[UpstreamConnection] = []
        upstream.script = lambda connection, request: (
            connections.append(connection),
            connection.write(http_stream(b"data: 1\n\n", end=False)),
        )
        client = await self.client(self.proxy())
        client.post("/v1/chat/completions", b'{"messages": []}')
        await client.until(b"data: 1\n\n")
        connections[0].write(b"9\r\ndata: 2\n\n\r\n")
        await client.until(b"data: 2\n\n")
        connections[0].write(b"0\r\n\r\n")
        received = await client.until(b"0\r\n\r\n")
        self.assertEqual(unchunk(received.partition(b"\r\n\r\n")[2]), b"data: 1\n\ndata: 2\n\n")

    async def test_the_head_arrives_before_the_first_piece_of_the_body(self) -> None:
        self.upstream().answers(http_stream(end=False))
        client = await self.client(self.proxy())
        client.post("/v1/chat/completions", b'{"messages": []}')
        head = await client.until(b"\r\n\r\n")
        self.assertIn(b"text/event-stream", head)

    async def test_head_requests_keep_the_length_and_have_no_body(self) -> None:
        self.upstream().answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
        _, head, body = await self.ask(self.proxy(), "HEAD", "/v1/files/x/content")
        self.assertIn(b"Content-Length: 1234", head)
        self.assertEqual(body, b"")

    async def test_an_empty_answer_has_no_body(self) -> None:
        self.upstream().answers(b"HTTP/1.1 204 No Content\r\n\r\n")
        status, head, body = await self.ask(self.proxy(), "DELETE", "/v1/files/x")
        self.assertEqual((status, body), (204, b""))
        self.assertNotIn(b"content-length", head.lower())

    async def test_requests_follow_each_other_on_one_connection(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy())
        for n in range(1, 4):
            client.get("/v1/x")
            await client.until(lambda data, n=n: data.count(b"{}") == n)  # type: ignore[misc]
        self.assertEqual(len(upstream.requests), 3)


class CutTests(SocketTestCase):
    """A body that is cut upstream is cut for the client: what came arrives, and no proper end."""

    async def cut(self, answer: bytes, how: str) -> bytes:
        upstream = self.upstream()
        upstream.script = lambda connection, request: (connection.write(answer), getattr(connection, how)())
        client = await self.client(self.proxy())
        client.post("/v1/chat/completions", b'{"messages": []}')
        await client.closed
        return client.received

    async def test_a_chunked_body_closed_in_the_middle(self) -> None:
        received = await self.cut(http_stream(b"data: 1\n\n", end=False), "close")
        self.assertTrue(received.endswith(b"9\r\ndata: 1\n\n\r\n"), received)

    async def test_a_body_shorter_than_its_length(self) -> None:
        received = await self.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "close")
        self.assertIn(b"Content-Length: 100", received)
        self.assertTrue(received.endswith(b"\r\n\r\nhalf"))

    async def test_a_body_that_only_the_close_ends_is_whole_after_an_orderly_close(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: (
            connection.write(b"HTTP/1.1 200 OK\r\n\r\nall of it"),
            connection.close(),
        )
        _, _, body = await self.ask(self.proxy(), "GET", "/v1/files/x/content")
        self.assertEqual(body, b"all of it")

    async def test_a_body_that_only_the_close_ends_is_cut_after_a_reset(self) -> None:
        upstream = self.upstream()
        connections: list[UpstreamConnection] = []
        upstream.script = lambda connection, request: (
            connections.append(connection),
            connection.write(b"HTTP/1.1 200 OK\r\n\r\nhalf"),
        )
        client = await self.client(self.proxy())
        client.get("/v1/files/x/content")
        await client.until(b"half")
        connections[0].reset()
        await client.closed
        self.assertTrue(client.received.endswith(b"4\r\nhalf\r\n"))

    async def test_a_stall_beyond_the_limit_is_a_cut(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_stream(b"data: 1\n\n", end=False))
        client = await self.client(self.proxy(settings=Settings(timeouts=Timeouts(idle=0.05))))
        client.post("/v1/chat/completions", b'{"messages": []}')
        await client.closed
        self.assertTrue(client.received.endswith(b"9\r\ndata: 1\n\n\r\n"))
        await upstream.connections[0].lost


class LeavingTests(SocketTestCase):
    async def leaves(self, answer: bytes) -> None:
        upstream = self.upstream()
        asked: Deferred[None] = Deferred()
        upstream.script = lambda connection, request: (connection.write(answer), asked.callback(None))
        client = await self.client(self.proxy())
        client.post("/v1/chat/completions", b'{"messages": []}')
        await asked
        if answer:
            await client.until(b"data: 1")
        client.transport.abortConnection()
        await upstream.connections[0].lost

    async def test_a_client_that_leaves_before_the_head_ends_the_upstream_request(self) -> None:
        await self.leaves(b"")

    async def test_a_client_that_leaves_in_the_middle_ends_the_upstream_request(self) -> None:
        await self.leaves(http_stream(b"data: 1\n\n", end=False))


class FlowTests(SocketTestCase):
    async def test_a_client_that_does_not_read_stops_the_upstream(self) -> None:
        upstream = self.upstream()
        piece = b"x" * 65536
        sent = 0
        stalled: Deferred[None] = Deferred()

        class Pump:
            """Writes as long as the socket takes it."""

            def __init__(self, connection: UpstreamConnection) -> None:
                self.connection = connection

            def resumeProducing(self) -> None:
                nonlocal sent
                if sent < 400:
                    sent += 1
                    self.connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                elif sent == 400:
                    sent += 1
                    self.connection.transport.unregisterProducer()
                    self.connection.write(b"0\r\n\r\n")

            def stopProducing(self) -> None:
                pass

        def script(connection: UpstreamConnection, request: object) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.transport.registerProducer(Pump(connection), False)

        upstream.script = script
        client = await self.client(self.proxy())
        client.get("/v1/files/x/content")
        await client.until(b"\r\n\r\n")
        client.transport.pauseProducing()
        seen = -1

        def look() -> None:
            nonlocal seen
            if seen == sent and not stalled.called:
                stalled.callback(None)
            seen = sent

        watching = LoopingCall(look)
        done = watching.start(0.2, now=False)
        await stalled
        watching.stop()
        await done
        # 26 MB were there to send; what is under way fits the sockets' buffers
        self.assertLess(sent, 300)
        client.transport.resumeProducing()
        received = await client.until(b"\r\n0\r\n\r\n")
        self.assertEqual(len(unchunk(received.partition(b"\r\n\r\n")[2])), 400 * len(piece))
