"""Several upstream answers as the choices of one chat answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.body import JointTranslator
from oaiproxy.api.errors import ApiError, UpstreamIncomplete
from oaiproxy.api.usage import summed
from oaiproxy.bridge.choices import joint_translator
from oaiproxy.bridge.plan import AnswerPlan
from tests.bridge.wire import Event, chunks, completed, created, sse, text

EVENTS, JSON = "text/event-stream", "application/json"


def usage(prompt: int, answer: int, cached: int = 0) -> Event:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + answer,
    }


def stream_of(words: list[str], id: str, count: int) -> bytes:
    """A whole Responses stream that says `words`."""
    return sse(created(id=id), *(text(word) for word in words), completed(id=id, usage=usage(10, count, 4)))


def said(whole: str, id: str, count: int) -> bytes:
    """The same as one object."""
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": whole}]}
    head = {"id": id, "object": "response", "created_at": 1700000000, "model": "gpt-5.1", "status": "completed"}
    return json.dumps({**head, "output": [item], "usage": usage(10, count, 4)}).encode()


def opened(plan: AnswerPlan, count: int, content_type: str = EVENTS) -> JointTranslator:
    joint = joint_translator(plan, count)
    for part in range(count):
        joint.open(part, content_type)
    return joint


def texts(found: list[Event], count: int) -> list[str]:
    """The text of each choice in a stream."""
    whole = [""] * count
    for chunk in found:
        for choice in chunk["choices"]:
            whole[choice["index"]] += choice["delta"].get("content") or ""
    return whole


class ObjectTests(SynchronousTestCase):
    def completion(self, *answers: bytes) -> Any:
        joint = opened(AnswerPlan(), len(answers), JSON)
        out = b""
        # they end in another order than they began
        for part in reversed(range(len(answers))):
            out += joint.feed(part, answers[part]) + joint.end(part)
        self.assertTrue(joint.finished)
        return json.loads(out)

    def test_each_answer_is_a_choice_of_one_completion(self) -> None:
        found = self.completion(said("Red.", "resp_a", 2), said("Blue.", "resp_b", 3))
        self.assertEqual((found["id"], found["object"]), ("chatcmpl-a", "chat.completion"))
        self.assertEqual(
            [(c["index"], c["message"]["content"], c["finish_reason"]) for c in found["choices"]],
            [(0, "Red.", "stop"), (1, "Blue.", "stop")],
        )

    def test_usage_is_the_sum(self) -> None:
        found = self.completion(said("Red.", "resp_a", 2), said("Blue.", "resp_b", 3))["usage"]
        self.assertEqual((found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]), (20, 5, 25))
        self.assertEqual(found["prompt_tokens_details"]["cached_tokens"], 8)

    def test_where_one_does_not_say_its_usage_no_sum_is_made_up(self) -> None:
        silent = json.loads(said("Red.", "resp_a", 2))
        del silent["usage"]
        self.assertNotIn("usage", self.completion(json.dumps(silent).encode(), said("Blue.", "resp_b", 3)))

    def test_nothing_comes_before_all_are_there(self) -> None:
        joint = opened(AnswerPlan(), 2, JSON)
        self.assertEqual(joint.feed(0, said("Red.", "resp_a", 2)) + joint.end(0), b"")
        self.assertEqual((joint.over(0), joint.over(1), joint.finished), (True, False, False))

    def test_upstreams_that_stream_whatever_they_are_asked_are_read_all_the_same(self) -> None:
        joint = opened(AnswerPlan(), 2)
        out = joint.feed(0, stream_of(["Red."], "resp_a", 2)) + joint.feed(1, stream_of(["Blue."], "resp_b", 3))
        self.assertEqual([c["message"]["content"] for c in json.loads(out)["choices"]], ["Red.", "Blue."])

    def test_one_that_fails_fails_all(self) -> None:
        joint = opened(AnswerPlan(), 2, JSON)
        joint.feed(0, said("Red.", "resp_a", 2))
        joint.end(0)
        self.assertRaises(UpstreamIncomplete, joint.end, 1)


class StreamTests(SynchronousTestCase):
    ANSWERS = (stream_of(["Re", "d."], "resp_a", 2), stream_of(["Bl", "ue", "."], "resp_b", 3))

    def streamed(self, plan: AnswerPlan, cuts: list[tuple[int, int]]) -> bytes:
        """Both answers, in pieces: each cut says of which answer how many bytes come next."""
        joint, left, out = opened(plan, 2), [bytearray(answer) for answer in self.ANSWERS], b""
        for part, size in [*cuts, (0, 1 << 20), (1, 1 << 20)]:
            piece = bytes(left[part][:size])
            del left[part][:size]
            if piece and not joint.over(part):
                out += joint.feed(part, piece)
        self.assertTrue(joint.finished)
        return out

    def test_chunks_come_as_they_are_made_each_with_its_choice(self) -> None:
        joint = opened(AnswerPlan(stream=True), 2)
        joint.feed(0, sse(created(id="resp_a")))
        joint.feed(1, sse(created(id="resp_b")))
        out = joint.feed(1, sse(text("Blue."))) + joint.feed(0, sse(text("Red.")))
        found = [json.loads(block.removeprefix("data: ")) for block in out.decode().split("\n\n")[:-1]]
        self.assertEqual(
            [(c["choices"][0]["index"], c["choices"][0]["delta"].get("content")) for c in found],
            [(1, ""), (1, "Blue."), (0, ""), (0, "Red.")],
        )

    def test_they_have_one_envelope_and_one_end(self) -> None:
        found = chunks(self.streamed(AnswerPlan(stream=True), []))
        self.assertEqual({(c["id"], c["created"], c["model"]) for c in found}, {("chatcmpl-a", 1700000000, "gpt-5.1")})
        self.assertEqual([c["choices"][0]["finish_reason"] for c in found].count("stop"), 2)
        self.assertFalse(any("usage" in chunk for chunk in found))

    def test_usage_is_summed_and_said_once_at_the_end(self) -> None:
        *others, last = chunks(self.streamed(AnswerPlan(stream=True, include_usage=True), []))
        self.assertEqual((last["choices"], last["usage"]["total_tokens"]), ([], 25))
        self.assertEqual([chunk["usage"] for chunk in others], [None] * len(others))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 300)), max_size=20))
    def test_however_they_interleave_each_choice_is_whole(self, cuts: list[tuple[int, int]]) -> None:
        found = chunks(self.streamed(AnswerPlan(stream=True), cuts))
        self.assertEqual(texts(found, 2), ["Red.", "Blue."])

    def test_the_status_waits_for_all_of_them(self) -> None:
        joint = opened(AnswerPlan(stream=True), 2)
        joint.feed(0, sse(created(id="resp_a"), text("Red.")))
        self.assertFalse(joint.accepted)
        joint.feed(1, sse(created(id="resp_b")))
        self.assertEqual((joint.accepted, joint.acknowledged), (False, True))
        joint.feed(1, sse(text("Blue.")))
        self.assertTrue(joint.accepted)

    def test_one_that_has_not_begun_holds_the_status_too(self) -> None:
        joint = joint_translator(AnswerPlan(stream=True), 2)
        joint.open(1, EVENTS)
        joint.feed(1, self.ANSWERS[1])
        self.assertEqual((joint.accepted, joint.acknowledged, joint.finished), (False, False, False))

    def test_a_stop_sequence_ends_its_own_choice_only(self) -> None:
        joint = opened(AnswerPlan(stream=True, stop=("l",)), 2)
        out = joint.feed(1, self.ANSWERS[1])
        self.assertEqual((joint.cut_short(1), joint.over(1), joint.cut_short(0)), (True, True, False))
        out += joint.feed(0, self.ANSWERS[0])
        self.assertEqual(texts(chunks(out), 2), ["Red.", "B"])

    def test_a_keepalive_is_a_chunk_of_a_choice_that_goes_on(self) -> None:
        joint = opened(AnswerPlan(stream=True), 2)
        self.assertEqual(joint.keepalive(), b"")
        joint.feed(0, self.ANSWERS[0])
        joint.feed(1, sse(created(id="resp_b"), text("Blue.")))
        chunk = json.loads(joint.keepalive().removeprefix(b"data: "))
        self.assertEqual(
            (chunk["id"], chunk["choices"][0]["index"], chunk["choices"][0]["delta"]), ("chatcmpl-a", 1, {})
        )

    def test_a_failure_is_the_event_on_which_clients_raise(self) -> None:
        joint = opened(AnswerPlan(stream=True), 2)
        self.assertEqual(joint.fail(ApiError("No.")), ApiError("No.").event())


class SumTests(SynchronousTestCase):
    def test_numbers_are_added_in_depth_and_the_rest_is_the_first_s(self) -> None:
        self.assertEqual(
            summed([{"a": 1, "b": {"c": 2}, "d": None}, {"a": 3, "b": {"c": 4, "e": 5}, "d": 6}]),
            {"a": 4, "b": {"c": 6, "e": 5}, "d": None},
        )
