"""Odd bodies: what clients send to the chat path although no document says so."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.hybrid import NATIVE, speaks_chat
from tests.bridge.asking import HELLO, UNKNOWN, WEATHER, ask, items, sent

USER = {"role": "user", "content": "Hi"}
ANSWER = {"type": "message", "role": "assistant", "content": "Hello"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}


ODD_VALUE = st.none() | st.sampled_from([0, "", "x", [], {}, ["x"], [{}], {"a": 1}])
ODD_PART = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "tool_use", "tool_result", "input_text", "image_url"]) | ODD_VALUE,
        "text": ODD_VALUE,
        "id": ODD_VALUE,
        "name": ODD_VALUE,
        "input": ODD_VALUE,
        "function": ODD_VALUE,
        "tool_use_id": ODD_VALUE,
        "content": ODD_VALUE,
    },
)
ODD_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system"]) | ODD_VALUE,
        "type": st.sampled_from(sorted(NATIVE)) | ODD_VALUE,
        "content": st.lists(ODD_PART, max_size=2) | ODD_VALUE,
        "call_id": ODD_VALUE,
        "name": ODD_VALUE,
        "arguments": ODD_VALUE,
        "output": ODD_VALUE,
        "tool_calls": ODD_VALUE,
    },
)


class NonsenseTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.lists(ODD_MESSAGE, max_size=3), st.sampled_from(["messages", "input"]), st.booleans())
    def test_any_is_translated_or_refused_by_the_name_of_a_field(
        self, history: list[Any], where: str, empty_messages: bool
    ) -> None:
        try:
            body = json.loads(ask(**{where: history}, empty_messages=empty_messages).body)
        except BadRequest as e:
            self.assertTrue((e.param or "").startswith(where), e.param)
        else:
            self.assertIsInstance(body["input"], list)


class EmptinessTests(SynchronousTestCase):
    def test_what_says_nothing_asks_for_nothing_and_warns_of_nothing(self) -> None:
        plain = ask()
        nothing: list[dict[str, Any]] = [
            {"tools": []},
            {"tools": None},
            {"functions": []},
            {"tools": [], "tool_choice": "auto"},
            {"functions": [], "function_call": "auto"},
            {"stop": []},
            {"stop": None},
            {"n": None, "temperature": None, "max_tokens": None, "user": None, "response_format": None},
            {"logit_bias": {}, "frequency_penalty": 0, "presence_penalty": 0.0},
            {"reasoning_effort": ""},
        ]
        for fields in nothing:
            translation = ask(**fields)
            self.assertEqual((translation.body, translation.warnings), (plain.body, ()), fields)

    def test_an_assistant_s_message_without_content_is_only_its_calls(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
        for content in ([], None, "", [{"type": "text", "text": ""}]):
            message = {"role": "assistant", "content": content, "tool_calls": [call], "function_call": None}
            self.assertEqual(items(USER, message, result), [USER, CALL, OUTPUT])

    def test_no_calls_are_no_calls(self) -> None:
        self.assertEqual(items(USER, {"role": "assistant", "content": "Hello", "tool_calls": []}), [USER, ANSWER])

    def test_arguments_may_be_an_object(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": [1]}}}
        made = items(USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1"})
        self.assertEqual(made[1]["arguments"], '{"a":[1]}')


class EmptyMessageTests(SynchronousTestCase):
    EMPTY: tuple[dict[str, Any], ...] = ({"content": []}, {"content": None}, {})

    def test_they_are_refused_as_chat_refuses_them(self) -> None:
        for role in ("user", "system", "developer"):
            for content in self.EMPTY:
                error = self.assertRaises(BadRequest, items, USER, {"role": role, **content})
                self.assertEqual(error.param, "messages[1].content")

    def test_a_client_whose_profile_says_so_may_send_them(self) -> None:
        for role in ("user", "system", "developer"):
            for content in self.EMPTY:
                translation = ask(messages=[USER, {"role": role, **content}, ANSWER, USER], empty_messages=True)
                self.assertEqual(json.loads(translation.body)["input"], [USER, ANSWER, USER])
                self.assertEqual(translation.warnings, ())

    def test_one_message_at_least_has_to_say_something(self) -> None:
        error = self.assertRaises(BadRequest, ask, messages=[{"role": "user", "content": []}], empty_messages=True)
        self.assertEqual(error.param, "messages")

    def test_an_empty_string_is_content(self) -> None:
        made = items({"role": "user", "content": ""}, empty_messages=True)
        self.assertEqual(made, [{"role": "user", "content": ""}])


class ToolTests(SynchronousTestCase):
    SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    MADE = {"type": "function", "name": "Shell", "description": "Runs.", "parameters": SCHEMA, "strict": False}

    def test_each_flat_form_of_a_function(self) -> None:
        flat = {"name": "Shell", "description": "Runs."}
        for tool in (
            {**flat, "input_schema": self.SCHEMA},
            {**flat, "parameters": self.SCHEMA},
            {**flat, "type": "function", "parameters": self.SCHEMA},
            {**flat, "type": "function", "parameters": None, "input_schema": self.SCHEMA},
            {"function": {**flat, "parameters": self.SCHEMA}},
        ):
            translation = ask(tools=[tool], capabilities=UNKNOWN)
            self.assertEqual(json.loads(translation.body)["tools"], [self.MADE])
            self.assertEqual(translation.warnings, ())

    def test_a_flat_custom_tool(self) -> None:
        grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}
        tool = {"type": "custom", "name": "ApplyPatch", "description": "Patches.", "format": grammar}
        self.assertEqual(sent(tools=[tool])["tools"], [tool])

    def test_a_schema_of_the_wrong_type_is_named_as_the_client_names_it(self) -> None:
        error = self.assertRaises(BadRequest, ask, tools=[{"name": "f", "input_schema": "x"}])
        self.assertEqual(error.param, "tools[0].function.input_schema")


class BlockTests(SynchronousTestCase):
    """Calls and results as parts of the content."""

    USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    MADE = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
    RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}

    def test_a_call_stands_behind_the_text_of_its_message(self) -> None:
        text = {"type": "text", "text": "Hello"}
        made = items(
            USER, {"role": "assistant", "content": [self.USE, text]}, {"role": "user", "content": [self.RESULT]}
        )
        self.assertEqual(made, [USER, ANSWER, self.MADE, OUTPUT])

    def test_results_come_before_what_else_the_user_says(self) -> None:
        content = [{"type": "text", "text": "And?"}, self.RESULT]
        made = items(USER, {"role": "assistant", "content": [self.USE]}, {"role": "user", "content": content})
        self.assertEqual(
            made, [USER, self.MADE, OUTPUT, {"role": "user", "content": [{"type": "input_text", "text": "And?"}]}]
        )

    def test_calls_of_both_kinds_in_one_message_keep_their_order(self) -> None:
        own = {"id": "c0", "type": "function", "function": {"name": "g", "arguments": "{}"}}
        message = {"role": "assistant", "content": [self.USE], "tool_calls": [own]}
        made = items(USER, message, {"role": "tool", "tool_call_id": "c0", "content": "0"}, USER)
        self.assertEqual([item.get("call_id") for item in made], [None, "c0", "c1", "c0", "c1", None])

    def test_chat_s_own_fields_in_a_block_are_read_too(self) -> None:
        use = {"type": "tool_use", "tool_call_id": "c1", "function": {"name": "f", "arguments": '{"a":1}'}}
        result = {"type": "tool_result", "tool_call_id": "c1", "content": [{"type": "text", "text": "ok"}]}
        made = items(USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]})
        self.assertEqual(made, [USER, self.MADE, OUTPUT])

    def test_what_is_wrong_is_named(self) -> None:
        for message, param in (
            ({"role": "assistant", "content": ["a", {"type": "tool_use"}]}, "messages[0].content[1].name"),
            (
                {"role": "assistant", "content": [{"type": "tool_use", "function": 1}]},
                "messages[0].content[0].function",
            ),
            ({"role": "user", "content": [{**self.RESULT, "content": 1}]}, "messages[0].content[0].content"),
            ({"role": "assistant", "content": [self.USE], "tool_calls": "x"}, "messages[0].tool_calls"),
        ):
            error = self.assertRaises(BadRequest, items, message)
            self.assertEqual(error.param, param)


class NativeTests(SynchronousTestCase):
    """Input items of Responses among the messages."""

    def test_calls_and_results_find_those_of_chat(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
        for made in (
            items(USER, {**CALL, "id": "fc_1", "status": "completed"}, result),
            items(USER, {"role": "assistant", "tool_calls": [call]}, {**OUTPUT, "status": "completed"}),
        ):
            plain = [{k: v for k, v in item.items() if k != "status"} for item in made]
            self.assertEqual(plain, [USER, CALL, OUTPUT])

    def test_a_role_makes_no_message_of_a_call(self) -> None:
        self.assertEqual(items(USER, {**CALL, "role": "assistant"}, OUTPUT), [USER, CALL, OUTPUT])

    def test_other_items_pass_as_they_are(self) -> None:
        thought = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
        search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
        self.assertEqual(items(USER, thought, search, ANSWER), [USER, thought, search, ANSWER])

    def test_a_call_without_a_result_gets_one(self) -> None:
        made = items(USER, CALL, USER)
        self.assertEqual([item.get("type") for item in made], [None, "function_call", "function_call_output", None])

    def test_a_result_without_a_call_becomes_text(self) -> None:
        made = items(USER, {**OUTPUT, "call_id": "other"})
        self.assertEqual(made[1], {"role": "user", "content": "Result of an earlier tool call:\nok"})

    def test_a_custom_call_stays_one(self) -> None:
        call = {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "text"}
        output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"}
        self.assertEqual(items(USER, call, output), [USER, call, output])

    def test_names_are_those_of_the_tools(self) -> None:
        body = sent(tools=[{"type": "function", "function": {"name": "a.b"}}], messages=[USER, {**CALL, "name": "a.b"}])
        self.assertEqual(body["input"][1]["name"], body["tools"][0]["name"])
        self.assertNotEqual(body["input"][1]["name"], "a.b")

    def test_what_has_no_role_and_no_known_type_is_no_message(self) -> None:
        for message in ({"type": "hologram"}, {"type": 1}, {"type": "message", "content": "Hi"}):
            error = self.assertRaises(BadRequest, items, message)
            self.assertEqual(error.param, "messages[0].role")

    def test_what_is_wrong_is_named(self) -> None:
        for item, param in (
            ({"type": "function_call", "call_id": "c1"}, "messages[0].name"),
            ({**CALL, "call_id": 1}, "messages[0].call_id"),
            ({**OUTPUT, "output": 1}, "messages[0].output"),
        ):
            error = self.assertRaises(BadRequest, items, item)
            self.assertEqual(error.param, param)


class InputTests(SynchronousTestCase):
    """Responses bodies on the chat path."""

    def test_one_that_is_all_responses_passes_as_it_is(self) -> None:
        given = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}], "id": "msg_1"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {**CALL, "id": "fc_1"},
            OUTPUT,
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
            {"type": "hologram", "of": "the future"},
        ]
        self.assertFalse(any(speaks_chat(item) for item in given))
        self.assertEqual(sent(input=given)["input"], given)

    def test_it_may_come_beside_no_messages_at_all(self) -> None:
        nothing: list[list[Any] | None] = [[], None]
        for messages in nothing:
            translation = ask(messages=messages, input="Hi")
            self.assertEqual((json.loads(translation.body)["input"], translation.warnings), ("Hi", ()))

    def test_messages_win_where_both_say_something(self) -> None:
        translation = ask(messages=HELLO, input="Hi")
        self.assertEqual(json.loads(translation.body)["input"], HELLO)
        self.assertEqual(translation.warnings, ("dropped input (messages wins)",))

    def test_one_that_is_half_chat_is_translated(self) -> None:
        given = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
            {**CALL, "call_id": "c2"},
            {**OUTPUT, "call_id": "c2"},
        ]
        self.assertEqual(
            sent(input=given, tools=[{"name": "f", "input_schema": {"type": "object"}}], capabilities=UNKNOWN)["input"],
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                CALL,
                OUTPUT,
                {**CALL, "call_id": "c2"},
                {**OUTPUT, "call_id": "c2"},
            ],
        )

    def test_what_is_wrong_in_it_is_named_as_the_client_names_it(self) -> None:
        for item in ({"role": "user", "content": []}, {"role": "user", "content": [{"type": "text"}]}):
            error = self.assertRaises(BadRequest, ask, input=[USER, item])
            self.assertTrue((error.param or "").startswith("input[1].content"), error.param)

    def test_empty_messages_in_it_are_left_out_where_the_profile_says_so(self) -> None:
        translation = ask(input=[{"role": "user", "content": []}, USER], empty_messages=True)
        self.assertEqual(json.loads(translation.body)["input"], [USER])

    def test_the_same_history_gives_the_same_bytes_and_a_turn_more_only_adds(self) -> None:
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [BlockTests.USE]},
            {"role": "user", "content": [BlockTests.RESULT]},
            CALL,
            OUTPUT,
            USER,
        ]
        whole = sent(input=turns, tools=[WEATHER])["input"]
        for end in (1, 3, 5):
            part = sent(input=turns[:end], tools=[WEATHER])["input"]
            self.assertEqual(whole[: len(part)], part)
