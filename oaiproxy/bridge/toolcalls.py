"""The calls that an answer asks the client to make (bridge.md 3.1 and 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.arguments import Arguments
from oaiproxy.bridge.plan import AnswerPlan

#: The model's own wrapper around calls that it makes at once; not a tool unless the client declared one of that name.
WRAPPERS = frozenset({"parallel", "multi_tool_use.parallel"})

_json = msgspec.json.Encoder()


class CallSink(Protocol):
    """Where the client's calls go."""

    def open_call(self, index: int, id: str, name: str, custom: bool) -> None:
        """A call begins.

        @param index: its number, counted from 0.
        @param id: its id; empty where upstream gave it none.
        @param custom: whether it has Chat's form for custom tools.
        """

    def call_text(self, index: int, text: str) -> None:
        """More of the arguments (or of a custom tool's input) of the call at `index`."""


class ClientCalls:
    """Hands an answer's calls to a sink, numbered from 0 without gaps.

    @ivar ids: the ids of the calls that the client was shown; empty ones where upstream gave none.
    """

    def __init__(self, plan: AnswerPlan, sink: CallSink) -> None:
        self.plan = plan
        self.sink = sink
        self.ids: list[str] = []

    def close(self) -> None:
        """Nothing more is told of them."""
        # who is told of them may hold on to this object
        del self.sink

    def name(self, upstream: str) -> str:
        """The client's name of the tool that upstream calls so."""
        return self.plan.names.get(upstream, upstream)

    def is_wrapper(self, name: str) -> bool:
        """Whether a call of this name is the model's wrapper around others."""
        return name in WRAPPERS and name not in self.plan.functions and name not in self.plan.custom_tools

    def open(self, id: str | None, name: str, custom: bool = False) -> int | None:
        """Begin a call.

        @return: its index, or None where the client cannot be shown it: ``function_call`` holds one call only.
        """
        index = len(self.ids)
        if self.plan.legacy_functions and index:
            return None
        self.ids.append(id or "")
        self.sink.open_call(index, id or "", name, custom)
        return index

    def whole(self, id: str | None, name: str, arguments: str) -> None:
        """Show a call of which everything is known."""
        index = self.open(id, name)
        if index is not None:
            self.sink.call_text(index, arguments)

    def unwrap(self, id: str | None, arguments: str) -> bool:
        """Show the calls inside a wrapper's arguments.

        @return: False, and nothing is shown, if one of them is no call of a function that the client declared.
        """
        try:
            uses = msgspec.json.decode(arguments)["tool_uses"]
            inner = [(self.name(use["recipient_name"].removeprefix("functions.")), use["parameters"]) for use in uses]
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return False
        if not inner or not all(name in self.plan.functions for name, _ in inner):
            return False
        for n, (name, parameters) in enumerate(inner):
            self.whole(f"{id}_{n}" if id else None, name, arguments_text(parameters) or "{}")
        return True


