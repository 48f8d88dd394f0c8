"""Requests that are sent again, through both kinds of port: what the client sees of it, and what the log."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from oaiproxy.api.request import PortKind
from oaiproxy.interfaces import IExchangeObserver
from oaiproxy.relay import UpstreamClient
from oaiproxy.settings import Settings, Timeouts
from tests.support import (
    ClockedReactor,
    Received,
    ScriptedUpstream,
    SocketTestCase,
    UpstreamConnection,
    http_answer,
    http_stream,
)
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, chat, delta, event, response

Script = Callable[[UpstreamConnection, Received], object]

ERROR = {"message": "Try again", "type": "server_error", "param": None, "code": "overloaded"}
FAILED = json.dumps({"error": ERROR}).encode()
BUSY = http_answer(FAILED, "503 Service Unavailable", JSON, "x-request-id: busy")
WHOLE = http_answer(json.dumps(response()).encode(), "200 OK", JSON, "x-request-id: whole")

#: Of each kind of port: the path that a client asks for a chat completion at.
PORTS = ((PortKind.PASSTHROUGH, "/v1/responses"), (PortKind.BRIDGE, "/v1/chat/completions"))


def say(data: bytes) -> Script:
    return lambda connection, request: connection.write(data)


def reset(connection: UpstreamConnection, request: Received) -> None:
    connection.reset()


@implementer(IExchangeObserver)
class Observer:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def observe(self, record: dict[str, Any]) -> None:
        self.records.append(record)


class RetryTestCase(SocketTestCase):
    def does(self, *scripts: Script) -> ScriptedUpstream:
        """An upstream that does each of these for one request, and the last one for all that follow."""
        left = list(scripts)
        upstream = self.upstream()
        upstream.script = lambda connection, request: (left.pop(0) if len(left) > 1 else left[0])(connection, request)
        return upstream


class BothPortsTests(RetryTestCase):
    async def test_the_client_sees_only_the_answer_that_came_at_last(self) -> None:
        for kind, path in PORTS:
            for fault in (say(BUSY), reset):
                upstream = self.does(fault, fault, say(WHOLE))
                status, head, body = await self.ask(self.proxy(kind, retries=2), "POST", path, chat(), JSON)
                self.assertEqual(status, 200, body)
                self.assertIn(b"Hello", body)
                self.assertIn(b"x-request-id: whole", head.lower())
                self.assertIn(b"\r\nx-oaiproxy-retries: 2", head.lower())
                self.assertEqual(len({request.body for request in upstream.requests}), 1)
                self.assertEqual(len(upstream.requests), 3)

    async def test_the_last_failure_is_passed_on(self) -> None:
        for kind, path in PORTS:
            upstream = self.does(say(BUSY))
            status, head, body = await self.ask(self.proxy(kind, retries=2), "POST", path, chat(), JSON)
            self.assertEqual((status, json.loads(body)["error"]), (503, ERROR))
            self.assertIn(b"x-request-id: busy", head.lower())
            self.assertIn(b"\r\nx-oaiproxy-retries: 2", head.lower())
            self.assertEqual(len(upstream.requests), 3)

    async def test_a_lost_upstream_is_a_502_that_names_it_and_the_stage(self) -> None:
        for kind, path in PORTS:
            upstream = self.does(reset)
            status, head, body = await self.ask(self.proxy(kind, retries=1), "POST", path, chat(), JSON)
            error = json.loads(body)["error"]
            self.assertEqual((status, error["code"]), (502, "upstream_unreachable"))
            self.assertIn(f"127.0.0.1:{self.upstream_port} was lost before it answered", error["message"])
            self.assertIn(b"\r\nx-oaiproxy-retries: 1", head.lower())
            self.assertEqual(len(upstream.requests), 2)

    async def test_a_request_that_went_well_has_no_word_of_it(self) -> None:
        for kind, path in PORTS:
            self.does(say(WHOLE))
            _, head, _ = await self.ask(self.proxy(kind, retries=2), "POST", path, chat(), JSON)
            self.assertNotIn(b"x-oaiproxy-retries", head.lower())

    async def test_what_is_wrong_is_not_asked_twice(self) -> None:
        for kind, path in PORTS:
            upstream = self.does(say(http_answer(FAILED, "400 Bad Request", JSON)))
            status, _, _ = await self.ask(self.proxy(kind, retries=2), "POST", path, chat(), JSON)
            self.assertEqual((status, len(upstream.requests)), (400, 1))

    async def test_the_client_s_own_marks_of_a_retry_go_upstream_unchanged(self) -> None:
        marks = ("Idempotency-Key: k-1", "x-stainless-retry-count: 1")
        for kind, path in PORTS:
            upstream = self.does(say(BUSY), say(WHOLE))
            await self.ask(self.proxy(kind, retries=2), "POST", path, chat(), JSON, *marks)
            self.assertEqual(
                [
                    (request.field("idempotency-key"), request.field("x-stainless-retry-count"))
                    for request in upstream.requests
                ],
                [("k-1", "1")] * 2,
            )

    async def test_each_attempt_is_in_the_traffic_log(self) -> None:
        for kind, path in PORTS:
            self.does(reset, say(BUSY), say(WHOLE))
            observer = Observer()
            port = self.proxy(kind, retries=2, observers=[observer])
            await self.ask(port, "POST", path, chat(), JSON)
            steps = [
                (record["direction"], record["payload"].get("status"))
                for record in observer.records
                if "status" in record["payload"] or "method" in record["payload"]
            ]
            self.assertEqual(
                steps,
                [
                    ("downstream-request", None),
                    ("upstream-request", None),
                    ("upstream-request", None),
                    ("upstream-response", 503),
                    ("upstream-request", None),
                    ("upstream-response", 200),
                    ("downstream-response", 200),
                ],
            )
            chunks = [
                record["payload"]["text"]
                for record in observer.records
                if record["direction"] == "upstream-response-chunk"
            ]
            self.assertTrue("".join(chunks).startswith(FAILED.decode()), chunks)
            self.assertEqual(len({record["exchange"] for record in observer.records}), 1)


class StreamTests(RetryTestCase):
    async def test_a_stream_that_upstream_refuses_is_asked_for_again(self) -> None:
        for kind, path in PORTS:
            upstream = self.does(say(BUSY), say(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED)))
            status, head, body = await self.ask(self.proxy(kind, retries=2), "POST", path, chat(stream=True), JSON)
            self.assertEqual((status, len(upstream.requests)), (200, 2))
            self.assertIn(b"x-oaiproxy-retries: 1", head.lower())
            self.assertIn(b'"Hello"', body)

    async def test_one_that_fails_before_its_first_output_is_not(self) -> None:
        failed = event("error", error={"type": "server_error", "code": None, "message": "It broke", "param": None})
        upstream = self.does(say(http_stream(CREATED, failed)))
        port = self.proxy(PortKind.BRIDGE, retries=2)
        status, _, body = await self.ask(port, "POST", "/v1/chat/completions", chat(stream=True), JSON)
        self.assertEqual(len(upstream.requests), 1)
        self.assertGreaterEqual(status, 500)
        self.assertIn(b"It broke", body)

    async def test_one_that_breaks_off_is_not(self) -> None:
        for kind, path in PORTS:
            upstream = self.upstream()
            port = self.proxy(kind, retries=2)
            upstream.script = say(http_stream(CREATED, ADDED, delta("Hel"), end=False))
            client = await self.client(port)
            client.post(path, chat(stream=True))
            await client.until(b'"Hel"')
            upstream.connections[0].reset()
            await client.closed
            self.assertEqual(len(upstream.requests), 1)


class ChoicesTests(RetryTestCase):
    async def test_of_several_requests_only_the_one_that_failed_is_sent_again(self) -> None:
        upstream = self.does(say(WHOLE), say(BUSY), say(WHOLE))
        port = self.proxy(PortKind.BRIDGE, retries=1)
        status, _, body = await self.ask(port, "POST", "/v1/chat/completions", chat(n=3), JSON)
        self.assertEqual((status, len(json.loads(body)["choices"])), (200, 3))
        self.assertEqual(len(upstream.requests), 4)

    async def test_each_has_its_own_retries(self) -> None:
        upstream = self.does(say(BUSY), say(BUSY), say(BUSY), say(WHOLE))
        port = self.proxy(PortKind.BRIDGE, retries=2)
        status, _, body = await self.ask(port, "POST", "/v1/chat/completions", chat(n=2), JSON)
        self.assertEqual((status, len(json.loads(body)["choices"])), (200, 2))
        self.assertEqual(len(upstream.requests), 5)


class UploadTests(RetryTestCase):
    """Multipart uploads: passed on byte for byte, and small ones sent again so."""

    @staticmethod
    def form(size: int) -> bytes:
        return (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n%b\r\n--b--\r\n'
            % os.urandom(size)
        )

    async def test_a_small_one_is_sent_again(self) -> None:
        for kind in PortKind:
            form = self.form(1000)
            upstream = self.does(reset, say(BUSY), say(http_answer(b'{"id": "file-1"}', "200 OK", JSON)))
            port = self.proxy(kind, retries=2)
            status, _, body = await self.ask(
                port, "POST", "/v1/files", form, "Content-Type: multipart/form-data; boundary=b"
            )
            self.assertEqual((status, body), (200, b'{"id": "file-1"}'))
            self.assertEqual([request.body == form for request in upstream.requests], [True] * 3)
            self.assertEqual(upstream.requests[2].field("content-type"), "multipart/form-data; boundary=b")

    async def test_a_large_one_was_passed_on_as_it_came_and_is_gone(self) -> None:
        for kind in PortKind:
            form = self.form(3_000_000)
            for does, expected in ((reset, 502), (say(BUSY), 503)):
                upstream = self.does(does, say(http_answer(b'{"id": "file-1"}', "200 OK", JSON)))
                port = self.proxy(kind, retries=2)
                status, _, _ = await self.ask(
                    port, "POST", "/v1/files", form, "Content-Type: multipart/form-data; boundary=b"
                )
                self.assertEqual(status, expected)
                self.assertEqual([request.body == form for request in upstream.requests], [True])

    async def test_a_client_that_leaves_in_the_middle_of_one_ends_it(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy(retries=2))
        form = self.form(20_000_000)
        client.post("/v1/files", form)
        await self.until(lambda: upstream.connections)
        upstream.connections[0].transport.pauseProducing()
        client.transport.abortConnection()
        await client.closed
        upstream.connections[0].transport.resumeProducing()
        await upstream.connections[0].lost
        self.assertEqual((upstream.requests, len(upstream.connections)), ([], 1))


class LeavingTests(RetryTestCase):
    async def test_a_client_that_leaves_while_the_proxy_waits_ends_the_wait(self) -> None:
        for kind, path in PORTS:
            upstream = self.does(say(http_answer(FAILED, "503 No", JSON, "Retry-After: 40")))
            clock = ClockedReactor()
            client = await self.client(self.proxy(kind, Settings(keepalive=0), retries=2, clock=clock))
            client.post(path, chat(n=2))
            count = 2 if kind is PortKind.BRIDGE else 1
            # the failed answer has five seconds to end before its connection is given up
            await self.until(lambda count=count, clock=clock: clock.waits().count(5) == count)
            clock.advance(5)
            await self.until(lambda count=count, clock=clock: clock.waits().count(35) == count)
            client.transport.loseConnection()
            await self.until(lambda clock=clock: 35 not in clock.waits())
            clock.advance(40)
            self.assertEqual(clock.getDelayedCalls(), [])
            self.assertEqual(len(upstream.requests), count)

    async def test_a_client_that_leaves_while_a_connection_is_made_is_no_error(self) -> None:
        clock = ClockedReactor()
        asked: list[str] = []

        class Resolver:
            def resolveHostName(self, receiver: object, name: str, portNumber: int) -> None:
                asked.append(name)

        clock.nameResolver = Resolver()  # type: ignore[attr-defined]
        self.patch(
            self,
            "upstream_client",
            lambda *args: UpstreamClient(clock, "http://models.example/v1", Timeouts()),
        )
        client = await self.client(self.proxy(clock=clock))
        client.post("/v1/responses", chat())
        await self.until(lambda: asked)
        client.transport.loseConnection()
        await self.until(lambda: not clock.getDelayedCalls())
        self.assertEqual(self.flushLoggedErrors(), [])


class TimeoutTests(RetryTestCase):
    async def test_no_answer_in_time_is_a_504_that_names_upstream_and_stage(self) -> None:
        for kind, path in PORTS:
            upstream = self.does(lambda connection, request: None)
            settings = Settings(timeouts=Timeouts(first_byte=0.05))
            status, _, body = await self.ask(self.proxy(kind, settings, retries=2), "POST", path, chat(), JSON)
            error = json.loads(body)["error"]
            self.assertEqual((status, error["code"], len(upstream.requests)), (504, "upstream_timeout", 1))
            self.assertEqual(
                error["message"], f"The upstream 127.0.0.1:{self.upstream_port} did not answer within 0.05 s."
            )

    async def test_silence_within_an_answer_is_said_where_the_client_knows_nothing_yet(self) -> None:
        upstream = self.upstream()
        waiting: Deferred[None] = Deferred()
        upstream.script = lambda connection, request: (
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"),
            waiting.callback(None),
        )
        settings = Settings(timeouts=Timeouts(idle=0.05))
        port = self.proxy(PortKind.BRIDGE, settings, retries=2)
        status, _, body = await self.ask(port, "POST", "/v1/chat/completions", chat(), JSON)
        error = json.loads(body)["error"]
        self.assertEqual((status, error["code"], len(upstream.requests)), (504, "upstream_timeout", 1))
        self.assertIn(
            f"The upstream 127.0.0.1:{self.upstream_port} sent nothing more of its answer for 0.05 s",
            error["message"],
        )
