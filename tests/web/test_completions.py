"""Legacy completions, and stored ones, on the bridge port, through real sockets."""

from __future__ import annotations

import json
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.bridge.completions.request import ROOM_TO_REASON
from oaiproxy.plugins.completion_reasoning import completion_reasoning
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.reasoning_default import reasoning_default
from oaiproxy.plugins.web_search_default import web_search_default
from oaiproxy.settings import Settings
from tests.bridge.completing import folded, response, streamed
from tests.bridge.wire import created, sse, text
from tests.support import RawClient, SocketTestCase, http_answer, http_stream, unchunk

JSON = "Content-Type: application/json"


def asking(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt-5.1", "prompt": "Once upon", **fields}).encode()


class CompletionsTestCase(SocketTestCase):
    def bridge(self, settings: Settings | None = None) -> int:
        transforms = (model_alias, reasoning_default, completion_reasoning, web_search_default)
        return self.proxy(PortKind.BRIDGE, settings, transforms=transforms)


class RequestTests(CompletionsTestCase):
    async def told(self, body: bytes, *answers: bytes, settings: Settings | None = None) -> Any:
        """The completion that a request gets, or its error."""
        self.scripted = self.upstream()
        self.scripted.answers(*answers or [http_answer(json.dumps(response(" a", " time")).encode(), "200 OK", JSON)])
        self.status, self.head, answer = await self.ask(self.bridge(settings), "POST", "/v1/completions", body, JSON)
        return json.loads(answer)

    def sent(self) -> list[Any]:
        self.assertEqual({request.line for request in self.scripted.requests}, {"POST /v1/responses HTTP/1.1"})
        return [json.loads(request.body) for request in self.scripted.requests]

    async def test_a_completion_is_made_with_a_response(self) -> None:
        answer = await self.told(asking())
        self.assertEqual(
            (self.status, answer["object"], answer["choices"][0]["text"]), (200, "text_completion", " a time")
        )
        (sent,) = self.sent()
        self.assertEqual(sent["input"][1], {"role": "user", "content": "Once upon"})
        self.assertEqual([name for name in ("tools", "reasoning") if name in sent], [])

    async def test_an_alias_is_resolved_and_its_effort_respected(self) -> None:
        await self.told(asking(model="gpt-5.1:res-low"))
        (sent,) = self.sent()
        self.assertEqual((sent["model"], sent["reasoning"]), ("gpt-5.1", {"effort": "low"}))

    async def test_several_prompts_are_asked_at_once_and_answered_in_order(self) -> None:
        def script(connection: Any, request: Any) -> None:
            prompt = json.loads(request.body)["input"][1]["content"]
            connection.write(http_answer(json.dumps(response(f" after {prompt}")).encode(), "200 OK", JSON))

        self.scripted = self.upstream()
        self.scripted.script = script
        _, _, answer = await self.ask(
            self.bridge(), "POST", "/v1/completions", asking(prompt=["one", "two"], n=2, echo=True), JSON
        )
        self.assertEqual(
            [(choice["index"], choice["text"]) for choice in json.loads(answer)["choices"]],
            [(0, "one after one"), (1, "one after one"), (2, "two after two"), (3, "two after two")],
        )

    async def test_what_was_dropped_is_said_in_a_header(self) -> None:
        await self.told(asking(seed=7))
        self.assertRegex(self.head.decode("latin-1").lower(), r"\r\nx-oaiproxy-warning: [^\r]*seed")

    async def test_a_strict_proxy_refuses_it(self) -> None:
        answer = await self.told(asking(seed=7), settings=Settings(strict=True))
        self.assertEqual((self.status, answer["error"]["param"]), (400, "seed"))
        self.assertEqual(self.scripted.requests, [])

    async def test_an_upstream_error_names_the_clients_field(self) -> None:
        error = {"message": "Too long.", "type": "invalid_request_error", "param": "input", "code": "too_long"}
        answer = await self.told(asking(), http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON))
        self.assertEqual((self.status, answer["error"]), (400, {**error, "param": "prompt"}))

    async def test_reasoning_that_upstream_refuses_is_taken_back_and_the_limit_follows(self) -> None:
        error = {"message": "Unsupported value: 'none'.", "type": "invalid_request_error", "param": "reasoning.effort"}
        answer = await self.told(
            asking(model="gpt-5.6-sol"),
            http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON),
            http_answer(json.dumps(response(" a")).encode(), "200 OK", JSON),
        )
        self.assertEqual(answer["choices"][0]["text"], " a")
        sent = [(body.get("reasoning"), body["max_output_tokens"]) for body in self.sent()]
        self.assertEqual(sent, [({"effort": "none"}, 16), (None, 16 + ROOM_TO_REASON)])

    async def test_token_numbers_never_go_upstream(self) -> None:
        answer = await self.told(asking(prompt=[1, 2]))
        self.assertEqual((self.status, answer["error"]["param"]), (400, "prompt"))
        self.assertEqual(self.scripted.requests, [])

    async def test_other_methods_are_not_allowed(self) -> None:
        self.upstream()
        port = self.bridge()
        for method in ("GET", "HEAD", "OPTIONS"):
            status, head, _ = await self.ask(port, method, "/v1/completions")
            self.assertEqual((status, b"\r\nAllow: POST" in head), (405, True))

    async def test_the_passthrough_port_passes_it_on(self) -> None:
        upstream = self.upstream()
        await self.ask(self.proxy(), "POST", "/v1/completions", asking(prompt=[1, 2]), JSON)
        (request,) = upstream.requests
        self.assertEqual((request.line, request.body), ("POST /v1/completions HTTP/1.1", asking(prompt=[1, 2])))


