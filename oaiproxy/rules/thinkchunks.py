"""A stream of chat chunks with the thoughts taken out of its text, or set apart: bytes in, bytes out."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from oaiproxy.api.rawjson import as_list, as_object, as_plain, close_object, open_object, read_object, says_nothing
from oaiproxy.api.request import JsonObject
from oaiproxy.api.sse import EVENT_LIMIT
from oaiproxy.api.sseblocks import SseBlocks, block_data, event_block, other_lines
from oaiproxy.rules.think import ThinkMode, ThinkRules
from oaiproxy.rules.thinkchoice import Segment, ThinkChoice

#: What every chunk of a stream repeats.
_ENVELOPE = frozenset(
    ("id", "object", "created", "model", "system_fingerprint", "service_tier", "provider", "obfuscation", "choices")
)

#: What a chunk has of which only the text matters here.
_CONTENT = b'"content"'


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    role: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    function_call: Any = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else ""

    @property
    def more(self) -> bool:
        """Whether there is something that follows the text and is none."""
        return bool(self.refusal or self.tool_calls or self.function_call)


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    error: Any = None


_NO_LOGPROBS = re.compile(rb'"logprobs":\s*null')

_CHUNK = msgspec.json.Decoder(_Chunk)


class ThinkChunks:
    """Rewrites the chunks that it has to, and hands on all else byte for byte.

    A piece of text becomes as many chunks as it has parts, each with one of them.  A chunk that has nothing left to say
    is left out.  What may be the beginning of a tag is held back until it is known, but never past the end of a choice,
    a call, an error, or the end of the stream.
    """

    def __init__(self, rules: ThinkRules, field: str = "reasoning_content", limit: int = EVENT_LIMIT) -> None:
        """
        @param rules: what is a thought, and what is done with it.
        @param field: where thoughts are moved.
        @param limit: the most bytes that one of upstream's events may have.
        """
        self._rules = rules
        self._field = field
        self._own = b'"' + field.encode() + b'"' if rules.mode is ThinkMode.MOVE else None
        self._blocks = SseBlocks(limit)
        self._choices: dict[int, ThinkChoice] = {}
        self._roles: set[int] = set()  # the choices whose role the client knows
        self._holding: dict[int, bytes] = {}  # the choices that hold text back, and the last chunk of each
        self._skipped: JsonObject | None = None  # the last chunk that was left out, where none was sent after it

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return what the client gets for it.

        @raise UpstreamInvalid: an event is too large.
        """
        out: list[bytes] = []
        for block in self._blocks.feed(data):
            self._take(block, out)
        return b"".join(out)

    def end(self) -> bytes:
        """Take the end of the stream and return the rest."""
        out: list[bytes] = []
        rest = self._blocks.end()
        data = block_data(rest)
        if data is not None and _read(data) is not None:
            self._take(rest, out)
            held = self.flush()
            # servers that leave out the last empty line are real
            return b"".join(out) + (b"\n\n" + held if held else b"")
        return self.flush() + rest

    def flush(self) -> bytes:
        """What is held back, where nothing more can come."""
        out: list[bytes] = []
        self._let_go(out)
        return b"".join(out)

    def pulse(self) -> bytes:
        """For a client that hears nothing because a model's thoughts are left out: the last such chunk, its text empty.

        @return: no bytes where upstream itself has said nothing.
        """
        skipped, self._skipped = self._skipped, None
        return b"" if skipped is None else event_block(close_object(skipped))

    # -- one block

    def _take(self, block: bytes, out: list[bytes]) -> None:
        if not self._holding and _CONTENT not in block and (self._own is None or self._own not in block):
            self._skipped = None
            out.append(block)
            return
        data = block_data(block)
        chunk = None if data is None else _read(data)
        if data is None or chunk is None or not chunk.choices:
            if data is not None and (data.strip() == b"[DONE]" or (chunk is not None and chunk.error)):
                self._let_go(out)
            self._skipped = None
            out.append(block)
            return
        changes: dict[int, list[Segment]] = {}
        for position, choice in enumerate(chunk.choices):
            segments = self._segments(choice, position, data)
            if segments is not None:
                changes[position] = segments
            elif choice.delta is not None and choice.delta.role:
                self._roles.add(_index(choice))
        if changes:
            self._rewrite(block, data, chunk.choices, changes, out)
        else:
            self._skipped = None
            out.append(block)

    def _segments(self, choice: _Choice, position: int, data: bytes) -> list[Segment] | None:
        """What becomes of a choice's text; None where it stays as it is."""
        delta, index = choice.delta or _Delta(), _index(choice)
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = ThinkChoice(self._rules)
        text = delta.text
        if self._own is not None and _own_thought(delta, self._field):
            known.reasoned()
        segments = known.feed(text, lambda: _logprobs(data, position)) if text else None
        if known.held and (choice.finish_reason is not None or delta.more):
            segments = [*(segments or ()), *known.flush()]
        if known.held:
            self._holding[index] = data
        elif self._holding:
            self._holding.pop(index, None)
        return segments if text or segments else None

    def _let_go(self, out: list[bytes]) -> None:
        """Write what every choice holds back."""
        for index, data in self._holding.items():
            top = open_object(data)
            given = next(
                found for choice in as_list(top["choices"]) if _plain_index(found := as_object(choice)) == index
            )
            for segment in self._choices[index].flush():
                out.append(event_block(close_object(self._extra(top, given, segment, None))))
        self._holding.clear()

    # -- chunks that change

    def _rewrite(
        self, block: bytes, data: bytes, said: list[_Choice], changes: dict[int, list[Segment]], out: list[bytes]
    ) -> None:
        top = open_object(data)
        choices = as_list(top["choices"])
        extras: list[JsonObject] = []
        rewritten, silent = False, len(changes) == len(choices)
        for position, segments in changes.items():
            index, delta = _index(said[position]), said[position].delta or _Delta()
            given = choices[position] = as_object(choices[position])
            role = None if index in self._roles else as_object(given.get("delta")).get("role")
            last = None
            if delta.text:
                rewritten = True
                if segments and not (segments[-1].thought and _own_thought(delta, self._field)):
                    segments, last = segments[:-1], segments[-1]
                self._set(given, delta.text, last, self._choices[index].aligned)
                if segments:
                    given["delta"].pop("role", None)  # it is said before
                silent = silent and last is None and not _carries(given, role if not segments else None)
            else:
                silent = False
            for segment in segments:
                extras.append(self._extra(top, given, segment, role))
                role = None
            if delta.role and (segments or not silent):
                self._roles.add(index)
        lines = [] if len(block) == len(data) + 8 else other_lines(block)
        typed = [line for line in lines if line.startswith(b"event:")]
        out += [event_block(close_object(extra), typed) for extra in extras]
        if not rewritten:
            out.append(block)
            self._skipped = None
            return
        top["choices"] = choices
        if silent and all(says_nothing(value) for name, value in top.items() if name not in _ENVELOPE):
            self._skipped = top
            if len(typed) < len(lines):
                out.append(b"\n".join(line for line in lines if line not in typed) + b"\n\n")
            return
        out.append(event_block(close_object(top), lines))
        self._skipped = None

    def _extra(self, top: JsonObject, given: JsonObject, segment: Segment, role: Any) -> JsonObject:
        """A chunk for one segment, before the chunk that it came with."""
        extra = {name: value for name, value in top.items() if name in _ENVELOPE}
        delta: JsonObject = {} if role is None else {"role": role}
        delta[self._field if segment.thought else "content"] = segment.text
        choice: JsonObject = {"index": given.get("index", 0), "delta": delta}
        if "logprobs" in given or segment.logprobs:
            choice["logprobs"] = {"content": segment.logprobs, "refusal": None} if segment.logprobs else None
        extra["choices"] = [{**choice, "finish_reason": None}]
        if "usage" in top:
            extra["usage"] = None
        return extra

    def _set(self, given: JsonObject, text: str, segment: Segment | None, aligned: bool) -> None:
        """Put a segment in the place of a choice's text."""
        delta: JsonObject = {}
        for name, value in as_object(given["delta"]).items():
            if name != "content":
                if name not in delta:
                    delta[name] = value
            elif segment is not None and segment.thought:
                delta[self._field] = segment.text
            else:
                delta["content"] = "" if segment is None else segment.text
        if segment is not None and segment.thought:
            delta[self._field] = segment.text
        given["delta"] = delta
        answers = segment is not None and not segment.thought
        if not says_nothing(given.get("logprobs")):
            if segment is not None and segment.logprobs:
                given["logprobs"] = {**as_object(given["logprobs"]), "content": segment.logprobs}
            elif aligned or not answers:
                given["logprobs"] = None
        if "text" in given and as_plain(given["text"]) == text:
            # some servers say everything twice, in the words of the older API
            given["text"] = segment.text if segment is not None and answers else ""


def _read(data: bytes) -> _Chunk | None:
    """What matters of a chunk, or None where it is none."""
    return read_object(data, _CHUNK)


def _logprobs(data: bytes, position: int) -> Any:
    """The ``logprobs`` of a choice, as in an opened object."""
    if data.count(b'"logprobs"') == len(_NO_LOGPROBS.findall(data)):
        return None
    return as_object(as_list(open_object(data)["choices"])[position]).get("logprobs")


def _index(choice: _Choice) -> int:
    return choice.index if isinstance(choice.index, int) else 0


def _plain_index(given: JsonObject) -> int:
    index = as_plain(given.get("index", 0))
    return index if isinstance(index, int) else 0


def _own_thought(delta: _Delta, field: str) -> bool:
    return bool(delta.reasoning if field == "reasoning" else delta.reasoning_content)


def _carries(given: JsonObject, role: Any) -> bool:
    """Whether a choice without text says something all the same."""
    delta = given["delta"]
    if role is not None and not says_nothing(role):
        return True
    return any(not says_nothing(value) for name, value in delta.items() if name not in ("role", "content")) or any(
        not says_nothing(value) for name, value in given.items() if name not in ("index", "delta")
    )
