"""The table of stream events: what each is for a chat client (bridge.md 4.3).

Every event type of the schema is in it, and those that servers were seen to send beside it.  An event type that is not
in it is skipped: the schema lags behind the servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.responses import Response, StreamEvent, decode_head, decode_list, decode_object, decode_response
from oaiproxy.bridge.failures import event_error
from oaiproxy.bridge.slots import Kind
from oaiproxy.bridge.turn import Turn

_Handler = Callable[[Turn, StreamEvent], None]

#: What an upstream that does not know the Responses path sends.
CHAT_SHAPED = (
    "The upstream answered a request to /responses with a chat completion: it does not speak the Responses API. Set an "
    "upstream that does, or use the passthrough port."
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with events of a type.

    @ivar note: one line that says what comes of it.
    @ivar handler: passes on what they say; None where a chat client is told nothing of it.
    @ivar output: whether such an event shows that upstream took the request and answers it.
    @ivar published: whether the schema has it.
    """

    note: str
    handler: _Handler | None = None
    output: bool = True
    published: bool = True


def _index(value: Any) -> int:
    return value if value.__class__ is int else 0


def _is_text(value: Any) -> bool:
    return value.__class__ is str and value != ""


def _head(turn: Turn, event: StreamEvent) -> None:
    turn.learn(decode_head(event.response))


def _item_added(turn: Turn, event: StreamEvent) -> None:
    turn.added(event.output_index, decode_object(event.item))


def _item_done(turn: Turn, event: StreamEvent) -> None:
    turn.done(event.output_index, decode_object(event.item))


def _text_delta(turn: Turn, event: StreamEvent) -> None:
    delta = event.delta
    if delta.__class__ is str and delta:
        slot = turn.slots.of_delta(Kind.MESSAGE, event.output_index, event.item_id)
        logprobs = decode_list(event.logprobs) if turn.plan.logprobs else None
        turn.text(slot, _index(event.content_index), delta, logprobs)


def _text_done(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.text):
        slot = turn.slots.of_delta(Kind.MESSAGE, event.output_index, event.item_id)
        index = _index(event.content_index)
        if not slot.end_of(index):
            turn.text(slot, index, event.text, decode_list(event.logprobs))


def _part_done(turn: Turn, event: StreamEvent) -> None:
    part = decode_object(event.part)
    if part.get("type") == "output_text":
        slot = turn.slots.of_delta(Kind.MESSAGE, event.output_index, event.item_id)
        turn.annotations(slot.part(_index(event.content_index)), part.get("annotations"))


def _annotation_added(turn: Turn, event: StreamEvent) -> None:
    slot = turn.slots.of_delta(Kind.MESSAGE, event.output_index, event.item_id)
    turn.annotate(slot, _index(event.content_index), event.annotation)


def _refusal_delta(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.delta):
        slot = turn.slots.of_delta(Kind.MESSAGE, event.output_index, event.item_id)
        turn.refuse(slot, _index(event.content_index), event.delta)


def _refusal_done(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.refusal):
        slot = turn.slots.of_delta(Kind.MESSAGE, event.output_index, event.item_id)
        index = _index(event.content_index)
        if index not in slot.refused:
            turn.refuse(slot, index, event.refusal)


def _summary_delta(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.delta):
        slot = turn.slots.of_delta(Kind.REASONING, event.output_index, event.item_id)
        turn.reason(slot, _index(event.summary_index), event.delta, raw=False)


def _summary_done(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.text):
        slot = turn.slots.of_delta(Kind.REASONING, event.output_index, event.item_id)
        index = _index(event.summary_index)
        if slot.raw is not True and not slot.end_of(index):
            turn.reason(slot, index, event.text, raw=False)


def _thought_delta(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.delta):
        slot = turn.slots.of_delta(Kind.REASONING, event.output_index, event.item_id)
        turn.reason(slot, _index(event.content_index), event.delta, raw=True)


def _thought_done(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.text):
        slot = turn.slots.of_delta(Kind.REASONING, event.output_index, event.item_id)
        index = _index(event.content_index)
        if slot.raw is not False and not slot.end_of(index):
            turn.reason(slot, index, event.text, raw=True)


def _call_delta(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.delta):
        turn.call(turn.slots.of_delta(Kind.CALL, event.output_index, event.item_id)).delta(event.delta)


def _arguments_done(turn: Turn, event: StreamEvent) -> None:
    turn.call(turn.slots.of_delta(Kind.CALL, event.output_index, event.item_id)).settle(event.arguments)


def _input_done(turn: Turn, event: StreamEvent) -> None:
    turn.call(turn.slots.of_delta(Kind.CALL, event.output_index, event.item_id)).settle(event.input)


def _final(event: StreamEvent) -> Response:
    data = bytes(event.response)
    # null: the event says enough
    return decode_response(data) if data.startswith(b"{") else Response()


def _completed(turn: Turn, event: StreamEvent) -> None:
    turn.end(_final(event), "completed")


def _incomplete(turn: Turn, event: StreamEvent) -> None:
    turn.end(_final(event), "incomplete")


def _failed(turn: Turn, event: StreamEvent) -> None:
    turn.end(_final(event), "failed")


def _cancelled(turn: Turn, event: StreamEvent) -> None:
    turn.end(_final(event), "cancelled")


