"""Checks of request values, to be put together into tables, with the messages that the OpenAI API gives.

A check is called with a value and the path it was found at (``input[0].content``), and raises `BadRequest` whose
``param`` is the path of what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oaiproxy.api.errors import BadRequest

Check = Callable[[Any, str], None]

_KINDS: Mapping[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def wrong_type(path: str, expected: str, value: object) -> BadRequest:
    """The error for a value that is not of the type it should be."""
    kind = _KINDS.get(type(value), "something else")
    return BadRequest(
        f"Invalid type for '{path}': expected {expected}, but got {kind} instead.", param=path, code="invalid_type"
    )


def wrong_value(path: str, value: object, supported: Iterable[str]) -> BadRequest:
    """The error for a value that is none of those there are."""
    return BadRequest(
        f"Invalid value: {_shown(value)}. Supported values are: {_listed(supported)}.", param=path, code="invalid_value"
    )


def missing(path: str) -> BadRequest:
    """The error for a field that has to be there and is not."""
    return BadRequest(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def unknown(path: str) -> BadRequest:
    """The error for a field that the API does not know."""
    return BadRequest(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")


def unsupported(path: str) -> BadRequest:
    """The error for a field that the API knows and the model does not take."""
    return BadRequest(
        f"Unsupported parameter: '{path}' is not supported with this model.", param=path, code="unsupported_parameter"
    )


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _listed(names: Iterable[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 2 else " and ".join(quoted)


def anything(value: Any, path: str) -> None:
    """Takes every value."""


def boolean(value: Any, path: str) -> None:
    """Takes true and false."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)


def string(*, least: int = 0, most: int | None = None, pattern: str | None = None) -> Check:
    """Takes strings of `least` to `most` characters that match `pattern` as a whole."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if len(value) < least:
            raise BadRequest(
                f"Invalid '{path}': empty string. Expected a string with minimum length {least}, "
                f"but got {'an empty string' if not value else f'a string with length {len(value)}'} instead.",
                param=path,
                code="empty_string" if not value else "string_below_min_length",
            )
        if most is not None and len(value) > most:
            raise BadRequest(
                f"Invalid '{path}': string too long. Expected a string with maximum length {most}, "
                f"but got a string with length {len(value)} instead.",
                param=path,
                code="string_above_max_length",
            )
        if pattern is not None and re.fullmatch(pattern, value) is None:
            raise BadRequest(
                f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
                f"'^{pattern}$'.",
                param=path,
                code="invalid_value",
            )

    return check


def integer(*, least: int | None = None, most: int | None = None) -> Check:
    """Takes integers from `least` to `most`."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(path, "an integer", value)
        _within(value, path, "integer", least, most)

    return check


def number(least: float, most: float) -> Check:
    """Takes numbers from `least` to `most`."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong_type(path, "a decimal", value)
        _within(value, path, "decimal", least, most)

    return check


def _within(value: float, path: str, kind: str, least: float | None, most: float | None) -> None:
    for outside, limit, word, sign, code in (
        (least is not None and value < least, least, "below minimum", ">=", "below_min"),
        (most is not None and value > most, most, "above maximum", "<=", "above_max"),
    ):
        if outside:
            raise BadRequest(
                f"Invalid '{path}': {kind} {word} value. Expected a value {sign} {limit}, but got {value} instead.",
                param=path,
                code=f"{kind}_{code}_value",
            )


def one_of(*values: str) -> Check:
    """Takes these strings."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(path, f"one of {_listed(values)}", value)
        if value not in values:
            raise wrong_value(path, value, values)

    return check


def nullable(inner: Check) -> Check:
    """Takes null, and what `inner` takes."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def either(expected: str, **checks: Check) -> Check:
    """Takes values of several JSON types: the keywords are Python's names of them (``str``, ``list``, ``dict``).

    @param expected: those types in words, for the error.
    """

    def check(value: Any, path: str) -> None:
        inner = checks.get(type(value).__name__)
        if inner is None:
            raise wrong_type(path, expected, value)
        inner(value, path)

    return check


def array(of: Check, *, least: int = 0, most: int | None = None) -> Check:
    """Takes arrays of `least` to `most` values that `of` takes."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        if len(value) < least:
            raise BadRequest(
                f"Invalid '{path}': empty array. Expected an array with minimum length {least}, "
                f"but got {'an empty array' if not value else f'an array with length {len(value)}'} instead.",
                param=path,
                code="empty_array" if not value else "array_below_min_length",
            )
        if most is not None and len(value) > most:
            raise BadRequest(
                f"Invalid '{path}': array too long. Expected an array with maximum length {most}, "
                f"but got an array with length {len(value)} instead.",
                param=path,
                code="array_above_max_length",
            )
        for index, item in enumerate(value):
            of(item, f"{path}[{index}]")

    return check


def fields(table: Mapping[str, Check], *required: str, more: bool = False) -> Check:
    """Takes objects with these fields.

    @param required: the fields that have to be there.
    @param more: fields that are not in the table are taken too.
    """

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        prefix = f"{path}." if path else ""
        for name in required:
            if name not in value:
                raise missing(prefix + name)
        for name, inner in value.items():
            if name in table:
                table[name](inner, prefix + name)
            elif not more:
                raise unknown(prefix + name)

    return check


def tagged(variants: Mapping[str, Check], *, tag: str = "type", default: str | None = None) -> Check:
    """Takes objects that say in field `tag` which of the variants they are.

    @param default: the variant of an object that does not say it; None where it has to.
    """

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        where = f"{path}.{tag}"
        if tag not in value and default is None:
            raise missing(where)
        name = value.get(tag, default)
        if not isinstance(name, str):
            raise wrong_type(where, "a string", name)
        if name not in variants:
            raise wrong_value(where, name, variants)
        variants[name](value, path)

    return check


def strings_by_name(*, most: int, name_length: int, length: int) -> Check:
    """Takes objects of strings, as ``metadata`` is one."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if len(value) > most:
            raise BadRequest(
                f"Invalid '{path}': too many properties. Expected an object with at most {most} properties, "
                f"but got an object with {len(value)} properties instead.",
                param=path,
                code="object_above_max_properties",
            )
        for name, text in value.items():
            string(most=name_length)(name, f"{path}.{name}")
            string(most=length)(text, f"{path}.{name}")

    return check
