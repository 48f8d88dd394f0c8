"""One turn of the model in a chat answer: what it said, and which calls it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from oaiproxy.api.request import JsonObject

#: With these a turn has ended so that its calls are whole; the second is what some servers say of calls too.
_WHOLE = frozenset({"tool_calls", "stop"})

#: What of a message is for people, or of no use without the rest of the answer.
_NOT_SENT_BACK = frozenset({"annotations", "audio", "file_annotations", "function_call", "images", "tool_calls"})


class ToolCall:
    """A call, as it is known.

    @ivar whole: all of it, in the form of a message's ``tool_calls``.
    @ivar number: its place among the calls that the client is told of; None while it is told of none.
    """

    def __init__(self) -> None:
        self.whole: JsonObject = {}
        self.number: int | None = None

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take more of it: texts are put together, all else is said once."""
        for key, value in delta.items():
            if isinstance(value, Mapping):
                inner = self.whole.setdefault(key, {})
                for field, said in value.items():
                    if field == "name":
                        if isinstance(said, str) and said != inner.get(field):  # some servers repeat it
                            inner[field] = inner.get(field, "") + said
                    elif key in ("function", "custom") and field in ("arguments", "input"):
                        inner[field] = inner.get(field, "") + _text(said)
                    elif said is not None:
                        inner[field] = said
            elif key != "index" and value not in (None, ""):
                self.whole[key] = value

    @property
    def id(self) -> str:
        """Its id; empty where there is none."""
        given = self.whole.get("id")
        return given if isinstance(given, str) else ""

    @property
    def function(self) -> str:
        """The name of the function that it calls, as far as it is known; empty for other tools."""
        inner = self.whole.get("function")
        return inner.get("name", "") if isinstance(inner, dict) else ""

    @property
    def arguments(self) -> str:
        """The function's arguments."""
        inner = self.whole.get("function")
        return inner.get("arguments", "") if isinstance(inner, dict) else ""

    def may_be(self, names: frozenset[str]) -> bool:
        """Whether it may turn out to be a call of one of these functions."""
        if "custom" in self.whole:
            return False
        known = self.function
        # its arguments come when its name is whole
        return known in names or (not self.arguments and any(name.startswith(known) for name in names))


class Turn:
    """What the model has said in one turn, its deltas put together.

    @ivar calls: its calls, in order.
    """

    def __init__(self, own: frozenset[str]) -> None:
        """@param own: the names of the functions that the proxy runs."""
        self.calls: list[ToolCall] = []
        self._own = own
        self._texts: dict[str, list[str]] = {}
        self._further: JsonObject = {}
        self._by_index: dict[Any, ToolCall] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take a delta, or a whole message, but for its calls."""
        for key, value in delta.items():
            if key in _NOT_SENT_BACK or key == "role" or value in (None, "", [], {}):
                continue
            if isinstance(value, str):
                self._texts.setdefault(key, []).append(value)
            elif isinstance(value, list) and isinstance(known := self._further.get(key), list):
                known += value
            else:
                self._further[key] = list(value) if isinstance(value, list) else value

    def add_call(self, delta: Mapping[str, Any], position: int) -> ToolCall:
        """Take a piece of a call, or a whole one.

        @param position: its place among the calls of the same chunk or message.
        """
        index = delta.get("index")
        index = index if isinstance(index, int) else None
        given = delta.get("id")
        call = self._by_index.get(position if index is None else index)
        if call is not None and isinstance(given, str) and given and call.id and given != call.id:
            call = None  # servers that give every call the same index are real
        if call is None:
            call = ToolCall()
            self.calls.append(call)
            self._by_index[position if index is None else index] = call
        if call.number is None:  # of one that the client has, nothing more needs to be known
            call.add(delta)
        return call

    @property
    def own_calls(self) -> list[ToolCall]:
        """The calls that are the proxy's to run."""
        return [call for call in self.calls if "custom" not in call.whole and call.function in self._own]

    def runs(self, finish_reason: Any) -> bool:
        """Whether the proxy runs the calls of the turn and asks the model again.

        It does where it can run all of them.  Where some are the client's, the client has to answer first, and it
        cannot answer for the others: they are left out, as if the model had not made them, and it may make them again
        once it has the client's results.
        """
        return bool(self.calls) and finish_reason in _WHOLE and len(self.own_calls) == len(self.calls)

    def message(self, number: int) -> JsonObject:
        """The turn as a message of the history.

        @param number: the turn's, for the ids of calls that have none.
        """
        message: JsonObject = {"role": "assistant", "content": None}
        message.update({key: "".join(pieces) for key, pieces in self._texts.items()})
        message.update(self._further)
        message["tool_calls"] = [
            {
                **call.whole,
                "id": self.call_id(call, number),
                "type": "function",
                # which servers read as JSON
                "function": {**call.whole["function"], "arguments": call.arguments or "{}"},
            }
            for call in self.own_calls
        ]
        return message

    def call_id(self, call: ToolCall, number: int) -> str:
        """The id of a call, made up where it has none: the same for the same place."""
        return call.id or f"call_{number}_{self.calls.index(call)}"


def _text(value: Any) -> str:
    """Arguments as the text that they have to be; some servers send them as the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
