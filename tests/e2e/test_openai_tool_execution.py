"""Tools that the proxy runs itself, as a client of the official SDK sees them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from tests.e2e.support import Answer, ServiceTestCase, ServiceTests, answer_of, heard

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

#: The time, of which two calls may be told different ones.
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")


class ToolExecutionTests(ServiceTests):
    options = ("--upstream", "demo", "--tool-execution")

    def both(self, text: str, **request: Any) -> Answer:
        """Ask with and without a stream, and see that the answers are the same, but for the time."""
        request["messages"] = [{"role": "user", "content": text}]
        chat = self.client().chat.completions
        whole = answer_of(chat.create(model="gpt-5.1", **request))
        stream = chat.create(model="gpt-5.1", **request, stream=True, stream_options={"include_usage": True})
        streamed = heard(stream)
        self.assertEqual(self.timeless(streamed), self.timeless(whole))
        return whole

    def timeless(self, answer: Answer) -> Answer:
        return replace(answer, content=_TIME.sub("TIME", answer.content))

    def test_the_model_asks_for_the_time_and_the_client_sees_only_the_answer(self) -> None:
        answer = self.both("Call current_time")
        self.assertRegex(answer.content, _TIME)
        self.assertIn("Europe/Berlin", answer.content)
        self.assertEqual((answer.calls, answer.finish), ([], "stop"))
        assert answer.usage is not None
        alone = self.both("Hello")
        assert alone.usage is not None
        # both rounds, of which the second has the history of the first
        self.assertGreater(answer.usage[0], 2 * alone.usage[0])

    def test_a_question_that_needs_no_tool_gets_its_answer(self) -> None:
        answer = self.both("Hello")
        self.assertIn("Hello", answer.content)
        self.assertIn("current_time", answer.content)  # the demo says which tools came through

    def test_a_call_of_the_client_s_tool_is_the_client_s(self) -> None:
        answer = self.both("Call get_weather", tools=[WEATHER])
        self.assertEqual([name for name, _ in answer.calls], ["get_weather"])
        self.assertEqual(answer.finish, "tool_calls")

    def test_of_both_at_once_the_client_gets_its_own_and_can_answer_it(self) -> None:
        text = "Call get_weather and current_time in parallel"
        answer = self.both(text, tools=[WEATHER])
        ((name, arguments),) = answer.calls
        self.assertEqual(name, "get_weather")
        function = {"name": name, "arguments": arguments}
        made = {"id": answer.call_ids[0], "type": "function", "function": function}
        history = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": None, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": answer.call_ids[0], "content": json.dumps({"sky": "blue"})},
        ]
        after = self.client().chat.completions.create(model="gpt-5.1", messages=history, tools=[WEATHER])
        self.assertIn("blue", after.choices[0].message.content)

    def test_several_calls_at_once_are_all_answered(self) -> None:
        answer = self.both("Call current_time twice in parallel")
        self.assertEqual(len(_TIME.findall(answer.content)), 2)

    def test_a_client_that_wants_no_tools_gets_none(self) -> None:
        answer = self.both("Call current_time", tools=[WEATHER], tool_choice="none")
        self.assertNotRegex(answer.content, _TIME)


class BridgeTests(ToolExecutionTests, ServiceTestCase):
    port = "bridge"

    def test_the_thoughts_of_both_rounds_are_shown(self) -> None:
        self.assertEqual(self.both("Call current_time").reasoning.count("**Reading the request**"), 2)


class PassthroughTests(ToolExecutionTests, ServiceTestCase):
    port = "passthrough"
