"""Messages become input items.

Every message stays where it is, system and developer messages too: merging them into ``instructions`` would rewrite the
head of the prompt whenever a later one comes, and with it the prompt cache would be lost.  The same history gives the
same items; a turn more only adds to the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.calls import Call, CallBook, made_up_id
from oaiproxy.bridge.checks import as_array, as_object, as_string, member, missing, unsupported, wrong_type
from oaiproxy.bridge.continuity.putback import put_back
from oaiproxy.bridge.forms import form_names
from oaiproxy.bridge.hybrid import NATIVE_CALLS, NATIVE_RESULTS, is_native, unfolded
from oaiproxy.bridge.names import ToolNames, short_id
from oaiproxy.bridge.notes import Notes
from oaiproxy.bridge.parts import AssistantContent, Part, input_content, input_part, text_part, tool_output

#: An input item, as JSON.
Item = dict[str, Any]

#: The result of a call that has none in the history; upstream refuses a call without one.
NO_RESULT = "No result was recorded for this tool call."

#: What stands before a result whose call is not in the history.
STRAY_RESULT = "Result of an earlier tool call:"

_SPEAKERS = ("system", "developer", "user", "assistant")
_ROLES = form_names("messages[].role")
_PHASES = frozenset({"commentary", "final_answer"})
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})

# what this proxy renders in think mode, and what Open WebUI makes of it
_THOUGHTS = re.compile(r"\s*(?:<think>.*?</think>|<details type=\"reasoning\".*?</details>)\s*", re.DOTALL)


class History(msgspec.Struct, frozen=True):
    """What the translation of messages has to know of the rest of the request.

    @ivar reasoning: the model reasons; it then knows system messages as developer messages.
    @ivar names: the request's tool names.
    @ivar custom_tools: names of the custom tools that the client declares.
    @ivar chained: upstream holds the earlier turns itself, so that a result's call may be there.
    @ivar think: summaries are shown as a ``<think>`` block, which comes back with the history.
    @ivar empty_messages: messages of users, systems and developers may be without content; they are left out.
    @ivar kept: what goes back in place of assistant messages: their indexes -> the items that upstream gave.
    @ivar notes: collects warnings.
    """

    reasoning: bool = True
    names: ToolNames = msgspec.field(default_factory=ToolNames)
    custom_tools: frozenset[str] = frozenset()
    chained: bool = False
    think: bool = False
    empty_messages: bool = False
    kept: Mapping[int, Sequence[Item]] = msgspec.field(default_factory=dict)
    notes: Notes = msgspec.field(default_factory=Notes)

    @property
    def instruction_role(self) -> str:
        """The role that system messages get."""
        return "developer" if self.reasoning else "system"


def input_items(messages: Any, history: History, where: str = "messages") -> list[Item]:
    """The input items for the ``messages`` of a chat request.

    @param messages: the field's value, unchecked.
    @param where: the field's name in the client's words.
    @return: items of schema ``InputItem``, without ids.
    @raise BadRequest: the value is no list of messages, or a message cannot be translated; `param` says where.
    """
    given = as_array(messages, where)
    if not given:
        raise BadRequest(f"'{where}' is empty. Send at least one message.", param=where, code="empty_array")
    translator = _Translator(history, _several_names(given))
    for i, value in enumerate(given):
        name = f"{where}[{i}]"
        for message, param in unfolded(as_object(value, name), name):
            translator.message(i, message, param)
    items = translator.finish()
    if not items:
        raise BadRequest(f"'{where}' holds nothing to answer.", param=where, code="invalid_value")
    return items


def _several_names(messages: list[Any]) -> frozenset[str]:
    """The roles that are played under two or more names, so that the names tell who says what."""
    names: dict[str, set[str]] = {}
    for message in messages:
        if not isinstance(message, dict) or "name" not in message:
            continue
        match message:
            case {"role": str(role), "name": str(name)} if role in _SPEAKERS and name:
                names.setdefault(role, set()).add(name)
    return frozenset([role for role, used in names.items() if len(used) > 1])


class _Translator:
    """Makes the items of one history, message by message."""

    def __init__(self, history: History, named_roles: frozenset[str]) -> None:
        self._history = history
        self._named_roles = named_roles
        self._items: list[Item] = []
        self._book = CallBook()
        self._last_call_of: dict[int, int] = {}

    def message(self, index: int, message: Mapping[str, Any], param: str) -> None:
        if is_native(message):
            self._native(index, message, param)
            return
        role = member(message, "role", param)
        match role:
            case "assistant":
                self._assistant(index, message, param)
            case "tool":
                self._tool(message, param)
            case "function":
                self._function(message, param)
            case "user" | "system" | "developer":
                self._spoken(role, message, param)
            case _:
                raise unsupported(role, f"{param}.role", _ROLES)

    def finish(self) -> list[Item]:
        """All items, with a result put in for every call that has none: behind the results that its message did get,
        so that a result that comes a turn later changes nothing before it."""
        unanswered = self._book.unanswered
        if not unanswered:
            return self._items
        self._history.notes.add(f"added a result for {len(unanswered)} tool call(s) that had none")
        ends = {batch: self._end_of(batch) for batch in {call.batch: None for call in unanswered}}
        added: dict[int, list[Item]] = {}
        for call in unanswered:
            added.setdefault(ends[call.batch], []).append(_result(call, NO_RESULT))
        out: list[Item] = []
        for i, item in enumerate(self._items):
            out += added.get(i, ())
            out.append(item)
        return out + added.get(len(self._items), [])

    def _end_of(self, batch: int) -> int:
        """Where the calls of a message end, together with the results right behind them."""
        end = self._last_call_of[batch] + 1
        while end < len(self._items) and self._items[end].get("type") in _OUTPUTS:
            end += 1
        return end

    # -- roles

    def _spoken(self, role: str, message: Mapping[str, Any], param: str) -> None:
        given = message.get("content")
        if self._history.empty_messages and given in (None, []):
            return
        if "content" not in message:
            raise missing(f"{param}.content")
        content = input_content(given, f"{param}.content")
        if speaker := self._speaker(role, message, param):
            content = f"{speaker}: {content}" if isinstance(content, str) else _prefixed(speaker, content)
        self._items.append(
            {"role": self._history.instruction_role if role == "system" else role, "content": content},
        )

    def _assistant(self, index: int, message: Mapping[str, Any], param: str) -> None:
        if message.get("audio") is not None:
            raise BadRequest(
                "Responses knows no audio answers. Send the transcript as the message's content.",
                param=f"{param}.audio",
                code="unsupported_value",
            )
        first = len(self._items)
        found = AssistantContent()
        found.read(message.get("content"), f"{param}.content")
        if message.get("refusal") is not None:
            found.refusals.append(as_string(message["refusal"], f"{param}.refusal"))
        for i, image in enumerate(_listed(message, "images", param)):
            found.media.append(input_part(image, f"{param}.images[{i}]"))
        # upstream has parts for texts and refusals too, but by the schema only in messages of its own, with their ids
        text = "\n".join(text for text in (*found.texts, *found.refusals) if text)
        if self._history.think:
            thoughts = _THOUGHTS.match(text)
            text = text[thoughts.end() :] if thoughts else text
        speaker = self._speaker("assistant", message, param)
        if speaker and text:
            text = f"{speaker}: {text}"
        # no item at all for an empty message: upstream would not find the calls that belong to it
        if text:
            # llama.cpp takes an assistant's message only with its type, which the schema leaves open
            item: Item = {"type": "message", "role": "assistant", "content": text}
            phase = message.get("phase")
            if isinstance(phase, str) and phase in _PHASES:
                item["phase"] = phase
            self._items.append(item)
        if found.media:
            self._history.notes.add(f"moved images of {param} into a user message")
            self._items.append({"role": "user", "content": found.media})
        self._calls(index, message, param)
        kept = self._history.kept.get(index)
        if kept is not None and not speaker:
            self._put_back(index, first, kept)

    def _put_back(self, index: int, first: int, kept: Sequence[Item]) -> None:
        """Put the items that upstream gave in place of those made of the client's words.

        @param index: the message's.
        @param first: where the latter begin.
        @param kept: the items; the client's words agree with them.
        """
        items = put_back(self._items[first:], kept)
        if items is None:
            return
        self._items[first:] = items
        ends = [first + i for i, item in enumerate(items) if item.get("type") in NATIVE_CALLS]
        if ends:
            self._last_call_of[index] = ends[-1]

    def _calls(self, index: int, message: Mapping[str, Any], param: str) -> None:
        calls = _listed(message, "tool_calls", param)
        for i, call in enumerate(calls):
            where = f"{param}.tool_calls[{i}]"
            self._call(index, i, as_object(call, where), where)
        legacy = message.get("function_call")
        if legacy is None:
            return
        if calls:
            self._history.notes.dropped(f"{param}.function_call", "tool_calls wins")
            return
        where = f"{param}.function_call"
        self._function_call(index, 0, "", as_object(legacy, where), where)

    def _call(self, index: int, position: int, call: Mapping[str, Any], param: str) -> None:
        client_id = "" if call.get("id") is None else as_string(call["id"], f"{param}.id")
        kind = call.get("type")
        if kind is None:
            kind = "custom" if "custom" in call else "function"
        if as_string(kind, f"{param}.type") not in ("function", "custom"):
            raise unsupported(kind, f"{param}.type", ("function", "custom"))
        if call.get(kind) is None:
            raise missing(f"{param}.{kind}")
        inner = as_object(call[kind], f"{param}.{kind}")
        if kind == "function":
            self._function_call(index, position, client_id, inner, f"{param}.function")
            return
        name = member(inner, "name", f"{param}.custom")
        given = inner.get("input")
        self._custom_call(index, position, client_id, name, given if isinstance(given, str) else _encoded(given))

    def _function_call(self, index: int, position: int, client_id: str, call: Mapping[str, Any], param: str) -> None:
        name = member(call, "name", param)
        arguments = _encoded(call.get("arguments"))
        if name in self._history.custom_tools:
            # the client keeps all calls in one form; what it declares tells what this one was
            self._custom_call(index, position, client_id, name, _free_text(arguments))
            return
        entry = self._enter(index, position, client_id, name, arguments, custom=False)
        self._items.append(
            {
                "type": "function_call",
                "call_id": entry.call_id,
                "name": self._history.names.upstream(name),
                "arguments": arguments or "{}",
            }
        )
        self._last_call_of[index] = len(self._items) - 1

    def _custom_call(self, index: int, position: int, client_id: str, name: str, text: str) -> None:
        entry = self._enter(index, position, client_id, name, text, custom=True)
        self._items.append(
            {
                "type": "custom_tool_call",
                "call_id": entry.call_id,
                "name": self._history.names.upstream(name),
                "input": text,
            }
        )
        self._last_call_of[index] = len(self._items) - 1

    def _enter(self, index: int, position: int, client_id: str, name: str, content: str, *, custom: bool) -> Call:
        own_id = client_id or made_up_id(index, position, name, content)
        return self._book.call(client_id, name, custom, index, own_id)

    def _tool(self, message: Mapping[str, Any], param: str) -> None:
        given = message.get("tool_call_id")
        client_id = "" if given is None else as_string(given, f"{param}.tool_call_id")
        output = tool_output(message.get("content"), f"{param}.content")
        call = self._book.answer(client_id)
        if call is not None:
            self._items.append(_result(call, output))
        elif self._history.chained and client_id:
            self._items.append({"type": "function_call_output", "call_id": short_id(client_id), "output": output})
        else:
            self._stray(output, param)

    def _function(self, message: Mapping[str, Any], param: str) -> None:
        name = member(message, "name", param)
        output = tool_output(message.get("content"), f"{param}.content")
        call = self._book.answer_function(name)
        if call is not None:
            self._items.append(_result(call, output))
        else:
            self._stray(output, param)

    # -- the odd cases

    def _native(self, index: int, item: Mapping[str, Any], param: str) -> None:
        """An input item among the messages: as it is, but that calls and results find each other."""
        kind = item["type"]
        item = {key: value for key, value in item.items() if key != "role"}
        if kind in NATIVE_CALLS:
            name = member(item, "name", param)
            content = _encoded(item.get("input" if kind == "custom_tool_call" else "arguments"))
            entry = self._enter(index, 0, _native_id(item, param), name, content, custom=kind == "custom_tool_call")
            own = {key: value for key, value in item.items() if key != "id"}
            self._items.append({**own, "call_id": entry.call_id, "name": self._history.names.upstream(name)})
            self._last_call_of[index] = len(self._items) - 1
        elif kind in NATIVE_RESULTS:
            call = self._book.answer(_native_id(item, param))
            if call is not None:
                self._items.append({**item, "type": call.output_type, "call_id": call.call_id})
            elif self._history.chained:
                self._items.append(item)
            else:
                self._stray(tool_output(item.get("output"), f"{param}.output"), param)
        else:
            self._items.append(item)

    def _stray(self, output: str | list[Part], param: str) -> None:
        """A result without its call, which upstream refuses: the model reads it as the user's words."""
        if not output:
            self._history.notes.dropped(param, "an empty tool result without its call")
            return
        self._history.notes.add(f"sent {param} as text (a tool result without its call)")
        content: str | list[Part] = f"{STRAY_RESULT}\n{output}" if isinstance(output, str) else _headed(output)
        self._items.append({"role": "user", "content": content})

    def _speaker(self, role: str, message: Mapping[str, Any], param: str) -> str:
        """The name to put before a message's text; Responses has no place for names."""
        name = message.get("name")
        if name is None:
            return ""
        if not isinstance(name, str):
            raise wrong_type(name, f"{param}.name", "a string")
        if role in self._named_roles:
            return name
        if name:
            self._history.notes.dropped("messages[].name", "Responses has no names", f"{param}.name")
        return ""


