"""A chat request becomes a Responses request."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from unittest import SkipTest

from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.api.request import ApiRequest, Body, ModelChoice, PortKind
from oaiproxy.bridge import Translation, translate
from oaiproxy.bridge.fields import KNOWN_FIELDS
from oaiproxy.bridge.notes import MAX_UNKNOWN
from oaiproxy.bridge.output import JSON_HINT
from oaiproxy.bridge.request import ORDER
from tests.bridge.asking import (
    ALWAYS,
    HELLO,
    NEVER,
    ON_DEMAND,
    SHARED,
    UNKNOWN,
    WEATHER,
    ask,
    asked,
    off_schema,
    sent,
)


class WholeTests(SynchronousTestCase):
    def test_the_smallest_request(self) -> None:
        translation = asked({"messages": HELLO, "model": "gpt-5.1"})
        self.assertEqual(
            translation.body, b'{"model":"gpt-5.1","store":false,"input":[{"role":"user","content":"Hello"}]}'
        )
        self.assertEqual(translation.warnings, ())

    def test_fields_come_in_one_order_whatever_the_clients(self) -> None:
        fields = {"stream": True, "tools": [WEATHER], "user": "u", "temperature": 1, "metadata": {"b": "1", "a": "2"}}
        backwards = dict(reversed(fields.items()))
        self.assertEqual(ask(**fields).body, ask(**backwards).body)
        self.assertEqual(list(sent(**fields)), [name for name in ORDER if name in sent(**fields)])

    def test_a_turn_more_changes_only_the_end_of_the_bytes(self) -> None:
        turn = [*HELLO, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "Bye"}]
        one, two = ask(messages=HELLO, tools=[WEATHER]).body, ask(messages=turn, tools=[WEATHER]).body
        self.assertTrue(two.startswith(one.removesuffix(b"]}")))

    def test_the_clients_body_is_not_changed(self) -> None:
        body = {"model": "m", "messages": HELLO, "response_format": {"type": "json_object"}, "tools": [WEATHER]}
        before = copy.deepcopy(body)
        asked(body)
        self.assertEqual(body, before)

    def test_the_requests_own_warnings_are_not_repeated(self) -> None:
        request = ApiRequest(
            PortKind.BRIDGE, "POST", "/chat/completions", (), Body.of({"model": "m", "messages": HELLO})
        )
        self.assertEqual(translate(request.warn("dropped x"), ON_DEMAND).warnings, ())

    def test_the_choice_of_an_alias_is_none_of_our_business(self) -> None:
        request = ApiRequest(
            PortKind.BRIDGE, "POST", "/chat/completions", (), Body.of({"model": "m", "messages": HELLO})
        )
        chosen = request.with_choice(ModelChoice("m:res-high", effort="high"))
        self.assertEqual(translate(chosen, ON_DEMAND), translate(request, ON_DEMAND))

    def test_what_is_no_json_object_is_refused(self) -> None:
        for raw in (b"", b"[]", b"{", b'{"model":"m","messages":["\xff"]}'):
            request = ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), Body(raw))
            self.assertEqual(self.assertRaises(BadRequest, translate, request, ON_DEMAND).status, 400)

    def test_the_model_has_to_be_named(self) -> None:
        for body in ({"messages": HELLO}, {"messages": HELLO, "model": None}, {"messages": HELLO, "model": ""}):
            self.assertEqual(self.assertRaises(BadRequest, asked, body).param, "model")

    def test_messages_have_to_be_there(self) -> None:
        for body in ({"model": "m"}, {"model": "m", "messages": None}):
            self.assertEqual(self.assertRaises(BadRequest, asked, body).param, "messages")


class ReasoningTests(SynchronousTestCase):
    def test_an_effort_moves_into_the_object(self) -> None:
        self.assertEqual(sent(reasoning_effort="low")["reasoning"], {"effort": "low"})

    def test_the_proxys_default_is_sent(self) -> None:
        body = sent(reasoning={"effort": "medium", "summary": "auto"}, added=("reasoning",))
        self.assertEqual(body["reasoning"], {"effort": "medium", "summary": "auto"})

    def test_the_clients_effort_wins_over_the_proxys(self) -> None:
        translation = ask(
            reasoning={"effort": "medium", "summary": "auto"}, reasoning_effort="high", added=("reasoning",)
        )
        self.assertEqual(json.loads(translation.body)["reasoning"], {"effort": "high", "summary": "auto"})
        self.assertEqual(translation.warnings, ())

    def test_the_clients_effort_wins_over_its_own_object(self) -> None:
        translation = ask(reasoning={"effort": "medium"}, reasoning_effort="high")
        self.assertEqual(json.loads(translation.body)["reasoning"], {"effort": "high"})
        self.assertEqual(translation.warnings, ("dropped reasoning.effort (reasoning_effort wins)",))

    def test_an_effort_of_the_proxys_that_the_model_does_not_take_is_not_sent(self) -> None:
        translation = ask(reasoning={"effort": "max", "summary": "auto"}, added=("reasoning",), capabilities=ALWAYS)
        self.assertEqual(json.loads(translation.body)["reasoning"], {"summary": "auto"})

    def test_one_of_the_clients_is_for_upstream_to_judge(self) -> None:
        self.assertEqual(sent(reasoning_effort="max")["reasoning"], {"effort": "max"})

    def test_no_summary_is_sent_for_none(self) -> None:
        self.assertEqual(sent(reasoning={"effort": "low", "summary": "none"})["reasoning"], {"effort": "low"})

    def test_effort_none_has_no_summary(self) -> None:
        default = {"effort": "medium", "summary": "auto"}
        translation = ask(reasoning=default, reasoning_effort="none", added=("reasoning",))
        self.assertEqual(json.loads(translation.body)["reasoning"], {"effort": "none"})
        self.assertEqual(translation.warnings, ())

    def test_a_summary_on_a_model_that_does_not_reason_by_itself_is_dropped(self) -> None:
        translation = ask(reasoning={"summary": "auto"})
        self.assertNotIn(b"reasoning", translation.body)
        self.assertEqual(
            translation.warnings, ("dropped reasoning.summary (with effort none there is nothing to sum up)",)
        )

    def test_responses_own_object_passes(self) -> None:
        given = {"effort": "high", "summary": "detailed", "context": "all_turns", "mode": "x"}
        self.assertEqual(sent(reasoning=given)["reasoning"], given)
        self.assertEqual(sent(reasoning={"effort": "low", "generate_summary": "auto"})["reasoning"]["summary"], "auto")

    def test_the_object_of_openrouter(self) -> None:
        for given, capabilities, made in (
            ({"enabled": True}, ON_DEMAND, {"effort": "medium"}),
            ({"enabled": True}, ALWAYS, None),
            ({"enabled": False}, ON_DEMAND, {"effort": "none"}),
            ({"enabled": False}, ALWAYS, None),
            ({"effort": "high", "exclude": True}, ON_DEMAND, {"effort": "high"}),
            ({"max_tokens": 2000}, ON_DEMAND, {"effort": "medium"}),
        ):
            self.assertEqual(sent(reasoning=given, capabilities=capabilities).get("reasoning"), made, given)

    def test_excluded_reasoning_is_not_shown(self) -> None:
        translation = ask(reasoning={"effort": "high", "summary": "auto", "exclude": True})
        self.assertEqual(translation.plan.reasoning_field, ReasoningField.NONE)
        self.assertEqual(json.loads(translation.body)["reasoning"], {"effort": "high"})

    def test_the_client_is_told_what_of_the_object_is_lost(self) -> None:
        self.assertEqual(
            ask(reasoning={"max_tokens": 9, "foo": 1}).warnings,
            (
                "dropped reasoning.max_tokens (Responses has efforts and no budgets)",
                "dropped reasoning.foo (unknown field)",
            ),
        )
        self.assertEqual(
            ask(reasoning={"enabled": False}, capabilities=ALWAYS).warnings,
            ("dropped reasoning.enabled (the model always reasons)",),
        )

    def test_a_model_that_does_not_reason_is_not_asked_to(self) -> None:
        translation = ask(reasoning_effort="high", capabilities=NEVER)
        self.assertNotIn(b"reasoning", translation.body)
        self.assertEqual(translation.warnings, ("dropped reasoning_effort (the model does not reason)",))

    def test_effort_none_is_what_such_a_model_does_anyway(self) -> None:
        self.assertEqual(ask(reasoning_effort="none", capabilities=NEVER), ask(capabilities=NEVER))

    def test_a_model_nobody_knows_is_asked_as_the_client_says(self) -> None:
        translation = ask(reasoning_effort="high", temperature=0.5, capabilities=UNKNOWN)
        self.assertEqual(json.loads(translation.body)["reasoning"], {"effort": "high"})
        self.assertEqual(translation.warnings, ())

    def test_the_field_for_summaries_is_handed_on(self) -> None:
        self.assertEqual(ask(reasoning_field=ReasoningField.THINK).plan.reasoning_field, ReasoningField.THINK)


class SamplingTests(SynchronousTestCase):
    FIELDS: dict[str, Any] = {"temperature": 0.2, "top_p": 0.5, "logprobs": True, "top_logprobs": 3}

    def test_a_model_that_does_not_reason_takes_all(self) -> None:
        body = sent(capabilities=NEVER, **self.FIELDS)
        self.assertEqual((body["temperature"], body["top_p"], body["top_logprobs"]), (0.2, 0.5, 3))
        self.assertEqual(body["include"], ["message.output_text.logprobs"])
        self.assertTrue(ask(capabilities=NEVER, **self.FIELDS).plan.logprobs)

    def test_so_does_one_that_is_told_not_to_reason(self) -> None:
        self.assertIn("temperature", sent(reasoning_effort="none", **self.FIELDS))

    def test_and_one_that_does_not_reason_by_itself(self) -> None:
        self.assertIn("temperature", sent(**self.FIELDS))

    def test_a_model_that_reasons_takes_none(self) -> None:
        for how in ({"capabilities": ALWAYS}, {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}):
            translation = ask(**how, **self.FIELDS)
            body = json.loads(translation.body)
            self.assertEqual(set(body) & {*self.FIELDS, "include"}, set())
            self.assertEqual(
                [w.split()[1] for w in translation.warnings], ["temperature", "top_p", "logprobs", "top_logprobs"]
            )
            self.assertFalse(translation.plan.logprobs)

    def test_default_values_are_dropped_without_a_word(self) -> None:
        translation = ask(temperature=1, top_p=1.0, logprobs=False, top_logprobs=0, capabilities=ALWAYS)
        self.assertEqual(translation, ask(capabilities=ALWAYS))

    def test_top_logprobs_need_logprobs(self) -> None:
        translation = ask(top_logprobs=2)
        self.assertNotIn(b"top_logprobs", translation.body)
        self.assertEqual(translation.warnings, ("dropped top_logprobs (it needs logprobs)",))

    def test_or_responses_own_way_to_ask_for_them(self) -> None:
        body = sent(include=["message.output_text.logprobs"], top_logprobs=2)
        self.assertEqual((body["include"], body["top_logprobs"]), (["message.output_text.logprobs"], 2))

    def test_the_clients_own_includes_are_kept(self) -> None:
        body = sent(include=["reasoning.encrypted_content"], logprobs=True)
        self.assertEqual(body["include"], ["reasoning.encrypted_content", "message.output_text.logprobs"])


class LimitTests(SynchronousTestCase):
    def test_each_name_of_the_limit(self) -> None:
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            translation = ask(**{name: 500})
            self.assertIn(b'"max_output_tokens":500', translation.body)
            self.assertEqual(translation.plan.max_tokens_field, name)
            self.assertEqual(translation.warnings, ())

    def test_a_number_without_a_fraction_is_an_integer(self) -> None:
        self.assertEqual(ask(max_tokens=500.0), ask(max_tokens=500))

    def test_small_limits_are_raised_to_what_upstream_takes(self) -> None:
        for limit in (1, 15):
            translation = ask(max_tokens=limit)
            self.assertIn(b'"max_output_tokens":16', translation.body)
            self.assertEqual(translation.warnings, ("clamped max_tokens to 16",))
        self.assertEqual(ask(max_tokens=16).warnings, ())

    def test_the_newest_name_wins(self) -> None:
        translation = ask(max_tokens=100, max_completion_tokens=200)
        self.assertIn(b'"max_output_tokens":200', translation.body)
        self.assertEqual(translation.warnings, ("dropped max_tokens (max_completion_tokens wins)",))


class FormatTests(SynchronousTestCase):
    JSON = {"type": "json_object"}

    def test_text_needs_no_words(self) -> None:
        self.assertNotIn("text", sent(response_format={"type": "text"}))

    def test_a_schema_is_flat(self) -> None:
        schema = {"type": "object", "properties": {"z": {}, "a": {}}}
        given = {
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "d", "schema": schema, "strict": True},
        }
        made = {"type": "json_schema", "name": "n", "description": "d", "schema": schema, "strict": True}
        self.assertEqual(sent(response_format=given)["text"], {"format": made})
        self.assertEqual(sent(response_format=made)["text"], {"format": made})

    def test_a_missing_schema_is_an_open_object(self) -> None:
        made = sent(response_format={"type": "json_schema", "json_schema": {"name": "n"}})["text"]["format"]
        self.assertEqual(made, {"type": "json_schema", "name": "n", "schema": {"type": "object"}})

    def test_format_and_verbosity_are_one_object(self) -> None:
        body = sent(response_format=self.JSON, verbosity="low")
        self.assertEqual(body["text"], {"format": self.JSON, "verbosity": "low"})

    def test_responses_own_object_gives_way_to_chats_fields(self) -> None:
        text = {"format": self.JSON, "verbosity": "high", "further": 1}
        self.assertEqual(sent(text=text)["text"], text)
        self.assertEqual(
            sent(text=text, verbosity="low", response_format={"type": "text"})["text"],
            {"verbosity": "low", "further": 1},
        )

    def test_the_word_is_said_where_nobody_says_it(self) -> None:
        messages = [{"role": "system", "content": "S"}, *HELLO]
        self.assertEqual(
            sent(response_format=self.JSON, messages=messages)["input"],
            [
                {"role": "developer", "content": "S"},
                {"role": "developer", "content": JSON_HINT},
                {"role": "user", "content": "Hello"},
            ],
        )

    def test_the_word_is_not_said_twice(self) -> None:
        for message in (
            {"role": "system", "content": "Answer in JSON."},
            {"role": "user", "content": [{"type": "text", "text": "as Json please"}]},
        ):
            made = sent(response_format=self.JSON, messages=[message])["input"]
            self.assertEqual(len(made), 1)

    def test_the_hint_stays_in_its_place_while_the_conversation_grows(self) -> None:
        turn = [*HELLO, {"role": "assistant", "content": '{"json": 1}'}, {"role": "user", "content": "More"}]
        one = sent(response_format=self.JSON, messages=HELLO)["input"]
        two = sent(response_format=self.JSON, messages=turn)["input"]
        self.assertEqual(two[: len(one)], one)

    def test_other_formats_need_no_hint(self) -> None:
        self.assertEqual(len(sent(response_format={"type": "text"})["input"]), 1)


class DeliveryTests(SynchronousTestCase):
    def test_nothing_is_stored_unless_the_client_says_so(self) -> None:
        for given, made in ((None, False), (False, False), (True, True)):
            self.assertIs(sent(store=given)["store"], made)

    def test_the_usage_chunk_is_ours_to_make(self) -> None:
        translation = ask(stream=True, stream_options={"include_usage": True})
        self.assertTrue(translation.plan.stream)
        self.assertTrue(translation.plan.include_usage)
        self.assertEqual(json.loads(translation.body)["stream_options"], {"include_obfuscation": False})

    def test_padding_is_off_unless_the_client_wants_it(self) -> None:
        self.assertEqual(sent(stream=True)["stream_options"], {"include_obfuscation": False})
        on = {"include_obfuscation": True}
        self.assertEqual(sent(stream=True, stream_options=on)["stream_options"], on)

    def test_an_unknown_stream_option_is_dropped_with_a_warning(self) -> None:
        translation = ask(stream=True, stream_options={"foo": 1})
        self.assertEqual(translation.warnings, ("dropped stream_options.foo (unknown field)",))

    def test_an_answer_in_one_piece_has_no_stream_options(self) -> None:
        translation = ask(stream=False, stream_options={"include_usage": True})
        self.assertNotIn(b"stream_options", translation.body)
        self.assertFalse(translation.plan.include_usage)

    def test_long_identifiers_are_hashed(self) -> None:
        for name in ("user", "safety_identifier"):
            self.assertEqual(sent(**{name: "u" * 64})[name], "u" * 64)
            translation = ask(**{name: "u" * 65})
            value = json.loads(translation.body)[name]
            self.assertEqual(len(value), 64)
            self.assertNotIn("uu", value)
            self.assertEqual(translation.warnings, (f"hashed {name} (longer than 64 characters)",))

    def test_text_is_the_only_modality(self) -> None:
        self.assertEqual(ask(modalities=["text"]), ask())

    def test_several_choices_are_several_requests_of_one_body(self) -> None:
        self.assertEqual(ask(n=1), ask())
        translation = ask(n=3)
        self.assertEqual((translation.body, translation.plan.choices), (ask().body, 3))

    def test_as_many_choices_as_nobody_makes_are_refused(self) -> None:
        for n in (0, -1, 129):
            error = self.assertRaises(BadRequest, ask, n=n)
            self.assertEqual((error.status, error.param), (400, "n"))

    def test_the_model_is_in_the_plan(self) -> None:
        self.assertEqual(ask(model="m").plan.model, "m")


class OtherFieldsTests(SynchronousTestCase):
    def test_what_nobody_knows_is_dropped_with_a_warning(self) -> None:
        translation = ask(frobnicate=1, top_k=40)
        self.assertEqual(translation.body, ask().body)
        self.assertEqual(
            translation.warnings,
            ("dropped top_k (the Responses API has no such field)", "dropped frobnicate (unknown field)"),
        )

    def test_the_clients_own_bookkeeping_is_dropped_without_a_word(self) -> None:
        self.assertEqual(ask(chat_id="c", session_id="s", id="i", features={"a": 1}, files=[1]), ask())

    def test_a_warning_is_fit_for_a_header(self) -> None:
        (warning,) = ask(**{"a\r\nSet-Cookie: b, ü" + "x" * 99: 1}).warnings
        self.assertTrue(warning.isascii() and warning.isprintable())
        self.assertNotIn(",", warning)
        self.assertLess(len(warning), 100)

    def test_not_every_unknown_field_is_named(self) -> None:
        warnings = ask(**{f"field{i}": i for i in range(1000)}).warnings
        self.assertEqual(len(warnings), MAX_UNKNOWN + 1)
        self.assertEqual(warnings[-1], f"dropped {1000 - MAX_UNKNOWN} more unknown fields")

    def test_responses_fields_pass(self) -> None:
        given: dict[str, Any] = {
            "instructions": "i",
            "previous_response_id": "resp_1",
            "truncation": "auto",
            "max_tool_calls": 3,
            "context_management": [{"type": "compaction"}],
            "prompt": {"id": "pmpt_1"},
        }
        translation = ask(**given)
        self.assertEqual({name: json.loads(translation.body)[name] for name in given}, given)
        self.assertEqual(translation.warnings, ())

    def test_a_responses_body_is_taken_as_it_is(self) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
        body = {"model": "m", "input": [item], "tools": [tool], "max_output_tokens": 50, "text": {"verbosity": "low"}}
        translation = asked(body)
        self.assertEqual(json.loads(translation.body), {**body, "store": False})
        self.assertEqual(translation.plan.functions, {"f"})

    def test_so_is_one_with_a_string(self) -> None:
        self.assertEqual(sent(input="Hi", response_format={"type": "json_object"})["input"], "Hi")

    def test_messages_win_over_input(self) -> None:
        translation = ask(messages=HELLO, input="Hi")
        self.assertEqual(json.loads(translation.body)["input"], HELLO)
        self.assertEqual(translation.warnings, ("dropped input (messages wins)",))


class RefusalTests(SynchronousTestCase):
    TABLE: tuple[tuple[dict[str, Any], str], ...] = (
        ({"model": 5}, "model"),
        ({"n": 0}, "n"),
        ({"n": "1"}, "n"),
        ({"n": True}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": "text"}, "modalities"),
        ({"modalities": [1]}, "modalities[0]"),
        ({"background": True}, "background"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": -1, "logprobs": True}, "top_logprobs"),
        ({"include": "x"}, "include"),
        ({"include": [1]}, "include[0]"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": 1}}},
            "response_format.json_schema.schema",
        ),
        ({"verbosity": 1}, "verbosity"),
        ({"text": "x"}, "text"),
        ({"text": {"format": 1}}, "text.format"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 1}}, "reasoning.effort"),
        ({"reasoning": {"summary": 1}}, "reasoning.summary"),
        ({"reasoning": {"enabled": "yes"}}, "reasoning.enabled"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"store": "no"}, "store"),
        ({"user": 7}, "user"),
        ({"safety_identifier": 7}, "safety_identifier"),
        ({"metadata": []}, "metadata"),
        ({"service_tier": 1}, "service_tier"),
        ({"prompt_cache_key": 1}, "prompt_cache_key"),
        ({"moderation": "x"}, "moderation"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
    )

    def test_each_names_the_field_at_fault(self) -> None:
        for fields, param in self.TABLE:
            error = self.assertRaises(BadRequest, ask, **fields)
            self.assertEqual((error.status, error.type, error.param), (400, "invalid_request_error", param), fields)
            self.assertTrue(error.code, fields)

    def test_the_recorded_bad_request_is_bad(self) -> None:
        # what upstream itself refuses: envoy--chat-bad-request
        error = self.assertRaises(BadRequest, ask, messages=[{"role": "user", "content": None}])
        self.assertEqual(error.param, "messages[0].content")


# ---------------------------------------------------------------- the published schema

CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"place":"Rome"}'}}
PNG = "data:image/png;base64,iVBORw0KGgo="

#: Varied requests, all of which upstream takes.
VARIED: tuple[dict[str, Any], ...] = (
    {},
    {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "developer", "content": [{"type": "text", "text": "D"}]},
            *HELLO,
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?", "prompt_cache_breakpoint": {"mode": "explicit"}},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                    {"type": "image_url", "image_url": "https://example.org/a.png"},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
                    },
                    {"type": "file", "file": {"file_id": "file-1"}},
                    {"type": "input_text", "text": "mixed"},
                ],
            }
        ]
    },
    {
        "messages": [
            *HELLO,
            {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, {**CALL, "id": "x" * 80}]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "20"}]},
            {"role": "tool", "tool_call_id": "x" * 80, "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
            {"role": "tool", "tool_call_id": "stray", "content": "30"},
            {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": "unanswered"}]},
        ],
        "tools": [WEATHER, {"type": "function", "function": {"name": "a.b"}}],
        "tool_choice": {"type": "function", "function": {"name": "a.b"}},
        "parallel_tool_calls": True,
    },
    {
        "messages": [
            {**HELLO[0], "name": "Ann"},
            {**HELLO[0], "name": "Bob"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": PNG}}],
                "phase": "final_answer",
                "images": [{"type": "image_url", "image_url": {"url": PNG}}],
                "reasoning_content": "r",
            },
        ]
    },
    {
        "messages": [
            *HELLO,
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": None},
        ],
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
    },
    {
        "messages": [
            *HELLO,
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "p", "input": "x"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ],
        "tools": [
            {
                "type": "custom",
                "custom": {
                    "name": "p",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}},
                },
            },
            {"type": "web_search"},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "p"}}]},
        },
    },
    {
        "web_search_options": {
            "search_context_size": "high",
            "user_location": {"type": "approximate", "approximate": {"country": "DE"}},
        }
    },
    {"response_format": {"type": "json_object"}, "verbosity": "low"},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": None}}},
    {"max_tokens": 1, "temperature": 0, "top_p": 0.1, "logprobs": True, "top_logprobs": 5, "stop": "x", "seed": 1},
    {
        "reasoning_effort": "high",
        "reasoning": {"summary": "auto", "enabled": True},
        "include": ["reasoning.encrypted_content"],
    },
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": True}, "store": True},
    {
        "user": "u" * 99,
        "safety_identifier": "s" * 99,
        "metadata": {"a": "b"},
        "service_tier": "fast",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "moderation": {"model": "omni-moderation-latest"},
    },
    {"instructions": "I", "truncation": "auto", "max_tool_calls": 1, "previous_response_id": "resp_1"},
    {"input": "Hi"},
    {"input": [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": "msg_1"}]},
)


class SchemaTests(SynchronousTestCase):
    def test_translated_bodies_are_what_upstream_publishes(self) -> None:
        for fields in VARIED:
            for capabilities in (ON_DEMAND, ALWAYS, NEVER, UNKNOWN):
                body = sent(capabilities=capabilities, **fields)
                self.assertEqual(off_schema("CreateResponse", body), [], fields)

    def test_the_schema_tells_wrong_from_right(self) -> None:
        self.assertNotEqual(
            off_schema("CreateResponse", {"model": "m", "input": [{"role": "tool", "content": "x"}]}), []
        )
        self.assertNotEqual(off_schema("CreateResponse", {"model": "m", "input": "x", "max_output_tokens": 1}), [])

    def test_a_refusal_in_the_history_is_the_assistants_words(self) -> None:
        # the schema has a part for it only in a stored message, with an id and a status
        message = {"role": "assistant", "content": None, "refusal": "No."}
        body = sent(messages=[*HELLO, message])
        self.assertEqual(body["input"][1], {"type": "message", "role": "assistant", "content": "No."})
        self.assertEqual(off_schema("CreateResponse", body), [])


class RecordedTests(SynchronousTestCase):
    """Requests that real clients sent."""

    def bodies(self) -> list[tuple[str, dict[str, Any]]]:
        root = SHARED / "recordings"
        if not root.is_dir():
            raise SkipTest("the recordings are not beside the checkout")
        return [
            (str(path.relative_to(root)), json.loads(path.read_text()))
            for meta in sorted(root.glob("*/meta.json"))
            if json.loads(meta.read_text())["api"] == "chat"
            for path in sorted(Path(meta.parent).glob("*/request.json"))
        ]

    #: What cannot be done over Responses, and what is wrong for upstream too.
    REFUSED = {
        "dotnet--ChatTests--ChatWithBasicAudioOutput/01/request.json": "modalities",
        "envoy--chat-bad-request/01/request.json": "max_tokens",
    }

    def test_each_is_translated_by_the_schema_or_refused_by_name(self) -> None:
        refused = {}
        for name, body in self.bodies():
            try:
                made = json.loads(asked(body, NEVER).body)
            except BadRequest as error:
                refused[name] = error.param
                continue
            wrong = [] if b"refusal" in json.dumps(body).encode() else off_schema("CreateResponse", made)
            self.assertEqual(wrong, [], name)
        self.assertEqual(refused, self.REFUSED)


# ---------------------------------------------------------------- hostile input

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.sampled_from(["", "a", "none", "auto", "function", "user"]),
    st.text(max_size=5),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "name", "text", "content", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)

_ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "bot"])
_MESSAGE_KEYS = st.sampled_from(
    ["content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio", "images", "phase"]
)
_messages = st.lists(
    st.one_of(
        _values, st.builds(lambda role, rest: {"role": role, **rest}, _ROLES, st.dictionaries(_MESSAGE_KEYS, _values))
    ),
    max_size=4,
)


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here]
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += _paths(inner, (*here, key))
    return found


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    out = copy.copy(value)
    out[path[0]] = _replaced(value[path[0]], path[1:], new)
    return out


_RICH = [{"model": "gpt-5.1", "messages": HELLO, **fields} for fields in VARIED if "input" not in fields]


@st.composite
def _mutants(draw: st.DrawFn) -> dict[str, Any]:
    """A good request with something else in one to three places."""
    body: Any = draw(st.sampled_from(_RICH))
    for _ in range(draw(st.integers(1, 3))):
        body = _replaced(body, draw(st.sampled_from([path for path in _paths(body) if path])), draw(_values))
    return dict(body)


class HostileTests(SynchronousTestCase):
    def judge(self, body: dict[str, Any]) -> None:
        for capabilities in (ON_DEMAND, NEVER):
            try:
                translation = asked(body, capabilities)
            except ApiError as error:
                self.assertEqual(error.status, 400)
                continue
            self.assertIsInstance(translation, Translation)
            made = json.loads(translation.body)
            self.assertLessEqual(set(made), set(ORDER))
            self.assertTrue(all(w.isascii() and w.isprintable() for w in translation.warnings))
            self.assertEqual(asked(body, capabilities), translation)

    @given_any(_mutants())
    @settings(max_examples=400, deadline=None, derandomize=True)
    def test_a_good_request_with_anything_in_it(self, body: dict[str, Any]) -> None:
        self.judge(body)

    @given_any(
        st.dictionaries(st.one_of(st.sampled_from(sorted(KNOWN_FIELDS)), st.text(max_size=4)), _values, max_size=6),
        _messages,
    )
    @settings(max_examples=300, deadline=None, derandomize=True)
    def test_any_fields_beside_any_messages(self, fields: dict[str, Any], messages: list[Any]) -> None:
        self.judge({"model": "m", "messages": messages, **fields})

    @given_any(st.dictionaries(st.sampled_from(sorted(KNOWN_FIELDS)), _values, max_size=6))
    @settings(max_examples=100, deadline=None, derandomize=True)
    def test_any_object(self, body: dict[str, Any]) -> None:
        self.judge(body)

    def test_a_value_that_has_no_end_is_refused(self) -> None:
        deep: Any = {}
        for _ in range(100_000):
            deep = {"a": deep}
        error = self.assertRaises(BadRequest, ask, metadata=deep)
        self.assertEqual(error.status, 400)
        while deep:  # taken apart by hand: the interpreter would do it recursively
            deep = deep.get("a")

    def test_half_a_character_is_refused(self) -> None:
        for fields in ({"user": "\ud800"}, {"user": "\ud800" * 65}, {"tools": [{"function": {"name": "\ud800"}}]}):
            try:
                self.judge({"model": "m", "messages": HELLO, **fields})
            except UnicodeError:
                self.fail(f"{fields!r} was not refused")
