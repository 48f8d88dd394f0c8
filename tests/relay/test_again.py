"""Requests that are sent again: after which faults of a connection, after which answers, and when no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import formatEvent, globalLogPublisher

from oaiproxy.api.errors import ApiError, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from oaiproxy.relay import BytesBody, RequestBody, Retry, UpstreamAnswer, UpstreamClient
from oaiproxy.settings import Settings, Timeouts
from tests.relay.test_client import HOST, whole
from tests.support import (
    ClockedReactor,
    Received,
    ScriptedUpstream,
    SocketTestCase,
    UpstreamConnection,
    http_answer,
    http_stream,
)

Script = Callable[[UpstreamConnection, Received], None]

FULL = http_answer(b"here", "200 OK")
BUSY = http_answer(b"busy", "503 Service Unavailable", "x-request-id: first")


def say(data: bytes) -> Script:
    return lambda connection, request: connection.write(data)


def close(connection: UpstreamConnection, request: Received) -> None:
    connection.close()


def reset(connection: UpstreamConnection, request: Received) -> None:
    connection.reset()


def silence(connection: UpstreamConnection, request: Received) -> None:
    """Say nothing."""


class Log:
    """What is told of the attempts."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def upstream_request(
        self, method: str, url: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None
    ) -> None:
        path = url.partition(b"/v1")[2].decode()
        self.lines.append(f"> {method} {path} {body.decode()}" if body is not None else f"> {method} {path}")

    def upstream_response(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None) -> None:
        self.lines.append(f"< {status}")

    def upstream_chunk(self, data: bytes) -> None:
        self.lines.append(f"< {data.decode()}")


class AgainTestCase(SocketTestCase):
    def does(self, *scripts: Script) -> ScriptedUpstream:
        """An upstream that does each of these for one request, and the last one for all that follow."""
        left = list(scripts)
        upstream = self.upstream()
        upstream.script = lambda connection, request: (left.pop(0) if len(left) > 1 else left[0])(connection, request)
        return upstream

    async def post(
        self, body: RequestBody | None = None, retries: int = 2, timeouts: Timeouts | None = None, **kwargs: Any
    ) -> UpstreamAnswer:
        client = self.upstream_client(Settings(timeouts=timeouts or Timeouts()), retries=retries)
        return await client.send(b"POST", b"/x", [HOST], body or BytesBody(b"{}"), **kwargs)


