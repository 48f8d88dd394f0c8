"""``--workers``: several processes are one service, seen from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread

from oaiproxy.stopping import EXIT_ENDED, EXIT_FAILED
from tests import test_restarting, test_stopping
from tests.faults.certificates import Certified
from tests.process import Service, run, twistd
from tests.support import RawClient, http_answer
from tests.test_stopping import END, StoppingTestCase, chunk
from tests.web.test_bridge import COMPLETED, chat, delta

#: A worker by its number, as the log names it.
PID = r"worker %s has the process id (\d+)"

#: Ends a worker's process as soon as its Python has begun, where the condition is true of its number.
DIES = """
import os, sys
if sys.orig_argv[-1].startswith("oaiproxy worker"):
    number = int(sys.orig_argv[-1].split()[-1])
    if {condition}:
        print("a worker that cannot start", flush=True)
        os._exit(9)
"""


class WorkersTestCase(StoppingTestCase):
    """A service of two workers, in front of a scripted upstream."""

    timeout = 120

    def start(self, *arguments: str, command: bool = False) -> Service:
        return super().start("--workers=2", *arguments, command=command)

    def pid(self, service: Service, worker: int) -> int:
        return int(service.found(PID % worker))

    async def said(self, service: Service, pattern: str) -> str:
        """Wait until the log has something; the first group of it."""
        await self.until(lambda: re.search(pattern, service.output))
        found = re.search(pattern, service.output)
        assert found is not None
        return found[1] if found.groups() else ""

    async def worker_of(self, service: Service, client: RawClient) -> int:
        """The worker that has a connection: the access log says so."""
        self.probes = getattr(self, "probes", 0) + 1
        before = len(client.received)
        client.get(f"/v1/models/probe-{self.probes}")
        await client.until(lambda data: b"\r\n\r\n" in data[before:])
        return int(await self.said(service, rf"worker (\d+): \w+ GET /v1/models/probe-{self.probes} "))

    async def one_each(self, service: Service, port: int) -> dict[int, RawClient]:
        """A connection to each of two workers."""
        found: dict[int, RawClient] = {}
        while len(found) < 2:
            client = await self.client(port)
            found.setdefault(await self.worker_of(service, client), client)
        return found

    async def streams(self, service: Service) -> dict[int, RawClient]:
        """A running stream in each of two workers."""
        clients = await self.one_each(service, self.bridge)
        for client in clients.values():
            await self.begin(client)
        return clients

    async def begin(self, client: RawClient) -> None:
        count = len(self.asked)
        client.post("/v1/chat/completions", chat(stream=True))
        await self.until(lambda: len(self.asked) > count)
        self.asked[-1].write(
            test_stopping.http_stream(test_stopping.CREATED, test_stopping.ADDED, delta("one"), end=False)
        )
        await client.until(b"one")

    async def finish(self, clients: Iterable[RawClient]) -> None:
        """Let upstream end every stream as it should, and see that the clients have it whole."""
        for connection in self.asked:
            connection.write(chunk(COMPLETED) + END)
        for client in clients:
            await client.closed
            self.assertIn(b"data: [DONE]", client.received)


class DrainTests(WorkersTestCase, test_stopping.DrainTests):
    """All that holds for a single process that is told to end."""

    async def test_each_worker_s_streams_go_on_to_their_ends(self) -> None:
        service = self.start()
        clients = await self.streams(service)
        await self.told(service)
        await self.finish(clients.values())
        self.assertEqual(await self.ended(service), 0)
        self.assertNotIn("Traceback", service.output)

    async def test_sigterm_to_all_processes_is_no_second_signal(self) -> None:
        # systemd does that
        service = self.start()
        clients = await self.streams(service)
        pids = [service.pid, *(self.pid(service, worker) for worker in clients)]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        await self.told_already()
        await self.finish(clients.values())
        self.assertEqual(await self.ended(service), 0)

    async def test_ctrl_c_reaches_the_workers_too_and_means_nothing_to_them(self) -> None:
        service = self.start()
        clients = await self.streams(service)
        for worker in clients:
            os.kill(self.pid(service, worker), signal.SIGINT)
        await self.told(service, signal.SIGINT)
        await self.finish(clients.values())
        self.assertEqual(await self.ended(service), 0)

    async def told_already(self) -> None:
        """Wait until nothing listens."""
        probe = Probe(self.bridge)
        while probe.connects():
            await self.turns(20)


class Probe:
    """Sees whether something listens."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connects(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port)).close()
        except ConnectionRefusedError:
            return False
        except ConnectionResetError:
            # it stops at this moment
            return True
        return True


