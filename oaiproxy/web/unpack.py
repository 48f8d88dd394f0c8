"""Content codings that an upstream used although it was not asked to."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from oaiproxy.api.errors import UpstreamInvalid


def unpacker(encoding: bytes) -> Callable[[bytes], bytes]:
    """What undoes a content coding, piece by piece.

    @param encoding: the value of Content-Encoding, in lower case.
    @raise UpstreamInvalid: it is one that we do not read; of the unpacker, that the data is damaged.
    """
    if encoding in (b"", b"identity"):
        return lambda data: data
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        name = encoding.decode("latin-1")
        raise UpstreamInvalid(f"The upstream compressed its answer ({name}) although it was asked not to.")
    # 32: the window size is in the data, whether gzip or zlib
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress

    def unpack(data: bytes) -> bytes:
        try:
            return inflate(data)
        except zlib.error:
            raise UpstreamInvalid("The upstream's compressed answer is damaged.") from None

    return unpack
