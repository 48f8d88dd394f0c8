"""What a chat history says, without how its client happens to write it.

Clients write the same message in several ways: content as a string or as one part of text, texts with their ends
trimmed, arguments with other spaces.  None of that makes it another conversation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.hybrid import is_native, unfolded

#: As many bytes has a digest.
DIGEST = 16

#: Blocks of thoughts in a text: what this proxy renders in think mode, and what Open WebUI makes of it.
_THOUGHTS = re.compile(r"<think>.*?</think>|<details type=\"reasoning\".*?</details>", re.DOTALL)

_TEXTS = frozenset({"text", "input_text", "output_text"})

# long messages are long to encode and to digest: of what there is these take the least time
_encode = msgspec.msgpack.Encoder().encode
_digest = hashlib.sha256

_json = msgspec.json.Encoder().encode
_ordered = msgspec.json.Encoder(order="sorted").encode


class SaidCall(msgspec.Struct, frozen=True):
    """A call in an assistant's message.

    @ivar id: its id; empty where there is none.
    @ivar content: the arguments, or the input of a custom tool's call, as the client wrote them.
    """

    id: str
    name: str
    content: str


class Before(msgspec.Struct, frozen=True):
    """What was said before a turn; each stands for it.

    @ivar prefix: for all of it.
    @ivar since: for the user's last words and what came after them: they are the same in all requests of a tool loop,
        where clients change or cut off what was said before.
    """

    prefix: bytes
    since: bytes


class SaidTurn(msgspec.Struct, frozen=True):
    """An assistant's message in a history.

    @ivar index: its place among the messages.
    @ivar text: its texts and refusals, without white space and thoughts.
    @ivar calls: its calls.
    @ivar before: what was said before it.
    @ivar carried: what the client carries for it in ``reasoning_details``; empty where it carries nothing.
    """

    index: int
    text: str
    calls: tuple[SaidCall, ...]
    before: Before
    carried: tuple[Mapping[str, Any], ...] = ()


class Conversation(msgspec.Struct, frozen=True):
    """A chat history.

    @ivar turns: the assistant's turns, in order.
    @ivar before: all of it: what the answer will be an answer to.
    """

    turns: tuple[SaidTurn, ...]
    before: Before


class _Running:
    """Stands for what was said so far."""

    def __init__(self) -> None:
        self._prefix = _digest()
        self._since = _digest()

    def add(self, said: bytes, *, user: bool = False) -> None:
        one = _digest(said).digest()
        self._prefix.update(one)
        if user:
            self._since = _digest()
        self._since.update(one)

    def before(self) -> Before:
        return Before(self._prefix.digest()[:DIGEST], self._since.digest()[:DIGEST])


def converse(messages: Any) -> Conversation | None:
    """Read a history.

    @param messages: the ``messages`` of a chat request, unchecked.
    @return: None where it cannot be read: the translation says what is wrong with it.
    """
    if not isinstance(messages, list):
        return None
    running = _Running()
    turns = []
    try:
        for index, given in enumerate(messages):
            for message, _ in unfolded(given, ""):
                if message.get("role") == "assistant" and not is_native(message):
                    turn = _turn(index, message, running.before())
                    turns.append(turn)
                    running.add(_assistant(turn))
                else:
                    running.add(_spoken(message), user=message.get("role") == "user")
    except (AttributeError, LookupError, TypeError, ValueError, BadRequest, RecursionError, OverflowError):
        return None
    return Conversation(tuple(turns), running.before())


def squeezed(text: str) -> str:
    """A text without white space and blocks of thoughts: what has to be the same when it comes back."""
    if "<" in text:
        text = _THOUGHTS.sub("", text)
    return "".join(text.split())


def canonical(arguments: str) -> bytes:
    """Arguments as JSON values: the same whatever the spaces and the order of the names; none are an empty object."""
    try:
        return _ordered(msgspec.json.decode(arguments)) if arguments.strip() else b"{}"
    except (ValueError, RecursionError):
        return arguments.encode("utf-8", "surrogatepass")


def _turn(index: int, message: Mapping[str, Any], before: Before) -> SaidTurn:
    refusal = message.get("refusal")
    text = "".join((*_texts(message.get("content")), refusal if isinstance(refusal, str) else ""))
    calls = message.get("tool_calls")
    details = message.get("reasoning_details")
    return SaidTurn(
        index,
        squeezed(text),
        tuple(map(_call, calls)) if isinstance(calls, list) else (),
        before,
        tuple(each for each in details if isinstance(each, dict)) if isinstance(details, list) else (),
    )


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                yield part
            elif part.get("type") in _TEXTS:
                yield part["text"]
            elif part.get("type") == "refusal":
                yield part["refusal"]


def _call(call: Mapping[str, Any]) -> SaidCall:
    custom = call.get("custom") if call.get("function") is None else None
    inner = call["function"] if custom is None else custom
    content = inner.get("arguments") if custom is None else inner.get("input")
    if not isinstance(content, str):
        content = "" if content is None else _json(content).decode()
    id, name = call.get("id"), inner["name"]
    if not isinstance(name, str):
        raise TypeError("a tool's name has to be a string")
    return SaidCall(id if isinstance(id, str) else "", name, content)


def _assistant(turn: SaidTurn) -> bytes:
    return _encode(("assistant", turn.text, [(c.id, c.name, canonical(c.content)) for c in turn.calls]))


def _spoken(message: Mapping[str, Any]) -> bytes:
    content = message.get("content")
    match content:
        case [{"type": "text", "text": str(text)}]:
            content = text
    said = (message.get("role"), message.get("name"), message.get("tool_call_id"), content)
    # what stands there in Responses' own form says all it says in fields of its own
    return _encode((*said, dict(message)) if is_native(message) else said)
