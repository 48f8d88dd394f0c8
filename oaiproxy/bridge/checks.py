"""Reading a client's JSON: a value of the wanted type comes out, or the client is told which field is wrong.

Each function takes a decoded JSON value and the name of the field in the client's words (``messages[0].content``), and
raises `BadRequest` with that name as its `param`.  The codes are those of the API: ``invalid_type``, ``invalid_value``,
``missing_required_parameter``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from oaiproxy.api.errors import BadRequest


def kind_of(value: object) -> str:
    """What people call the JSON type of `value`: ``a string``."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def wrong_type(value: object, param: str, wanted: str) -> BadRequest:
    """The error for a field of the wrong type; `wanted` is what it should be, with its article."""
    return BadRequest(
        f"Invalid type for '{param}': expected {wanted}, but got {kind_of(value)} instead.",
        param=param,
        code="invalid_type",
    )


def missing(param: str) -> BadRequest:
    """The error for a field that has to be there."""
    return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def unsupported(value: str, param: str, supported: Iterable[str], hint: str = "") -> BadRequest:
    """The error for a word that is not among those `supported`; `hint` is a further sentence."""
    shown = value if len(value) <= 64 else value[:64] + "..."
    words = ", ".join(f"'{word}'" for word in supported)
    message = f"Invalid value: '{shown}' for '{param}'. Supported values are: {words}."
    return BadRequest(f"{message} {hint}".rstrip(), param=param, code="invalid_value")


def as_object(value: Any, param: str) -> dict[str, Any]:
    """`value`, if it is a JSON object."""
    if not isinstance(value, dict):
        raise wrong_type(value, param, "an object")
    return value


def as_array(value: Any, param: str) -> list[Any]:
    """`value`, if it is a JSON array."""
    if not isinstance(value, list):
        raise wrong_type(value, param, "an array")
    return value


def as_string(value: Any, param: str) -> str:
    """`value`, if it is a string."""
    if not isinstance(value, str):
        raise wrong_type(value, param, "a string")
    return value


def as_boolean(value: Any, param: str) -> bool:
    """`value`, if it is true or false."""
    if not isinstance(value, bool):
        raise wrong_type(value, param, "a boolean")
    return value


def as_integer(value: Any, param: str) -> int:
    """`value` as an integer; JSON has one type of number, so ``100.0`` is one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(value, param, "an integer")
    return value


def as_number(value: Any, param: str) -> int | float:
    """`value`, if it is a number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise wrong_type(value, param, "a number")
    return value


def as_string_or_object(value: Any, param: str) -> str | dict[str, Any]:
    """`value`, if it is a string or a JSON object."""
    if not isinstance(value, (str, dict)):
        raise wrong_type(value, param, "a string or an object")
    return value


def member(value: Any, key: str, param: str) -> str:
    """The non-empty string under `key` of the object `value`, which is itself called `param`."""
    found = value.get(key)
    if isinstance(found, str) and found:
        return found
    if found is None or found == "":
        raise missing(f"{param}.{key}")
    raise wrong_type(found, f"{param}.{key}", "a string")
