"""Thoughts in answers, through real sockets: on the bridge and on a passthrough port, streaming and not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.rules.params import ModelRules, RuleBook
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import Settings
from tests.rules.test_think_answers import DONE, chunk, deltas, events, told
from tests.support import (
    ClockedReactor,
    Received,
    SocketTestCase,
    UpstreamConnection,
    http_answer,
    http_stream,
    unchunk,
)
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, JSON, chat, delta, response

REMOVE, MOVE = ThinkRules(ThinkMode.REMOVE), ThinkRules(ThinkMode.MOVE)
EVENTS = "Content-Type: text/event-stream"
CHAT = "/v1/chat/completions"


def thinking(think: ThinkRules, *models: tuple[str, ThinkRules], **fields: Any) -> Settings:
    return Settings(think=ThinkBook(think, models), **fields)


def breaks_off(data: bytes) -> Callable[[UpstreamConnection, Received], None]:
    """An upstream that says so much and is gone."""

    def script(connection: UpstreamConnection, request: Received) -> None:
        connection.write(data)
        connection.close()

    return script


def completion(text: str) -> bytes:
    """A completion as some server writes it."""
    message = {"role": "assistant", "content": text}
    return json.dumps({"id": "c1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def message(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)["choices"][0]["message"]
    return found


class PassthroughTests(SocketTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()

    async def test_thoughts_are_removed_from_a_completion(self) -> None:
        self.scripted.answers(http_answer(completion("<think>\nplan\n</think>\n\nHello"), "200 OK", JSON))
        status, head, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(), JSON)
        self.assertEqual((status, message(body)), (200, {"role": "assistant", "content": "Hello"}))
        self.assertIn(b"\r\nContent-Length: %d" % len(body), head)

    async def test_thoughts_are_moved_in_a_completion(self) -> None:
        self.scripted.answers(http_answer(completion("<think>\nplan\n</think>\n\nHello"), "200 OK", JSON))
        _, _, body = await self.ask(self.proxy(settings=thinking(MOVE)), "POST", CHAT, chat(), JSON)
        self.assertEqual(message(body), {"role": "assistant", "content": "Hello", "reasoning_content": "plan\n"})

    async def test_thoughts_are_removed_from_a_stream(self) -> None:
        end = chunk(None, "stop") + DONE
        self.scripted.answers(http_stream(chunk("<thi"), chunk("nk>plan"), chunk("</think>\n\nHel"), chunk("lo"), end))
        status, head, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(True), JSON)
        self.assertEqual((status, told(body)), (200, ("Hello", "")))
        self.assertTrue(body.endswith(chunk("lo") + end))
        self.assertIn(b"Content-Type: text/event-stream\r\n", head)

    async def test_thoughts_are_moved_in_a_stream(self) -> None:
        self.scripted.answers(http_stream(chunk("<think>plan</think>Hello"), chunk(None, "stop"), DONE))
        _, _, body = await self.ask(self.proxy(settings=thinking(MOVE)), "POST", CHAT, chat(True), JSON)
        self.assertEqual(deltas(body), [{"reasoning_content": "plan"}, {"content": "Hello"}, {}])

    async def test_each_piece_passes_as_it_comes(self) -> None:
        self.scripted.answers(http_stream(end=False))
        client = await self.client(self.proxy(settings=thinking(REMOVE)))
        client.post(CHAT, chat(True))
        await client.until(b"\r\n\r\n")  # the head, before any of the body
        (upstream,) = self.scripted.connections
        for given, shown in ((chunk("One"), b"One"), (chunk("Two <th"), b"Two "), (chunk("ree"), b"<three")):
            upstream.write(b"%x\r\n%b\r\n" % (len(given), given))
            await client.until(shown)
        client.transport.loseConnection()
        await upstream.lost

    async def test_the_request_passes_byte_for_byte_and_asks_for_no_compression(self) -> None:
        self.scripted.answers(http_answer(completion("Hello"), "200 OK", JSON))
        body = b'{ "model":"r1",\t"messages" : [ ] , "odd": 1.50 }\n'
        fields = ("Accept-Encoding: gzip, br", "Authorization: Bearer sk-1", "Accept: application/json")
        _, _, answer = await self.ask(
            self.proxy(settings=thinking(REMOVE)), "POST", CHAT + "?a=%20b&&c", body, JSON, *fields
        )
        (request,) = self.scripted.requests
        self.assertEqual((request.line, request.body), ("POST /v1/chat/completions?a=%20b&&c HTTP/1.1", body))
        self.assertEqual(request.field("accept-encoding"), "identity")
        self.assertEqual(request.field("authorization"), "Bearer sk-1")
        self.assertEqual(request.field("accept"), "application/json")
        self.assertEqual(answer, completion("Hello"))

    async def test_status_and_fields_are_upstream_s_but_for_those_of_the_old_bytes(self) -> None:
        fields = (
            "X-Odd: 1",
            "Set-Cookie: a=b",
            "Server: vllm",
            'ETag: "x"',
            "Content-MD5: x",
        )
        self.scripted.answers(http_answer(completion("<think>x"), "203 Sort Of", JSON, *fields))
        status, head, _ = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(), JSON)
        self.assertEqual(status, 203)
        self.assertTrue(head.startswith(b"HTTP/1.1 203 Sort Of\r\n"), head)
        for kept in (b"X-Odd: 1", b"Set-Cookie: a=b", b"Server: vllm", JSON.encode()):
            self.assertEqual(head.count(b"\r\n" + kept), 1, head)
        for gone in (b"etag", b"md5"):
            self.assertNotIn(gone, head.lower())

    async def test_an_answer_that_came_compressed_is_unpacked(self) -> None:
        packed = gzip.compress(completion("<think>x</think>Hello"))
        self.scripted.answers(http_answer(packed, "200 OK", JSON, "Content-Encoding: gzip"))
        _, head, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(), JSON)
        self.assertEqual(message(body)["content"], "Hello")
        self.assertNotIn(b"gzip", head)

    async def test_an_upstream_s_error_passes_as_it_is(self) -> None:
        error = b'{"odd":  "<think>no</think>"}'
        for stream in (False, True):
            self.scripted.answers(
                http_answer(error, "429 Slow Down", "Content-Type: application/problem+json", "Retry-After: 3")
            )
            status, head, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(stream), JSON)
            self.assertEqual((status, body), (429, error))
            self.assertIn(b"429 Slow Down\r\n", head)
            self.assertIn(b"Retry-After: 3", head)
            self.assertIn(b"Content-Type: application/problem+json", head)

    async def test_json_for_a_client_that_asked_for_a_stream_is_filtered_as_json(self) -> None:
        self.scripted.answers(http_answer(completion("<think>x</think>Hello"), "200 OK", JSON))
        _, _, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(True), JSON)
        self.assertEqual(message(body)["content"], "Hello")

    async def test_a_stream_that_breaks_off_says_so_and_has_no_end(self) -> None:
        self.scripted.script = breaks_off(http_stream(chunk("Hello <thi"), b'data: {"id": "c1", "choi', end=False))
        client = await self.client(self.proxy(settings=thinking(REMOVE)))
        client.post(CHAT, chat(True))
        await client.closed
        received = client.received.partition(b"\r\n\r\n")[2]
        self.assertRaises(AssertionError, unchunk, received)
        body = unchunk(received + b"0\r\n\r\n")
        self.assertEqual(told(body), ("Hello <thi", ""))
        self.assertEqual(events(body)[-1]["error"]["code"], "upstream_incomplete")
        self.assertNotIn(DONE, body)

    async def test_a_completion_that_breaks_off_is_an_error(self) -> None:
        self.scripted.script = breaks_off(http_answer(completion("Hello"), "200 OK", JSON)[:-9])
        status, head, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, chat(), JSON)
        self.assertEqual((status, json.loads(body)["error"]["code"]), (502, "upstream_incomplete"))
        self.assertEqual(head.lower().count(b"content-type:"), 1)

    async def test_a_long_thought_that_is_removed_is_no_silence(self) -> None:
        clock = ClockedReactor()
        self.scripted.answers(http_stream(chunk("", role="assistant"), end=False))
        client = await self.client(self.proxy(settings=thinking(REMOVE), clock=clock))
        client.post(CHAT, chat(True))
        await client.until(b"assistant")
        (upstream,) = self.scripted.connections
        clock.advance(16)  # upstream says nothing either
        thought = chunk("<think>") + b": seen\n\n" + chunk("hm")
        upstream.write(b"%x\r\n%b\r\n" % (len(thought), thought))
        received = (await client.until(b": seen")).partition(b"\r\n\r\n")[2]
        self.assertEqual(unchunk(received + b"0\r\n\r\n"), chunk("", role="assistant") + b": seen\n\n")
        clock.advance(16)
        await client.until(b'{"content":""}')
        self.assertNotIn(b"hm", client.received)

    async def test_other_requests_go_the_raw_way(self) -> None:
        self.scripted.answers(http_answer(completion("<think>x"), "200 OK", JSON, "ETag: 1"))
        port = self.proxy(settings=thinking(REMOVE))
        for method, path in (
            ("POST", "/v1/completions"),
            ("POST", "/v1/responses"),
            ("POST", "/v1/embeddings"),
            ("POST", "/v1/chat/completions/c1"),
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/chat/other"),
        ):
            _, head, body = await self.ask(port, method, path, b'{"model": "r1"}', JSON, "Accept-Encoding: br")
            self.assertEqual(body, completion("<think>x"), path)
            self.assertIn(b"ETag: 1", head)
            self.assertEqual(self.scripted.requests[-1].field("accept-encoding"), "br")

    async def test_a_body_that_nobody_can_read_is_refused_as_ever(self) -> None:
        for raw in (b"{", b"[]", b'{"model": "r1"}'):
            status, _, body = await self.ask(self.proxy(settings=thinking(REMOVE)), "POST", CHAT, raw, JSON)
            self.assertEqual((status, json.loads(body)["error"]["type"]), (400, "invalid_request_error"))
        self.assertEqual(self.scripted.requests, [])


class ModelTests(SocketTestCase):
    """Which rules hold for a request."""

    def setUp(self) -> None:
        self.scripted = self.upstream()
        self.scripted.answers(http_answer(completion("<think>a</think>[b]c"), "200 OK", JSON, "ETag: 1"))

    async def content(self, port: int, **fields: Any) -> str:
        _, head, body = await self.ask(port, "POST", CHAT, chat(**fields), JSON)
        self.raw = b"ETag" in head
        text: str = message(body)["content"]
        return text

    async def test_tags_are_those_of_the_model(self) -> None:
        square = ThinkRules(ThinkMode.REMOVE, "[", "]")
        port = self.proxy(settings=thinking(ThinkRules(), ("deep*", REMOVE), ("deepseek-7b", square)))
        self.assertEqual(await self.content(port, model="deepseek-32b"), "[b]c")
        self.assertEqual(await self.content(port, model="deepseek-7b"), "<think>a</think>c")
        self.assertFalse(self.raw)

    async def test_a_model_without_rules_goes_the_raw_way(self) -> None:
        port = self.proxy(settings=thinking(ThinkRules(), ("deep*", REMOVE)))
        self.assertEqual(await self.content(port, model="gpt-5"), "<think>a</think>[b]c")
        self.assertTrue(self.raw)

    async def test_a_model_may_be_left_out(self) -> None:
        port = self.proxy(settings=thinking(REMOVE, ("gpt-*", ThinkRules())))
        self.assertEqual(await self.content(port, model="gpt-5"), "<think>a</think>[b]c")
        self.assertEqual(await self.content(port, model="other"), "[b]c")

    async def test_the_model_that_is_meant_counts_as_well(self) -> None:
        rules = RuleBook(models=(ModelRules("mine", upstream_model="deepseek-r1"),))
        port = self.proxy(settings=thinking(ThinkRules(), ("deepseek-r1", REMOVE), rules=rules))
        self.assertEqual(await self.content(port, model="mine"), "[b]c")

    async def test_without_any_rule_the_port_has_no_such_resource(self) -> None:
        self.assertEqual(await self.content(self.proxy(), model="r1"), "<think>a</think>[b]c")
        self.assertTrue(self.raw)


class BridgeTests(SocketTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()

    def says(self, text: str) -> bytes:
        item = response()["output"][0]
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return http_answer(json.dumps(response(output=[{**item, "content": content}])).encode(), "200 OK", JSON)

    async def answer(self, settings: Settings, stream: bool = False, **fields: Any) -> bytes:
        status, _, body = await self.ask(
            self.proxy(PortKind.BRIDGE, settings), "POST", CHAT, chat(stream, **fields), JSON
        )
        self.assertEqual(status, 200, body)
        return body

    async def test_thoughts_are_taken_out_of_a_completion(self) -> None:
        self.scripted.answers(self.says("<think>\nplan\n</think>\n\nHello"))
        self.assertEqual(message(await self.answer(thinking(REMOVE)))["content"], "Hello")
        moved = message(await self.answer(thinking(MOVE)))
        self.assertEqual((moved["content"], moved["reasoning_content"]), ("Hello", "plan\n"))

    async def test_thoughts_are_taken_out_of_a_stream(self) -> None:
        said = [delta("<thi"), delta("nk>plan"), delta("</think>\n\nHel"), delta("lo")]
        self.scripted.answers(http_stream(CREATED, ADDED, *said, COMPLETED))
        for rules, shown in ((REMOVE, ("Hello", "")), (MOVE, ("Hello", "plan"))):
            body = await self.answer(thinking(rules), stream=True)
            self.assertEqual(told(body), shown)
            self.assertTrue(body.endswith(DONE))

    async def test_each_of_several_choices_has_thoughts_of_its_own(self) -> None:
        self.scripted.answers(self.says("<think>a</think>A"), self.says("B"), self.says("<think>c</think>C"))
        found = json.loads(await self.answer(thinking(REMOVE), n=3))
        self.assertEqual(sorted(choice["message"]["content"] for choice in found["choices"]), ["A", "B", "C"])

    async def test_several_streamed_choices_have_thoughts_of_their_own(self) -> None:
        self.scripted.answers(http_stream(CREATED, ADDED, delta("<thi"), delta("nk>a</think>A"), COMPLETED))
        body = await self.answer(thinking(MOVE), stream=True, n=2)
        self.assertEqual((told(body, 0), told(body, 1)), (("A", "a"), ("A", "a")))

    async def test_rules_are_those_of_the_model(self) -> None:
        self.scripted.answers(self.says("<think>a</think>A"))
        settings = thinking(REMOVE, ("gpt-*", ThinkRules()))
        self.assertEqual(message(await self.answer(settings))["content"], "<think>a</think>A")
        self.assertEqual(message(await self.answer(settings, model="r1"))["content"], "A")

    async def test_thoughts_go_where_the_client_reads_them(self) -> None:
        self.scripted.answers(self.says("<think>a</think>A"))
        for field, shown in (
            (ReasoningField.REASONING, {"content": "A", "reasoning": "a"}),
            (ReasoningField.NONE, {"content": "A"}),
            (ReasoningField.THINK, {"content": "<think>a</think>A"}),
        ):
            found = message(await self.answer(thinking(MOVE, reasoning_field=field)))
            self.assertEqual({name: found[name] for name in found if name in shown or "reasoning" in name}, shown)

    async def test_a_stream_that_breaks_off_says_what_was_held_back_and_has_no_end(self) -> None:
        self.scripted.script = breaks_off(http_stream(CREATED, ADDED, delta("Hello <thi"), end=False))
        client = await self.client(self.proxy(PortKind.BRIDGE, thinking(REMOVE)))
        client.post(CHAT, chat(True))
        await client.closed
        body = unchunk(client.received.partition(b"\r\n\r\n")[2] + b"0\r\n\r\n")
        self.assertEqual(told(body), ("Hello <thi", ""))
        self.assertEqual(events(body)[-1]["error"]["code"], "upstream_incomplete")
        self.assertNotIn(DONE, body)

    async def test_prompts_are_answered_with_all_that_the_model_says(self) -> None:
        self.scripted.answers(self.says("<think>a</think>A"))
        port = self.proxy(PortKind.BRIDGE, thinking(REMOVE))
        _, _, body = await self.ask(port, "POST", "/v1/completions", b'{"model": "r1", "prompt": "Hi"}', JSON)
        self.assertEqual(json.loads(body)["choices"][0]["text"], "<think>a</think>A")
