"""Several upstream answers as one chat answer: the ``n`` choices of a request, each made by a request of its own.

What is joined are chat answers that are translated already, so that everything about a choice is decided in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from oaiproxy.api.body import BodyTranslator, JointTranslator
from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import JsonObject
from oaiproxy.api.sse import DONE, safe_line
from oaiproxy.api.usage import summed
from oaiproxy.bridge.answer import answer_translator
from oaiproxy.bridge.plan import AnswerPlan

#: Makes the translator for one upstream answer of its content type.
MakeTranslator = Callable[[str], BodyTranslator]

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

#: What the chunks of one stream have in common, whichever upstream answer they are from.
_ENVELOPE = ("id", "object", "created", "model")


def joint_translator(plan: AnswerPlan, count: int = 1) -> JointTranslator:
    """The translator for the answers to one chat request.

    @param plan: how the answer has to look.
    @param count: how many upstream answers there are, each of which becomes a choice.
    """
    if count == 1:
        return OneAnswer(partial(answer_translator, plan))
    # usage can only be summed where it is known
    each = replace(plan, include_usage=True)
    makers: list[MakeTranslator] = [lambda content_type: answer_translator(each, content_type)] * count
    return ChoiceChunks(makers, plan.include_usage) if plan.stream else ChoiceObject(makers)


class OneAnswer:
    """One upstream answer, for who joins several (a `JointTranslator`)."""

    def __init__(self, make: MakeTranslator) -> None:
        """@param make: makes its translator."""
        self._make = make
        self._inner: BodyTranslator | None = None

    def open(self, part: int, content_type: str) -> None:
        """The answer begins."""
        self._inner = self._make(content_type)

    @property
    def accepted(self) -> bool:
        """True once upstream has shown that it took the request."""
        return self._inner is not None and self._inner.accepted

    @property
    def acknowledged(self) -> bool:
        """True once upstream has said that it works on the request."""
        return self._inner is not None and self._inner.acknowledged

    @property
    def finished(self) -> bool:
        """True once the client's body is complete."""
        return self._inner is not None and self._inner.finished

    def over(self, part: int) -> bool:
        """Whether more of the answer is of no use."""
        return self._inner is not None and self._inner.finished

    def cut_short(self, part: int) -> bool:
        """Whether the client has all it needs before the answer ended."""
        return self._inner is not None and self._inner.cut_short

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of the upstream's body; see `BodyTranslator.feed`."""
        assert self._inner is not None
        return self._inner.feed(data)

    def end(self, part: int) -> bytes:
        """Take the end of the upstream's body; see `BodyTranslator.end`."""
        assert self._inner is not None
        return self._inner.end()

    def keepalive(self) -> bytes:
        """Something that says nothing; see `BodyTranslator.keepalive`."""
        return b"" if self._inner is None else self._inner.keepalive()

    def fail(self, error: ApiError) -> bytes:
        """What the client gets when the exchange fails."""
        return b"" if self._inner is None else self._inner.fail(error)


class _Choices:
    """The translators of several answers, and what they have in common."""

    def __init__(self, makers: Sequence[MakeTranslator]) -> None:
        self._makers = makers
        self._inner: dict[int, BodyTranslator] = {}

    def open(self, part: int, content_type: str) -> None:
        """One of the answers begins."""
        self._inner[part] = self._makers[part](content_type)

    def _all(self, what: Callable[[BodyTranslator], bool]) -> bool:
        return len(self._inner) == len(self._makers) and all(map(what, self._inner.values()))

    @property
    def accepted(self) -> bool:
        """True once upstream has shown that it took every one of the requests."""
        return self._all(lambda inner: inner.accepted)

    @property
    def acknowledged(self) -> bool:
        """True once upstream has said that it works on every one of them."""
        return self._all(lambda inner: inner.acknowledged or inner.finished)

    @property
    def finished(self) -> bool:
        """True once every choice is complete."""
        return self._all(lambda inner: inner.finished)

    def over(self, part: int) -> bool:
        """Whether more of that answer is of no use."""
        return self._inner[part].finished

    def cut_short(self, part: int) -> bool:
        """Whether its choice was complete before it ended."""
        return self._inner[part].cut_short