class EndTests(WorkersTestCase):
    """What has not ended in time."""

    drain = 0.3

    async def test_each_worker_ends_what_it_has(self) -> None:
        for command in (False, True):
            service = self.start(command=command)
            clients = await self.streams(service)
            waiting, count = await self.client(self.passthrough), len(self.asked)
            waiting.post("/v1/responses", b"{}")
            await self.until(lambda count=count: len(self.asked) > count)  # type: ignore[misc]
            os.kill(service.pid, signal.SIGTERM)
            for client in clients.values():
                await client.closed
                self.assertIn(b'"code":"shutting_down"', client.received)
            await waiting.closed
            self.assertTrue(waiting.received.startswith(b"HTTP/1.1 503 "), waiting.received)
            self.assertEqual(await self.ended(service), EXIT_ENDED)
            self.assertNotIn("Traceback", service.output)

    async def test_one_worker_with_a_stream_makes_the_status(self) -> None:
        service = self.start()
        clients = await self.one_each(service, self.bridge)
        await self.begin(clients[2])
        os.kill(service.pid, signal.SIGTERM)
        await clients[2].closed
        self.assertIn(b'"code":"shutting_down"', clients[2].received)
        self.assertEqual(await self.ended(service), EXIT_ENDED)


class AgainTests(WorkersTestCase):
    """A second signal."""

    async def test_it_ends_what_runs_in_all_workers(self) -> None:
        service = self.start()
        clients = await self.streams(service)
        await self.told(service)
        self.assertFalse(any(client.closed.called for client in clients.values()))
        os.kill(service.pid, signal.SIGTERM)
        for client in clients.values():
            await client.closed
            self.assertIn(b'"code":"shutting_down"', client.received)
        self.assertEqual(await self.ended(service), EXIT_ENDED)


