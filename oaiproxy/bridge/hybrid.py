"""Histories that are half another dialect's, as Cursor posts them to the chat path.

Three things are mixed into one list: chat messages, input items of Responses, and messages of Anthropic's kind, whose
calls and results are parts of the content (``tool_use``, ``tool_result``).  None of them can be mistaken for another,
so all are read, whoever sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.bridge.checks import as_array, as_object, member

#: The input items of Responses that have no role (schema ``InputItem``).
NATIVE = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "function_call",
        "function_call_output",
        "image_generation_call",
        "item_reference",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "reasoning",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)

#: Of those, calls of the client's own tools, and their results.
NATIVE_CALLS = frozenset({"function_call", "custom_tool_call"})
NATIVE_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})

_CALL, _RESULT = "tool_use", "tool_result"

#: Part types that only a chat message has, or one of Anthropic's kind.
_CHAT_PARTS = frozenset({"text", "image_url", "file", _CALL, _RESULT})


def is_native(message: Mapping[str, Any]) -> bool:
    """Whether a message is no message but an input item of Responses, even if it has a role as messages have."""
    kind = message.get("type")
    return isinstance(kind, str) and kind in NATIVE


def speaks_chat(item: Any) -> bool:
    """Whether an input item is one that Responses does not take and Chat does: a message with calls in it, with parts
    in Chat's form, or with no content; a tool's message."""
    match item:
        case {"role": "tool" | "function"} | {"role": str(), "tool_calls": list()}:
            return True
        case {"role": str(), "content": [] | None}:
            return True
        case {"role": str(), "content": [*parts]}:
            return any(_is_chat_part(part) for part in parts)
    return False


def _is_chat_part(part: Any) -> bool:
    return isinstance(part, str) or _kind(part) in _CHAT_PARTS


def _kind(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else ""


def unfolded(message: Mapping[str, Any], param: str) -> list[tuple[Mapping[str, Any], str]]:
    """A message whose parts are calls or results, as Chat has it: calls beside the content, each result a message of
    its own before what else there is.

    @param param: the message's name in the client's words.
    @return: the messages with their names; just the given one where there is nothing to unfold.
    @raise BadRequest: a call has no name.
    """
    content = message.get("content")
    if not isinstance(content, list):
        return [(message, param)]
    kind = _CALL if message.get("role") == "assistant" else _RESULT
    found = [(part, f"{param}.content[{i}]") for i, part in enumerate(content) if _kind(part) == kind]
    if not found:
        return [(message, param)]
    rest = {**message, "content": [part for part in content if _kind(part) != kind]}
    if kind == _CALL:
        own = message.get("tool_calls")
        calls = [] if own is None else as_array(own, f"{param}.tool_calls")
        return [({**rest, "tool_calls": [*calls, *(_call(part, where) for part, where in found)]}, param)]
    results: list[tuple[Mapping[str, Any], str]] = [
        ({"role": "tool", "tool_call_id": _id(part, "tool_use_id"), "content": part.get("content")}, where)
        for part, where in found
    ]
    return results + ([(rest, param)] if rest["content"] else [])


def _call(part: Mapping[str, Any], param: str) -> dict[str, Any]:
    """A ``tool_use`` part as a call: its own fields, or Chat's ``function`` in it."""
    nested = part.get("function")
    if nested is None:
        function = {"name": member(part, "name", param), "arguments": part.get("input")}
    else:
        function = as_object(nested, f"{param}.function")
        member(function, "name", f"{param}.function")
    return {"id": _id(part, "id"), "type": "function", "function": function}


def _id(part: Mapping[str, Any], key: str) -> Any:
    found = part.get(key)
    return part.get("tool_call_id") if found is None else found
