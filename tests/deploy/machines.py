"""Several machines on one: proxies on addresses of their own, a name for all of them, and a real HAProxy in front."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, fail, gatherResults, succeed
from twisted.internet.threads import deferToThread
from twisted.names import dns, server
from twisted.names.error import DomainError
from twisted.python.failure import Failure

from tests.process import ROOT, Process, Service
from tests.support import Received, ScriptedUpstream, SocketTestCase, UpstreamConnection

CONFIGURATION = ROOT / "deploy" / "haproxy" / "haproxy.cfg"

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
REDIS = shutil.which("redis-server")

#: Why the tests with several machines cannot run here, or "".
MISSING = (
    "HAProxy is not installed"
    if HAPROXY is None
    else ""
    if sys.platform == "linux"
    else "only Linux has more loopback addresses than one"
)

#: The name that stands for all machines.
NAME = "proxies.test"


class Names:
    """A resolver for `NAME`, as `server.DNSServerFactory` asks one.

    @ivar addresses: what the name stands for at the moment.
    """

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def query(self, query: dns.Query, timeout: object = None) -> Deferred[Any]:
        if query.name.name.lower() != NAME.encode() or query.type != dns.A or not self.addresses:
            return fail(Failure(DomainError()))
        found = [dns.RRHeader(NAME, dns.A, payload=dns.Record_A(address), ttl=1) for address in self.addresses]
        return succeed((found, [], []))


class Balancer(Process):
    """HAProxy with the shipped configuration.

    @ivar ports: its ports by kind.
    """

    def __init__(self, dns_port: int, proxy_ports: dict[str, int], **environ: str) -> None:
        """Start it, and wait until it is ready.

        @param dns_port: who knows `NAME`.
        @param proxy_ports: on which ports the machines' proxies listen, by kind.
        """
        assert HAPROXY is not None
        self.ports = dict(zip(proxy_ports, free_ports("127.0.0.1", count=len(proxy_ports)), strict=True))
        # not below trial's folder: the address of a socket may have no more than 108 bytes
        self._folder = tempfile.mkdtemp(prefix="balancer")
        self._socket = str(Path(self._folder) / "admin")
        told = {
            "BALANCER_DNS": f"127.0.0.1:{dns_port}",
            "BALANCER_PROXIES": NAME,
            "BALANCER_SLOTS": "4",
            "BALANCER_CONNECTIONS": "1000",
            "BALANCER_SOCKET": self._socket,
        }
        for kind, port in self.ports.items():
            told[f"BALANCER_{kind.upper()}"] = f"127.0.0.1:{port}"
            told[f"BALANCER_PROXY_{kind.upper()}"] = str(proxy_ports[kind])
        # under a master it says when it is ready
        super().__init__([HAPROXY, "-W", "-f", str(CONFIGURATION)], "Loading success", **{**told, **environ})

    def wait(self) -> int:
        try:
            return super().wait()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def command(self, text: str) -> str:
        """What the administrator's socket answers."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self._socket)
            client.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()

    def up(self) -> list[tuple[str, str]]:
        """The kinds and addresses of all servers that get requests."""
        lines = [line.split() for line in self.command("show servers state").splitlines() if line[:1].isdigit()]
        # be_id be_name srv_id srv_name srv_addr srv_op_state ... (2: running)
        return [(fields[1], fields[4]) for fields in lines if len(fields) > 5 and fields[5] == "2"]


class Redis(Process):
    """A Redis server that keeps nothing on a disk.

    @ivar port: where it listens.
    """

    def __init__(self, port: int | None = None) -> None:
        """Start it, and wait until it is ready.

        @param port: where it is to listen; a free port where None.
        """
        assert REDIS is not None
        (self.port,) = free_ports("127.0.0.1", count=1) if port is None else (port,)
        self._folder = tempfile.mkdtemp(prefix="redis")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder]
        super().__init__([REDIS, *options], "Ready to accept connections")

    def wait(self) -> int:
        try:
            return super().wait()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


