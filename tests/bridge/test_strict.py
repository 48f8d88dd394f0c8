"""A strict proxy refuses what it would have to leave out, and nothing else."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.notes import Dropped, Note
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import translate
from oaiproxy.bridge.fields import KNOWN_FIELDS, Fate
from oaiproxy.bridge.notes import MAX_REFUSED
from tests.bridge.asking import ALWAYS, HELLO, NEVER, ON_DEMAND, WEATHER, ask

STRAY = [{"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"}, *HELLO]
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}

#: (what is asked, what can the model do, the field that would be left out)
LOST: list[tuple[dict[str, Any], Any, str]] = [
    ({"seed": 1}, ON_DEMAND, "seed"),
    ({"frequency_penalty": 0.5}, ON_DEMAND, "frequency_penalty"),
    ({"audio": {"voice": "ash", "format": "wav"}}, ON_DEMAND, "audio"),
    ({"top_k": 40}, ON_DEMAND, "top_k"),
    ({"no_such_field": 1}, ON_DEMAND, "no_such_field"),
    ({"input": "Hi", "messages": HELLO}, ON_DEMAND, "input"),
    ({"stream_options": {"pace": 1}}, ON_DEMAND, "stream_options.pace"),
    ({"max_completion_tokens": 100, "max_tokens": 200}, ON_DEMAND, "max_tokens"),
    ({"temperature": 0.5}, ALWAYS, "temperature"),
    ({"top_p": 0.5, "reasoning_effort": "high"}, ON_DEMAND, "top_p"),
    ({"logprobs": True}, ALWAYS, "logprobs"),
    ({"top_logprobs": 3}, NEVER, "top_logprobs"),
    ({"reasoning_effort": "high"}, NEVER, "reasoning_effort"),
    ({"reasoning": {"summary": "auto"}}, NEVER, "reasoning"),
    ({"reasoning": {"max_tokens": 900}}, ON_DEMAND, "reasoning.max_tokens"),
    ({"reasoning": {"enabled": False}}, ALWAYS, "reasoning.enabled"),
    ({"reasoning": {"colour": "red"}}, ON_DEMAND, "reasoning.colour"),
    ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, ON_DEMAND, "reasoning.effort"),
    ({"reasoning": {"effort": "none", "summary": "auto"}}, ON_DEMAND, "reasoning.summary"),
    ({"tool_choice": "required"}, ON_DEMAND, "tool_choice"),
    ({"parallel_tool_calls": True}, ON_DEMAND, "parallel_tool_calls"),
    ({"functions": [{"name": "f"}], "parallel_tool_calls": True}, ON_DEMAND, "parallel_tool_calls"),
    ({"tools": [WEATHER], "tool_choice": "none", "function_call": "auto"}, ON_DEMAND, "function_call"),
    ({"tools": [WEATHER, WEATHER]}, ON_DEMAND, "tools[1].function.name"),
    ({"tools": [WEATHER, {**WEATHER["function"], "type": "function"}]}, ON_DEMAND, "tools[1].function.name"),
    ({"functions": [{"name": "f"}, {"name": "f"}]}, ON_DEMAND, "functions[1].name"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "examples": []}}]},
        ON_DEMAND,
        "tools[0].function.examples",
    ),
    ({"tools": [{"type": "function", "id": "x", "function": {"name": "f"}}]}, ON_DEMAND, "tools[0].id"),
    ({"tools": [{"type": "custom", "custom": {"name": "f", "x": 1}}]}, ON_DEMAND, "tools[0].custom.x"),
    ({"tools": [{"type": "web_search"}], "web_search_options": {}}, ON_DEMAND, "web_search_options"),
    ({"messages": [*HELLO, {"role": "user", "name": "Ann", "content": "Hi"}]}, ON_DEMAND, "messages[1].name"),
    ({"messages": [*HELLO, {"role": "tool", "content": ""}]}, ON_DEMAND, "messages[1]"),
    (
        {"messages": [*HELLO, {**CALLED, "function_call": {"name": "f", "arguments": "{}"}}]},
        ON_DEMAND,
        "messages[1].function_call",
    ),
]

#: What is done in another way than it was written, and is told, but done.
CHANGED: list[dict[str, Any]] = [
    {"max_tokens": 5},
    {"user": "u" * 65},
    {"safety_identifier": "s" * 65},
    {"messages": STRAY},
    {"messages": [*HELLO, CALLED]},
    {"messages": [*HELLO, {"role": "assistant", "content": "Here", "images": [PICTURE]}, *HELLO]},
]


class RefusedTests(SynchronousTestCase):
    def refused(self, **how: Any) -> BadRequest:
        error: BadRequest = self.assertRaises(BadRequest, ask, strict=True, **how)
        self.assertEqual((error.status, error.code), (400, "unsupported_parameter"))
        return error

    def test_what_would_be_left_out_is_refused_by_its_name(self) -> None:
        for fields, capabilities, param in LOST:
            with self.subTest(param=param, fields=fields):
                self.assertEqual(self.refused(**fields, capabilities=capabilities).param, param)

    def test_without_it_the_same_is_a_warning(self) -> None:
        for fields, capabilities, param in LOST:
            with self.subTest(param=param, fields=fields):
                notes = ask(**fields, capabilities=capabilities).notes
                (lost,) = [note for note in notes if isinstance(note, Dropped)]
                self.assertEqual(lost.param, param)
                self.assertTrue(lost.text.startswith("dropped "))

    def test_every_field_that_the_table_drops_is_refused(self) -> None:
        for known in KNOWN_FIELDS.values():
            if known.fate is Fate.DROPPED:
                self.assertEqual(self.refused(**{known.name: "something"}).param, known.name)

    def test_the_error_says_what_to_do(self) -> None:
        self.assertEqual(
            self.refused(seed=1).message,
            "This proxy is strict and would have to leave out 'seed' (the Responses API has no such field). Leave it "
            "out of the request, or start the proxy without --strict (for this request alone: send the header "
            "x-oaiproxy-strict: false).",
        )

    def test_all_fields_are_named_at_once_and_the_first_is_the_param(self) -> None:
        error = self.refused(logit_bias={"1": 2}, seed=1)
        self.assertEqual(error.param, "logit_bias")
        self.assertIn("leave out 'logit_bias' (the Responses API has no such field), 'seed' (", error.message)
        self.assertIn("Leave them out", error.message)

    def test_of_very_many_only_some_are_named(self) -> None:
        error = self.refused(**{f"field{i}": i for i in range(MAX_REFUSED + 5)})
        self.assertIn(f"'field{MAX_REFUSED - 1}' (unknown field), 5 more. Leave", error.message)
        self.assertNotIn(f"field{MAX_REFUSED}'", error.message)

    def test_a_request_that_is_wrong_is_refused_for_that_first(self) -> None:
        error = self.assertRaises(BadRequest, ask, strict=True, seed=1, temperature="warm")
        self.assertEqual((error.param, error.code), ("temperature", "invalid_type"))


class AcceptedTests(SynchronousTestCase):
    def test_what_is_only_changed_is_a_warning_all_the_same(self) -> None:
        for fields in CHANGED:
            with self.subTest(fields=fields):
                strict = ask(**fields, strict=True)
                self.assertEqual(strict, ask(**fields))
                self.assertEqual([type(note) for note in strict.notes], [Note])

    def test_a_request_with_nothing_to_leave_out_is_the_same(self) -> None:
        fields = {
            "tools": [WEATHER],
            "stream": True,
            "stop": ["."],
            "user": "u",
            "frequency_penalty": 0,
            "logit_bias": {},
        }
        self.assertEqual(ask(**fields, strict=True), ask(**fields))

    def test_a_clients_own_bookkeeping_is_ignored(self) -> None:
        private = {known.name: "x" for known in KNOWN_FIELDS.values() if known.fate is Fate.IGNORED}
        self.assertEqual(ask(**private, strict=True), ask())

    def test_what_the_proxy_added_and_drops_again_is_no_error(self) -> None:
        for fields, capabilities in (
            ({"reasoning": {"effort": "medium", "summary": "auto"}}, NEVER),
            ({"temperature": 0.5}, ALWAYS),
            ({"seed": 1}, ON_DEMAND),
            ({"odd": 1}, ON_DEMAND),
        ):
            with self.subTest(fields=fields):
                translation = ask(**fields, added=tuple(fields), capabilities=capabilities, strict=True)
                self.assertEqual(translation.notes, ())


class TransformTests(SynchronousTestCase):
    """What a request transform dropped counts; what it only tells does not."""

    REQUEST = ApiRequest(
        PortKind.BRIDGE, "POST", "/chat/completions", (), Body.of({"model": "gpt-4o", "messages": HELLO})
    )

    def test_what_a_transform_dropped_is_refused(self) -> None:
        request = self.REQUEST.warn_dropped("res-high", "the model does not reason", "model")
        self.assertEqual(request.warnings, ("dropped res-high (the model does not reason)",))
        error = self.assertRaises(BadRequest, translate, request, NEVER, strict=True)
        self.assertEqual((error.param, error.code), ("model", "unsupported_parameter"))

    def test_what_a_transform_tells_is_not(self) -> None:
        request = self.REQUEST.warn("changed res-max to res-high (the model does not take it)")
        self.assertEqual(translate(request, NEVER, strict=True), translate(request, NEVER))
