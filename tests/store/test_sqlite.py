"""The store that is a file: across restarts and processes, within its bound, and broken."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from oaiproxy.store import StoreRefused, sqlite, sqlitefile
from oaiproxy.store.sqlite import SqliteStore
from tests.store.counting import COUNT
from tests.store.support import counted, every_call, unavailable
from tests.support import ClockedReactor, SocketTestCase


class SqliteTestCase(SocketTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.clock = ClockedReactor()

    def store(self, limit: int = 2**24, clock: object = None) -> SqliteStore:
        store = SqliteStore(clock or self.clock, self.path, limit)
        self.addCleanup(store.close)
        return store

    async def pass_time(self, seconds: float) -> None:
        await self.quiet()
        self.clock.advance(seconds)

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        await self.until(lambda: not self.clock.waits())

    def rows(self, table: str) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


class FileTests(SqliteTestCase):
    async def test_what_is_put_is_there_after_a_restart(self) -> None:
        first = self.store()
        await first.put({b"a": b"1"}, 100)
        await first.add({b"a": 5}, 100)
        await first.close()
        second = self.store()
        self.assertEqual(await second.get([b"a"]), [b"1"])
        self.assertEqual(await second.add({b"a": 1}, 100), [6])

    async def test_it_is_its_owner_s_alone_with_all_that_lies_beside_it(self) -> None:
        self.path.touch(0o644)
        store = self.store()
        await store.put({b"a": b"1"}, 100)
        names = [path for path in self.path.parent.iterdir() if path.name.startswith(self.path.name)]
        self.assertEqual(len(names), 3)
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in names}, {0o600})

    async def test_it_is_one_file_when_it_is_closed(self) -> None:
        store = self.store()
        await store.put({b"a": b"1"}, 100)
        await store.close()
        await store.close()
        self.assertEqual([p for p in self.path.parent.iterdir() if p.name.startswith(self.path.name)], [self.path])

    async def test_a_closed_one_says_so(self) -> None:
        store = self.store()
        await store.close()
        self.assertEqual(await every_call(self, store), [f"sqlite:{self.path} is closed"] * 4)

    async def test_what_was_begun_is_done_before_it_closes(self) -> None:
        store = self.store()
        putting = store.put({b"a": b"1"}, 100)
        await store.close()
        await putting
        self.assertEqual(await self.store().get([b"a"]), [b"1"])

    async def test_two_stores_on_one_file_see_what_the_other_does(self) -> None:
        one, other = self.store(), self.store()
        await one.put({b"a": b"1"}, 100)
        self.assertEqual(await other.get([b"a"]), [b"1"])
        await other.add({b"a": 2}, 100)
        self.assertEqual(await one.add({b"a": 2}, 100), [4])

    async def test_two_processes_that_count_at_once_lose_nothing(self) -> None:
        # the file is made by whoever is first
        found = await deferToThread(counted, f"sqlite:{self.path}", 2, 400)
        self.assertEqual(sorted(found[0] + found[1]), list(range(1, 801)))
        self.assertEqual(self.rows("counts"), 1)
        self.assertFalse(COUNT in self.path.read_bytes())


class RoomTests(SqliteTestCase):
    async def test_the_file_gets_no_larger_than_it_may(self) -> None:
        limit = 400_000
        store = self.store(limit)
        for n in range(300):
            await store.put({b"%d" % n: os.urandom(3000)}, 1000)
        await store.close()
        self.assertLess(self.path.stat().st_size, limit + 20_000)
        self.assertGreater(self.rows("entries"), 80)

    async def test_what_was_not_used_for_the_longest_goes_first(self) -> None:
        store = self.store(100_000)
        for n in range(12):
            await store.put({b"%d" % n: bytes(4000)}, 10_000)
            await self.pass_time(1)
        await self.pass_time(sqlitefile.USED_EVERY)
        self.assertEqual(await store.get([b"3"]), [bytes(4000)])
        for n in range(8):
            await store.put({b"new %d" % n: bytes(4000)}, 10_000)
        self.assertEqual(await store.get([b"3", b"2", b"4", b"new 7"]), [bytes(4000), None, None, bytes(4000)])

    async def test_what_is_over_makes_room_first(self) -> None:
        store = self.store(100_000)
        await store.put({b"lasts": bytes(4000)}, 10_000)
        await self.pass_time(1)
        for n in range(15):
            await store.put({b"%d" % n: bytes(4000)}, 5)
        await self.pass_time(10)
        for n in range(10):
            await store.put({b"new %d" % n: bytes(4000)}, 10_000)
        self.assertEqual(await store.get([b"lasts"]), [bytes(4000)])

    async def test_a_value_that_has_no_room_is_not_kept(self) -> None:
        store = self.store(100_000)
        await store.put({b"a": bytes(200_000)}, 100)
        self.assertEqual(await store.get([b"a"]), [None])

    async def test_counts_alone_stay_within_it_too(self) -> None:
        store = self.store(100_000)
        for n in range(0, 4000, 100):
            await store.add({b"%d" % m: 1 for m in range(n, n + 100)}, 10_000)
        await store.put({b"a": b"1"}, 100)
        self.assertLess(self.rows("counts"), 3600)

    async def test_what_is_over_is_swept_now_and_then_and_the_disk_gets_its_room_back(self) -> None:
        store = self.store()
        await store.put({b"%d" % n: bytes(1000) for n in range(3 * sqlitefile.BATCH)}, 10)
        await store.add({b"%d" % n: 1 for n in range(10)}, 10)
        await store.put({b"lasts": b"1"}, 10_000)
        await self.pass_time(sqlite.SWEEP_EVERY)
        await store.get([b"x"])
        await self.quiet()
        self.assertEqual((self.rows("entries"), self.rows("counts")), (1, 0))
        for _ in range(3):
            await self.pass_time(sqlite.SWEEP_EVERY)
            await store.get([b"x"])
            await self.quiet()
        await store.close()
        self.assertLess(self.path.stat().st_size, 100_000)

    async def test_a_sweep_of_much_lets_others_come_between(self) -> None:
        store = self.store()
        for n in range(0, 3 * sqlitefile.BATCH, 100):
            await store.put({b"%d" % m: b"" for m in range(n, n + 100)}, 10)
        await self.pass_time(sqlite.SWEEP_EVERY)
        left: list[int] = []
        await store.get([b"x"])
        while not left or left[-1]:
            left.append((await store.add({b"y": 0}, 1)) and self.rows("entries"))
        self.assertGreater(len(left), 1)
        await self.quiet()


class RefusedTests(SqliteTestCase):
    def refused(self, **more: bool) -> str:
        return str(self.assertRaises(StoreRefused, sqlitefile.connect, self.path, **more))

    def test_a_file_that_is_no_database(self) -> None:
        self.path.write_bytes(b"no database at all, but more than a header's length of text. " * 20)
        said = (
            f"{self.path} is damaged, or no SQLite file (file is not a database): move it away, and a new one is made"
        )
        self.assertEqual(self.refused(), said)

    async def test_one_that_is_damaged_inside(self) -> None:
        store = self.store()
        for n in range(100):
            store.put({b"%d" % n: os.urandom(3000)}, 100)
        await store.close()
        data = bytearray(self.path.read_bytes())
        data[3 * 4096 : 60 * 4096] = os.urandom(57 * 4096)
        self.path.write_bytes(data)
        self.assertIn("is damaged, or no SQLite file (its pages do not fit together): move it away", self.refused())

    def test_the_database_of_another_program(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        self.assertEqual(self.refused(), f"{self.path} is the database of another program")

    def test_one_of_a_newer_version(self) -> None:
        sqlitefile.connect(self.path).close()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(f"PRAGMA user_version = {sqlitefile.VERSION + 1}")
        self.assertIn("was made by a newer oaiproxy: move it away", self.refused())

    def test_a_folder_that_is_not_there(self) -> None:
        self.path = self.path / "none" / "file"
        self.assertEqual(self.refused(), f"{self.path} cannot be opened: No such file or directory")

    def test_a_folder_in_place_of_a_file(self) -> None:
        self.path.mkdir()
        self.assertEqual(self.refused(), f"{self.path} cannot be opened: Is a directory")

    def test_a_file_that_another_program_holds(self) -> None:
        sqlitefile.connect(self.path).close()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self.assertEqual(self.refused(), f"{self.path} cannot be used: database is locked")


class BrokenTests(SqliteTestCase):
    """What breaks while the store is used."""

    async def test_a_file_that_is_overwritten_is_said_once_and_every_call_fails(self) -> None:
        store = self.store()
        for n in range(100):
            store.put({b"%d" % n: os.urandom(3000)}, 100)
        await store.put({b"a": b"1"}, 100)
        # by another process, so that what SQLite remembers of it does not hold
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.path.write_bytes(os.urandom(self.path.stat().st_size))
        with closing(sqlite3.connect(self.path)) as connection:
            self.assertRaises(sqlite3.DatabaseError, connection.execute, "SELECT * FROM entries")
        for n in range(3):
            said = await unavailable(self, store.add({b"x": n + 1}, 100))  # type: ignore[arg-type]
            self.assertIn(f"sqlite:{self.path}", said)
        self.assertFalse(store.available)

    async def test_one_that_is_locked_is_left_alone_for_a_moment_and_then_used_again(self) -> None:
        store = self.store(clock=reactor)
        await store.put({b"a": b"1"}, 100)
        self.patch(sqlite, "PAUSE", 3600.0)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # who only reads does not wait for who writes
            self.assertEqual(await store.get([b"a"]), [b"1"])
            said = await unavailable(self, store.put({b"a": b"2"}, 100))  # type: ignore[arg-type]
            self.assertEqual(said, f"sqlite:{self.path}: database is locked")
        self.assertFalse(store.available)
        self.assertEqual(await every_call(self, store), [f"sqlite:{self.path} did not answer a moment ago"] * 4)
        store._again = 0.0
        self.assertEqual(await store.get([b"a"]), [b"1"])
        self.assertTrue(store.available)

    async def test_who_asks_waits_no_longer_than_the_deadline_and_nobody_else_does(self) -> None:
        store = self.store()
        await store.put({b"a": b"1"}, 10_000)
        await self.quiet()
        disk = threading.Event()
        self.addCleanup(disk.set)
        stuck = store._do(lambda connection: disk.wait(60))
        waiting = store.get([b"a"])
        self.clock.advance(sqlite.DEADLINE)
        for late in (stuck, waiting):
            said = await unavailable(self, late)  # type: ignore[arg-type]
            self.assertEqual(said, f"sqlite:{self.path}: no answer within 1 s")
        self.clock.advance(100 * sqlite.PAUSE)
        self.assertEqual(await every_call(self, store), [f"sqlite:{self.path} did not answer a moment ago"] * 4)
        disk.set()
        await self.until(lambda: store.available)
        self.assertEqual(await store.get([b"a"]), [b"1"])

    async def test_no_more_wait_than_have_room(self) -> None:
        self.patch(sqlite, "MOST_WAITING", 10)
        store = self.store()
        found = [store.get([b"a"]) for _ in range(20)]
        outcomes = [await each.addErrback(lambda reason: None) for each in found]
        self.assertEqual(outcomes.count([None]), 10)
        self.assertEqual(outcomes.count(None), 10)

    async def test_whoever_leaves_meanwhile_is_no_error(self) -> None:
        store = self.store()
        asking = store.get([b"a"])
        asking.addErrback(lambda reason: None)
        asking.cancel()
        self.assertEqual(await store.get([b"a"]), [None])