def _error(turn: Turn, event: StreamEvent) -> None:
    flat = {"code": event.code, "message": event.message, "param": event.param, "status": event.status}
    raise event_error({"error": event.error} if event.error else flat, turn.plan)


_HEAD = Rule("The id, the time, and the model of every chunk.", _head, output=False)
_REPEATED = "Nothing, or what its deltas left out."


def _each(rule: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


#: Event type -> what is done with it.
EVENTS: Mapping[str, Rule] = {
    **_each(_HEAD, "response.created", "response.queued", "response.in_progress"),
    "response.output_item.added": Rule("The head of a call; nothing of other items.", _item_added),
    "response.output_item.done": Rule("What its deltas left out; pictures; calls of built-in tools.", _item_done),
    "response.content_part.added": Rule("Nothing."),
    "response.content_part.done": Rule("Its annotations, on the finish chunk.", _part_done),
    "response.output_text.delta": Rule("`content`, with `logprobs` if asked for.", _text_delta),
    "response.output_text.done": Rule(_REPEATED, _text_done),
    "response.output_text.annotation.added": Rule("The annotation, on the finish chunk.", _annotation_added),
    "response.refusal.delta": Rule("`refusal`.", _refusal_delta),
    "response.refusal.done": Rule(_REPEATED, _refusal_done),
    "response.function_call_arguments.delta": Rule("`tool_calls[].function.arguments`.", _call_delta),
    "response.function_call_arguments.done": Rule(_REPEATED, _arguments_done),
    "response.custom_tool_call_input.delta": Rule("`tool_calls[].custom.input`.", _call_delta),
    "response.custom_tool_call_input.done": Rule(_REPEATED, _input_done),
    **_each(
        # a part's beginning is seen from its first delta; a part without any text is none
        Rule("Nothing; a blank line comes before the next part's text."),
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
    ),
    "response.reasoning_summary_text.delta": Rule("`reasoning_content`.", _summary_delta),
    "response.reasoning_summary_text.done": Rule(_REPEATED, _summary_done),
    "response.reasoning_text.delta": Rule("`reasoning_content`, unless the item has a summary.", _thought_delta),
    "response.reasoning_text.done": Rule(_REPEATED, _thought_done),
    **_each(
        Rule("Nothing; what a tool found upstream is cited in the text."),
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
    ),
    **_each(
        Rule("Nothing; pictures come with the finished item."),
        "response.code_interpreter_call.in_progress",
        "response.code_interpreter_call.interpreting",
        "response.code_interpreter_call.completed",
        "response.code_interpreter_call_code.delta",
        "response.code_interpreter_call_code.done",
        "response.image_generation_call.in_progress",
        "response.image_generation_call.generating",
        "response.image_generation_call.completed",
    ),
    "response.image_generation_call.partial_image": Rule("Nothing; clients would show the picture several times."),
    **_each(
        Rule("Nothing; upstream runs it, and the model tells what came of it."),
        "response.mcp_list_tools.in_progress",
        "response.mcp_list_tools.completed",
        "response.mcp_list_tools.failed",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
    ),
    **_each(
        Rule("Nothing; a call of a built-in tool is shown whole, when its item is done."),
        "response.shell_call_command.added",
        "response.shell_call_command.delta",
        "response.shell_call_command.done",
        "response.shell_call_output_content.delta",
        "response.shell_call_output_content.done",
    ),
    **_each(
        Rule("Nothing; audio is never asked for."),
        "response.audio.delta",
        "response.audio.done",
        "response.audio.transcript.delta",
        "response.audio.transcript.done",
    ),
    "response.completed": Rule("The finish chunk, usage if asked for, `[DONE]`.", _completed, output=False),
    "response.incomplete": Rule("The same, with `length` or `content_filter`.", _incomplete, output=False),
    "response.failed": Rule("An error, and no end.", _failed, output=False),
    "error": Rule("An error, and no end.", _error, output=False),
    # what servers were seen to send beside the schema
    "response.done": Rule("As `response.completed`.", _completed, output=False, published=False),
    "response.cancelled": Rule("An error, and no end.", _cancelled, output=False, published=False),
    **_each(
        Rule("Nothing; their items say it again.", published=False),
        "response.apply_patch_call_operation_diff.delta",
        "response.apply_patch_call_operation_diff.done",
        "response.reasoning_summary.delta",
        "response.reasoning_summary.done",
    ),
    **_each(
        Rule("Nothing; no sign of an answer either.", output=False, published=False),
        "response.rate_limits.updated",
        "codex.rate_limits",
        "codex.response.metadata",
        "keepalive",
    ),
}


def _speaks(event: StreamEvent) -> bool:
    """Whether what begins with an event is a message's text."""
    if event.type == "response.output_item.added":
        return decode_object(event.item).get("type") == "message"
    return str(event.type).startswith(("response.output_text.", "response.refusal.", "response.content_part."))


def dispatch(turn: Turn, event: StreamEvent) -> None:
    """Do what the table says with one event.

    @raise ApiError: the event says that upstream failed.
    @raise UpstreamInvalid: the event is a chunk of a chat completion.
    """
    kind = event.type
    rule = EVENTS.get(kind) if kind.__class__ is str else None
    if rule is None:
        if event.choices:
            raise UpstreamInvalid(CHAT_SHAPED)
        if event.error and not kind:
            _error(turn, event)
        return
    if rule.output and not turn.begun:
        turn.begin(_speaks(event))
    if rule.handler is not None:
        rule.handler(turn, event)
