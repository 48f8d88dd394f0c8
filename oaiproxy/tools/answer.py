"""The chat answers of several rounds as the client's one answer."""

from __future__ import annotations

from oaiproxy.api.body import JointTranslator
from oaiproxy.api.errors import ApiError, UpstreamInvalid
from oaiproxy.api.sse import EVENT_LIMIT, says_stream
from oaiproxy.tools.chunks import RoundChunks
from oaiproxy.tools.completion import RoundCompletions
from oaiproxy.tools.told import Told
from oaiproxy.tools.turn import Turn


class RoundsAnswer:
    """The answers of other translators, one a round, with the calls that the proxy runs left out (a
    `JointTranslator`)."""

    def __init__(self, own: frozenset[str], told: Told, stream: bool, as_is: bool) -> None:
        """
        @param own: the names of the functions that the proxy runs.
        @param told: what the client knows.
        @param stream: whether the client wants a stream.
        @param as_is: whether it gets what upstream sends, be it one or not.
        """
        self._own = own
        self._told = told
        self._stream = stream
        self._as_is = as_is
        self._rounds: RoundChunks | RoundCompletions | None = None
        self._inner: JointTranslator
        self._opened = False
        self._whole = bytearray()
        self._accepted = False
        self._last = False
        self._pending: ApiError | None = None

    def next_round(self, inner: JointTranslator, last: bool) -> None:
        """Another round is asked for.

        @param inner: makes a chat answer of upstream's.
        @param last: no more calls are run.
        """
        self._accepted = self.accepted if self._told.rounds >= 0 else False
        self._told.next_round()
        self._inner = inner
        self._opened = False
        self._last = last
        self._whole.clear()
        if self._rounds is not None:
            self._rounds.next_round()

    @property
    def turn(self) -> Turn | None:
        """What the model has said in a round whose calls are to be run; None where the answer is over."""
        return self._rounds.turn if self._rounds is not None and self._rounds.running else None

    @property
    def accepted(self) -> bool:
        """True once upstream has shown that it took the request."""
        return self._accepted or self._inner.accepted

    @property
    def acknowledged(self) -> bool:
        """True once upstream has said that it works on the request."""
        return self._accepted or self._inner.acknowledged

    @property
    def finished(self) -> bool:
        """True once the client's body is complete."""
        return self._inner.finished and self.turn is None

    def open(self, part: int, content_type: str) -> None:
        """A round's answer begins.

        @raise UpstreamInvalid: it is a stream and the one before was none, or the other way round.
        """
        self._inner.open(part, content_type)
        self._opened = True
        stream = says_stream(content_type, self._stream) if self._as_is else self._stream
        if self._rounds is None:
            self._rounds = RoundChunks(self._own, self._told) if stream else RoundCompletions(self._own, self._told)
        elif isinstance(self._rounds, RoundChunks) is not stream:
            raise UpstreamInvalid("The upstream answered once with a stream and once with none. Ask again.")

    def over(self, part: int) -> bool:
        """Whether more of the round's answer is of no use."""
        return self._inner.over(part)

    def cut_short(self, part: int) -> bool:
        """Whether the client has all it needs of the round's answer before it ended."""
        return self._inner.cut_short(part)

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of upstream's body and return what the client gets for it.

        @raise ApiError: see `BodyTranslator.feed`; or the model calls tools where it no longer can.
        """
        self._raise_pending()
        return self._joined(self._inner.feed(part, data))

    def end(self, part: int) -> bytes:
        """Take the end of upstream's body and return the rest of the round.

        @raise ApiError: see `BodyTranslator.end`; or the model calls tools where it no longer can.
        """
        self._raise_pending()
        out = self._joined(self._inner.end(part))
        if isinstance(self._rounds, RoundChunks):
            out = self._checked(out + self._rounds.end())
        return out

    def check(self) -> None:
        """See to it that all is well with the round that is over.

        @raise ApiError: the model called tools where it no longer could.
        """
        self._raise_pending()

    def _joined(self, data: bytes) -> bytes:
        if isinstance(self._rounds, RoundChunks):
            return self._checked(self._rounds.feed(data)) if data else data
        assert self._rounds is not None
        self._whole += data
        if len(self._whole) > EVENT_LIMIT:
            self._whole.clear()
            raise UpstreamInvalid(f"The upstream's answer has more than {EVENT_LIMIT} bytes; it is not passed on.")
        if not self._whole or not self._inner.finished:
            return b""
        whole = bytes(self._whole)
        self._whole.clear()
        return self._checked(self._rounds.take(whole))

    def _checked(self, out: bytes) -> bytes:
        """See to it that the last round is the last; what came before the client still gets."""
        if self._last and self.turn is not None and self._pending is None:
            error = ApiError(
                f"The model called tools in each of {self._told.rounds} rounds, and went on when it was asked to "
                "answer. Ask for less at once, or raise the proxy's --tool-rounds.",
                status=502,
                code="tool_rounds_exceeded",
            )
            if not out:
                raise error
            self._pending = error
        return out

    def _raise_pending(self) -> None:
        if self._pending is not None:
            error, self._pending = self._pending, None
            raise error

    def keepalive(self) -> bytes:
        """Something that says nothing: upstream's translator's in the first round, then our own."""
        if not isinstance(self._rounds, RoundChunks):
            return b""
        if self._told.rounds or self.turn is not None:
            return self._rounds.idle()
        return self._joined(self._inner.keepalive())

    def fail(self, error: ApiError) -> bytes:
        """What is held back, and the event on which the SDKs raise."""
        out = self._joined(self._inner.fail(error)) if self._opened else b""
        if not isinstance(self._rounds, RoundChunks):
            return b""
        return out if error.event() in out else out + error.event()
