"""A Responses stream as a chat answer: chunks for a client that streams, one completion for one that does not."""

from __future__ import annotations

from typing import Generic, TypeVar

from oaiproxy.api.errors import ApiError, UpstreamIncomplete, UpstreamInvalid
from oaiproxy.api.responses import decode_event
from oaiproxy.api.sse import EVENT_LIMIT, SseDecoder, SseEvent
from oaiproxy.bridge.chunks import ChunkSink
from oaiproxy.bridge.completion import CompletionSink
from oaiproxy.bridge.events import dispatch
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.turn import Turn

_CUT_SHORT = (
    "The upstream's answer ended before it was complete: no event said that the response is over. What came so far is "
    "not the whole answer; ask again."
)


_AnySink = TypeVar("_AnySink", ChunkSink, CompletionSink)


class _EventTranslator(Generic[_AnySink]):
    """Reads the events of a Responses stream and hands them to a turn."""

    def __init__(self, plan: AnswerPlan, sink: _AnySink, limit: int) -> None:
        self._sink: _AnySink = sink
        self._turn = Turn(plan, sink)
        self._decoder = SseDecoder(limit)
        self._seeded = False
        self._pending: ApiError | None = None
        self._failed = False

    @property
    def acknowledged(self) -> bool:
        """True once an event of upstream's spoke of its response."""
        return self._turn.acknowledged

    @property
    def finished(self) -> bool:
        """True once the client's body is complete; further input is ignored."""
        return self._turn.finished

    @property
    def cut_short(self) -> bool:
        """True where a stop sequence ended the client's body before upstream ended its own."""
        return self._turn.stopped and self._turn.finished

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the upstream's body and return what the client gets for it.

        An error that comes after something for the client in the same piece is raised by the next call: what came
        before it is the client's, however the network cut the body.

        @raise ApiError: the upstream said that it failed, or what it sent is not what the API says.
        """
        turn = self._turn
        if self._pending is not None:
            self._raise_pending()
        if not data or self._failed or turn.finished:
            return b""
        try:
            for event in self._decoder.feed(data):
                self._take(event)
                if turn.stopped and not turn.finished:
                    turn.stop()
                if turn.finished:
                    break
        except ApiError as e:
            self._failed = True
            written = self._sink.take()
            if not written:
                raise
            self._pending = e
            return written
        return self._sink.take()

    def end(self) -> bytes:
        """Take the end of the upstream's body and return the rest.

        @raise ApiError: the upstream said that it failed.
        @raise UpstreamIncomplete: no event ended the response.
        """
        self._raise_pending()
        if self._failed or self._turn.finished:
            return b""
        self._failed = True
        for event in self._decoder.end():
            try:
                self._take(event)
            except UpstreamInvalid:
                break  # it was cut off
        if not self._turn.finished:
            raise UpstreamIncomplete(_CUT_SHORT)
        return self._sink.take()

    def _raise_pending(self) -> None:
        if self._pending is not None:
            error, self._pending = self._pending, None
            raise error

    def _take(self, event: SseEvent) -> None:
        data = event.data
        if not data.startswith(b"{"):
            # [DONE], which Responses does not have and some servers send all the same, and pings of any sort
            data = data.lstrip()
            if not data.startswith(b"{"):
                return
        if not self._seeded:
            self._seeded = True
            self._turn.seed(data)
        decoded = decode_event(data)
        if decoded.type is None and event.event:
            decoded.type = event.event
        dispatch(self._turn, decoded)


class ChatStream(_EventTranslator[ChunkSink]):
    """A Responses stream as the chunks of a chat completion (a `BodyTranslator`)."""

    def __init__(self, plan: AnswerPlan, limit: int = EVENT_LIMIT) -> None:
        """@param plan: how the answer has to look.
        @param limit: the most bytes that one of upstream's events may have.
        """
        super().__init__(plan, ChunkSink(plan), limit)

    @property
    def accepted(self) -> bool:
        """True once upstream's output has begun; that it created a response proves nothing (bridge.md 4.2)."""
        return self._turn.begun

    def keepalive(self) -> bytes:
        """A chunk that says nothing; the first of a stream says the role, as always."""
        if self._failed or self._turn.finished or not self._turn.acknowledged:
            return b""
        if self._turn.begun:
            self._sink.nothing()
        else:
            self._turn.begin(speaks=False)
        return self._sink.take()

    def fail(self, error: ApiError) -> bytes:
        """The event on which the SDKs raise.  No finish chunk and no ``[DONE]`` go with it (bridge.md 4.6)."""
        self._failed = True
        return error.event()


class CollectedStream(_EventTranslator[CompletionSink]):
    """A Responses stream as one chat completion (a `BodyTranslator`): some upstreams stream whatever they are asked."""

    def __init__(self, plan: AnswerPlan, limit: int = EVENT_LIMIT) -> None:
        """@param plan: how the answer has to look.
        @param limit: the most bytes that one of upstream's events may have.
        """
        super().__init__(plan, CompletionSink(plan), limit)

    @property
    def accepted(self) -> bool:
        """True once the completion is whole."""
        return self._turn.finished

    def keepalive(self) -> bytes:
        """Nothing: an object that is not whole cannot be begun."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """Nothing: half a JSON object cannot say that it failed."""
        self._failed = True
        return b""
