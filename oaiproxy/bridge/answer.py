"""A response object as a chat answer, and which translator an upstream's answer needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from oaiproxy.api.body import BodyTranslator
from oaiproxy.api.errors import ApiError, UpstreamIncomplete, UpstreamInvalid
from oaiproxy.api.request import JsonObject
from oaiproxy.api.responses import Response, decode_response
from oaiproxy.api.sse import EVENT_LIMIT, says_stream
from oaiproxy.bridge.chunks import ChunkSink
from oaiproxy.bridge.completion import CompletionSink
from oaiproxy.bridge.events import CHAT_SHAPED
from oaiproxy.bridge.failures import event_error
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.sink import Sink
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from oaiproxy.bridge.turn import Turn


def completion(response: Mapping[str, Any], plan: AnswerPlan) -> JsonObject:
    """The chat completion for a finished response.

    @param response: the decoded response object.
    @raise ApiError: it failed or was cancelled.
    @raise UpstreamIncomplete: it is not finished.
    @raise UpstreamInvalid: it is no response.
    """
    sink = CompletionSink(plan)
    data = msgspec.json.encode(response)
    _tell(decode_response(data), data, plan, sink)
    assert sink.value is not None
    return sink.value


def _tell(response: Response, seed: bytes, plan: AnswerPlan, sink: Sink) -> None:
    if response.object != "response" and not isinstance(response.output, list):
        if response.choices:
            raise UpstreamInvalid(CHAT_SHAPED)
        if response.error is not None:
            raise event_error({"error": response.error}, plan)
        raise UpstreamInvalid("The upstream's answer is no response object: it has no output.")
    turn = Turn(plan, sink)
    turn.seed(seed)
    turn.whole(response)


class _ObjectTranslator:
    """Keeps the upstream's JSON until it is whole, then tells a sink what it says."""

    def __init__(self, plan: AnswerPlan, limit: int) -> None:
        self._plan = plan
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._finished = False

    @property
    def accepted(self) -> bool:
        """True once the answer was translated."""
        return self._finished

    @property
    def acknowledged(self) -> bool:
        """False: an object is whole or not there."""
        return False

    @property
    def finished(self) -> bool:
        """True once the client's body is complete; further input is ignored."""
        return self._finished

    @property
    def cut_short(self) -> bool:
        """False: an object is whole before it is translated."""
        return False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the upstream's body; nothing comes of it before the end.

        @raise UpstreamInvalid: the body is larger than the limit.
        """
        if not self._finished:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > self._limit:
                self._pieces.clear()
                raise UpstreamInvalid(f"The upstream's answer has more than {self._limit} bytes; it is not passed on.")
        return b""

    def keepalive(self) -> bytes:
        """Nothing: nothing is known before the object is whole."""
        return b""

    def _translate(self, sink: ChunkSink | CompletionSink) -> bytes:
        if self._finished:
            return b""
        body = b"".join(self._pieces)
        self._pieces.clear()
        if not body:
            raise UpstreamIncomplete("The upstream's answer is empty. Ask again.")
        _tell(decode_response(body), body, self._plan, sink)
        self._finished = True
        return sink.take()


class ChatAnswer(_ObjectTranslator):
    """A response object as a chat completion (a `BodyTranslator`)."""

    def __init__(self, plan: AnswerPlan, limit: int = EVENT_LIMIT) -> None:
        """@param plan: how the answer has to look.
        @param limit: the most bytes that the upstream's body may have.
        """
        super().__init__(plan, limit)

    def end(self) -> bytes:
        """Take the end of the upstream's body and return the completion.

        @raise ApiError: the response failed, or it is no finished response.
        """
        return self._translate(CompletionSink(self._plan))

    def fail(self, error: ApiError) -> bytes:
        """Nothing: half a JSON object cannot say that it failed."""
        self._finished = True
        return b""


class StreamedAnswer(_ObjectTranslator):
    """A response object as the chunks of a chat completion (a `BodyTranslator`), for upstreams that do not stream."""

    def __init__(self, plan: AnswerPlan, limit: int = EVENT_LIMIT) -> None:
        """@param plan: how the answer has to look.
        @param limit: the most bytes that the upstream's body may have.
        """
        super().__init__(plan, limit)

    def end(self) -> bytes:
        """Take the end of the upstream's body and return all chunks.

        @raise ApiError: the response failed, or it is no finished response.
        """
        return self._translate(ChunkSink(self._plan))

    def fail(self, error: ApiError) -> bytes:
        """The event on which the SDKs raise."""
        self._finished = True
        return error.event()


#: Whether the client gets a stream, whether the upstream sends one -> the translator.
_TRANSLATORS: Mapping[tuple[bool, bool], type[ChatStream | CollectedStream | StreamedAnswer | ChatAnswer]] = {
    (True, True): ChatStream,
    (False, True): CollectedStream,
    (True, False): StreamedAnswer,
    (False, False): ChatAnswer,
}


def answer_translator(plan: AnswerPlan, content_type: str) -> BodyTranslator:
    """The translator for an upstream's successful answer.

    @param content_type: upstream's content type.  Where it says neither JSON nor events, upstream is taken to have done
        what it was asked for.
    """
    return _TRANSLATORS[plan.stream, says_stream(content_type, plan.asks_stream)](plan)
