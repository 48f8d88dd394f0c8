"""What is said of the end, and when."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.web import Drain, Exchanges


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.exchanges = [Exchanges(), Exchanges()]
        self.drain = Drain(self.clock, [], self.exchanges, 30)

    def said(self) -> list[bool]:
        return [exchanges.draining for exchanges in self.exchanges]

    def test_announced_all_ports_say_it_for_as_long_as_they_are_open_still(self) -> None:
        announced = Deferred.fromCoroutine(self.drain.announce(5))
        self.assertEqual(self.said(), [True, True])
        self.clock.advance(4.9)
        self.assertNoResult(announced)
        self.clock.advance(0.1)
        self.successResultOf(announced)

    def test_announced_without_a_delay_they_say_it_all_the_same(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.drain.announce(0)))
        self.assertEqual(self.said(), [True, True])

    def test_of_an_end_that_is_not_announced_they_say_nothing(self) -> None:
        # one of several processes: a check that it has accepted already is not to blame the service
        ended = Deferred.fromCoroutine(self.drain.run())
        self.clock.advance(0)
        self.assertTrue(self.successResultOf(ended))
        self.assertEqual(self.said(), [False, False])
