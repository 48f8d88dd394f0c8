from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.demo import checks

_OBJECT = checks.fields({"a": checks.string(), "b": checks.nullable(checks.integer(least=16))}, "a")
_LIST = checks.array(checks.one_of("x", "y"), least=1, most=2)
_TAGGED = checks.tagged({"s": checks.fields({"type": checks.anything, "v": checks.boolean}, "v")})
_EITHER = checks.either("one of a string or array", str=checks.string(most=3), list=_LIST)
_METADATA = checks.strings_by_name(most=1, name_length=2, length=3)

#: A check, a value that it refuses, the path and code of the error, and what its message says.
REFUSED: list[tuple[checks.Check, Any, str, str, str]] = [
    (_OBJECT, [], "f", "invalid_type", "Invalid type for 'f': expected an object, but got an array instead."),
    (_OBJECT, {}, "f.a", "missing_required_parameter", "Missing required parameter: 'f.a'."),
    (_OBJECT, {"a": "", "c": 1}, "f.c", "unknown_parameter", "Unknown parameter: 'f.c'."),
    (_OBJECT, {"a": None}, "f.a", "invalid_type", "expected a string, but got null"),
    (_OBJECT, {"a": "", "b": True}, "f.b", "invalid_type", "expected an integer, but got a boolean"),
    (_OBJECT, {"a": "", "b": 15}, "f.b", "integer_below_min_value", "Expected a value >= 16, but got 15 instead."),
    (_LIST, {}, "f", "invalid_type", "expected an array, but got an object"),
    (_LIST, [], "f", "empty_array", "Expected an array with minimum length 1"),
    (_LIST, ["x"] * 3, "f", "array_above_max_length", "but got an array with length 3"),
    (_LIST, ["x", "z"], "f[1]", "invalid_value", "Invalid value: 'z'. Supported values are: 'x' and 'y'."),
    (_LIST, [1], "f[0]", "invalid_type", "expected one of 'x' and 'y', but got an integer"),
    (_TAGGED, {}, "f.type", "missing_required_parameter", "'f.type'"),
    (_TAGGED, {"type": "t"}, "f.type", "invalid_value", "Invalid value: 't'. Supported values are: 's'."),
    (_TAGGED, {"type": 1}, "f.type", "invalid_type", "expected a string"),
    (_TAGGED, {"type": "s", "v": 0}, "f.v", "invalid_type", "expected a boolean, but got an integer"),
    (_TAGGED, "s", "f", "invalid_type", "expected an object"),
    (_EITHER, 1.5, "f", "invalid_type", "expected one of a string or array, but got a decimal"),
    (_EITHER, "abcd", "f", "string_above_max_length", "maximum length 3, but got a string with length 4"),
    (_METADATA, 1, "f", "invalid_type", "expected an object"),
    (_METADATA, {"a": "", "b": ""}, "f", "object_above_max_properties", "at most 1 properties"),
    (_METADATA, {"abc": ""}, "f.abc", "string_above_max_length", "maximum length 2"),
    (_METADATA, {"a": 1}, "f.a", "invalid_type", "expected a string"),
    (checks.string(least=1), "", "f", "empty_string", "but got an empty string"),
    (checks.string(pattern="[a-z]+"), "a b", "f", "invalid_value", "the pattern '^[a-z]+$'"),
    (checks.string(pattern="[a-z]+"), "a\n", "f", "invalid_value", "does not match pattern"),
    (checks.number(0, 2), 2.5, "f", "decimal_above_max_value", "Expected a value <= 2, but got 2.5 instead."),
    (checks.number(0, 2), -1, "f", "decimal_below_min_value", "Expected a value >= 0, but got -1 instead."),
    (checks.number(0, 2), "1", "f", "invalid_type", "expected a decimal, but got a string"),
]

TAKEN: list[tuple[checks.Check, Any]] = [
    (_OBJECT, {"a": "", "b": None}),
    (_OBJECT, {"a": "", "b": 16}),
    (_LIST, ["x", "y"]),
    (_TAGGED, {"type": "s", "v": True}),
    (_EITHER, "abc"),
    (_EITHER, ["x"]),
    (_METADATA, {"ab": "abc"}),
    (checks.fields({}, more=True), {"anything": object()}),
    (checks.tagged({"s": checks.anything}, default="s"), {}),
    (checks.number(0, 2), 2),
]


class CheckTests(SynchronousTestCase):
    def test_what_is_wrong_is_named_as_the_api_names_it(self) -> None:
        for check, value, path, code, message in REFUSED:
            raised = self.assertRaises(BadRequest, check, value, "f")
            self.assertEqual((raised.param, raised.code), (path, code), value)
            self.assertIn(message, raised.message)

    def test_what_is_right_is_taken(self) -> None:
        for check, value in TAKEN:
            check(value, "f")

    def test_the_top_level_has_no_path(self) -> None:
        raised = self.assertRaises(BadRequest, _OBJECT, {}, "")
        self.assertEqual(raised.param, "a")
