"""The store of a service, in processes of its own: at the start, in several workers, and across a restart."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.threads import deferToThread

from oaiproxy.stopping import EXIT_FAILED
from tests.process import Service, run, twistd
from tests.redisserver import MISSING, RedisServer, free_port
from tests.web.asking import AskingTestCase

KEY = "0123456789abcdef0123456789abcdef"

#: Lets a test reach the store of whatever process answers the health check: ``?put=KEY``, ``?get=KEY``, ``?add=KEY``.
REACH = '''
"""A transform that does nothing, in a module that lets tests reach the store."""

import os
from urllib.parse import parse_qsl

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from oaiproxy.interfaces import IConditionalTransform
from oaiproxy.web import health
from oaiproxy.web.respond import write_body


async def reach(store, request, how, key):
    try:
        if how == b"put":
            found = await store.put({key: b"kept by %d" % os.getpid()}, 100)
        elif how == b"get":
            found = [value and value.decode() for value in await store.get([key])]
        else:
            found = await store.add({key: 1}, 100)
    except Exception as e:
        found = str(e)
    write_body(request, 200, msgspec.json.encode({"pid": os.getpid(), "found": found}), ())


def render(self, request, usual=health.HealthResource.render):
    for how, key in parse_qsl(request.uri.partition(b"?")[2]):
        if how in (b"put", b"get", b"add"):
            ensureDeferred(reach(self._store, request, how, key))
            return NOT_DONE_YET
    return usual(self, request)


health.HealthResource.render = render


@implementer(IConditionalTransform)
class Reach:
    name, phase, before, after, ports, paths = "reach", "last", (), (), frozenset(), frozenset()

    def wanted(self, settings):
        return False

    def transform(self, request, context):
        return request


reach_transform = Reach()
'''


def seen(pid: int) -> bytes:
    """What others see of a process."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


class ServiceTestCase(AskingTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        plugins = self.folder / "python" / "oaiproxy" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "reach.py").write_text(REACH)
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()

    async def start(self, *options: str, **environ: str) -> Service:
        environ = {"PYTHONPATH": str(self.folder / "python"), "TMPDIR": str(self.temporary), **environ}
        service: Service = await deferToThread(lambda: Service("--upstream=demo", *options, **environ))
        self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
        return service

    async def reach(self, service: Service, how: str, key: str = "a") -> tuple[int, Any]:
        """Reach the store of whichever process answers: its id, and what it finds."""
        port = urlsplit(service.bridge).port or 0
        answer = await self.asks(port, f"GET /health?{how}={key}")
        found = json.loads(answer.body)
        return found["pid"], found["found"]

    async def health(self, service: Service) -> Any:
        port = urlsplit(service.bridge).port or 0
        return json.loads((await self.asks(port, "GET /health?store=1")).body)


class WorkersTests(ServiceTestCase):
    async def found_by_both(self, service: Service) -> dict[int, Any]:
        """What each of two workers finds of what one of them has put."""
        writer, _ = await self.reach(service, "put")
        found: dict[int, Any] = {}
        while len(found) < 2:
            pid, (value,) = await self.reach(service, "get")
            found[pid] = value
        self.assertIn(writer, found)
        return found

    async def test_what_one_puts_the_other_finds_where_nothing_is_said(self) -> None:
        service = await self.start("--workers=2")
        found = await self.found_by_both(service)
        self.assertEqual(len(set(found.values())), 1)
        self.assertRegex(next(iter(found.values())), r"kept by \d+")
        counts = [(await self.reach(service, "add"))[1] for _ in range(10)]
        self.assertEqual(counts, [[n] for n in range(1, 11)])
        self.assertEqual(await self.health(service), {"status": "ok", "store": "ok"})

        # it is theirs alone, and its key is nowhere to be seen
        (folder,) = self.temporary.iterdir()
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}, {0o600})
        with closing(sqlite3.connect(folder / "store")) as connection:
            self.assertNotIn(b"kept by", connection.execute("SELECT value FROM entries").fetchone()[0])
        if sys.platform == "linux":
            for pid in (service.pid, *found):
                self.assertIsNone(re.search(rb"[0-9a-f]{64}", seen(pid)))
        self.assertEqual(await deferToThread(service.stop), 0)
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertNotIn("Traceback", service.output)

    async def test_it_outlives_a_worker(self) -> None:
        service = await self.start("--workers=2")
        writer, _ = await self.reach(service, "put")
        os.kill(writer, signal.SIGKILL)
        pids = {writer}
        while len(pids) < 3:
            pid, (value,) = await self.reach(service, "get")
            self.assertEqual(value, f"kept by {writer}")
            pids.add(pid)

    async def test_each_has_its_own_where_memory_is_said(self) -> None:
        service = await self.start("--workers=2", "--store=memory")
        found = await self.found_by_both(service)
        self.assertEqual(sorted(map(bool, found.values())), [False, True])
        self.assertEqual(list(self.temporary.iterdir()), [])

    async def test_a_place_that_is_said_is_shared_and_stays(self) -> None:
        store = f"--store=sqlite:{self.folder}/kept"
        for expected in (1, 2):
            service = await self.start("--workers=2", store, OAIPROXY_STORE_KEY=KEY)
            self.assertEqual((await self.reach(service, "add"))[1], [expected])
            self.assertEqual(len(set((await self.found_by_both(service)).values())), 1)
            self.assertEqual(await deferToThread(service.stop), 0)
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertIn(f"store: sqlite:{self.folder}/kept", service.output)

    async def test_where_there_is_no_place_for_it_each_has_its_own_and_the_log_says_so(self) -> None:
        # a root of files that nobody can write to: a module does what such a container does
        (self.folder / "python" / "sitecustomize.py").write_text(
            "import tempfile\n"
            "def mkdtemp(*a, **k): raise OSError(30, 'Read-only file system')\n"
            "tempfile.mkdtemp = mkdtemp\n"
        )
        service = await self.start("--workers=2")
        self.assertEqual(sorted(map(bool, (await self.found_by_both(service)).values())), [False, True])
        self.assertIn("there is no place for what the workers share (Read-only file system)", service.output)


