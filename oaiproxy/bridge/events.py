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

    @ivar handler: passes on what they say; None where a chat client is told nothing of it.
    @ivar output: whether such an event shows that upstream took the request and answers it.
    """

    handler: _Handler | None = None
    output: bool = True


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
        if not slot.part(index).sent:
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
        if slot.raw is not True and not slot.part(index).sent:
            turn.reason(slot, index, event.text, raw=False)


def _thought_delta(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.delta):
        slot = turn.slots.of_delta(Kind.REASONING, event.output_index, event.item_id)
        turn.reason(slot, _index(event.content_index), event.delta, raw=True)


def _thought_done(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.text):
        slot = turn.slots.of_delta(Kind.REASONING, event.output_index, event.item_id)
        index = _index(event.content_index)
        if slot.raw is not False and not slot.part(index).sent:
            turn.reason(slot, index, event.text, raw=True)


def _call_delta(turn: Turn, event: StreamEvent) -> None:
    if _is_text(event.delta):
        turn.call(turn.slots.of_delta(Kind.CALL, event.output_index, event.item_id)).delta(event.delta)


def _arguments_done(turn: Turn, event: StreamEvent) -> None:
    turn.call(turn.slots.of_delta(Kind.CALL, event.output_index, event.item_id)).settle(event.arguments)


def _input_done(turn: Turn, event: StreamEvent) -> None:
    turn.call(turn.slots.of_delta(Kind.CALL, event.output_index, event.item_id)).settle(event.input)


def _final(event: StreamEvent) -> Response:
    return decode_response(event.response) if event.response else Response()


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


_HEAD = Rule(_head, output=False)
_SILENT = Rule()
_FOREIGN = Rule(output=False)

#: Event type -> what is done with it.
EVENTS: Mapping[str, Rule] = {
    "response.created": _HEAD,
    "response.queued": _HEAD,
    "response.in_progress": _HEAD,
    "response.output_item.added": Rule(_item_added),
    "response.output_item.done": Rule(_item_done),
    "response.content_part.added": _SILENT,
    "response.content_part.done": Rule(_part_done),
    "response.output_text.delta": Rule(_text_delta),
    "response.output_text.done": Rule(_text_done),
    "response.output_text.annotation.added": Rule(_annotation_added),
    "response.refusal.delta": Rule(_refusal_delta),
    "response.refusal.done": Rule(_refusal_done),
    "response.function_call_arguments.delta": Rule(_call_delta),
    "response.function_call_arguments.done": Rule(_arguments_done),
    "response.custom_tool_call_input.delta": Rule(_call_delta),
    "response.custom_tool_call_input.done": Rule(_input_done),
    # a part's beginning is seen from its first delta; a part without any text is none
    "response.reasoning_summary_part.added": _SILENT,
    "response.reasoning_summary_part.done": _SILENT,
    "response.reasoning_summary_text.delta": Rule(_summary_delta),
    "response.reasoning_summary_text.done": Rule(_summary_done),
    "response.reasoning_text.delta": Rule(_thought_delta),
    "response.reasoning_text.done": Rule(_thought_done),
    # tools that run upstream: their citations come with the text, their pictures with the finished item
    "response.web_search_call.in_progress": _SILENT,
    "response.web_search_call.searching": _SILENT,
    "response.web_search_call.completed": _SILENT,
    "response.file_search_call.in_progress": _SILENT,
    "response.file_search_call.searching": _SILENT,
    "response.file_search_call.completed": _SILENT,
    "response.code_interpreter_call.in_progress": _SILENT,
    "response.code_interpreter_call.interpreting": _SILENT,
    "response.code_interpreter_call.completed": _SILENT,
    "response.code_interpreter_call_code.delta": _SILENT,
    "response.code_interpreter_call_code.done": _SILENT,
    "response.image_generation_call.in_progress": _SILENT,
    "response.image_generation_call.generating": _SILENT,
    "response.image_generation_call.completed": _SILENT,
    # partial pictures would show the picture several times
    "response.image_generation_call.partial_image": _SILENT,
    "response.mcp_list_tools.in_progress": _SILENT,
    "response.mcp_list_tools.completed": _SILENT,
    "response.mcp_list_tools.failed": _SILENT,
    "response.mcp_call.in_progress": _SILENT,
    "response.mcp_call.completed": _SILENT,
    "response.mcp_call.failed": _SILENT,
    "response.mcp_call_arguments.delta": _SILENT,
    "response.mcp_call_arguments.done": _SILENT,
    # calls of built-in tools that run at the client are shown when their item is done
    "response.shell_call_command.added": _SILENT,
    "response.shell_call_command.delta": _SILENT,
    "response.shell_call_command.done": _SILENT,
    "response.shell_call_output_content.delta": _SILENT,
    "response.shell_call_output_content.done": _SILENT,
    # audio is never asked for
    "response.audio.delta": _SILENT,
    "response.audio.done": _SILENT,
    "response.audio.transcript.delta": _SILENT,
    "response.audio.transcript.done": _SILENT,
    "response.completed": Rule(_completed, output=False),
    "response.incomplete": Rule(_incomplete, output=False),
    "response.failed": Rule(_failed, output=False),
    "error": Rule(_error, output=False),
    # not in the schema
    "response.done": Rule(_completed, output=False),
    "response.cancelled": Rule(_cancelled, output=False),
    "response.apply_patch_call_operation_diff.delta": _SILENT,
    "response.apply_patch_call_operation_diff.done": _SILENT,
    "response.reasoning_summary.delta": _SILENT,
    "response.reasoning_summary.done": _SILENT,
    "response.rate_limits.updated": _FOREIGN,
    "codex.rate_limits": _FOREIGN,
    "codex.response.metadata": _FOREIGN,
    "keepalive": _FOREIGN,
}


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
        turn.begin()
    if rule.handler is not None:
        rule.handler(turn, event)
