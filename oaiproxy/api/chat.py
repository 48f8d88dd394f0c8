"""Chat Completions: what its requests, completions and chunks hold (API reference, "Chat")."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from oaiproxy.api.sse import safe_line


class ReasoningField(str, Enum):
    """Where reasoning summaries go in chat answers; Chat Completions itself has no place for them."""

    REASONING_CONTENT = "reasoning_content"
    REASONING = "reasoning"
    THINK = "think"
    NONE = "none"


class FinishReason(str, Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    FUNCTION_CALL = "function_call"


#: The values that `service_tier` may have in an answer (schema ``ServiceTier``).
SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})

_json = msgspec.json.Encoder()


class ChunkEncoder:
    """Writes the chunks of one stream as server-sent events.

    What is the same in every chunk is encoded once, so that a chunk of text costs little more than encoding its text.
    A chunk has one choice, index 0, but for the last one of a stream with usage, which has none.
    """

    __slots__ = ("_body", "_heads", "_plain", "_tail", "_top")

    def __init__(self, id: str, created: int, model: str, usage: bool) -> None:
        """@param id: the completion's id.
        @param created: Unix time in seconds.
        @param model: the model that answers.
        @param usage: whether the stream ends with a chunk of usage, so that the others say ``"usage": null``.
        """
        envelope = _json.encode({"id": id, "object": "chat.completion.chunk", "created": created, "model": model})
        self._top = b"data: " + safe_line(envelope)[:-1]
        self._body = self._top + b',"choices":[{"index":0,"delta":{'
        self._tail = (b',"usage":null' if usage else b"") + b"}\n\n"
        self._plain = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        self._heads: dict[str | int, bytes] = {}

    def text(self, field: str, text: str, logprobs: Mapping[str, Any] | None = None) -> bytes:
        """A chunk whose delta has one string.

        @param field: ``content``, ``refusal``, or where reasoning goes.
        @param logprobs: the choice's ``logprobs``.
        """
        head = self._heads.get(field)
        if head is None:
            head = self._heads[field] = self._body + _json.encode(field) + b":"
        said = _json.encode(text)
        if not said.isascii():
            said = safe_line(said)
        if logprobs is None:
            return head + said + self._plain
        known = safe_line(_json.encode(logprobs))
        return head + said + b'},"logprobs":' + known + b',"finish_reason":null}]' + self._tail

    def arguments(self, index: int, text: str) -> bytes:
        """A chunk with more of the arguments of the function call at `index`."""
        head = self._heads.get(index)
        if head is None:
            head = self._body + b'"tool_calls":[{"index":%d,"function":{"arguments":' % index
            self._heads[index] = head
        return head + safe_line(_json.encode(text)) + b"}}]" + self._plain

    def delta(
        self, delta: Mapping[str, Any], finish_reason: FinishReason | None = None, more: Mapping[str, Any] | None = None
    ) -> bytes:
        """A chunk with any delta.

        @param finish_reason: why the choice ended, in its last chunk.
        @param more: further fields of the chunk itself.
        """
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._top + b',"choices":' + safe_line(_json.encode([choice])) + _more(more) + self._tail

    def usage(self, usage: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> bytes:
        """The chunk of usage: no choices."""
        return self._top + b',"choices":[]' + _more(more) + b',"usage":' + _json.encode(usage) + b"}\n\n"


def _more(fields: Mapping[str, Any] | None) -> bytes:
    return b"," + safe_line(_json.encode(fields))[1:-1] if fields else b""
