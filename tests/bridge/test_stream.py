"""A Responses stream as chat chunks: events in, chunks out."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import ApiError, UpstreamIncomplete, UpstreamInvalid
from oaiproxy.bridge.events import EVENTS
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from tests.bridge.wire import (
    SHARED,
    STREAM,
    Event,
    added,
    arguments,
    call,
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

PLAN = STREAM
THINK = AnswerPlan(stream=True, reasoning_field=ReasoningField.THINK)


class ChunkTests(SynchronousTestCase):
    def test_a_text_answer_as_bytes(self) -> None:
        raw = stream(
            added(0, type="message"), text("Hel"), text("lo"), completed(usage={"input_tokens": 3, "output_tokens": 2})
        )
        head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5.1",'
        role = b'{"role":"assistant","content":"","refusal":null}'
        self.assertEqual(
            raw.split(b"\n\n"),
            [
                head + b'"choices":[{"index":0,"delta":' + role + b',"logprobs":null,"finish_reason":null}]}',
                head + b'"choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]}',
                head + b'"choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}]}',
                head + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}',
                b"data: [DONE]",
                b"",
            ],
        )

    def test_usage_comes_last_and_alone_and_all_others_say_null(self) -> None:
        plan = AnswerPlan(stream=True, include_usage=True)
        usage = {
            "input_tokens": 30,
            "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 4},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 35,
        }
        *others, last = chunks(stream(text("Hi"), completed(usage=usage), plan=plan))
        self.assertEqual([chunk["usage"] for chunk in others], [None] * 3)
        self.assertEqual(last["choices"], [])
        self.assertEqual(
            last["usage"],
            {
                "prompt_tokens": 30,
                "completion_tokens": 5,
                "total_tokens": 35,
                "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 2,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
        )

    def test_a_client_that_asked_for_usage_gets_its_chunk_though_upstream_does_not_count(self) -> None:
        last = chunks(stream(text("Hi"), completed(), plan=AnswerPlan(stream=True, include_usage=True)))[-1]
        self.assertEqual((last["choices"], last["usage"]["total_tokens"]), ([], 0))

    def test_a_chunk_holds_one_kind_of_payload(self) -> None:
        raw = stream(
            summary("hm"),
            text("Hi", 1),
            added(**call(2, "call_1", "f")),
            arguments("{}", 2),
            {"type": "response.refusal.delta", "output_index": 3, "delta": "No"},
            completed(),
            plan=AnswerPlan(stream=True, include_usage=True),
        )
        kinds = [sorted(delta) for delta in deltas(raw)]
        self.assertEqual(kinds[0], ["content", "refusal", "role"])
        self.assertEqual(
            kinds[1:], [["reasoning_content"], ["content"], ["tool_calls"], ["tool_calls"], ["refusal"], []]
        )

    def test_the_service_tier_is_the_final_one_if_chat_knows_it(self) -> None:
        for tier, shown in (
            ("default", "default"),
            ("priority", "priority"),
            ("ultrafast", None),
            (None, None),
            (5, None),
        ):
            last = chunks(stream(text("Hi"), completed(service_tier=tier)))[-1]
            self.assertEqual(last.get("service_tier"), shown, tier)

    def test_what_line_readers_cut_at_is_escaped(self) -> None:
        raw = stream(text("a\u2028b\x85c"), completed())
        self.assertEqual(joined(raw, "content"), "a\u2028b\x85c")
        self.assertEqual(len(raw.decode().splitlines()), len(raw.split(b"\n")) - 1)

    def test_later_input_is_ignored(self) -> None:
        translator = ChatStream(PLAN)
        translator.feed(sse(created(), text("Hi"), completed()))
        self.assertTrue(translator.finished)
        self.assertEqual(
            translator.feed(sse(text("more"), completed())) + translator.feed(b"data: {") + translator.end(), b""
        )

    def test_done_after_or_before_the_terminal_event_is_no_matter(self) -> None:
        events = sse(created(), text("Hi"))
        end = sse(completed())
        plain = run(ChatStream(PLAN), events + end)
        self.assertEqual(run(ChatStream(PLAN), events + end + b"data: [DONE]\n\n"), plain)
        self.assertEqual(run(ChatStream(PLAN), events + b"data: [DONE]\n\n" + end), plain)
        self.assertEqual(run(ChatStream(PLAN), events + b": ping\n\ndata:\n\ndata: ping\n\ndata: {}\n\n" + end), plain)

    def test_the_last_event_may_lack_its_blank_line(self) -> None:
        raw = sse(created(), text("Hi"), completed())
        self.assertEqual(run(ChatStream(PLAN), raw[:-2], size=5), run(ChatStream(PLAN), raw))


class EnvelopeTests(SynchronousTestCase):
    def envelope(self, raw: bytes, plan: AnswerPlan = PLAN) -> tuple[str, int, str]:
        found = {(c["id"], c["created"], c["model"]) for c in chunks(raw)}
        self.assertEqual(len(found), 1)
        return found.pop()

    def test_ids_that_change_from_event_to_event(self) -> None:
        end = completed()
        end["response"]["id"] = "resp_other"
        progress = {**created(id="resp_third"), "type": "response.in_progress"}
        self.assertEqual(self.envelope(stream(progress, text("Hi"), end)), ("chatcmpl-1", 1700000000, "gpt-5.1"))

    def test_a_fraction_of_a_second_is_cut_off(self) -> None:
        raw = run(ChatStream(PLAN), sse(created(created_at=1700000000.75), text("Hi"), completed()))
        self.assertEqual(self.envelope(raw)[1], 1700000000)

    def test_what_created_leaves_out_comes_from_the_next_events(self) -> None:
        bare = {"type": "response.created", "response": {"id": "resp_1", "object": "response", "status": "in_progress"}}
        full = {**created(), "type": "response.in_progress"}
        raw = run(ChatStream(PLAN), sse(bare, full, text("Hi"), completed()))
        self.assertEqual(self.envelope(raw), ("chatcmpl-1", 1700000000, "gpt-5.1"))

    def test_what_nobody_says_comes_from_the_plan(self) -> None:
        plan = AnswerPlan(stream=True, model="gpt-x", created=1234)
        bare = {"type": "response.created", "response": {"id": "resp_1", "created_at": "odd", "model": None}}
        self.assertEqual(
            self.envelope(run(ChatStream(plan), sse(bare, text("Hi"), completed()))), ("chatcmpl-1", 1234, "gpt-x")
        )

    def test_a_stream_without_any_id_gets_one_from_its_bytes(self) -> None:
        end = {"type": "response.completed", "response": {}}
        raw = run(ChatStream(PLAN), sse(text("Hi"), end))
        self.assertRegex(self.envelope(raw)[0], r"^chatcmpl-[0-9a-f]{32}$")
        self.assertEqual(raw, run(ChatStream(PLAN), sse(text("Hi"), end)))
        self.assertNotEqual(self.envelope(raw)[0], self.envelope(run(ChatStream(PLAN), sse(text("Ho"), end)))[0])


class TextTests(SynchronousTestCase):
    def test_two_messages_have_a_blank_line_between_them(self) -> None:
        raw = stream(
            added(0, type="message", phase="commentary"),
            text("One"),
            added(1, type="message"),
            text("Two", 1),
            completed(),
        )
        self.assertEqual(joined(raw, "content"), "One\n\nTwo")

    def test_two_parts_of_one_message_follow_each_other(self) -> None:
        raw = stream(text("One"), text("Two", content_index=1), completed())
        self.assertEqual(joined(raw, "content"), "OneTwo")

    def test_a_text_without_deltas_comes_with_its_end(self) -> None:
        whole = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hi"}
        self.assertEqual(
            joined(stream(added(0, type="message"), whole, message(0, "Hi"), completed()), "content"), "Hi"
        )
        self.assertEqual(joined(stream(added(0, type="message"), message(0, "Hi"), completed()), "content"), "Hi")
        self.assertEqual(joined(stream(message(0, "Hi"), completed()), "content"), "Hi")

    def test_a_text_that_only_the_terminal_event_has(self) -> None:
        self.assertEqual(joined(stream(completed(message(0, "Hi")["item"])), "content"), "Hi")

    def test_a_text_is_said_once_however_often_it_is_repeated(self) -> None:
        whole = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hi"}
        end = message(0, "Hi")
        for events in ([text("Hi"), whole, end], [text("Hi"), end, end], [whole, whole, end], [text("Hi")]):
            self.assertEqual(joined(stream(*events, completed(end["item"])), "content"), "Hi", events)

    def test_deltas_count_where_the_end_says_less_or_more(self) -> None:
        for final in ("H", "Hi there"):
            end = message(0, final)
            self.assertEqual(joined(stream(text("Hi"), end, completed(end["item"])), "content"), "Hi")

    def test_a_part_that_the_deltas_left_out_is_added(self) -> None:
        content = [{"type": "output_text", "text": "One"}, {"type": "output_text", "text": "Two"}]
        raw = stream(text("One"), done(0, type="message", content=content), completed())
        self.assertEqual(joined(raw, "content"), "OneTwo")

    def test_empty_deltas_make_no_chunk(self) -> None:
        self.assertEqual(len(chunks(stream(text(""), text(None), text(5), text("Hi"), completed()))), 3)  # type: ignore[arg-type]

    def test_content_that_is_a_string(self) -> None:
        self.assertEqual(joined(stream(done(0, type="message", content="Hi"), completed()), "content"), "Hi")

    def test_half_a_character_does_not_end_the_stream(self) -> None:
        raw = (
            sse(created())
            + b'data: {"type":"response.output_text.delta","delta":"a\\ud83d"}\n\n'
            + sse(text("b"), completed())
        )
        self.assertEqual(joined(run(ChatStream(PLAN), raw), "content"), "a\ufffdb")

    def test_bytes_that_are_not_utf_8_are_an_error_wherever_they_stand(self) -> None:
        item = b'{"type":"message","content":[{"type":"output_text","text":"a\xff"}]}'
        for event in (
            b'{"type":"response.output_text.delta","delta":"a\xff"}',
            b'{"type":"response.output_item.done","output_index":0,"item":' + item + b"}",
            b'{"type":"response.completed","response":{"output":[' + item + b"]}}",
        ):
            raw = sse(created()) + b"data: " + event + b"\n\n" + sse(completed())
            with self.assertRaises(UpstreamInvalid):
                run(ChatStream(PLAN), raw)


class RefusalTests(SynchronousTestCase):
    def test_a_refusal_goes_to_its_own_field(self) -> None:
        deltas_ = [
            {"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": d}
            for d in ("I ", "won't")
        ]
        whole = {"type": "response.refusal.done", "output_index": 0, "content_index": 0, "refusal": "I won't"}
        end = done(0, type="message", content=[{"type": "refusal", "refusal": "I won't"}])
        for events in ([*deltas_, whole, end], [whole, end], [end], [*deltas_, end], []):
            raw = stream(added(0, type="message"), *events, completed(end["item"]))
            self.assertEqual((joined(raw, "refusal"), joined(raw, "content")), ("I won't", ""))
            self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "stop")


class ReasoningTests(SynchronousTestCase):
    parts = (summary("One"), summary(" more"), summary("Two", part=1), summary("Three", 1))

    def test_parts_and_items_have_a_blank_line_between_them_and_none_at_the_end(self) -> None:
        raw = stream(*self.parts, text("Hi", 2), completed())
        self.assertEqual(joined(raw, "reasoning_content"), "One more\n\nTwo\n\nThree")
        self.assertEqual(joined(raw, "content"), "Hi")

    def test_the_field_is_the_one_that_was_chosen(self) -> None:
        for field in (ReasoningField.REASONING, ReasoningField.REASONING_CONTENT):
            plan = AnswerPlan(stream=True, reasoning_field=field)
            raw = stream(*self.parts, text("Hi", 2), completed(), plan=plan)
            self.assertEqual({key for delta in deltas(raw)[1:] for key in delta}, {field.value, "content"})

    def test_the_text_begins_with_the_message_and_not_with_the_thoughts(self) -> None:
        for events, content in (
            ((added(0, type="message"), text("Hi")), ""),
            ((text("Hi"),), ""),
            ((added(0, type="reasoning"), summary("Hm.")), None),
            ((added(0, type="function_call", name="f", call_id="c"), arguments("{}")), None),
        ):
            self.assertEqual(deltas(stream(*events, completed()))[0]["content"], content, events)

    def test_none_means_none(self) -> None:
        raw = stream(
            *self.parts, text("Hi", 2), completed(), plan=AnswerPlan(stream=True, reasoning_field=ReasoningField.NONE)
        )
        self.assertEqual([delta.get("content") for delta in deltas(raw)], [None, "Hi", None])

    def test_think_is_one_block_at_the_head_of_the_content(self) -> None:
        raw = stream(*self.parts, text("Hi", 2), summary("Late", 3), text("!", 2), completed(), plan=THINK)
        self.assertEqual(joined(raw, "content"), "<think>\nOne more\n\nTwo\n\nThree\n</think>\n\nHi!")
        self.assertEqual({key for delta in deltas(raw)[1:] for key in delta}, {"content"})

    def test_think_is_closed_before_a_call_and_at_the_end(self) -> None:
        raw = stream(summary("Hm"), added(**call(1, "call_1", "f")), summary("Hm", 2), completed(), plan=THINK)
        self.assertEqual(
            [d.get("content") or bool(d.get("tool_calls")) for d in deltas(raw)[1:4]],
            ["<think>\nHm", "\n</think>\n\n", True],
        )
        self.assertEqual(joined(stream(summary("Hm"), completed(), plan=THINK), "content"), "<think>\nHm\n</think>\n\n")

    def test_a_summary_without_deltas(self) -> None:
        part = {"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 0, "text": "Hm"}
        end = done(0, type="reasoning", summary=[{"type": "summary_text", "text": "Hm"}])
        for events in ([part, end], [end], [summary("Hm"), part, end], []):
            raw = stream(added(0, type="reasoning", summary=[]), *events, completed(end["item"]))
            self.assertEqual(joined(raw, "reasoning_content"), "Hm", events)

    def test_the_own_text_of_open_models(self) -> None:
        deltas_ = [
            {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": d}
            for d in ("H", "m")
        ]
        whole = {"type": "response.reasoning_text.done", "output_index": 0, "content_index": 0, "text": "Hm"}
        end = done(0, type="reasoning", summary=[], content=[{"type": "reasoning_text", "text": "Hm"}])
        for events in ([*deltas_, whole, end], [whole, end], [end], []):
            raw = stream(added(0, type="reasoning", summary=[]), *events, completed(end["item"]))
            self.assertEqual(joined(raw, "reasoning_content"), "Hm", events)

    def test_an_item_with_both_is_shown_once(self) -> None:
        raw_delta = {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "Hmmm"}
        both = {
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "content": [{"type": "reasoning_text", "text": "Hmmm"}],
        }
        end = done(0, type="reasoning", **both)
        for events, shown in (
            ([raw_delta, summary("Hm"), end], "Hmmm"),
            ([summary("Hm"), raw_delta, end], "Hm"),
            ([end], "Hm"),
        ):
            self.assertEqual(joined(stream(*events, completed(end["item"])), "reasoning_content"), shown)

    def test_a_request_for_approval_is_not_lost(self) -> None:
        ask = done(0, type="mcp_approval_request", server_label="wiki", name="read", arguments="{}")
        raw = stream(ask, completed(ask["item"]))
        self.assertEqual(joined(raw, "content"), "")
        self.assertIn("'wiki' wants approval to run 'read'", joined(raw, "reasoning_content"))
        self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "stop")


class FinishTests(SynchronousTestCase):
    def test_every_way_to_end(self) -> None:
        table: list[tuple[str, dict[str, Any], str]] = [
            ("response.completed", {}, "stop"),
            ("response.completed", {"status": None}, "stop"),
            ("response.done", {}, "stop"),
            (
                "response.incomplete",
                {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
                "length",
            ),
            ("response.incomplete", {"status": "incomplete", "incomplete_details": {"reason": "max_tokens"}}, "length"),
            (
                "response.incomplete",
                {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
                "content_filter",
            ),
            ("response.incomplete", {"status": "incomplete", "incomplete_details": {"reason": "new"}}, "length"),
            ("response.incomplete", {"status": None, "incomplete_details": None}, "length"),
            (
                "response.completed",
                {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
                "content_filter",
            ),
        ]
        for kind, fields, finish in table:
            raw = stream(text("Hi"), {**completed(**fields), "type": kind})
            self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], finish, (kind, fields))

    def test_an_answer_cut_off_before_its_first_word(self) -> None:
        end = {
            **completed(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "type": "response.incomplete",
        }
        raw = stream(added(0, type="reasoning", summary=[]), end)
        self.assertEqual([d.get("content") for d in deltas(raw)], [None, "", None])
        self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "length")


class ErrorTests(SynchronousTestCase):
    failed = {
        "type": "response.failed",
        "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow."}},
    }

    def error(self, *events: Event, plan: AnswerPlan = PLAN) -> ApiError:
        found: ApiError = self.assertRaises(ApiError, run, ChatStream(plan), sse(created(), *events))
        return found

    def test_a_failure_before_output_is_a_real_error(self) -> None:
        progress = {**created(), "type": "response.in_progress"}
        flat = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow.", "param": "max_output_tokens"}
        nested = {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow.", "param": None}}
        for event in (flat, nested, self.failed, {**self.failed, "type": "response.completed"}):
            translator = ChatStream(PLAN)
            error = self.assertRaises(ApiError, translator.feed, sse(created(), progress, event))
            self.assertEqual((error.status, error.message, error.code), (429, "Slow.", "rate_limit_exceeded"))
            self.assertFalse(translator.accepted)
        self.assertEqual(self.error(flat).param, "max_completion_tokens")

    def test_an_error_without_a_type(self) -> None:
        raw = sse(created()) + b'data: {"error":{"message":"No.","code":400}}\n\n'
        error = self.assertRaises(ApiError, run, ChatStream(PLAN), raw)
        self.assertEqual((error.status, error.message), (400, "No."))

    def test_a_type_that_only_the_event_line_has(self) -> None:
        raw = sse(created()) + b'event: error\ndata: {"message":"No.","code":"invalid_prompt"}\n\n'
        self.assertEqual(self.assertRaises(ApiError, run, ChatStream(PLAN), raw).status, 400)

    def test_a_failure_after_output_is_raised_behind_it(self) -> None:
        events = sse(created(), text("Hi")), sse(self.failed)
        apart, together = ChatStream(PLAN), ChatStream(PLAN)
        written = apart.feed(events[0])
        self.assertRaises(ApiError, apart.feed, events[1])
        self.assertEqual(together.feed(events[0] + events[1]), written)
        self.assertTrue(together.accepted)
        self.assertRaises(ApiError, together.end)
        self.assertNotIn(b'finish_reason":"', written)

    def test_after_a_failure_nothing_more_comes(self) -> None:
        translator = ChatStream(PLAN)
        self.assertRaises(ApiError, translator.feed, sse(created(), self.failed))
        self.assertEqual(translator.feed(sse(text("Hi"), completed())) + translator.end(), b"")
        self.assertFalse(translator.finished)

    def test_in_a_stream_an_error_is_one_event_without_done(self) -> None:
        error = ApiError("Oh.", code="c")
        self.assertEqual(ChatStream(PLAN).fail(error), error.event())
        self.assertEqual(CollectedStream(PLAN).fail(error), b"")

    def test_a_cancelled_response_is_an_error(self) -> None:
        for event in (completed(status="cancelled"), {"type": "response.cancelled", "response": {}}):
            self.assertEqual(self.error(event).code, "response_cancelled")

    def test_every_early_end_is_an_error_and_never_a_stop(self) -> None:
        events = [
            created(),
            added(0, type="message"),
            text("Hi"),
            message(0, "Hi"),
            added(**call(1, "c", "f")),
            arguments("{}", 1),
            completed(),
        ]
        raw = sse(*events)
        for end in range(len(raw) - 3):
            translator = ChatStream(PLAN)
            written = translator.feed(raw[:end])
            error = self.assertRaises(UpstreamIncomplete, translator.end)
            self.assertEqual((error.status, error.code), (502, "upstream_incomplete"))
            self.assertNotIn(b'"finish_reason":"', written)
            self.assertNotIn(b"[DONE]", written)

    def test_a_stream_of_chat_chunks_is_refused_with_a_hint(self) -> None:
        raw = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
        error = self.assertRaises(UpstreamInvalid, run, ChatStream(PLAN), raw)
        self.assertIn("does not speak the Responses API", error.message)

    def test_an_event_that_is_no_json_is_refused(self) -> None:
        error = self.assertRaises(UpstreamInvalid, run, ChatStream(PLAN), sse(created()) + b'data: {"type":\n\n')
        self.assertEqual(error.status, 502)

    def test_an_event_over_the_limit_is_refused(self) -> None:
        self.assertRaises(UpstreamInvalid, run, ChatStream(PLAN, limit=200), sse(text("x" * 300)))


class AcceptanceTests(SynchronousTestCase):
    def test_only_output_shows_that_upstream_took_the_request(self) -> None:
        waiting = [
            created(),
            {**created(), "type": "response.queued"},
            {**created(), "type": "response.in_progress"},
            {"type": "codex.rate_limits", "limit_reached": True},
            {"type": "keepalive"},
            {"type": "never.heard.of"},
        ]
        for first in (added(0, type="reasoning"), text("Hi"), summary("Hm"), arguments("{}"), completed()):
            translator = ChatStream(PLAN)
            self.assertEqual(translator.feed(sse(*waiting)), b"")
            self.assertFalse(translator.accepted)
            translator.feed(sse(first))
            self.assertTrue(translator.accepted, first)

    def test_a_collected_stream_is_accepted_when_it_is_whole(self) -> None:
        translator = CollectedStream(AnswerPlan())
        self.assertEqual(translator.feed(sse(created(), text("Hi"))), b"")
        self.assertFalse(translator.accepted)
        self.assertEqual(json.loads(translator.feed(sse(completed())))["choices"][0]["message"]["content"], "Hi")
        self.assertTrue(translator.accepted and translator.finished)


class EventTableTests(SynchronousTestCase):
    def test_every_event_of_the_schema_is_decided(self) -> None:
        path = SHARED / "spec" / "openai-api.json"
        if not path.exists():
            raise SkipTest("../shared/spec/openai-api.json is absent")
        schemas = json.loads(path.read_text())["components"]["schemas"]
        union = schemas["ResponseStreamEvent"]
        names = [ref["$ref"].rsplit("/", 1)[1] for ref in union.get("anyOf") or union["oneOf"]]
        types = {schemas[name]["properties"]["type"]["enum"][0] for name in names}
        self.assertEqual(types - set(EVENTS), set())

    def test_an_event_without_a_handler_gives_the_client_nothing(self) -> None:
        for kind, rule in EVENTS.items():
            if rule.handler is None:
                raw = stream(
                    text("Hi"),
                    {"type": kind, "output_index": 0, "delta": "x", "text": "x", "item_id": "y"},
                    completed(),
                )
                self.assertEqual(joined(raw, "content"), "Hi", kind)
                self.assertEqual(len(chunks(raw)), 3, kind)


class CutOffTests(SynchronousTestCase):
    def test_a_text_that_nobody_waits_for_any_longer_leaves_nothing_to_the_garbage_collector(self) -> None:
        translator = ChatStream(PLAN)
        translator.feed(sse(created(), added(0, type="message"), text("Hel")))
        gone = weakref.ref(translator._turn)
        gc.disable()
        self.addCleanup(gc.enable)
        del translator
        self.assertIsNone(gone())
