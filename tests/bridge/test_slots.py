"""Which item an event is about, in streams of servers that leave out what the schema requires."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.events import EVENTS
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream
from tests.bridge.wire import (
    STREAM,
    added,
    arguments,
    call,
    calls,
    chunks,
    completed,
    created,
    deltas,
    done,
    joined,
    message,
    run,
    sse,
    stream,
    summary,
    text,
)


class OddServerTests(SynchronousTestCase):
    """Streams of servers that leave out what the schema requires."""

    def test_llama_cpp_without_any_index(self) -> None:
        reasoning = {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
        }
        said = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi"}]}
        tools = [
            {"type": "function_call", "call_id": f"fc_{n}", "name": f"f{n}", "arguments": f'{{"a":{n}}}'}
            for n in (1, 2)
        ]
        raw = stream(
            added(None, **{**reasoning, "content": []}),
            {"type": "response.reasoning_text.delta", "item_id": "rs_1", "delta": "Hm"},
            added(None, **{**said, "content": []}),
            {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "H"},
            {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "i"},
            added(None, **{**tools[0], "arguments": ""}),
            arguments('{"a":1}', None, item_id="fc_1"),
            added(None, **{**tools[1], "arguments": ""}),
            arguments('{"a":2', None, item_id="fc_2"),
            done(None, **reasoning),
            {"type": "response.output_text.done", "item_id": "msg_1", "text": "Hi"},
            done(None, **said),
            *(done(None, **tool) for tool in tools),
            completed(reasoning, said, *tools),
        )
        self.assertEqual((joined(raw, "reasoning_content"), joined(raw, "content")), ("Hm", "Hi"))
        self.assertEqual(calls(raw), [("fc_1", "f1", '{"a":1}'), ("fc_2", "f2", '{"a":2}')])

    def test_a_new_id_on_every_event(self) -> None:
        tool = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        said = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
        raw = stream(
            added(0, **{**said, "content": []}, id="a1"),
            text("H", item_id="a2"),
            added(1, **{**tool, "arguments": ""}, id="b1"),
            text("i", item_id="a3"),
            arguments("{", 1, item_id="b2"),
            arguments("}", 1, item_id="b3"),
            done(0, **said, id="a4"),
            done(1, **tool, id="b4"),
            completed({**said, "id": "a5"}, {**tool, "id": "b5"}),
        )
        self.assertEqual((joined(raw, "content"), calls(raw)), ("Hi", [("c", "f", "{}")]))

    def test_two_calls_with_the_same_index(self) -> None:
        raw = stream(
            added(**call(0, "a", "f", id="fc_a")),
            added(**call(0, "b", "g", id="fc_b")),
            arguments('{"a"', 0, item_id="fc_a"),
            arguments('{"b"', 0, item_id="fc_b"),
            arguments(":1}", 0, item_id="fc_a"),
            arguments(":2}", 0, item_id="fc_b"),
            done(**call(0, "a", "f", '{"a":1}', id="fc_a")),
            done(**call(0, "b", "g", '{"b":2}', id="fc_b")),
            completed(),
        )
        self.assertEqual(calls(raw), [("a", "f", '{"a":1}'), ("b", "g", '{"b":2}')])

    def test_everything_has_index_0(self) -> None:
        raw = stream(
            added(0, type="reasoning", id="r"),
            summary("H"),
            added(0, type="message", id="m"),
            text("H"),
            summary("m"),
            text("i"),
            added(**call(0, "c", "f")),
            arguments("{}"),
            text("!"),
            completed(),
        )
        self.assertEqual((joined(raw, "reasoning_content"), joined(raw, "content")), ("Hm", "Hi!"))
        self.assertEqual(calls(raw), [("c", "f", "{}")])

    def test_two_calls_one_after_the_other_with_neither_index_nor_ids(self) -> None:
        raw = stream(
            *(
                added(None, type="function_call", name="f"),
                arguments('{"a":1}', None),
                done(None, type="function_call", name="f"),
            ),
            *(
                added(None, type="function_call", name="g"),
                arguments('{"b":2}', None),
                done(None, type="function_call", name="g"),
            ),
            completed(),
        )
        self.assertEqual([(name, text_) for _, name, text_ in calls(raw)], [("f", '{"a":1}'), ("g", '{"b":2}')])

    def test_an_index_that_only_later_events_have(self) -> None:
        raw = stream(
            added(None, type="function_call", call_id="c", name="f"),
            {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": '{"a":5}'},
            done(None, type="function_call", call_id="c", name="f", arguments='{"a":5}'),
            completed(),
        )
        self.assertEqual(calls(raw), [("c", "f", '{"a":5}')])

    def test_an_item_that_the_final_output_leaves_out(self) -> None:
        said = message(1, "Hi")["item"]
        raw = stream(
            added(0, type="reasoning"), summary("Hm"), added(1, type="message"), text("Hi", 1), completed(said)
        )
        self.assertEqual(joined(raw, "content"), "Hi")

    def test_items_that_end_in_another_order(self) -> None:
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
        raw = stream(
            added(0, type="reasoning", summary=[]),
            summary("Hm"),
            added(**call(1, "c", "f")),
            arguments("{}", 1),
            done(**call(1, "c", "f", "{}")),
            done(0, **thought),
            completed(),
        )
        self.assertEqual((joined(raw, "reasoning_content"), calls(raw)), ("Hm", [("c", "f", "{}")]))

    def test_nothing_but_the_terminal_event(self) -> None:
        items = [message(0, "Hi")["item"], {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]
        raw = run(ChatStream(STREAM), sse(completed(*items)))
        self.assertEqual((joined(raw, "content"), calls(raw)), ("Hi", [("c", "f", "{}")]))

    def test_fields_of_every_wrong_type_do_not_end_the_stream(self) -> None:
        odd: list[Any] = [None, True, 5, 1.5, "odd", [], [1], {}, {"a": 1}]
        names = (
            "output_index",
            "item_id",
            "content_index",
            "summary_index",
            "delta",
            "text",
            "item",
            "part",
            "annotation",
            "logprobs",
            "refusal",
            "arguments",
            "input",
            "response",
        )
        ends = {
            "response.completed",
            "response.done",
            "response.incomplete",
            "response.failed",
            "response.cancelled",
            "error",
        }
        plan = AnswerPlan(stream=True, logprobs=True)
        for value in odd:
            events = [{"type": kind, **dict.fromkeys(names, value)} for kind in EVENTS if kind not in ends]
            items = [
                {"type": t, **dict.fromkeys(("content", "summary", "call_id", "name", "id"), value)}
                for t in ("message", "reasoning", "function_call")
            ]
            items += [
                {"type": value},
                {"type": "image_generation_call", "result": value},
                {"type": "mcp_approval_request", "name": value},
            ]
            events += [done(0, **item) for item in items]
            fields = dict.fromkeys(
                ("output", "usage", "incomplete_details", "service_tier", "metadata", "moderation"), value
            )
            raw = run(
                ChatStream(plan), sse(created(), *events, text("Hi", 99), completed(**{**fields, "output": items}))
            )
            self.assertIn("Hi", joined(raw, "content"))
            response = {**completed()["response"], **fields}
            self.assertIn(
                "Hi",
                joined(
                    run(ChatStream(plan), sse(text("Hi"), {"type": "response.completed", "response": response})),
                    "content",
                ),
            )

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.data())
    def test_events_that_are_lost_or_doubled_never_break_the_form(self, data: st.DataObject) -> None:
        said, tool = (
            message(1, "Hi")["item"],
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
        )
        events = [
            added(0, type="reasoning"), summary("H"), summary("m", part=1), done(0, type="reasoning", summary=[]),
            added(1, type="message"), text("H", 1), text("i", 1), done(1, **said),
            added(2, **{**tool, "arguments": ""}), arguments('{"a"', 2), arguments(":1}", 2), done(2, **tool),
        ]  # fmt: skip
        kept = data.draw(st.lists(st.sampled_from(events), max_size=20))
        for event in kept:
            if data.draw(st.booleans()):
                event = {key: value for key, value in event.items() if key != "output_index"}
        raw = stream(*kept, completed(said, tool))
        found = chunks(raw)
        self.assertEqual([c["choices"][0]["finish_reason"] for c in found].count(None), len(found) - 1)
        self.assertEqual(deltas(raw)[0]["role"], "assistant")
        self.assertGreaterEqual(len(calls(raw)), 1)
