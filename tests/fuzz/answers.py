"""Fuzzed: upstream's answers on the bridge, in any order, with anything in them, in any cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oaiproxy.api.body import BodyTranslator
from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import ApiError
from oaiproxy.api.sse import DONE
from oaiproxy.bridge import AnswerPlan, answer_translator, joint_translator, upstream_error
from oaiproxy.bridge.answer import ChatAnswer, StreamedAnswer
from oaiproxy.bridge.completions import completion_translator
from oaiproxy.bridge.completions.plan import CompletionPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from tests.bridge.wire import Event, stream_of
from tests.fuzz.draw import Draw

_TOKENS = [{"token": c, "logprob": -0.5, "bytes": [104], "top_logprobs": []} for c in "Hé <think>x</think> END."]

#: What an upstream can have to say.
ITEMS: tuple[Event, ...] = (
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "**Plan**\n\nThink."}, {"type": "summary_text", "text": "More"}],
        "content": [{"type": "reasoning_text", "text": "raw thought"}],
        "encrypted_content": "gAAA",
    },
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "final_answer",
        "content": [
            {
                "type": "output_text",
                "text": "Hé <think>x</think> END.",
                "annotations": [
                    {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "t", "url": "http://x"},
                    {"type": "file_citation", "index": 1, "file_id": "f", "filename": "n"},
                ],
                "logprobs": _TOKENS,
            },
            {"type": "refusal", "refusal": "No."},
        ],
    },
    {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": "🦊\\n"}'},
    {"id": "fc_2", "type": "function_call", "call_id": "call_2", "name": "parallel", "arguments": '{"tool_uses": []}'},
    {"id": "ct_1", "type": "custom_tool_call", "call_id": "call_3", "name": "g", "input": "free form"},
    {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "iVBORw0KGgo="},
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"id": "ls_1", "type": "local_shell_call", "call_id": "call_4", "action": {"type": "exec", "command": ["ls"]}},
    {"id": "mc_1", "type": "mcp_call", "name": "m", "server_label": "s", "arguments": "{}", "output": "o"},
    {"id": "ci_1", "type": "code_interpreter_call", "code": "1", "container_id": "c", "outputs": []},
)

_USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 8,
}

_STATUSES = ("completed", "incomplete", "failed", "cancelled", "in_progress", "queued", "odd")

#: Names of members, for a change.
NAMES = (
    "type",
    "id",
    "item_id",
    "call_id",
    "output_index",
    "content_index",
    "summary_index",
    "delta",
    "text",
    "arguments",
    "input",
    "item",
    "part",
    "response",
    "output",
    "content",
    "summary",
    "status",
    "error",
    "message",
    "usage",
    "annotations",
    "logprobs",
    "name",
    "choices",
    "object",
    "incomplete_details",
    "encrypted_content",
)

PLANS = tuple(
    AnswerPlan(
        stream=stream,
        include_usage=bool(number & 1),
        legacy_functions=bool(number & 2),
        functions=frozenset(("f", "parallel")) if number & 1 else frozenset(),
        custom_tools=frozenset(("g",)) if number & 2 else frozenset(),
        hosted_tools=frozenset(("local_shell",)) if number & 4 else frozenset(),
        names={"f": "f.f"} if number & 2 else {},
        logprobs=bool(number & 4),
        stop=((), ("END",), ("é", " "), ())[number % 4],
        reasoning_field=field,
        model="gpt-5.1",
        created=1700000000,
    )
    for number, field in enumerate([*ReasoningField] * 2)
    for stream in (True, False)
)

_STREAM_PLANS = tuple(plan for plan in PLANS if plan.stream)


def _response(draw: Draw) -> Event:
    status = draw.choice(_STATUSES)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "model": "gpt-5.1",
        "status": status,
        "output": [draw.choice(ITEMS) for _ in draw.some(4)],
        "usage": draw.choice((_USAGE, None)),
        "error": {"code": "server_error", "message": "It failed."} if status == "failed" else None,
        "incomplete_details": {"reason": draw.choice(("max_output_tokens", "content_filter", "odd"))}
        if status == "incomplete"
        else None,
    }


def _steps(size: int) -> Callable[[str], list[str]]:
    return lambda text: [text[at : at + size] for at in range(0, len(text), size)]


def some_events(draw: Draw) -> list[Any]:
    """The events of a response: in order, or shuffled, cut, doubled and changed."""
    events: list[Any] = list(stream_of(_response(draw), _steps(draw.choice((4, 1, 9, 99)))))
    for _ in draw.some(8):
        if not events:
            break
        at = draw.below(len(events))
        what = draw.below(6)
        if what == 0:
            del events[at]
        elif what == 1:
            events.insert(draw.below(len(events)), events[at])
        elif what == 2:
            events[at:] = [*events[at + 1 :], {"type": "error", "message": draw.text(), "code": draw.json(1)}]
        elif what == 3:
            del events[at:]
        else:
            events[at] = draw.changed(events[at], NAMES)
    return events


def event_bytes(draw: Draw, events: Iterable[Any]) -> bytes:
    """A stream of these events, mostly as a server would send it."""
    named = not draw.rarely()
    blocks = []
    for event in events:
        data = b"data: %b\n\n" % json.dumps(event).encode()
        kind = event.get("type") if isinstance(event, dict) else None
        blocks.append(b"event: %b\n%b" % (str(kind).encode("utf-8", "replace"), data) if named else data)
    raw = b"".join(blocks)
    if draw.rarely():
        raw = draw.choice((b"\xef\xbb\xbf", b": ping\n\n", b"data: [DONE]\n\n", b"<html>")) + raw
    if draw.below(4) == 3:
        raw = draw.spoilt(raw)
    return raw.replace(b"\n", b"\r\n") if draw.rarely() else raw


def told(translator: BodyTranslator, pieces: Iterable[bytes]) -> tuple[bytes, str | None]:
    """What comes out for these pieces, and what the error said that ended it."""
    out = []
    try:
        for piece in pieces:
            out.append(translator.feed(piece))
        out.append(translator.end())
    except ApiError as error:
        assert 400 <= error.status <= 599
        error.body()
        return b"".join(out), error.message
    return b"".join(out), None


def _well_formed(out: bytes, whole: bool) -> None:
    """A chat stream: events of one line of JSON each, and ``[DONE]`` at the end of a whole one and nowhere else."""
    assert out.endswith(DONE) == whole, out
    body = out.removesuffix(DONE)
    finishes = 0
    for block in body.split(b"\n\n")[:-1]:
        assert block.startswith(b"data: {"), block
        assert b"\n" not in block
        chunk = json.loads(block[6:])
        finishes += any(choice["finish_reason"] for choice in chunk.get("choices", ()))
    assert not body or body.endswith(b"\n\n")
    assert finishes == whole, out


def _ends(events: Sequence[Any]) -> bool:
    """Whether there may be an event that ends the response well."""
    return any(
        word in json.dumps(event) for event in events for word in ("response.completed", "response.incomplete", "done")
    )


def chat_stream(draw: Draw) -> None:
    """A stream as a chat stream: only an event of upstream's ends it well, and the cut does not matter."""
    plan = draw.choice(_STREAM_PLANS)
    events = some_events(draw)
    raw = event_bytes(draw, events)
    translator = ChatStream(plan)
    out, error = told(translator, [raw])
    assert translator.finished == (error is None)
    _well_formed(out, error is None)
    if not plan.stop and not _ends(events):
        assert error is not None, (raw, out)
    assert told(ChatStream(plan), draw.pieces(raw)) == (out, error), raw


