"""The store that is a Redis server: lost, silent, refused and found again."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from oaiproxy.interfaces import IStoreState
from oaiproxy.store import StoreRefused, redis
from oaiproxy.store.redis import RedisStore
from oaiproxy.store.redislink import AnsweredError
from oaiproxy.storeplace import store_place
from tests.redisserver import RedisServer, RedisTestCase, free_port
from tests.store.counting import COUNT
from tests.store.support import counted, every_call, unavailable
from tests.support import ClockedReactor, SocketTestCase

#: What must never be seen.
PASSWORD = "a-password-that-nobody-is-to-see"


def be_busy(seconds: float) -> None:
    """Hold up the reactor, while its clock goes on."""
    time.sleep(seconds)


class Logging(TestCase):
    """Keeps what is logged.

    @ivar logged: the lines.
    """

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, event: Any) -> None:
        if event["log_namespace"].startswith("oaiproxy.store"):
            self.logged.append(event["log_format"].format(**event))


class ServerTestCase(Logging, RedisTestCase):
    def store(self, server: RedisServer | str, **more: Any) -> RedisStore:
        place = store_place(server if isinstance(server, str) else server.url)
        store = RedisStore(more.pop("reactor", reactor), place)
        self.addCleanup(store.close)
        return store

    async def ready(self, server: RedisServer | str) -> RedisStore:
        store = self.store(server)
        await self.until(lambda: store.available)
        return store


class WireTests(ServerTestCase):
    """What is in the server."""

    async def test_keys_begin_with_our_name_and_all_of_them_end(self) -> None:
        store = await self.ready(self.server)
        await store.put({b"a": b"1"}, 100)
        await store.add({b"a": 5, b"b": 0}, 50)
        keys = sorted(self.server.command("KEYS", "*"))
        self.assertEqual(keys, [b"oaiproxy:c:a", b"oaiproxy:v:a"])
        times = [self.server.command("PTTL", key) / 1000 for key in keys]
        self.assertTrue(45 < times[0] <= 50 and 95 < times[1] <= 100, times)

    async def test_a_value_is_over_by_the_server_s_own_clock(self) -> None:
        store = await self.ready(self.server)
        await store.put({b"a": b"1"}, 0.05)
        while await store.get([b"a"]) != [None]:
            pass

    async def test_many_keys_are_one_round_trip(self) -> None:
        store = await self.ready(self.server)
        self.server.command("CONFIG", "RESETSTAT")
        await store.get([b"%d" % n for n in range(100)])
        self.assertIn("cmdstat_mget:calls=1,", self.server.command("INFO", "commandstats").decode())

    async def test_a_database_of_its_own(self) -> None:
        store = await self.ready(self.server.url + "/3")
        await store.put({b"a": b"1"}, 100)
        self.assertEqual(self.server.command("DBSIZE"), 0)
        self.assertIn(b"db3:keys=1", self.server.command("INFO", "keyspace"))

    async def test_a_socket_in_the_file_system(self) -> None:
        store = await self.ready(f"unix:{self.server.socket}?db=2")
        await store.put({b"a": b"1"}, 100)
        self.assertEqual(await store.get([b"a"]), [b"1"])
        self.assertIn(b"db2:keys=1", self.server.command("INFO", "keyspace"))

    async def test_a_server_that_has_forgotten_the_script_is_told_again(self) -> None:
        store = await self.ready(self.server)
        self.server.command("SCRIPT", "FLUSH")
        self.server.command("CONFIG", "RESETSTAT")
        for n in range(1, 4):
            self.assertEqual(await store.add({b"a": 1}, 100), [n])
        self.assertIn("cmdstat_eval:calls=1,", self.server.command("INFO", "commandstats").decode())

    async def test_two_processes_that_count_at_once_lose_nothing(self) -> None:
        found = await deferToThread(counted, self.server.url, 2, 1000)
        self.assertEqual(sorted(found[0] + found[1]), list(range(1, 2001)))
        (key,) = self.server.command("KEYS", "*")
        self.assertNotIn(COUNT, key)

    async def test_an_error_of_the_server_fails_one_call_and_no_other(self) -> None:
        store = await self.ready(self.server)
        self.server.command("LPUSH", "oaiproxy:c:a", "no count")
        said = await unavailable(self, store.add({b"a": 1}, 100))  # type: ignore[arg-type]
        self.assertIn(f"{self.server.url}: ", said)
        self.assertNotIn("no count", said)
        self.assertEqual(await store.add({b"b": 1}, 100), [1])

    async def test_a_server_whose_memory_is_full_says_so(self) -> None:
        server = await self.redis("maxmemory 1mb", "maxmemory-policy noeviction")
        store = await self.ready(server)
        said = await unavailable(self, store.put({b"a": bytes(2**20)}, 100))  # type: ignore[arg-type]
        self.assertIn("its memory is full and it drops nothing (maxmemory-policy)", said)

    async def test_what_was_begun_is_done_before_it_closes(self) -> None:
        store = await self.ready(self.server)
        putting = store.put({b"a": b"1"}, 100)
        await store.close()
        await putting
        self.assertEqual(self.server.command("GET", "oaiproxy:v:a"), b"1")
        self.assertEqual(await every_call(self, store), [f"{self.server.url}: it is closed"] * 4)

    async def test_whoever_leaves_meanwhile_is_no_error(self) -> None:
        store = await self.ready(self.server)
        for asking in (store.get([b"a"]), store.add({b"a": 1}, 10), store.put({b"a": b"1", b"b": b"2"}, 10)):
            asking.addErrback(lambda reason: None)
            asking.cancel()
        self.assertEqual(await store.get([b"x"]), [None])


class LostTests(ServerTestCase):
    """The server goes away, and comes back."""

    async def gone(self, how: signal.Signals) -> None:
        server = await self.redis()
        store = await self.ready(server)
        await store.put({b"a": b"1"}, 100)
        await deferToThread(server.stop, how)
        await self.until(lambda: not store.available)
        began = self.logged.copy()
        for said in await every_call(self, store):
            self.assertTrue(said.startswith(f"{server.url}: "), said)
        await self.redis(port=server.port)
        await self.until(lambda: store.available)
        self.assertEqual(await store.get([b"a"]), [None])
        self.assertEqual(await store.add({b"a": 1}, 100), [1])
        self.assertEqual(
            (began, self.logged[1:]),
            (
                [f"the store {server.url} cannot be used: the connection was closed; it is tried again and again"],
                [f"the store {server.url} can be used again"],
            ),
        )

    async def test_one_that_is_stopped_and_started_again_is_used_again(self) -> None:
        await self.gone(signal.SIGTERM)

    async def test_one_that_is_killed_and_started_again_is_used_again(self) -> None:
        await self.gone(signal.SIGKILL)

    async def test_what_waits_when_it_is_killed_fails_at_once(self) -> None:
        server = await self.redis()
        store = await self.ready(server)
        os.kill(server.pid, signal.SIGSTOP)
        waiting = [store.get([b"a"]) for _ in range(3)]
        os.kill(server.pid, signal.SIGKILL)
        for each in waiting:
            self.assertIn("onnection", await unavailable(self, each))  # type: ignore[arg-type]

    async def test_one_that_is_not_there_yet_is_found_when_it_is(self) -> None:
        port = free_port()
        store = self.store(f"redis://127.0.0.1:{port}")
        await self.until(lambda: self.logged)
        self.assertIn("Connection refused", self.logged[0])
        await self.redis(port=port)
        await self.until(lambda: store.available)
        await store.put({b"a": b"1"}, 100)


class SilentTests(ServerTestCase):
    """The server takes connections and says nothing."""

    async def test_a_call_waits_no_longer_than_the_deadline_and_the_next_ones_not_at_all(self) -> None:
        server = await self.redis()
        clock = ClockedReactor()
        store = self.store(server, reactor=clock)
        await self.until(lambda: store.available)
        os.kill(server.pid, signal.SIGSTOP)
        waiting = [store.get([b"a"]), store.add({b"a": 1}, 10)]
        clock.advance(redis.DEADLINE)
        for each in waiting:
            said = await unavailable(self, each)  # type: ignore[arg-type]
            self.assertEqual(said, f"{server.url}: no answer within 0.25 s")
        await self.until(lambda: not store.available)
        self.assertEqual(await every_call(self, store), [f"{server.url}: no answer within 0.25 s"] * 4)

        # the kernel takes connections for it, but that is not enough
        await self.come_to(clock, lambda: "no answer within 2 s" in store._why)
        self.assertFalse(store.available)
        os.kill(server.pid, signal.SIGCONT)
        await self.come_to(clock, lambda: store.available)
        self.assertEqual(await store.get([b"a"]), [None])

    async def come_to(self, clock: ClockedReactor, condition: Any) -> None:
        """Let time pass, and the reactor turn meanwhile, until something is so."""
        while not condition():
            clock.advance(0.1)
            await self.turns(10)

    async def test_an_answer_that_is_there_already_is_not_too_late(self) -> None:
        store = await self.ready(self.server)
        asking = store.get([b"a"])
        be_busy(1.5 * redis.DEADLINE)
        self.assertEqual(await asking, [None])

    async def test_a_connection_that_is_dead_is_found_without_a_request(self) -> None:
        server = await self.redis()
        clock = ClockedReactor()
        store = self.store(server, reactor=clock)
        await self.until(lambda: store.available)
        os.kill(server.pid, signal.SIGSTOP)
        clock.advance(redis.PING_EVERY)
        clock.advance(redis.DEADLINE)
        await self.until(lambda: not store.available)

    async def test_closing_does_not_wait_for_it(self) -> None:
        server = await self.redis()
        store = await self.ready(server)
        os.kill(server.pid, signal.SIGSTOP)
        asking = store.get([b"a"])
        await store.close()
        await unavailable(self, asking)  # type: ignore[arg-type]
        # nor while it tries to connect
        store = self.store(server)
        await self.turns(5)
        await store.close()


class RefusedTests(ServerTestCase):
    """The server does not take us, or is none."""

    async def refused(self, url: str) -> str:
        self.store(url)
        await self.until(lambda: self.logged)
        (said,) = self.logged
        self.assertNotIn(PASSWORD, said)
        return said

    async def test_a_wrong_password_is_said_and_not_shown_and_tried_again(self) -> None:
        server = await self.redis(f"requirepass {PASSWORD[::-1]}")
        store = self.store(server.url.replace("//", f"//:{PASSWORD}@"))
        await self.until(lambda: self.logged)
        self.assertIn(f"{server.url} cannot be used: the user or the password is wrong;", self.logged[0])
        for said in await every_call(self, store):
            self.assertEqual(said, f"{server.url}: the user or the password is wrong")
        # somebody mends it
        with_password = f"unix:{server.socket}".replace("unix:", f"unix://:{PASSWORD[::-1]}@")
        mending = await self.ready(with_password)
        await mending._do([(b"CONFIG", b"SET", b"requirepass", PASSWORD.encode())])
        await self.until(lambda: store.available)
        self.assertNotIn(PASSWORD, repr(vars(store)) + repr(self.logged))

    async def test_one_that_wants_a_password(self) -> None:
        server = await self.redis(f"requirepass {PASSWORD}")
        self.assertIn("it wants a password", await self.refused(server.url))

    async def test_a_user_with_a_password(self) -> None:
        server = await self.redis(f"user proxy on >{PASSWORD} ~oaiproxy:* +@all", "user default off")
        store = await self.ready(server.url.replace("//", f"//proxy:{PASSWORD}@"))
        await store.put({b"a": b"1"}, 100)
        self.assertEqual(await store.add({b"a": 1}, 100), [1])

    async def test_a_user_that_needs_no_more_rights_than_the_documentation_says(self) -> None:
        rights = "+ping +select +mget +set +del +eval +evalsha +get +incrby +pttl +pexpire"
        server = await self.redis(f"user proxy on >{PASSWORD} ~oaiproxy:* {rights}", "user default off")
        store = await self.ready(server.url.replace("//", f"//proxy:{PASSWORD}@") + "/1")
        await store.put({b"a": b"1"}, 100)
        await store.forget([b"a"])
        self.assertEqual(await store.get([b"a"]), [None])
        self.assertEqual(await store.add({b"a": 1, b"b": 0}, 100), [1, 0])

    async def test_a_user_that_may_not(self) -> None:
        server = await self.redis(f"user proxy on >{PASSWORD} ~other:* +@all", "user default off")
        store = await self.ready(server.url.replace("//", f"//proxy:{PASSWORD}@"))
        self.assertIn("its user may not do that (ACL)", (await every_call(self, store))[0])

    async def test_a_password_that_goes_to_a_server_without_is_not_shown(self) -> None:
        said = await self.refused(self.server.url.replace("//", f"//:{PASSWORD}@"))
        self.assertIn("AUTH", said)

    async def test_a_database_that_there_is_not(self) -> None:
        self.assertIn("DB index is out of range", await self.refused(self.server.url + "/99"))

    async def test_something_that_is_no_redis_server(self) -> None:
        class Other(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        port = self.listen(Factory.forProtocol(Other))
        self.assertIn("what answers there is no Redis server", await self.refused(f"redis://127.0.0.1:{port}"))

    async def test_one_that_says_what_nobody_asked(self) -> None:
        class Talkative(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"+PONG\r\n+PONG\r\n")

        port = self.listen(Factory.forProtocol(Talkative))
        self.assertIn("it says something that nobody asked", await self.refused(f"redis://127.0.0.1:{port}"))

    async def test_one_that_closes_each_connection_is_not_tried_all_the_time(self) -> None:
        class Closing(Protocol):
            def connectionMade(self) -> None:
                made.append(self)
                self.transport.loseConnection()

        self.patch(redis.random, "uniform", lambda least, most: most)
        made: list[Protocol] = []
        port = self.listen(Factory.forProtocol(Closing))
        clock = ClockedReactor()
        self.store(f"redis://127.0.0.1:{port}", reactor=clock)
        for _ in range(100):
            clock.advance(0.1)
            await self.turns(20)
        # in ten seconds: after 0.05, 0.1, 0.2, 0.4 ... 5; fewer where real sockets are slower than this clock
        self.assertLessEqual(len(made), 8)

        def again() -> bool:
            clock.advance(0.1)
            return len(made) > 4

        await self.until(again)

    async def test_a_host_that_there_is_not(self) -> None:
        self.assertIn("cannot be used", await self.refused("redis://no-such-host.invalid"))


class TlsTests(ServerTestCase):
    async def test_a_server_whose_certificate_is_trusted(self) -> None:
        server = await self.redis(tls=True)
        place = store_place(f"rediss://localhost:{server.port}")
        store = RedisStore(reactor, replace(place, authorities=server.authority))
        self.addCleanup(store.close)
        await self.until(lambda: store.available)
        await store.put({b"a": b"1"}, 100)
        self.assertEqual(await store.get([b"a"]), [b"1"])

    async def test_one_whose_certificate_is_not_trusted(self) -> None:
        server = await self.redis(tls=True)
        self.store(server.url)
        await self.until(lambda: self.logged)
        self.assertIn("TLS: certificate verify failed", self.logged[0])

    async def test_one_whose_certificate_is_for_another_name(self) -> None:
        server = await self.redis(tls=True)
        place = store_place(f"rediss://127.0.0.2:{server.port}")
        server_2 = await self.redis("bind 127.0.0.2", tls=True)
        place = store_place(f"rediss://127.0.0.2:{server_2.port}")
        store = RedisStore(reactor, replace(place, authorities=server_2.authority))
        self.addCleanup(store.close)
        await self.until(lambda: self.logged)
        self.assertFalse(store.available)

    async def test_a_server_without_tls(self) -> None:
        self.store(self.server.url.replace("redis:", "rediss:"))
        await self.until(lambda: self.logged)
        self.assertIn("cannot be used", self.logged[0])

    def test_files_of_authorities_that_cannot_be_used(self) -> None:
        place = store_place("rediss://localhost")
        missing = Path(self.mktemp())
        said = str(self.assertRaises(StoreRefused, RedisStore, reactor, replace(place, authorities=missing)))
        self.assertIn("cannot be read: No such file or directory", said)


class DownTests(SocketTestCase):
    """What a server that is not there costs."""

    async def test_every_call_fails_at_once_and_waits_for_no_turn_of_the_reactor(self) -> None:
        store = RedisStore(reactor, store_place(f"redis://127.0.0.1:{free_port()}"))
        self.addCleanup(store.close)
        for _ in range(3):
            for call in (store.get([b"a"]), store.put({b"a": b"1"}, 1), store.forget([b"a"]), store.add({b"a": 1}, 1)):
                self.failureResultOf(call)
            await self.turns(10)
        state = IStoreState(store)
        self.assertFalse(state.available)


class AnswerTests(SynchronousTestCase):
    def test_an_error_s_words_are_ours_where_we_know_it_and_hold_nothing_of_what_was_said(self) -> None:
        found = {
            text: (AnsweredError(text).word, str(AnsweredError(text)))
            for text in (
                "WRONGPASS invalid username-password pair or user is disabled.",
                f"ERR unknown command 'AUTH', with args beginning with: '{PASSWORD}'",
                f"ERR unknown command `AUTH`, with args beginning with: `{PASSWORD}`",
                "ERR value is not an integer or out of range",
            )
        }
        self.assertEqual(
            list(found.values()),
            [
                ("WRONGPASS", "the user or the password is wrong"),
                ("ERR", "ERR unknown command"),
                ("ERR", "ERR unknown command"),
                ("ERR", "ERR value is not an integer or out of range"),
            ],
        )
