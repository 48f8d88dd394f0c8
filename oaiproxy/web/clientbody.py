"""The body of a client's request: it is collected, passed on as it comes, or thrown away."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from twisted.internet.defer import Deferred

from oaiproxy.api.errors import ApiError, BadRequest

#: So much, in bytes, is taken of a body that nobody has asked for yet; with more the client has to wait.
_HELD = 1 << 14


class ClientBody:
    """The body of one request, which comes while the request is handled.

    @ivar length: in bytes, or None where nobody knows before its end.
    @ivar received: how much has come.
    @ivar data: all of it where it was collected, else None; nothing once it was told to forget it.
    """

    def __init__(self, length: int | None, wanted: Callable[[], None], changed: Callable[[], None]) -> None:
        """
        @param length: in bytes, as the head says it; None for one in chunks.
        @param wanted: called when somebody begins to take it.
        @param changed: called when `paused` may have changed.
        """
        self.length = length
        self.received = 0
        self.data: bytes | None = b"" if length == 0 else None
        self._wanted = wanted
        self._changed = changed
        self._pieces: list[bytes] = []
        self._gathered: BytesIO | None = None
        self._limit: int | None = None
        self._ended = length == 0
        self._error: ApiError | None = None
        self._collecting: Deferred[None] | None = None
        self._receive: Callable[[bytes], None] | None = None
        self._at_end: Callable[[], None] = lambda: None
        self._at_failure: Callable[[ApiError], None] = lambda error: None
        self._held_back = False
        self._unwanted = False

    @property
    def paused(self) -> bool:
        """Whether no more of it should be read from the client for now."""
        if self._unwanted or self._collecting is not None:
            return False
        if self._receive is not None:
            return self._held_back
        return self.received > _HELD

    # what comes

    def feed(self, data: bytes) -> None:
        """A piece has come."""
        self.received += len(data)
        if self._unwanted or self._error is not None:
            return
        if self._limit is not None and self.received > self._limit:
            self.fail(too_large(self._limit))
        elif self._receive is not None and not self._held_back:
            self._receive(data)
        elif self._gathered is not None:
            self._gathered.write(data)
        else:
            self._pieces.append(data)

    def end(self) -> None:
        """All has come."""
        self._ended = True
        if self._unwanted or self._error is not None:
            return
        if self._collecting is not None:
            collecting, self._collecting = self._collecting, None
            assert self._gathered is not None
            gathered, self._gathered = self._gathered, None
            self.data = gathered.getvalue()
            del gathered
            collecting.callback(None)
        elif self._receive is not None and not self._held_back:
            self._at_end()

    def fail(self, error: ApiError) -> None:
        """The rest does not come, or is not taken."""
        if self._unwanted or self._error is not None:
            return
        self._error = error
        self._forget()
        if self._collecting is not None:
            collecting, self._collecting = self._collecting, None
            collecting.errback(error)
        elif self._receive is not None:
            self._at_failure(error)

    # what is wanted of it

    def check(self, limit: int | None) -> None:
        """@raise BadRequest: it says that it is longer than `limit`."""
        if limit is not None and self.length is not None and self.length > limit:
            raise too_large(limit)

    def collect(self, limit: int | None) -> Deferred[None] | None:
        """Let all of it come into `data`.

        @param limit: how long it may be.
        @return: fires when it is there, and fails with an `ApiError` where it does not come; None where it is there
            already.
        @raise ApiError: it is too long, or will not come.
        """
        if self.data is not None:
            return None
        self.check(limit)
        if self._error is not None:
            raise self._error
        self._limit = limit
        if limit is not None and self.received > limit:
            raise too_large(limit)
        if self._ended:
            # it has come with its head, as most do
            self.data = b"".join(self._pieces)
            self._pieces.clear()
            return None
        # it grows in place, and gives what it holds away without a copy
        self._gathered = BytesIO()
        self._gathered.writelines(self._pieces)
        self._pieces.clear()
        self._collecting = Deferred(self._give_up)
        collecting = self._collecting
        self._wanted()
        self._changed()
        return collecting

    def _give_up(self, collecting: Deferred[None]) -> None:
        self._collecting = None
        self.discard()

    def limit(self, limit: int | None) -> None:
        """Let it be no longer than that, where it is passed on as it comes."""
        self._limit = limit
        if limit is not None and self.received > limit:
            self.fail(too_large(limit))

    def take(
        self, receive: Callable[[bytes], None], ended: Callable[[], None], failed: Callable[[ApiError], None]
    ) -> None:
        """Pass it on as it comes; see `oaiproxy.relay.upload.BodySource`."""
        self._receive, self._at_end, self._at_failure = receive, ended, failed
        if self._error is not None:
            failed(self._error)
            return
        self._wanted()
        self._flow()

    def pause(self) -> None:
        """Hand over nothing more for now."""
        self._held_back = True
        self._changed()

    def resume(self) -> None:
        """Go on."""
        self._held_back = False
        self._flow()

    def forget(self) -> None:
        """Nobody asks for it any more: let go of what was collected."""
        if self.data is not None:
            self.data = b""

    def discard(self) -> None:
        """Nobody takes the rest: it is read and thrown away."""
        self._unwanted = True
        self._forget()
        self._changed()

    def _forget(self) -> None:
        self._pieces.clear()
        self._gathered = None

    def _flow(self) -> None:
        """Hand over what was held back, as far as it is taken."""
        while self._pieces and not self._held_back and self._receive is not None:
            self._receive(self._pieces.pop(0))
        if not self._pieces and not self._held_back and self._ended and not self._unwanted:
            self._at_end()
        self._changed()


def too_large(limit: int) -> ApiError:
    """The error for a body of more than `limit` bytes (RFC 9110 section 15.5.14)."""
    return BadRequest(
        f"The body of the request is larger than {limit} bytes, which is what this proxy takes of such a request. Its "
        "operator can raise the limit.",
        status=413,
        code="request_too_large",
    )
