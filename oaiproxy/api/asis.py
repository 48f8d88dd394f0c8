"""An upstream's body that is the client's as it is."""

from __future__ import annotations

from oaiproxy.api.errors import ApiError


class AsItIs:
    """One upstream answer, byte for byte (a `JointTranslator`)."""

    def __init__(self) -> None:
        self.accepted = False
        self.finished = False

    @property
    def acknowledged(self) -> bool:
        """True once the answer has begun."""
        return self.accepted

    def open(self, part: int, content_type: str) -> None:
        """The answer begins."""
        self.accepted = True

    def over(self, part: int) -> bool:
        """Whether more of the answer is of no use."""
        return self.finished

    def cut_short(self, part: int) -> bool:
        """False: all of it is the client's."""
        return False

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of the body and return it."""
        return data

    def end(self, part: int) -> bytes:
        """Take the end of the body."""
        self.finished = True
        return b""

    def keepalive(self) -> bytes:
        """Nothing: upstream alone says what there is."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The event on which the SDKs raise; who knows that the answer is no stream does not send it."""
        return error.event()
