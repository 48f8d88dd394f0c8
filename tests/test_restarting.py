"""A restart under load: where the listening socket outlives the process, no request fails."""

from __future__ import annotations

import os
import signal
import socket
from functools import partial

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.process import Service
from tests.support import Received, SocketTestCase, UpstreamConnection, http_answer, http_stream

PIECES = 20
NUMBERS = [b"%d" % number for number in range(PIECES + 1)]


def _answered(before: int, data: bytes | bytearray) -> bool:
    """Whether an answer has come since there were so many bytes."""
    return data[before:].endswith(b"\r\n\r\n{}")


class RestartTests(SocketTestCase):
    """The socket is handed over as systemd does it, to a new process while the old one drains."""

    timeout = 120
    #: Further options of the service.
    options: tuple[str, ...] = ()

    def setUp(self) -> None:
        upstream = self.upstream()
        upstream.script = self.script
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(self.socket.close)
        self.port: int = self.socket.getsockname()[1]
        self.failures: list[str] = []
        self.answered = 0
        self.over = False

    def script(self, connection: UpstreamConnection, request: Received) -> None:
        if b"stream" not in request.body:
            reactor.callLater(0.02, connection.write, http_answer(b"{}"))
            return
        connection.write(http_stream(b"0\n", end=False))

        def go_on(number: int) -> None:
            connection.write(b"%x\r\n%d\n\r\n" % (len(b"%d\n" % number), number))
            if number < PIECES:
                reactor.callLater(0.05, go_on, number + 1)
            else:
                connection.write(b"0\r\n\r\n")

        go_on(1)

    def service(self) -> Deferred[Service]:
        url = f"http://127.0.0.1:{self.upstream_port}"

        def start() -> Service:
            return Service(
                "--passthrough=systemd:domain=INET:index=0",
                "--bridge=0",
                f"--upstream={url}",
                *self.options,
                listening=self.socket,
            )

        def keep(service: Service) -> Service:
            self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
            return service

        return deferToThread(start).addCallback(keep)

    async def one_each(self) -> None:
        """A client that makes a connection for each request."""
        while not self.over:
            status, _, body = await self.ask(self.port, "POST", "/v1/responses", b"{}")
            self.note(status == 200 and body == b"{}", f"{status} {body!r}")

    async def kept(self) -> None:
        """A client that keeps its connection as long as it may.

        One that was closed before a byte of an answer came is replaced, as all clients do (RFC 9112 section 9.3.1).
        """
        client = await self.client(self.port)
        used = False
        while not self.over:
            before = len(client.received)
            client.post("/v1/responses", b"{}")
            try:
                whole = (await client.until(partial(_answered, before)))[before:]
            except AssertionError:
                if not used or len(client.received) > before:
                    self.note(False, f"cut: {client.received[before:]!r}")
                client, used = await self.client(self.port), False
                continue
            self.note(whole.startswith(b"HTTP/1.1 200 "), repr(whole))
            used = True
            if b"connection: close" in whole.lower():
                await client.closed
                client, used = await self.client(self.port), False

    async def streams(self) -> None:
        """A client that streams."""
        while not self.over:
            status, _, body = await self.ask(self.port, "POST", "/v1/responses", b'{"stream":true}')
            self.note(status == 200 and body.split() == NUMBERS, f"{status} {body!r}")

    def note(self, good: bool, what: str) -> None:
        self.answered += good
        if not good:
            self.failures.append(what)

    async def restarted(self, *, overlap: bool) -> None:
        """Restart the service two times under load.

        @param overlap: whether the new process runs before the old one ends.
        """
        old = await self.service()
        kinds = [self.one_each] * 6 + [self.kept] * 6 + [self.streams] * 20
        clients = [ensureDeferred(kind()) for kind in kinds]
        for _ in range(2):
            enough = self.answered + 100
            while self.answered < enough:
                await self.turns()
            new = await self.service() if overlap else None
            os.kill(old.pid, signal.SIGTERM)
            self.assertEqual(await deferToThread(old.wait), 0, old.output)
            old = new or await self.service()
        self.over = True
        await gatherResults(clients)
        self.assertEqual(self.failures, [])
        self.assertGreater(self.answered, 200)

    async def test_no_request_fails_and_no_stream_is_cut(self) -> None:
        await self.restarted(overlap=True)

    async def test_requests_wait_where_nobody_takes_them_for_a_while(self) -> None:
        await self.restarted(overlap=False)
