"""The memory of a service that is up."""

from __future__ import annotations

import gc
import json
import platform
import signal
import subprocess
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.processes import forget_most, memory
from oaiproxy.garbage import collect_when_quiet
from tests.process import ROOT, Process, Service, clean_environ, twistd
from tests.support import SocketTestCase, http_answer
from tests.web.test_bridge import JSON, response


class SettleTests(SynchronousTestCase):
    def test_what_there_is_is_not_looked_through_again(self) -> None:
        program = (
            "import gc, oaiproxy.garbage as g; before = gc.get_threshold(); g.settle(); "
            "print(gc.get_freeze_count() > 1000, gc.get_threshold()[0] > before[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=clean_environ({}), capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "True True\n")


class QuietTests(SynchronousTestCase):
    """When all there is is looked through."""

    def collected(self, running: int, rounds: int) -> bool:
        done: list[str] = []
        self.patch(gc, "get_count", lambda: (0, 0, rounds))
        self.patch(gc, "collect", lambda: done.append("collected"))
        said = collect_when_quiet(running)
        self.assertEqual(said, bool(done))
        return said

    def test_it_is_when_little_runs_and_there_may_be_something(self) -> None:
        self.assertTrue(self.collected(0, 10))
        self.assertTrue(self.collected(20, 50))

    def test_many_exchanges_are_not_held_up(self) -> None:
        self.assertFalse(self.collected(21, 50))

    def test_it_is_not_where_there_is_nothing_to_find(self) -> None:
        self.assertFalse(self.collected(0, 9))


class ServiceTests(SynchronousTestCase):
    """The service sees to it, in a process of its own."""

    def test_what_is_left_in_a_cycle_is_gone_once_it_is_quiet(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        # looks every moment; and says when it finds what only a look through everything finds
        folder.joinpath("sitecustomize.py").write_text(
            "import gc, sys, oaiproxy.garbage as g\n"
            "class Left:\n"
            "    def __init__(self): self.me = self\n"
            "    def __del__(self): print('what was left is gone', file=sys.__stdout__, flush=True)\n"
            "settled = g.settle\n"
            "def settle():\n"
            "    settled(); Left(); gc.set_threshold(0)\n"
            "    gc.get_count = lambda: (0, 0, 99)\n"
            "g.settle, g.QUIET_EVERY = settle, 0.05\n"
        )
        command = twistd("--passthrough=0", "--bridge=0", "--upstream=demo")
        process = Process(command, "what was left is gone", PYTHONPATH=f"{folder.absolute()}:{ROOT}")
        self.assertEqual(process.stop(), 0)


class LargeBodyTests(SocketTestCase):
    """How much memory a request with a large body takes, in a process of its own."""

    timeout = 60
    if platform.libc_ver()[0] != "glibc":
        skip = "measured with the GNU C library on Linux"

    async def bodies(self, kind: str) -> tuple[float, float]:
        """How many times a body is there, at the most and afterwards, when three requests have it in turn."""
        upstream = self.upstream()
        upstream.answers(*[http_answer(json.dumps(response()).encode(), "200 OK", JSON)] * 4)
        service = Service(f"--{kind}=0", f"--upstream=http://127.0.0.1:{self.upstream_port}")
        self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
        port = int(service.found(rf"{kind} port: http://127.0.0.1:(\d+)"))
        small, large = (
            json.dumps({"model": "gpt-5.1", "messages": [{"role": "user", "content": "Say something. " * count}]})
            for count in (1, 800_000)
        )
        before = 0.0
        for body in (small, large, large, large):
            status, _, _ = await self.ask(port, "POST", "/v1/chat/completions", body.encode(), JSON)
            self.assertEqual(status, 200)
            if not before:
                [before, _] = memory([service.pid])
                forget_most([service.pid])
        now, most = memory([service.pid])
        return tuple(1024 * (value - before) / len(large) for value in (most, now))  # type: ignore[return-value]

    async def test_one_that_is_passed_on_is_there_once_and_not_for_long(self) -> None:
        most, after = await self.bodies("passthrough")
        self.assertLess(most, 1.5)
        self.assertLess(after, 0.5)

    async def test_one_that_is_translated_is_never_there_three_times(self) -> None:
        most, after = await self.bodies("bridge")
        self.assertLess(most, 2.5)
        self.assertLess(after, 0.5)
