"""Tools that the proxy runs, through real sockets, on both kinds of port: what is asked, what is run, what is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from oaiproxy.api.request import PortKind
from oaiproxy.interfaces import IToolContext
from oaiproxy.plugins.reasoning_default import reasoning_default
from oaiproxy.plugins.web_search_default import web_search_default
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import Settings, TargetApi, ToolSettings
from oaiproxy.tools import ToolError
from oaiproxy.web.toolcalls import MOST_AT_ONCE
from tests.support import (
    ClockedReactor,
    Received,
    SocketTestCase,
    UpstreamConnection,
    http_answer,
    http_stream,
    unchunk,
)
from tests.tools.support import DONE, Tool, call, chunk, chunks, completion, said, schema, usage
from tests.web.test_bridge import JSON, event, response

CHAT = "/v1/chat/completions"
ON = Settings(tools=ToolSettings(enabled=True))
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

#: A call, as `Port.says` takes it: name, arguments, id.
Call = tuple[str, str, str]


def settings(**tools: Any) -> Settings:
    return Settings(tools=ToolSettings(enabled=True, **tools))


class Port:
    """What upstream says on a kind of port, and what it was asked there."""

    kind: PortKind

    def says(self, text: str = "", calls: Sequence[Call] = (), stream: bool = False, thought: str = "") -> bytes:
        """An answer."""
        raise NotImplementedError

    def asked(self, request: Received) -> tuple[list[Any], list[tuple[str, str]]]:
        """The names of the tools in a request, and the results of calls in its history: id and text."""
        raise NotImplementedError


class Passthrough(Port):
    kind = PortKind.PASSTHROUGH

    def says(self, text: str = "", calls: Sequence[Call] = (), stream: bool = False, thought: str = "") -> bytes:
        made = [call(name, arguments, index, id) for index, (name, arguments, id) in enumerate(calls)]
        finish = "tool_calls" if calls else "stop"
        if not stream:
            extra = {"message": {"reasoning_content": thought}} if thought else {}
            body = completion(text or None, made, finish, usage=usage(3, 1), **extra)
            return http_answer(body, "200 OK", JSON)
        pieces = [chunk({"role": "assistant", "content": ""})]
        pieces += [chunk({"reasoning_content": thought})] if thought else []
        pieces += [chunk({"content": text})] if text else []
        pieces += [chunk({"tool_calls": [each]}) for each in made]
        return http_stream(*pieces, chunk({}, finish), chunk(None, usage=usage(3, 1)), DONE)

    def asked(self, request: Received) -> tuple[list[Any], list[tuple[str, str]]]:
        body = json.loads(request.body)
        names = [tool.get("function", tool).get("name", tool["type"]) for tool in body.get("tools", ())]
        return names, [(m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool"]


class Bridge(Port):
    kind = PortKind.BRIDGE

    def says(self, text: str = "", calls: Sequence[Call] = (), stream: bool = False, thought: str = "") -> bytes:
        items: list[dict[str, Any]] = []
        if thought:
            items.append({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": thought}]})
        if text:
            part = {"type": "output_text", "text": text, "annotations": []}
            items.append(
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
            )
        items += [
            {
                "type": "function_call",
                "id": f"fc_{id}",
                "call_id": id,
                "name": name,
                "arguments": arguments,
                "status": "completed",
            }
            for name, arguments, id in calls
        ]
        counted = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
        whole = response(output=items, usage=counted)
        if not stream:
            return http_answer(json.dumps(whole).encode(), "200 OK", JSON)
        events = [event("response.created", response=response(status="in_progress", output=[], usage=None))]
        for index, item in enumerate(items):
            begun = {**item, "content": []} if "content" in item else item
            events.append(event("response.output_item.added", output_index=index, item=begun))
            events.append(event("response.output_item.done", output_index=index, item=item))
        return http_stream(*events, event("response.completed", response=whole))

    def asked(self, request: Received) -> tuple[list[Any], list[tuple[str, str]]]:
        body = json.loads(request.body)
        names = [tool.get("name", tool["type"]) for tool in body.get("tools", ())]
        return names, [(i["call_id"], i["output"]) for i in body["input"] if i.get("type") == "function_call_output"]


class ToolTestCase(SocketTestCase):
    """Tests that are the same on both kinds of port; those of a subclass are on one."""

    on: Port

    def start(self, *tools: Tool, settings: Settings = ON, **how: Any) -> None:
        self.scripted = self.upstream()
        self.port = self.proxy(self.on.kind, settings, tools=tools or (Tool(),), **how)

    async def post(self, stream: bool = False, **fields: Any) -> tuple[int, bytes, bytes]:
        options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **options, **fields}
        return await self.ask(self.port, "POST", CHAT, json.dumps(body).encode(), JSON)

    def results(self, number: int = -1) -> list[tuple[str, str]]:
        """The results of calls that upstream was told."""
        return self.on.asked(self.scripted.requests[number])[1]

    async def told(self, tool: Tool, *calls: Call, settings: Settings = ON, **how: Any) -> list[str]:
        """What the model is told of calls."""
        self.start(tool, settings=settings, **how)
        self.scripted.answers(self.on.says(calls=calls or (("clock", "{}", "call_1"),)), self.on.says("Done"))
        status, _, _ = await self.post()
        self.assertEqual((status, len(self.scripted.requests)), (200, 2))
        return [text for _, text in self.results()]


class RoundTests:
    """What is the same on both kinds of port."""

    on: Any

    async def test_a_call_is_run_and_the_model_asked_again_streaming_and_not(self: Any) -> None:
        tool = Tool(does=lambda arguments, context: {"now": arguments.get("zone")})
        for stream in (False, True):
            self.start(tool)
            self.scripted.answers(
                self.on.says("Wait.", [("clock", '{"zone": "UTC"}', "call_1")], stream, "Hm"),
                self.on.says("Noon", stream=stream, thought="Ah"),
            )
            status, _, body = await self.post(stream)
            self.assertEqual(status, 200, body)
            self.assertEqual(tool.calls.pop(), {"zone": "UTC"})
            self.assertEqual(self.results(), [("call_1", '{"now":"UTC"}')])
            if stream:
                found = chunks(body)
                self.assertEqual((said(body), said(body, "reasoning_content")), ("Wait.\n\nNoon", "Hm\n\nAh"))
                self.assertEqual(
                    [c["choices"][0]["delta"].get("role") for c in found if c["choices"]].count("assistant"), 1
                )
                self.assertEqual([c["choices"][0]["finish_reason"] for c in found if c["choices"]].count("stop"), 1)
                self.assertEqual([c["usage"]["total_tokens"] for c in found if c.get("usage")], [8])
            else:
                answer = json.loads(body)
                message = answer["choices"][0]["message"]
                self.assertEqual((message["content"], message["reasoning_content"]), ("Wait.\n\nNoon", "Hm\n\nAh"))
                self.assertEqual((answer["choices"][0]["finish_reason"], answer["usage"]["total_tokens"]), ("stop", 8))
            self.assertNotIn(b"tool_calls", body)

    async def test_the_second_request_is_the_first_with_more_at_its_end(self: Any) -> None:
        self.start()
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")]), self.on.says("Noon"))
        await self.post(temperature=0.5)
        first, second = (json.loads(request.body) for request in self.scripted.requests)
        history = "messages" if "messages" in first else "input"
        self.assertEqual(second[history][: len(first[history])], first.pop(history))
        del second[history]
        self.assertEqual(second, first)
        self.assertEqual(self.scripted.requests[0].line, self.scripted.requests[1].line)

    async def test_the_schemas_are_offered_beside_the_client_s_own(self: Any) -> None:
        self.start(Tool(), Tool("dice"))
        self.scripted.answers(self.on.says("Hi"))
        await self.post(tools=[WEATHER])
        self.assertEqual(self.on.asked(self.scripted.requests[0])[0], ["weather", "clock", "dice"])

    async def test_several_calls_are_run_at_once_and_told_in_their_order(self: Any) -> None:
        running: list[Deferred[str]] = []

        def wait(arguments: dict[str, Any], context: IToolContext) -> Deferred[str]:
            running.append(Deferred())
            if len(running) == 3:
                for name, each in zip("cba", reversed(running), strict=True):
                    each.callback(name)
            return running[-1]

        texts = await self.told(Tool(does=wait), *[("clock", "{}", f"call_{n}") for n in range(3)])
        self.assertEqual(texts, ["a", "b", "c"])

    async def test_several_rounds_are_one_answer(self: Any) -> None:
        for stream in (False, True):
            self.start()
            again = self.on.says(calls=[("clock", "{}", "call_1")], stream=stream)
            self.scripted.answers(again, again, again, self.on.says("Noon", stream=stream))
            _, _, body = await self.post(stream)
            self.assertEqual(len(self.scripted.requests), 4)
            self.assertEqual([text for _, text in self.results()], ["noon"] * 3)
            if stream:
                self.assertEqual((said(body), chunks(body)[-1]["usage"]["total_tokens"]), ("Noon", 16))
            else:
                self.assertEqual(json.loads(body)["usage"]["total_tokens"], 16)

    async def test_calls_of_the_client_s_tools_go_to_the_client(self: Any) -> None:
        for stream in (False, True):
            tool = Tool()
            self.start(tool)
            self.scripted.answers(self.on.says(calls=[("weather", "{}", "call_1")], stream=stream))
            _, _, body = await self.post(stream, tools=[WEATHER])
            self.assertIn(b'"weather"', body)
            self.assertIn(b'"finish_reason":"tool_calls"', body.replace(b": ", b":"))
            self.assertEqual((len(self.scripted.requests), tool.calls), (1, []))

    async def test_of_both_the_client_gets_its_own_and_ours_is_not_run(self: Any) -> None:
        for stream in (False, True):
            tool = Tool()
            self.start(tool)
            self.scripted.answers(self.on.says("", [("clock", "{}", "call_1"), ("weather", "{}", "call_2")], stream))
            _, _, body = await self.post(stream, tools=[WEATHER])
            self.assertIn(b"call_2", body)
            self.assertNotIn(b"call_1", body)
            self.assertEqual((len(self.scripted.requests), tool.calls), (1, []))
            if stream:
                found = [
                    each
                    for c in chunks(body)
                    if c["choices"]
                    for each in c["choices"][0]["delta"].get("tool_calls", ())
                ]
                self.assertEqual(found[0]["index"], 0)

    async def test_ours_first_and_then_the_client_s(self: Any) -> None:
        for stream in (False, True):
            self.start()
            self.scripted.answers(
                self.on.says(calls=[("clock", "{}", "call_1")], stream=stream),
                self.on.says(calls=[("weather", "{}", "call_2")], stream=stream),
            )
            _, _, body = await self.post(stream, tools=[WEATHER])
            self.assertIn(b"call_2", body)
            self.assertNotIn(b"call_1", body)

    async def test_a_tool_of_the_same_name_is_the_client_s(self: Any) -> None:
        tool = Tool()
        self.start(tool)
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")]))
        _, _, body = await self.post(tools=[{"type": "function", "function": {"name": "clock"}}])
        self.assertEqual((self.on.asked(self.scripted.requests[0])[0], tool.calls), (["clock"], []))
        self.assertIn(b"call_1", body)

    async def test_a_client_that_wants_none_or_several_answers_gets_none(self: Any) -> None:
        for fields in ({"tool_choice": "none"}, {"n": 2}, {"functions": [{"name": "weather"}]}):
            self.start()
            self.scripted.answers(self.on.says("Hi"))
            status, _, _ = await self.post(**fields)
            names, _ = self.on.asked(self.scripted.requests[0])
            self.assertEqual((status, "clock" in names), (200, False))

    async def test_off_nothing_is_offered_or_run(self: Any) -> None:
        tool = Tool()
        self.start(tool, settings=Settings())
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")]))
        _, _, body = await self.post()
        self.assertEqual((self.on.asked(self.scripted.requests[0])[0], tool.calls), ([], []))
        self.assertIn(b"call_1", body)

    async def test_not_offered_a_call_is_run_all_the_same(self: Any) -> None:
        self.start(settings=settings(offer=False))
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")]), self.on.says("Noon"))
        await self.post()
        self.assertEqual((self.on.asked(self.scripted.requests[0])[0], self.results()), ([], [("call_1", "noon")]))

    # -- limits

    async def test_after_the_last_round_the_model_has_to_answer(self: Any) -> None:
        self.start(settings=settings(rounds=2))
        again = self.on.says(calls=[("clock", "{}", "call_1")])
        self.scripted.answers(again, again, self.on.says("Noon"))
        status, _, _ = await self.post()
        bodies = [json.loads(request.body) for request in self.scripted.requests]
        self.assertEqual(([body.get("tool_choice") for body in bodies], status), ([None, None, "none"], 200))

    async def test_a_model_that_does_not_is_an_error(self: Any) -> None:
        for stream in (False, True):
            self.start(settings=settings(rounds=1))
            self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")], stream=stream))
            if not stream:
                status, _, body = await self.post()
                self.assertEqual((status, json.loads(body)["error"]["code"]), (502, "tool_rounds_exceeded"))
            else:
                received = await self.cut_stream()
                self.assertIn(b"tool_rounds_exceeded", received)
            self.assertEqual(len(self.scripted.requests), 2)

    async def cut_stream(self: Any) -> bytes:
        """What a client of a stream gets that ends with an error event and a cut."""
        client = await self.client(self.port)
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        client.post(CHAT, json.dumps(body).encode())
        await client.closed
        assert client.received.startswith(b"HTTP/1.1 200"), client.received
        assert b'data: {"error":' in client.received, client.received
        assert b"[DONE]" not in client.received
        assert not client.received.endswith(b"0\r\n\r\n")
        received: bytes = client.received
        return received

    async def test_a_result_that_is_too_long_is_cut_and_the_model_told(self: Any) -> None:
        (text,) = await self.told(Tool(does=lambda arguments, context: "x" * 99), settings=settings(bytes=10))
        self.assertEqual(
            text, "x" * 10 + "\n[cut off here: the result has 99 bytes, and 10 are the most that can be shown]"
        )

    async def test_a_tool_that_takes_too_long_is_cancelled_and_the_model_told(self: Any) -> None:
        cancelled: list[Any] = []
        tool = Tool(does=lambda arguments, context: Deferred(cancelled.append))
        clock = ClockedReactor()
        self.start(tool, settings=settings(seconds=7), clock=clock)
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")]), self.on.says("Done"))
        asked = Deferred.fromCoroutine(self.post())
        await self.until(lambda: tool.calls)
        clock.advance(6.9)
        self.assertEqual(cancelled, [])
        clock.advance(0.2)
        await asked
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.results(), [("call_1", "Error: clock: it did not answer within 7 s")])

    async def test_one_that_will_not_be_cancelled_holds_nothing_up(self: Any) -> None:
        forever: Deferred[None] = Deferred()

        async def stubborn() -> None:
            try:
                await Deferred()
            except CancelledError:
                await forever

        tool = Tool(does=lambda arguments, context: stubborn())
        self.assertEqual(
            await self.told(tool, settings=settings(seconds=0.01)), ["Error: clock: it did not answer within 0.01 s"]
        )
        forever.callback(None)

    async def test_a_model_that_makes_hundreds_of_calls_has_some_of_them_run(self: Any) -> None:
        tool = Tool()
        texts = await self.told(tool, *[("clock", "{}", f"call_{n}") for n in range(MOST_AT_ONCE + 2)])
        self.assertEqual((len(tool.calls), texts[:MOST_AT_ONCE]), (MOST_AT_ONCE, ["noon"] * MOST_AT_ONCE))
        self.assertEqual(
            set(texts[MOST_AT_ONCE:]),
            {f"Error: clock: no more than {MOST_AT_ONCE} calls are run at once; call it again"},
        )

    # -- failures of tools

    async def test_what_went_wrong_is_a_result_and_says_no_secret(self: Any) -> None:
        def fails(arguments: dict[str, Any], context: IToolContext) -> Any:
            raise {"ToolError": ToolError("the clock has stopped"), "KeyError": KeyError("sk-secret")}[arguments["how"]]

        texts = await self.told(
            Tool(does=fails),
            ("clock", '{"how": "ToolError"}', "call_1"),
            ("clock", '{"how": "KeyError"}', "call_2"),
        )
        self.assertEqual(texts, ["Error: clock: the clock has stopped", "Error: clock: it failed (KeyError)"])

    async def test_coroutines_and_deferreds_fail_like_functions(self: Any) -> None:
        async def later(arguments: dict[str, Any], context: IToolContext) -> str:
            await deferLater(reactor, 0)
            raise ToolError("the clock has stopped")

        for does in (later, lambda arguments, context: Failure(ToolError("the clock has stopped"))):
            self.assertEqual(await self.told(Tool(does=does)), ["Error: clock: the clock has stopped"])

    async def test_one_that_cancels_itself_is_no_client_that_left(self: Any) -> None:
        def cancels(arguments: dict[str, Any], context: IToolContext) -> Deferred[None]:
            gone: Deferred[None] = Deferred()
            gone.cancel()
            return gone

        self.assertEqual(await self.told(Tool(does=cancels)), ["Error: clock: it was cancelled"])

    async def test_a_result_that_is_no_json_is_a_failure(self: Any) -> None:
        texts = await self.told(Tool(does=lambda arguments, context: object()))
        self.assertEqual(texts, ["Error: clock: it returned something that is no JSON (object)"])

    async def test_arguments_that_do_not_fit_are_not_run_and_the_model_told(self: Any) -> None:
        tool = Tool(parameters={"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]})
        texts = await self.told(
            tool, ("clock", '{"zone": ', "call_1"), ("clock", "{}", "call_2"), ("clock", '{"zone": "UTC"}', "call_3")
        )
        self.assertIn("Error: clock: the arguments are not valid JSON (", texts[0])
        self.assertIn("zone is missing", texts[1])
        self.assertEqual((texts[2], tool.calls), ("noon", [{"zone": "UTC"}]))

    async def test_a_tool_knows_the_request_the_settings_and_the_reactor(self: Any) -> None:
        found: list[IToolContext] = []
        await self.told(Tool(does=lambda arguments, context: found.append(context)))
        (context,) = found
        self.assertEqual((context.request.json["messages"][0]["content"], context.settings), ("Hi", ON))
        self.assertIs(context.reactor, reactor)

    # -- failures of upstream, and clients that leave

    async def test_a_refusal_in_a_later_round_is_the_client_s_status(self: Any) -> None:
        tool = Tool()
        self.start(tool)
        error = {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        self.scripted.answers(
            self.on.says(calls=[("clock", "{}", "call_1")]),
            http_answer(json.dumps({"error": error}).encode(), "429 Too Many Requests", JSON, "Retry-After: 3"),
        )
        status, head, body = await self.post()
        self.assertEqual((status, json.loads(body)["error"], len(tool.calls)), (429, error, 1))
        self.assertIn(b"Retry-After: 3", head)

    async def test_what_is_refused_in_a_later_round_is_not_begun_again(self: Any) -> None:
        tool = Tool()
        self.start(tool)
        error = {"message": "No tools here.", "type": "invalid_request_error", "param": None, "code": None}
        self.scripted.answers(
            self.on.says(calls=[("clock", "{}", "call_1")]),
            http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON),
        )
        status, _, body = await self.post()
        self.assertEqual((status, json.loads(body)["error"]), (400, error))
        self.assertEqual((len(tool.calls), len(self.scripted.requests)), (1, 2))

    async def test_a_refusal_in_a_later_round_of_a_stream_is_an_event_and_a_cut(self: Any) -> None:
        self.start()
        error = {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        self.scripted.answers(
            self.on.says(calls=[("clock", "{}", "call_1")], stream=True),
            http_answer(json.dumps({"error": error}).encode(), "429 Too Many Requests", JSON),
        )
        self.assertIn(b"rate_limit_exceeded", await self.cut_stream())

    async def test_an_upstream_that_breaks_off_in_a_later_round_is_an_error(self: Any) -> None:
        for stream in (False, True):
            self.start()
            whole = self.on.says("Noon", stream=stream)
            answers = [self.on.says(calls=[("clock", "{}", "call_1")], stream=stream), whole[:-40]]

            def script(connection: UpstreamConnection, request: Received, answers: list[bytes] = answers) -> None:
                connection.write(answers.pop(0))
                if not answers:
                    connection.close()

            self.scripted.script = script
            if stream:
                await self.cut_stream()
            else:
                status, _, body = await self.post()
                self.assertEqual((status, json.loads(body)["error"]["code"]), (502, "upstream_incomplete"))

    async def test_a_client_that_leaves_ends_the_tool_and_upstream_is_not_asked_again(self: Any) -> None:
        for stream in (False, True):
            gone: Deferred[Any] = Deferred()
            tool = Tool(does=lambda arguments, context, gone=gone: Deferred(lambda d: gone.callback(None)))
            self.start(tool)
            self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")], stream=stream))
            client = await self.client(self.port)
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
            client.post(CHAT, json.dumps(body).encode())
            await self.until(lambda tool=tool: tool.calls)
            client.transport.abortConnection()
            await gone
            for _ in range(5):
                await deferLater(reactor, 0)
            self.assertEqual(len(self.scripted.requests), 1)

    async def test_a_tool_that_finishes_all_the_same_changes_nothing_of_it(self: Any) -> None:
        gone: Deferred[Any] = Deferred()

        def finishes(working: Deferred[str]) -> None:
            working.callback("noon")
            gone.callback(None)

        tool = Tool(does=lambda arguments, context: Deferred(finishes))
        self.start(tool)
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1"), ("clock", "{}", "call_2")]))
        tool_one = tool.does
        tool.does = lambda arguments, context: tool_one(arguments, context) if len(tool.calls) == 1 else "now"
        client = await self.client(self.port)
        client.post(CHAT, json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode())
        await self.until(lambda: len(tool.calls) == 2)
        client.transport.abortConnection()
        await gone
        for _ in range(5):
            await deferLater(reactor, 0)
        self.assertEqual(len(self.scripted.requests), 1)

    async def test_a_stream_is_kept_alive_while_a_tool_runs(self: Any) -> None:
        answers: list[Deferred[str]] = []

        def wait(arguments: dict[str, Any], context: IToolContext) -> Deferred[str]:
            answers.append(Deferred())
            return answers[-1]

        clock = ClockedReactor()
        self.start(Tool(does=wait), settings=Settings(keepalive=5, tools=ToolSettings(enabled=True)), clock=clock)
        self.scripted.answers(
            self.on.says(calls=[("clock", "{}", "call_1")], stream=True), self.on.says("Noon", stream=True)
        )
        client = await self.client(self.port)
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        client.post(CHAT, json.dumps(body).encode())
        await self.until(lambda: answers)
        await client.until(b'"role"')
        for number in (1, 2):
            clock.advance(5.1)
            await client.until(lambda data, number=number: data.count(b'"delta":{}') == number)
        answers[0].callback("noon")
        received = await client.until(b"\r\n0\r\n\r\n")
        self.assertEqual(said(unchunk(received.partition(b"\r\n\r\n")[2])), "Noon")

    # -- what upstream does not take

    async def test_tools_that_upstream_refuses_are_not_offered_again(self: Any) -> None:
        error = {"message": "This model does not support tools.", "type": "invalid_request_error", "param": "tools"}
        for stream in (False, True):
            self.start()
            refused = http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON)
            self.scripted.answers(refused, self.on.says("Hi", stream=stream))
            for expected in ([["clock"], []], [["clock"], [], []]):
                status, _, _ = await self.post(stream)
                asked = [self.on.asked(request)[0] for request in self.scripted.requests]
                self.assertEqual((status, asked), (200, expected))

    async def test_what_the_client_itself_asks_for_is_upstream_s_to_refuse(self: Any) -> None:
        error = {
            "message": "This model does not support tools.",
            "type": "invalid_request_error",
            "param": "tools",
            "code": None,
        }
        self.start()
        self.scripted.answers(http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON))
        status, _, body = await self.post(tools=[WEATHER])
        asked = [self.on.asked(request)[0] for request in self.scripted.requests]
        self.assertEqual((status, json.loads(body)["error"], asked), (400, error, [["weather", "clock"], ["weather"]]))


class PassthroughTests(RoundTests, ToolTestCase):
    on = Passthrough()

    async def test_an_answer_without_calls_is_passed_on_byte_for_byte(self) -> None:
        self.start()
        body = b'{ "odd" : 1, "choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
        self.scripted.answers(http_answer(body, "200 OK", JSON, "X-Request-Id: req_1", "Server: them"))
        status, head, answer = await self.post()
        self.assertEqual((status, answer), (200, body))
        self.assertIn(b"X-Request-Id: req_1\r\nServer: them", head)

    async def test_a_refusal_is_passed_on_byte_for_byte(self) -> None:
        self.start()
        self.scripted.answers(http_answer(b'{"odd": "no"}', "418 Teapot", JSON))
        status, _, answer = await self.post()
        self.assertEqual((status, answer, len(self.scripted.requests)), (418, b'{"odd": "no"}', 1))

    async def test_other_paths_and_other_methods_are_not_looked_at(self) -> None:
        self.start()
        for method, path in (("POST", "/v1/embeddings"), ("GET", CHAT), ("POST", f"{CHAT}/chatcmpl-1")):
            _, _, answer = await self.ask(self.port, method, path, b"no json")
            self.assertEqual((answer, self.scripted.requests[-1].body), (b"{}", b"no json"))

    async def test_the_one_endpoint_has_them_too(self) -> None:
        for target in TargetApi:
            self.start(settings=replace(ON, target_api=target))
            on: Port = self.on if target is TargetApi.COMPLETIONS else Bridge()
            self.scripted.answers(on.says(calls=[("clock", "{}", "call_1")]), on.says("Noon"))
            status, _, body = await self.ask(self.port, "POST", "/proxy", b'{"model": "m", "prompt": "Hi"}', JSON)
            self.assertEqual((status, json.loads(body)["choices"][0]["message"]["content"]), (200, "Noon"))
            self.assertEqual(on.asked(self.scripted.requests[1])[1], [("call_1", "noon")])

    async def test_thoughts_are_taken_out_of_every_round(self) -> None:
        for stream in (False, True):
            self.start(settings=replace(ON, think=ThinkBook(everywhere=ThinkRules(mode=ThinkMode.MOVE))))
            self.scripted.answers(
                self.on.says("<think>Hm</think>Wait.", [("clock", "{}", "call_1")], stream),
                self.on.says("<think>Ah</think>Noon", stream=stream),
            )
            _, _, body = await self.post(stream)
            found = (
                (said(body), said(body, "reasoning_content"))
                if stream
                else tuple(json.loads(body)["choices"][0]["message"][key] for key in ("content", "reasoning_content"))
            )
            self.assertEqual(found, ("Wait.\n\nNoon", "Hm\n\nAh"))

    async def test_a_compressed_request_is_upstream_s_to_judge(self) -> None:
        self.start()
        await self.ask(self.port, "POST", CHAT, b"\x1f\x8b", JSON, "Content-Encoding: gzip")
        self.assertEqual(self.scripted.requests[0].body, b"\x1f\x8b")

    async def test_a_body_that_is_no_json_is_refused_as_ever(self) -> None:
        self.start()
        status, _, body = await self.ask(self.port, "POST", CHAT, b"{", JSON)
        self.assertEqual((status, json.loads(body)["error"]["code"]), (400, "invalid_json"))


class BridgeTests(RoundTests, ToolTestCase):
    on = Bridge()

    async def test_web_search_stays_beside_our_tools(self) -> None:
        self.start(transforms=(reasoning_default, web_search_default))
        self.scripted.answers(self.on.says(calls=[("clock", "{}", "call_1")]), self.on.says("Noon"))
        await self.post(model="gpt-5.1")
        for request in self.scripted.requests:
            self.assertEqual(self.on.asked(request)[0], ["web_search", "clock"])

    async def test_a_search_that_upstream_refuses_goes_and_our_tools_stay(self) -> None:
        self.start(transforms=(reasoning_default, web_search_default))
        error = {"message": "web_search is not supported.", "type": "invalid_request_error", "param": "tools"}
        refused = http_answer(json.dumps({"error": error}).encode(), "400 Bad Request", JSON)
        self.scripted.answers(refused, self.on.says("Hi"))
        await self.post(model="gpt-5.1")
        asked = [self.on.asked(request)[0] for request in self.scripted.requests]
        self.assertEqual(asked, [["web_search", "clock"], ["clock"]])

    async def test_our_schema_is_a_function_that_is_not_strict(self) -> None:
        self.start()
        self.scripted.answers(self.on.says("Hi"))
        await self.post()
        (tool,) = json.loads(self.scripted.requests[0].body)["tools"]
        self.assertEqual(tool, {"type": "function", **schema()["function"], "strict": False})

    async def test_legacy_completions_have_no_tools(self) -> None:
        self.start()
        self.scripted.answers(self.on.says("Hi"))
        await self.ask(self.port, "POST", "/v1/completions", b'{"model": "m", "prompt": "Hi"}', JSON)
        self.assertEqual(self.on.asked(self.scripted.requests[0])[0], [])


class SwitchTests(SocketTestCase):
    """What is off costs nothing."""

    async def test_off_the_raw_path_stays_raw(self) -> None:
        upstream = self.upstream()
        port = self.proxy(PortKind.PASSTHROUGH, Settings(), tools=[Tool()])
        await self.ask(port, "POST", CHAT, b'{"messages": [ ]}', JSON, "Accept-Encoding: gzip")
        self.assertEqual(upstream.requests[0].body, b'{"messages": [ ]}')
        self.assertEqual(upstream.requests[0].field("accept-encoding"), "gzip")
