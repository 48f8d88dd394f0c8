"""The table of legacy fields, against the published schema, the translation, and its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.completions.fields import CHAT_FIELDS, COMPLETION_FIELDS
from oaiproxy.bridge.completions.prompt import BEGIN, CONTINUE, INSERT
from oaiproxy.bridge.completions.request import DEFAULT_MAX_TOKENS, MAX_ANSWERS, ROOM_TO_REASON
from oaiproxy.bridge.fields import FIELDS, KNOWN_FIELDS, Fate
from tests.bridge.asking import properties
from tests.bridge.completing import complete, completion

#: For each field of the schema a value that asks for something, and where it shows upstream; None where it must not.
ASKING: dict[str, tuple[Any, str | None]] = {
    "best_of": (2, None),
    "echo": (True, None),
    "frequency_penalty": (0.5, None),
    "logit_bias": ({"50256": -100}, None),
    "logprobs": (0, "include"),
    "max_tokens": (100, "max_output_tokens"),
    "model": ("gpt-5.1", "model"),
    "n": (2, None),
    "presence_penalty": (-0.5, None),
    "prompt": ("Hi", "input"),
    "seed": (1, None),
    "stop": (["\n"], None),
    "stream": (True, "stream"),
    "stream_options": ({"include_usage": True}, "stream_options"),
    "suffix": ("The end.", "input"),
    "temperature": (0.5, "temperature"),
    "top_p": (0.5, "top_p"),
    "user": ("u", "user"),
}

DOCS = Path(__file__).resolve().parents[2] / "docs" / "completions.md"


class TableTests(SynchronousTestCase):
    def test_it_has_every_field_of_the_published_request(self) -> None:
        self.assertEqual(set(COMPLETION_FIELDS), properties("CreateCompletionRequest"))

    def test_the_chat_fields_are_such_and_no_legacy_ones(self) -> None:
        self.assertEqual(set(CHAT_FIELDS) - set(KNOWN_FIELDS), set())
        self.assertEqual(set(CHAT_FIELDS) & set(COMPLETION_FIELDS), set())

    def test_what_the_chat_half_does_with_a_field_is_what_the_table_says(self) -> None:
        left_to_chat = set(COMPLETION_FIELDS) - {"best_of", "echo", "logprobs", "max_tokens", "n", "prompt", "suffix"}
        self.assertEqual(
            {name: COMPLETION_FIELDS[name].fate for name in left_to_chat},
            {name: FIELDS[name].fate for name in left_to_chat},
        )

    def test_only_what_goes_somewhere_says_where(self) -> None:
        for field in COMPLETION_FIELDS.values():
            self.assertEqual(bool(field.upstream), field.fate in (Fate.CARRIED, Fate.TRANSLATED), field.name)

    def test_each_field_that_asks_for_something_shows_upstream_or_in_the_plan_or_is_told_of(self) -> None:
        self.assertEqual(set(ASKING), set(COMPLETION_FIELDS))
        for name, (value, upstream) in ASKING.items():
            beside: dict[str, Any] = {"stream": True} if name == "stream_options" else {}
            translation, plain = complete(**beside, **{name: value}), complete(**beside)
            told = [note.text for note in translation.notes if name in note.text]
            fate = COMPLETION_FIELDS[name].fate
            if fate is Fate.DROPPED:
                self.assertEqual((len(told), translation.bodies), (1, plain.bodies), name)
                continue
            self.assertFalse(any(text.startswith("dropped") for text in told), name)
            if fate is Fate.EMULATED:
                self.assertNotEqual(translation.plan, plain.plan, name)
            else:
                assert upstream is not None
                self.assertIn(upstream, json.loads(translation.bodies[0]), name)

    def test_null_asks_for_nothing(self) -> None:
        for name in set(COMPLETION_FIELDS) - {"model", "prompt"}:
            self.assertEqual(completion({"model": "gpt-5.1", "prompt": "Once upon", name: None}), complete(), name)


class DocumentationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = DOCS.read_text(encoding="utf-8")

    def test_the_table_in_the_documentation_is_this_one(self) -> None:
        rows = [line for line in self.text.splitlines() if line.startswith("| `")]
        wanted = []
        for field in COMPLETION_FIELDS.values():
            upstream = f"`{field.upstream}`" if field.upstream else ""
            wanted.append(f"| `{field.name}` | {field.fate.value} | {upstream} | {field.note} |")
        self.assertEqual(rows, wanted)

    def test_the_chat_fields_are_named(self) -> None:
        self.assertIn(", ".join(f"`{name}`" for name in CHAT_FIELDS), " ".join(self.text.split()))

    def test_the_instructions_are_quoted(self) -> None:
        for instruction in (CONTINUE, INSERT, BEGIN):
            self.assertIn(instruction, " ".join(self.text.replace("\n> ", "\n").split()))

    def test_the_numbers_are_those_of_the_code(self) -> None:
        text = " ".join(self.text.split())
        self.assertIn(f"{DEFAULT_MAX_TOKENS} tokens", text)
        self.assertIn(f"{ROOM_TO_REASON} tokens", text)
        self.assertIn(f"{MAX_ANSWERS} answers", text)