def collected_stream(draw: Draw) -> None:
    """A stream as one completion: all of it or an error, whatever the cut."""
    plan = draw.choice(PLANS)
    raw = event_bytes(draw, some_events(draw))
    out, error = told(CollectedStream(plan), [raw])
    assert bool(out) == (error is None), (raw, out, error)
    if out:
        assert json.loads(out)["object"] == "chat.completion"
    assert told(CollectedStream(plan), draw.pieces(raw)) == (out, error), raw


def _object(draw: Draw) -> bytes:
    response: Any = _response(draw)
    for _ in draw.some(6):
        response = draw.changed(response, NAMES)
    raw = json.dumps(response).encode()
    return draw.spoilt(raw) if draw.rarely() else raw


def chat_object(draw: Draw) -> None:
    """A response object as a completion and as a stream: both, or the same error for both."""
    plan = draw.choice(PLANS)
    raw = _object(draw)
    whole, error = told(ChatAnswer(plan), draw.pieces(raw))
    assert bool(whole) == (error is None)
    out, error_of_stream = told(StreamedAnswer(plan), [raw])
    assert error_of_stream == error, (raw, error, error_of_stream)
    _well_formed(out, error is None)


def joined_choices(draw: Draw) -> None:
    """Several answers at the same time: choices of one answer, or an error."""
    plan = draw.choice(PLANS)
    count = draw.below(3) + 1
    streams = plan.stream or draw.flag()
    bodies = [draw.pieces(event_bytes(draw, some_events(draw)) if streams else _object(draw)) for _ in range(count)]
    joint = joint_translator(plan, count)
    out = []
    try:
        for part in range(count):
            joint.open(part, "text/event-stream" if streams else "application/json")
        waiting = [part for part in range(count) if bodies[part]]
        while waiting:
            part = draw.choice(waiting)
            out.append(joint.feed(part, bodies[part].pop(0)))
            if not bodies[part]:
                waiting.remove(part)
            if draw.rarely():
                out.append(joint.keepalive())
        out += [joint.end(part) for part in range(count) if not joint.over(part)]
    except ApiError as error:
        assert not b"".join(out).endswith(DONE)
        joint.fail(error)
        return
    whole = b"".join(out)
    assert joint.finished
    if plan.stream:
        assert whole.endswith(DONE)
        assert whole.count(DONE) == 1
    else:
        assert len(json.loads(whole)["choices"]) == count


