"""Values that a JSON schema allows: what the demo puts into tool arguments and structured outputs.

Honoured: ``type`` (also as a list), ``enum``, ``const``, ``properties``, ``required``, ``additionalProperties``,
``minProperties``, ``items``, ``prefixItems``, ``minItems``, ``maxItems``, ``uniqueItems``, ``anyOf``, ``oneOf``,
``allOf``, ``$ref`` inside the document (recursive ones too), ``minimum``, ``maximum``, the exclusive forms of both,
``multipleOf``, ``minLength``, ``maxLength`` and the common ``format``s.  Not honoured: what cannot be met by
construction (``not``, ``if``, ``pattern``; where there is a ``pattern``, the schema's own ``default`` or first
``examples`` entry is taken).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: After so many `$ref`s on one path only what is required is filled in, so that recursive schemas come to an end.
_MAX_REFS = 2

#: How many `$ref`s are followed in all: a document may hold many that each lead to many.
_REFS_IN_ALL = 5000

#: Beyond this depth a schema cannot be met at all (it requires itself).
_MAX_DEPTH = 60

_FORMATS = {
    "date-time": "2026-01-{0:02d}T12:00:00Z",
    "date": "2026-01-{0:02d}",
    "time": "12:00:{0:02d}Z",
    "duration": "PT{0}M",
    "email": "demo{0}@example.com",
    "hostname": "demo{0}.example.com",
    "ipv4": "192.0.2.{0}",
    "ipv6": "2001:db8::{0}",
    "uri": "https://example.com/demo/{0}",
    "uuid": "00000000-0000-4000-8000-{0:012d}",
}


def synthesize(schema: object, *, name: str = "value", ordinal: int = 1, fill: bool = True) -> Any:
    """A value that `schema` allows.

    Any input is taken: what is no schema counts as one that allows everything.

    @param name: what the value is called; strings say it (``demo city``).
    @param ordinal: another number gives another value where the schema leaves room for one.
    @param fill: also give an object those properties that it does not require.
    """
    return _Synthesis(schema, fill).value(schema, name, ordinal, 0, 0)


class _Synthesis:
    """One run over one document; `document` is what ``$ref`` points into."""

    def __init__(self, document: object, fill: bool) -> None:
        self._document = document
        self._fill = fill
        self._refs_left = _REFS_IN_ALL

    def value(self, schema: object, name: str, ordinal: int, refs: int, depth: int) -> Any:
        schema, refs = self._flat(schema, refs, depth)
        if depth > _MAX_DEPTH:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][(ordinal - 1) % len(schema["enum"])]
        kind = _kind(schema, refs > _MAX_REFS)
        if kind == "object":
            return self._object(schema, ordinal, refs, depth)
        if kind == "array":
            return self._array(schema, name, ordinal, refs, depth)
        if kind == "string":
            return _string(schema, name, ordinal)
        if kind in ("integer", "number"):
            return _number(schema, ordinal, kind == "integer")
        return None if kind == "null" else ordinal % 2 == 1

    def _flat(self, schema: object, refs: int, depth: int) -> tuple[dict[str, Any], int]:
        """`schema` as one object: its references followed, its alternatives chosen, its parts merged.

        @return: the schema without ``$ref``, ``anyOf``, ``oneOf`` and ``allOf``, and how many references led to it.
        """
        flat: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}
        parts: list[object] = []
        reference = flat.pop("$ref", None)
        if isinstance(reference, str) and self._refs_left > 0 and depth <= _MAX_DEPTH:
            self._refs_left -= 1
            refs += 1
            parts.append(self._resolve(reference))
        for key in ("anyOf", "oneOf"):
            branches = flat.pop(key, None)
            if isinstance(branches, list) and branches:
                parts.append(self._branch(branches, refs > _MAX_REFS))
        more = flat.pop("allOf", None)
        parts.extend(more if isinstance(more, list) else ())
        deepest = refs
        for part in parts:
            resolved, through = self._flat(part, refs, depth + 1)
            flat, deepest = _merged(flat, resolved), max(deepest, through)
        return flat, deepest

    def _branch(self, branches: list[object], short: bool) -> object:
        """The alternative to take: the first that is not ``null``; when it has to come to an end, the simplest one."""
        if not short:
            return next((b for b in branches if not _allows_null(b)), branches[0])
        return next((b for b in branches if _allows_null(b)), min(branches, key=_weight))

    def _resolve(self, reference: str) -> object:
        """What ``#/$defs/name`` points at (RFC 6901); an empty schema where it points nowhere."""
        found: object = self._document
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                return {}
        return found

    def _object(self, schema: dict[str, Any], ordinal: int, refs: int, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = schema.get("required")
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        # a schema that says nothing about `required` says nothing about optional either
        fill = (self._fill or required is None) and refs <= _MAX_REFS
        extra = schema.get("additionalProperties", True)
        wanted = [name for name in properties if fill or name in names]
        wanted += [name for name in names if name not in properties]
        least = _size(schema, "minProperties", 0)
        wanted += [name for name in properties if name not in wanted][: max(0, least - len(wanted))]
        if extra is not False:
            wanted += [f"demo{n}" for n in range(1, least + 1)][: max(0, least - len(wanted))]
        return {
            name: self.value(properties.get(name, extra), name, ordinal, refs, depth + 1)
            for name in dict.fromkeys(wanted)
        }

    def _array(self, schema: dict[str, Any], name: str, ordinal: int, refs: int, depth: int) -> list[Any]:
        prefix = schema.get("prefixItems")
        prefix = prefix if isinstance(prefix, list) else []
        rest = schema.get("items", True)
        least = _size(schema, "minItems", 0)
        length = max(least, len(prefix), 1) if refs <= _MAX_REFS else least
        length = min(length, _size(schema, "maxItems", length))
        if rest is False:
            length = min(length, len(prefix))
        schemas = (prefix + [rest] * length)[:length]
        return [self.value(s, name, ordinal + n, refs, depth + 1) for n, s in enumerate(schemas)]


#: Which of two limits holds where a schema has both.
_TIGHTER: dict[str, Callable[[Any, Any], Any]] = {
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "minProperties": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
}


def _merged(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """One schema for both: properties and required names together, the tighter limits, else `part`'s word."""
    merged = {**base, **part}
    both = base.keys() & part.keys()
    for keyword in both & _TIGHTER.keys():
        if isinstance(base[keyword], int | float) and isinstance(part[keyword], int | float):
            merged[keyword] = _TIGHTER[keyword](base[keyword], part[keyword])
    if "properties" in both and isinstance(base["properties"], Mapping) and isinstance(part["properties"], Mapping):
        merged["properties"] = {**base["properties"], **part["properties"]}
    if "required" in both and isinstance(base["required"], list) and isinstance(part["required"], list):
        merged["required"] = [*base["required"], *part["required"]]
    return merged


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    declared = schema.get("type")
    for name in declared if isinstance(declared, list) else [declared]:
        if isinstance(name, str):
            yield name


def _kind(schema: Mapping[str, Any], short: bool) -> str:
    """The JSON type to give: the first declared but ``null``, else what the keywords speak of, else a string."""
    types = list(_types(schema))
    if types:
        if short and "null" in types:
            return "null"
        return next((t for t in types if t != "null"), "null")
    for keywords, kind in (
        (("properties", "required", "minProperties"), "object"),
        (("items", "prefixItems", "minItems"), "array"),
        (("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
    ):
        if any(keyword in schema for keyword in keywords):
            return kind
    return "string"


def _allows_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and ("null" in _types(schema) or schema.get("const", 0) is None)


def _weight(schema: object) -> int:
    """How far a schema is from a plain value."""
    if not isinstance(schema, Mapping):
        return 0
    if any(key in schema for key in ("$ref", "anyOf", "oneOf", "allOf")):
        return 3
    return {"object": 2, "array": 1}.get(_kind(schema, False), 0)


def _size(schema: Mapping[str, Any], keyword: str, default: int) -> int:
    """A count in a schema; taken only as far as a demo answer goes."""
    value = schema.get(keyword)
    return min(max(int(value), 0), 1000) if isinstance(value, int | float) and math.isfinite(value) else default


def _string(schema: Mapping[str, Any], name: str, ordinal: int) -> str:
    if "pattern" in schema:
        examples = schema.get("examples")
        for example in [schema.get("default"), *(examples if isinstance(examples, list) else ())]:
            if isinstance(example, str):
                return example
    form = schema.get("format")
    if isinstance(form, str) and form in _FORMATS:
        return _FORMATS[form].format((ordinal - 1) % 28 + 1)
    text = f"demo {name.replace('_', ' ')}" + (f" {ordinal}" if ordinal > 1 else "")
    text = text.ljust(_size(schema, "minLength", 0), ".")
    most = _size(schema, "maxLength", len(text))
    # the end of a text that is too long: it has the number that tells one value from the next
    return text[len(text) - most :] if most < len(text) else text


def _number(schema: Mapping[str, Any], ordinal: int, whole: bool) -> int | float:
    low, low_open = _bound(schema, "minimum", "exclusiveMinimum", max)
    high, high_open = _bound(schema, "maximum", "exclusiveMaximum", min)
    step = schema.get("multipleOf")
    step = step if isinstance(step, int | float) and math.isfinite(step) and step > 0 else 1
    first = math.ceil(low / step) if math.isfinite(low) else min(1, _floor(high / step))
    if math.isfinite(low) and low_open and first * step <= low:
        first += 1
    last = _floor(high / step)
    if high_open and last * step >= high:
        last -= 1
    if first <= last:
        value = (first + (ordinal - 1) % (last - first + 1 if math.isfinite(last) else ordinal)) * step
    else:
        # no multiple lies in between: something in the middle, or the bound that there is
        value = (low + high) / 2 if math.isfinite(low + high) else low
    return int(value) if float(value).is_integer() or whole else value


def _floor(value: float) -> int | float:
    return math.floor(value) if math.isfinite(value) else value


def _bound(schema: Mapping[str, Any], keyword: str, exclusive: str, tighter: Any) -> tuple[float, bool]:
    """A limit of a number, and whether the number itself is outside.  Draft 4 has a boolean beside the limit."""
    none = -math.inf if tighter is max else math.inf
    plain, strict = schema.get(keyword), schema.get(exclusive)
    inside = float(plain) if isinstance(plain, int | float) and not isinstance(plain, bool) else none
    if isinstance(strict, bool):
        return inside, strict
    if not isinstance(strict, int | float):
        return inside, False
    outside = float(strict)
    # where both say the same, the one that leaves the number itself out is the tighter one
    return (outside, True) if tighter(inside, outside) == outside else (inside, False)