class MachinesTestCase(SocketTestCase):
    """Machines, HAProxy in front of them, and an upstream that answers as the test says.

    A machine is an address (127.0.0.2, 127.0.0.3, ...) on which a proxy of its own listens, in a process of its own.

    @ivar seen: the upstream's streams that are held, with the address of the machine that asked for each.
    """

    timeout = 120
    #: Variables for the proxies.
    environment: Mapping[str, str] = {}
    if MISSING:
        skip = MISSING

    def setUp(self) -> None:
        self.scripted: ScriptedUpstream = self.upstream()
        self.scripted.script = self.script
        self.seen: list[tuple[str, UpstreamConnection, Received]] = []
        self.names = Names()
        datagrams = reactor.listenUDP(  # type: ignore[attr-defined]
            0, dns.DNSDatagramProtocol(server.DNSServerFactory(clients=[self.names])), interface="127.0.0.1"
        )
        self.addCleanup(datagrams.stopListening)
        self._dns_port: int = datagrams.getHost().port
        self.addresses: tuple[str, ...] = ("127.0.0.2", "127.0.0.3")
        kinds = ("passthrough", "bridge")
        self._ports = dict(zip(kinds, free_ports(*self.addresses, count=len(kinds)), strict=True))
        self.machines: dict[str, Service] = {}

    def script(self, connection: UpstreamConnection, request: Received) -> None:
        """What the upstream does."""
        raise NotImplementedError

    async def balance(self, **environ: str) -> None:
        """Start the balancer."""
        self.balancer = await deferToThread(lambda: Balancer(self._dns_port, self._ports, **environ))
        self.addCleanup(deferToThread, self.balancer.stop)
        self.passthrough, self.bridge = (self.balancer.ports[kind] for kind in ("passthrough", "bridge"))

    async def begin(self, *options: str) -> None:
        """Start a balancer and a machine on each address.

        @param options: further options of the proxies.
        """
        machines = [ensureDeferred(self.machine(address, *options)) for address in self.addresses]
        await gatherResults([*machines, ensureDeferred(self.balance())])
        await self.known(*self.addresses)

    async def machine(self, address: str, *options: str) -> Service:
        """Start a machine, which the name stands for from now on."""
        places = [f"--{kind}={port}" for kind, port in self._ports.items()]
        arguments = (*places, f"--interface={address}", f"--upstream={self.upstream_of(address)}", *options)
        service = self.machines[address] = await deferToThread(
            lambda: Service(*arguments, places=False, **self.environment)
        )
        self.addCleanup(deferToThread, service.stop, signal.SIGKILL)
        if address not in self.names.addresses:
            self.names.addresses.append(address)
        return service

    async def known(self, *addresses: str) -> None:
        """Wait until the balancer uses these machines and no others."""
        expected = sorted((kind, address) for kind in self._ports for address in addresses)
        while sorted(await deferToThread(self.balancer.up)) != expected:
            pass

    def upstream_of(self, address: str) -> str:
        """A machine's upstream, which sees from the path who asks."""
        return f"http://127.0.0.1:{self.upstream_port}/{address}/v1"

    @staticmethod
    def machine_of(request: Received) -> str:
        """The address of the machine that a request came from."""
        return request.line.split("/")[1]


def free_ports(*addresses: str, count: int) -> list[int]:
    """Port numbers that are free on all of these addresses."""
    held: list[socket.socket] = []
    found: list[int] = []

    def tries() -> Iterator[int]:
        while True:
            first = socket.create_server((addresses[0], 0))
            held.append(first)
            yield first.getsockname()[1]

    for number in tries():
        try:
            held += [socket.create_server((address, number)) for address in addresses[1:]]
        except OSError:
            continue
        found.append(number)
        if len(found) == count:
            break
    for one in held:
        one.close()
    return found