def completions_answer(draw: Draw) -> None:
    """Answers to prompts as one legacy completion, or an error."""
    prompts = ("Say", "é🦊")[: draw.below(2) + 1]
    made = draw.below(2) + 1
    plan = CompletionPlan(
        draw.choice(PLANS), prompts, kept=1, made=made, echo=draw.flag(), logprobs=draw.choice((None, 0, 3))
    )
    joint = completion_translator(plan)
    streams = plan.chat.asks_stream or draw.flag()
    out = []
    try:
        for part in range(plan.answers):
            joint.open(part, "text/event-stream" if streams else "application/json")
        for part in range(plan.answers):
            raw = event_bytes(draw, some_events(draw)) if streams else _object(draw)
            out += [joint.feed(part, piece) for piece in draw.pieces(raw)]
            if not joint.over(part):
                out.append(joint.end(part))
    except ApiError as error:
        assert not b"".join(out).endswith(DONE)
        joint.fail(error)
        return
    whole = b"".join(out)
    if plan.chat.stream:
        assert whole.endswith(DONE)
    else:
        assert json.loads(whole)["object"] == "text_completion"


def failed_answer(draw: Draw) -> None:
    """What upstream says in place of an answer: always an error that can be sent."""
    error: Any = {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "reasoning.summary", "code": "odd"}
    }
    for _ in draw.some(5):
        error = draw.changed(error, ("message", "detail", "error", "param", "type", "code", "errors", "status"))
    body = json.dumps(error).encode()
    if draw.flag():
        body = draw.spoilt(body)
    status = 300 + draw.below(300)
    kind = draw.choice(("application/json", "text/html", "", "text/event-stream", "application/problem+json; x"))
    found = upstream_error(status, kind, body, draw.choice(PLANS))
    assert 400 <= found.status <= 599, found.status
    value = json.loads(found.body())["error"]
    assert value.keys() == {"message", "type", "param", "code"}
    assert all(isinstance(v, str) or v is None for v in value.values()), value
    answer_translator(draw.choice(PLANS), kind)
