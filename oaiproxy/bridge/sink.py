"""Where a turn goes: what writes chunks or builds a completion has to take these."""

from __future__ import annotations

from typing import Protocol

import msgspec

from oaiproxy.api.chat import FinishReason
from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.toolcalls import CallSink


class Envelope(msgspec.Struct, frozen=True):
    """What every chunk of an answer repeats, and how the first one begins.

    @ivar speaks: the answer begins with a message's text, and not with thoughts or a call.
    """

    id: str
    created: int
    model: str
    speaks: bool = True


class Ending(msgspec.Struct, frozen=True):
    """What is known at the end of a turn.

    @ivar citations: annotations in Chat's form, for the whole content.
    @ivar files: annotations that Chat has no form for, in Responses' own.
    @ivar usage: Chat's usage, or None where upstream gave none.
    @ivar extra: further fields of the answer: ``service_tier``, ``moderation``.
    @ivar reasoning_details: what the client is to carry to its next request.
    """

    reason: FinishReason
    citations: list[JsonObject] = msgspec.field(default_factory=list)
    files: list[JsonObject] = msgspec.field(default_factory=list)
    usage: JsonObject | None = None
    extra: JsonObject = msgspec.field(default_factory=dict)
    metadata: JsonObject | None = None
    reasoning_details: list[JsonObject] = msgspec.field(default_factory=list)


class Sink(CallSink, Protocol):
    """Where a turn goes.  `begin` comes first and once, `finish` last and once; texts are never empty."""

    def begin(self, envelope: Envelope) -> None:
        """The turn begins."""

    def content(self, text: str, logprobs: list[JsonObject] | None) -> None:
        """More of the content."""

    def reasoning(self, text: str) -> None:
        """More of the reasoning."""

    def refusal(self, text: str) -> None:
        """More of the refusal."""

    def image(self, url: str) -> None:
        """A picture."""

    def finish(self, ending: Ending) -> None:
        """The turn is over."""
