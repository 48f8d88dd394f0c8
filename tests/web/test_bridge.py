"""The bridge port, through real sockets: when the status is sent, how failures arrive, and what ends what."""

from __future__ import annotations

import gzip
import json
from typing import Any

from twisted.internet.defer import Deferred

from oaiproxy.api.request import PortKind
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.reasoning_default import reasoning_default
from oaiproxy.plugins.web_search_default import web_search_default
from oaiproxy.settings import Settings, Timeouts
from tests.support import RawClient, SocketTestCase, http_answer, http_stream, unchunk

JSON = "Content-Type: application/json"


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def response(**fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.1",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
        **fields,
    }


CREATED = event("response.created", response=response(status="in_progress", output=[], usage=None))
ADDED = event(
    "response.output_item.added",
    output_index=0,
    item={"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []},
)
COMPLETED = event("response.completed", response=response())


def delta(text: str) -> bytes:
    return event("response.output_text.delta", output_index=0, content_index=0, item_id="msg_1", delta=text)


def chat(stream: bool = False, **fields: Any) -> bytes:
    body = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "Hi"}], "stream": stream, **fields}
    return json.dumps(body).encode()


class BridgeTestCase(SocketTestCase):
    def bridge(self, settings: Settings | None = None) -> int:
        return self.proxy(PortKind.BRIDGE, settings, transforms=(model_alias, reasoning_default, web_search_default))


class RequestTests(BridgeTestCase):
    async def sent(self, body: bytes, *fields: str, settings: Settings | None = None) -> dict[str, Any]:
        upstream = self.upstream()
        upstream.answers(http_answer(json.dumps(response()).encode(), "200 OK", JSON))
        status, self.head, self.body = await self.ask(
            self.bridge(settings), "POST", "/v1/chat/completions?trace=1", body, JSON, *fields
        )
        self.assertEqual(status, 200, self.body)
        self.request = upstream.requests[0]
        sent: dict[str, Any] = json.loads(self.request.body)
        return sent

    async def test_a_chat_completion_is_made_with_a_response(self) -> None:
        await self.sent(chat())
        self.assertEqual(self.request.line, "POST /v1/responses?trace=1 HTTP/1.1")
        answer = json.loads(self.body)
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(answer["choices"][0]["message"]["content"], "Hello")
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
        self.assertIn(b"Content-Type: application/json", self.head)

    async def test_a_request_that_says_nothing_gets_reasoning_and_web_search(self) -> None:
        sent = await self.sent(chat())
        self.assertEqual(sent["reasoning"], {"effort": "medium", "summary": "auto"})
        self.assertEqual(sent["tools"], [{"type": "web_search"}])

    async def test_web_search_can_be_turned_off(self) -> None:
        sent = await self.sent(chat(), settings=Settings(auto_web_search=False))
        self.assertNotIn("tools", sent)

    async def test_an_alias_sets_the_defaults_and_upstream_sees_the_base(self) -> None:
        sent = await self.sent(chat(model="gpt-5.1:res-high:sum-none"))
        self.assertEqual((sent["model"], sent["reasoning"]), ("gpt-5.1", {"effort": "high"}))

    async def test_a_request_s_own_effort_wins_over_the_alias(self) -> None:
        sent = await self.sent(chat(model="gpt-5.1:res-high:sum-auto", reasoning_effort="low"))
        self.assertEqual(sent["reasoning"], {"effort": "low", "summary": "auto"})

    async def test_a_model_that_does_not_reason_gets_neither(self) -> None:
        sent = await self.sent(chat(model="some-local-model"))
        self.assertNotIn("reasoning", sent)
        self.assertNotIn("tools", sent)

    async def test_the_client_s_key_reaches_the_upstream_and_compression_is_not_asked_for(self) -> None:
        await self.sent(chat(), "x-api-key: sk-xcode", "Accept-Encoding: gzip", "OpenAI-Project: p1")
        self.assertEqual(self.request.field("authorization"), "Bearer sk-xcode")
        self.assertEqual(self.request.field("accept-encoding"), "identity")
        self.assertEqual(self.request.field("openai-project"), "p1")

    async def test_what_was_dropped_is_said_in_a_header(self) -> None:
        await self.sent(chat(seed=7))
        self.assertRegex(self.head.decode("latin-1").lower(), r"\r\nx-oaiproxy-warning: [^\r]*seed")

    async def test_a_compressed_request_is_refused_clearly(self) -> None:
        upstream = self.upstream()
        status, _, body = await self.ask(
            self.bridge(), "POST", "/v1/chat/completions", gzip.compress(chat()), JSON, "Content-Encoding: gzip"
        )
        self.assertEqual((status, json.loads(body)["error"]["code"]), (415, "unsupported_content_encoding"))
        self.assertEqual(upstream.requests, [])

    async def test_everything_else_is_passed_on(self) -> None:
        upstream = self.upstream()
        await self.ask(self.bridge(), "POST", "/v1/responses", b'{"input": "x"}', JSON)
        self.assertEqual(
            (upstream.requests[0].line, upstream.requests[0].body[:10]), ("POST /v1/responses HTTP/1.1", b'{"input": ')
        )


