"""A response object as a chat completion, and the four ways through the answer half, which have to agree."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import ApiError, UpstreamIncomplete, UpstreamInvalid
from oaiproxy.bridge.answer import ChatAnswer, StreamedAnswer, answer_translator, completion
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from tests.bridge.wire import deltas, folded, run, sse, stream_of

PLAN = AnswerPlan()


def response(*output: Any, **fields: Any) -> dict[str, Any]:
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000.5,
        "model": "gpt-5.1",
        "status": "completed",
    }
    return {**whole, "output": list(output), **fields}


def said(*parts: Any, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"type": "message", "role": "assistant", "content": content, **more}


def thought(*parts: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": part} for part in parts], **more}


def called(call_id: str, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def choice(*output: Any, plan: AnswerPlan = PLAN, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = completion(response(*output, **fields), plan)["choices"][0]
    return found


def message(*output: Any, plan: AnswerPlan = PLAN, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = choice(*output, plan=plan, **fields)["message"]
    return found


class CompletionTests(SynchronousTestCase):
    def test_a_whole_completion(self) -> None:
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        self.assertEqual(
            completion(response(said("Hi"), usage=usage, service_tier="default", metadata={"a": "b"}), PLAN),
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1700000000,
                "model": "gpt-5.1",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 2,
                    "total_tokens": 5,
                    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": 0,
                        "audio_tokens": 0,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0,
                    },
                },
                "service_tier": "default",
                "metadata": {"a": "b"},
            },
        )

    def test_parts_follow_each_other_and_messages_have_a_blank_line_between_them(self) -> None:
        self.assertEqual(message(said("One", " more"), thought("Hm"), said("Two"))["content"], "One more\n\nTwo")

    def test_content_is_null_only_in_place_of_something_else(self) -> None:
        refusal = said({"type": "refusal", "refusal": "No."})
        for output, content in (
            ([], ""),
            ([said("")], ""),
            ([called("c", "f", "{}")], None),
            ([refusal], None),
            ([said("Hi"), called("c", "f", "{}")], "Hi"),
        ):
            self.assertEqual(message(*output)["content"], content, output)
        self.assertEqual(message(refusal)["refusal"], "No.")

    def test_tool_calls(self) -> None:
        found = choice(said("Let me see."), called("c", "f", '{"a":1}'), called("d", "g", ""))
        self.assertEqual(
            found["message"]["tool_calls"],
            [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "d", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        )
        self.assertEqual(found["finish_reason"], "tool_calls")

    def test_no_tool_calls_is_no_field(self) -> None:
        self.assertNotIn("tool_calls", message(said("Hi")))

    def test_a_call_of_a_program_is_a_call(self) -> None:
        program = {"type": "program", "id": "p", "call_id": "x", "code": "..."}
        found = message(program, called("c", "f", "{}", caller={"type": "program", "caller_id": "p"}))
        self.assertEqual([call["id"] for call in found["tool_calls"]], ["c"])

    def test_a_custom_tool_has_the_form_that_the_client_declared(self) -> None:
        item = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": 'SELECT "1"'}
        custom = message(item, plan=AnswerPlan(custom_tools=frozenset({"sql"})))["tool_calls"]
        self.assertEqual(custom, [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": 'SELECT "1"'}}])
        [function] = message(item)["tool_calls"]
        self.assertEqual(json.loads(function["function"]["arguments"]), {"input": 'SELECT "1"'})

    def test_a_client_that_speaks_functions(self) -> None:
        found = choice(called("c", "f", "{}"), called("d", "g", "{}"), plan=AnswerPlan(legacy_functions=True))
        self.assertEqual(found["finish_reason"], "function_call")
        self.assertEqual(found["message"]["function_call"], {"name": "f", "arguments": "{}"})
        self.assertNotIn("tool_calls", found["message"])

    def test_reasoning_goes_where_it_was_chosen_to(self) -> None:
        table: dict[ReasoningField, dict[str, Any]] = {
            ReasoningField.REASONING_CONTENT: {"content": "Hi", "reasoning_content": "One\n\nTwo\n\nThree"},
            ReasoningField.REASONING: {"content": "Hi", "reasoning": "One\n\nTwo\n\nThree"},
            ReasoningField.THINK: {"content": "<think>\nOne\n\nTwo\n\nThree\n</think>\n\nHi"},
            ReasoningField.NONE: {"content": "Hi"},
        }
        common: dict[str, Any] = {"role": "assistant", "refusal": None, "annotations": []}
        for field, expected in table.items():
            found = message(thought("One", "Two"), thought("Three"), said("Hi"), plan=AnswerPlan(reasoning_field=field))
            self.assertEqual(found, {**common, **expected}, field)

    def test_a_summary_comes_before_the_own_text(self) -> None:
        own = [{"type": "reasoning_text", "text": "Hmmm"}]
        self.assertEqual(message(thought("Hm", content=own))["reasoning_content"], "Hm")
        self.assertEqual(message(thought(content=own))["reasoning_content"], "Hmmm")
        self.assertNotIn("reasoning_content", message(thought()))

    def test_pictures(self) -> None:
        item = {"type": "image_generation_call", "result": "QUJD", "output_format": "webp"}
        [image] = message(item, {**item, "result": None})["images"]
        self.assertEqual(image, {"index": 0, "type": "image_url", "image_url": {"url": "data:image/webp;base64,QUJD"}})

    def test_citations_are_counted_from_the_beginning_of_the_content(self) -> None:
        cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
        parts = [{"type": "output_text", "text": text, "annotations": [cited]} for text in ("é🦊", "BC")]
        found = message(
            thought("Hm"), said(parts[0]), said(parts[1]), plan=AnswerPlan(reasoning_field=ReasoningField.THINK)
        )
        places = [a["url_citation"] for a in found["annotations"]]
        self.assertEqual([found["content"][p["start_index"] : p["end_index"]] for p in places], ["é🦊", "BC"])

    def test_logprobs(self) -> None:
        part = {"type": "output_text", "text": "ab", "logprobs": [{"token": "ab", "logprob": -1.5}]}
        expected = {
            "content": [{"token": "ab", "logprob": -1.5, "bytes": [97, 98], "top_logprobs": []}],
            "refusal": None,
        }
        self.assertEqual(choice(said(part), plan=AnswerPlan(logprobs=True))["logprobs"], expected)
        self.assertIsNone(choice(said(part))["logprobs"])
        self.assertIsNone(choice(said("ab"), plan=AnswerPlan(logprobs=True))["logprobs"])

    def test_usage_that_is_missing_is_left_out_and_details_are_filled_in(self) -> None:
        self.assertNotIn("usage", completion(response(said("Hi"), usage=None), PLAN))
        usage = completion(
            response(usage={"input_tokens": 3, "output_tokens": 2, "output_tokens_details": None}), PLAN
        )["usage"]
        self.assertEqual((usage["total_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]), (5, 0))

    def test_moderation_has_chats_form(self) -> None:
        result = {"type": "moderation_result", "model": "omni", "flagged": False, "categories": {}}
        error = {"type": "error", "code": "c", "message": "m"}
        found = completion(response(said("Hi"), moderation={"input": result, "output": error}), PLAN)["moderation"]
        self.assertEqual(found["input"], {"type": "moderation_results", "model": "omni", "results": [result]})
        self.assertEqual(found["output"], error)

    def test_every_way_to_end(self) -> None:
        table: list[tuple[list[Any], dict[str, Any], str]] = [
            ([said("Hi")], {}, "stop"),
            ([said("Hi")], {"status": None}, "stop"),
            ([called("c", "f", "{}")], {}, "tool_calls"),
            (
                [called("c", "f", '{"a')],
                {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
                "length",
            ),
            ([said("Hi")], {"status": "incomplete", "incomplete_details": {"reason": "max_tokens"}}, "length"),
            (
                [said("Hi")],
                {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
                "content_filter",
            ),
            ([said("Hi")], {"status": "incomplete", "incomplete_details": {"reason": "new"}}, "length"),
            ([thought()], {"status": "incomplete", "incomplete_details": None}, "length"),
        ]
        for output, fields, finish in table:
            self.assertEqual(choice(*output, **fields)["finish_reason"], finish, fields)

    def test_items_that_a_chat_client_has_never_heard_of_are_left_out(self) -> None:
        server_side = ("web_search_call", "file_search_call", "code_interpreter_call", "mcp_call", "mcp_list_tools")
        echoes = ("program_output", "shell_call_output", "function_call_output", "additional_tools")
        for kind in (*server_side, *echoes, "program", "compaction", "never_heard_of"):
            found = choice({"type": kind, "id": "x", "call_id": "y", "output": "z"}, said("Hi"))
            self.assertEqual((found["message"]["content"], found["finish_reason"]), ("Hi", "stop"), kind)
            self.assertNotIn("tool_calls", found["message"])


class FailureTests(SynchronousTestCase):
    def fails(self, body: bytes, plan: AnswerPlan = PLAN) -> ApiError:
        errors: list[ApiError] = [
            self.assertRaises(ApiError, run, kind(plan), body) for kind in (ChatAnswer, StreamedAnswer)
        ]
        self.assertEqual(errors[0].body(), errors[1].body())
        return errors[0]

    def test_a_failed_response_is_an_error(self) -> None:
        raw = json.dumps(response(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow."})).encode()
        error = self.fails(raw)
        self.assertEqual((error.status, error.message, error.code), (429, "Slow.", "rate_limit_exceeded"))

    def test_a_cancelled_response_is_an_error(self) -> None:
        self.assertEqual(self.fails(json.dumps(response(status="cancelled")).encode()).code, "response_cancelled")

    def test_a_response_that_is_not_finished_is_an_error(self) -> None:
        for status in ("queued", "in_progress"):
            error = self.fails(json.dumps(response(status=status)).encode())
            self.assertIsInstance(error, UpstreamIncomplete)
            self.assertIn(status, error.message)

    def test_an_error_on_status_200_is_an_error(self) -> None:
        error = self.fails(b'{"error":{"message":"No.","code":"model_not_found"}}')
        self.assertEqual((error.status, error.message), (404, "No."))

    def test_a_chat_completion_is_refused_with_a_hint(self) -> None:
        error = self.fails(b'{"object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}')
        self.assertIsInstance(error, UpstreamInvalid)
        self.assertIn("does not speak the Responses API", error.message)

    def test_what_is_no_response_is_refused(self) -> None:
        for raw in (b"{}", b"[]", b"null", b"<html>", b'{"object":"list","data":[]}', b'{"id":"resp_1","output":"'):
            self.assertEqual(self.fails(raw).status, 502, raw)
        self.assertIsInstance(self.fails(b""), UpstreamIncomplete)

    def test_a_body_over_the_limit_is_refused(self) -> None:
        self.assertRaises(UpstreamInvalid, ChatAnswer(PLAN, limit=10).feed, b"x" * 11)

    def test_only_a_stream_can_say_that_it_failed(self) -> None:
        error = ApiError("Oh.")
        self.assertEqual((ChatAnswer(PLAN).fail(error), StreamedAnswer(PLAN).fail(error)), (b"", error.event()))


class FactoryTests(SynchronousTestCase):
    def test_the_translator_fits_what_upstream_sends_and_what_the_client_wants(self) -> None:
        json_type, stream_type = "application/json", "text/event-stream; charset=utf-8"
        for stream, content_type, kind in (
            (True, stream_type, ChatStream),
            (True, "Text/Event-Stream", ChatStream),
            (True, json_type, StreamedAnswer),
            (True, "application/problem+json; charset=utf-8", StreamedAnswer),
            (True, "", ChatStream),
            (True, "text/plain", ChatStream),
            (False, stream_type, CollectedStream),
            (False, json_type, ChatAnswer),
            (False, "", ChatAnswer),
            (False, "application/octet-stream", ChatAnswer),
        ):
            self.assertIs(
                type(answer_translator(AnswerPlan(stream=stream), content_type)), kind, (stream, content_type)
            )

    def test_nothing_is_accepted_before_the_whole_object_is_there(self) -> None:
        raw = json.dumps(response(said("Hi"))).encode()
        for kind in (ChatAnswer, StreamedAnswer):
            translator = kind(PLAN)
            self.assertEqual(translator.feed(raw), b"")
            self.assertFalse(translator.accepted or translator.finished)
            self.assertTrue(translator.end())
            self.assertTrue(translator.accepted and translator.finished)
            self.assertEqual(translator.feed(raw) + translator.end(), b"")

    def test_a_streamed_answer_has_the_form_of_a_stream(self) -> None:
        raw = run(StreamedAnswer(AnswerPlan(stream=True)), json.dumps(response(thought("Hm"), said("Hi"))).encode())
        self.assertEqual(
            [sorted(d) for d in deltas(raw)], [["content", "refusal", "role"], ["reasoning_content"], ["content"], []]
        )


TEXT = st.text(max_size=12)
CITATION = st.builds(
    lambda a, b: {"type": "url_citation", "url": "https://a", "title": "A", "start_index": a, "end_index": b},
    st.integers(0, 9),
    st.integers(0, 9),
)
PART = st.one_of(
    st.builds(
        lambda text, cited: {"type": "output_text", "text": text, "annotations": cited, "logprobs": []},
        st.text(min_size=1, max_size=12),
        st.lists(CITATION, max_size=2),
    ),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, TEXT),
)
ARGUMENTS = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.none()), max_size=3).map(json.dumps)
ITEM = st.one_of(
    st.builds(lambda parts: said(*parts), st.lists(PART, max_size=3)),
    st.builds(lambda parts: thought(*parts), st.lists(TEXT, max_size=3)),
    st.builds(lambda text: thought(content=[{"type": "reasoning_text", "text": text}]), TEXT),
    st.builds(called, st.just("c"), st.sampled_from(["f", "g", "parallel", ""]), st.one_of(ARGUMENTS, TEXT)),
    st.builds(lambda text: {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": text}, TEXT),
    st.builds(lambda text: {"type": "image_generation_call", "result": text}, TEXT),
    st.sampled_from(
        [{"type": "web_search_call", "id": "ws"}, {"type": "local_shell_call", "call_id": "c", "action": {"a": 1}}]
    ),
    st.builds(lambda: {"type": "mcp_approval_request", "server_label": "s", "name": "n"}),
)
PLANS = st.builds(
    AnswerPlan,
    stream=st.just(True),
    include_usage=st.just(True),
    functions=st.sampled_from([frozenset(), frozenset({"f"}), frozenset({"parallel"})]),
    custom_tools=st.sampled_from([frozenset(), frozenset({"sql"})]),
    hosted_tools=st.sampled_from([frozenset(), frozenset({"local_shell"})]),
    names=st.sampled_from([{}, {"g": "g.g"}]),
    reasoning_field=st.sampled_from(ReasoningField),
)
ENDS = st.sampled_from(
    [
        {"status": "completed"},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
    ]
)


class AgreementTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.lists(ITEM, max_size=5), PLANS, ENDS, st.data())
    def test_the_four_ways_give_one_answer(
        self, items: list[dict[str, Any]], plan: AnswerPlan, end: dict[str, Any], data: st.DataObject
    ) -> None:
        whole = response(*items, usage={"input_tokens": 3, "output_tokens": 2}, **end)
        step = data.draw(st.integers(1, 5))
        raw = json.dumps(whole).encode()
        events = sse(*stream_of(whole, lambda text: [text[i : i + step] for i in range(0, len(text), step)]))
        expected = completion(whole, plan)
        self.assertEqual(json.loads(run(ChatAnswer(plan), raw)), expected)
        self.assertEqual(json.loads(run(CollectedStream(plan), events)), expected)
        self.assertEqual(folded(run(StreamedAnswer(plan), raw)), expected)
        self.assertEqual(folded(run(ChatStream(plan), events)), expected)
