"""Chat answers whose thoughts are taken out or set apart, whoever makes them."""

from __future__ import annotations

from oaiproxy.api.body import JointTranslator, Rewriter
from oaiproxy.api.errors import ApiError, UpstreamInvalid
from oaiproxy.api.sse import EVENT_LIMIT, says_stream
from oaiproxy.rules.think import ThinkRules
from oaiproxy.rules.thinkchunks import ThinkChunks
from oaiproxy.rules.thinkobject import without_thoughts

#: Where thoughts are moved, unless the client reads them elsewhere.
REASONING = "reasoning_content"


class ThoughtlessAnswer(Rewriter):
    """The answer of another translator, with its thoughts taken out or set apart (a `JointTranslator`)."""

    def __init__(self, inner: JointTranslator, rules: ThinkRules, stream: bool, field: str = REASONING) -> None:
        """
        @param inner: makes the chat answer: whole events, or one completion.
        @param rules: what is a thought, and what is done with it.
        @param stream: whether the answer is a stream.
        @param field: where thoughts are moved.
        """
        super().__init__(inner)
        self._rules = rules
        self._field = field
        self._chunks = ThinkChunks(rules, field) if stream else None
        self._whole = bytearray()

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of an upstream's body and return what the client gets for it.

        @raise ApiError: see `BodyTranslator.feed`.
        """
        return self._filtered(self._inner.feed(part, data))

    def end(self, part: int) -> bytes:
        """Take the end of an upstream's body and return what the client gets for it.

        @raise ApiError: see `BodyTranslator.end`.
        """
        return self._filtered(self._inner.end(part))

    def _filtered(self, data: bytes) -> bytes:
        if self._chunks is not None:
            return self._chunks.feed(data) if data else data
        self._whole += data
        if not self._whole or not self._inner.finished:
            return b""
        whole = bytes(self._whole)
        self._whole.clear()
        return without_thoughts(whole, self._rules, self._field)

    def keepalive(self) -> bytes:
        """Something that says nothing; see `BodyTranslator.keepalive`."""
        data = self._inner.keepalive()
        return data if self._chunks is None else self._chunks.feed(data)

    def fail(self, error: ApiError) -> bytes:
        """What is held back, and what the client gets of the failure."""
        data = self._inner.fail(error)
        return data if self._chunks is None else self._chunks.flush() + data


class ChatAsItIs:
    """One upstream chat answer as it is, but for its thoughts (a `JointTranslator`)."""

    def __init__(self, rules: ThinkRules, asks_stream: bool, limit: int = EVENT_LIMIT) -> None:
        """
        @param rules: what is a thought, and what is done with it.
        @param asks_stream: whether upstream is asked for a stream.
        @param limit: the most bytes that one of upstream's events, or its whole completion, may have.
        """
        self._rules = rules
        self._asks_stream = asks_stream
        self._limit = limit
        self._chunks: ThinkChunks | None = None
        self._whole = bytearray()
        self._open = False
        self._finished = False

    @property
    def accepted(self) -> bool:
        """True once the answer has begun."""
        return self._open

    @property
    def acknowledged(self) -> bool:
        """True once the answer has begun."""
        return self._open

    @property
    def finished(self) -> bool:
        """True once the answer has ended."""
        return self._finished

    def open(self, part: int, content_type: str) -> None:
        """The answer begins."""
        self._open = True
        if says_stream(content_type, self._asks_stream):
            self._chunks = ThinkChunks(self._rules, limit=self._limit)

    def over(self, part: int) -> bool:
        """Whether more of the answer is of no use."""
        return self._finished

    def cut_short(self, part: int) -> bool:
        """False: all of it is the client's."""
        return False

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of the body and return what the client gets for it.

        @raise UpstreamInvalid: it is too large to be read.
        """
        if self._chunks is not None:
            return self._chunks.feed(data) if data else data
        self._whole += data
        if len(self._whole) > self._limit:
            self._whole.clear()
            raise UpstreamInvalid(f"The upstream's answer has more than {self._limit} bytes; it is not passed on.")
        return b""

    def end(self, part: int) -> bytes:
        """Take the end of the body and return the rest."""
        self._finished = True
        return without_thoughts(bytes(self._whole), self._rules) if self._chunks is None else self._chunks.end()

    def keepalive(self) -> bytes:
        """A chunk of upstream's own that had nothing but thoughts, where such are left out; else nothing."""
        return b"" if self._chunks is None else self._chunks.pulse()

    def fail(self, error: ApiError) -> bytes:
        """What is held back, and the event on which the SDKs raise."""
        self._finished = True
        return b"" if self._chunks is None else self._chunks.flush() + error.event()
