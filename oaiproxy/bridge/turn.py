"""One assistant turn: what a response says, item by item, becomes what a chat client is told.

Both forms of a response come through here, the stream's events one by one and the finished object's items all at once;
both forms of a chat answer go out of here, to a sink that writes chunks or one that builds a completion.  So the four
ways through the bridge cannot disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from oaiproxy.api.chat import SERVICE_TIERS, FinishReason, ReasoningField
from oaiproxy.api.errors import ApiError, UpstreamIncomplete
from oaiproxy.api.request import JsonObject
from oaiproxy.api.responses import Response, ResponseHead
from oaiproxy.bridge.failures import event_error
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.slots import Kind, Part, Slot, Slots
from oaiproxy.bridge.toolcalls import CallSink, ClientCalls, ToolCall, show_hosted_call
from oaiproxy.bridge.until import Until
from oaiproxy.bridge.values import chat_logprobs, chat_moderation, chat_usage, citation, image_url

#: What stands between two items' texts, and between two parts of a summary.
SEPARATOR = "\n\n"

#: What stands around the reasoning in think mode.  The request half takes such a block off the history again.
THINK_OPEN, THINK_CLOSE = "<think>\n", "\n</think>\n\n"

#: ``incomplete_details.reason`` -> why the choice ended.  The schema's enum says ``max_output_tokens``, its own example
#: ``max_tokens``; an unknown reason is still no normal end.
INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every chunk of an answer repeats."""

    id: str
    created: int
    model: str


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known at the end of a turn.

    @ivar citations: annotations in Chat's form, for the whole content.
    @ivar usage: Chat's usage, or None where upstream gave none.
    @ivar extra: further fields of the answer: ``service_tier``, ``moderation``.
    """

    reason: FinishReason
    citations: list[JsonObject] = field(default_factory=list)
    usage: JsonObject | None = None
    extra: JsonObject = field(default_factory=dict)
    metadata: JsonObject | None = None


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


class Turn:
    """Tells a sink what a response says.

    Reasoning in think mode is one block at the head of the content: readers, and the request half, know no other.  What
    the model thinks after its first words or its first call is left out then.

    @ivar slots: the output items so far.
    @ivar begun: whether the sink was told anything, that is, whether upstream showed that it took the request.
    @ivar finished: whether the turn is over.
    @ivar stopped: whether a stop sequence came; what upstream says after it is left out.
    """

    def __init__(self, plan: AnswerPlan, sink: Sink) -> None:
        self.plan = plan
        self.slots = Slots()
        self.begun = False
        self.finished = False
        self.stopped = False
        self._sink = sink
        self._until = Until(plan.stop) if plan.stop else None
        self._calls = ClientCalls(plan, self)
        self._head = ResponseHead()
        self._seed = b""
        self._name = ""  # of the response, for ids
        self._length = 0  # of the content, in characters
        self._shown = 0  # of the content that the sink was told
        self._spoke: Slot | None = None  # the item that the last of the content is of
        self._refused: Slot | None = None
        self._thought: Part | None = None  # the part that the last of the reasoning is of
        self._thinking: bool | None = None  # in a <think> block; None before it

    # -- the envelope

    def learn(self, head: ResponseHead | Response) -> None:
        """Take what is known of the response itself.  Nothing that was sent changes by it."""
        own = self._head
        own.id, own.model = own.id or head.id, own.model or head.model
        own.created_at = own.created_at or head.created_at

    def seed(self, data: bytes) -> None:
        """Take the first bytes of the answer: they give the id of one whose upstream gives it none."""
        self._seed = data

    def begin(self) -> None:
        """Upstream has begun to answer."""
        self.begun = True
        head = self._head
        if isinstance(head.id, str) and head.id:
            self._name = head.id.removeprefix("resp_")
        else:
            self._name = hashlib.sha256(self._seed).hexdigest()[:32]
        created = head.created_at if isinstance(head.created_at, int | float) else self.plan.created
        model = head.model if isinstance(head.model, str) and head.model else self.plan.model
        self._sink.begin(Envelope("chatcmpl-" + self._name, int(created), model))

    # -- texts

    def text(self, slot: Slot, index: int, text: str, logprobs: list[Any] | None = None) -> None:
        """More of a message's text.

        @param index: the index of the content part.
        @param logprobs: upstream's log probabilities of it.
        """
        if self._thinking:
            self._leave_thoughts()
        part = slot.part(index)
        if slot is not self._spoke:
            if self._spoke is not None:
                self._say(SEPARATOR, None)
            self._spoke = slot
        if not part.sent:
            part.sent = True
            part.start = self._length
        self._say(text, chat_logprobs(logprobs) if logprobs and self.plan.logprobs else None)

    def refuse(self, slot: Slot, index: int, text: str) -> None:
        """More of a message's refusal."""
        if self.stopped:
            return
        self._pause()
        if slot is not self._refused:
            text = SEPARATOR + text if self._refused is not None else text
            self._refused = slot
        slot.refused.add(index)
        self._sink.refusal(text)

    def reason(self, slot: Slot, index: int, text: str, raw: bool) -> None:
        """More of the model's reasoning.

        @param raw: whether it is the model's own text and not a summary.  An item is shown as one of them, whichever
            came first.
        """
        if slot.raw is None:
            slot.raw = raw
        if slot.raw is not raw or self.stopped:
            return
        part = slot.part(index)
        part.sent = True
        if self.plan.reasoning_field is ReasoningField.NONE:
            return
        if part is not self._thought:
            text = SEPARATOR + text if self._thought is not None else text
            self._thought = part
        if self.plan.reasoning_field is not ReasoningField.THINK:
            self._sink.reasoning(text)
        elif self._thinking:
            self._content(text, None)
        elif self._thinking is None and self._spoke is None:
            self._thinking = True
            self._content(THINK_OPEN + text, None)

    def annotate(self, slot: Slot, index: int, annotation: Any) -> None:
        """One more annotation of a message's text."""
        slot.part(index).annotations.append(annotation)

    def annotations(self, part: Part, annotations: Any) -> None:
        """All annotations of a part, as its end repeats them."""
        if isinstance(annotations, list) and len(annotations) >= len(part.annotations):
            part.annotations = annotations

    def _content(self, text: str, logprobs: list[JsonObject] | None) -> None:
        self._length += len(text)
        self._show(text, logprobs)

    def _say(self, text: str, logprobs: list[JsonObject] | None) -> None:
        """Content that the model meant as such, up to a stop sequence."""
        until = self._until
        if until is None:
            self._content(text, logprobs)
        elif not self.stopped:
            self._length += len(text)
            self._show(*until.feed(text, logprobs))
            self.stopped = until.hit

    def _show(self, text: str, logprobs: list[JsonObject] | None) -> None:
        if text:
            self._shown += len(text)
            self._sink.content(text, logprobs)

    def _pause(self) -> None:
        """Something else than content comes: what was held back of it was no stop sequence."""
        self._leave_thoughts()
        if self._until is not None and not self.stopped:
            self._show(*self._until.flush())

    def _leave_thoughts(self) -> None:
        if self._thinking:
            self._content(THINK_CLOSE, None)
        self._thinking = False

    # -- calls

    def call(self, slot: Slot) -> ToolCall:
        """The client's call that `slot` is."""
        if slot.call is None:
            slot.call = ToolCall(self._calls)
        return slot.call

    def open_call(self, index: int, id: str, name: str, custom: bool) -> None:
        """A call begins (`CallSink`)."""
        if self.stopped:
            return
        self._pause()
        # the client has to name the call in its answer
        self._sink.open_call(index, id or f"call_{self._name}_{index}", name, custom)

    def call_text(self, index: int, text: str) -> None:
        """More of a call (`CallSink`)."""
        if self.stopped:
            return
        self._sink.call_text(index, text)

    # -- items

    def added(self, index: Any, item: JsonObject) -> None:
        """An item begins."""
        slot = self.slots.of_added(index, item)
        if slot.kind is Kind.CALL:
            self.call(slot).announce(item)

    def done(self, index: Any, item: JsonObject) -> None:
        """An item is complete.  What its deltas did not say is said now."""
        self._complete(self.slots.of_done(index, item), item)

    def _complete(self, slot: Slot, item: JsonObject) -> None:
        if slot.kind is Kind.MESSAGE:
            self._complete_message(slot, item)
        elif slot.kind is Kind.REASONING:
            self._complete_reasoning(slot, item)
        elif slot.closed:
            return
        elif slot.kind is Kind.CALL:
            self.call(slot).close(item, item.get("status") != "incomplete")
        else:
            self._complete_other(slot, item)
        slot.closed = True

    def _complete_message(self, slot: Slot, item: JsonObject) -> None:
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        texts = list(_texts(content, "output_text", "text"))
        sent = [part for _, part in sorted(slot.parts.items()) if part.sent]
        for n, (index, part, text) in enumerate(texts):
            if len(sent) < len(texts) and not slot.part(index).sent:
                self.text(slot, index, text, part.get("logprobs"))
            # servers may count parts otherwise in their deltas; the nth text is the nth text all the same
            known = sent[n] if len(sent) >= len(texts) else slot.part(index)
            self.annotations(known, part.get("annotations"))
        refusals = list(_texts(content, "refusal", "refusal"))
        missing = len(slot.refused) < len(refusals)
        for index, _, text in refusals:
            if missing and index not in slot.refused:
                self.refuse(slot, index, text)

    def _complete_reasoning(self, slot: Slot, item: JsonObject) -> None:
        summary = list(_texts(item.get("summary"), "summary_text", "text"))
        raw = slot.raw if slot.raw is not None else not summary
        texts = list(_texts(item.get("content"), "reasoning_text", "text")) if raw else summary
        if slot.sent() < len(texts):
            for index, _, text in texts:
                if not slot.part(index).sent:
                    self.reason(slot, index, text, raw)

    def _complete_other(self, slot: Slot, item: JsonObject) -> None:
        kind = item.get("type")
        if kind == "image_generation_call":
            url = image_url(item)
            if url is not None and not self.stopped:
                self._pause()
                self._sink.image(url)
        elif kind == "mcp_approval_request":
            # a chat client has no means to approve, and would see an answer without a word
            server, tool = item.get("server_label"), item.get("name")
            notice = f"The MCP server {server!r} wants approval to run {tool!r}, which cannot be given here."
            self.reason(slot, 0, notice + ' Ask for the tool with "require_approval": "never".', raw=False)
        else:
            show_hosted_call(self._calls, item)

    # -- the end

    def whole(self, response: Response) -> None:
        """The whole of a finished response.

        @raise ApiError: it failed, was cancelled, or is not finished.
        """
        status = response.status
        if status in ("queued", "in_progress"):
            raise UpstreamIncomplete(
                f"The upstream answered with a response that is still {status}. Do not ask for background mode here.",
            )
        self.end(response, "completed")

    def end(self, response: Response, default: str) -> None:
        """The response is over.

        @param response: the response in its final state; its items complete what is known of them.
        @param default: its status, where it names none that is one of a finished response.
        @raise ApiError: it failed or was cancelled.
        """
        status = response.status if response.status in ("completed", "incomplete", "failed", "cancelled") else default
        if status == "failed":
            raise event_error(response.error, self.plan)
        if status == "cancelled":
            raise ApiError("The upstream's response was cancelled.", status=502, code="response_cancelled")
        self.learn(response)
        if not self.begun:
            self.begin()
        for position, item in enumerate(response.items()):
            self._complete(self.slots.of_final(position, item), item)
        for slot in self.slots:
            if slot.call is not None and not slot.closed:
                slot.call.close({}, status == "completed")
        self._pause()
        self.finished = True
        self._sink.finish(
            Ending(
                self._finish_reason(status, response),
                list(self._citations()),
                chat_usage(response.usage),
                self._extra(response),
                _strings(response.metadata),
            )
        )

    def stop(self) -> None:
        """A stop sequence came in a stream: the client's turn is over, whatever upstream has still to say.

        Upstream's usage is not known then.
        """
        self.finished = True
        self._sink.finish(Ending(FinishReason.STOP, list(self._citations())))

    def _finish_reason(self, status: str, response: Response) -> FinishReason:
        if self.stopped:
            return FinishReason.STOP
        if status == "incomplete":
            details = response.incomplete_details
            reason = details.get("reason") if isinstance(details, dict) else None
            return INCOMPLETE.get(str(reason), FinishReason.LENGTH)
        if not self._calls.count:
            return FinishReason.STOP
        return FinishReason.FUNCTION_CALL if self.plan.legacy_functions else FinishReason.TOOL_CALLS

    def _citations(self) -> Iterator[JsonObject]:
        for slot in self.slots:
            for _, part in sorted(slot.parts.items()):
                for annotation in part.annotations:
                    cited = citation(annotation, part.start)
                    if cited is not None and self._is_shown(cited):
                        yield cited

    def _is_shown(self, cited: JsonObject) -> bool:
        end = cited["url_citation"].get("end_index")
        return not self.stopped or (isinstance(end, int) and end <= self._shown)

    @staticmethod
    def _extra(response: Response) -> JsonObject:
        extra: JsonObject = {}
        if isinstance(response.service_tier, str) and response.service_tier in SERVICE_TIERS:
            extra["service_tier"] = response.service_tier
        moderation = chat_moderation(response.moderation)
        if moderation is not None:
            extra["moderation"] = moderation
        return extra


def _strings(metadata: Any) -> JsonObject | None:
    """What of a response's metadata is as the schema has it, or None where there is none."""
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)} or None


def _texts(parts: Any, kind: str, field: str) -> Iterator[tuple[int, JsonObject, str]]:
    """The parts of one type that have a text: each with its index."""
    if isinstance(parts, list):
        for index, part in enumerate(parts):
            if isinstance(part, dict) and part.get("type") == kind:
                text = part.get(field)
                if isinstance(text, str) and text:
                    yield index, part, text