class DeathTests(WorkersTestCase):
    """A worker dies."""

    async def test_another_one_takes_its_place_while_the_rest_goes_on(self) -> None:
        service = self.start()
        clients = await self.streams(service)
        os.kill(self.pid(service, 1), signal.SIGKILL)
        await clients[1].closed
        self.assertNotIn(b"[DONE]", clients[1].received)
        await self.said(service, "worker 1 ended by SIGKILL; another one starts")
        self.assertEqual((await self.ask(self.passthrough, "GET", "/health"))[0], 200)
        await self.said(service, "worker 3 is there")
        third = await self.one_of(service, 3)
        await self.begin(third)
        for connection in self.asked:
            # the one of the worker that was killed is gone
            if not connection.lost.called:
                connection.write(chunk(COMPLETED) + END)
        for client in (clients[2], third):
            await client.until(b"data: [DONE]")
        self.assertEqual(await deferToThread(service.stop), 0)

    async def one_of(self, service: Service, worker: int) -> RawClient:
        while True:
            client = await self.client(self.bridge)
            if await self.worker_of(service, client) == worker:
                return client

    async def test_one_that_is_told_to_end_drains_and_is_replaced(self) -> None:
        service = self.start()
        clients = await self.streams(service)
        os.kill(self.pid(service, 1), signal.SIGTERM)
        # once it has heard it takes nothing new, and the other one does
        in_a_row = 0
        while in_a_row < 8:
            worker = await self.worker_of(service, await self.client(self.passthrough))
            in_a_row = in_a_row + 1 if worker == 2 else 0
        for connection in self.asked:
            connection.write(chunk(COMPLETED) + END)
        await clients[1].closed
        self.assertIn(b"data: [DONE]", clients[1].received)
        await self.said(service, "worker 1 ended with status 0; another one starts")
        await self.said(service, "worker 3 is there")
        self.assertEqual(await deferToThread(service.stop), 0)

    async def test_one_that_is_told_to_end_alone_does_not_say_that_the_service_does(self) -> None:
        service = self.start("--drain-delay=1000")
        os.kill(self.pid(service, 1), signal.SIGTERM)
        while "worker 3 is there" not in service.output:
            self.assertEqual((await self.ask(self.bridge, "GET", "/health"))[0], 200)
        os.kill(service.pid, signal.SIGTERM)
        await self.said(service, "another one ends at once")
        os.kill(service.pid, signal.SIGTERM)
        self.assertEqual(await deferToThread(service.wait), 0)

    async def test_without_the_supervisor_they_drain_and_end(self) -> None:
        service = self.start()
        clients = await self.streams(service)
        pids = [self.pid(service, worker) for worker in clients]
        os.kill(service.pid, signal.SIGKILL)
        probe = Probe(self.bridge)
        while probe.connects():
            await self.turns(20)
        await self.finish(clients.values())
        while any(map(_runs, pids)):
            await self.turns(20)

    async def test_one_that_cannot_start_is_tried_again(self) -> None:
        service = self.dying("number == 1")
        self.assertIn("worker 1: a worker that cannot start", service.output)
        self.assertIn("worker 1 ended with status 9; another one starts in 0.1 s", service.output)
        self.assertIn("worker 3 is there", service.output)
        self.assertEqual(await deferToThread(service.stop), 0)

    def test_where_none_can_start_the_service_ends_with_status_1(self) -> None:
        for command in (twistd(), [sys.executable, "-m", "oaiproxy"]):
            folder = self.folder("True")
            options = ("--workers=2", "--passthrough=0", "--bridge=0", "--upstream=demo")
            done = run(*command, *options, PYTHONPATH=folder)
            self.assertEqual(done.returncode, EXIT_FAILED, done.stdout + done.stderr)
            self.assertIn("oaiproxy: no worker can start; the log says why\n", done.stderr)
            self.assertEqual(done.stdout.count("worker 1: a worker that cannot start"), 1)
            self.assertNotIn("is ready", done.stdout)
            self.assertNotIn("Traceback", done.stdout + done.stderr)

    def folder(self, condition: str) -> str:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(DIES.format(condition=condition))
        return str(folder)

    def dying(self, condition: str) -> Service:
        service = Service("--workers=2", "--upstream=demo", PYTHONPATH=self.folder(condition))
        self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
        return service


def content(path: Path) -> bytes:
    """What is in a file."""
    return path.read_bytes()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # one that has ended and that nobody has asked for is none that runs
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


class RestartTests(test_restarting.RestartTests):
    """A restart under load, on a socket of systemd's."""

    options = ("--workers=2",)

    async def test_a_worker_that_is_killed_takes_only_what_it_has_with_it(self) -> None:
        service = await self.service()
        clients = [ensureDeferred(self.kept()) for _ in range(8)]
        pid = int(service.found(PID % 1))
        while self.answered < 50:
            await self.turns()
        os.kill(pid, signal.SIGKILL)
        enough = self.answered + 200
        while self.answered < enough or "worker 3 is there" not in service.output:
            await self.turns()
        self.over = True
        await gatherResults(clients)
        # at most one request of each connection that the worker had; every other one was answered
        self.assertLessEqual(len(self.failures), 8, self.failures)
        self.assertEqual([what for what in self.failures if not what.startswith("cut")], [])
        self.assertEqual(await deferToThread(service.stop), 0, service.output)


