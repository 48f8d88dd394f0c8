"""Connections of clients: requests one after another, how they end, and who is held back; and the bodies on them."""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.web import Drain
from oaiproxy.web.clientbody import ClientBody
from tests.support import ClockedReactor, RawClient, SocketTestCase, http_answer

GET = b"GET /v1/models HTTP/1.1\r\nHost: proxy\r\n\r\n"
LIST = b'"object":"list"'


class ConnectionTests(SocketTestCase):
    upstream_port = 1  # which nobody listens on

    async def test_http_1_0_gets_one_answer(self) -> None:
        client = await self.client(self.proxy())
        client.send(b"GET /v1/models HTTP/1.0\r\n\r\n" + GET)
        await client.closed
        self.assertEqual(client.received.count(LIST), 1)
        await self.until(lambda: not len(self.site.connections))

    async def test_so_does_who_says_close(self) -> None:
        client = await self.client(self.proxy())
        client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n")
        await client.closed
        self.assertIn(b"\r\nConnection: close\r\n", client.received)

    async def test_others_get_as_many_as_they_ask_for(self) -> None:
        client = await self.client(self.proxy())
        for count in range(1, 4):
            client.send(GET)
            await client.until(lambda data, count=count: data.count(LIST) == count)
        self.assertFalse(client.closed.called)

    async def test_an_answer_that_begins_when_the_port_is_about_to_close_is_the_last_one(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        client = await self.client(self.proxy())
        client.get("/v1/files")
        await self.until(lambda: upstream.requests)
        Drain(ClockedReactor(), [self.site.connections], [], 30).begin()
        upstream.connections[0].write(http_answer(b"[]"))
        await client.closed
        self.assertIn(b"\r\nConnection: close\r\n", client.received)

    async def test_what_the_server_is_made_of_is_not_said(self) -> None:
        for line in (b"OPTIONS *", b"GET /health", b"GET /nowhere", b"BREW /v1/models", b"GET bad"):
            client = await self.client(self.proxy())
            client.send(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            received = await client.until(b"\r\n\r\n")
            self.assertTrue(received.startswith(b"HTTP/1.1 "))
            self.assertNotIn(b"server:", received.lower())

    async def test_a_client_that_reads_no_answers_is_held_back(self) -> None:
        client = await self.client(self.proxy())
        client.transport.pauseProducing()
        for _ in range(5000):
            client.send(GET)
        await self.until(lambda: any(not channel.reading for channel in self.site.connections))
        client.transport.resumeProducing()
        await client.until(lambda data: data.count(LIST) == 5000)

    async def test_one_that_leaves_then_is_noticed(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("only Linux tells of the end of what is not read")
        client = await self.client(self.proxy())
        client.transport.pauseProducing()
        await self.until(lambda: len(self.site.connections))
        (channel,) = self.site.connections
        while channel.reading:
            # few enough that the end is not kept back behind them
            client.send(GET * 20)
            await self.turns(5)
        # nothing is under way but, where a read ended within it, the start of a next request
        self.assertEqual(channel.requests, [])
        client.transport.loseWriteConnection()
        await self.until(lambda: not len(self.site.connections))

    async def test_one_that_asks_too_far_ahead_too(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        client = await self.client(self.proxy())
        client.get("/v1/files")
        await self.until(lambda: upstream.requests)
        for _ in range(1000):
            client.send(GET)
        await self.until(lambda: any(not channel.reading for channel in self.site.connections))
        upstream.connections[0].write(http_answer(b"[]"))
        await client.until(lambda data: data.count(LIST) == 1000)

    async def test_one_that_leaves_while_the_body_is_collected(self) -> None:
        clock = ClockedReactor()
        client: RawClient = await self.client(self.proxy(clock=clock))
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
        await self.until(lambda: any(channel.requests for channel in self.site.connections))
        client.transport.loseConnection()
        await client.closed
        await self.until(lambda: not len(self.site.connections))
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_only_http_1_1_is_spoken_behind_tls(self) -> None:
        self.proxy()
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])


class BodyTests(SynchronousTestCase):
    """What becomes of a body, whenever it is asked for."""

    def body(self, length: int | None) -> ClientBody:
        self.wanted: list[str] = []
        return ClientBody(length, lambda: self.wanted.append("wanted"), lambda: None)

    def collect(self, body: ClientBody, limit: int | None = None) -> Deferred[bytes | None]:
        async def collected() -> bytes | None:
            coming = body.collect(limit)
            if coming is not None:
                await coming
            return body.data

        return Deferred.fromCoroutine(collected())

    def test_none_is_there_at_once(self) -> None:
        body = self.body(0)
        self.assertEqual(self.successResultOf(self.collect(body)), b"")
        self.assertEqual((body.data, self.wanted), (b"", []))

    def test_collected_before_it_comes(self) -> None:
        body = self.body(5)
        collecting = self.collect(body)
        self.assertEqual(self.wanted, ["wanted"])
        body.feed(b"he")
        body.feed(b"llo")
        self.assertNoResult(collecting)
        body.end()
        self.assertEqual((self.successResultOf(collecting), body.data), (b"hello", b"hello"))

    def test_collected_after_it_came(self) -> None:
        body = self.body(None)
        body.feed(b"hello")
        body.end()
        self.assertEqual(self.successResultOf(self.collect(body)), b"hello")

    def test_too_long_as_it_says_or_as_it_turns_out(self) -> None:
        body = self.body(6)
        self.assertEqual(self.failureResultOf(self.collect(body, 5), ApiError).value.status, 413)
        self.assertEqual(self.wanted, [])
        body = self.body(None)
        collecting = self.collect(body, 5)
        body.feed(b"hello")
        self.assertNoResult(collecting)
        body.feed(b"!")
        self.assertEqual(self.failureResultOf(collecting, ApiError).value.status, 413)
        body.end()
        self.assertIsNone(body.data)

    def test_too_long_before_anybody_said_what_is(self) -> None:
        body = self.body(None)
        body.feed(b"hello!")
        body.end()
        body.limit(5)
        failed: list[int] = []
        body.take(lambda data: None, lambda: None, lambda error: failed.append(error.status))
        self.assertEqual(failed, [413])

    def test_damaged_before_or_after_it_is_asked_for(self) -> None:
        body = self.body(5)
        collecting = self.collect(body)
        body.fail(BadRequest("damaged"))
        self.failureResultOf(collecting, BadRequest)
        body = self.body(5)
        body.fail(BadRequest("damaged"))
        self.failureResultOf(self.collect(body), BadRequest)
        failed: list[ApiError] = []
        body.take(lambda data: None, lambda: None, failed.append)
        self.assertEqual([error.message for error in failed], ["damaged"])

    def test_one_that_nobody_asked_for_is_held_back(self) -> None:
        body = self.body(None)
        body.feed(b"a" * 16384)
        self.assertFalse(body.paused)
        body.feed(b"a")
        self.assertTrue(body.paused)
        self.collect(body)
        self.assertFalse(body.paused)

    def test_passed_on_as_it_comes_in_the_order_it_came(self) -> None:
        body = self.body(None)
        taken: list[bytes] = []
        body.feed(b"a")
        body.take(taken.append, lambda: taken.append(b"end"), lambda error: None)
        body.feed(b"b")
        body.pause()
        self.assertTrue(body.paused)
        body.feed(b"c")
        body.end()
        self.assertEqual(taken, [b"a", b"b"])
        body.resume()
        self.assertEqual((taken, body.paused), ([b"a", b"b", b"c", b"end"], False))

    def test_a_taker_that_has_enough_in_the_middle(self) -> None:
        body = self.body(None)
        taken: list[bytes] = []

        def take(data: bytes) -> None:
            taken.append(data)
            body.pause()

        body.feed(b"a")
        body.feed(b"b")
        body.end()
        body.take(take, lambda: taken.append(b"end"), lambda error: None)
        self.assertEqual(taken, [b"a"])
        body.resume()
        self.assertEqual(taken, [b"a", b"b"])
        body.resume()
        self.assertEqual(taken, [b"a", b"b", b"end"])

    def test_what_is_thrown_away_is_read_on(self) -> None:
        body = self.body(None)
        body.feed(b"a" * 100_000)
        body.discard()
        body.feed(b"a" * 100_000)
        self.assertFalse(body.paused)
        body.end()
        self.assertIsNone(body.data)