class ChoiceObject(_Choices):
    """Chat completions of one choice as one of several (a `JointTranslator`)."""

    def __init__(self, makers: Sequence[MakeTranslator]) -> None:
        """@param makers: make the translators, one for each upstream answer."""
        super().__init__(makers)
        self._whole: dict[int, bytearray] = {}

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of an upstream's body.

        @return: the completion, once every choice is there.
        """
        return self._take(part, self._inner[part].feed(data))

    def end(self, part: int) -> bytes:
        """Take the end of an upstream's body.

        @return: the completion, once every choice is there.
        """
        return self._take(part, self._inner[part].end())

    def _take(self, part: int, piece: bytes) -> bytes:
        if not piece:
            return b""
        self._whole.setdefault(part, bytearray()).extend(piece)
        if not self.finished:
            return b""
        return _encode(joined([_decode(self._whole[i]) for i in range(len(self._makers))]))

    def keepalive(self) -> bytes:
        """Nothing: an object that is not whole cannot be begun."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """Nothing: half a JSON object cannot say that it failed."""
        return b""


def joined(completions: Sequence[JsonObject]) -> JsonObject:
    """Completions of one choice each as one completion of them all.

    @param completions: in the order of the choices; what is not a choice or usage is the first one's.
    """
    choices = [{**choice, "index": index} for index, choice in enumerate(c["choices"][0] for c in completions)]
    whole = {**completions[0], "choices": choices}
    usages = [completion.get("usage") for completion in completions]
    whole.pop("usage", None)
    if all(usages):
        whole["usage"] = summed(usages)
    return whole


class ChoiceChunks(_Choices):
    """Streams of one choice each as one stream that interleaves them (a `JointTranslator`)."""

    def __init__(self, makers: Sequence[MakeTranslator], include_usage: bool) -> None:
        """@param makers: make the translators of chunks with usage, one for each upstream answer.
        @param include_usage: the client wants the chunk of usage.
        """
        super().__init__(makers)
        self._include_usage = include_usage
        self._envelope: JsonObject = {}
        self._last: dict[int, JsonObject] = {}  # each stream's chunk of usage

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of an upstream's body and return its chunks, with their place among the others."""
        return self._take(part, self._inner[part].feed(data))

    def end(self, part: int) -> bytes:
        """Take the end of an upstream's body and return the chunks that are left."""
        return self._take(part, self._inner[part].end())

    def keepalive(self) -> bytes:
        """A chunk that says nothing, of the first choice that is not complete."""
        for part, inner in sorted(self._inner.items()):
            if not inner.finished:
                return self._take(part, inner.keepalive())
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The event on which the SDKs raise."""
        return error.event()

    def _take(self, part: int, events: bytes) -> bytes:
        return b"".join(self._renumbered(part, events)) if events else b""

    def _renumbered(self, part: int, events: bytes) -> Iterator[bytes]:
        # our own events: whole ones, each of one line of data
        for event in events.split(b"\n\n")[:-1]:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                continue
            chunk = _decode(data)
            if not self._envelope:
                self._envelope = {name: chunk[name] for name in _ENVELOPE}
            chunk.update(self._envelope)
            if not chunk["choices"]:
                self._last[part] = chunk
                continue
            for choice in chunk["choices"]:
                choice["index"] = part
            if not self._include_usage:
                chunk.pop("usage", None)
            yield _event(chunk)
        if len(self._last) == len(self._makers):
            if self._include_usage:
                usages = [self._last[i]["usage"] for i in range(len(self._makers))]
                yield _event({**self._last[0], "usage": summed(usages)})
            self._last.clear()
            yield DONE


def _event(chunk: JsonObject) -> bytes:
    return b"data: " + safe_line(_encode(chunk)) + b"\n\n"
