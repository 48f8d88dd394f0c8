"""Whether a stream of events has said that it is over.

Where only the end of the connection ends an answer (RFC 9112 section 6.3), an upstream that is done and one that died
look the same to HTTP.  What the API says then decides.
"""

from __future__ import annotations

from typing import Any

import msgspec

from oaiproxy.api.errors import UpstreamIncomplete
from oaiproxy.api.sse import SseDecoder, SseEvent, says_stream

#: The paths whose streams say that they are over.
_PATHS = frozenset((b"/chat/completions", b"/completions", b"/responses"))

#: The last events of a Responses stream.
_LAST = frozenset(("response.completed", "response.failed", "response.incomplete", "response.cancelled", "error"))


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    choices: list[_Choice] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class StreamEnd:
    """Watches a stream for what ends it: ``[DONE]``, a finish reason, a terminal event, an error."""

    def __init__(self) -> None:
        self._events = SseDecoder()
        self._said = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, and return them."""
        if not self._said:
            self._said = any(map(_ends, self._events.feed(data)))
        return data

    def check(self, upstream: str) -> None:
        """See to it that it is over.

        @param upstream: how people know the upstream.
        @raise UpstreamIncomplete: it is not.
        """
        # servers that leave out the last empty line are real
        if not (self._said or any(map(_ends, self._events.end()))):
            raise UpstreamIncomplete(f"The upstream {upstream} closed the connection before the end of its answer.")


def _ends(event: SseEvent) -> bool:
    if event.data.strip() == b"[DONE]":
        return True
    try:
        found = _decode(event.data)
    except (ValueError, RecursionError):
        return False
    return (
        bool(found.error)
        or (isinstance(found.type, str) and found.type in _LAST)
        or any(choice.finish_reason is not None for choice in found.choices or ())
    )


def stream_end(target: bytes, content_type: bytes) -> StreamEnd | None:
    """What watches an answer; None where it is none of those that say when they are over.

    @param target: path and query below the upstream's base URL.
    @param content_type: what the answer says it is.
    """
    path = target.partition(b"?")[0].rstrip(b"/")
    return StreamEnd() if path in _PATHS and says_stream(content_type.decode("latin-1"), otherwise=False) else None
