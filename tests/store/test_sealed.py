"""A store in which nobody else can read: what is in it, and what becomes of keys that change."""

from __future__ import annotations

import gc
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStoreState
from oaiproxy.store import MemoryStore, StoreUnavailable, sealed
from oaiproxy.store.sealed import SealedStore

OLD, NEW, OTHER = (Secret(f"{name} secret of 32 characters or more") for name in ("old", "new", "other"))


class SealedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.inner = MemoryStore(Clock().seconds)

    def store(self, *secrets: Secret) -> SealedStore:
        return SealedStore(self.inner, secrets or (OLD,))

    def put(self, store: SealedStore, key: bytes, value: bytes) -> None:
        self.successResultOf(store.put({key: value}, 100))

    def got(self, store: SealedStore, key: bytes) -> bytes | None:
        (found,) = self.successResultOf(store.get([key]))
        return found

    def add(self, store: SealedStore, amount: int) -> int:
        (count,) = self.successResultOf(store.add({b"count": amount}, 100))
        return count

    @property
    def inside(self) -> dict[bytes, bytes]:
        """What the inner store has."""
        return {key: value for key, (value, _) in self.inner._values.items()}


class SealTests(SealedTestCase):
    def test_neither_names_nor_values_are_to_be_seen(self) -> None:
        store = self.store()
        self.put(store, b"conversation of Alice", b"what she said" * 10)
        store.add({b"requests of Alice": 5}, 100)
        seen = repr(self.inside) + repr(self.inner._counts)
        self.assertNotIn("Alice", seen)
        self.assertNotIn("what she said", seen)

    def test_a_value_is_sealed_otherwise_each_time_and_found_all_the_same(self) -> None:
        store, seen = self.store(), set()
        for _ in range(10):
            self.put(store, b"a", b"value")
            seen |= set(self.inside.values())
            self.assertEqual(self.got(store, b"a"), b"value")
        self.assertEqual(len(seen), 10)
        self.assertEqual({len(value) for value in seen}, {len(b"value") + sealed.OVERHEAD})

    def test_another_process_with_the_same_key_can_read_it(self) -> None:
        self.put(self.store(), b"a", b"1")
        self.assertEqual(self.got(self.store(), b"a"), b"1")

    def test_with_another_key_it_is_as_if_there_was_nothing(self) -> None:
        self.put(self.store(OLD), b"a", b"1")
        self.add(self.store(OLD), 5)
        other = self.store(OTHER)
        self.assertEqual(self.got(other, b"a"), None)
        self.assertEqual(self.add(other, 0), 0)
        self.assertEqual(other.unreadable, 0)

    def test_a_value_that_was_moved_to_another_name_is_not_taken_for_that(self) -> None:
        store = self.store()
        self.put(store, b"a", b"1")
        self.put(store, b"b", b"2")
        (one, first), (other, second) = self.inside.items()
        self.inner.put({one: second, other: first}, 100)
        self.assertEqual([self.got(store, key) for key in (b"a", b"b")], [None, None])

    def test_damaged_values_are_none_and_said_once(self) -> None:
        logged: list[Any] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        store = self.store()
        self.put(store, b"a", b"value")
        ((name, value),) = self.inside.items()
        damaged = [b"", b"\x01", value[:-1], value + b"x", b"\x02" + value[1:], value[: sealed.OVERHEAD - 1]]
        damaged += [value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in range(len(value))]
        for each in damaged:
            self.inner.put({name: each}, 100)
            self.assertEqual(self.got(store, b"a"), None, each)
        self.assertEqual(store.unreadable, len(damaged))
        self.assertEqual(len([event for event in logged if event["log_namespace"].startswith(sealed.__name__)]), 1)

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(st.binary(min_size=1, max_size=200), st.binary(max_size=300))
    def test_whatever_is_put_is_found(self, key: bytes, value: bytes) -> None:
        self.setUp()
        self.put(self.store(), key, value)
        self.assertEqual(self.got(self.store(), key), value)


class RotationTests(SealedTestCase):
    """Keys that change, on several machines, one after the other."""

    def test_what_any_machine_puts_every_machine_finds_at_each_step(self) -> None:
        steps = ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,))
        for before, after in pairwise(steps):
            for first, second in ((before, after), (after, before)):
                self.setUp()
                self.put(self.store(*first), b"a", b"1")
                found = self.got(self.store(*second), b"a")
                # a machine with one key does not find what a machine seals with the other: the order is there for that
                known = first[0] in second
                self.assertEqual(found, b"1" if known else None)
                self.assertTrue(known)

    def test_what_is_put_anew_is_found_in_place_of_what_was_there(self) -> None:
        one, other = self.store(OLD, NEW), self.store(NEW, OLD)
        for store, value in ((one, b"1"), (other, b"2"), (one, b"3"), (other, b"4")):
            self.put(store, b"a", value)
            self.assertEqual((self.got(one, b"a"), self.got(other, b"a")), (value, value))
        self.assertEqual(len(self.inside), 1)

    def test_what_is_forgotten_is_so_under_every_key(self) -> None:
        self.put(self.store(OLD), b"a", b"1")
        self.successResultOf(self.store(NEW, OLD).forget([b"a"]))
        self.assertEqual(self.inside, {})

    def test_counts_are_exact_while_machines_have_the_keys_in_different_orders(self) -> None:
        machines = [self.store(*keys) for keys in ((OLD, NEW), (NEW, OLD), (OLD, NEW), (NEW, OLD))]
        self.add(self.store(OLD), 5)
        self.assertEqual([self.add(machine, 1) for machine in machines], [6, 7, 8, 9])
        self.assertEqual([self.add(machine, 0) for machine in machines], [9, 9, 9, 9])

    def test_a_key_that_is_there_twice_counts_once(self) -> None:
        self.assertEqual([self.add(self.store(OLD, OLD), 1) for _ in range(3)], [1, 2, 3])


class InnerTests(SealedTestCase):
    """What the inner store says is said."""

    def test_one_that_cannot_be_used_fails_every_call_once(self) -> None:
        class Away:
            def away(self, *arguments: object) -> Deferred[Any]:
                return fail(StoreUnavailable("it is away"))

            get = put = forget = add = away

        store = SealedStore(Away(), (OLD, NEW))  # type: ignore[arg-type]
        for call in (store.get([b"a"]), store.put({b"a": b"1"}, 1), store.forget([b"a"]), store.add({b"a": 1}, 1)):
            self.assertEqual(str(self.failureResultOf(call, StoreUnavailable).value), "it is away")
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_whether_it_can_be_used_is_the_inner_one_s_to_say(self) -> None:
        self.assertIsNone(IStoreState(self.store(), None))
