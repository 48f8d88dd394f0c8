"""Content codings that an upstream used although it was not asked to."""

from __future__ import annotations

import zlib

from oaiproxy.api.errors import UpstreamIncomplete, UpstreamInvalid


class _Plain:
    """There is nothing to undo."""

    def __call__(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        """Nothing is missing."""


class Unpacker:
    """Undoes gzip or zlib piece by piece."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        # 32: the window size is in the data, whether gzip or zlib
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._begun = False

    def __call__(self, data: bytes) -> bytes:
        """Take a piece and return what it holds.

        @raise UpstreamInvalid: the data is damaged.
        """
        out = []
        try:
            while data:
                if self._inflate.eof:
                    # gzip may consist of several members (RFC 1952 section 2.2)
                    self._begin()
                self._begun = True
                out.append(self._inflate.decompress(data))
                data = self._inflate.unused_data
        except zlib.error:
            raise UpstreamInvalid("The upstream's compressed answer is damaged.") from None
        return b"".join(out)

    def end(self) -> None:
        """See to it that all of it has come.

        @raise UpstreamIncomplete: it was cut off.
        """
        if self._begun and not self._inflate.eof:
            raise UpstreamIncomplete("The upstream's compressed answer was cut off before its end.")


def unpacker(encoding: bytes) -> Unpacker | _Plain:
    """What undoes a content coding, piece by piece.

    @param encoding: the value of Content-Encoding, in lower case.
    @raise UpstreamInvalid: it is one that we do not read.
    """
    if encoding in (b"", b"identity"):
        return _Plain()
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        name = encoding.decode("latin-1")
        raise UpstreamInvalid(f"The upstream compressed its answer ({name}) although it was asked not to.")
    return Unpacker()
