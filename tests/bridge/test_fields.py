"""The table of fields, against the published schema and against what the translation does."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.fields import EXTRA_FIELDS, FIELDS, KNOWN_FIELDS, Fate
from oaiproxy.bridge.request import ORDER, READ_BY_STEPS, STEPS
from tests.bridge.asking import HELLO, WEATHER, ask, asked, properties

#: For each field of the schema a value that asks for something, and where it shows upstream; None where it must not.
ASKING: dict[str, tuple[Any, str | None]] = {
    "audio": ({"voice": "ash", "format": "wav"}, None),
    "frequency_penalty": (0.5, None),
    "function_call": ({"name": "get_weather"}, "tool_choice"),
    "functions": ([{"name": "f"}], "tools"),
    "logit_bias": ({"50256": -100}, None),
    "logprobs": (True, "include"),
    "max_completion_tokens": (100, "max_output_tokens"),
    "max_tokens": (100, "max_output_tokens"),
    "messages": ([{"role": "user", "content": "Hi"}], "input"),
    "metadata": ({"a": "b"}, "metadata"),
    "modalities": (["text", "audio"], None),
    "model": ("gpt-5.1", "model"),
    "moderation": ({"model": "omni-moderation-latest"}, "moderation"),
    "n": (2, None),
    "parallel_tool_calls": (False, "parallel_tool_calls"),
    "prediction": ({"type": "content", "content": "x"}, None),
    "presence_penalty": (-0.5, None),
    "prompt_cache_key": ("k", "prompt_cache_key"),
    "prompt_cache_options": ({"mode": "explicit"}, "prompt_cache_options"),
    "prompt_cache_retention": ("24h", "prompt_cache_retention"),
    "reasoning_effort": ("low", "reasoning"),
    "response_format": ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}, "text"),
    "safety_identifier": ("s", "safety_identifier"),
    "seed": (1, None),
    "service_tier": ("flex", "service_tier"),
    "stop": (["\n"], None),
    "store": (True, "store"),
    "stream": (True, "stream"),
    "stream_options": ({"include_obfuscation": True}, "stream_options"),
    "temperature": (0.5, "temperature"),
    "tool_choice": ("required", "tool_choice"),
    "tools": ([WEATHER], "tools"),
    "top_logprobs": (3, "top_logprobs"),
    "top_p": (0.5, "top_p"),
    "user": ("u", "user"),
    "verbosity": ("low", "text"),
    "web_search_options": ({}, "tools"),
}

#: What has to stand beside a field for it to count.
BESIDE: dict[str, dict[str, Any]] = {
    "function_call": {"functions": [{"name": "get_weather"}]},
    "parallel_tool_calls": {"tools": [WEATHER]},
    "stream_options": {"stream": True},
    "tool_choice": {"tools": [WEATHER]},
    "top_logprobs": {"logprobs": True},
}


class TableTests(SynchronousTestCase):
    """The table is whole."""

    def test_it_has_every_field_of_the_published_request(self) -> None:
        self.assertEqual(set(FIELDS), properties("CreateChatCompletionRequest"))

    def test_it_has_every_field_that_only_the_responses_request_has(self) -> None:
        self.assertEqual(properties("CreateResponse") - set(FIELDS) - set(EXTRA_FIELDS), set())

    def test_a_field_is_in_one_table_only(self) -> None:
        self.assertEqual(set(FIELDS) & set(EXTRA_FIELDS), set())

    def test_every_field_is_explained_in_one_line(self) -> None:
        for known in KNOWN_FIELDS.values():
            self.assertTrue(known.note.endswith("."), known.name)
            self.assertNotIn("\n", known.note)

    def test_what_goes_upstream_is_a_field_of_the_responses_request(self) -> None:
        upstream = {known.upstream.partition(".")[0] for known in KNOWN_FIELDS.values() if known.upstream}
        self.assertEqual(upstream - properties("CreateResponse"), set())

    def test_the_body_has_a_place_for_all_that_goes_upstream(self) -> None:
        upstream = {known.upstream.partition(".")[0] for known in KNOWN_FIELDS.values() if known.upstream}
        self.assertEqual(upstream - set(ORDER), set())

    def test_only_what_goes_somewhere_says_where(self) -> None:
        for known in KNOWN_FIELDS.values():
            self.assertEqual(bool(known.upstream), known.fate in (Fate.CARRIED, Fate.TRANSLATED), known.name)

    def test_null_asks_for_nothing(self) -> None:
        for known in KNOWN_FIELDS.values():
            self.assertTrue(known.asks_nothing(None), known.name)


class HandlingTests(SynchronousTestCase):
    """The code does what the table says."""

    def test_every_field_that_the_table_alone_cannot_handle_has_a_step(self) -> None:
        needy = {known.name for known in KNOWN_FIELDS.values() if known.fate in (Fate.TRANSLATED, Fate.REFUSED)}
        self.assertEqual(needy - READ_BY_STEPS, set())

    def test_the_steps_read_no_field_that_the_table_does_not_know(self) -> None:
        self.assertEqual(READ_BY_STEPS - set(KNOWN_FIELDS), set())

    def test_each_field_is_read_by_one_step(self) -> None:
        names = [name for step in STEPS for name in step.reads]
        self.assertEqual(len(names), len(set(names)))

    def test_each_field_is_tried_below(self) -> None:
        self.assertEqual(set(ASKING), set(FIELDS))

    def test_each_field_that_asks_for_something_goes_up_or_is_told_of_or_is_refused(self) -> None:
        for name, (value, upstream) in ASKING.items():
            beside = BESIDE.get(name, {})
            known = FIELDS[name]
            try:
                translation = ask(**{**beside, name: value})
            except BadRequest as error:
                self.assertEqual((known.fate, error.param), (Fate.REFUSED, name))
                continue
            told = [warning for warning in translation.warnings if name in warning]
            body = json.loads(translation.body)
            if known.fate is Fate.EMULATED:
                self.assertFalse(any(warning.startswith("dropped") for warning in told), name)
                self.assertNotEqual(translation.plan, ask(**beside).plan, name)
            elif upstream is None:
                self.assertEqual(len(told), 1, (name, translation.warnings))
            else:
                self.assertIn(upstream, body, name)
                self.assertEqual(told, [], name)

    def test_no_field_can_be_null_to_any_effect(self) -> None:
        plain = ask()
        for name in set(KNOWN_FIELDS) - {"model", "messages"}:
            self.assertEqual(asked({"model": "gpt-5.1", "messages": HELLO, name: None}), plain, name)

    def test_neutral_values_are_dropped_without_a_word(self) -> None:
        for known in KNOWN_FIELDS.values():
            for value in known.neutral:
                if known.fate is Fate.DROPPED:
                    self.assertEqual(ask(**{known.name: value}), ask(), known.name)
