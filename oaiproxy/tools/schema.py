"""Whether the arguments of a call are what a tool's JSON schema says.

Models make mistakes: told what is wrong, they mostly get it right the second time.  Checked are the keywords that
function schemas are made of (JSON Schema 2020-12, "Validation" and "Core" 10); others, ``format`` among them, are for
the tool itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Deeper than this a schema is not followed: one that refers to itself may have no end.
_DEPTH = 64

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    # 1.0 is an integer too
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}

_LIMITS: Mapping[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, "at least"),
    "maximum": (lambda value, limit: value <= limit, "at most"),
    "exclusiveMinimum": (lambda value, limit: value > limit, "more than"),
    "exclusiveMaximum": (lambda value, limit: value < limit, "less than"),
}

#: What is counted of a value, and how many of it there may be.
_COUNTS: Mapping[str, tuple[type, str]] = {
    "Length": (str, "characters"),
    "Items": (list, "items"),
    "Properties": (dict, "members"),
}


def mismatch(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a value, in one line that names the place, or None where it fits.

    @param value: decoded JSON.
    @param schema: its JSON schema.
    """
    return next(_Check(schema).problems(value, schema, "", 0), None)


class _Check:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def problems(self, value: Any, schema: Any, place: str, depth: int) -> Iterator[str]:
        """All that is wrong, the coarsest first."""
        if schema is False:
            yield f"{_at(place)} must not be there"
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            return
        problem = _wrong_type(value, schema) or _wrong_value(value, schema)
        if problem is not None:
            yield f"{_at(place)} {problem}"
            return
        if isinstance(value, dict):
            yield from self._members(value, schema, place, depth + 1)
        if isinstance(value, list):
            given = schema.get("prefixItems")
            prefix: list[Any] = given if isinstance(given, list) else []
            for index, item in enumerate(value):
                inner = prefix[index] if index < len(prefix) else schema.get("items")
                yield from self.problems(item, inner, f"{place}[{index}]", depth + 1)
        yield from self._combined(value, schema, place, depth + 1)

    def _members(self, value: dict[str, Any], schema: Mapping[str, Any], place: str, depth: int) -> Iterator[str]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = schema.get("required")
        for name in required if isinstance(required, list) else ():
            if name not in value:
                yield f"{_below(place, name)} is missing"
        further = schema.get("additionalProperties")
        for name, member in value.items():
            if name in properties:
                yield from self.problems(member, properties[name], _below(place, name), depth)
            elif further is False:
                known = ", ".join(map(str, properties)) or "none"
                yield f"{_below(place, name)} is unknown (there may be: {known})"
            else:
                yield from self.problems(member, further, _below(place, name), depth)

    def _combined(self, value: Any, schema: Mapping[str, Any], place: str, depth: int) -> Iterator[str]:
        if (target := self._target(schema.get("$ref"))) is not None:
            yield from self.problems(value, target, place, depth)
        for branch in _branches(schema, "allOf"):
            yield from self.problems(value, branch, place, depth)
        for keyword in ("anyOf", "oneOf"):
            found = [next(self.problems(value, branch, place, depth), None) for branch in _branches(schema, keyword)]
            if found and None not in found:
                yield " or ".join(dict.fromkeys(problem for problem in found if problem))

    def _target(self, ref: Any) -> Any:
        """What a reference inside of the schema names; None for any other."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            return None
        found: Any = self._root
        for step in ref[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _branches(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    branches = schema.get(keyword)
    return branches if isinstance(branches, list) else []


def _wrong_type(value: Any, schema: Mapping[str, Any]) -> str | None:
    given = schema.get("type")
    names = [name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)]
    if not names or any(name not in _TYPES or _TYPES[name](value) for name in names):
        return None
    return "must be " + " or ".join(f"{'an' if name[0] in 'aio' else 'a'} {name}" for name in names)


def _wrong_value(value: Any, schema: Mapping[str, Any]) -> str | None:
    choices = schema.get("enum")
    if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
        return "must be one of " + ", ".join(map(repr, choices))
    if "const" in schema and not _same(value, schema["const"]):
        return f"must be {schema['const']!r}"
    if _TYPES["number"](value):
        for keyword, (fits, words) in _LIMITS.items():
            limit = schema.get(keyword)
            if _TYPES["number"](limit) and not fits(value, limit):
                return f"must be {words} {limit}"
    for suffix, (kind, words) in _COUNTS.items():
        least, most = schema.get("min" + suffix), schema.get("max" + suffix)
        if isinstance(value, kind) and isinstance(least, int) and len(value) < least:  # type: ignore[arg-type]
            return f"must have at least {least} {words}"
        if isinstance(value, kind) and isinstance(most, int) and len(value) > most:  # type: ignore[arg-type]
            return f"must have at most {most} {words}"
    pattern = schema.get("pattern")
    if isinstance(value, str) and isinstance(pattern, str) and not _matches(pattern, value):
        return f"must match {pattern}"
    return None


def _same(one: Any, other: Any) -> bool:
    # True is 1 to Python, and not to JSON
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _matches(pattern: str, value: str) -> bool:
    if pattern.endswith("$") and not pattern.endswith("\\$"):
        pattern = pattern[:-1] + r"\Z"  # the end of a text is not before a line end, as it is for Python
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # a pattern that only other languages know


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _at(place: str) -> str:
    return place or "the whole"
