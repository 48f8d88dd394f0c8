"""The access log: a line for each answer, and no more than an event or two of the log a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.web.accesslog import MOST, WINDOW, AccessLog


class AccessLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = 1_800_000_000.0
        self.log = AccessLog(self.clock, "bridge")
        self.log.collect()
        # the events that there are
        captured = capturedLogs()
        self.events: Sequence[Any] = captured.__enter__()
        self.addCleanup(captured.__exit__, None, None, None)

    def add(self, *lengths: int) -> None:
        for length in lengths:
            self.log.add("POST", "/v1/chat/completions", 200, length)

    def texts(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_a_line_alone_is_told_at_once(self) -> None:
        self.add(7)
        self.assertEqual(self.texts(), ["bridge POST /v1/chat/completions 200 7"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_its_event_says_what_it_says_in_fields_too(self) -> None:
        self.add(7)
        event = self.events[0]
        self.assertEqual(
            [event[name] for name in ("port", "method", "path", "status", "length")],
            ["bridge", "POST", "/v1/chat/completions", 200, 7],
        )

    def test_lines_that_follow_are_told_together_each_with_its_time(self) -> None:
        self.add(1)
        self.clock.advance(0.01)
        self.add(2)
        self.clock.advance(0.1)
        self.add(3)
        self.assertEqual(len(self.events), 1)
        self.clock.advance(WINDOW)
        lines = [
            "2027-01-15T08:00:00.010Z bridge POST /v1/chat/completions 200 2",
            "2027-01-15T08:00:00.110Z bridge POST /v1/chat/completions 200 3",
        ]
        self.assertEqual(self.texts()[1:], ["\n".join(lines)])

    def test_one_that_follows_alone_looks_as_one_alone(self) -> None:
        self.add(1)
        self.add(2)
        self.clock.advance(WINDOW)
        self.assertEqual(self.texts()[1:], ["bridge POST /v1/chat/completions 200 2"])

    def test_many_do_not_wait(self) -> None:
        self.add(1, *range(MOST))
        self.assertEqual([text.count("\n") + 1 for text in self.texts()], [1, MOST])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_none_is_lost_and_none_waits_at_the_end(self) -> None:
        self.add(1, 2, 3)
        self.log.flush()
        self.assertEqual([text.count("\n") + 1 for text in self.texts()], [1, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # what runs still while the service ends
        self.add(4)
        self.add(5)
        self.assertEqual(self.texts()[2:], [f"bridge POST /v1/chat/completions 200 {length}" for length in (4, 5)])

    def test_braces_in_a_path_are_no_fields_of_the_event(self) -> None:
        for _ in range(3):
            self.log.add("GET", "/v1/{port}%s", 404, 1)
        self.log.flush()
        self.assertEqual([text.count("/v1/{port}%s") for text in self.texts()], [1, 2])
