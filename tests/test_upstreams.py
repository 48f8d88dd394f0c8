"""The service and its upstreams: one that is the proxy itself is refused, and each port has its own."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy import upstreams
from oaiproxy.api.request import PortKind
from oaiproxy.relay import Retry
from oaiproxy.service import ProxyService
from oaiproxy.settings import Port, ServiceSettings, Settings, Timeouts, port_at
from oaiproxy.stopping import StartFailed
from oaiproxy.transforms import Pipeline
from tests.process import run, twistd
from tests.support import SocketTestCase, http_answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class ItselfTests(SynchronousTestCase):
    """One clear line, status 1, and no port that stays open."""

    def refused(self, *arguments: str, port: int, **environ: str) -> str:
        done = run(*twistd(*arguments), **environ)
        lines = [line for line in done.stderr.splitlines() if line.startswith("oaiproxy: ")]
        self.assertEqual((done.returncode, len(lines)), (1, 1), done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        self.assertNotIn("is ready", done.stdout + done.stderr)
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", port)), 0)
        return lines[0]

    def test_a_variable_that_clients_have_too(self) -> None:
        port = free_port()
        for name in ("OPENAI_BASE_URL", "TARGET_BASE_URL"):
            line = self.refused("--passthrough", str(port), port=port, **{name: f"http://localhost:{port}/v1"})
            self.assertEqual(
                line,
                f"oaiproxy: {name} names the proxy itself: http://localhost:{port}/v1 leads to its passthrough port at "
                f"127.0.0.1 port {port}. Set --upstream, which counts first, to where requests are to go, such as "
                "https://api.openai.com/v1",
            )

    def test_the_option_and_its_variable(self) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        line = self.refused("--bridge", str(port), "--upstream", url, port=port)
        self.assertIn("oaiproxy: --upstream names the proxy itself", line)
        self.assertIn("its bridge port", line)
        self.assertIn("Set --upstream to where", line)
        line = self.refused("--bridge", str(port), port=port, OAIPROXY_UPSTREAM=url)
        self.assertIn("Set OAIPROXY_UPSTREAM to where", line)

    def test_a_port_in_the_file_whose_upstream_is_another_of_its_ports(self) -> None:
        one, other = free_port(), free_port()
        path = Path(self.mktemp())
        path.write_text(
            f'[[ports]]\nkind = "passthrough"\nlisten = {one}\nupstream = "http://127.0.0.1:9"\n'
            f'[[ports]]\nkind = "bridge"\nlisten = {other}\nupstream = "http://127.1:{one}/v1"\n'
        )
        line = self.refused("--config", str(path), port=one)
        self.assertIn("ports[1].upstream names the proxy itself", line)
        self.assertIn(f"its passthrough port at 127.0.0.1 port {one}", line)


class UpstreamsTests(SocketTestCase):
    def service(self, *ports: Port) -> ProxyService:
        return ProxyService(reactor, ServiceSettings(ports), Pipeline(()))

    def port(self, number: int = 0, **settings: Any) -> Port:
        return port_at(PortKind.PASSTHROUGH, f"tcp:{number}:interface=127.0.0.1", settings=Settings(**settings))

    async def test_a_refusal_closes_the_ports_that_were_opened(self) -> None:
        number, other = free_port(), free_port()
        refused = self.service(
            self.port(other, upstream="http://127.0.0.1:9/v1"),
            self.port(number, upstream=f"http://[::ffff:127.0.0.1]:{number}/v1"),
        )
        with mock.patch("sys.__stderr__", None):
            self.assertRaises(StartFailed, refused.privilegedStartService)
        # they are closed at the next turn
        await self.turns(2)
        for closed in (number, other):
            with socket.socket() as probe:
                self.assertNotEqual(probe.connect_ex(("127.0.0.1", closed)), 0)

    async def test_an_upstream_on_another_port_of_this_machine_is_none_of_ours(self) -> None:
        self.upstream()
        started = self.service(self.port(upstream=f"http://localhost:{self.upstream_port}/v1"))
        self.addCleanup(started.stopService)
        started.startService()
        self.assertEqual(len(started.addresses), 1)

    async def test_each_port_has_its_upstream_and_its_retries(self) -> None:
        self.patch(upstreams, "Retry", lambda limit: Retry(limit, random=lambda: 0.0))
        busy = http_answer(b"{}", "503 Busy")
        first, second = self.upstream(), self.upstream()
        first_port, second_port = (self.listen(factory) for factory in (first, second))
        first.answers(busy)
        second.answers(busy)
        base = Settings(upstream=f"http://127.0.0.1:{first_port}/v1")
        settings = (
            base,
            replace(base, retries=0),
            replace(base, upstream=f"http://127.0.0.1:{second_port}/v1", retries=1),
            replace(base, timeouts=Timeouts(connect=1)),
        )
        endpoint = "tcp:0:interface=127.0.0.1"
        started = self.service(*(Port(PortKind.PASSTHROUGH, (endpoint,), settings=one) for one in settings))
        started.startService()
        asked = []
        for _, address in started.addresses:
            number = int(address.removesuffix("/v1").rpartition(":")[2])
            before = len(first.requests), len(second.requests)
            await self.ask(number, "GET", "/v1/files")
            asked.append((len(first.requests) - before[0], len(second.requests) - before[1]))
        self.assertEqual(asked, [(3, 0), (1, 0), (0, 2), (3, 0)])
        # each has connections of its own, and all are closed with the service
        self.assertEqual((len(first.connections), len(second.connections)), (3, 1))
        await started.stopService()
        lost = [connection.lost for connection in (*first.connections, *second.connections)]
        await self.until(lambda: all(gone.called for gone in lost))
