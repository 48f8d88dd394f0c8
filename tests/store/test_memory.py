"""The store in memory: its bounds, and what it lets go of first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.store.memory import COUNT_COST, OVERHEAD, MemoryStore

#: Room for four values of 10 bytes under keys of one byte.
ROOM = 4 * (11 + OVERHEAD)


class MemoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def store(self, limit: int = ROOM) -> MemoryStore:
        return MemoryStore(self.clock.seconds, limit)

    def kept(self, store: MemoryStore, keys: bytes) -> bytes:
        """Those of some keys of one byte under which there is something; to look is to use them."""
        found = self.successResultOf(store.get([bytes([key]) for key in keys]))
        return bytes(key for key, value in zip(keys, found, strict=True) if value is not None)


class RoomTests(MemoryTestCase):
    def test_what_was_not_used_for_the_longest_goes_first(self) -> None:
        store = self.store()
        for key in (b"a", b"b", b"c", b"d"):
            store.put({key: bytes(10)}, 100)
        store.get([b"a"])
        store.put({b"b": bytes(10)}, 100)
        store.put({b"e": bytes(10)}, 100)
        store.put({b"f": bytes(10)}, 100)
        self.assertEqual(self.kept(store, b"abcdef"), b"abef")

    def test_a_large_value_takes_the_room_of_several(self) -> None:
        store = self.store()
        for key in (b"a", b"b", b"c", b"d"):
            store.put({key: bytes(10)}, 100)
        store.put({b"e": bytes(20)}, 100)
        self.assertEqual(self.kept(store, b"abcde"), b"cde")

    def test_one_that_has_no_room_at_all_drives_nobody_out_but_what_was_there(self) -> None:
        store = self.store()
        store.put({b"a": b"1", b"b": b"2"}, 100)
        store.put({b"a": bytes(ROOM)}, 100)
        self.assertEqual(self.kept(store, b"ab"), b"b")

    def test_the_bytes_are_those_of_what_is_there(self) -> None:
        store = self.store()
        store.put({b"a": bytes(10), b"b": bytes(3)}, 100)
        self.assertEqual(store.bytes, 15 + 2 * OVERHEAD)
        store.put({b"a": b""}, 100)
        self.assertEqual(store.bytes, 5 + 2 * OVERHEAD)
        store.forget([b"a", b"b"])
        self.assertEqual(store.bytes, 0)

    def test_what_is_over_is_let_go_of_while_others_are_put(self) -> None:
        store = self.store(1000 * ROOM)
        for n in range(100):
            store.put({b"old %d" % n: b""}, 10)
        self.clock.advance(10)
        for n in range(100):
            store.put({b"new %d" % n: b""}, 10)
        self.assertEqual(len(store), 100)

    def test_nothing_waits_for_a_timer(self) -> None:
        store = self.store()
        store.put({b"a": b"1"}, 10)
        store.add({b"a": 1}, 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_closed_one_is_empty(self) -> None:
        store = self.store()
        store.put({b"a": b"1"}, 10)
        store.add({b"a": 1}, 10)
        self.successResultOf(store.close())
        self.assertEqual((store.bytes, self.kept(store, b"a")), (0, b""))
        self.assertEqual(self.successResultOf(store.add({b"a": 0}, 10)), [0])


class CountTests(MemoryTestCase):
    def test_no_value_drives_a_count_out(self) -> None:
        store = self.store()
        store.add({b"count": 7}, 100)
        for n in range(1000):
            store.put({b"%d" % n: bytes(10)}, 100)
        self.assertEqual(self.successResultOf(store.add({b"count": 0}, 100)), [7])

    def test_there_are_no_more_than_have_room_and_the_oldest_goes_first(self) -> None:
        most = 2000
        store = self.store(8 * COUNT_COST * most)
        for n in range(most + 1):
            store.add({b"%d" % n: 1}, 100)
        found = self.successResultOf(store.add({b"0": 0, b"1": 0, b"%d" % most: 0}, 100))
        self.assertEqual(found, [0, 1, 1])

    def test_those_that_are_over_make_room_first(self) -> None:
        store = self.store()
        store.add({b"lasts": 1}, 1000)
        for n in range(999):
            store.add({b"old %d" % n: 1}, 10)
        self.clock.advance(10)
        for n in range(500):
            store.add({b"new %d" % n: 1}, 10)
        found = self.successResultOf(store.add({b"lasts": 0, b"new 0": 0}, 10))
        self.assertEqual(found, [1, 1])


class _Model:
    """What a store with room for everything does, as plainly as it can be said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.values: dict[bytes, tuple[bytes, float]] = {}
        self.counts: dict[bytes, tuple[int, float]] = {}

    def get(self, key: bytes) -> bytes | None:
        value, over = self.values.get(key, (b"", 0.0))
        return value if over > self.now else None

    def add(self, key: bytes, amount: int, seconds: float) -> int:
        count, over = self.counts.get(key, (0, 0.0))
        if over <= self.now:
            count, over = 0, self.now + seconds
        if amount:
            self.counts[key] = (count + amount, over)
        return count + amount


KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
SECONDS = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=40), SECONDS),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("forget"), KEYS),
        st.tuples(st.just("add"), KEYS, st.integers(-3, 3), SECONDS),
        st.tuples(st.just("wait"), SECONDS),
    ),
    max_size=60,
)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(STEPS)
    def test_with_room_for_all_it_does_what_a_plain_model_does(self, steps: list[tuple[object, ...]]) -> None:
        clock, model = Clock(), _Model()
        self.run_steps(MemoryStore(clock.seconds), clock, model, steps, exact=True)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(STEPS)
    def test_without_room_it_says_nothing_wrong_and_keeps_within_its_bounds(
        self, steps: list[tuple[object, ...]]
    ) -> None:
        clock, model = Clock(), _Model()
        self.run_steps(MemoryStore(clock.seconds, 3 * OVERHEAD), clock, model, steps, exact=False)

    def run_steps(
        self, store: MemoryStore, clock: Clock, model: _Model, steps: list[tuple[object, ...]], *, exact: bool
    ) -> None:
        for step in steps:
            match step:
                case ("put", bytes(key), bytes(value), int(seconds)):
                    self.assertIsNone(self.successResultOf(store.put({key: value}, seconds)))
                    model.values[key] = (value, model.now + seconds)
                case ("get", bytes(key)):
                    (found,) = self.successResultOf(store.get([key]))
                    expected = model.get(key)
                    self.assertTrue(found == expected or (not exact and found is None), (found, expected))
                case ("forget", bytes(key)):
                    store.forget([key])
                    model.values.pop(key, None)
                case ("add", bytes(key), int(amount), int(seconds)):
                    self.assertEqual(
                        self.successResultOf(store.add({key: amount}, seconds)), [model.add(key, amount, seconds)]
                    )
                case ("wait", int(seconds)):
                    clock.advance(seconds)
                    model.now += seconds
            self.assertLessEqual(store.bytes, 64 * 2**20 if exact else 3 * OVERHEAD)
            self.assertEqual(store.bytes == 0, len(store) == 0)
