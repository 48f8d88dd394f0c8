"""A turn as one chat completion (bridge.md 3)."""

from __future__ import annotations

import msgspec

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.sink import Ending, Envelope


class CompletionSink:
    """Builds a completion with one choice.

    @ivar value: the completion, once the turn is over.
    """

    def __init__(self, plan: AnswerPlan) -> None:
        self.value: JsonObject | None = None
        self._plan = plan
        self._envelope: Envelope
        self._content: list[str] = []
        self._logprobs: list[JsonObject] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[tuple[str, str, bool, list[str]]] = []
        self._images: list[JsonObject] = []

    def take(self) -> bytes:
        """The completion's JSON, once the turn is over; empty before."""
        return msgspec.json.encode(self.value) if self.value is not None else b""

    def begin(self, envelope: Envelope) -> None:
        """Take the envelope (`Sink`)."""
        self._envelope = envelope

    def content(self, text: str, logprobs: list[JsonObject] | None) -> None:
        """Add to the content (`Sink`)."""
        self._content.append(text)
        self._logprobs += logprobs or ()

    def reasoning(self, text: str) -> None:
        """Add to the reasoning (`Sink`)."""
        self._reasoning.append(text)

    def refusal(self, text: str) -> None:
        """Add to the refusal (`Sink`)."""
        self._refusal.append(text)

    def open_call(self, index: int, id: str, name: str, custom: bool) -> None:
        """Add a call (`CallSink`)."""
        self._calls.append((id, name, custom, []))

    def call_text(self, index: int, text: str) -> None:
        """Add to a call's arguments (`CallSink`)."""
        self._calls[index][3].append(text)

    def image(self, url: str) -> None:
        """Add a picture (`Sink`)."""
        self._images.append({"index": len(self._images), "type": "image_url", "image_url": {"url": url}})

    def finish(self, ending: Ending) -> None:
        """Put it together (`Sink`)."""
        logprobs = {"content": self._logprobs, "refusal": None} if self._logprobs else None
        choice = {
            "index": 0,
            "message": self._message(ending),
            "logprobs": logprobs,
            "finish_reason": ending.reason,
        }
        value: JsonObject = {
            "id": self._envelope.id,
            "object": "chat.completion",
            "created": self._envelope.created,
            "model": self._envelope.model,
            "choices": [choice],
        }
        if ending.usage is not None:
            value["usage"] = ending.usage
        value.update(ending.extra)
        if ending.metadata is not None:
            value["metadata"] = ending.metadata
        self.value = value

    def _message(self, ending: Ending) -> JsonObject:
        content = "".join(self._content)
        message: JsonObject = {
            "role": "assistant",
            # null only in place of something else to show; the key has to be there
            "content": content or (None if self._calls or self._refusal else ""),
            "refusal": "".join(self._refusal) if self._refusal else None,
            "annotations": ending.citations,
        }
        if self._reasoning:
            own = self._plan.reasoning_field is ReasoningField.REASONING
            message["reasoning" if own else "reasoning_content"] = "".join(self._reasoning)
        if ending.files:
            message["file_annotations"] = ending.files
        if ending.reasoning_details:
            message["reasoning_details"] = ending.reasoning_details
        if self._images:
            message["images"] = self._images
        if self._calls and self._plan.legacy_functions:
            _, name, _, text = self._calls[0]
            message["function_call"] = {"name": name, "arguments": "".join(text)}
        elif self._calls:
            message["tool_calls"] = [_call(*call) for call in self._calls]
        return message


def _call(id: str, name: str, custom: bool, text: list[str]) -> JsonObject:
    if custom:
        return {"id": id, "type": "custom", "custom": {"name": name, "input": "".join(text)}}
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "".join(text)}}
