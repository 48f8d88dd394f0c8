r"""``LLM_PARAMS``: parameters by model in one line, as users of cot_proxy have it.

``model=NAME,key=value,...;model=NAME2,...``: a table for each model, a semicolon between them; what a key says holds
whatever the client says.  White space around names and values does not count, nor do empty tables and empty pairs.

A value is

  - JSON, if it begins like an array or an object and is one;
  - text between quotes: double ones as in JSON, or single ones, without escapes;
  - anything else up to the next comma or semicolon: a number, ``true``, ``false`` or ``null`` in any case if it looks
    like one, null if it is empty, else text as it stands.

So a comma or a semicolon belongs to a value that is JSON or quoted.  `SPECIAL` are no parameters, and always text; in
what is appended ``\n`` is a line break, as in JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from oaiproxy.rules.append import unescaped
from oaiproxy.rules.carried import check_json, place
from oaiproxy.rules.params import ParameterRules
from oaiproxy.rules.tables import ModelTable
from oaiproxy.rules.think import ThinkMode

#: The name that stands for requests that name no model.
UNNAMED = "default"

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")

#: What ends a value, with the white space before it.
_SEPARATOR = re.compile(r"\s*([,;]|\Z)")
_SPACE = re.compile(r"\s*")
_BARE = re.compile(r"[^,;]*")
_SINGLE = re.compile(r"'([^']*)'")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

#: More digits than any parameter has; Python refuses to convert thousands.
_MAX_NUMBER = 40


def parse_llm_params(value: object) -> tuple[ModelTable, ...]:
    """What ``LLM_PARAMS`` says.

    @param value: ``model=NAME,key=value,...;model=NAME2,...``.
    @return: a table for each model; ``model=default`` is the one of requests that name no model.  Of two tables for one
        model the second counts, and of two values of one key the second.
    @raise ValueError: it is malformed; the message says where.
    """
    if not isinstance(value, str):
        raise ValueError(f"must be a string such as model=NAME,key=value, not {type(value).__name__}")
    tables: dict[str, ModelTable] = {}
    for number, pairs in enumerate(_tables(value), 1):
        key, name = pairs[0]
        if key != "model":
            raise ValueError(f"table {number}: must begin with model=, not with {_shown(key)}")
        if not name.text:
            raise ValueError(f"table {number}: model= names no model (model={UNNAMED} is for requests that name none)")
        try:
            tables[name.text] = _table(name.text, pairs[1:])
        except ValueError as e:
            raise ValueError(f"model {_shown(name.text)}: {e}") from None
    return tuple(tables.values())


class _Value(NamedTuple):
    """A value as it was written.

    @ivar text: its text, without quotes if it had any.
    @ivar json: what it means as a parameter.
    @ivar escaped: whether it was between double quotes, where escapes are JSON's and done with.
    """

    text: str
    json: Any
    escaped: bool = False


_Pair = tuple[str, _Value]


def _tables(text: str) -> Iterator[list[_Pair]]:
    """The pairs of each table."""
    at, pairs, number = 0, list[_Pair](), 1
    while at < len(text):
        end = _BARE.match(text, at).end()  # type: ignore[union-attr]
        key, equals, _ = text[at:end].partition("=")
        if equals:
            start = at + len(key) + 1
            value, end = _value(text, start)
            pairs.append((key.strip(), value))
        elif key.strip():
            where = f"table {number}" if not pairs else f"model {_shown(pairs[0][1].text)}"
            raise ValueError(
                f"{where}: {_shown(key.strip())} is no key=value (a value with a comma or a semicolon has to be quoted)"
            )
        if end < len(text) and text[end] == ";":
            if pairs:
                yield pairs
            pairs, number = [], number + 1
        at = end + 1
    if pairs:
        yield pairs


def _value(text: str, at: int) -> tuple[_Value, int]:
    """The value that begins at a place, and the place of the separator behind it."""
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    for form in (_json, _single):
        found = form(text, at)
        if found is not None and (end := _SEPARATOR.match(text, found[1])):
            return found[0], end.start(1)
    end_at = _BARE.match(text, at).end()  # type: ignore[union-attr]
    bare = text[at:end_at].strip()
    return _Value(bare, _typed(bare)), end_at


def _json(text: str, at: int) -> tuple[_Value, int] | None:
    if text[at : at + 1] not in ("[", "{", '"'):
        return None
    try:
        value, end = _decoder.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return _Value(value if isinstance(value, str) else text[at:end], value, isinstance(value, str)), end


def _single(text: str, at: int) -> tuple[_Value, int] | None:
    found = _SINGLE.match(text, at)
    return found and (_Value(found[1], found[1]), found.end())


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def _typed(text: str) -> Any:
    """What unquoted text means."""
    words: Mapping[str, Any] = {"true": True, "false": False, "null": None, "": None}
    if text.lower() in words:
        return words[text.lower()]
    if len(text) > _MAX_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _table(name: str, pairs: list[_Pair]) -> ModelTable:
    parameters: dict[str, Any] = {}
    special: dict[str, Any] = {}
    for key, value in pairs:
        if not key:
            raise ValueError(f"={_shown(value.text)} has no key")
        if key == "model":
            raise ValueError(f"names a second model, {_shown(value.text)}: a semicolon has to stand before its model=")
        if key in SPECIAL:
            # empty is what forms and compose files write for "not set"
            special[key] = SPECIAL[key](key, value) if value.text else None
        else:
            parameters[key] = check_json(value.json, place(key))
    return ModelTable(
        pattern=None if name == UNNAMED else name,
        rules=ParameterRules(overrides=parameters, append=special.get("append_to_last_user_message")),
        upstream_model=special.get("upstream_model_name"),
        think=special.get("enable_think_tag_filtering"),
        think_tag=special.get("think_tag_start"),
        think_end_tag=special.get("think_tag_end"),
    )


def _text(key: str, value: _Value) -> str:
    return value.text


def _appended(key: str, value: _Value) -> str:
    return value.text if value.escaped else unescaped(value.text)


def _think(key: str, value: _Value) -> ThinkMode:
    word = value.text.lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(f"{key}: must be true or false, not {_shown(value.text)}")
    return ThinkMode.REMOVE if word in _TRUE else ThinkMode.OFF


#: The keys that are no parameters.
SPECIAL: Mapping[str, Callable[[str, _Value], Any]] = {
    "think_tag_start": _text,
    "think_tag_end": _text,
    "enable_think_tag_filtering": _think,
    "upstream_model_name": _text,
    "append_to_last_user_message": _appended,
}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
