"""What settings take, as text and as TOML values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.secrets import Secret
from oaiproxy.config import values
from oaiproxy.rules.think import ThinkMode

#: What is read, of what, and what it means.
GOOD: list[tuple[Callable[[object], Any], object, object]] = [
    (values.flag, "true", True),
    (values.flag, "Yes", True),
    (values.flag, "0", False),
    (values.flag, False, False),
    (values.text, "x", "x"),
    (values.path, "a/b", Path("a/b")),
    (values.seconds, "1.5", 1.5),
    (values.seconds, 0, 0.0),
    (values.positive_seconds, 3, 3.0),
    (values.count, "2", 2),
    (values.count, 0, 0),
    (values.positive, 1.0, 1),
    (values.size, "64 MB", 64 * 2**20),
    (values.size, "10k", 10240),
    (values.size, 7, 7),
    (values.one_of(ThinkMode), " Move", ThinkMode.MOVE),
    (values.words, "a, b,,c ", ("a", "b", "c")),
    (values.words, ["a,b", "c"], ("a,b", "c")),
    (values.secret, " sk-1\n", Secret("sk-1")),
    (values.secrets, "a, b c\n# old\nd", (Secret("a"), Secret("b"), Secret("c"), Secret("d"))),
    (values.secrets, ["a", "b"], (Secret("a"), Secret("b"))),
    (values.table, '{"a": 1}', {"a": 1}),
    (values.table, {"a": [1]}, {"a": [1]}),
    (values.string_table, "a=b, c = d", {"a": "b", "c": "d"}),
    (values.string_table, '{"a": "b"}', {"a": "b"}),
    (values.string_table, {"a": "b"}, {"a": "b"}),
]

#: What is refused, of what, and a part of the reason.
BAD: list[tuple[Callable[[object], Any], object, str]] = [
    (values.flag, "maybe", "true or false, not 'maybe'"),
    (values.flag, 1, "true or false"),
    (values.text, "", "empty"),
    (values.text, 5, "a string, not 5"),
    (values.size, "1.5 MB", "a number of bytes"),
    (values.size, -1, "a number of bytes"),
    (values.seconds, "soon", "a number of seconds, not 'soon'"),
    (values.seconds, -1, "a number of seconds"),
    (values.seconds, "nan", "a number of seconds"),
    (values.seconds, "inf", "a number of seconds"),
    (values.seconds, True, "a number of seconds"),
    (values.positive_seconds, 0, "more than 0"),
    (values.count, 1.5, "a whole number"),
    (values.count, "-1", "a whole number"),
    (values.positive, 0, "1 or more"),
    (values.one_of(ThinkMode), "hide", "'hide' is none of off, remove, move"),
    (values.one_of(ThinkMode), 3, "3 is none of"),
    (values.words, 3, "an array of strings, not 3"),
    (values.words, [3], "a string, not 3"),
    (values.secret, "two words", "printable ASCII"),
    (values.secret, "", "empty"),
    (values.secret, 7, "a string"),
    (values.secrets, [7], "an array of strings"),
    (values.table, "{", "a JSON object: "),
    (values.table, "[]", "an object, not an array"),
    (values.string_table, "a", "name=name"),
    (values.string_table, "a=", "name=name"),
    (values.string_table, {"a": 1}, "a: must be a string, not 1"),
]


class ValueTests(SynchronousTestCase):
    def test_what_is_right_is_read(self) -> None:
        for parse, value, meant in GOOD:
            self.assertEqual(parse(value), meant, (parse, value))

    def test_what_is_wrong_is_said_in_one_line(self) -> None:
        for parse, value, reason in BAD:
            error = self.assertRaises(ValueError, parse, value)
            self.assertIn(reason, str(error), value)
            self.assertNotIn("\n", str(error))

    def test_a_secret_is_not_quoted_in_the_complaint(self) -> None:
        for value in ("sk-secret word", ["sk-secret word"], {"sk-secret": 1}):
            for parse in (values.secret, values.secrets):
                try:
                    parse(value)
                except ValueError as e:
                    self.assertNotIn("sk-secret", str(e))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        st.sampled_from(sorted({parse for parse, _, _ in [*GOOD, *BAD]}, key=repr)),
        st.one_of(
            st.text(),
            st.integers(),
            st.floats(),
            st.booleans(),
            st.lists(st.text()),
            st.dictionaries(st.text(), st.text()),
        ),
    )
    def test_whatever_comes_is_read_or_refused(self, parse: Callable[[object], Any], value: object) -> None:
        try:
            parse(value)
        except ValueError as e:
            self.assertTrue(str(e))
