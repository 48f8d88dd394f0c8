"""What a client is told of its request beside the answer: the ``x-oaiproxy-warning`` response header."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """Something was done in another way than the client wrote it, and still as it meant it.

    @ivar text: what happened, in ASCII without commas (``clamped max_tokens to 16``).
    """

    text: str


@dataclass(frozen=True, slots=True)
class Dropped(Note):
    """Something that the client asked for is left out of what goes upstream: a strict proxy refuses the request.

    @ivar param: the field in the client's words (``messages[0].name``).
    @ivar why: the reason, such as ``the Responses API has no such field``.
    """

    param: str
    why: str


def dropped(what: str, why: str, param: str | None = None) -> Dropped:
    """The note for something left out.

    @param what: how the header calls it; usually the field itself.
    @param why: the reason.
    @param param: the field in the client's words, where that is not `what`.
    """
    return Dropped(f"dropped {what} ({why})", what if param is None else param, why)
