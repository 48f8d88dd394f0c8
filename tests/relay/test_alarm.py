"""A limit that is set and lifted often: when it rings, and how few timers that takes."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.relay.alarm import Alarm


class AlarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rung: list[float] = []
        self.alarm = Alarm(self.clock, lambda: self.rung.append(self.clock.seconds()))

    def test_it_rings_once_when_its_time_has_come(self) -> None:
        self.alarm.set(10)
        self.clock.pump([9.9, 0.1, 20])
        self.assertEqual(self.rung, [10])

    def test_set_later_it_rings_then_and_not_before(self) -> None:
        self.alarm.set(10)
        self.clock.advance(5)
        self.alarm.set(10)
        self.clock.pump([5, 4.9])
        self.assertEqual(self.rung, [])
        self.clock.advance(0.1)
        self.assertEqual(self.rung, [15])

    def test_set_earlier_it_rings_earlier(self) -> None:
        self.alarm.set(10)
        self.alarm.set(2)
        self.clock.pump([2, 8])
        self.assertEqual(self.rung, [2])

    def test_set_earlier_again_and_again_it_has_one_timer(self) -> None:
        for seconds in range(20, 10, -1):
            self.alarm.set(seconds)
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [11])

    def test_lifted_it_does_not_ring_and_may_be_set_again(self) -> None:
        self.alarm.set(10)
        self.alarm.lift()
        self.clock.advance(5)
        self.alarm.set(10)
        self.clock.pump([9.9, 0.1])
        self.assertEqual(self.rung, [15])

    def test_lifted_for_good_it_leaves_nothing_behind_when_its_time_has_passed(self) -> None:
        self.alarm.set(10)
        self.alarm.lift()
        self.clock.advance(10)
        self.assertEqual((self.rung, self.clock.getDelayedCalls()), ([], []))

    def test_stopped_it_leaves_nothing_behind_at_once(self) -> None:
        self.alarm.set(10)
        self.alarm.stop()
        self.alarm.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_may_be_set_while_it_rings(self) -> None:
        again = Alarm(self.clock, lambda: (self.rung.append(self.clock.seconds()), again.set(3))[0])
        again.set(3)
        self.clock.pump([3, 3, 3])
        self.assertEqual(self.rung, [3, 6, 9])

    def test_one_timer_does_however_often_it_is_set(self) -> None:
        made: list[float] = []
        later = self.clock.callLater
        self.patch(self.clock, "callLater", lambda seconds, call: (made.append(seconds), later(seconds, call))[1])
        for _ in range(1000):
            self.alarm.set(10)
            self.alarm.lift()
            self.clock.advance(0.001)
        self.assertEqual(made, [10])
