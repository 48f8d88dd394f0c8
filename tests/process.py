"""The service as its users run it, and other servers: processes of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from oaiproxy.config.table import SETTINGS

ROOT = Path(__file__).resolve().parent.parent

# who is started in the background by a shell ignores it, and so do all that are started by it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: How long a process may take to get ready or to end, in seconds; far more than it needs.
PATIENCE = 30.0


def twistd(*arguments: str) -> list[str]:
    """The command ``twistd -n oaiproxy ...`` of the Python that runs the tests."""
    start = "from twisted.scripts.twistd import run; run()"
    return [sys.executable, "-c", start, "-n", "--pidfile=", "oaiproxy", *arguments]


#: Sees to it that a program finds sockets as systemd hands them over (sd_listen_fds(3)), and becomes that program.
_HAND_OVER = """
import fcntl, os, sys
names, given = sys.argv[1], [int(fd) for fd in sys.argv[2].split(":")]
# out of the way first: one may be where another has to be
for place, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in given], 3):
    os.dup2(fd, place)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: A socket for a process as systemd hands one over, or several with their names.
Listening = socket.socket | Mapping[str, socket.socket]


class Process:
    """A server in a child process.

    @ivar output: what it printed until it was ready; all of it after `stop`.
    """

    def __init__(
        self,
        command: Sequence[str],
        ready: str,
        *,
        cwd: str | None = None,
        listening: Listening | None = None,
        **environ: str,
    ) -> None:
        """Start it, and wait until it is ready.

        @param command: the whole command line.
        @param ready: pattern of the line with which it says so.
        @param cwd: its working directory.
        @param listening: what it gets as systemd hands sockets over.
        @param environ: variables for it.
        @raise AssertionError: it ended instead.
        """
        handed = {"test": listening} if isinstance(listening, socket.socket) else listening or {}
        descriptors = [given.fileno() for given in handed.values()]
        if handed:
            given = ":".join(handed), ":".join(map(str, descriptors))
            command = [sys.executable, "-c", _HAND_OVER, *given, *command]
        self._process = subprocess.Popen(
            command,
            pass_fds=descriptors,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=clean_environ(environ),
            text=True,
            errors="replace",
        )
        self.output = ""
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if re.search(ready, line):
                break
        else:
            watchdog.cancel()
            self._process.wait()
            self._process.stdout.close()
            raise AssertionError(f"the process ended with {self._process.returncode}:\n{self.output}")
        watchdog.cancel()
        # it must never wait for us to read its log
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line

    @property
    def pid(self) -> int:
        return self._process.pid

    def found(self, pattern: str) -> str:
        """What the first group of `pattern` matches in the output, or ""."""
        match = re.search(pattern, self.output)
        return match[1] if match else ""

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit status (as `subprocess.Popen.returncode`)."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit status."""
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"the process did not end:\n{self.output}") from None
        self._reader.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status


class Service(Process):
    """A running service.

    @ivar passthrough: base URL of the passthrough port, or "" where there is none.
    @ivar bridge: base URL of the bridge port, or "".
    """

    def __init__(
        self,
        *arguments: str,
        command: Sequence[str] | None = None,
        cwd: str | None = None,
        places: bool = True,
        listening: Listening | None = None,
        **environ: str,
    ) -> None:
        """Start it, by default with ports that the kernel chooses, and wait until it is ready.

        @param arguments: options of ``twistd oaiproxy``.
        @param command: the whole command line in place of them.
        @param cwd: its working directory.
        @param places: whether it is told where to listen, if the options do not say.
        @param listening: what it gets as systemd hands sockets over.
        @param environ: variables for it.
        @raise AssertionError: it ended instead.
        """
        named = not places or any(a in ("--passthrough", "--bridge") for a in arguments)
        ports = () if named else ("--passthrough=0", "--bridge=0")
        super().__init__(command or twistd(*ports, *arguments), "is ready", cwd=cwd, listening=listening, **environ)
        self.passthrough = self.found(r"passthrough port: (\S+)")
        self.bridge = self.found(r"bridge port: (\S+)")


def run(*command: str, cwd: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env=clean_environ(environ),
        timeout=PATIENCE * 4,
        check=False,
    )


def clean_environ(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would set up the service or a client behind the test's back."""
    # an installed service has its bytecode too: without, each process compiles all of it, and starts half as fast
    ours = {"PYTHONDONTWRITEBYTECODE", *(variable for setting in SETTINGS for variable in setting.variables)}
    kept = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith(("OAIPROXY_", "OPENAI_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}
