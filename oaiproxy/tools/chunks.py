"""The chunks of several rounds as one stream: bytes in, bytes out.

Calls that the proxy runs are left out, and with them the end of a round that goes on; all other calls are numbered
anew.  What need not change is handed on byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from oaiproxy.api.errors import UpstreamIncomplete
from oaiproxy.api.rawjson import as_list, as_object, close_object, open_object, read_object, says_nothing
from oaiproxy.api.request import JsonObject
from oaiproxy.api.sse import EVENT_LIMIT
from oaiproxy.api.sseblocks import SseBlocks, block_data, event_block, other_lines
from oaiproxy.tools.told import ENVELOPE, Told
from oaiproxy.tools.turn import ToolCall, Turn


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: dict[str, Any] | None = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


class RoundChunks:
    """Rewrites the streams of one answer's rounds.

    @ivar turn: what the model has said in this round.
    @ivar running: whether the proxy runs the calls of this round, so that another one follows.
    """

    def __init__(self, own: frozenset[str], told: Told, limit: int = EVENT_LIMIT) -> None:
        """
        @param own: the names of the functions that the proxy runs.
        @param told: what the client knows.
        @param limit: the most bytes that one of upstream's events may have.
        """
        self._own = own
        self._told = told
        self._limit = limit
        self._envelope: JsonObject = {}
        self._role = False
        self._calls = 0
        self._begin()

    def _begin(self) -> None:
        self.turn = Turn(self._own)
        self.running = False
        self._blocks = SseBlocks(self._limit)
        self._ended = False  # a finish reason came
        self._done = False
        self._last: bytes | None = None  # a chunk of this round

    def next_round(self) -> None:
        """The stream of another round begins."""
        self._begin()

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what the client gets for it.

        @raise UpstreamInvalid: an event is too large.
        """
        out: list[bytes] = []
        for block in self._blocks.feed(data):
            self._take(block, out)
        return b"".join(out)

    def end(self) -> bytes:
        """Take the end of the stream and return the rest.

        @raise UpstreamIncomplete: it ended in the middle of a call that the proxy runs.
        """
        out: list[bytes] = []
        rest = self._blocks.end()
        if rest:
            # servers that leave out the last empty line are real
            self._take(rest.rstrip(b"\r\n") + b"\n\n" if _event(rest) else rest, out)
        if not self._ended and self.turn.calls:
            if not self._done and self.turn.own_calls:
                raise UpstreamIncomplete("The upstream's answer ended in the middle of a tool call. Ask again.")
            self.running = self.turn.runs("tool_calls")
            self._release(out)
        return b"".join(out)

    def idle(self) -> bytes:
        """A chunk that says nothing; no bytes before the first of upstream's own."""
        if not self._envelope:
            return b""
        choice = {"index": 0, "delta": {}, "finish_reason": None}
        return event_block(close_object({**self._envelope, "choices": [choice]}))

    # -- one block

    def _take(self, block: bytes, out: list[bytes]) -> None:
        data = block_data(block)
        if data is None:
            out.append(block)
            return
        if data.strip() == b"[DONE]":
            self._done = True
            if not self._ended and self.turn.calls:
                self._ended, self.running = True, self.turn.runs("tool_calls")
                self._release(out)
            if not self.running:
                out.append(block)
            return
        chunk = _read(data)
        if chunk is None or chunk.error:
            out.append(block)
            return
        self._learn(data)
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None or choice.index not in (0, None):
            self._take_rest(block, data, chunk, out)
            return
        usage = None if chunk.usage is None else self._told.usage(chunk.usage)
        if self.running:
            return
        delta = choice.delta or {}
        self._last = data
        self.turn.add(delta)
        if self._told.rounds == 0 and not self.turn.calls and _plain(delta):
            self._ended = self._ended or choice.finish_reason is not None
            self._note(delta)
            out.append(block)
        else:
            self._rewrite(block, data, usage, choice, out)

    def _learn(self, data: bytes) -> None:
        if not self._envelope:
            top = open_object(data)
            self._envelope = {name: top[name] for name in ENVELOPE if name in top}

    def _note(self, delta: JsonObject) -> None:
        """Remember what the client is told by a chunk that stays as it is."""
        if delta.get("role"):
            self._role = True
        self._told.placed(delta)
        for field, text in delta.items():
            if isinstance(text, str) and text:
                self._told.before(field)
                if field == "content":
                    self._told.say(text)

    def _take_rest(self, block: bytes, data: bytes, chunk: _Chunk, out: list[bytes]) -> None:
        """A chunk that is not of our choice: mostly the one of usage."""
        usage = None if chunk.usage is None else self._told.usage(chunk.usage)
        if self.running:
            return
        if self._told.rounds == 0:
            out.append(block)
            return
        top = {**open_object(data), **self._envelope}
        if usage is not None:
            top["usage"] = usage
        out.append(event_block(close_object(top), other_lines(block)))

    # -- chunks that change

    def _rewrite(self, block: bytes, data: bytes, usage: Any, choice: _Choice, out: list[bytes]) -> None:
        top = {**open_object(data), **self._envelope}
        if usage is not None:
            top["usage"] = usage
        choices = as_list(top["choices"])
        given = as_object(choices[0])
        delta = self._delta(choice.delta or {})
        silent = choice.finish_reason is None
        if choice.finish_reason is not None:
            self._ended = True
            self.running = self.turn.runs(choice.finish_reason)
            if self.running:
                given["finish_reason"], silent = None, True
            elif released := self._released():
                delta["tool_calls"] = [*delta.get("tool_calls", ()), *released]
        for field in ("content", "reasoning_content", "reasoning"):
            text = delta.get(field)
            if isinstance(text, str) and text and (separator := self._told.before(field)):
                out.append(self._extra(top, given, {field: separator}))
        delta = self._told.placed(delta)
        self._told.say(delta.get("content"))
        empty = all(says_nothing(value) for value in delta.values())
        if silent and empty and (choice.delta or self.running):
            return  # there is nothing left of it; one that upstream itself sent empty keeps a connection alive
        given["delta"] = delta
        choices[0] = given
        top["choices"] = choices
        out.append(event_block(close_object(top), other_lines(block)))

    def _delta(self, given: JsonObject) -> JsonObject:
        """A delta without the calls that the proxy may run, and without what the client has heard in earlier rounds."""
        delta = dict(given)
        if self._role:
            delta.pop("role", None)
        elif delta.get("role"):
            self._role = True
        if not _plain(given):
            calls = self._client_calls(given["tool_calls"])
            if calls:
                delta["tool_calls"] = calls
            else:
                del delta["tool_calls"]
        return delta

    def _client_calls(self, pieces: Sequence[Any]) -> list[JsonObject]:
        """The pieces of calls that are the client's, numbered anew; held back is what may become one of ours."""
        found: list[JsonObject] = []
        for position, piece in enumerate(pieces):
            if not isinstance(piece, dict):
                continue
            call = self.turn.add_call(piece, position)
            if call.number is not None:
                found.append({**piece, "index": call.number})
            elif not call.may_be(self._own):
                found.append(self._numbered(call))
        return found

    def _numbered(self, call: ToolCall) -> JsonObject:
        call.number = self._calls
        self._calls += 1
        return {"index": call.number, **call.whole}

    def _released(self) -> list[JsonObject]:
        """The calls that were held back, and are none of ours after all."""
        own = self.turn.own_calls
        return [self._numbered(call) for call in self.turn.calls if call.number is None and call not in own]

    def _release(self, out: list[bytes]) -> None:
        """Write what is held back, at an end that no finish reason has announced."""
        calls = [] if self.running else self._released()
        if calls and self._last is not None:
            top = {**open_object(self._last), **self._envelope}
            given = as_object(as_list(top["choices"])[0])
            out.append(self._extra(top, given, {"tool_calls": calls}))

    def _extra(self, top: JsonObject, given: JsonObject, delta: JsonObject) -> bytes:
        """A chunk of ours, before the chunk that it came with."""
        choice = {"index": given.get("index", 0), "delta": delta, "finish_reason": None}
        extra = {**self._envelope, "choices": [choice]}
        if "logprobs" in given:
            choice["logprobs"] = None
        if "usage" in top:
            extra["usage"] = None
        return event_block(close_object(extra))


def _plain(delta: JsonObject) -> bool:
    """Whether a delta has no calls."""
    return not isinstance(delta.get("tool_calls"), list)


def _event(block: bytes) -> bool:
    data = block_data(block)
    return data is not None and (data.strip() == b"[DONE]" or _read(data) is not None)


def _read(data: bytes) -> _Chunk | None:
    """What matters of a chunk, or None where it is none."""
    return read_object(data, _CHUNK)
