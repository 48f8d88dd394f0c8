"""Smuggling and injection: what becomes of each case, alone and with a real nginx between the proxy and upstream."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from oaiproxy.settings import Settings
from tests.support import ScriptedUpstream, SocketTestCase, http_answer, unchunk
from tests.web.smuggling import CASES, Case

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"

ANSWER = http_answer(b"{}", "200 OK", "Content-Type: application/json")

CONF = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


class SmugglingTestCase(SocketTestCase):
    async def statuses(self, port: int, case: Case) -> list[int]:
        """What a client gets for a case, and that the connection is closed where it should be."""
        client = await self.client(port)
        client.send(case.sent)
        if case.statuses[-1] >= 400 and not case.result:
            await client.closed
        else:
            await client.until(lambda data: len(split(bytes(data))) >= len(case.statuses))
            await self.turns(3)
        return split(client.received)

    def arrived(self, upstream: ScriptedUpstream) -> tuple[tuple[str, bytes], ...]:
        return tuple((request.line, request.body) for request in upstream.requests)


def split(data: bytes) -> list[int]:
    """The statuses of answers that came one after another; those that are whole."""
    statuses: list[int] = []
    while data:
        head, found, data = data.partition(b"\r\n\r\n")
        if not found:
            break
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"transfer-encoding" in fields:
            end = data.find(b"0\r\n\r\n")
            if end < 0:
                break
            unchunk(data[: end + 5])
            data = data[end + 5 :]
        else:
            length = int(fields[b"content-length"])
            if len(data) < length:
                break
            data = data[length:]
        statuses.append(int(head.split()[1]))
    return statuses


class CaseTests(SmugglingTestCase):
    async def test_each(self) -> None:
        for case in CASES:
            upstream = self.upstream()
            upstream.answers(ANSWER)
            self.assertEqual(tuple(await self.statuses(self.proxy(), case)), case.statuses, case.what)
            self.assertEqual(self.arrived(upstream), case.arrives, case.what)

    async def test_each_byte_by_byte(self) -> None:
        for case in CASES:
            upstream = self.upstream()
            upstream.answers(ANSWER)
            client = await self.client(self.proxy())
            client.transport.setTcpNoDelay(True)
            for at in range(len(case.sent)):
                client.send(case.sent[at : at + 1])
                if at % 16 == 0:
                    await self.turns()
            wanted = len(case.statuses)
            await client.until(lambda data, wanted=wanted: len(split(bytes(data))) >= wanted)
            self.assertEqual(tuple(split(client.received)), case.statuses, case.what)
            self.assertEqual(self.arrived(upstream), case.arrives, case.what)

    def test_the_documents_say_what_becomes_of_each(self) -> None:
        text = DOCS.read_text(encoding="utf-8")
        missing = [case.row for case in CASES if case.row not in text]
        self.assertEqual(missing, [])


class FieldTests(SmugglingTestCase):
    async def sent_on(self, *fields: str) -> dict[str, str]:
        """The fields that arrive upstream."""
        upstream = self.upstream()
        upstream.answers(ANSWER)
        client = await self.client(self.proxy())
        client.post("/v1/files", b"hello", *fields)
        await client.until(b"{}")
        return dict(upstream.requests[0].fields)

    async def test_connection_takes_out_what_it_names(self) -> None:
        fields = await self.sent_on("Connection: X-Secret, x-other", "X-Secret: 1", "X-Other: 2", "X-Kept: 3")
        self.assertEqual({name for name in fields if name.startswith("x-")}, {"x-kept"})

    async def test_but_not_the_key_the_host_and_the_framing(self) -> None:
        fields = await self.sent_on(
            "Authorization: Bearer sk-1", "Connection: authorization, host, content-length, content-type"
        )
        self.assertEqual(
            (fields["authorization"], fields["host"], fields["content-length"], fields["content-type"]),
            ("Bearer sk-1", f"127.0.0.1:{self.upstream_port}", "5", "application/json"),
        )

    async def test_the_host_is_the_upstream_s_whatever_the_client_says(self) -> None:
        upstream = self.upstream()
        upstream.answers(ANSWER)
        client = await self.client(self.proxy())
        for line in ("GET http://evil.example/v1/files", "GET /v1/files"):
            client.send(f"{line} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        await self.until(lambda: len(upstream.requests) == 2)
        self.assertEqual({r.field("host") for r in upstream.requests}, {f"127.0.0.1:{self.upstream_port}"})
        self.assertEqual({r.line for r in upstream.requests}, {"GET /v1/files HTTP/1.1"})
        await client.until(lambda data: data.count(b"{}") == 2)

    async def test_the_proxy_s_own_names_do_not_go_on(self) -> None:
        fields = await self.sent_on("x-oaiproxy-retries: 7", "X-Oaiproxy-Warning: x", "X-Forwarded-Host: evil")
        self.assertEqual([name for name in fields if name.startswith(("x-oaiproxy", "x-forwarded"))], [])

    async def test_no_line_end_of_a_client_s_reaches_an_answer(self) -> None:
        # names that come back in errors and warnings
        self.upstream()
        client = await self.client(self.proxy(settings=Settings()))
        client.get("/v1/models/%0d%0aSet-Cookie:%20x")
        received = await client.until(b"}}")
        head = received.partition(b"\r\n\r\n")[0]
        self.assertNotIn(b"Set-Cookie", head)


class _Nginx(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class NginxTests(SmugglingTestCase):
    """A server between the proxy and upstream that was not written by us."""

    timeout = 60

    def configured(self, upstream_port: int) -> tuple[str, Path, int]:
        """An nginx, the folder with its configuration, and its port.

        @raise SkipTest: there is none.
        """
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            raise SkipTest("there is no nginx here")
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        probe = self.listen_once()
        conf = folder / "nginx.conf"
        conf.write_text(CONF.format(folder=folder, port=probe, upstream=upstream_port))
        check = subprocess.run([program, "-t", "-c", conf, "-p", folder], capture_output=True, check=False)
        if check.returncode:
            raise SkipTest(f"this nginx does not take our configuration: {check.stderr!r}")
        return program, folder, probe

    async def nginx(self, upstream_port: int) -> int:
        """Start an nginx that passes requests on; returns its port."""
        program, folder, probe = self.configured(upstream_port)
        conf = folder / "nginx.conf"
        process = _Nginx()
        running = reactor.spawnProcess(process, program, [program, "-c", str(conf), "-p", str(folder)], env=None)

        async def stop() -> None:
            if not process.ended.called:
                running.signalProcess("KILL")
                await process.ended

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        for _ in range(500):
            try:
                made = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", probe), Protocol())
            except Exception:
                await deferLater(reactor, 0.02)
            else:
                made.transport.abortConnection()
                return probe
        raise AssertionError((folder / "error.log").read_text())

    def listen_once(self) -> int:
        """A port that is free now."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return int(sock.getsockname()[1])

    async def test_it_agrees_on_where_each_request_ends(self) -> None:
        upstream = self.upstream()
        nginx = await self.nginx(self.upstream_port)
        port = self.proxy(upstream_port=nginx)
        for case in CASES:
            upstream.requests.clear()
            upstream.answers(ANSWER)
            self.assertEqual(tuple(await self.statuses(port, case)), case.statuses, case.what)
            # nginx speaks of its own version of HTTP; what counts is how many there are, which, and with which bodies
            self.assertEqual(self.arrived(upstream), case.arrives, case.what)
