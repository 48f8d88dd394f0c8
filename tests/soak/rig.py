"""The processes of a load test: an upstream, the proxy in front of it, and who asks; and what the proxy takes."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.process import ROOT, clean_environ, twistd
from tests.soak.load import Found, Plan


@dataclass(frozen=True)
class Use:
    """What a process takes at a moment.

    @ivar kilobytes: resident memory.
    @ivar cpu: processor time so far, in seconds.
    @ivar files: open file descriptors.
    """

    kilobytes: int
    cpu: float
    files: int


class Rig:
    """An upstream and the proxy in front of it, running.

    @ivar ports: the ports by name: ``upstream``, ``passthrough``, ``bridge``.
    """

    def __init__(self, upstream_port: int, ports: dict[str, int], proxy: int, log: Path) -> None:
        self.ports = {"upstream": upstream_port, **ports}
        self._proxy = proxy
        self._log = log

    def use(self) -> Use:
        """What the proxy takes now."""
        folder = Path(f"/proc/{self._proxy}")
        status = (folder / "status").read_text()
        times = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = int(times[11]) + int(times[12])
        resident = re.search(r"VmRSS:\s+(\d+)", status)
        assert resident is not None
        return Use(int(resident[1]), ticks / os.sysconf("SC_CLK_TCK"), len(os.listdir(folder / "fd")))

    def settled(self, files: int, seconds: float) -> Use:
        """What it takes once no more files are open than `files`, or after some time."""
        until = time.monotonic() + seconds
        while (now := self.use()).files > files and time.monotonic() < until:
            time.sleep(0.5)
        return now

    def log_has(self, word: str) -> int:
        """How often a word is in the proxy's log."""
        return self._log.read_text(errors="replace").count(word)

    def start(self, plan: Plan) -> subprocess.Popen[str]:
        """Begin to ask."""
        load = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=clean_environ({}),
        )
        assert load.stdin is not None
        load.stdin.write(json.dumps(asdict(plan)))
        load.stdin.close()
        return load

    def result(self, load: subprocess.Popen[str]) -> Found:
        """Wait for what it found.

        @raise AssertionError: it broke off.
        """
        assert load.stdout is not None
        text = load.stdout.read()
        load.stdout.close()
        assert load.wait() == 0, "the load generator failed"
        return Found(**json.loads(text))

    def ask(self, plan: Plan) -> Found:
        """Do what a plan says."""
        return self.result(self.start(plan))


def most_files() -> int:
    """Let this process and those that it starts open as many files as they may; says how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextmanager
def rig(options: Sequence[str] = ()) -> Iterator[Rig]:
    """The processes, for as long as they are needed.

    @param options: further options of the proxy.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "proxy.log"
        upstream = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.upstream"], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            assert upstream.stdout is not None
            port = int(upstream.stdout.readline())
            arguments = ["--passthrough", "0", "--bridge", "0", "--upstream", f"http://127.0.0.1:{port}/v1", *options]
            with log.open("w") as output:
                proxy = subprocess.Popen(
                    twistd(*arguments), stdout=output, stderr=output, cwd=ROOT, env=clean_environ({})
                )
            try:
                yield Rig(port, _ports(proxy, log), proxy.pid, log)
            finally:
                proxy.terminate()
                proxy.wait()
        finally:
            upstream.kill()
            upstream.wait()
            if upstream.stdout is not None:
                upstream.stdout.close()


def _ports(proxy: subprocess.Popen[bytes], log: Path) -> dict[str, int]:
    until = time.monotonic() + 30
    while time.monotonic() < until and proxy.poll() is None:
        text = log.read_text()
        if "is ready" in text:
            found = re.findall(r"(passthrough|bridge) port: http://127\.0\.0\.1:(\d+)", text)
            return {kind: int(number) for kind, number in found}
        time.sleep(0.05)
    raise AssertionError(f"the proxy did not start:\n{log.read_text()}")