class StreamTests(CompletionsTestCase):
    async def streaming(self, *pieces: bytes, **fields: Any) -> RawClient:
        self.scripted = self.upstream()
        self.scripted.answers(http_stream(*pieces, end=False))
        client = await self.client(self.bridge())
        client.post("/v1/completions", asking(stream=True, **fields), "Connection: close")
        return client

    async def test_chunks_come_as_upstream_writes_them(self) -> None:
        client = await self.streaming(sse(created(), text(" a")))
        head = await client.until(b'"text":" a"')
        self.assertIn(b"text/event-stream", head)
        self.scripted.connections[0].write(http_stream(streamed(" time")).partition(b"\r\n\r\n")[2])
        await client.closed
        found = folded(unchunk(client.received.partition(b"\r\n\r\n")[2]))
        self.assertEqual(found["choices"], [{"text": " a time", "index": 0, "logprobs": None, "finish_reason": "stop"}])

    async def test_a_failure_before_the_first_word_is_an_http_error(self) -> None:
        error = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down", "param": None}
        client = await self.streaming(sse(created(), error))
        head = await client.until(b"rate_limit_exceeded")
        self.assertEqual(head.split(b" ")[1], b"429")

    async def test_a_failure_after_it_is_an_event_and_a_cut(self) -> None:
        error = {"type": "error", "code": "server_error", "message": "Oops", "param": None}
        client = await self.streaming(sse(created(), text(" a")))
        await client.until(b'"text":" a"')
        self.scripted.connections[0].write(http_stream(sse(error)).partition(b"\r\n\r\n")[2])
        await client.closed
        self.assertIn(b'data: {"error":{"message":"Oops"', client.received)
        self.assertNotIn(b"[DONE]", client.received)
        self.assertFalse(client.received.endswith(b"0\r\n\r\n"))

    async def test_a_stop_sequence_ends_the_stream_and_leaves_upstream(self) -> None:
        client = await self.streaming(sse(created(), text(" a."), text(" b")), stop=".")
        await client.closed
        found = folded(unchunk(client.received.partition(b"\r\n\r\n")[2]))
        self.assertEqual(found["choices"][0]["text"], " a")
        await self.scripted.connections[0].lost


class StoredTests(CompletionsTestCase):
    async def test_nothing_about_stored_completions_goes_upstream(self) -> None:
        upstream = self.upstream()
        port = self.bridge()
        for method, path, status, instead in (
            ("GET", "", 405, "GET /v1/responses/{response_id}"),
            ("GET", "/?limit=2", 405, "GET /v1/responses/{response_id}"),
            ("GET", "/chatcmpl-1a", 404, "GET /v1/responses/resp_1a on"),
            ("GET", "/chatcmpl%2D1a/", 404, "GET /v1/responses/resp_1a on"),
            ("POST", "/chatcmpl-1a", 404, "GET /v1/responses/resp_1a on"),
            ("DELETE", "/chatcmpl-1a", 404, "DELETE /v1/responses/resp_1a on"),
            ("GET", "/chatcmpl-1a/messages?order=asc", 404, "GET /v1/responses/resp_1a/input_items"),
            ("GET", "/chatcmpl-1a/messages/", 404, "GET /v1/responses/resp_1a/input_items"),
            ("PUT", "/chatcmpl-1a", 405, "GET, HEAD, POST, DELETE"),
            ("OPTIONS", "/chatcmpl-1a/messages", 405, "GET, HEAD"),
        ):
            found, _, body = await self.ask(port, method, f"/v1/chat/completions{path}")
            self.assertEqual(found, status, (method, path))
            self.assertIn(instead, json.loads(body)["error"]["message"])
        self.assertEqual(upstream.requests, [])

    async def test_head_has_the_status_and_no_body(self) -> None:
        self.upstream()
        status, head, body = await self.ask(self.bridge(), "HEAD", "/v1/chat/completions/chatcmpl-1a")
        self.assertEqual((status, body, b"Content-Length" in head), (404, b"", True))

    async def test_paths_that_the_api_does_not_have_are_passed_on(self) -> None:
        upstream = self.upstream()
        port = self.bridge()
        for path in ("chatcmpl-1a/other", "chatcmpl-1a/messages/m", "chatcmpl-1a//"):
            await self.ask(port, "GET", f"/v1/chat/completions/{path}")
        self.assertEqual(
            [request.line for request in upstream.requests],
            [
                "GET /v1/chat/completions/chatcmpl-1a/other HTTP/1.1",
                "GET /v1/chat/completions/chatcmpl-1a/messages/m HTTP/1.1",
                "GET /v1/chat/completions/chatcmpl-1a// HTTP/1.1",
            ],
        )

    async def test_the_passthrough_port_passes_them_on(self) -> None:
        upstream = self.upstream()
        await self.ask(self.proxy(), "GET", "/v1/chat/completions/chatcmpl-1a")
        self.assertEqual(
            [request.line for request in upstream.requests], ["GET /v1/chat/completions/chatcmpl-1a HTTP/1.1"]
        )
