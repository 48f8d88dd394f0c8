"""What is said of a store, and what is opened for it."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStoreState
from oaiproxy.settings import StoreSettings
from oaiproxy.store import MemoryStore, StoreRefused, open_store
from oaiproxy.store.sealed import SealedStore
from oaiproxy.storeplace import StoreHome, StorePlace, store_place
from tests.redisserver import free_port

KEYS = (Secret("a key of thirty-two characters.."),)

REDIS = StoreHome.REDIS

#: What is said, what it means, and how it is shown.
PLACES = (
    ("memory", StorePlace(), "memory"),
    ("sqlite:kept.db", StorePlace(StoreHome.SQLITE, Path("kept.db")), "sqlite:kept.db"),
    ("sqlite:/var/lib/x:y", StorePlace(StoreHome.SQLITE, Path("/var/lib/x:y")), "sqlite:/var/lib/x:y"),
    ("redis://host", StorePlace(REDIS, host="host"), "redis://host:6379"),
    ("redis://host/", StorePlace(REDIS, host="host"), "redis://host:6379"),
    ("redis://Host:1234/5", StorePlace(REDIS, host="host", port=1234, database=5), "redis://host:1234/5"),
    ("rediss://[::1]:7", StorePlace(REDIS, host="::1", port=7, tls=True), "rediss://[::1]:7"),
    (
        "redis://me:p%40ss%2F@host/0",
        StorePlace(REDIS, host="host", user="me", password=Secret("p@ss/")),
        "redis://host:6379",
    ),
    ("redis://:pass@host", StorePlace(REDIS, host="host", password=Secret("pass")), "redis://host:6379"),
    ("unix:/run/redis.sock", StorePlace(REDIS, Path("/run/redis.sock")), "unix:/run/redis.sock"),
    ("unix:///run/redis.sock", StorePlace(REDIS, Path("/run/redis.sock")), "unix:/run/redis.sock"),
    (
        "unix://me:pass@/run/redis.sock?db=3",
        StorePlace(REDIS, Path("/run/redis.sock"), database=3, user="me", password=Secret("pass")),
        "unix:/run/redis.sock?db=3",
    ),
)

#: What is said that means nothing, and a part of what is said of it.
WRONG = (
    ("file:x", "must be memory, sqlite:PATH, redis://HOST"),
    ("sqlite:", "must be memory"),
    ("Memory", "must be memory"),
    ("redis://", "it has no host"),
    ("redis:///1", "it has no host"),
    ("redis://host/one", "its database is no number"),
    ("redis://host:port/1", "its port is no port number"),
    ("redis://host:99999", "its port is no port number"),
    ("redis://host?db=1", "it has more than these"),
    ("redis://:pass#word@host", "(is a character of the password not written as %23 or %3F?)"),
    ("redis://:pass?word@host", "(is a character of the password not written as %23 or %3F?)"),
    ("redis://:pass\u2100word@host", "its host is none"),
    ("unix:", "it has no path"),
    ("unix:/x?y=1", "it has more than these"),
    ("redis://[::1", "redis://USER:PASSWORD@HOST"),
)


class PlaceTests(SynchronousTestCase):
    def test_each_form_means_what_it_says_and_is_shown_without_secrets(self) -> None:
        for said, meant, shown in PLACES:
            found = store_place(said)
            self.assertEqual((found, str(found)), (meant, shown), said)
            self.assertNotIn("pass@", repr(found))

    def test_what_it_cannot_be_is_said_without_quoting_it(self) -> None:
        for said, expected in WRONG:
            message = str(self.assertRaises(ValueError, store_place, said))
            self.assertIn(expected, message, said)
            self.assertNotRegex(message, "pass.word@")


class OpeningTests(SynchronousTestCase):
    def test_where_nothing_is_said_it_is_memory(self) -> None:
        for place in (None, StorePlace()):
            store = open_store(StoreSettings(place, bytes=1000), reactor)
            self.assertIsInstance(store, MemoryStore)
            self.assertIsNone(IStoreState(store, None))

    def test_what_others_could_read_is_sealed(self) -> None:
        places = (f"sqlite:{self.mktemp()}", f"redis://127.0.0.1:{free_port()}")
        for place in map(store_place, places):
            store = open_store(StoreSettings(place, KEYS), reactor)
            self.addCleanup(store.close)
            self.assertIsInstance(store, SealedStore)
            self.assertEqual(IStoreState(store).available, place.home is StoreHome.SQLITE)

    def test_it_is_not_opened_without_a_key(self) -> None:
        said = self.assertRaises(StoreRefused, open_store, StoreSettings(store_place("redis://x")), reactor)
        self.assertEqual(str(said), "there is no key for redis://x:6379")

    def test_a_file_that_was_never_used_leaves_no_thread_when_it_is_closed(self) -> None:
        store = open_store(StoreSettings(store_place(f"sqlite:{self.mktemp()}"), KEYS), reactor)
        self.successResultOf(store.close())