class ErrorTests(BridgeTestCase):
    async def error(self, answer: bytes, stream: bool = False) -> tuple[int, dict[str, Any]]:
        self.upstream().answers(answer)
        status, self.head, body = await self.ask(self.bridge(), "POST", "/v1/chat/completions", chat(stream), JSON)
        error: dict[str, Any] = json.loads(body)["error"]
        return status, error

    async def test_an_upstream_error_keeps_its_status_object_and_headers(self) -> None:
        given = {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        status, error = await self.error(
            http_answer(
                json.dumps({"error": given}).encode(),
                "429 Too Many Requests",
                JSON,
                "Retry-After: 3",
                "X-Request-Id: req_9",
                "X-Ratelimit-Reset-Tokens: 1s",
            )
        )
        self.assertEqual((status, error), (429, given))
        self.assertTrue(self.head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n"))
        for line in (b"Retry-After: 3", b"X-Request-Id: req_9", b"X-Ratelimit-Reset-Tokens: 1s"):
            self.assertIn(line, self.head)

    async def test_a_page_of_html_becomes_an_error_object(self) -> None:
        status, error = await self.error(
            http_answer(b"<html>Bad gateway</html>", "502 Bad Gateway", "Content-Type: text/html")
        )
        self.assertEqual((status, error["type"]), (502, "api_error"))

    async def test_a_stream_that_fails_before_its_first_output_is_still_an_http_error(self) -> None:
        failed = response(
            status="failed", output=[], usage=None, error={"code": "rate_limit_exceeded", "message": "Slow down"}
        )
        status, error = await self.error(http_stream(CREATED, event("response.failed", response=failed)), stream=True)
        self.assertEqual((status, error["code"], error["message"]), (429, "rate_limit_exceeded", "Slow down"))

    async def test_a_stream_that_ends_before_its_first_output_is_a_502(self) -> None:
        status, error = await self.error(http_stream(CREATED), stream=True)
        self.assertEqual((status, error["code"]), (502, "upstream_incomplete"))

    async def test_a_failed_response_is_an_error_and_no_completion(self) -> None:
        failed = response(status="failed", error={"code": "server_error", "message": "Oops"})
        status, error = await self.error(http_answer(json.dumps(failed).encode(), "200 OK", JSON))
        self.assertEqual((status, error["message"]), (500, "Oops"))

    async def test_half_an_object_is_a_502(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: (
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"),
            connection.close(),
        )
        status, _, body = await self.ask(self.bridge(), "POST", "/v1/chat/completions", chat(), JSON)
        self.assertEqual((status, json.loads(body)["error"]["code"]), (502, "upstream_incomplete"))

    async def test_a_redirect_is_not_followed_and_not_passed_on(self) -> None:
        status, _ = await self.error(http_answer(b"", "307 Temporary Redirect", "Location: http://elsewhere/"))
        self.assertEqual(status, 502)

    async def test_a_compressed_answer_that_was_not_asked_for_is_read_all_the_same(self) -> None:
        body = gzip.compress(json.dumps(response()).encode())
        self.upstream().answers(http_answer(body, "200 OK", JSON, "Content-Encoding: gzip"))
        status, head, answer = await self.ask(self.bridge(), "POST", "/v1/chat/completions", chat(), JSON)
        self.assertEqual((status, json.loads(answer)["choices"][0]["message"]["content"]), (200, "Hello"))
        self.assertNotIn(b"content-encoding", head.lower())


class StreamTests(BridgeTestCase):
    async def streaming(self, *pieces: bytes, settings: Settings | None = None) -> RawClient:
        """A client with a stream under way, whose upstream has sent `pieces` so far."""
        self.scripted = self.upstream()
        self.scripted.answers(http_stream(*pieces, end=False))
        client = await self.client(self.bridge(settings))
        client.post("/v1/chat/completions", chat(stream=True))
        return client

    def more(self, *pieces: bytes, end: bool = False) -> None:
        data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        self.scripted.connections[0].write(data + (b"0\r\n\r\n" if end else b""))

    async def test_chunks_arrive_as_the_events_came_and_done_is_last(self) -> None:
        client = await self.streaming(CREATED, ADDED, delta("Hel"))
        head = await client.until(b'"Hel"')
        self.assertIn(b"text/event-stream", head)
        self.assertNotIn(b"[DONE]", client.received)
        self.more(delta("lo"))
        await client.until(b'"lo"')
        self.more(COMPLETED, end=True)
        received = await client.until(b"\r\n0\r\n\r\n")
        body = unchunk(received.partition(b"\r\n\r\n")[2])
        self.assertTrue(body.endswith(b"data: [DONE]\n\n"), body[-80:])
        self.assertIn(b'"finish_reason":"stop"', body)

    async def test_the_status_waits_until_upstream_has_accepted(self) -> None:
        upstream = self.scripted = self.upstream()
        asked: Deferred[None] = Deferred()
        upstream.script = lambda connection, request: (
            connection.write(http_stream(CREATED, end=False)),
            asked.callback(None),
        )
        client = await self.client(self.bridge())
        client.post("/v1/chat/completions", chat(stream=True))
        await asked
        # an exchange on another connection, so that the first had its time
        await self.ask(self.proxy(), "GET", "/v1/models")
        self.assertEqual(client.received, b"")
        self.more(ADDED)
        await client.until(b"200 OK")

    async def test_the_client_has_its_end_without_waiting_for_the_upstream_s(self) -> None:
        client = await self.streaming(CREATED, ADDED, delta("Hello"), COMPLETED)
        await client.until(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async def test_the_connection_is_kept_after_a_stream(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED))
        port = self.bridge()
        client = await self.client(port)
        for n in (1, 2):
            client.post("/v1/chat/completions", chat(stream=True))
            await client.until(lambda data, n=n: data.count(b"[DONE]\n\n\r\n0\r\n\r\n") == n)  # type: ignore[misc]
        self.assertEqual((len(upstream.requests), len(upstream.connections)), (2, 1))

    async def cut(self, how: str) -> bytes:
        client = await self.streaming(CREATED, ADDED, delta("Hel"))
        await client.until(b'"Hel"')
        getattr(self.scripted.connections[0], how)()
        await client.closed
        return client.received

    async def test_a_stream_that_is_cut_says_so_and_has_no_end(self) -> None:
        for how in ("close", "reset"):
            received = await self.cut(how)
            self.assertIn(b'data: {"error":{"message":', received)
            self.assertNotIn(b"[DONE]", received)
            self.assertNotIn(b'"finish_reason":"', received)
            self.assertFalse(received.endswith(b"0\r\n\r\n"))

    async def test_an_error_event_in_the_middle_is_passed_on_and_the_body_cut(self) -> None:
        client = await self.streaming(CREATED, ADDED, delta("Hel"))
        await client.until(b'"Hel"')
        self.more(event("error", error={"type": "server_error", "code": None, "message": "It broke", "param": None}))
        await client.closed
        self.assertIn(b'"message":"It broke"', client.received)
        self.assertNotIn(b"[DONE]", client.received)
        await self.scripted.connections[0].lost

    async def test_an_error_is_passed_on_at_once_although_upstream_goes_on_and_says_nothing(self) -> None:
        failed = event("error", error={"type": "server_error", "code": None, "message": "It broke", "param": None})
        client = await self.streaming(CREATED, ADDED, delta("Hel") + failed)
        await client.closed
        self.assertIn(b'"Hel"', client.received)
        self.assertIn(b'"message":"It broke"', client.received)

    async def test_a_stall_beyond_the_limit_is_said_and_cut(self) -> None:
        client = await self.streaming(CREATED, ADDED, delta("Hel"), settings=Settings(timeouts=Timeouts(idle=0.1)))
        await client.closed
        self.assertIn(b'"code":"upstream_timeout"', client.received)
        self.assertNotIn(b"[DONE]", client.received)
        await self.scripted.connections[0].lost

    async def test_a_client_that_leaves_ends_the_upstream_request(self) -> None:
        client = await self.streaming(CREATED, ADDED, delta("Hel"))
        await client.until(b'"Hel"')
        client.transport.loseConnection()
        await self.scripted.connections[0].lost

    async def test_a_client_that_leaves_an_answer_that_is_no_stream_ends_it_too(self) -> None:
        upstream = self.upstream()
        asked: Deferred[None] = Deferred()
        upstream.script = lambda connection, request: asked.callback(None)
        client = await self.client(self.bridge())
        client.post("/v1/chat/completions", chat())
        await asked
        client.transport.loseConnection()
        await upstream.connections[0].lost
