"""A chat client as a value: what most of them do with answers, which is to keep words and calls and forget thoughts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from tests.continuity.turns import TOOLS

Message: TypeAlias = dict[str, Any]

#: The fields of an assistant's message that chat clients know (schema ``ChatCompletionRequestAssistantMessage``).
KNOWN = ("role", "content", "refusal", "tool_calls", "function_call")


@dataclass(frozen=True)
class ChatClient:
    """A chat client in the middle of a conversation.

    @ivar messages: the history that it sends.
    @ivar model: the model that it asks.
    @ivar tools: the tools that it declares.
    @ivar searches: it asks for web searches, too.
    @ivar echoes: it sends back every field of a message, those that it does not know among them.
    @ivar more: further fields of its requests.
    """

    messages: tuple[Message, ...] = ()
    model: str = "gpt-5.6"
    tools: Sequence[Mapping[str, Any]] = TOOLS
    searches: bool = True
    echoes: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def request(self, **fields: Any) -> dict[str, Any]:
        """The chat request for the next turn."""
        found: dict[str, Any] = {"model": self.model, "messages": list(self.messages)}
        if self.tools:
            found["tools"] = list(self.tools)
        if self.searches:
            found["web_search_options"] = {}
        return {**found, **self.more, **fields}

    def says(self, text: str, role: str = "user") -> ChatClient:
        """The client with one more message of its own."""
        return self.adding({"role": role, "content": text})

    def adding(self, *messages: Message) -> ChatClient:
        """The client with more messages."""
        return replace(self, messages=(*self.messages, *messages))

    def hears(self, answer: bytes | Mapping[str, Any], choice: int = 0) -> ChatClient:
        """The client with an answer in its history.

        @param answer: a completion, or the bytes of one or of a stream of chunks.
        @param choice: which of the choices it takes.
        """
        if isinstance(answer, Mapping):
            message = next(found for found in answer["choices"] if found["index"] == choice)["message"]
        elif answer.lstrip()[:1] == b"{":
            return self.hears(json.loads(answer), choice)
        else:
            message = accumulated(answer, choice)
        return self.adding(kept(message, self.echoes))

    @property
    def open_calls(self) -> list[Message]:
        """The calls of the last answer, if it ends with any."""
        last = self.messages[-1] if self.messages else {}
        calls: list[Message] = last.get("tool_calls") or []
        return calls

    def runs_tools(self) -> ChatClient:
        """The client with the results of the calls of the last answer."""
        return self.adding(
            *({"role": "tool", "tool_call_id": call["id"], "content": result_of(call)} for call in self.open_calls)
        )

    def goes_on(self, text: str = "Go on.") -> ChatClient:
        """The client with what is its turn to say: results of calls, or another question."""
        return self.runs_tools() if self.open_calls else self.says(text)


def result_of(call: Mapping[str, Any]) -> str:
    """What a tool answers: the same to the same call."""
    said = call.get("function") or call.get("custom") or {}
    return f"{said.get('name')} was called with {len(said.get('arguments') or said.get('input') or '')} characters"


def kept(message: Mapping[str, Any], echoes: bool) -> Message:
    """What a client keeps of an answer's message.

    @param echoes: everything.
    """
    found = {name: value for name, value in message.items() if echoes or name in KNOWN}
    if found.get("refusal") is None:
        found.pop("refusal", None)
    return found


def accumulated(stream: bytes, choice: int = 0) -> Message:
    """The message that the chunks of a stream add up to, as openai-python adds them up: all strings are joined, but for
    a ``type``, and the entries of lists go by their ``index``.

    @raise AssertionError: the stream has no proper end, or is an error.
    """
    events = [line.removeprefix("data: ") for line in stream.decode().split("\n") if line.startswith("data: ")]
    assert events and events[-1] == "[DONE]", stream
    message: Message = {}
    finished = False
    for event in events[:-1]:
        chunk = json.loads(event)
        assert "error" not in chunk, chunk
        for found in chunk["choices"]:
            if found["index"] == choice:
                _add(message, found["delta"])
                finished = finished or found["finish_reason"] is not None
    assert finished, stream
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
    return {"content": None, **message}


def _add(whole: Message, delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        there = whole.get(name)
        if isinstance(value, list):
            _add_list(whole.setdefault(name, []), value)
        elif there is None or name in ("index", "type"):
            whole[name] = value
        elif isinstance(value, str):
            whole[name] = there + value
        elif isinstance(value, dict):
            _add(there, value)
        else:
            whole[name] = value


def _add_list(whole: list[Any], more: list[Any]) -> None:
    for value in more:
        index = value.get("index") if isinstance(value, dict) else None
        if index is None:
            whole.append(value)
        elif index < len(whole):
            # the place in the list is what counts, as in openai-python
            _add(whole[index], value)
        else:
            whole.append({**value})
