"""How an upstream's body becomes the client's: bytes in, bytes out."""

from __future__ import annotations

from typing import Protocol

from oaiproxy.api.errors import ApiError


class BodyTranslator(Protocol):
    """Turns an upstream's body into the client's, piece by piece.

    Plain code: any split of the input gives the same output.

    One of these serves one exchange.  What it raises tells the client how the exchange failed; who drives it decides
    whether that can still be an HTTP status (nothing was sent yet) or has to be said inside the stream (`fail`).
    """

    @property
    def accepted(self) -> bool:
        """True once upstream has shown that it took the request, so that the status may be sent.  Bytes that `feed`
        returned before are held until then."""

    @property
    def acknowledged(self) -> bool:
        """True once upstream has said that it works on the request, so that a silence may be a model that thinks."""

    @property
    def finished(self) -> bool:
        """True once the client's body is complete; further input is ignored."""

    @property
    def cut_short(self) -> bool:
        """True where the client's body was completed before upstream's, so that the rest of it is of no use."""

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the upstream's body and return what the client gets for it, which may be nothing.

        @raise ApiError: the upstream said that it failed, or what it sent is not what the API says.
        """

    def end(self) -> bytes:
        """Take the end of the upstream's body and return the rest.

        @raise ApiError: the body ended too early; never a normal end of half an answer.
        """

    def keepalive(self) -> bytes:
        """Something for the client that says nothing, or no bytes where that is not possible now."""

    def fail(self, error: ApiError) -> bytes:
        """What the client gets, its status sent already, when the exchange fails with `error`; the body is cut then."""


class JointTranslator(Protocol):
    """Turns the bodies of several upstream answers, which come at the same time, into the client's one.

    Like `BodyTranslator`, with the number of the upstream answer, from 0, wherever something is about one of them.
    """

    @property
    def accepted(self) -> bool:
        """True once upstream has shown that it took every one of the requests."""

    @property
    def acknowledged(self) -> bool:
        """True once upstream has said that it works on every one of them."""

    @property
    def finished(self) -> bool:
        """True once the client's body is complete; further input is ignored."""

    def open(self, part: int, content_type: str) -> None:
        """An upstream answer begins.  Called once for each, before anything else is said of it.

        @param content_type: what upstream says that its body is.
        """

    def over(self, part: int) -> bool:
        """Whether more of that upstream answer is of no use."""

    def cut_short(self, part: int) -> bool:
        """Whether the client has all it needs of that upstream answer before it ended."""

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of an upstream's body and return what the client gets for it, which may be nothing.

        @raise ApiError: see `BodyTranslator.feed`.
        """

    def end(self, part: int) -> bytes:
        """Take the end of an upstream's body and return what the client gets for it.

        @raise ApiError: see `BodyTranslator.end`.
        """

    def keepalive(self) -> bytes:
        """See `BodyTranslator.keepalive`."""

    def fail(self, error: ApiError) -> bytes:
        """What the client gets, its status sent already, when the exchange fails with `error`; the body is cut then."""


class Rewriter:
    """What rewrites the client's body that another translator makes has in common: all but the bytes is the other's."""

    def __init__(self, inner: JointTranslator) -> None:
        """@param inner: makes the body."""
        self._inner = inner

    @property
    def accepted(self) -> bool:
        """True once upstream has shown that it took every one of the requests."""
        return self._inner.accepted

    @property
    def acknowledged(self) -> bool:
        """True once upstream has said that it works on every one of them."""
        return self._inner.acknowledged

    @property
    def finished(self) -> bool:
        """True once the client's body is complete."""
        return self._inner.finished

    def open(self, part: int, content_type: str) -> None:
        """An upstream answer begins."""
        self._inner.open(part, content_type)

    def over(self, part: int) -> bool:
        """Whether more of that upstream answer is of no use."""
        return self._inner.over(part)

    def cut_short(self, part: int) -> bool:
        """Whether the client has all it needs of that upstream answer before it ended."""
        return self._inner.cut_short(part)
