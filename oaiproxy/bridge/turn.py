"""One assistant turn: what a response says, item by item, becomes what a chat client is told.

Both forms of a response come through here, the stream's events one by one and the finished object's items all at once;
both forms of a chat answer go out of here, to a sink that writes chunks or one that builds a completion.  So the four
ways through the bridge cannot disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from oaiproxy.api.chat import FinishReason, ReasoningField
from oaiproxy.api.errors import ApiError, UpstreamIncomplete
from oaiproxy.api.request import JsonObject
from oaiproxy.api.responses import Response, ResponseHead
from oaiproxy.bridge.endings import End, finish_reason
from oaiproxy.bridge.failures import event_error
from oaiproxy.bridge.items import Place, place_of
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.sink import Ending, Envelope, Sink
from oaiproxy.bridge.slots import Kind, Part, Slot, Slots
from oaiproxy.bridge.toolcalls import ClientCalls, ToolCall, show_hosted_call
from oaiproxy.bridge.until import Until
from oaiproxy.bridge.values import (
    chat_extra,
    chat_logprobs,
    chat_metadata,
    chat_usage,
    image_urls,
    timestamp,
)

#: What stands between two items' texts, and between two parts of a summary.
SEPARATOR = "\n\n"

#: What stands around the reasoning in think mode.  The request half takes such a block off the history again.
THINK_OPEN, THINK_CLOSE = "<think>\n", "\n</think>\n\n"


class Turn:
    """Tells a sink what a response says.

    Reasoning in think mode is one block at the head of the content: readers, and the request half, know no other.  What
    the model thinks after its first words or its first call is left out then.

    @ivar slots: the output items so far.
    @ivar acknowledged: whether upstream said that it works on the request.
    @ivar begun: whether the sink was told anything, that is, whether upstream showed that it took the request.
    @ivar finished: whether the turn is over.
    @ivar stopped: whether a stop sequence came; what upstream says after it is left out.
    """

    acknowledged = False
    begun = False
    finished = False
    stopped = False
    _until: Until | None = None
    _separator = SEPARATOR
    _called = 0  # how many calls the sink was told of
    _seed = b""
    _name = ""  # of the response, for ids
    _length = 0  # of the content, in characters
    _shown = 0  # of the content that the sink was told
    _spoke: Slot | None = None  # the item that the last of the content is of
    _refused: Slot | None = None
    _thought: Part | None = None  # the part that the last of the reasoning is of
    _thinking: bool | None = None  # in a <think> block; None before it

    def __init__(self, plan: AnswerPlan, sink: Sink) -> None:
        self.plan = plan
        self.slots = Slots()
        self._sink = sink
        self._head = ResponseHead()
        if plan.stop:
            self._until = Until(plan.stop)
            self._separator = _separator(plan.stop)

    @cached_property
    def _calls(self) -> ClientCalls:
        # it refers back, which an answer that is cut off never undoes; most have no calls
        return ClientCalls(self.plan, self)

    # -- the envelope

    def learn(self, head: ResponseHead | Response) -> None:
        """Take what is known of the response itself.  Nothing that was sent changes by it."""
        self.acknowledged = True
        own = self._head
        own.id, own.model = own.id or head.id, own.model or head.model
        own.created_at = own.created_at or head.created_at

    def seed(self, data: bytes) -> None:
        """Take the first bytes of the answer: they give the id of one whose upstream gives it none."""
        self._seed = data

    def begin(self, speaks: bool) -> None:
        """Upstream has begun to answer.

        @param speaks: with a message's text.
        """
        self.begun = True
        head = self._head
        if isinstance(head.id, str) and head.id:
            self._name = head.id.removeprefix("resp_")
        else:
            self._name = hashlib.sha256(self._seed).hexdigest()[:32]
        created = timestamp(head.created_at)
        model = head.model if isinstance(head.model, str) and head.model else self.plan.model
        created = self.plan.created if created is None else created
        self._sink.begin(Envelope("chatcmpl-" + self._name, created, model, speaks))

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
                self._say(self._separator, None)
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
        if raw:
            slot.thoughts.append(text)
        if self.plan.reasoning_field is ReasoningField.NONE:
            return
        if part is not self._thought:
            text = SEPARATOR + text if self._thought is not None else text
            self._thought = part
        if self.plan.reasoning_field is not ReasoningField.THINK:
            self._sink.reasoning(text)
        elif self._thinking:
            self._content(text, None)
        elif self._may_think():
            self._thinking = True
            self._content(THINK_OPEN + text, None)

    def _may_think(self) -> bool:
        """Whether reasoning that comes now is shown."""
        if self.plan.reasoning_field is ReasoningField.THINK:
            return bool(self._thinking) or (self._thinking is None and self._spoke is None)
        return self.plan.reasoning_field is not ReasoningField.NONE

    def notify(self, slot: Slot, text: str) -> None:
        """Tell the client something that is not the model's: where its reasoning stands, or else in the content."""
        if self._may_think():
            self.reason(slot, 0, text, raw=False)
        else:
            self.text(slot, 0, text)

    def annotate(self, slot: Slot, index: int, annotation: Any) -> None:
        """One more annotation of a message's text."""
        slot.part(index).annotations.append(annotation)

    def annotations(self, part: Part, annotations: Any) -> None:
        """All annotations of a part, as its end repeats them."""
        if isinstance(annotations, list) and len(annotations) >= len(part.annotations):
            part.annotations = annotations

    def _content(self, text: str, logprobs: list[JsonObject] | None) -> None:
        self._length += len(text)
        self._shown += len(text)
        self._sink.content(text, logprobs)

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
        self._called += 1
        # the client has to name the call in its answer
        self._sink.open_call(index, id or f"call_{self._name}_{index}", name, custom)

    def call_text(self, index: int, text: str) -> None:
        """More of a call (`CallSink`)."""
        if index < self._called:
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
        if slot.item is None:
            # what comes first is the item's own end: of its reasoning the terminal event has another form (R5)
            slot.item = item
        if slot.kind is Kind.MESSAGE:
            self._complete_message(slot, item)
        elif slot.kind is Kind.REASONING:
            self._complete_reasoning(slot, item)
        elif slot.closed:
            return
        else:
            known = len(self._calls.ids)
            if slot.kind is Kind.CALL:
                self.call(slot).close(item, item.get("status") != "incomplete")
            else:
                self._complete_other(slot, item)
            slot.shown = self._calls.ids[known:]
        slot.closed = True

    def _complete_message(self, slot: Slot, item: JsonObject) -> None:
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        texts, refusals = _texts(content, "output_text", "text", empty=True), _texts(content, "refusal", "refusal")
        sent = [part for _, part in sorted(slot.parts.items()) if part.sent] if slot.parts else []
        complete = len(sent) >= len([text for _, _, text in texts if text])
        refused = len(slot.refused) >= len(refusals)
        counted = iter(sent)
        for index, part, text in sorted((*texts, *refusals), key=_place) if refusals else texts:
            if part["type"] == "refusal":
                if not refused and index not in slot.refused:
                    self.refuse(slot, index, text)
                continue
            if text and not complete and not slot.part(index).sent:
                self.text(slot, index, text, part.get("logprobs"))
            # servers may count parts otherwise in their deltas; the nth text is the nth text all the same
            known = next(counted) if text and complete else slot.part(index)
            self.annotations(known, part.get("annotations"))

    def _complete_reasoning(self, slot: Slot, item: JsonObject) -> None:
        summary = _texts(item.get("summary"), "summary_text", "text")
        if slot.raw and any(slot.lacks(text) for _, _, text in summary):
            slot.raw, slot.parts = False, {}
        raw = slot.raw if slot.raw is not None else not summary
        texts = _texts(item.get("content"), "reasoning_text", "text") if raw else summary
        if slot.sent() < len(texts):
            for index, _, text in texts:
                if not slot.part(index).sent:
                    self.reason(slot, index, text, raw)

    def _complete_other(self, slot: Slot, item: JsonObject) -> None:
        place = place_of(item)
        if place is Place.IMAGES and not self.stopped:
            for url in image_urls(item):
                self._pause()
                self._sink.image(url)
        elif place is Place.NOTICE:
            # a chat client has no means to approve, and would see an answer without a word
            server, tool = item.get("server_label"), item.get("name")
            notice = f"The MCP server {server!r} wants approval to run {tool!r}, which cannot be given here."
            self.notify(slot, notice + ' Ask for the tool with "require_approval": "never".')
        elif place is Place.LOCAL_CALL:
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
        items = response.items()
        if not self.begun:
            self.begin(not items or items[0].get("type") == "message")
        # what matters only where some of them are known already
        listed = {item["call_id"] for item in items if isinstance(item.get("call_id"), str)} if self.slots else ()
        for position, item in enumerate(items):
            self._complete(self.slots.of_final(position, item, listed), item)
        for slot in self.slots:
            if slot.call is not None and not slot.closed:
                slot.call.close({}, status == "completed")
        self._pause()
        keep = self.plan.keep
        self._finish(
            Ending(
                self._finish_reason(status, response.incomplete_details),
                *self._annotations(),
                chat_usage(response.usage),
                chat_extra(response.service_tier, response.moderation),
                chat_metadata(response.metadata),
                # what was cut at a stop sequence is not what upstream said
                reasoning_details=keep(self.slots) if keep is not None and not self.stopped else [],
            )
        )

    def stop(self) -> None:
        """A stop sequence came in a stream: the client's turn is over, whatever upstream has still to say.

        Only a call that the client has seen the beginning of is waited for.  Upstream's usage is not known then, and
        clients that find none fail: it is said to be nothing, which a warning has announced.
        """
        if any(slot.call is not None and not slot.closed and self._knows(slot.call) for slot in self.slots):
            return
        reason = self._finish_reason("completed", None)
        self._finish(Ending(reason, *self._annotations(), usage=chat_usage({})))

    def _finish(self, ending: Ending) -> None:
        self.finished = True
        if "_calls" in self.__dict__:
            self._calls.close()
        self._sink.finish(ending)

    def _knows(self, call: ToolCall) -> bool:
        """Whether the client has seen the beginning of a call."""
        return call.index is not None and call.index < self._called

    def _finish_reason(self, status: str, details: Any) -> FinishReason:
        reason = details.get("reason") if isinstance(details, dict) else None
        return finish_reason(End(status, reason, self._called > 0, self.plan.legacy_functions, self.stopped))

    def _annotations(self) -> tuple[list[JsonObject], list[JsonObject]]:
        # what is cited behind a stop sequence was not shown
        return self.slots.annotations(self._shown if self.stopped else None)


def _separator(stops: Sequence[str]) -> str:
    """What stands between two messages' texts: nothing that would itself stop the text."""
    return next((s for s in (SEPARATOR, "\n", " ") if not any(stop in s for stop in stops if stop)), "")


def _place(found: tuple[int, JsonObject, str]) -> int:
    return found[0]


def _texts(parts: Any, kind: str, field: str, empty: bool = False) -> list[tuple[int, JsonObject, str]]:
    """The parts of one type that have a text: each with its index.

    @param empty: those with an empty one too.
    """
    return [
        (index, part, text)
        for index, part in enumerate(parts if isinstance(parts, list) else ())
        # some servers name every part that is text so
        if isinstance(part, dict) and part.get("type") in (kind, field)
        if isinstance(text := part.get(field), str) and (text or empty)
    ]
