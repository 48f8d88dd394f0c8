"""Usage that upstream is asked for although the client did not ask: the client does not get the chunk that has it.

Many clients take a chunk without choices amiss, which is why the API sends it only to those that ask for it
(``stream_options.include_usage``).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from oaiproxy.api.body import JointTranslator, Rewriter
from oaiproxy.api.errors import ApiError
from oaiproxy.api.rawjson import read_object
from oaiproxy.api.request import ApiRequest
from oaiproxy.api.sse import says_stream
from oaiproxy.api.sseblocks import SseBlocks, block_data

#: All other chunks have null there.
_USAGE = re.compile(rb'"usage"\s*:\s*\{')


#: In a request that may ask for a stream; with escapes the name may be written in any way.
_STREAM = re.compile(rb'"stream"|\\u')


def may_stream(body: bytes) -> bool:
    """Whether a request, as JSON, may ask for a stream; where this says no, it does not."""
    return _STREAM.search(body) is not None


def asking_for_usage(request: ApiRequest) -> ApiRequest:
    """The request for a stream with ``stream_options.include_usage``, noted as added where the client did not ask for
    it."""
    options = request.json.get("stream_options")
    if request.json.get("stream") is not True or not (options is None or isinstance(options, dict)):
        # what is wrong with it upstream says
        return request
    if options and options.get("include_usage") is True:
        return request
    return request.with_added(stream_options={**(options or {}), "include_usage": True})


class _Chunk(msgspec.Struct, gc=False):
    choices: Any = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_Chunk)


class WithoutUsageChunk(Rewriter):
    """The stream of another translator without the chunk that has nothing but the usage (a `JointTranslator`)."""

    def __init__(self, inner: JointTranslator, stream: bool) -> None:
        """
        @param inner: makes the answer.
        @param stream: whether a stream was asked for.
        """
        super().__init__(inner)
        self._stream = stream
        self._blocks: SseBlocks | None = None

    def open(self, part: int, content_type: str) -> None:
        """An upstream answer begins."""
        super().open(part, content_type)
        self._blocks = SseBlocks() if says_stream(content_type, self._stream) else None

    def feed(self, part: int, data: bytes) -> bytes:
        """Take a piece of the upstream's body and return what the client gets for it.

        @raise ApiError: see `BodyTranslator.feed`.
        """
        return self._without(self._inner.feed(part, data))

    def end(self, part: int) -> bytes:
        """Take the end of the upstream's body and return what the client gets for it.

        @raise ApiError: see `BodyTranslator.end`.
        """
        return self._without(self._inner.end(part)) + self._rest()

    def _without(self, data: bytes) -> bytes:
        if self._blocks is None:
            return data
        return b"".join([block for block in self._blocks.feed(data) if not _is_usage(block)])

    def _rest(self) -> bytes:
        """What stands after the last empty line."""
        rest = b"" if self._blocks is None else self._blocks.end()
        return b"" if _is_usage(rest) else rest

    def keepalive(self) -> bytes:
        """Something that says nothing; the client has whole events alone, so that it may stand behind them."""
        return self._inner.keepalive()

    def fail(self, error: ApiError) -> bytes:
        """What is held back, and the event on which the SDKs raise."""
        return self._without(self._inner.fail(error)) + self._rest()


def _is_usage(block: bytes) -> bool:
    """Whether a block is the chunk of usage."""
    if not _USAGE.search(block):
        return False
    data = block_data(block)
    chunk = None if data is None else read_object(data, _decoder)
    return chunk is not None and chunk.choices == [] and isinstance(chunk.usage, dict)
