"""Values that the published schema allows, as hypothesis strategies; the schema itself is not part of the project."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.bridge.asking import spec

Values = st.SearchStrategy[Any]

#: Any text; short, with what is special to JSON, to lines, and to the bridge.
TEXT = st.one_of(
    st.sampled_from(
        ["", " ", "Hi", "\n", "END", "<think>\nHm\n</think>\n\nHi", "json", "é🦊\u2028", '"\\', "{}", "a\x00"]
    ),
    st.text(max_size=6),
)

_NAMES = st.sampled_from(["f", "g", "a.b/c", "parallel", "web_search", "x" * 64, "y" * 150, "é", ""])
_MODELS = st.sampled_from(["gpt-5.1", "o3", "gpt-4o"])
_IDS = st.sampled_from(["c1", "c2", "c3", "i" * 64, "j" * 90, ""])

#: What a string is likely to be by the name of its field, so that calls find their tools and results their calls.
BY_NAME: Mapping[str, Values] = {
    "name": _NAMES,
    "id": _IDS,
    "item_id": _IDS,
    "call_id": _IDS,
    "tool_call_id": _IDS,
    "url": st.sampled_from(["https://a.example/b.png", "data:image/png;base64,iVBORw0KGgo=", "file-abc", ""]),
    "arguments": st.sampled_from(["", "{}", '{"a": 1}', '{"a":', "no json", "[1]"]),
    "result": st.sampled_from(["QUJD", "", "data:image/png;base64,QUJD"]),
    "user": st.sampled_from(["u", "u" * 80]),
}

#: Integers by the name of their field: places among few items and parts.
PLACES: Mapping[str, Values] = {
    "output_index": st.integers(0, 2),
    "content_index": st.integers(0, 1),
    "summary_index": st.integers(0, 1),
}


class Published:
    """Strategies for the published schemas.

    @ivar instead: schema name -> the strategy to take in its place.
    """

    def __init__(self, instead: Mapping[str, Values] | None = None) -> None:
        self._schemas: Mapping[str, Any] = spec()["components"]["schemas"]
        self._found: dict[str, Values] = {"ModelIdsShared": _MODELS, **(instead or {})}

    def named(self, name: str) -> Values:
        """Values of the schema of this name."""
        if name not in self._found:
            # a schema may hold itself
            self._found[name] = st.deferred(lambda: self._made(name))
        return self._found[name]

    @cache  # noqa: B019 - one of these serves one test
    def _made(self, name: str) -> Values:
        return self.of(self._schemas[name])

    def members(self, name: str) -> dict[str, str]:
        """The ``type`` of each member of a union -> the name of its schema."""
        union = self._schemas[name]
        names = [ref["$ref"].rpartition("/")[2] for ref in union.get("oneOf") or union["anyOf"]]
        return {kind: member for member in names for kind in self._object(self._schemas[member])[0]["type"]["enum"]}

    def of(self, schema: Mapping[str, Any], field: str = "") -> Values:
        """Values of a schema.

        @param field: the name of the field that has them.
        """
        if schema.get("nullable"):
            return st.one_of(st.none(), self.of({**schema, "nullable": False}, field))
        if "$ref" in schema:
            return self.named(schema["$ref"].rpartition("/")[2])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return st.one_of([self.of(option, field) for option in schema[key]])
        if "allOf" in schema or "properties" in schema:
            return self._objects(schema)
        return self._plain(schema, field)

    def _plain(self, schema: Mapping[str, Any], field: str) -> Values:
        match schema.get("type"):
            case "string":
                return BY_NAME.get(field, TEXT).filter(lambda text: len(text) <= schema.get("maxLength", len(text)))
            case "integer":
                low, high = schema.get("minimum"), schema.get("maximum")
                wild = low is None or high is None or high - low > 1 << 60
                return PLACES.get(field, st.integers(-3, 4096) if wild else st.integers(low, high))
            case "number":
                return st.floats(schema.get("minimum", -9), schema.get("maximum", 9), width=16)
            case "boolean":
                return st.booleans()
            case "null":
                return st.none()
            case "array":
                low, high = schema.get("minItems", 0), schema.get("maxItems", 3)
                return st.lists(self.of(schema["items"], field), min_size=low, max_size=min(high, 3))
            case "object":
                inner = schema.get("additionalProperties")
                more = self.of(inner) if isinstance(inner, dict) else st.one_of(TEXT, st.integers(0, 9), st.booleans())
                return st.dictionaries(st.sampled_from(["a", "type", "b"]), more, max_size=2)
            case _:
                return TEXT

    def fields(self, name: str) -> dict[str, Values]:
        """Values for each property of a schema."""
        return {field: self.of(schema, field) for field, schema in self._object(self._schemas[name])[0].items()}

    def _object(self, schema: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """The properties of an object and which of them are required, its parts' too."""
        if "$ref" in schema:
            return self._object(self._schemas[schema["$ref"].rpartition("/")[2]])
        fields, required = dict(schema.get("properties", {})), set(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            more, needed = self._object(part)
            fields, required = {**fields, **more}, required | needed
        return fields, required & set(fields)

    def _objects(self, schema: Mapping[str, Any]) -> Values:
        fields, required = self._object(schema)
        made = {name: self.of(field, name) for name, field in fields.items()}
        needed = st.fixed_dictionaries({name: made[name] for name in fields if name in required})
        further = [name for name in fields if name not in required]
        if not further:
            return needed
        # a few of them at a time: a value with all that is possible says little about anything
        chosen = st.lists(st.sampled_from(further), unique=True, max_size=6)
        more = chosen.flatmap(lambda names: st.fixed_dictionaries({name: made[name] for name in names}))
        return st.builds(lambda one, other: {**one, **other}, needed, more)
