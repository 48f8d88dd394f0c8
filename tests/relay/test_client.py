"""The client for the upstream: what it sends, what it never does on its own, and how it fails."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from oaiproxy.api.errors import ApiError, BadRequest, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from oaiproxy.relay import BytesBody, UpstreamAnswer, UpstreamClient
from oaiproxy.settings import Settings, Timeouts
from tests.support import SocketTestCase, http_answer, http_stream


class _Collector(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.done: Deferred[BaseException] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(reason.value)


async def whole(answer: UpstreamAnswer) -> bytes:
    collector = _Collector()
    answer.deliver(collector)
    await collector.done
    return collector.data


HOST = (b"Host", b"example")


class SendingTests(SocketTestCase):
    async def test_method_target_fields_and_body_arrive_as_given(self) -> None:
        upstream = self.upstream()
        client = self.upstream_client()
        answer = await client.send(
            b"PATCH", b"/a//b/%7Ec;d?x=1&y=%20&", [HOST, (b"X-One", b"1"), (b"X-One", b"2")], BytesBody(b"\x00body")
        )
        await whole(answer)
        (request,) = upstream.requests
        self.assertEqual(request.line, "PATCH /v1/a//b/%7Ec;d?x=1&y=%20& HTTP/1.1")
        self.assertEqual(request.body, b"\x00body")
        self.assertEqual(
            sorted(request.fields), [("content-length", "5"), ("host", "example"), ("x-one", "1"), ("x-one", "2")]
        )

    async def test_an_empty_query_arrives(self) -> None:
        upstream = self.upstream()
        await whole(await self.upstream_client().send(b"GET", b"/models?", [HOST], None))
        self.assertEqual(upstream.requests[0].line, "GET /v1/models? HTTP/1.1")

    async def test_no_accept_encoding_is_added_and_a_compressed_body_is_not_decoded(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"\x1f\x8b not really", "200 OK", "Content-Encoding: gzip"))
        answer = await self.upstream_client().send(b"GET", b"/x", [HOST], None)
        self.assertEqual(await whole(answer), b"\x1f\x8b not really")
        self.assertEqual(answer.header(b"content-encoding"), b"gzip")
        self.assertEqual(upstream.requests[0].field("accept-encoding"), None)

    async def test_a_redirect_is_an_answer_like_any_other(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"", "307 Temporary Redirect", "Location: http://elsewhere/"))
        answer = await self.upstream_client().send(b"POST", b"/x", [HOST], BytesBody(b"{}"))
        await whole(answer)
        self.assertEqual((answer.status, answer.header(b"location")), (307, b"http://elsewhere/"))
        self.assertEqual(len(upstream.requests), 1)

    async def test_a_cookie_set_for_one_request_is_not_sent_with_the_next(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"", "200 OK", "Set-Cookie: session=alice; Path=/"))
        client = self.upstream_client()
        for _ in range(2):
            answer = await client.send(b"GET", b"/x", [HOST], None)
            await whole(answer)
        self.assertEqual(answer.header(b"set-cookie"), b"session=alice; Path=/")
        self.assertEqual([r.field("cookie") for r in upstream.requests], [None, None])

    async def test_a_path_that_http_does_not_allow_is_refused(self) -> None:
        self.upstream()
        with self.assertRaises(BadRequest):
            await self.upstream_client().send(b"GET", b"/caf\xc3\xa9", [HOST], None)


class ConnectionTests(SocketTestCase):
    async def test_a_connection_is_used_again(self) -> None:
        upstream = self.upstream()
        client = self.upstream_client()
        for _ in range(3):
            await whole(await client.send(b"GET", b"/x", [HOST], None))
        self.assertEqual(len(upstream.connections), 1)

    async def test_a_kept_connection_that_the_upstream_closes_on_us_is_replaced_unseen(self) -> None:
        upstream = self.upstream()
        client = self.upstream_client()
        await whole(await client.send(b"GET", b"/x", [HOST], None))
        upstream.script = lambda connection, request: (
            connection.close() if connection is upstream.connections[0] else connection.write(http_answer(b"again"))
        )
        answer = await client.send(b"POST", b"/x", [HOST], BytesBody(b"{}"))
        self.assertEqual(await whole(answer), b"again")
        self.assertEqual(len(upstream.requests), 3)

    async def test_a_new_connection_that_is_closed_is_an_error_and_nothing_is_sent_twice(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: connection.close()
        with self.assertRaises(UpstreamUnreachable) as caught:
            await self.upstream_client().send(b"POST", b"/x", [HOST], BytesBody(b"{}"))
        self.assertEqual(caught.exception.status, 502)
        self.assertEqual(len(upstream.requests), 1)

    async def test_half_a_head_is_never_sent_again(self) -> None:
        upstream = self.upstream()
        client = self.upstream_client()
        await whole(await client.send(b"GET", b"/x", [HOST], None))

        def half(connection: object, request: object) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nContent-")  # type: ignore[attr-defined]
            connection.close()  # type: ignore[attr-defined]

        upstream.script = half
        with self.assertRaises(UpstreamUnreachable):
            await client.send(b"POST", b"/x", [HOST], BytesBody(b"{}"))
        self.assertEqual(len(upstream.requests), 2)

    async def test_cancelling_before_the_head_closes_the_connection(self) -> None:
        upstream = self.upstream()
        asked: Deferred[object] = Deferred()
        upstream.script = lambda connection, request: asked.callback(connection)
        sending = Deferred.fromCoroutine(self.upstream_client().send(b"POST", b"/x", [HOST], BytesBody(b"{}")))
        await asked
        sending.cancel()
        with self.assertRaises(CancelledError):
            await sending
        await upstream.connections[0].lost


class FailureTests(SocketTestCase):
    async def failing(self, client: UpstreamClient) -> ApiError:
        with self.assertRaises(ApiError) as caught:
            await client.send(b"POST", b"/x", [HOST, (b"Authorization", b"Bearer sk-secret")], BytesBody(b"{}"))
        self.assertNotIn("sk-secret", caught.exception.message)
        return caught.exception

    async def test_a_refused_connection_is_a_502_that_names_the_upstream(self) -> None:
        # a port that nobody listens on: one that was just closed
        port = self.listen(self.upstream())
        client = UpstreamClient(reactor, "http://127.0.0.1:1/v1", Timeouts())
        error = await self.failing(client)
        self.assertEqual((error.status, error.code), (502, "upstream_unreachable"))
        self.assertIn("127.0.0.1:1 refused the connection", error.message)
        self.assertNotEqual(port, 1)

    async def test_an_unknown_host_is_a_502_that_says_so(self) -> None:
        error = await self.failing(UpstreamClient(reactor, "http://nowhere.invalid/v1", Timeouts()))
        self.assertEqual(error.status, 502)
        self.assertIn("nowhere.invalid cannot be resolved", error.message)

    async def test_no_answer_in_time_is_a_504(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        client = self.upstream_client(Settings(timeouts=Timeouts(first_byte=0.05)))
        error = await self.failing(client)
        self.assertIsInstance(error, UpstreamTimeout)
        self.assertEqual(error.status, 504)
        await upstream.connections[0].lost

    async def test_what_is_not_http_is_a_502(self) -> None:
        upstream = self.upstream()
        upstream.answers(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        error = await self.failing(self.upstream_client())
        self.assertIsInstance(error, UpstreamInvalid)

    async def test_a_tls_upstream_that_speaks_plain_http_is_a_502(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        url = f"https://127.0.0.1:{self.listen(_Plain())}/v1"
        error = await self.failing(UpstreamClient(reactor, url, Timeouts()))
        self.assertEqual(error.status, 502)
        self.assertIn("secure connection", error.message)

    async def test_interim_answers_are_skipped(self) -> None:
        upstream = self.upstream()
        upstream.answers(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http_stream(b"a", b"b"))
        answer = await self.upstream_client().send(b"GET", b"/x", [HOST], None)
        self.assertEqual((answer.status, answer.length, await whole(answer)), (200, None, b"ab"))


class _PlainProtocol(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        self.transport.loseConnection()


class _Plain(Factory):
    protocol = _PlainProtocol
