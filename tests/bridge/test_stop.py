"""Stop sequences, which Responses has not: the text ends before the first of them, and upstream with it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.answer import ChatAnswer, answer_translator
from oaiproxy.bridge.plan import AnswerPlan
from oaiproxy.bridge.stream import ChatStream, CollectedStream
from tests.bridge.asking import ask
from tests.bridge.wire import (
    Event,
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


def plan(*stops: str, **more: Any) -> AnswerPlan:
    """What a client that streams gets with these stop sequences."""
    return AnswerPlan(stream=True, stop=stops, **more)


def ending(raw: bytes) -> Any:
    """The finish reason of a stream."""
    return chunks(raw)[-1]["choices"][0]["finish_reason"]


class AskedTests(SynchronousTestCase):
    def test_a_string_or_up_to_four_in_a_list(self) -> None:
        for given, stops in (("END", ("END",)), (["a", "b", "c", "d"], ("a", "b", "c", "d")), ("", ()), ([], ())):
            translation = ask(stop=given)
            self.assertEqual(translation.plan.stop, stops)
            told = ("usage is not known where a stop sequence ends the answer",) if stops else ()
            self.assertEqual(translation.warnings, told)
            self.assertNotIn("stop", json.loads(translation.body))

    def test_more_or_others_are_refused_by_their_place(self) -> None:
        for given, param, code in (
            (["a"] * 5, "stop", "array_above_max_length"),
            (5, "stop", "invalid_type"),
            ({"a": 1}, "stop", "invalid_type"),
            (["a", 5], "stop[1]", "invalid_type"),
            ([None], "stop[0]", "invalid_type"),
        ):
            error = self.assertRaises(BadRequest, ask, stop=given)
            self.assertEqual((error.status, error.param, error.code), (400, param, code), given)

    def test_upstream_is_asked_for_a_stream_whatever_the_client_wants(self) -> None:
        for wanted in (None, False, True):
            translation = ask(stop="END", stream=wanted)
            self.assertIs(json.loads(translation.body)["stream"], True)
            self.assertEqual((translation.plan.stream, translation.plan.asks_stream), (wanted is True, True))
        self.assertNotIn("stream", json.loads(ask().body))


class StreamTests(SynchronousTestCase):
    def test_the_text_ends_before_the_first_match(self) -> None:
        raw = stream(text("one END two STOP"), text("three"), completed(), plan=plan("STOP", "END"))
        self.assertEqual([delta.get("content") for delta in deltas(raw)], ["", "one ", None])
        self.assertEqual(ending(raw), "stop")

    def test_a_match_across_deltas(self) -> None:
        raw = stream(text("one E"), text("N"), text("D two"), completed(), plan=plan("END"))
        self.assertEqual((joined(raw, "content"), ending(raw)), ("one ", "stop"))

    def test_what_only_looked_like_one_comes_with_the_rest(self) -> None:
        raw = stream(text("one E"), text("N"), completed(), plan=plan("END"))
        self.assertEqual([delta.get("content") for delta in deltas(raw)], ["", "one ", "EN", None])

    def test_the_whole_answer_may_be_one(self) -> None:
        raw = stream(text("END"), completed(), plan=plan("END"))
        self.assertEqual([list(delta) for delta in deltas(raw)], [["role", "content", "refusal"], []])

    def test_without_a_match_the_answer_is_as_ever(self) -> None:
        events = [summary("Hm"), text("one ", 1), text("two", 1), added(**call(2, "c", "f")), completed()]
        self.assertEqual(stream(*events, plan=plan("END")), stream(*events))

    def test_upstream_need_not_go_on(self) -> None:
        translator = ChatStream(plan("END"))
        out = translator.feed(sse(created(), text("one ")))
        self.assertFalse(translator.finished or translator.cut_short)
        out += translator.feed(sse(text("END"), text("two")))
        self.assertTrue(translator.finished and translator.cut_short)
        self.assertEqual((joined(out, "content"), ending(out)), ("one ", "stop"))
        self.assertEqual(translator.feed(sse(completed())) + translator.end(), b"")

    def test_an_answer_that_ends_by_itself_is_not_cut_short(self) -> None:
        translator = ChatStream(plan("END"))
        run(translator, sse(created(), text("one"), completed()))
        self.assertFalse(translator.cut_short)

    def test_usage_that_was_asked_for_comes_though_nobody_counted(self) -> None:
        last = chunks(stream(text("one END"), plan=plan("END", include_usage=True)))[-1]
        self.assertEqual((last["choices"], last["usage"]["total_tokens"]), ([], 0))

    def test_a_text_without_deltas_is_stopped_too(self) -> None:
        for event in (message(0, "one END two"), completed(message(0, "one END two")["item"])):
            raw = stream(event, *([] if event["type"] == "response.completed" else [completed()]), plan=plan("END"))
            self.assertEqual((joined(raw, "content"), ending(raw)), ("one ", "stop"))

    def test_it_is_not_looked_for_in_reasoning_refusals_and_arguments(self) -> None:
        refusal = {"type": "response.refusal.delta", "output_index": 1, "delta": "No END."}
        raw = stream(
            summary("an END"),
            refusal,
            added(**call(2, "c", "f")),
            arguments('{"a":"END"}', 2),
            completed(),
            plan=plan("END"),
        )
        self.assertEqual((joined(raw, "reasoning_content"), joined(raw, "refusal")), ("an END", "No END."))
        self.assertEqual((calls(raw), ending(raw)), ([("c", "f", '{"a":"END"}')], "tool_calls"))

    def test_a_stopped_answer_stays_a_stop_when_upstream_ran_out_of_tokens(self) -> None:
        cut = {"incomplete_details": {"reason": "max_output_tokens"}, "status": "incomplete"}
        raw = stream(completed(message(0, "one END two")["item"], **cut), plan=plan("END"))
        self.assertEqual(ending(raw), "stop")


class BesideTests(SynchronousTestCase):
    """Stop sequences, and what else an answer may have."""

    def test_in_think_mode_the_block_is_whole(self) -> None:
        raw = stream(
            summary("an END"),
            text("one END", 1),
            completed(),
            plan=plan("END", reasoning_field=ReasoningField.THINK),
        )
        self.assertEqual(joined(raw, "content"), "<think>\nan END\n</think>\n\none ")

    def test_what_is_held_back_comes_before_a_call(self) -> None:
        raw = stream(text("one E"), added(**call(1, "c", "f")), completed(), plan=plan("END"))
        self.assertEqual(
            [delta.get("content") or len(delta.get("tool_calls", ())) for delta in deltas(raw)[1:]],
            ["one ", "E", 1, 1, 0],
        )

    def test_a_call_after_the_match_is_none(self) -> None:
        events = [text("one END"), added(**call(1, "c", "f")), arguments("{}", 1)]
        items = [message(0, "one END")["item"], call(None, "c", "f", "{}")]
        for raw in (stream(*events, plan=plan("END")), stream(completed(*items), plan=plan("END"))):
            self.assertEqual((calls(raw), ending(raw)), ([], "stop"))

    def test_a_call_before_the_match_is_the_clients_to_make(self) -> None:
        events = [done(**call(0, "c", "f", "{}")), text("one END", 1)]
        raw = stream(*events, plan=plan("END"))
        self.assertEqual((calls(raw), joined(raw, "content"), ending(raw)), ([("c", "f", "{}")], "one ", "tool_calls"))
        raw = stream(*events, plan=plan("END", legacy_functions=True))
        self.assertEqual(ending(raw), "function_call")

    def test_a_call_that_is_under_way_is_waited_for(self) -> None:
        events = [added(**call(0, "c", "f")), arguments('{"a"'), text("one END", 1)]
        translator = ChatStream(plan("END"))
        out = translator.feed(sse(created(), *events))
        self.assertFalse(translator.finished or translator.cut_short)
        out += translator.feed(
            sse(text("two", 1), arguments(":1}"), done(**call(0, "c", "f", '{"a":1}')), text("x", 1))
        )
        self.assertTrue(translator.finished and translator.cut_short)
        self.assertEqual((calls(out), joined(out, "content")), ([("c", "f", '{"a":1}')], "one "))

    def test_pictures_and_refusals_after_the_match_are_left_out(self) -> None:
        items = [
            message(0, "one END")["item"],
            {"type": "image_generation_call", "result": "QUJD"},
            {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
        ]
        raw = stream(completed(*items), plan=plan("END"))
        self.assertEqual((joined(raw, "content"), joined(raw, "refusal"), len(chunks(raw))), ("one ", "", 3))

    def test_log_probabilities_end_with_the_text(self) -> None:
        tokens = [{"token": token, "logprob": -1.0, "top_logprobs": []} for token in ("one", " E", "ND", " two")]
        raw = stream(text("one END two", logprobs=tokens), completed(), plan=plan("END", logprobs=True))
        found = [c["choices"][0]["logprobs"] for c in chunks(raw) if c["choices"][0]["logprobs"]]
        self.assertEqual([entry["token"] for logprobs in found for entry in logprobs["content"]], ["one"])

    def test_citations_of_what_is_left_out_are_left_out(self) -> None:
        cited = [
            {"type": "url_citation", "url": f"https://{n}", "title": "", "start_index": n, "end_index": n + 1}
            for n in (0, 2, 8)
        ]
        item = message(0, "a b END c", annotations=cited)["item"]
        raw = stream(completed(item), plan=plan("END"))
        urls = [one["url_citation"]["url"] for one in deltas(raw)[-1]["annotations"]]
        self.assertEqual(urls, ["https://0", "https://2"])

    def test_the_blank_line_between_two_messages_stops_nothing(self) -> None:
        for stop, between in (("\n\n", "\n"), ("\n", " "), (" ", "\n\n")):
            raw = stream(text("One"), text("Two", 1), completed(), plan=plan(stop))
            self.assertEqual(joined(raw, "content"), f"One{between}Two")
        self.assertEqual(
            joined(stream(text("One"), text("Two", 1), completed(), plan=plan("\n", " ")), "content"), "OneTwo"
        )


class ObjectTests(SynchronousTestCase):
    """A client that wants one completion."""

    def answer(self, raw: bytes) -> Event:
        value: Event = json.loads(raw)
        return value

    def test_the_stream_is_collected_up_to_the_match(self) -> None:
        translation = ask(stop=["END"])
        translator = answer_translator(translation.plan, "text/event-stream")
        self.assertIsInstance(translator, CollectedStream)
        self.assertEqual(translator.feed(sse(created(), text("one "))), b"")
        answer = self.answer(translator.feed(sse(text("EN"), text("D two"))))
        self.assertTrue(translator.finished and translator.cut_short)
        [choice] = answer["choices"]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("one ", "stop"))
        self.assertEqual(answer["usage"]["total_tokens"], 0)

    def test_an_upstream_that_does_not_stream_is_stopped_too(self) -> None:
        response = completed(message(0, "one END two")["item"], usage={"input_tokens": 1, "output_tokens": 2})[
            "response"
        ]
        translator = answer_translator(ask(stop="END").plan, "application/json")
        self.assertIsInstance(translator, ChatAnswer)
        answer = self.answer(run(translator, json.dumps(response).encode()))
        self.assertEqual(answer["choices"][0]["message"]["content"], "one ")
        self.assertEqual((answer["choices"][0]["finish_reason"], answer["usage"]["total_tokens"]), ("stop", 3))
        self.assertFalse(translator.cut_short)
