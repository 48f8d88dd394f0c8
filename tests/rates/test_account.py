"""The arithmetic of a minute."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rates import Standing
from tests.rates.support import NOON, Counts, Machine


def most_in(times: list[float], seconds: float) -> int:
    """The most of some times, which are in order, that lie within so many seconds."""
    return max((at - bisect_left(times, time - seconds + 1e-9) + 1 for at, time in enumerate(times)), default=0)


class RequestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counts = Counts()
        self.machine = Machine(self.counts, requests=3)

    def test_as_many_as_the_limit_are_let_in_and_not_one_more(self) -> None:
        self.assertEqual([self.machine.ask(NOON + n / 10) is None for n in range(5)], [True] * 3 + [False] * 2)

    def test_a_refusal_says_what_is_used_and_when_there_is_room(self) -> None:
        for _ in range(3):
            self.machine.ask(NOON)
        found = self.machine.ask(NOON + 20.25)
        assert found is not None
        self.assertEqual((found.standing.kind, found.standing.limit, found.standing.remaining), ("requests", 3, 0))
        # the second in which they were counted has to be wholly past
        self.assertEqual(found.wait, 61 - 20.25)

    def test_there_is_room_when_it_was_said_and_not_before(self) -> None:
        for n in range(3):
            self.machine.ask(NOON + 10 * n)
        found = self.machine.ask(NOON + 30)
        assert found is not None
        self.assertIsNotNone(self.machine.ask(NOON + 30 + found.wait - 0.01))
        self.assertIsNone(self.machine.ask(NOON + 30 + found.wait))
        # one had left, and one came
        self.assertIsNotNone(self.machine.ask(NOON + 30 + found.wait))

    def test_refusals_do_not_count(self) -> None:
        for _ in range(3):
            self.machine.ask(NOON)
        for n in range(600):
            self.assertIsNotNone(self.machine.ask(NOON + n / 10), n)
        self.assertEqual(sum(self.counts.counts.values()), 3)
        self.assertIsNone(self.machine.ask(NOON + 61))

    def test_who_goes_on_after_a_refusal_does_not_reach_the_store_each_time(self) -> None:
        for _ in range(4):
            self.machine.ask(NOON)
        asked = len(self.counts.asked)
        for n in range(100):
            self.machine.ask(NOON + n / 1000)
        self.assertEqual(len(self.counts.asked), asked)
        self.machine.ask(NOON + 0.25)
        self.assertEqual(len(self.counts.asked), asked + 2)

    def test_a_rest_ends_when_there_is_room_and_the_store_is_asked(self) -> None:
        for _ in range(3):
            self.machine.ask(NOON)
        self.assertIsNotNone(self.machine.ask(NOON + 60.9))
        self.assertIsNone(self.machine.ask(NOON + 61.01))

    def test_an_even_stream_just_below_the_limit_is_never_refused(self) -> None:
        machine = Machine(self.counts, requests=60)
        self.assertEqual([n for n in range(600) if machine.ask(NOON + n * 61 / 60) is not None], [])

    def test_the_standing_is_what_is_used_and_when_all_of_it_is_past(self) -> None:
        self.machine.ask(NOON)
        self.machine.ask(NOON + 5.5)
        (standing,) = self.machine.account.standings(NOON + 5.5)
        self.assertEqual(standing, Standing("requests", 3, 2, 60.5))
        self.assertEqual(standing.remaining, 1)

    def test_of_nothing_there_is_nothing_to_wait_for(self) -> None:
        self.assertEqual(self.machine.account.standings(NOON), [Standing("requests", 3, 0, 0.0)])

    def test_a_clock_that_is_set_back_locks_nobody_out(self) -> None:
        for _ in range(4):
            self.machine.ask(NOON)
        self.assertIsNone(self.machine.ask(NOON - 3600))
        for _ in range(2):
            self.machine.ask(NOON - 3600)
        self.assertIsNotNone(self.machine.ask(NOON - 3600))


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counts = Counts()
        self.machine = Machine(self.counts, tokens=100)

    def test_requests_are_let_in_until_the_tokens_are_used_up(self) -> None:
        self.assertIsNone(self.machine.ask(NOON))
        self.machine.pay(NOON + 1, 99)
        self.assertIsNone(self.machine.ask(NOON + 2))
        self.machine.pay(NOON + 3, 500)
        found = self.machine.ask(NOON + 4)
        assert found is not None
        self.assertEqual(found.standing, Standing("tokens", 100, 599, 60.0))
        # without the 99 there are too many still
        self.assertEqual(found.wait, 60.0)

    def test_they_count_when_they_are_known_and_not_when_they_were_asked_for(self) -> None:
        self.machine.ask(NOON)
        self.machine.pay(NOON + 300, 100)
        self.assertIsNotNone(self.machine.ask(NOON + 301))

    def test_what_costs_nothing_is_let_in(self) -> None:
        self.machine.pay(NOON, 100)
        self.assertIsNotNone(self.machine.ask(NOON + 1))
        self.assertIsNone(self.machine.ask(NOON + 1, costs=False))

    def test_a_request_that_is_refused_for_tokens_is_no_request(self) -> None:
        machine = Machine(self.counts, requests=5, tokens=100)
        machine.pay(NOON, 100)
        for n in range(20):
            self.assertIsNotNone(machine.ask(NOON + n))
        self.assertEqual([standing.used for standing in machine.account.standings(NOON + 20)], [0, 100])

    def test_where_both_are_used_up_the_longer_wait_is_said(self) -> None:
        machine = Machine(self.counts, requests=1, tokens=100)
        machine.ask(NOON)
        machine.pay(NOON + 30, 100)
        found = machine.ask(NOON + 31)
        assert found is not None
        self.assertEqual((found.standing.kind, found.wait), ("tokens", 60.0))


class StoreTests(SynchronousTestCase):
    def test_a_request_asks_for_three_seconds_where_all_others_are_known(self) -> None:
        counts = Counts()
        machine = Machine(counts, requests=100, tokens=100)
        machine.ask(NOON)
        self.assertEqual(len(counts.asked[0]), 2 * 62)
        machine.ask(NOON + 0.5)
        self.assertEqual(
            counts.asked[1],
            {
                b"rate:client:r:1794999999": 0,
                b"rate:client:r:1795000000": 1,
                b"rate:client:r:1795000001": 0,
                b"rate:client:t:1794999999": 0,
                b"rate:client:t:1795000000": 0,
                b"rate:client:t:1795000001": 0,
            },
        )
        machine.ask(NOON + 10)
        self.assertEqual(len(counts.asked[2]), 2 * 13)

    def test_what_another_machine_counts_counts_here(self) -> None:
        counts = Counts()
        one, other = Machine(counts, requests=3), Machine(counts, requests=3)
        self.assertIsNone(one.ask(NOON))
        self.assertIsNone(other.ask(NOON + 5))
        self.assertIsNone(one.ask(NOON + 59))
        self.assertIsNotNone(other.ask(NOON + 60.5))
        self.assertIsNone(other.ask(NOON + 61))

    def test_a_machine_whose_clock_is_ahead_is_heard_of(self) -> None:
        counts = Counts()
        one, ahead = Machine(counts, requests=3), Machine(counts, requests=3, skew=0.9)
        for _ in range(3):
            self.assertIsNone(ahead.ask(NOON + 0.5))
        self.assertIsNotNone(one.ask(NOON + 0.6))

    def test_what_comes_late_from_a_clock_that_is_behind_is_heard_of(self) -> None:
        counts = Counts()
        one, behind = Machine(counts, requests=3), Machine(counts, requests=3, skew=-0.9)
        self.assertIsNone(one.ask(NOON + 1.0))
        self.assertIsNone(behind.ask(NOON + 1.1))
        self.assertIsNone(behind.ask(NOON + 1.2))
        self.assertIsNotNone(one.ask(NOON + 1.3))

    def test_where_the_store_is_away_each_machine_counts_what_it_knows(self) -> None:
        counts = Counts()
        one, other = Machine(counts, requests=3), Machine(counts, requests=3)
        one.ask(NOON)
        other.ask(NOON + 1)
        counts.away = True
        self.assertEqual([one.ask(NOON + 2) is None for _ in range(4)], [True, True, False, False])
        self.assertEqual([other.ask(NOON + 2) is None for _ in range(4)], [True, False, False, False])

    def test_when_it_is_back_what_was_counted_here_still_counts(self) -> None:
        counts = Counts()
        machine = Machine(counts, requests=3)
        counts.away = True
        for _ in range(3):
            self.assertIsNone(machine.ask(NOON))
        counts.away = False
        self.assertIsNotNone(machine.ask(NOON + 1))
        self.assertIsNone(machine.ask(NOON + 61))

    def test_tokens_too_are_counted_here_then(self) -> None:
        counts = Counts()
        machine = Machine(counts, tokens=10)
        counts.away = True
        machine.ask(NOON)
        machine.pay(NOON, 10)
        self.assertIsNotNone(machine.ask(NOON + 1))
        counts.away = False
        self.assertIsNotNone(machine.ask(NOON + 2))

    def test_a_store_that_forgot_all_does_no_harm(self) -> None:
        counts = Counts()
        machine = Machine(counts, requests=2)
        sent = [machine.send(NOON) for _ in range(3)]
        counts.counts.clear()
        self.assertEqual([machine.judge(each, NOON) is None for each in sent], [True, True, False])
        # the one that was taken back was not there
        self.assertEqual(list(counts.counts.values()), [-1])
        self.assertEqual([machine.ask(NOON + 2) is None for _ in range(3)], [True, True, False])


#: Gaps between requests in thousandths of a second: bursts, haste, and pauses.
_GAPS = st.lists(st.sampled_from([0, 0, 1, 7, 100, 250, 999, 1000, 3000, 20000, 59000, 61000]), max_size=150)


class PropertyTests(SynchronousTestCase):
    """Whatever comes."""

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(_GAPS, st.integers(1, 9))
    def test_no_sixty_seconds_ever_hold_more_than_the_limit(self, gaps: list[int], limit: int) -> None:
        machine, now, let_in = Machine(Counts(), requests=limit), NOON, list[float]()
        for gap in gaps:
            now += gap / 1000
            if machine.ask(now) is None:
                let_in.append(now)
        self.assertLessEqual(most_in(let_in, 60), limit)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(_GAPS, st.integers(1, 9))
    def test_nobody_is_refused_who_has_not_used_up_the_last_61_seconds(self, gaps: list[int], limit: int) -> None:
        machine, now, let_in = Machine(Counts(), requests=limit), NOON, list[float]()
        for gap in gaps:
            now += gap / 1000
            if machine.ask(now) is None:
                let_in.append(now)
            else:
                self.assertGreaterEqual(len(let_in) - bisect_left(let_in, now - 61), limit)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(_GAPS, st.integers(1, 5))
    def test_whoever_comes_when_he_was_told_to_is_let_in(self, gaps: list[int], limit: int) -> None:
        machine, now = Machine(Counts(), requests=limit), NOON
        for gap in gaps:
            now += gap / 1000
            found = machine.ask(now)
            if found is not None:
                now += found.wait
                self.assertIsNone(machine.ask(now))

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(st.sampled_from([0, 1, 20, 400, 1000, 9000]), st.integers(0, 2), st.booleans()), max_size=120
        ),
        st.integers(1, 9),
    )
    def test_machines_with_one_store_and_one_time_keep_to_it_however_late_its_answers_are(
        self, steps: list[tuple[int, int, bool]], limit: int
    ) -> None:
        counts = Counts()
        machines = [Machine(counts, requests=limit) for _ in range(3)]
        under_way: list[tuple[int, float, object]] = []
        now, let_in = NOON, list[float]()

        def settle() -> None:
            for which, at, sent in under_way:
                if machines[which].judge(sent, at) is None:  # type: ignore[arg-type]
                    let_in.append(at)
            under_way.clear()

        for gap, which, waits in steps:
            now += gap / 1000
            under_way.append((which, now, machines[which].send(now)))
            if not waits or len(under_way) > 5:
                settle()
        settle()
        self.assertLessEqual(most_in(let_in, 60), limit)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.lists(st.tuples(st.sampled_from([0, 5, 300, 1000, 30000]), st.integers(0, 2)), max_size=120),
        st.integers(1, 9),
        st.lists(st.sampled_from([-450, -100, 0, 100, 450]), min_size=3, max_size=3),
    )
    def test_clocks_that_differ_shorten_the_minute_by_no_more_than_they_differ(
        self, steps: list[tuple[int, int]], limit: int, skews: list[int]
    ) -> None:
        counts = Counts()
        machines = [Machine(counts, requests=limit, skew=skew / 1000) for skew in skews]
        now, let_in = NOON, list[float]()
        for gap, which in steps:
            now += gap / 1000
            if machines[which].ask(now) is None:
                let_in.append(now)
        self.assertLessEqual(most_in(let_in, 60 - 0.9), limit)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.sampled_from([0, 10, 1000, 15000]), st.integers(0, 80)), max_size=100))
    def test_tokens_exceed_the_limit_by_no_more_than_the_last_answer(self, steps: list[tuple[int, int]]) -> None:
        machine, now, paid = Machine(Counts(), tokens=100), NOON, list[tuple[float, int]]()
        for gap, cost in steps:
            now += gap / 1000
            if machine.ask(now) is None:
                machine.pay(now, cost)
                paid.append((now, cost))
        for last, (at, cost) in enumerate(paid):
            before = sum(each for time, each in paid[:last] if time > at - 60)
            self.assertLess(before, 100, (at, cost))
