"""A stream without the chunk of usage that its client did not ask for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.asis import AsItIs
from oaiproxy.api.errors import UpstreamIncomplete
from oaiproxy.rates import WithoutUsageChunk

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}],"usage":null}\n\n'
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"\\"usage\\": {}"}}],"usage":null}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":5}}\n\n'
USAGE = b'data: {"id":"x","choices":[],"usage":{"total_tokens":5}}\n\n'
AZURE = b'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n'
DONE = b"data: [DONE]\n\n"

EVENTS = "text/event-stream"


def passed(body: bytes, size: int = 0, content_type: str = EVENTS, stream: bool = True) -> bytes:
    answer = WithoutUsageChunk(AsItIs(), stream)
    answer.open(0, content_type)
    pieces = [body[at : at + (size or len(body))] for at in range(0, len(body), size or len(body))]
    return b"".join([answer.feed(0, piece) for piece in pieces]) + answer.end(0)


class UsageChunkTests(SynchronousTestCase):
    def test_the_chunk_is_left_out_and_all_else_is_as_it_was(self) -> None:
        for size in (0, 1, 10, 100):
            self.assertEqual(passed(AZURE + ROLE + TEXT + USAGE + DONE, size), AZURE + ROLE + TEXT + DONE)

    def test_a_chunk_with_a_choice_stays_whatever_it_says_of_usage(self) -> None:
        self.assertEqual(passed(ROLE + LAST + DONE), ROLE + LAST + DONE)

    def test_with_other_line_ends_too(self) -> None:
        for end in (b"\r\n", b"\r"):
            body, rest = ((each.replace(b"\n", end)) for each in (ROLE + USAGE + DONE, ROLE + DONE))
            self.assertEqual(passed(body), rest)

    def test_it_may_be_the_last_of_all_and_lack_its_empty_line(self) -> None:
        self.assertEqual(passed(ROLE + USAGE[:-2]), ROLE)

    def test_what_is_cut_off_is_cut_off_where_it_was(self) -> None:
        self.assertEqual(passed(ROLE + TEXT[:-9]), ROLE + TEXT[:-9])

    def test_an_object_is_as_it_was(self) -> None:
        body = b'{"choices":[],"usage":{"total_tokens":5}}'
        self.assertEqual(passed(body, 5, "application/json"), body)

    def test_a_failure_comes_behind_what_was_held_back(self) -> None:
        answer = WithoutUsageChunk(AsItIs(), True)
        answer.open(0, EVENTS)
        error = UpstreamIncomplete("cut")
        self.assertEqual(answer.feed(0, ROLE), ROLE)
        self.assertEqual(answer.fail(error), error.event())

    def test_behind_half_an_event_there_is_no_failure(self) -> None:
        answer = WithoutUsageChunk(AsItIs(), True)
        answer.open(0, EVENTS)
        self.assertEqual(answer.feed(0, ROLE + b'data: {"cho'), ROLE)
        self.assertEqual(answer.fail(UpstreamIncomplete("cut")), b'data: {"cho')
