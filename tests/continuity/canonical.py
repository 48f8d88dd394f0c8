"""Input and output items in forms in which they can be compared: as the model reads them, and as a client sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Item: TypeAlias = Mapping[str, Any]

#: Type of a call that the client makes -> the type of its output.
CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}

#: Type of an output -> the type of its call.
OUTPUTS = {output: call for call, output in CALLS.items()}

#: Fields that a model never reads.
_UNREAD = frozenset({"id", "status", "logprobs", "annotations"})

_SPOKEN_BY_CLIENT = frozenset({"user", "system", "developer"})


def kind_of(item: Item) -> str:
    """The type of an item; one that does not say it is a reference where it has only an id, else a message."""
    kind: str = item.get("type") or ("item_reference" if item.keys() == {"id"} else "message")
    return kind


def made_by_model(item: Item) -> bool:
    """Whether a model makes such items: its messages, thoughts and calls."""
    kind = kind_of(item)
    return kind not in OUTPUTS and not (kind == "message" and item.get("role") in _SPOKEN_BY_CLIENT)


def is_text(item: Item) -> bool:
    """Whether an item is a message of the model's."""
    return kind_of(item) == "message" and item.get("role") == "assistant"


def canonical(item: Item) -> dict[str, Any]:
    """An item as the model reads it: without ids, states, nulls, and what is only for display.

    A string is the same as the one text part that it stands for.
    """
    kind = kind_of(item)
    found = {name: _plain(value) for name, value in item.items() if name not in _UNREAD and value is not None}
    found["type"] = kind
    if kind == "message" and isinstance(found.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        found["content"] = [{"type": part, "text": found["content"]}]
    if kind == "reasoning" and not found.get("content"):
        found.pop("content", None)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items() if name not in _UNREAD and inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def encoded(value: Any) -> bytes:
    """A JSON value as bytes that are the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def digest(*parts: bytes) -> str:
    """A short name for some bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part) + part)
    return found.hexdigest()[:40]


class Rendered:
    """The prompt as it grows, item by item.

    @ivar state: stands for all that was added so far.
    """

    def __init__(self) -> None:
        self.state = digest(b"")

    def add(self, item: Item) -> None:
        """One more item that the model reads."""
        self.state = digest(self.state.encode(), encoded(canonical(item)))

    def add_thought(self, item_id: str) -> None:
        """One more thought of the model's own, whatever it is sealed with."""
        self.state = digest(self.state.encode(), item_id.encode())


# ---------------------------------------------------------------- what a client sees


def visible(items: Iterable[Item]) -> tuple[tuple[str, ...], ...]:
    """A conversation as a chat client sees it: without thoughts, hosted calls and phases.

    What a model says at one go is one text and then its calls, as chat has it; arguments are the value that they are.
    """
    found: list[tuple[str, ...]] = []
    for own, run in _runs(items):
        if own:
            text = "\n\n".join(text for item in run if is_text(item) and (text := text_of(item))).strip()
            if text:
                found.append(("assistant", text))
            found += [_call(item) for item in run if kind_of(item) in CALLS]
            continue
        for item in run:
            if kind_of(item) in OUTPUTS:
                found.append(("output", str(item.get("call_id")), _text(item.get("output"))))
            else:
                role = "system" if item.get("role") == "developer" else str(item.get("role"))
                found.append((role, _text(item.get("content"))))
    return tuple(found)


def rounds_of(items: Iterable[Item]) -> int:
    """How often a model has spoken in a conversation."""
    return sum(own and any(is_text(item) or kind_of(item) in CALLS for item in run) for own, run in _runs(items))


def text_of(item: Item) -> str:
    """The text of a message, refusals included."""
    return _text(item.get("content"))


def _runs(items: Iterable[Item]) -> Iterator[tuple[bool, list[Item]]]:
    """Neighbouring items of one maker: whether that is the model, and the items."""
    run: list[Item] = []
    for item in items:
        if run and made_by_model(run[0]) is not made_by_model(item):
            yield made_by_model(run[0]), run
            run = []
        run.append(item)
    if run:
        yield made_by_model(run[0]), run


def _call(item: Item) -> tuple[str, ...]:
    if kind_of(item) == "custom_tool_call":
        said: Any = {"input": item.get("input")}
    else:
        try:
            said = json.loads(str(item.get("arguments")))
        except ValueError:
            said = item.get("arguments")
    return "call", str(item.get("call_id")), str(item.get("name")), encoded(said).decode("utf-8", "surrogatepass")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(_part(part) for part in parts)


def _part(part: Any) -> str:
    for name in ("text", "refusal"):
        if isinstance(part, Mapping) and isinstance(part.get(name), str):
            return str(part[name])
    return encoded(part).decode()
