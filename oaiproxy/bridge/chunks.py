"""A turn as the chunks of a chat completion stream (bridge.md 4.1, 4.2)."""

from __future__ import annotations

from oaiproxy.api.chat import ChunkEncoder, ReasoningField
from oaiproxy.api.request import JsonObject
from oaiproxy.api.sse import DONE
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.sink import Ending, Envelope
from oaiproxy.bridge.values import chat_usage


class ChunkSink:
    """Writes chunks: the role first and once, then one kind of payload per chunk, then the finish reason with the
    annotations, then usage if it was asked for, then ``[DONE]``."""

    def __init__(self, plan: AnswerPlan) -> None:
        self._plan = plan
        own = plan.reasoning_field is ReasoningField.REASONING
        self._reasoning = "reasoning" if own else "reasoning_content"
        self._out: list[bytes] = []
        self._custom: set[int] = set()
        self._images = 0
        self._silent = False  # the answer has no content yet, not even an empty one
        self._encoder: ChunkEncoder

    def take(self) -> bytes:
        """What was written since the last time."""
        if not self._out:
            return b""
        written = b"".join(self._out)
        self._out.clear()
        return written

    def begin(self, envelope: Envelope) -> None:
        """Write the role (`Sink`)."""
        self._encoder = ChunkEncoder(envelope.id, envelope.created, envelope.model, self._plan.include_usage)
        # to some clients an empty text is the beginning of one
        self._silent = not envelope.speaks
        self._delta({"role": "assistant", "content": "" if envelope.speaks else None, "refusal": None})

    def content(self, text: str, logprobs: list[JsonObject] | None) -> None:
        """Write a piece of content (`Sink`)."""
        self._silent = False
        self._out.append(
            self._encoder.text("content", text, {"content": logprobs, "refusal": None} if logprobs else None)
        )

    def reasoning(self, text: str) -> None:
        """Write a piece of reasoning (`Sink`)."""
        self._out.append(self._encoder.text(self._reasoning, text))

    def refusal(self, text: str) -> None:
        """Write a piece of the refusal (`Sink`)."""
        self._silent = False
        self._out.append(self._encoder.text("refusal", text))

    def open_call(self, index: int, id: str, name: str, custom: bool) -> None:
        """Write the head of a call (`CallSink`): id, type, and name are said once."""
        self._silent = False
        if self._plan.legacy_functions:
            self._delta({"function_call": {"name": name, "arguments": ""}})
        elif custom:
            self._custom.add(index)
            call = {"index": index, "id": id, "type": "custom", "custom": {"name": name, "input": ""}}
            self._delta({"tool_calls": [call]})
        else:
            call = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            self._delta({"tool_calls": [call]})

    def call_text(self, index: int, text: str) -> None:
        """Write a piece of a call's arguments (`CallSink`)."""
        if self._plan.legacy_functions:
            self._delta({"function_call": {"arguments": text}})
        elif index in self._custom:
            self._delta({"tool_calls": [{"index": index, "custom": {"input": text}}]})
        else:
            self._out.append(self._encoder.arguments(index, text))

    def image(self, url: str) -> None:
        """Write a picture (`Sink`): no field of the API's, but the one that clients read."""
        self._delta({"images": [{"index": self._images, "type": "image_url", "image_url": {"url": url}}]})
        self._images += 1

    def nothing(self) -> None:
        """Write a chunk that says nothing, for a connection that must not look idle."""
        self._delta({})

    def finish(self, ending: Ending) -> None:
        """Write the end (`Sink`)."""
        if self._silent:
            # an answer of no words is an empty text, as it is without a stream
            self._delta({"content": ""})
        delta: JsonObject = {"annotations": ending.citations} if ending.citations else {}
        if ending.files:
            delta["file_annotations"] = ending.files
        if ending.reasoning_details:
            delta["reasoning_details"] = ending.reasoning_details
        self._out.append(self._encoder.delta(delta, ending.reason, ending.extra))
        if self._plan.include_usage:
            # a client that asked for this chunk waits for it, whether or not upstream counted
            tier = {"service_tier": ending.extra["service_tier"]} if "service_tier" in ending.extra else None
            self._out.append(self._encoder.usage(ending.usage or chat_usage({}) or {}, tier))
        self._out.append(DONE)

    def _delta(self, delta: JsonObject) -> None:
        self._out.append(self._encoder.delta(delta))
