"""Whether arguments are what a schema says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.tools.schema import mismatch

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "unit": {"enum": ["C", "F"]},
        "at": {"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 2},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"lat": {"type": ["number", "null"]}}, "required": ["lat"]}},
}


class MismatchTests(SynchronousTestCase):
    def test_what_fits_has_no_problem(self) -> None:
        value = {"city": "Rome", "days": 3, "unit": "C", "at": [{"lat": 41.9}, {"lat": None, "lon": 12.5}]}
        self.assertIsNone(mismatch(value, WEATHER))
        self.assertIsNone(mismatch({"city": "Rome", "days": 3.0}, WEATHER))
        self.assertIsNone(mismatch({"anything": 1}, {"type": "object"}))

    def test_the_place_and_the_reason_are_named(self) -> None:
        for value, problem in (
            ({}, "city is missing"),
            ({"city": 5}, "city must be a string"),
            ({"city": "R"}, "city must have at least 2 characters"),
            ({"city": "Rome", "days": True}, "days must be an integer"),
            ({"city": "Rome", "days": 8}, "days must be at most 7"),
            ({"city": "Rome", "unit": "K"}, "unit must be one of 'C', 'F'"),
            ({"city": "Rome", "town": 1}, "town is unknown (there may be: city, days, unit, at)"),
            ({"city": "Rome", "at": [{"lat": 1}, {"lat": "north"}]}, "at[1].lat must be a number or a null"),
            ({"city": "Rome", "at": [{"lat": 1}] * 3}, "at must have at most 2 items"),
            ([], "the whole must be an object"),
        ):
            self.assertEqual(mismatch(value, WEATHER), problem)

    def test_one_of_several_schemas_has_to_fit(self) -> None:
        schema = {"properties": {"id": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^x"}]}}}
        self.assertIsNone(mismatch({"id": 1}, schema))
        self.assertIsNone(mismatch({"id": "x1"}, schema))
        self.assertEqual(mismatch({"id": "y1"}, schema), "id must be an integer or id must match ^x")

    def test_a_schema_that_has_no_end_has_one_here(self) -> None:
        self.assertIsNone(mismatch({"a": 1}, {"$ref": "#"}))

    def test_a_pattern_that_python_does_not_know_is_passed_over(self) -> None:
        self.assertIsNone(mismatch("a", {"type": "string", "pattern": r"\p{L}"}))


_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "abc"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
_TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
_SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=2, unique=True),
            "enum": st.lists(_SCALARS, min_size=1, max_size=3),
            "minimum": st.integers(-2, 2),
            "maxLength": st.integers(0, 2),
            "minItems": st.integers(0, 2),
            "maxProperties": st.integers(0, 2),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=6,
)


class AgreementTests(SynchronousTestCase):
    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(_SCHEMAS, _VALUES)
    def test_what_fits_is_what_a_full_validator_says(self, schema: dict[str, Any], value: Any) -> None:
        self.assertEqual(mismatch(value, schema) is None, Draft202012Validator(schema).is_valid(value))
