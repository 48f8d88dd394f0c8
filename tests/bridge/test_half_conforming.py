"""Servers that speak Responses almost: llama.cpp, LM Studio, vLLM, gateways like Copilot's.  One quirk each.

Which item an event without a proper index is about is `tests.bridge.test_slots`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.bridge.answer import ChatAnswer
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream
from tests.bridge.wire import (
    Event,
    added,
    arguments,
    call,
    calls,
    chunks,
    completed,
    deltas,
    done,
    folded,
    joined,
    message,
    run,
    sse,
    stream,
    stream_of,
    summary,
    text,
)

THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm. So."}]}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "See A", "annotations": [], "logprobs": []}],
}
CALL_F = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
CALL_G = {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "g", "arguments": '{"b":2}'}
RESPONSE: Event = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1700000000,
    "model": "m",
    "status": "completed",
    "output": [THOUGHT, SAID, CALL_F, CALL_G],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}

#: What a client makes of that response, however it is told.
ANSWER: Event = {
    "role": "assistant",
    "content": "See A",
    "refusal": None,
    "annotations": [],
    "reasoning_content": "Hm. So.",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"b":2}'}},
    ],
}

PLAN = AnswerPlan(stream=True, include_usage=True)


def pairs(value: str) -> list[str]:
    """A text in pieces of two characters."""
    return [value[i : i + 2] for i in range(0, len(value), 2)]


def whole_stream() -> list[Event]:
    """The response as a server would stream it that does all that the API says."""
    events = []
    for number, event in enumerate(stream_of(RESPONSE, pairs)):
        if event["type"] == "response.output_item.added" and event["item"]["type"] == "message":
            part = {"type": "response.content_part.added", "output_index": 1, "content_index": 0, "part": {}}
            events += [event, part]
        else:
            events.append({**event, "sequence_number": number})
    return events


def without(*kinds: str) -> list[Event]:
    """That stream without events of these types."""
    return [event for event in whole_stream() if event["type"] not in kinds]


def changed(change: Callable[[Event], Event]) -> list[Event]:
    """That stream with every event changed."""
    return [change(event) for event in whole_stream()]


class _Case(SynchronousTestCase):
    def same(self, events: list[Event]) -> None:
        raw = sse(*events)
        out = run(ChatStream(PLAN), raw)
        self.assertEqual(run(ChatStream(PLAN), raw, size=7), out)
        answer = folded(out)
        [choice] = answer["choices"]
        self.assertEqual((choice["message"], choice["finish_reason"]), (ANSWER, "tool_calls"))
        self.assertEqual(answer["usage"]["total_tokens"], 5)


class LeftOutTests(_Case):
    """The same answer comes of a stream that lacks something."""

    def test_nothing(self) -> None:
        self.same(whole_stream())

    def test_created(self) -> None:
        self.same(without("response.created"))

    def test_output_index(self) -> None:
        self.same(changed(lambda event: {k: v for k, v in event.items() if k != "output_index"}))

    def test_item_ids(self) -> None:
        def bare(event: Event) -> Event:
            item = {"item": {k: v for k, v in event["item"].items() if k != "id"}} if "item" in event else {}
            return {**{k: v for k, v in event.items() if k != "item_id"}, **item}

        self.same(changed(bare))

    def test_content_and_summary_indexes(self) -> None:
        self.same(changed(lambda e: {k: v for k, v in e.items() if k not in ("content_index", "summary_index")}))

    def test_sequence_numbers(self) -> None:
        self.same(changed(lambda event: {k: v for k, v in event.items() if k != "sequence_number"}))

    def test_item_added(self) -> None:
        self.same(without("response.output_item.added"))

    def test_item_done(self) -> None:
        self.same(without("response.output_item.done"))

    def test_item_added_and_done(self) -> None:
        self.same(without("response.output_item.added", "response.output_item.done"))

    def test_content_parts(self) -> None:
        self.same(without("response.content_part.added", "response.content_part.done"))

    def test_all_deltas(self) -> None:
        self.same([event for event in whole_stream() if not event["type"].endswith(".delta")])

    def test_all_that_repeats_the_deltas(self) -> None:
        self.same([e for e in whole_stream() if not e["type"].endswith((".done", ".added")) or "item" in e])

    def test_all_but_the_items(self) -> None:
        self.same([event for event in whole_stream() if "item" in event or "response" in event])

    def test_all_but_the_terminal_event(self) -> None:
        self.same([event for event in whole_stream() if "response" in event])

    def test_the_output_of_the_terminal_event(self) -> None:
        for output in ([], None, [SAID]):
            end = {"type": "response.completed", "response": {**RESPONSE, "output": output}}
            self.same([*without("response.completed"), end])

    def test_calls_in_all_but_the_terminal_event(self) -> None:
        self.same([e for e in whole_stream() if e.get("output_index", 0) < 2])


class ChangedTests(_Case):
    """What servers write in another way."""

    def test_ids_that_rotate(self) -> None:
        def turn(number: int, event: Event) -> Event:
            event = {**event, "item_id": f"item_{number}"} if "item_id" in event else event
            event = {**event, "item": {**event["item"], "id": f"other_{number}"}} if "item" in event else event
            if "response" in event:
                output = [{**item, "id": f"third_{i}"} for i, item in enumerate(event["response"]["output"])]
                event = {**event, "response": {**event["response"], "id": f"resp_{number}", "output": output}}
            return event

        self.same([turn(*pair) for pair in enumerate(whole_stream())])

    def test_call_ids_that_the_terminal_event_makes_up_anew(self) -> None:
        output = [THOUGHT, SAID, {**CALL_F, "id": "x1", "call_id": "y1"}, {**CALL_G, "id": "x2", "call_id": "y2"}]
        for skipped in (0, 2):
            end = {"type": "response.completed", "response": {**RESPONSE, "output": output[skipped:]}}
            self.same([*without("response.completed"), end])

    def test_a_second_call_of_the_same_tool_is_another_call(self) -> None:
        again = {**CALL_F, "id": "fc_9", "call_id": "c9", "arguments": '{"a":9}'}
        for output in ([CALL_F, again], [again, CALL_F]):
            raw = stream(done(0, **CALL_F), completed(*output))
            self.assertEqual(calls(raw), [("c1", "f", '{"a":1}'), ("c9", "f", '{"a":9}')])

    def test_an_index_that_differs_from_event_to_event_of_an_item(self) -> None:
        raw = stream(
            added(0, **{**SAID, "content": []}),
            text("See", 1, item_id="msg_1"),
            text(" A", 1, item_id="msg_1"),
            done(0, **SAID),
            completed(SAID),
        )
        self.assertEqual(joined(raw, "content"), "See A")

    def test_parts_that_the_deltas_count_otherwise(self) -> None:
        whole = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "See A"}
        raw = stream(
            text("See", content_index=-1), text(" A", content_index=-1), whole, done(0, **SAID), completed(SAID)
        )
        self.assertEqual(joined(raw, "content"), "See A")
        part = {"type": "response.reasoning_summary_text.done", "output_index": 0, "text": "Hm. So."}
        raw = stream(summary("Hm. So.", part=3), {**part, "summary_index": 0}, done(0, **THOUGHT), completed(THOUGHT))
        self.assertEqual(joined(raw, "reasoning_content"), "Hm. So.")

    def test_a_second_part_without_deltas_is_not_taken_for_the_first(self) -> None:
        ends: list[Event] = [
            {"type": "response.output_text.done", "output_index": 0, "content_index": n, "text": t}
            for n, t in enumerate(("One", "Two"))
        ]
        self.assertEqual(joined(stream(text("One"), *ends, completed()), "content"), "OneTwo")
        item = {**SAID, "content": [{"type": "output_text", "text": t} for t in ("One", "Two")]}
        self.assertEqual(joined(stream(text("One"), ends[1], done(0, **item), completed()), "content"), "OneTwo")

    def test_parts_that_are_just_called_text(self) -> None:
        item = {**SAID, "content": [{"type": "text", "text": "See A"}]}
        thought = {"type": "reasoning", "summary": [], "content": [{"type": "text", "text": "Hm"}]}
        raw = stream(completed(thought, item))
        self.assertEqual((joined(raw, "reasoning_content"), joined(raw, "content")), ("Hm", "See A"))

    def test_a_summary_that_comes_after_the_models_own_text(self) -> None:
        own = {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "First, then."}
        item = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "First, then."}]}
        for told, expected in (
            ("A plan.", "First, then.\n\nA plan."),
            ("First,  then.", "First, then."),
            ("", "First, then."),
        ):
            whole = {**item, "summary": [{"type": "summary_text", "text": told}]}
            raw = stream(own, summary(told), done(0, **whole), completed(whole))
            self.assertEqual(joined(raw, "reasoning_content"), expected)

    def test_no_event_lines(self) -> None:
        raw = sse(*whole_stream())
        bare = b"\n".join(line for line in raw.split(b"\n") if not line.startswith(b"event:"))
        self.assertEqual(run(ChatStream(PLAN), bare), run(ChatStream(PLAN), raw))

    def test_event_lines_after_their_data(self) -> None:
        events = whole_stream()
        turned = b"".join(b"data: %s\nevent: %s\n\n" % (json.dumps(e).encode(), e["type"].encode()) for e in events)
        self.assertEqual(run(ChatStream(PLAN), turned), run(ChatStream(PLAN), sse(*events)))

    def test_a_type_in_the_event_line_alone(self) -> None:
        events = whole_stream()
        bare = b"".join(
            b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps({**e, "type": None}).encode()) for e in events
        )
        self.assertEqual(folded(run(ChatStream(PLAN), bare)), folded(run(ChatStream(PLAN), sse(*events))))

    def test_done_at_the_end(self) -> None:
        raw = sse(*whole_stream())
        self.assertEqual(run(ChatStream(PLAN), raw + b"data: [DONE]\n\n"), run(ChatStream(PLAN), raw))

    def test_another_name_for_the_terminal_event(self) -> None:
        end = {"type": "response.done", "response": RESPONSE}
        self.same([*without("response.completed"), end])


class DeltaTests(SynchronousTestCase):
    def test_white_space_is_text(self) -> None:
        raw = stream(text(" "), text("\n\n"), text("Hi"), text(" "), completed())
        self.assertEqual(joined(raw, "content"), " \n\nHi ")
        raw = stream(*map(summary, (" ", "Hm", "\n")), completed())
        self.assertEqual(joined(raw, "reasoning_content"), " Hm\n")

    def test_white_space_alone_is_no_reason_to_repeat_the_text(self) -> None:
        raw = stream(text("\n"), message(0, "\n"), completed(message(0, "\n")["item"]))
        self.assertEqual(joined(raw, "content"), "\n")

    def test_arguments_that_only_their_end_has(self) -> None:
        end = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a":1}'}
        for name in ({}, {"name": "f"}):
            raw = stream(added(**call(0, "c", "f")), {**end, **name}, done(**call(0, "c", "f")), completed())
            self.assertEqual(calls(raw), [("c", "f", '{"a":1}')])

    def test_arguments_that_only_the_item_has(self) -> None:
        raw = stream(added(**call(0, "c", "f")), done(**call(0, "c", "f", '{"a":1}')), completed())
        self.assertEqual(calls(raw), [("c", "f", '{"a":1}')])

    def test_a_call_with_arguments_that_are_an_object(self) -> None:
        raw = stream(done(0, type="function_call", call_id="c", name="f", arguments={"a": 1}), completed())
        self.assertEqual(calls(raw), [("c", "f", '{"a":1}')])

    def test_a_final_text_that_differs_changes_nothing(self) -> None:
        for final in ("See B", "See", "See A, B", " See A "):
            raw = stream(text("See "), text("A"), message(0, final), completed(message(0, final)["item"]))
            self.assertEqual(joined(raw, "content"), "See A")

    def test_final_arguments_that_differ_change_nothing(self) -> None:
        end = call(0, "c", "f", '{"a":2}')
        item = {key: value for key, value in end.items() if key != "index"}
        raw = stream(added(**call(0, "c", "f")), arguments('{"a":1}'), done(**end), completed(item))
        self.assertEqual(calls(raw), [("c", "f", '{"a":1}')])


class EnvelopeTests(SynchronousTestCase):
    def test_times_of_every_form(self) -> None:
        for value, expected in (
            (1700000000, 1700000000),
            (1700000000.75, 1700000000),
            ("1700000000", 1700000000),
            ("1700000000.5", 1700000000),
            ("2023-11-14T22:13:20Z", 1700000000),
            ("2023-11-14T23:13:20+01:00", 1700000000),
            ("2023-11-14T22:13:20", 1700000000),
            ("yesterday", 1234),
            ("nan", 1234),
            (-1, 1234),
            (1e300, 1234),
            (True, 1234),
            (None, 1234),
            ([], 1234),
        ):
            plan = AnswerPlan(stream=True, created=1234)
            raw = sse(
                {"type": "response.created", "response": {"id": "resp_1", "created_at": value}},
                text("Hi"),
                {"type": "response.completed", "response": {"status": "completed"}},
            )
            self.assertEqual({c["created"] for c in chunks(run(ChatStream(plan), raw))}, {expected}, value)
            response = json.dumps({**RESPONSE, "created_at": value}).encode()
            self.assertEqual(json.loads(run(ChatAnswer(plan), response))["created"], expected, value)

    def test_usage_that_is_null_or_missing(self) -> None:
        for usage in (None, 5, []):
            raw = stream(text("Hi"), completed(usage=usage), plan=PLAN)
            self.assertEqual(chunks(raw)[-1]["usage"]["total_tokens"], 0)
            answer = json.loads(run(ChatAnswer(AnswerPlan()), json.dumps({**RESPONSE, "usage": usage}).encode()))
            self.assertNotIn("usage", answer)

    def test_usage_with_nulls_and_with_chats_names(self) -> None:
        for usage in (
            {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": None, "total_tokens": None},
            {"prompt_tokens": 3, "completion_tokens": 2},
        ):
            found = chunks(stream(text("Hi"), completed(usage=usage), plan=PLAN))[-1]["usage"]
            self.assertEqual([found[f"{n}_tokens"] for n in ("prompt", "completion", "total")], [3, 2, 5])

    def test_a_terminal_event_without_its_response(self) -> None:
        for end in ({"type": "response.completed"}, {"type": "response.completed", "response": None}):
            raw = stream(text("Hi"), end)
            self.assertEqual((joined(raw, "content"), deltas(raw)[-1]), ("Hi", {}))
            self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "stop")


class NoticeTests(SynchronousTestCase):
    """Approvals are asked for, which a chat client cannot give; it is told so wherever it looks."""

    request = {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "n", "arguments": "{}"}

    def told(self, field: ReasoningField, *before: Event) -> tuple[str, str]:
        plan = AnswerPlan(stream=True, reasoning_field=field)
        raw = stream(*before, done(5, **self.request), completed(self.request), plan=plan)
        self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "stop")
        return joined(raw, "reasoning_content") + joined(raw, "reasoning"), joined(raw, "content")

    def test_in_the_reasoning_where_it_is_shown(self) -> None:
        for field in (ReasoningField.REASONING, ReasoningField.REASONING_CONTENT):
            reasoning, content = self.told(field, text("Hi"))
            self.assertIn("'s' wants approval to run 'n'", reasoning)
            self.assertEqual(content, "Hi")
        self.assertTrue(self.told(ReasoningField.THINK)[1].startswith("<think>\nThe MCP server 's'"))

    def test_in_the_content_where_it_is_not(self) -> None:
        for field in (ReasoningField.NONE, ReasoningField.THINK):
            reasoning, content = self.told(field, text("Hi"))
            self.assertEqual((reasoning, content.partition("\n\n")[0]), ("", "Hi"))
            self.assertIn("'s' wants approval to run 'n'", content)


class OutputTests(SynchronousTestCase):
    def test_pictures_that_code_made(self) -> None:
        outputs: list[Any] = [
            {"type": "logs", "logs": "1"},
            {"type": "image", "url": "data:image/png;base64,QUJD"},
            {"type": "image", "url": "https://a/b.png"},
            {"type": "image", "url": "cfile_1"},
            {"type": "image"},
            None,
        ]
        item = {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": outputs}
        raw = stream(done(0, **item), text("Hi", 1), completed(item))
        self.assertEqual(
            [delta["images"] for delta in deltas(raw) if "images" in delta],
            [
                [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}],
                [{"index": 1, "type": "image_url", "image_url": {"url": "https://a/b.png"}}],
            ],
        )
        self.assertEqual(joined(raw, "content"), "Hi")

    def test_without_outputs_there_are_none(self) -> None:
        for outputs in (None, [], "odd", 5):
            raw = stream(done(0, type="code_interpreter_call", outputs=outputs), completed())
            self.assertEqual([delta for delta in deltas(raw) if delta.get("images")], [])
