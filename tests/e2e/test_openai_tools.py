"""Tools with the openai SDK for Python, through both ports: functions, custom tools, legacy functions, whole loops."""

from __future__ import annotations

import json
from typing import Any

import openai
from pydantic import BaseModel

from tests.e2e.support import ServiceTestCase, ServiceTests


def function(name: str, *required: str, strict: bool | None = None) -> dict[str, Any]:
    """A function with a text for each of `required`, and a number that may be left out."""
    properties: dict[str, Any] = {key: {"type": "string"} for key in required}
    properties["days"] = {"type": "integer", "minimum": 1}
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": list(required)}
    if strict:
        parameters |= {"required": [*required, "days"], "additionalProperties": False}
    declared = {"name": name, "description": f"Tells the {name}.", "parameters": parameters}
    return {**declared, "strict": strict} if strict is not None else declared


WEATHER = {"type": "function", "function": function("get_weather", "city")}
TIME = {"type": "function", "function": function("get_time", "zone")}
SHELL = {"type": "custom", "custom": {"name": "shell", "description": "Runs a command."}}


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str
    days: int


class _ToolTests(ServiceTests):
    """What holds on either port."""

    model = "gpt-4.1"

    def test_a_tool_is_called_when_it_is_asked_for(self) -> None:
        answer = self.ask("Call get_weather", model=self.model, tools=[TIME, WEATHER])
        ((name, arguments),) = answer.calls
        self.assertEqual((name, answer.finish, answer.content), ("get_weather", "tool_calls", ""))
        self.assertEqual(list(json.loads(arguments)), ["city"])
        self.assertRegex(answer.call_ids[0], "^call_")

    def test_a_tool_is_not_called_when_it_is_not_asked_for(self) -> None:
        answer = self.ask("Hi", model=self.model, tools=[WEATHER])
        self.assertEqual((answer.calls, answer.finish), ([], "stop"))
        self.assertIn("1 tool (get_weather)", answer.content)

    def test_a_forced_tool_is_called_whatever_is_said(self) -> None:
        choice = {"type": "function", "function": {"name": "get_time"}}
        answer = self.ask("Hi", model=self.model, tools=[WEATHER, TIME], tool_choice=choice)
        self.assertEqual([name for name, _ in answer.calls], ["get_time"])

    def test_some_tool_is_called_when_one_is_required(self) -> None:
        answer = self.ask("Hi", model=self.model, tools=[WEATHER], tool_choice="required")
        self.assertEqual([name for name, _ in answer.calls], ["get_weather"])

    def test_no_tool_is_called_when_none_may_be(self) -> None:
        answer = self.ask("Call get_weather", model=self.model, tools=[WEATHER], tool_choice="none")
        self.assertEqual(answer.calls, [])

    def test_only_allowed_tools_are_called(self) -> None:
        allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
        answer = self.ask(
            "Call a tool",
            model=self.model,
            tools=[WEATHER, TIME],
            tool_choice={"type": "allowed_tools", "allowed_tools": allowed},
        )
        self.assertEqual([name for name, _ in answer.calls], ["get_time"])

    def test_parallel_calls_each_have_their_index_and_id(self) -> None:
        answer = self.ask("Call both in parallel", model=self.model, tools=[WEATHER, TIME])
        self.assertEqual([name for name, _ in answer.calls], ["get_weather", "get_time"])
        self.assertEqual([list(json.loads(text)) for _, text in answer.calls], [["city"], ["zone"]])
        self.assertEqual(len(set(answer.call_ids)), 2)

    def test_calls_come_one_at_a_time_where_parallel_ones_are_off(self) -> None:
        answer = self.ask("Call both in parallel", model=self.model, tools=[WEATHER, TIME], parallel_tool_calls=False)
        self.assertEqual(len(answer.calls), 1)

    def test_text_before_a_call_is_kept(self) -> None:
        answer = self.ask("Call get_weather demo:preamble", model=self.model, tools=[WEATHER])
        self.assertEqual(answer.content, "This is oaiproxy's demo upstream. It calls get_weather now.")
        self.assertEqual([name for name, _ in answer.calls], ["get_weather"])

    def test_a_call_that_the_limit_cuts_is_no_whole_call(self) -> None:
        tool = {"type": "function", "function": function("f", *"abcdefghijklmnop")}
        answer = self.ask("Call f", model=self.model, tools=[tool], max_tokens=16)
        self.assertEqual(answer.finish, "length")
        self.assertRaises(ValueError, json.loads, answer.calls[0][1])

    def test_strict_functions_get_all_their_arguments_and_others_only_what_they_need(self) -> None:
        for strict, given in ((True, ["city", "days"]), (False, ["city"]), (None, ["city"])):
            tool = {"type": "function", "function": function("get_weather", "city", strict=strict)}
            answer = self.ask("Call get_weather", model=self.model, tools=[tool])
            self.assertEqual(list(json.loads(answer.calls[0][1])), given, strict)

    def test_a_function_without_parameters_is_called(self) -> None:
        answer = self.ask("Call ping", model=self.model, tools=[{"type": "function", "function": {"name": "ping"}}])
        self.assertEqual(answer.calls, [("ping", "{}")])

    def test_a_custom_tool_gets_its_text(self) -> None:
        answer = self.ask("Call shell", model=self.model, tools=[SHELL])
        self.assertEqual((answer.calls, answer.finish), ([("shell", "demo input for shell")], "tool_calls"))

    def test_a_loop_of_call_result_and_answer_closes(self) -> None:
        client = self.client()
        messages: list[Any] = [{"role": "user", "content": "Call both in parallel"}]
        request = {"model": self.model, "tools": [WEATHER, TIME, SHELL]}
        message = client.chat.completions.create(messages=messages, **request).choices[0].message
        self.assertEqual([call.type for call in message.tool_calls], ["function", "function", "custom"])
        messages.append(message)
        for n, call in enumerate(message.tool_calls):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"result {n}"})
        answer = self.ask(messages=messages, **request)
        self.assertTrue(answer.content.endswith("The tool answered: “result 0” “result 1” “result 2”"), answer.content)
        self.assertEqual((answer.calls, answer.finish), ([], "stop"))

    def test_results_in_parts_and_a_question_after_them_arrive(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": '{"zone": "x"}'}}
        answer = self.ask(
            model=self.model,
            messages=[
                {"role": "user", "content": "Call"},
                {"role": "assistant", "content": "Wait.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "noon"}]},
                {"role": "user", "content": "Thanks"},
            ],
        )
        self.assertIn("You said: “Thanks”", answer.content)

    def test_the_stream_helper_parses_arguments(self) -> None:
        with self.client().chat.completions.stream(
            model=self.model,
            messages=[{"role": "user", "content": "Call it"}],
            tools=[openai.pydantic_function_tool(GetWeather)],
        ) as stream:
            kinds = [event.type for event in stream]
            (call,) = stream.get_final_completion().choices[0].message.tool_calls
        self.assertIn("tool_calls.function.arguments.delta", kinds)
        self.assertEqual(kinds.count("tool_calls.function.arguments.done"), 1)
        self.assertEqual(type(call.function.parsed_arguments), GetWeather)

    def test_legacy_functions_are_called_and_answered(self) -> None:
        declared = [function("get_weather", "city")]
        answer = self.ask("Call get_weather", model=self.model, functions=declared)
        self.assertEqual((answer.calls, answer.finish), ([], "function_call"))
        assert answer.function_call is not None
        name, arguments = answer.function_call
        self.assertEqual((name, list(json.loads(arguments))), ("get_weather", ["city"]))
        last = self.ask(
            model=self.model,
            functions=declared,
            messages=[
                {"role": "user", "content": "Call get_weather"},
                {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": arguments}},
                {"role": "function", "name": name, "content": "sunny"},
            ],
        )
        self.assertTrue(last.content.endswith("The tool answered: “sunny”"), last.content)
        self.assertEqual((last.function_call, last.finish), (None, "stop"))

    def test_a_legacy_function_can_be_forced(self) -> None:
        declared = [function("get_weather", "city"), function("get_time", "zone")]
        answer = self.ask("Hi", model=self.model, functions=declared, function_call={"name": "get_time"})
        assert answer.function_call is not None
        self.assertEqual(answer.function_call[0], "get_time")


#: Histories as clients have them that trimmed or lost a part of one: a call without its result, and the reverse.
CALL_WITHOUT_RESULT = [
    {"role": "user", "content": "Call"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}],
    },
    {"role": "user", "content": "Never mind"},
]
RESULT_WITHOUT_CALL = [{"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "call_1", "content": "noon"}]


class PassthroughToolTests(_ToolTests, ServiceTestCase):
    port = "passthrough"

    def test_whether_a_history_is_whole_is_for_upstream_to_judge(self) -> None:
        for messages in (CALL_WITHOUT_RESULT, RESULT_WITHOUT_CALL):
            with self.assertRaises(openai.BadRequestError):
                self.ask(model=self.model, messages=messages)


class BridgeToolTests(_ToolTests, ServiceTestCase):
    port = "bridge"

    def test_a_call_that_nobody_answered_does_no_harm(self) -> None:
        answer = self.ask(model=self.model, messages=CALL_WITHOUT_RESULT)
        self.assertIn("You said: “Never mind”", answer.content)

    def test_a_result_without_its_call_arrives_as_text(self) -> None:
        answer = self.ask(model=self.model, messages=RESULT_WITHOUT_CALL)
        self.assertRegex(answer.content, "(?s)You said: “.*noon.*”")


class ReasoningToolTests(_ToolTests, ServiceTestCase):
    """The same with a model that reasons before each call: function tools and reasoning together, which chat
    completions refuse for newer models, are what people come to the bridge for."""

    model = "gpt-5.1"

    def test_reasoning_comes_with_the_call(self) -> None:
        answer = self.ask("Call get_weather", model=self.model, tools=[WEATHER])
        self.assertTrue(answer.reasoning.startswith("**Reading the request**"))
        self.assertEqual(len(answer.calls), 1)

    def test_a_call_that_the_limit_cuts_is_no_whole_call(self) -> None:
        tool = {"type": "function", "function": function("f", *"abcdefghijklmnop")}
        answer = self.ask("Call f", model=self.model, tools=[tool], reasoning_effort="low", max_completion_tokens=24)
        self.assertEqual(answer.finish, "length")
        self.assertRaises(ValueError, json.loads, answer.calls[0][1])
