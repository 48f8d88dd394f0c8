"""Several choices, and answers that end before upstream's: what goes upstream, and what ends with what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from oaiproxy.api.request import PortKind
from oaiproxy.settings import Settings
from tests.support import Received, SocketTestCase, UpstreamConnection, http_answer, http_stream, unchunk
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, chat, delta, response


class ChoicesTests(SocketTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()
        self.port = self.proxy(PortKind.BRIDGE)

    def script(self, *scripts: Callable[[UpstreamConnection], object]) -> Deferred[None]:
        """What upstream does with each request, in the order they come; fires when the last has come."""
        left = list(scripts)
        asked: Deferred[None] = Deferred()

        def run(connection: UpstreamConnection, request: Received) -> None:
            left.pop(0)(connection)
            if not left:
                asked.callback(None)

        self.scripted.script = run
        return asked

    @staticmethod
    def says(data: bytes) -> Callable[[UpstreamConnection], object]:
        return lambda connection: connection.write(data)

    async def test_n_requests_become_one_completion(self) -> None:
        body = http_answer(json.dumps(response()).encode(), "200 OK", JSON)
        self.scripted.answers(body)
        status, _, answer = await self.ask(self.port, "POST", "/v1/chat/completions", chat(n=3), JSON)
        found = json.loads(answer)
        self.assertEqual((status, [c["index"] for c in found["choices"]]), (200, [0, 1, 2]))
        self.assertEqual(found["usage"]["total_tokens"], 12)
        self.assertEqual({request.body for request in self.scripted.requests}, {self.scripted.requests[0].body})
        self.assertEqual((len(self.scripted.requests), len(self.scripted.connections)), (3, 3))
        self.assertNotIn("n", json.loads(self.scripted.requests[0].body))

    async def test_streams_are_interleaved_as_they_come(self) -> None:
        asked = self.script(*[self.says(http_stream(CREATED, ADDED, end=False))] * 2)
        client = await self.client(self.port)
        client.post("/v1/chat/completions", chat(stream=True, n=2))
        await asked
        for part, word in ((1, "b1"), (0, "a1"), (1, "b2")):
            piece = delta(word)
            self.scripted.connections[part].write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await client.until(word.encode())
        for connection in self.scripted.connections:
            connection.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(COMPLETED), COMPLETED))
        received = await client.until(b"\r\n0\r\n\r\n")
        body = unchunk(received.partition(b"\r\n\r\n")[2]).decode()
        found = [json.loads(block[6:]) for block in body.split("\n\n") if block.startswith("data: {")]
        self.assertEqual(body.count("[DONE]"), 1)
        said = [(c["choices"][0]["index"], c["choices"][0]["delta"].get("content")) for c in found]
        self.assertEqual([text for _, text in said if text], ["b1", "a1", "b2"])
        self.assertEqual({index for index, _ in said}, {0, 1})

    async def test_where_one_is_refused_the_others_are_cancelled_and_the_client_told_why(self) -> None:
        error = {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        refused = http_answer(json.dumps({"error": error}).encode(), "429 Too Many Requests", JSON, "Retry-After: 3")
        self.script(self.says(http_stream(CREATED, ADDED, delta("Hel"), end=False)), self.says(refused))
        status, head, body = await self.ask(self.port, "POST", "/v1/chat/completions", chat(stream=True, n=2), JSON)
        self.assertEqual((status, json.loads(body)["error"]), (429, error))
        self.assertIn(b"Retry-After: 3", head)
        await self.scripted.connections[0].lost

    async def test_where_one_breaks_in_the_middle_the_stream_is_cut_and_the_others_cancelled(self) -> None:
        asked = self.script(*[self.says(http_stream(CREATED, ADDED, delta("Hel"), end=False))] * 2)
        client = await self.client(self.port)
        client.post("/v1/chat/completions", chat(stream=True, n=2))
        await asked
        await client.until(lambda data: data.count(b'"Hel"') == 2)
        self.scripted.connections[1].reset()
        await client.closed
        self.assertIn(b'data: {"error":', client.received)
        self.assertNotIn(b"[DONE]", client.received)
        await self.scripted.connections[0].lost

    async def test_a_client_that_leaves_ends_them_all(self) -> None:
        for stream in (True, False):
            before = len(self.scripted.connections)
            asked = self.script(*[lambda connection: None] * 3)
            client = await self.client(self.port)
            client.post("/v1/chat/completions", chat(stream=stream, n=3))
            await asked
            client.transport.loseConnection()
            for connection in self.scripted.connections[before:]:
                await connection.lost

    async def test_an_upstream_that_serves_one_at_a_time_is_no_deadlock(self) -> None:
        waiting: list[UpstreamConnection] = []
        whole = http_stream(CREATED, ADDED, *[delta("x" * 60_000) for _ in range(40)], COMPLETED)

        def one_at_a_time(connection: UpstreamConnection, request: Received) -> None:
            waiting.append(connection)
            if len(waiting) == 1:
                serve()

        def serve() -> None:
            connection = waiting[0]
            left = [whole[at : at + 65536] for at in range(0, len(whole), 65536)]

            class Pull:
                def resumeProducing(self) -> None:
                    connection.write(left.pop(0))
                    if not left:
                        connection.transport.unregisterProducer()
                        waiting.pop(0)
                        if waiting:
                            serve()

                def stopProducing(self) -> None:
                    pass

            connection.transport.registerProducer(Pull(), False)

        self.scripted.script = one_at_a_time
        status, _, body = await self.ask(self.port, "POST", "/v1/chat/completions", chat(stream=True, n=2), JSON)
        self.assertEqual((status, body.count(b'"finish_reason":"stop"')), (200, 2))


class StopTests(SocketTestCase):
    async def stopped(self, stream: bool) -> bytes:
        upstream = self.upstream()
        upstream.answers(http_stream(CREATED, ADDED, delta("One, tw"), delta("o, three"), delta("!"), end=False))
        port = self.proxy(PortKind.BRIDGE)
        body = chat(stream=stream, stop="two")
        status, _, answer = await self.ask(port, "POST", "/v1/chat/completions", body, JSON)
        self.assertEqual((status, json.loads(upstream.requests[0].body)["stream"]), (200, True))
        self.assertNotIn("stop", json.loads(upstream.requests[0].body))
        # the upstream goes on for nobody, so it is cancelled
        await upstream.connections[0].lost
        return answer

    async def test_a_stream_ends_at_the_stop_sequence_and_so_does_the_upstream(self) -> None:
        answer = await self.stopped(stream=True)
        self.assertTrue(answer.endswith(b"data: [DONE]\n\n"))
        self.assertIn(b'"finish_reason":"stop"', answer)
        self.assertNotIn(b"three", answer)

    async def test_a_client_that_wants_no_stream_gets_a_whole_completion(self) -> None:
        choice = json.loads(await self.stopped(stream=False))["choices"][0]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("One, ", "stop"))


class SilenceTests(SocketTestCase):
    """A model that thinks."""

    async def silent(self, *events: bytes, **settings: Any) -> Any:
        self.scripted = self.upstream()
        self.scripted.answers(http_stream(*events, end=False))
        client = await self.client(self.proxy(PortKind.BRIDGE, Settings(keepalive=0.02, **settings)))
        client.post("/v1/chat/completions", chat(stream=True))
        return client

    async def test_chunks_that_say_nothing_come_again_and_again(self) -> None:
        client = await self.silent(CREATED, ADDED)
        received = await client.until(lambda data: data.count(b'"delta":{}') == 3)
        self.assertEqual(received.count(b'"role":"assistant"'), 1)

    async def test_once_upstream_works_on_it_the_status_is_sent_with_the_first_of_them(self) -> None:
        client = await self.silent(CREATED)
        received = await client.until(b'"role":"assistant"')
        self.assertIn(b"200 OK", received)
        piece = delta("Hello") + COMPLETED
        self.scripted.connections[0].write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))
        received = await client.until(b"[DONE]")
        self.assertEqual(received.count(b'"role":"assistant"'), 1)
        self.assertIn(b'"Hello"', received)

    async def test_before_upstream_has_said_a_word_the_status_waits(self) -> None:
        for profile in ("default", "openrouter"):  # chunks, and comments
            client = await self.silent(profile=profile)
            while not self.scripted.requests:
                await self.ask(self.proxy(), "GET", "/v1/models")
            # as long as several keep-alives would take, told by another stream
            other = await self.client(self.proxy(PortKind.BRIDGE, Settings(keepalive=0.02)))
            self.scripted.answers(http_stream(CREATED, ADDED, end=False))
            other.post("/v1/chat/completions", chat(stream=True))
            await other.until(lambda data: data.count(b'"delta":{}') == 5)
            self.assertEqual(client.received, b"", profile)
            self.scripted.connections[0].close()
            received = await client.until(b"upstream_incomplete")
            self.assertIn(b" 502 ", received.split(b"\r\n")[0])

    async def test_a_client_may_choose_comments(self) -> None:
        self.scripted = self.upstream()
        self.scripted.answers(http_stream(CREATED, ADDED, end=False))
        client = await self.client(self.proxy(PortKind.BRIDGE, Settings(keepalive=0.02)))
        client.post("/v1/chat/completions", chat(stream=True), "x-oaiproxy-profile: openrouter")
        await client.until(lambda data: data.count(b": keep-alive\n\n") == 3)
