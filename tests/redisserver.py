"""A real Redis server for tests, in a process of its own."""

from __future__ import annotations

import atexit
import shutil
import signal
import socket
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hiredis import Reader, pack_command
from twisted.internet.threads import deferToThread

from tests.faults.certificates import LOOPBACK, Certified
from tests.process import Process
from tests.support import SocketTestCase

REDIS = shutil.which("redis-server")

#: Why the tests with it cannot run here, or "".
MISSING = "" if REDIS else "redis-server is not installed"


class RedisServer(Process):
    """A server with a configuration of its own, which keeps nothing on the disk.

    @ivar port: its port.
    @ivar socket: its socket in the file system.
    @ivar authority: the certificate that vouches for it, in PEM, where it speaks TLS.
    """

    def __init__(self, *settings: str, port: int | None = None, tls: bool = False) -> None:
        """Start it, and wait until it is ready.

        @param settings: further lines of its configuration.
        @param port: its port; a free one where None.
        @param tls: whether it speaks TLS, and nothing else, on its port.
        """
        assert REDIS is not None
        self.port = port or free_port()
        # not below trial's folder: the address of a socket may have no more than 108 bytes
        self.folder = Path(tempfile.mkdtemp(prefix="redis"))
        self.socket = self.folder / "socket"
        self._tls = tls
        lines = [
            "bind 127.0.0.1",
            f"port {0 if tls else self.port}",
            f"unixsocket {self.socket}",
            f"dir {self.folder}",
            'save ""',
            "appendonly no",
            *(self._certificates() if tls else ()),
            *settings,
        ]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        super().__init__([REDIS, str(self.folder / "redis.conf")], "Ready to accept connections")

    def _certificates(self) -> list[str]:
        authority = Certified("Redis test authority", authority=True)
        own = Certified(*LOOPBACK, issuer=authority)
        files = {"authority": authority.certificate, "certificate": own.certificate, "key": own.key}
        for name, content in files.items():
            (self.folder / f"{name}.pem").write_bytes(content)
        return [
            f"tls-port {self.port}",
            f"tls-cert-file {self.folder}/certificate.pem",
            f"tls-key-file {self.folder}/key.pem",
            f"tls-ca-cert-file {self.folder}/authority.pem",
            "tls-auth-clients no",
        ]

    @property
    def url(self) -> str:
        """Where it is, as ``--store`` takes it."""
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    def command(self, *words: bytes | str | int) -> Any:
        """What it answers, over its socket; blocks."""
        reader = Reader()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            client.sendall(pack_command(words))  # type: ignore[arg-type]
            while (found := reader.gets()) is False:
                reader.feed(client.recv(65536))
        return found

    def wait(self) -> int:
        try:
            return super().wait()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """The number of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        number: int = found.getsockname()[1]
    return number


@cache
def shared() -> RedisServer:
    """A server that all tests of a run share."""
    server = RedisServer()
    atexit.register(server.stop, signal.SIGKILL)
    return server


class RedisTestCase(SocketTestCase):
    """Tests with a server that all of them share; it is empty when a test begins.

    @ivar server: the server.
    """

    timeout = 30
    if MISSING:
        skip = MISSING

    def setUp(self) -> None:
        self.server = shared()
        self.server.command("FLUSHALL")

    async def redis(self, *settings: str, port: int | None = None, tls: bool = False) -> RedisServer:
        """A server of the test's own."""
        server: RedisServer = await deferToThread(lambda: RedisServer(*settings, port=port, tls=tls))
        self.addCleanup(deferToThread, server.stop, signal.SIGKILL)
        return server