class StartTests(ServiceTestCase):
    def refused(self, *options: str, **environ: str) -> str:
        """The one line with which the service ends."""
        lines = set()
        for workers in (1, 2):
            done = run(*twistd("--passthrough=0", "--bridge=0", f"--workers={workers}", *options), **environ)
            self.assertEqual(done.returncode, EXIT_FAILED, done.stdout + done.stderr)
            self.assertNotIn("Traceback", done.stdout + done.stderr)
            lines.add(done.stderr)
        (line,) = lines
        self.assertEqual(line.count("\n"), 1, line)
        return line

    def test_a_damaged_file(self) -> None:
        path = self.folder / "kept"
        path.write_bytes(b"no database at all. " * 100)
        self.assertEqual(
            self.refused(f"--store=sqlite:{path}", OAIPROXY_STORE_KEY=KEY),
            f"oaiproxy: --store: {path} is damaged, or no SQLite file (file is not a database): move it away, and a "
            "new one is made\n",
        )

    def test_a_folder_that_is_not_there(self) -> None:
        self.assertEqual(
            self.refused(f"--store=sqlite:{self.folder}/none/kept", OAIPROXY_STORE_KEY=KEY),
            f"oaiproxy: --store: {self.folder}/none/kept cannot be opened: No such file or directory\n",
        )

    def test_a_place_without_a_key(self) -> None:
        self.assertIn("openssl rand -hex 32 makes them", self.refused(f"--store=sqlite:{self.folder}/kept"))

    def test_authorities_that_are_none(self) -> None:
        line = self.refused("--store=rediss://127.0.0.1", f"--store-ca={self.folder}/none", OAIPROXY_STORE_KEY=KEY)
        self.assertEqual(
            line, f"oaiproxy: --store: store_ca: {self.folder}/none cannot be read: No such file or directory\n"
        )

    def test_a_port_that_is_taken_ends_a_service_with_a_store_as_well(self) -> None:
        port = self.listen_somewhere()
        done = run(
            *twistd(f"--bridge={port}", "--interface=127.0.0.1", f"--store=sqlite:{self.folder}/kept"),
            OAIPROXY_STORE_KEY=KEY,
        )
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertIn("cannot listen on", done.stderr)

    def listen_somewhere(self) -> int:
        self.upstream()
        return self.upstream_port


class RedisTests(ServiceTestCase):
    if MISSING:
        skip = MISSING

    async def test_workers_share_it(self) -> None:
        server: RedisServer = await deferToThread(RedisServer)
        self.addCleanup(deferToThread, server.stop, signal.SIGKILL)
        service = await self.start("--workers=2", f"--store={server.url}", OAIPROXY_STORE_KEY=KEY)
        connected: set[int] = set()
        while len(connected) < 2:
            pid, found = await self.reach(service, "get")
            # until it is, it says why not
            if isinstance(found, list):
                connected.add(pid)
        counted: set[int] = set()
        for expected in range(1, 100):
            pid, found = await self.reach(service, "add")
            self.assertEqual(found, [expected])
            counted.add(pid)
            if len(counted) == 2:
                break
        self.assertEqual(counted, connected)
        self.assertNotIn("cannot be used", service.output)

    async def test_a_server_that_is_not_there_is_a_warning_and_is_used_when_it_comes(self) -> None:
        port = free_port()
        service = await self.start(f"--store=redis://:secret-word@127.0.0.1:{port}/1", OAIPROXY_STORE_KEY=KEY)
        self.assertEqual(await self.health(service), {"status": "ok", "store": "unavailable"})
        await self.until(lambda: "cannot be used" in service.output)
        _, said = await self.reach(service, "get")
        self.assertIn(f"redis://127.0.0.1:{port}/1: ", said)
        server: RedisServer = await deferToThread(lambda: RedisServer("requirepass secret-word", port=port))
        self.addCleanup(deferToThread, server.stop, signal.SIGKILL)
        while (await self.health(service))["store"] != "ok":
            pass
        await self.reach(service, "put")
        self.assertRegex((await self.reach(service, "get"))[1][0], r"kept by \d+")
        self.assertEqual(await deferToThread(service.stop), 0)
        self.assertNotIn("secret-word", service.output)
        self.assertNotIn("Traceback", service.output)