class ToolCall:
    """One ``function_call`` or ``custom_tool_call``, from its first sign to its end.

    It is shown to the client with its first sign, and its arguments as they come (`Arguments`), unless its name has not
    come yet or it is the wrapper around other calls; such ones wait for their end.

    @ivar index: its number among the client's calls, once it is shown.
    """

    __slots__ = ("_arguments", "_as_input", "_calls", "_custom", "_id", "_initial", "_name", "index")

    def __init__(self, calls: ClientCalls) -> None:
        self._calls = calls
        self._arguments = Arguments()
        self._name: str | None = None  # the client's name of the tool; None until upstream says
        self._id: str | None = None
        self._initial: Any = None  # the arguments that the announcement had, which usually has none
        self._custom = False  # whether it is free text upstream
        self._as_input = False  # whether it is free text for the client too, or the one string of a function
        self.index: int | None = None

    def announce(self, item: Mapping[str, Any]) -> None:
        """Take what an item says of its call: type, name, and id."""
        name = item.get("name")
        if self._name is not None or not isinstance(name, str) or not name:
            return
        call_id = item.get("call_id") or item.get("id")
        self._id = call_id if isinstance(call_id, str) else None
        self._name = self._calls.name(name)
        self._custom = self._arguments.free = item.get("type") == "custom_tool_call"
        self._initial = self._argument(item)
        if not self._is_wrapper():
            self._show()

    def delta(self, text: str) -> None:
        """Take more of the arguments."""
        self._arguments.add(text)
        self._flush()

    def settle(self, final: Any) -> None:
        """Take the whole of the arguments, as the end of a call repeats it."""
        self._arguments.settle(arguments_text(final))
        self._flush()

    def close(self, item: Mapping[str, Any], complete: bool) -> None:
        """The call is over.

        @param item: what is known of it in the end; may be empty.
        @param complete: False if it was cut off; then its arguments stay as they are.
        """
        self.announce(item)
        self.settle(self._argument(item))
        if not self._arguments.whole:
            self.settle(self._initial)
        self._arguments.close()
        if self.index is None and self._name is not None and self._is_wrapper():
            if self._calls.unwrap(self._id, self._arguments.whole):
                return
            self._show()
        self._flush()
        if complete and self.index is not None:
            self._complete(self.index)

    def _is_wrapper(self) -> bool:
        return not self._custom and self._name is not None and self._calls.is_wrapper(self._name)

    def _argument(self, item: Mapping[str, Any]) -> Any:
        return item.get("input" if self._custom else "arguments")

    def _show(self) -> None:
        assert self._name is not None
        self._as_input = self._custom and self._name in self._calls.plan.custom_tools
        self.index = self._calls.open(self._id, self._name, self._as_input)
        self._flush()

    def _flush(self) -> None:
        """Send what may be sent."""
        if self.index is None:
            return
        first = not self._arguments.sent
        text = self._arguments.take()
        if not text:
            return
        if self._custom and not self._as_input:
            text = ('{"input":"' if first else "") + _json.encode(text)[1:-1].decode()
        self._calls.sink.call_text(self.index, text)

    def _complete(self, index: int) -> None:
        """Send what makes the arguments JSON, so that `JSON.parse` takes those of a call that has none."""
        empty = not self._arguments.whole
        if self._custom and not self._as_input:
            self._calls.sink.call_text(index, '{"input":""}' if empty else '"}')
        elif not self._custom and empty:
            self._calls.sink.call_text(index, "{}")


def arguments_text(value: Any) -> str:
    """A call's arguments as the string that Chat has; empty where there are none."""
    if isinstance(value, str):
        return value
    return "" if value is None else _json.encode(value).decode()


@dataclass(frozen=True, slots=True)
class HostedCall:
    """How a call of a built-in tool that runs at the client is shown as a function call.

    @ivar name: the name that the call has.
    @ivar tools: the types of tool that the client must have asked for; it could not make the call otherwise.
    @ivar arguments: makes the arguments of the item.
    @ivar local: whether the item's call is to be made by the client and not by the upstream.
    """

    name: str
    tools: frozenset[str]
    arguments: Callable[[Mapping[str, Any]], Any]
    local: Callable[[Mapping[str, Any]], bool] = lambda item: True


def _computer_arguments(item: Mapping[str, Any]) -> JsonObject:
    return {key: item[key] for key in ("action", "actions", "pending_safety_checks") if item.get(key) is not None}


def _on_own_machine(item: Mapping[str, Any]) -> bool:
    where = item.get("environment")
    return not isinstance(where, dict) or where.get("type") == "local"


#: The item types of built-in tools that run at the client.
HOSTED_CALLS: Mapping[str, HostedCall] = {
    "computer_call": HostedCall("computer", frozenset({"computer", "computer_use_preview"}), _computer_arguments),
    "local_shell_call": HostedCall("local_shell", frozenset({"local_shell"}), lambda item: item.get("action")),
    "shell_call": HostedCall("shell", frozenset({"shell"}), lambda item: item.get("action"), _on_own_machine),
    "apply_patch_call": HostedCall("apply_patch", frozenset({"apply_patch"}), lambda item: item.get("operation")),
    "tool_search_call": HostedCall(
        "tool_search",
        frozenset({"tool_search"}),
        lambda item: item.get("arguments"),
        lambda item: item.get("execution") == "client",
    ),
}


def show_hosted_call(calls: ClientCalls, item: Mapping[str, Any]) -> None:
    """Show the call of a built-in tool if it is the client's to make."""
    hosted = HOSTED_CALLS.get(str(item.get("type")))
    call_id = item.get("call_id")
    if hosted is None or not isinstance(call_id, str) or not hosted.local(item):
        return
    if hosted.tools & calls.plan.hosted_tools:
        calls.whole(call_id, hosted.name, arguments_text(hosted.arguments(item)) or "{}")
