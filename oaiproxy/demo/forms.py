"""Uploads over HTTP: forms are read as they come in, so that a large one takes neither memory nor disk."""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from oaiproxy.api.errors import BadRequest
from oaiproxy.demo.multipart import MultipartReader, Part

_BLOCK = 64 * 1024


class FormSink:
    """Takes the place of the file that twisted.web collects a body in, and hands what is written on to the reader."""

    def __init__(self, content_type: str) -> None:
        self._error: BadRequest | None = None
        try:
            self._reader: MultipartReader | None = MultipartReader.of(content_type)
        except BadRequest as error:
            self._reader, self._error = None, error

    def write(self, data: bytes) -> int:
        """Take a piece of the body; what is wrong with it is told later, when the form is asked for."""
        if self._reader is not None and self._error is None:
            try:
                self._reader.feed(data)
            except BadRequest as error:
                self._error = error
        return len(data)

    def parts(self) -> list[Part]:
        """The parts of the form.

        @raise BadRequest: it was none, or not whole.
        """
        if self._error is not None or self._reader is None:
            raise self._error or BadRequest("Could not parse multipart form.")
        return self._reader.close()

    # What else twisted.web does with the file of a body: there is nothing in this one.

    def read(self, size: int = -1) -> bytes:
        """Nothing: it is all in the parts."""
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Stay where it is."""
        return 0

    def tell(self) -> int:
        """No length."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""


class DemoRequest(Request):
    """A request whose form, where it has one, is read while it comes in."""

    def gotLength(self, length: int | None) -> None:
        """Choose where the body goes; the header fields are all there by now."""
        super().gotLength(length)
        content_type = self.requestHeaders.getRawHeaders("Content-Type", [""])[0]
        if content_type.lower().startswith("multipart/"):
            self.content.close()
            self.content: Any = FormSink(content_type)


def read_form(request: Request) -> list[Part]:
    """The form that a request has as its body.

    @raise BadRequest: it has none.
    """
    if isinstance(request.content, FormSink):
        return request.content.parts()
    sink = FormSink(request.requestHeaders.getRawHeaders("Content-Type", [""])[0])
    while request.content is not None and (block := request.content.read(_BLOCK)):
        sink.write(block)
    return sink.parts()