def _native_id(item: Mapping[str, Any], param: str) -> str:
    given = item.get("call_id")
    return "" if given is None else as_string(given, f"{param}.call_id")


def _listed(message: Mapping[str, Any], key: str, param: str) -> list[Any]:
    value = message.get(key)
    return [] if value is None else as_array(value, f"{param}.{key}")


def _result(call: Call, output: str | list[Part]) -> Item:
    return {"type": call.output_type, "call_id": call.call_id, "output": output}


def _headed(parts: list[Part]) -> list[Part]:
    return [text_part(STRAY_RESULT), *parts]


def _prefixed(speaker: str, parts: list[Part]) -> list[Part]:
    """The parts with the speaker's name before the first text."""
    for i, part in enumerate(parts):
        if part["type"] == "input_text":
            return [*parts[:i], {**part, "text": f"{speaker}: {part['text']}"}, *parts[i + 1 :]]
    return [text_part(f"{speaker}:"), *parts]


def _encoded(arguments: Any) -> str:
    """A call's arguments as the JSON text that upstream wants; some clients send the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def _free_text(arguments: str) -> str:
    """The input of a custom tool's call that the client keeps as a function's: out of ``{"input": "..."}`` or as is."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    match value:
        case {"input": str(text), **rest} if not rest:
            return text
    return arguments
