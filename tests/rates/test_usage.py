"""What an answer says that it has cost, found in its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.api.sse import SseDecoder
from oaiproxy.rates.usage import OBJECT_WHOLE, STREAM_TAIL, UsageTail, total
from tests.bridge.wire import SHARED

RECORDINGS = SHARED / "recordings"

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def tokens(body: bytes, stream: bool = True, size: int = 0) -> int | None:
    """What is found in a body that comes in pieces of a size, or at once."""
    tail = UsageTail(stream)
    for at in range(0, len(body), size or len(body) or 1):
        tail.feed(body[at : at + (size or len(body))])
    return tail.tokens()


def events(*values: Any, done: bool = True) -> bytes:
    return b"".join(b"data: " + json.dumps(v).encode() + b"\n\n" for v in values) + (
        b"data: [DONE]\n\n" if done else b""
    )


class ObjectTests(SynchronousTestCase):
    def test_the_usage_of_each_api_is_found(self) -> None:
        for usage, cost in (
            (USAGE, 15),
            ({"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}, 10),
            ({"prompt_tokens": 8, "total_tokens": 8}, 8),
            ({"prompt_tokens": 8, "completion_tokens": 1}, 9),
            ({"input_tokens": 8}, 8),
            ({"type": "duration", "seconds": 9}, None),
            ({"total_tokens": "15"}, None),
            ({"total_tokens": True}, None),
            ({"total_tokens": -1}, None),
            ({"total_tokens": 2**70}, 2**31),
            ({"total_tokens": 2**40}, 2**31),
            ([15], None),
            (None, None),
        ):
            self.assertEqual(tokens(json.dumps({"id": "x", "usage": usage}).encode(), stream=False), cost, usage)

    def test_a_usage_that_is_not_the_answer_s_own_is_none(self) -> None:
        for answer in (
            {"choices": [{"message": {"content": '"usage": {"total_tokens": 5}'}}]},
            {"choices": [{"usage": USAGE}]},
            {"data": {"usage": USAGE}},
            [{"usage": USAGE}],
            "usage",
        ):
            self.assertIsNone(tokens(json.dumps(answer).encode(), stream=False), answer)

    def test_what_is_no_json_costs_nothing(self) -> None:
        for body in (b"", b"{", b'{"usage":', b'{"usage": {"total_tokens": 5}', b"<html>", b"\xff" * 100):
            self.assertIsNone(tokens(body, stream=False), body)

    def test_half_a_character_does_not_hide_it(self) -> None:
        body = b'{"choices": [{"message": {"content": "\\ud83d"}}], "usage": {"total_tokens": 4}}'
        self.assertEqual(tokens(body, stream=False), 4)

    def test_fields_of_other_kinds_under_known_names_do_not_hide_it(self) -> None:
        self.assertEqual(tokens(b'{"response": "x", "x_groq": 1, "usage": {"total_tokens": 4}}', stream=False), 4)

    def test_it_may_stand_before_a_long_text(self) -> None:
        body = json.dumps({"usage": USAGE, "text": "x" * (OBJECT_WHOLE - 1000)}).encode()
        self.assertEqual(tokens(body, stream=False, size=60_000), 15)

    def test_of_an_object_that_is_longer_than_what_is_kept_it_is_found_at_the_end(self) -> None:
        body = json.dumps({"data": [0.125] * 200_000, "usage": USAGE, "object": "list"}).encode()
        self.assertGreater(len(body), OBJECT_WHOLE)
        for size in (0, 1000, 60_000):
            self.assertEqual(tokens(body, stream=False, size=size), 15)

    def test_in_its_end_a_usage_that_is_not_its_own_is_none(self) -> None:
        for end in (
            {"choices": [{"usage": USAGE}]},
            {"text": '"usage": {"total_tokens": 5}}'},
            {"text": '\\"usage\\": {"total_tokens": 5}}'},
        ):
            body = json.dumps({"data": "x" * OBJECT_WHOLE, **end}).encode()
            self.assertIsNone(tokens(body, stream=False), end)

    def test_a_long_object_is_not_kept(self) -> None:
        tail = UsageTail(stream=False)
        for _ in range(1000):
            tail.feed(b"x" * 10_000)
        kept = sum(map(len, tail._pieces))
        self.assertLessEqual(kept, STREAM_TAIL + 10_000)


class StreamTests(SynchronousTestCase):
    def test_the_last_chunk_of_a_chat_stream_has_it(self) -> None:
        body = events({"choices": [{"delta": {}}], "usage": None}, {"choices": [], "usage": USAGE})
        for size in (0, 1, 7, 100):
            self.assertEqual(tokens(body, size=size), 15)

    def test_the_last_one_counts_where_several_have_it(self) -> None:
        body = events({"usage": {"total_tokens": 3}}, {"usage": {"total_tokens": 4}}, {"choices": []})
        self.assertEqual(tokens(body), 4)

    def test_the_terminal_event_of_the_responses_api_has_it(self) -> None:
        response = {"id": "r", "output": [], "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}}
        body = b"event: response.completed\ndata: " + json.dumps({"response": response}).encode() + b"\n\n"
        self.assertEqual(tokens(events({"response": {"usage": None}}, done=False) + body), 5)

    def test_a_terminal_event_longer_than_what_is_kept_has_it_near_its_end(self) -> None:
        response = {"output": ["x" * 100_000], "tools": [], "usage": {"total_tokens": 5}, "user": None, "metadata": {}}
        event = {"type": "response.completed", "response": response, "sequence_number": 9}
        for done in (False, True):
            for size in (0, 1000, 17_000):
                self.assertEqual(tokens(events(event, done=done), size=size), 5, (done, size))

    def test_line_ends_of_all_kinds_are_known(self) -> None:
        body = events({"choices": []}, {"usage": USAGE})
        for end in (b"\r\n", b"\r"):
            self.assertEqual(tokens(body.replace(b"\n", end)), 15)

    def test_the_last_empty_line_may_be_missing(self) -> None:
        self.assertEqual(tokens(events({"choices": []}, {"usage": USAGE}, done=False).rstrip()), 15)

    def test_of_a_stream_that_was_cut_off_what_came_counts(self) -> None:
        body = events({"usage": {"total_tokens": 3}}, {"usage": {"total_tokens": 400}}, done=False)
        self.assertEqual(tokens(body[:-20]), 3)

    def test_groq_says_it_in_a_field_of_its_own(self) -> None:
        self.assertEqual(tokens(events({"choices": []}, {"x_groq": {"id": "x", "usage": USAGE}})), 15)

    def test_a_stream_that_does_not_say_it_costs_nothing(self) -> None:
        self.assertIsNone(tokens(events({"choices": [{"delta": {"content": '"usage": {"total_tokens": 5}'}}]})))

    def test_a_stream_is_not_kept(self) -> None:
        tail = UsageTail(stream=True)
        for _ in range(10_000):
            tail.feed(b"data: {}\n\n" * 10)
        self.assertLessEqual(sum(map(len, tail._pieces)), STREAM_TAIL + 100)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.binary(max_size=200), st.integers(1, 50))
    def test_whatever_came_it_is_no_reason_to_fail(self, noise: bytes, size: int) -> None:
        for stream in (True, False):
            found = tokens(b'"usage":{' + noise + b'"usage": {"total_tokens": 1}}', stream=stream, size=size)
            self.assertIn(found, (None, 1))


def recorded() -> Iterator[tuple[str, bytes, bool]]:
    """The recorded answers: name, body, and whether it is a stream."""
    if not RECORDINGS.is_dir():
        raise SkipTest("the recordings are not beside the checkout")
    for path in sorted(RECORDINGS.glob("*/*/response.*")):
        yield f"{path.parent.parent.name}/{path.parent.name}", path.read_bytes(), path.suffix == ".sse"


def said(body: bytes, stream: bool) -> int | None:
    """What an answer says, by reading all of it."""
    if not stream:
        value = json.loads(body)
        return total(value.get("usage")) if isinstance(value, dict) else None
    decoder, last = SseDecoder(), None
    for event in [*decoder.feed(body), *decoder.end()]:
        try:
            value = json.loads(event.data)
        except ValueError:
            continue
        for place in (value, value.get("response"), value.get("x_groq")):
            if isinstance(place, dict) and (found := total(place.get("usage"))) is not None:
                last = found
                break
    return last


class RecordingTests(SynchronousTestCase):
    def test_in_each_the_end_says_what_all_of_it_says(self) -> None:
        count = 0
        for name, body, stream in recorded():
            whole = said(body, stream)
            for size in (0, 7, 1000):
                self.assertEqual(tokens(body, stream, size), whole, (name, size))
            count += whole is not None
        self.assertGreater(count, 100)
