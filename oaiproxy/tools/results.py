"""What a model is told of a call: its result, or what went wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec

from oaiproxy.tools.errors import ToolError
from oaiproxy.tools.schema import mismatch

_encode = msgspec.json.Encoder().encode


def arguments_of(text: str, schema: Any) -> dict[str, Any]:
    """The arguments that a model wrote.

    @param text: JSON; nothing for none.
    @param schema: what they have to be.
    @raise ToolError: they are something else; the message says what to do about it.
    """
    try:
        arguments = msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise ToolError(f"the arguments are not valid JSON ({e}). Call it again with a JSON object.") from None
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise ToolError("the arguments must be a JSON object. Call it again with one.")
    problem = mismatch(arguments, schema)
    if problem is not None:
        raise ToolError(f"the arguments do not fit: {problem}. Call it again with arguments that do.")
    return arguments


def result_text(value: Any, limit: int) -> str:
    """A tool's result as the model gets it.

    @param value: what the tool returned.
    @param limit: the most bytes of it that are told; the model learns where there were more.
    @raise ToolError: it is nothing that JSON can carry.
    """
    try:
        data = value.encode("utf-8", "replace") if isinstance(value, str) else _encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError):
        raise ToolError(f"it returned something that is no JSON ({type(value).__name__})") from None
    if len(data) <= limit:
        return data.decode()
    # a character that is cut in two is left out
    kept = data[:limit].decode("utf-8", "ignore")
    return f"{kept}\n[cut off here: the result has {len(data)} bytes, and {limit} are the most that can be shown]"


def failure_text(name: str, reason: str) -> str:
    """The result of a call that failed.

    @param name: the tool's.
    @param reason: why, in words that may be shown.
    """
    return f"Error: {name}: {reason}"
