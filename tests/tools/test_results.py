"""What a model is told of a call."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.tools import ToolError, arguments_of, failure_text, result_text

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class ArgumentTests(SynchronousTestCase):
    def refused(self, text: str, schema: Any = CITY) -> str:
        return self.assertRaises(ToolError, arguments_of, text, schema).message

    def test_arguments_are_a_json_object(self) -> None:
        self.assertEqual(arguments_of('{"city": "Rome"}', CITY), {"city": "Rome"})

    def test_no_arguments_are_none(self) -> None:
        for text in ("", " ", "{}", "null"):
            self.assertEqual(arguments_of(text, {"type": "object"}), {})

    def test_what_is_wrong_is_said_with_what_to_do(self) -> None:
        self.assertIn("the arguments are not valid JSON (", self.refused('{"city": "Ro'))
        self.assertEqual(self.refused("[1]"), "the arguments must be a JSON object. Call it again with one.")
        self.assertEqual(
            self.refused("{}"), "the arguments do not fit: city is missing. Call it again with arguments that do."
        )


class ResultTests(SynchronousTestCase):
    def test_a_string_is_told_as_it_is_and_all_else_as_json(self) -> None:
        self.assertEqual(result_text("noon", 100), "noon")
        self.assertEqual(result_text({"a": [1, None]}, 100), '{"a":[1,null]}')
        self.assertEqual(result_text(None, 100), "null")

    def test_what_is_too_long_is_cut_between_characters_and_the_model_told(self) -> None:
        self.assertEqual(result_text("abc", 3), "abc")
        self.assertEqual(
            result_text("abc€def", 5),
            "abc\n[cut off here: the result has 9 bytes, and 5 are the most that can be shown]",
        )

    def test_halves_of_surrogate_pairs_are_no_end(self) -> None:
        self.assertEqual(result_text("a\ud800", 10), "a?")

    def test_what_is_no_json_is_an_error(self) -> None:
        for value in (object(), {"a": object()}, {1j: 1}):
            self.assertRaises(ToolError, result_text, value, 100)

    def test_a_failure_names_the_tool(self) -> None:
        self.assertEqual(failure_text("clock", "it failed (KeyError)"), "Error: clock: it failed (KeyError)")
