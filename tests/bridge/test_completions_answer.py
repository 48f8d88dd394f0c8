"""Chat answers as legacy completions: objects and streams, however the network cuts them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError, UpstreamIncomplete
from oaiproxy.bridge.completions import CompletionPlan, completion_error, completion_translator
from oaiproxy.bridge.failures import upstream_error
from tests.bridge.asking import off_schema
from tests.bridge.completing import EVENTS, answer, complete, folded, plan, response, streamed, token, usage, whole
from tests.bridge.wire import Event, added, chunks, completed, created, done, sse, summary, text

#: The legacy form of a sum of usage.
NO_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def off(completion: Event) -> list[str]:
    """What is wrong with a legacy completion or chunk by the published schema.  It forgets that chunks say null where a
    choice has not ended and where the usage is not known yet."""
    choices = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in completion["choices"]]
    value = {**completion, "choices": choices}
    if value.get("usage", 0) is None:
        del value["usage"]
    return off_schema("CreateCompletionResponse", value)


class ObjectTests(SynchronousTestCase):
    def test_a_response_is_a_text_completion(self) -> None:
        found = whole(plan(), response(" a", " time"))
        self.assertEqual(
            found,
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1700000000,
                "model": "gpt-5.1",
                "choices": [{"text": " a time", "index": 0, "logprobs": None, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, **NO_DETAILS},
            },
        )
        self.assertEqual(off(found), [])

    def test_the_prompt_is_echoed_where_that_is_asked_for(self) -> None:
        found = whole(plan("Once upon", echo=True), response(" a", " time"))
        self.assertEqual(found["choices"][0]["text"], "Once upon a time")

    def test_without_usage_none_is_made_up(self) -> None:
        self.assertNotIn("usage", whole(plan(), response("a", usage=None)))

    def test_a_refusal_stands_behind_the_text(self) -> None:
        content = [{"type": "refusal", "refusal": "I will not."}, {"type": "output_text", "text": "Well. "}]
        refused = response(output=[{"type": "message", "role": "assistant", "content": content}])
        self.assertEqual(whole(plan(), refused)["choices"][0]["text"], "Well. I will not.")

    def test_the_ends_are_those_that_this_api_has(self) -> None:
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}
        for fields, reason in (
            ({}, "stop"),
            ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
            ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
            ({"output": [call]}, "stop"),
        ):
            found = whole(plan(), response("a", **fields))
            self.assertEqual(found["choices"][0]["finish_reason"], reason)
            self.assertEqual(off(found), [])

    def test_reasoning_and_whatever_else_is_no_text_is_left_out(self) -> None:
        output = [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "image_generation_call", "result": "QUJD"},
            *response("Yes.")["output"],
        ]
        # the plan of a legacy request shows no summaries
        self.assertEqual(whole(plan(), response(output=output))["choices"][0]["text"], "Yes.")

    def test_an_empty_answer_is_an_empty_text(self) -> None:
        self.assertEqual(whole(plan(), response())["choices"][0]["text"], "")

    def test_nothing_comes_before_the_object_is_whole(self) -> None:
        joint = completion_translator(plan())
        joint.open(0, "application/json")
        raw = json.dumps(response("a")).encode()
        self.assertEqual([joint.feed(0, raw[:50]), joint.feed(0, raw[50:]), joint.keepalive()], [b""] * 3)
        self.assertFalse(joint.finished)
        self.assertTrue(json.loads(joint.end(0)))
        self.assertEqual((joint.finished, joint.over(0), joint.cut_short(0)), (True, True, False))

    def test_an_upstream_that_streams_all_the_same_is_collected(self) -> None:
        self.assertEqual(json.loads(answer(plan(), streamed(" a", " time"))), whole(plan(), response(" a", " time")))


class SeveralTests(SynchronousTestCase):
    def test_the_choices_of_several_prompts_are_counted_through(self) -> None:
        found = whole(
            plan("One", "Two", kept=2, made=2, echo=True), *(response(f" {n}", id=f"resp_{n}") for n in range(4))
        )
        self.assertEqual(
            [(choice["index"], choice["text"]) for choice in found["choices"]],
            [(0, "One 0"), (1, "One 1"), (2, "Two 2"), (3, "Two 3")],
        )
        self.assertEqual((found["id"], found["usage"]["prompt_tokens"]), ("cmpl-0", 40))
        self.assertEqual(off(found), [])

    def test_of_each_prompt_the_likeliest_answers_are_kept_the_best_one_first(self) -> None:
        values = {"a": -2.0, "b": -0.5, "c": -1.0, "d": -0.1, "e": -3.0, "f": -0.2}
        answers = [response(word, logprobs=[token(word, value)]) for word, value in values.items()]
        found = whole(plan("One", "Two", kept=2, made=3), *answers)
        self.assertEqual(
            [(choice["index"], choice["text"], choice["logprobs"]) for choice in found["choices"]],
            [(0, "b", None), (1, "c", None), (2, "d", None), (3, "f", None)],
        )
        self.assertEqual(found["usage"]["completion_tokens"], 6)

    def test_a_long_answer_is_as_good_as_its_tokens_are_on_average(self) -> None:
        long = response("a", "b", "c", logprobs=[token("a", -1.0), token("b", -1.0), token("c", -1.0)])
        found = whole(plan(kept=1, made=3), response("x", logprobs=[token("x", -1.5)]), response("?"), long)
        self.assertEqual([choice["text"] for choice in found["choices"]], ["abc"])

    def test_a_stream_interleaves_them(self) -> None:
        raw = answer(plan("One", "Two", stream=True, echo=True), streamed(" 1"), streamed(" 2", id="resp_2"))
        found = folded(raw)
        self.assertEqual([choice["text"] for choice in found["choices"]], ["One 1", "Two 2"])
        self.assertEqual((found["id"], "usage" in found), ("cmpl-1", False))
        self.assertEqual([off(chunk) for chunk in chunks(raw) if off(chunk)], [])


class StreamTests(SynchronousTestCase):
    def test_each_word_is_a_chunk_and_the_last_one_tells_the_end(self) -> None:
        head = b'data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"gpt-5.1","choices":'
        self.assertEqual(
            answer(plan(stream=True), streamed(" a", " time")),
            head + b'[{"text":" a","index":0,"logprobs":null,"finish_reason":null}]}\n\n'
            + head + b'[{"text":" time","index":0,"logprobs":null,"finish_reason":null}]}\n\n'
            + head + b'[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}]}\n\n'
            + b"data: [DONE]\n\n",
        )  # fmt: skip

    def test_usage_comes_last_and_is_null_before(self) -> None:
        found = chunks(answer(plan(stream=True, include_usage=True), streamed("a", "b")))
        self.assertEqual([chunk["usage"] for chunk in found[:-1]], [None] * 3)
        self.assertEqual(found[-1]["choices"], [])
        self.assertEqual(found[-1]["usage"]["total_tokens"], 12)

    def test_the_prompt_is_the_first_chunk_where_it_is_echoed(self) -> None:
        found = chunks(answer(plan("Once upon", stream=True, echo=True), streamed(" a")))
        self.assertEqual([chunk["choices"][0]["text"] for chunk in found], ["Once upon", " a", ""])

    def test_thoughts_and_calls_make_no_chunks(self) -> None:
        raw = sse(
            created(),
            added(0, type="reasoning"),
            summary("Hm."),
            added(1, type="function_call", call_id="c", name="f", arguments=""),
            done(1, type="function_call", call_id="c", name="f", arguments="{}"),
            text("Yes.", index=2),
            completed(usage=usage(1, 1)),
        )
        found = chunks(answer(plan(stream=True), raw))
        self.assertEqual([chunk["choices"][0]["text"] for chunk in found], ["Yes.", ""])
        self.assertEqual(found[-1]["choices"][0]["finish_reason"], "stop")

    def test_a_refusal_comes_at_the_end(self) -> None:
        refusal = {"type": "response.refusal.delta", "output_index": 0, "content_index": 1, "delta": "I will not."}
        raw = sse(created(), refusal, text("Well. "), completed())
        found = chunks(answer(plan(stream=True), raw))
        self.assertEqual([chunk["choices"][0]["text"] for chunk in found], ["Well. ", "I will not."])

    def test_a_stop_sequence_ends_it_and_upstream_is_left(self) -> None:
        joint = completion_translator(plan("x", stream=True, stop=("\n",), echo=True))
        joint.open(0, EVENTS)
        out = joint.feed(0, streamed("a", "b\n", "c", "d")[:-100])
        self.assertEqual(
            folded(out)["choices"], [{"text": "xab", "index": 0, "logprobs": None, "finish_reason": "stop"}]
        )
        self.assertEqual((joint.finished, joint.over(0), joint.cut_short(0)), (True, True, True))

    def test_an_upstream_that_does_not_stream_is_streamed_all_the_same(self) -> None:
        raw = json.dumps(response(" a time")).encode()
        found = folded(answer(plan(stream=True, include_usage=True), raw, content_type="application/json"))
        self.assertEqual(found, whole(plan(), response(" a time")))

    def test_the_status_waits_for_upstreams_first_output(self) -> None:
        joint = completion_translator(plan(stream=True))
        joint.open(0, EVENTS)
        self.assertEqual((joint.feed(0, sse(created())), joint.accepted, joint.acknowledged), (b"", False, True))
        self.assertIn(b'"text":"a"', joint.feed(0, sse(text("a"))))
        self.assertTrue(joint.accepted)

    def test_a_model_that_thinks_is_kept_alive_with_empty_texts(self) -> None:
        joint = completion_translator(plan(stream=True))
        joint.open(0, EVENTS)
        self.assertEqual(joint.keepalive(), b"")
        joint.feed(0, sse(created()))
        for _ in range(2):
            (choice,) = json.loads(joint.keepalive().removeprefix(b"data: "))["choices"]
            self.assertEqual(choice, {"text": "", "index": 0, "logprobs": None, "finish_reason": None})
        self.assertTrue(joint.accepted)
        self.assertEqual(folded(joint.feed(0, streamed("a")))["choices"][0]["text"], "a")
        self.assertEqual(joint.keepalive(), b"")


class FailureTests(SynchronousTestCase):
    def failed(self, plan: CompletionPlan) -> tuple[Any, ApiError]:
        error = {"code": "invalid_prompt", "message": "No.", "param": "input[0].content"}
        raw = sse(created(), text("a"), {"type": "error", **error})
        joint = completion_translator(plan)
        joint.open(0, EVENTS)
        out = joint.feed(0, raw)
        return (joint, out), self.assertRaises(ApiError, joint.end, 0)

    def test_an_error_in_the_middle_names_the_prompt(self) -> None:
        (joint, out), error = self.failed(plan(stream=True))
        self.assertIn(b'"text":"a"', out)
        self.assertEqual((error.status, error.code, error.param), (400, "invalid_prompt", "prompt"))
        self.assertEqual(
            json.loads(joint.fail(error).removeprefix(b"data: ")),
            {"error": {"message": "No.", "type": "invalid_request_error", "param": "prompt", "code": "invalid_prompt"}},
        )

    def test_a_stream_that_ends_with_no_closing_event_is_no_end(self) -> None:
        joint = completion_translator(plan(stream=True))
        joint.open(0, EVENTS)
        joint.feed(0, sse(created(), text("a")))
        self.assertRaises(UpstreamIncomplete, joint.end, 0)

    def test_a_failed_answer_names_the_clients_fields(self) -> None:
        for said, param in (
            ("input[1].content", "prompt"),
            ("max_output_tokens", "max_tokens"),
            ("top_logprobs", "logprobs"),
            ("temperature", "temperature"),
            (None, None),
        ):
            body = json.dumps({"error": {"message": "No.", "type": "invalid_request_error", "param": said}}).encode()
            chat = complete().plan.chat
            self.assertEqual(completion_error(upstream_error(400, "application/json", body, chat)).param, param)


#: Words of which answers are made.
WORDS = st.lists(st.sampled_from([" a", "b", "\n", "é", "🦊", "\u2028", '"', "END"]), max_size=6)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(words=WORDS, size=st.integers(1, 200), logprobs=st.sampled_from([None, 0, 2]), stop=st.booleans())
    def test_any_split_of_the_bytes_gives_the_same_output(
        self, words: list[str], size: int, logprobs: int | None, stop: bool
    ) -> None:
        entries = [token(word, -0.25 * n, ("x", -3.0)) for n, word in enumerate(words)]
        raw = streamed(*words, logprobs=entries)
        for stream in (True, False):
            how = plan("One é", stream=stream, logprobs=logprobs, stop=("END",) if stop else ())
            self.assertEqual(answer(how, raw, size=size), answer(how, raw))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        answers=st.lists(WORDS, min_size=4, max_size=4),
        echo=st.booleans(),
        shape=st.sampled_from([(4, 1), (2, 2), (1, 4)]),
        status=st.sampled_from(["completed", "incomplete"]),
    )
    def test_streamed_and_whole_answers_agree(
        self, answers: list[list[str]], echo: bool, shape: tuple[int, int], status: str
    ) -> None:
        prompts, n = shape
        fields = {"status": status}
        texts = [f"prompt {i}" for i in range(prompts)]
        how: dict[str, Any] = {"kept": n, "made": n, "echo": echo, "logprobs": None if echo else 1}
        said = [(words, [token(word, -0.5) for word in words]) for words in answers]
        finished = [response(*words, logprobs=entries, **fields) for words, entries in said]
        raws = [
            sse(created(), *(text(word, logprobs=[entry]) for word, entry in zip(words, entries, strict=True)), final)
            for (words, entries), final in zip(
                said, ({"type": f"response.{status}", "response": one} for one in finished), strict=True
            )
        ]
        object_ = whole(plan(*texts, **how), *finished)
        stream = folded(answer(plan(*texts, stream=True, include_usage=True, **how), *raws))
        self.assertEqual(stream, object_)
        self.assertEqual(off(object_), [])
