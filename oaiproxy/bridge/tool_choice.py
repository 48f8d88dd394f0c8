"""Which tool the model may or must call: un-nested, and only while there is a tool to call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.bridge.checks import as_array, as_boolean, as_object, as_string, as_string_or_object, member, unsupported
from oaiproxy.bridge.draft import Draft
from oaiproxy.bridge.names import ToolNames
from oaiproxy.bridge.tools import HOSTED

#: The words, and what Responses calls them; ``any`` is what Mistral's clients say.
WORDS = {"none": "none", "auto": "auto", "required": "required", "any": "required"}

_FIELDS = frozenset({"tool_choice", "function_call", "parallel_tool_calls"})
_NAMED = ("function", "custom")


def translate_tool_choice(draft: Draft) -> None:
    """Read ``tool_choice``, ``function_call`` and ``parallel_tool_calls``; the tools are translated already.

    @raise BadRequest: one of them is of the wrong form.
    """
    if _FIELDS.isdisjoint(draft.given) and not draft.legacy_functions:
        return
    choice = _choice(draft)
    parallel = draft.read("parallel_tool_calls", as_boolean)
    if "tools" not in draft.body:
        if choice == "none":
            draft.body["tool_choice"] = choice
        elif choice not in (None, "auto"):
            # auto asks for nothing; some clients always say it
            name = "function_call" if draft.given.get("tool_choice") is None else "tool_choice"
            draft.dropped(name, "no tools to choose from")
        draft.dropped("parallel_tool_calls", "no tools to call")
        return
    if choice is not None:
        draft.body["tool_choice"] = choice
    if draft.legacy_functions:
        # a legacy answer has room for one call
        draft.body["parallel_tool_calls"] = False
        if parallel:
            draft.notes.dropped("parallel_tool_calls", "functions are called one at a time")
    elif parallel is not None:
        draft.body["parallel_tool_calls"] = parallel


def _choice(draft: Draft) -> str | dict[str, Any] | None:
    choice = draft.read("tool_choice", as_string_or_object)
    legacy = draft.read("function_call", as_string_or_object)
    if choice is not None:
        if legacy is not None:
            draft.dropped("function_call", "tool_choice wins")
        return _word(choice, "tool_choice") if isinstance(choice, str) else _object(choice, draft.names)
    if legacy is None or isinstance(legacy, str):
        return None if legacy is None else _word(legacy, "function_call")
    return {"type": "function", "name": draft.names.upstream(member(legacy, "name", "function_call"))}


def _word(choice: str, param: str) -> str:
    if choice not in WORDS:
        raise unsupported(choice, param, ("none", "auto", "required"))
    return WORDS[choice]


def _object(choice: Mapping[str, Any], names: ToolNames) -> dict[str, Any]:
    kind = member(choice, "type", "tool_choice")
    if kind in _NAMED:
        return _named(kind, choice, names, "tool_choice")
    if kind == "allowed_tools":
        return _allowed(choice, names)
    if kind in HOSTED:
        return dict(choice)
    raise unsupported(kind, "tool_choice.type", (*_NAMED, "allowed_tools", *sorted(HOSTED)))


def _named(kind: str, choice: Mapping[str, Any], names: ToolNames, param: str) -> dict[str, Any]:
    """A function or custom tool by name, nested as in Chat or flat as in Responses."""
    inner = as_object(choice[kind], f"{param}.{kind}") if kind in choice else choice
    return {"type": kind, "name": names.upstream(member(inner, "name", f"{param}.{kind}"))}


def _allowed(choice: Mapping[str, Any], names: ToolNames) -> dict[str, Any]:
    """Some of the tools: Chat nests the list, and each tool in it; Responses has both flat."""
    nested = choice.get("allowed_tools")
    inner = choice if nested is None else as_object(nested, "tool_choice.allowed_tools")
    param = "tool_choice" if nested is None else "tool_choice.allowed_tools"
    mode = as_string(inner.get("mode", "auto"), f"{param}.mode")
    if mode not in ("auto", "required"):
        raise unsupported(mode, f"{param}.mode", ("auto", "required"))
    tools = []
    for i, value in enumerate(as_array(inner.get("tools"), f"{param}.tools")):
        where = f"{param}.tools[{i}]"
        tool = as_object(value, where)
        kind = member(tool, "type", where)
        tools.append(_named(kind, tool, names, where) if kind in _NAMED else dict(tool))
    return {"type": "allowed_tools", "mode": mode, "tools": tools}
