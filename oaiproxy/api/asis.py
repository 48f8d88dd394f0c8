"""An upstream's body that is the client's as it is."""

from __future__ import annotations

from oaiproxy.api.errors import ApiError
from oaiproxy.api.sse import says_stream

#: What an event ends with.
_EVENT_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")


class AsItIs:
    """One upstream answer, byte for byte (a `JointTranslator`)."""

    def __init__(self) -> None:
        self.accepted = False
        self.finished = False
        self._events = False
        self._tail = b""

    @property
    def acknowledged(self) -> bool:
        """True once the answer has begun."""
        return self.accepted

    def open(self, part: int, content_type: str) -> None:
        """The answer begins."""
        self.accepted = True
        self._events = says_stream(content_type, otherwise=False)

    def over(self, part: int) -> bool:
        """Whether more of the answer is of no use."""
        return self.finished

    def cut_short(self, part: int) -> bool:
        """False: all of it is the client's."""
        return False

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of the body and return it."""
        self._tail = (self._tail + data)[-4:] if len(data) < 4 else data[-4:]
        return data

    def end(self, part: int) -> bytes:
        """Take the end of the body."""
        self.finished = True
        return b""

    def keepalive(self) -> bytes:
        """Nothing: upstream alone says what there is."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The event on which the SDKs raise, where an event may stand.

        Behind half an event it would complete that one, which upstream has not done.
        """
        whole = not self._tail or self._tail.endswith(_EVENT_ENDS)
        return error.event() if self._events and whole else b""