class FaultTests(AgainTestCase):
    async def test_a_connection_that_is_lost_before_a_byte_came_back(self) -> None:
        for fault in (close, reset):
            upstream = self.does(fault, fault, say(FULL))
            answer = await self.post()
            self.assertEqual(await whole(answer), b"here")
            self.assertEqual([request.body for request in upstream.requests], [b"{}"] * 3)

    async def test_the_last_fault_is_said_and_how_often_it_was_tried(self) -> None:
        upstream = self.does(reset)
        with self.assertRaises(UpstreamUnreachable) as caught:
            await self.post()
        self.assertEqual(len(upstream.requests), 3)
        self.assertIn("was lost before it answered", caught.exception.message)
        self.assertEqual(caught.exception.headers, {"x-oaiproxy-retries": "2"})

    async def test_a_connection_that_is_reset_as_soon_as_it_stands(self) -> None:
        accepted: list[Protocol] = []

        class Resetting(Protocol):
            def connectionMade(self) -> None:
                accepted.append(self)
                self.transport.abortConnection()  # type: ignore[union-attr]

        factory = Factory.forProtocol(Resetting)
        self.upstream_port = self.listen(factory)
        with self.assertRaises(UpstreamUnreachable):
            await self.post()
        self.assertEqual(len(accepted), 3)

    async def test_a_refused_connection(self) -> None:
        # a port that nobody listens on, until somebody does
        port = self.listen(self.upstream())
        clock = ClockedReactor()
        client = UpstreamClient(clock, "http://127.0.0.1:1/v1", Timeouts(), Retry(2, random=lambda: 0.5))
        tried: list[int] = []

        def connect(host: str, number: int, *args: Any, **kwargs: Any) -> object:
            tried.append(number)
            return clock.__getattr__("connectTCP")(host, port if len(tried) == 3 else number, *args, **kwargs)

        clock.connectTCP = connect  # type: ignore[attr-defined]
        sending = Deferred.fromCoroutine(client.send(b"POST", b"/x", [HOST], BytesBody(b"{}")))
        for number, seconds in ((1, 0.25), (2, 0.5)):
            # what is waited for then is no longer the connection
            await self.until(lambda: clock.waits() and clock.waits()[0] < 1)
            self.assertEqual(len(tried), number)
            self.assertAlmostEqual(clock.waits()[0], seconds)
            clock.advance(seconds)
        answer = await sending
        self.assertEqual((await whole(answer), answer.header(b"x-oaiproxy-retries")), (b"{}", b"2"))
        await client.close()

    async def test_a_connection_that_is_not_made_in_time(self) -> None:
        clock = ClockedReactor()

        class Resolver:
            asked = 0

            def resolveHostName(self, *args: object, **kwargs: object) -> None:
                self.asked += 1

        clock.nameResolver = resolver = Resolver()  # type: ignore[attr-defined]
        client = UpstreamClient(clock, "http://models.example/v1", Timeouts(), Retry(1, random=lambda: 0.5))
        sending = Deferred.fromCoroutine(client.send(b"POST", b"/x", [HOST], None))
        for seconds in (10, 0.25, 10):
            self.assertEqual(clock.waits(), [seconds])
            clock.advance(seconds)
        self.failureResultOf(sending, UpstreamTimeout)
        self.assertEqual((resolver.asked, clock.getDelayedCalls()), (2, []))

    async def test_once_a_byte_has_come_back_it_is_never_sent_again(self) -> None:
        def half(connection: UpstreamConnection, request: Received) -> None:
            connection.write(b"H")
            connection.close()

        def hint(connection: UpstreamConnection, request: Received) -> None:
            connection.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
            connection.close()

        for script in (half, hint):
            upstream = self.does(script)
            with self.assertRaises(UpstreamUnreachable) as caught:
                await self.post()
            self.assertIn("in the head of its answer", caught.exception.message)
            self.assertEqual(len(upstream.requests), 1)
            self.assertEqual(caught.exception.headers, {})

    async def test_a_byte_that_came_back_while_the_request_was_still_sent(self) -> None:
        upstream = self.upstream()
        sending = Deferred.fromCoroutine(self.post(BytesBody(b"x" * 20_000_000)))
        await self.until(lambda: upstream.connections)
        connection = upstream.connections[0]
        connection.transport.pauseProducing()
        connection.write(b"HTTP/1.1 2")
        await self.until(lambda: not connection.transport.dataBuffer and not connection.transport._tempDataBuffer)
        connection.reset()
        with self.assertRaises(UpstreamUnreachable):
            await sending
        self.assertEqual(len(upstream.connections), 1)

    async def test_an_upload_that_is_cut_off_is_sent_again_whole(self) -> None:
        data = bytes(range(256)) * 80_000
        upstream = self.upstream()
        sending = Deferred.fromCoroutine(self.post(BytesBody(data)))
        await self.until(lambda: upstream.bytes_in > 1_000_000)
        upstream.connections[0].reset()
        answer = await sending
        self.assertEqual(await whole(answer), b"{}")
        self.assertEqual([request.body == data for request in upstream.requests], [True])
        self.assertEqual(len(upstream.connections), 2)

    async def test_no_answer_in_time_may_be_an_answer_under_way(self) -> None:
        upstream = self.does(silence)
        with self.assertRaises(UpstreamTimeout):
            await self.post(timeouts=Timeouts(first_byte=0.05))
        self.assertEqual(len(upstream.requests), 1)

    async def test_what_is_not_http_stays_so(self) -> None:
        upstream = self.does(say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
        with self.assertRaises(UpstreamInvalid):
            await self.post()
        self.assertEqual(len(upstream.requests), 1)

    async def test_a_kept_connection_that_was_given_up_is_no_retry(self) -> None:
        upstream = self.does(say(FULL), close, say(FULL))
        client = self.upstream_client(retries=0)
        await whole(await client.send(b"GET", b"/x", [HOST], None))
        log = Log()
        answer = await client.send(b"POST", b"/x", [HOST], BytesBody(b"{}"), log=log)
        self.assertEqual((await whole(answer), answer.header(b"x-oaiproxy-retries")), (b"here", b""))
        self.assertEqual(len(upstream.requests), 3)
        self.assertEqual(log.lines, ["> POST /x {}", "> POST /x {}", "< 200"])


class StatusTests(AgainTestCase):
    async def test_each_status_that_says_not_now(self) -> None:
        for status in (429, 500, 502, 503, 504):
            upstream = self.does(say(http_answer(b"no", f"{status} No")), say(FULL))
            answer = await self.post()
            self.assertEqual((answer.status, await whole(answer)), (200, b"here"))
            self.assertEqual(answer.header(b"x-oaiproxy-retries"), b"1")
            self.assertEqual(len(upstream.requests), 2)

    async def test_all_others_are_the_client_s(self) -> None:
        for status in (200, 304, 400, 401, 403, 404, 408, 409, 413, 422, 501, 505):
            upstream = self.does(say(http_answer(b"" if status == 304 else b"no", f"{status} So")), say(FULL))
            answer = await self.post()
            await whole(answer)
            self.assertEqual((answer.status, len(upstream.requests)), (status, 1))
            self.assertEqual(answer.header(b"x-oaiproxy-retries"), b"")

    async def test_the_last_answer_is_passed_on_as_it_is(self) -> None:
        last = http_answer(b'{"error": 3}', "429 Slow Down", "X-Request-Id: third", "Retry-After: 0", "X-Other: 1")
        upstream = self.does(say(BUSY), say(BUSY), say(last))
        answer = await self.post()
        self.assertEqual((answer.status, answer.phrase, await whole(answer)), (429, b"Slow Down", b'{"error": 3}'))
        self.assertEqual(
            [field for field in answer.headers if field[0].lower() != b"content-length"],
            [(b"X-Request-Id", b"third"), (b"Retry-After", b"0"), (b"X-Other", b"1"), (b"x-oaiproxy-retries", b"2")],
        )
        self.assertEqual(len(upstream.requests), 3)

    async def test_without_retries_everything_is_said_once(self) -> None:
        for script in (say(BUSY), reset):
            upstream = self.does(script)
            try:
                answer = await self.post(retries=0)
            except ApiError as e:
                self.assertEqual(e.headers, {})
            else:
                self.assertEqual((await whole(answer), answer.header(b"x-oaiproxy-retries")), (b"busy", b""))
            self.assertEqual(len(upstream.requests), 1)

    async def test_a_caller_may_want_none(self) -> None:
        upstream = self.does(say(BUSY))
        answer = await self.post(retry=False)
        self.assertEqual((answer.status, await whole(answer), len(upstream.requests)), (503, b"busy", 1))
        upstream = self.does(reset)
        with self.assertRaises(UpstreamUnreachable):
            await self.post(retry=False)
        self.assertEqual(len(upstream.requests), 1)

    async def test_upstream_may_say_that_it_is_no_use(self) -> None:
        upstream = self.does(say(http_answer(b"quota", "429 No", "X-Should-Retry: false")))
        answer = await self.post()
        self.assertEqual((answer.status, await whole(answer), len(upstream.requests)), (429, b"quota", 1))

    async def test_faults_and_answers_are_counted_together(self) -> None:
        upstream = self.does(reset, say(http_answer(b"busy", "503 No", "Connection: close")), reset)
        with self.assertRaises(UpstreamUnreachable):
            await self.post()
        self.assertEqual(len(upstream.requests), 3)

    async def test_a_stream_that_breaks_off_is_not_begun_again(self) -> None:
        upstream = self.does(say(http_stream(b"data: {}\n\n", end=False)))
        answer = await self.post()
        await self.until(lambda: upstream.requests)
        upstream.connections[0].close()
        self.assertEqual(await whole(answer), b"data: {}\n\n")
        self.assertEqual((answer.status, len(upstream.requests)), (200, 1))

    async def test_a_connection_whose_answer_nobody_gets_is_kept(self) -> None:
        upstream = self.does(say(BUSY), say(BUSY), say(FULL))
        await whole(await self.post())
        self.assertEqual(len(upstream.connections), 1)

    async def test_each_attempt_is_told(self) -> None:
        self.does(reset, say(BUSY), say(FULL))
        log = Log()
        await whole(await self.post(log=log))
        self.assertEqual(log.lines, ["> POST /x {}", "> POST /x {}", "< 503", "< busy", "> POST /x {}", "< 200"])


class WaitingTests(AgainTestCase):
    """What happens between two attempts, with time that passes only when a test says so."""

    def setUp(self) -> None:
        self.clock = ClockedReactor()

    def sending(self, chance: float = 0.5) -> Deferred[UpstreamAnswer]:
        self.client_ = client = UpstreamClient(
            self.clock,
            f"http://127.0.0.1:{self.upstream_port}/v1",
            Timeouts(),
            Retry(2, random=lambda: chance, now=lambda: 0.0),
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return Deferred.fromCoroutine(client.send(b"POST", b"/x", [HOST], BytesBody(b"{}"), name="x-1"))

    async def test_it_waits_as_long_as_upstream_asks_for_and_no_shorter(self) -> None:
        upstream = self.does(say(http_answer(b"", "429 No", "Retry-After: 20")), say(FULL))
        sending = self.sending(0.0)
        # what is done with the connection meanwhile has an end of its own
        await self.until(lambda: 5 in self.clock.waits())
        self.clock.advance(5)
        await self.until(lambda: 15 in self.clock.waits())
        self.clock.advance(14.9)
        await self.turns(20)
        self.assertEqual(len(upstream.requests), 1)
        self.clock.advance(0.1)
        self.assertEqual(await whole(await sending), b"here")

    async def test_a_wait_that_is_too_long_is_the_client_s(self) -> None:
        upstream = self.does(say(http_answer(b"later", "429 No", "Retry-After: 61")))
        answer = await self.sending()
        self.assertEqual((await whole(answer), answer.header(b"retry-after")), (b"later", b"61"))
        self.assertEqual(len(upstream.requests), 1)

    async def test_who_leaves_while_it_waits_is_not_asked_for_again(self) -> None:
        for fields in ((), ("Retry-After: 20",)):
            upstream = self.does(say(http_answer(b"no", "503 No", *fields)), say(FULL))
            sending = self.sending()
            await self.until(lambda fields=fields: (5.0 if fields else 0.25) in self.clock.waits())
            if fields:
                self.clock.advance(5)
            sending.cancel()
            self.failureResultOf(sending, CancelledError)
            await self.client_.close()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.clock.advance(100)
            self.assertEqual(len(upstream.requests), 1)

    async def test_who_leaves_after_a_fault_is_not_asked_for_again(self) -> None:
        upstream = self.does(reset)
        sending = self.sending()
        await self.until(lambda: self.clock.waits() == [0.25])
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual((self.clock.getDelayedCalls(), len(upstream.requests)), ([], 1))

    async def test_no_connection_is_held_while_it_waits(self) -> None:
        endless = (
            b"HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 1000\r\n\r\nthe rest never comes",
            b"HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000,
        )
        for number, data in enumerate(endless):
            upstream = self.does(say(data), say(FULL))
            sending = self.sending(0.0)
            if number == 0:
                await self.until(lambda: 5 in self.clock.waits())
                self.clock.advance(5)
            await self.until(lambda upstream=upstream: upstream.connections and upstream.connections[0].lost.called)
            self.assertNoResult(sending)
            for _ in range(2):
                self.clock.advance(60)
            self.assertEqual(await whole(await sending), b"here")

    async def test_each_is_said_in_the_log_of_the_service(self) -> None:
        said: list[str] = []

        def observe(event: Any) -> None:
            if event["log_namespace"] == "oaiproxy.relay.client.UpstreamClient":
                said.append(f"{event['log_level'].name} {formatEvent(event)}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.does(reset, say(BUSY), say(FULL))
        sending = self.sending()
        for seconds in (0.25, 0.5):
            await self.until(lambda seconds=seconds: seconds in self.clock.waits())
            self.clock.advance(seconds)
        await whole(await sending)
        name = f"127.0.0.1:{self.upstream_port}"
        self.assertEqual(
            said,
            [
                f"info exchange x-1: The upstream {name} was lost before it answered (ConnectionLost). Sending it "
                "again in 0.25 s (1 of 2)",
                f"info exchange x-1: The upstream {name} answered 503. Sending it again in 0.50 s (2 of 2)",
            ],
        )