class PlaceTests(WorkersTestCase):
    """All kinds of ports."""

    async def test_both_answer_on_the_one_port_that_the_kernel_chose(self) -> None:
        service = self.start()
        self.assertEqual(set(await self.one_each(service, self.passthrough)), {1, 2})
        self.assertEqual(set(await self.one_each(service, self.bridge)), {1, 2})
        said = re.findall(r"(?:passthrough|bridge) port: (\S+)", service.output)
        self.assertEqual(len(said), len(set(said)))
        self.assertEqual(await deferToThread(service.stop), 0)

    def test_tls(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        server = Certified("localhost", "127.0.0.1")
        for name, data in (("key.pem", server.key), ("cert.pem", server.certificate)):
            (folder / name).write_bytes(data)
        where = f"ssl:0:privateKey={folder / 'key.pem'}:certKey={folder / 'cert.pem'}:interface=127.0.0.1"
        service = Service("--workers=2", "--upstream=demo", "--passthrough", where, "--bridge", where)
        self.addCleanup(service.stop)
        trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        for base in (service.passthrough, service.bridge):
            self.assertTrue(base.startswith("https://127.0.0.1:"))
            for _ in range(4):
                with urllib.request.urlopen(f"{base}/models", context=trusting, timeout=30) as answer:
                    self.assertEqual(answer.status, 200)
        self.assertEqual(service.stop(), 0)
        self.assertNotIn("Traceback", service.output)

    def test_a_unix_socket_outlives_a_worker(self) -> None:
        path = Path(self.mktemp()).with_suffix(".sock")
        path.parent.mkdir(parents=True, exist_ok=True)
        place = os.path.relpath(path)
        service = Service("--workers=2", "--upstream=demo", "--bridge", f"unix:{place}:mode=600")
        self.addCleanup(service.stop)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertTrue(self.asked_at(place).startswith(b"HTTP/1.1 200 OK\r\n"))
        os.kill(int(service.found(PID % 1)), signal.SIGTERM)
        while "worker 3 is there" not in service.output:
            self.assertTrue(self.asked_at(place).startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(service.stop(), 0)
        self.assertFalse(path.exists())

    def asked_at(self, path: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return client.recv(100)

    def test_ports_of_a_file_with_settings_of_their_own(self) -> None:
        file = Path(self.mktemp())
        file.write_text(
            'workers = 2\nupstream = "demo"\n'
            '[[ports]]\nkind = "passthrough"\nlisten = 0\nmax_json_body = 1000\n'
            '[[ports]]\nkind = "bridge"\nlisten = [0, "tcp:0:interface=127.0.0.1"]\n'
        )
        service = Service("--config", str(file), places=False)
        self.addCleanup(service.stop)
        found = re.findall(r"(?:passthrough|bridge) port: (\S+)", service.output)
        self.assertEqual(len(set(found)), 3)
        for base in found:
            with urllib.request.urlopen(f"{base}/models", timeout=30) as answer:
                self.assertEqual(answer.status, 200)
        self.assertEqual(service.stop(), 0)

    def test_the_embedded_upstream_is_one_and_remembers_for_all(self) -> None:
        service = Service("--workers=2", "--upstream=demo")
        self.addCleanup(service.stop)
        made = self.posted(service, {"model": "gpt-5.1", "input": "Hello", "store": True})
        for _ in range(6):
            url = f"{service.passthrough}/responses/{made['id']}"
            request = urllib.request.Request(url, headers={"Authorization": "Bearer demo"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.assertEqual(json.load(answer)["id"], made["id"])

    def posted(self, service: Service, what: dict[str, object]) -> dict[str, object]:
        headers = {"Authorization": "Bearer demo", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{service.passthrough}/responses", json.dumps(what).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
        return found

    def test_a_mistake_is_said_once_and_in_the_same_words(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for options in (
                (f"--bridge=tcp:{port}:interface=127.0.0.1",),
                ("--bridge=carrier:pigeon",),
                ("--bridge=0", "--log=no/such/folder/x.jsonl"),
                ("--bridge=0", "--tool-execution", "--tools=no_such_tool"),
            ):
                alone, several = run(*twistd(*options)), run(*twistd("--workers=2", *options))
                self.assertEqual(several.returncode, alone.returncode)
                lines = [
                    [line for line in done.stderr.splitlines() if line.startswith("oaiproxy: ")]
                    for done in (alone, several)
                ]
                self.assertEqual(lines[0], lines[1])
                self.assertEqual(len(lines[0]), 1)

    def test_as_a_daemon(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        start = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        options = ["oaiproxy", "--workers=2", "--passthrough=0", "--bridge=0", "--upstream=demo"]
        done = run(*start, "--pidfile=pid", "--logfile=log", *options, cwd=str(folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        log, pid = folder / "log", int((folder / "pid").read_text())
        while "is ready" not in log.read_text():
            self.assertTrue(_runs(pid), log.read_text())
        found = re.search(r"bridge port: (\S+)", log.read_text())
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/models", timeout=30) as answer:
            self.assertEqual(answer.status, 200)
        os.kill(pid, signal.SIGTERM)
        while _runs(pid):
            pass
        self.assertRegex(log.read_text(), r"worker \d+: bridge GET /v1/models 200")
        self.assertIn("Main loop terminated.", log.read_text())


class LogTests(WorkersTestCase):
    """What is in one place."""

    async def test_the_traffic_log_has_the_whole_lines_of_all(self) -> None:
        path = Path(self.mktemp())
        body = b'{"text": "%b"}' % (b"x" * 300_000)
        self.scripted.script = lambda connection, request: connection.write(http_answer(body))
        service = self.start(f"--log={path}")
        clients = await self.one_each(service, self.passthrough)
        for client in clients.values():
            for _ in range(10):
                before = len(client.received)
                client.post("/v1/responses", body)
                await client.until(lambda data, before=before: len(data) - before > len(body))  # type: ignore[misc]
        self.assertEqual(await deferToThread(service.stop), 0)
        records = [json.loads(line) for line in content(path).splitlines()]
        asked = [r for r in records if r["direction"] == "downstream-request" and r["payload"]["method"] == "POST"]
        self.assertEqual(len({record["exchange"] for record in asked}), 20)
        self.assertEqual(len({record["exchange"].partition("-")[0] for record in asked}), 2)
        self.assertEqual([record["payload"]["body"] for record in asked], [json.loads(body)] * 20)

    async def test_a_worker_that_starts_later_does_not_begin_it_anew(self) -> None:
        path = Path(self.mktemp())
        service = self.start(f"--log={path}")
        self.scripted.script = lambda connection, request: connection.write(http_answer(b"{}"))
        await self.ask(self.passthrough, "POST", "/v1/responses", b'{"input":"first"}')
        await self.until(lambda: b"first" in content(path))
        for worker in (1, 2):
            os.kill(self.pid(service, worker), signal.SIGKILL)
        for worker in (3, 4):
            await self.said(service, f"worker {worker} is there")
        await self.ask(self.passthrough, "POST", "/v1/responses", b'{"input":"second"}')
        self.assertEqual(await deferToThread(service.stop), 0)
        for text in (b"first", b"second"):
            self.assertIn(text, content(path))

    async def test_no_secret_is_on_a_command_line_or_in_the_log(self) -> None:
        keys = {"OAIPROXY_AUTH": "replace", "OPENAI_API_KEY": "sk-lent-by-us", "PROXY_API_KEYS": "our-own-key"}
        service = Service("--workers=2", "--upstream=demo", "--debug", **keys)
        self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
        request = urllib.request.Request(f"{service.bridge}/models", headers={"Authorization": "Bearer our-own-key"})
        self.assertEqual(await deferToThread(lambda: urllib.request.urlopen(request, timeout=30).status), 200)
        for worker in (1, 2):
            if sys.platform == "linux":
                line = content(Path(f"/proc/{self.pid(service, worker)}/cmdline"))
                self.assertIn(b"oaiproxy worker %d" % worker, line)
                self.assertNotRegex(line, rb"sk-lent|our-own")
        await deferToThread(service.stop)
        self.assertNotRegex(service.output, "sk-lent|our-own")
