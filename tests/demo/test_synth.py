from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.synth import synthesize
from tests.demo.support import WEATHER

#: Schema -> the value made up for it.
TABLE: list[tuple[Any, Any]] = [
    ({}, "demo value"),
    (True, "demo value"),
    ({"type": "string"}, "demo value"),
    ({"type": "string", "maxLength": 4}, "alue"),
    ({"type": "string", "minLength": 12}, "demo value.."),
    ({"type": "string", "format": "email"}, "demo1@example.com"),
    ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000001"),
    ({"type": "string", "pattern": "^a+$", "examples": ["aa"]}, "aa"),
    ({"type": "string", "pattern": "^a+$", "default": "a"}, "a"),
    ({"enum": ["b", "c"]}, "b"),
    ({"const": 7}, 7),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({"type": ["null", "integer"]}, 1),
    ({"type": "integer", "minimum": 3}, 3),
    ({"type": "integer", "exclusiveMinimum": 3}, 4),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 4),
    ({"type": "integer", "maximum": -5}, -5),
    ({"type": "integer", "multipleOf": 7, "minimum": 8}, 14),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, 0.25),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 2, 3]),
    ({"type": "array", "maxItems": 0}, []),
    ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}, [1, 2]),
    ({"items": {"const": 0}}, [0]),
    ({"properties": {"a": {"const": 1}}}, {"a": 1}),
    ({"type": "object", "required": ["a"]}, {"a": "demo a"}),
    ({"type": "object", "minProperties": 2}, {"demo1": "demo demo1", "demo2": "demo demo2"}),
    ({"anyOf": [{"type": "null"}, {"const": 1}]}, 1),
    ({"oneOf": [{"const": 1}, {"const": 2}]}, 1),
    ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
    ({"type": "integer", "minimum": 5, "allOf": [{"minimum": 2}]}, 5),
    ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 1}}}, 1),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, 1),
    ({"$ref": "#/nowhere"}, "demo value"),
    ("no schema at all", "demo value"),
    ({"type": 5, "enum": 5, "anyOf": 5, "required": 5, "properties": 5, "minLength": "x"}, {}),
]


class SynthesisTests(SynchronousTestCase):
    def test_each_schema_gets_its_value(self) -> None:
        for schema, value in TABLE:
            self.assertEqual(synthesize(schema), value, schema)

    def test_optional_properties_are_filled_in_only_when_asked_for(self) -> None:
        schema = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]}
        self.assertEqual(synthesize(schema, fill=True), {"a": 1, "b": 2})
        self.assertEqual(synthesize(schema, fill=False), {"b": 2})

    def test_a_schema_that_requires_nothing_explicitly_gets_no_optional_property(self) -> None:
        self.assertEqual(synthesize({"properties": {"a": {}}, "required": []}, fill=False), {})

    def test_another_ordinal_gives_another_value(self) -> None:
        schema = {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}}}
        self.assertEqual(synthesize(schema, ordinal=1), {"city": "demo city", "unit": "C"})
        self.assertEqual(synthesize(schema, ordinal=2), {"city": "demo city 2", "unit": "F"})

    def test_a_recursive_schema_comes_to_an_end(self) -> None:
        value = synthesize(WEATHER)
        Draft202012Validator(WEATHER).validate(value)
        near, depth = value["places"][0], 0
        while near is not None:
            near, depth = near["near"], depth + 1
        self.assertLess(depth, 5)

    def test_a_schema_that_can_never_be_met_comes_to_an_end(self) -> None:
        synthesize({"$ref": "#"})
        synthesize({"allOf": [{"$ref": "#"}] * 3})
        synthesize({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}})
        synthesize({"type": "object", "properties": {str(n): {"$ref": "#"} for n in range(30)}})

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.deferred(lambda: SCHEMAS), st.integers(1, 3), st.booleans())
    def test_the_value_is_valid(self, schema: Any, ordinal: int, fill: bool) -> None:
        Draft202012Validator(schema).validate(synthesize(schema, ordinal=ordinal, fill=fill))


def _object(inner: Any) -> Any:
    return st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[:required],
            "additionalProperties": not closed,
        },
        st.dictionaries(st.sampled_from(["a", "b_c", "d", "e"]), inner, max_size=4),
        st.integers(0, 4),
        st.booleans(),
    )


def _array(inner: Any) -> Any:
    return st.builds(
        lambda items, least, room: {"type": "array", "items": items, "minItems": least, "maxItems": least + room},
        inner,
        st.integers(0, 3),
        st.integers(0, 3),
    )


def _number(kind: str) -> Any:
    return st.builds(
        lambda low, room, step: {"type": kind, "minimum": low, "maximum": low + room, "multipleOf": step},
        st.integers(-50, 50),
        st.integers(10, 20),
        st.sampled_from([1, 2, 5]),
    )


_LEAVES = st.one_of(
    st.builds(
        lambda least, room: {"type": "string", "minLength": least, "maxLength": least + room},
        st.integers(0, 20),
        st.integers(0, 5),
    ),
    st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True).map(lambda values: {"enum": values}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}]),
    _number("integer"),
    _number("number"),
)
SCHEMAS: Any = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        _object(inner), _array(inner), st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some})
    ),
    max_leaves=8,
)
