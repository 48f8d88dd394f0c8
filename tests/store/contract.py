"""What every home of a store does: `oaiproxy.interfaces.IStateStore`, as tests."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from oaiproxy.interfaces import IStateStore
from tests.support import SocketTestCase

#: What is kept in these tests unless time is what they are about.
LONG = 100.0

#: For how long the tests keep what is to be over.
SHORT = 10.0

#: The longest key, with every byte in it.
KEY = bytes(range(200))


class StoreContract(SocketTestCase):
    """The tests; a home has to say how it is made, and how time passes."""

    timeout = 30

    async def make(self) -> IStateStore:
        """A store with nothing in it; it is closed at the end of the test."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the store."""
        raise NotImplementedError

    async def begin(self) -> IStateStore:
        store = await self.make()
        self.addCleanup(store.close)
        return store

    async def test_it_has_all_methods(self) -> None:
        verifyObject(IStateStore, await self.begin())

    async def test_what_is_put_is_found_in_the_order_that_is_asked(self) -> None:
        store = await self.begin()
        await store.put({b"a": b"1", b"b": b"2"}, LONG)
        self.assertEqual(await store.get([b"b", b"x", b"a", b"b"]), [b"2", None, b"1", b"2"])

    async def test_what_was_there_gives_way(self) -> None:
        store = await self.begin()
        await store.put({b"a": b"1", b"b": b"2"}, LONG)
        await store.put({b"a": b"3"}, LONG)
        self.assertEqual(await store.get([b"a", b"b"]), [b"3", b"2"])

    async def test_values_may_be_empty_and_large_and_of_any_bytes(self) -> None:
        store = await self.begin()
        entries = {b"empty": b"", b"large": bytes(range(256)) * 4096, KEY: b"\r\n\0'\""}
        await store.put(entries, LONG)
        self.assertEqual(await store.get(list(entries)), list(entries.values()))

    async def test_many_are_put_and_found_at_once(self) -> None:
        store = await self.begin()
        entries = {b"%d" % n: b"value %d" % n for n in range(1200)}
        await store.put(entries, LONG)
        self.assertEqual(await store.get([*entries, b"x"]), [*entries.values(), None])

    async def test_what_is_forgotten_is_gone_and_the_rest_is_not(self) -> None:
        store = await self.begin()
        await store.put({b"a": b"1", b"b": b"2"}, LONG)
        await store.forget([b"a", b"never there"])
        self.assertEqual(await store.get([b"a", b"b"]), [None, b"2"])

    async def test_nothing_is_asked_for_and_nothing_comes(self) -> None:
        store = await self.begin()
        self.assertEqual(await store.get([]), [])
        self.assertEqual(await store.add({}, LONG), [])
        self.assertIsNone(await store.put({}, LONG))
        self.assertIsNone(await store.forget([]))

    async def test_what_is_asked_for_without_waiting_comes_in_order(self) -> None:
        store = await self.begin()
        found: list[Deferred[list[bytes | None]]] = []
        for n in range(50):
            store.put({b"a": b"%d" % n}, LONG)
            found.append(store.get([b"a"]))
        self.assertEqual([await each for each in found], [[b"%d" % n] for n in range(50)])

    async def test_a_value_is_over_after_its_time(self) -> None:
        store = await self.begin()
        await store.put({b"short": b"1"}, SHORT)
        await store.put({b"long": b"2"}, LONG)
        self.assertEqual(await store.get([b"short", b"long"]), [b"1", b"2"])
        await self.pass_time(SHORT)
        self.assertEqual(await store.get([b"short", b"long"]), [None, b"2"])

    async def test_to_put_it_again_begins_its_time_anew(self) -> None:
        store = await self.begin()
        await store.put({b"a": b"1"}, SHORT)
        await store.put({b"a": b"2"}, LONG)
        await self.pass_time(SHORT)
        self.assertEqual(await store.get([b"a"]), [b"2"])

    async def test_what_is_kept_for_no_time_is_not_there(self) -> None:
        store = await self.begin()
        await store.put({b"a": b"1"}, LONG)
        await store.put({b"a": b"2"}, 0)
        self.assertEqual(await store.get([b"a"]), [None])

    async def test_counts_are_added_to(self) -> None:
        store = await self.begin()
        self.assertEqual(await store.add({b"a": 5, b"b": 1}, LONG), [5, 1])
        self.assertEqual(await store.add({b"b": 2, b"a": -7}, LONG), [3, -2])
        self.assertEqual(await store.add({KEY: 2**40}, LONG), [2**40])

    async def test_a_count_may_be_looked_at_and_does_not_begin(self) -> None:
        store = await self.begin()
        self.assertEqual(await store.add({b"a": 0}, SHORT), [0])
        await store.add({b"a": 3}, LONG)
        await self.pass_time(SHORT)
        self.assertEqual(await store.add({b"a": 0}, LONG), [3])

    async def test_a_count_s_time_is_counted_from_when_it_began(self) -> None:
        store = await self.begin()
        await store.add({b"a": 1}, SHORT)
        await self.pass_time(SHORT / 2)
        self.assertEqual(await store.add({b"a": 1}, LONG), [2])
        await self.pass_time(SHORT / 2)
        self.assertEqual(await store.add({b"a": 1}, LONG), [1])

    async def test_a_count_that_went_back_to_0_is_the_same_count(self) -> None:
        store = await self.begin()
        await store.add({b"a": 1}, SHORT)
        await store.add({b"a": -1}, LONG)
        self.assertEqual(await store.add({b"a": 1}, LONG), [1])
        await self.pass_time(SHORT)
        self.assertEqual(await store.add({b"a": 0}, LONG), [0])

    async def test_values_and_counts_of_one_name_are_two_things(self) -> None:
        store = await self.begin()
        await store.put({b"a": b"1"}, LONG)
        self.assertEqual(await store.add({b"a": 5}, LONG), [5])
        self.assertEqual(await store.get([b"a"]), [b"1"])
        await store.forget([b"a"])
        self.assertEqual(await store.add({b"a": 0}, LONG), [5])
