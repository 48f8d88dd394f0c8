"""Silence in a stream: when something is said that says nothing."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.web.keepalive import Keepalive


class KeepaliveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.last = 0.0
        self.sent: list[float] = []

    def send(self) -> None:
        self.last = self.clock.seconds()
        self.sent.append(self.last)

    def keepalive(self, every: float = 15) -> Keepalive:
        return Keepalive(self.clock, every, lambda: self.last, self.send)

    def test_silence_is_ended_every_so_many_seconds(self) -> None:
        self.keepalive()
        self.clock.pump([1] * 46)
        self.assertEqual(self.sent, [15, 30, 45])

    def test_what_was_sent_puts_it_off(self) -> None:
        self.keepalive()
        self.clock.pump([1] * 10)
        self.last = 10.0
        self.clock.pump([1] * 20)
        self.assertEqual(self.sent, [25])

    def test_where_nothing_can_be_sent_it_tries_again_later(self) -> None:
        Keepalive(self.clock, 15, lambda: self.last, lambda: self.sent.append(self.clock.seconds()))
        self.clock.pump([1] * 46)
        self.assertEqual(self.sent, [15, 30, 45])

    def test_it_costs_one_timer_however_much_is_sent(self) -> None:
        self.keepalive()
        for _ in range(100):
            self.clock.advance(1)
            self.last = self.clock.seconds()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_with_zero_there_is_none(self) -> None:
        self.keepalive(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_ends_with_the_stream(self) -> None:
        keepalive = self.keepalive()
        keepalive.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
