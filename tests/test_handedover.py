"""Sockets from the service manager, and what it is told: as systemd does it, with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.servicemanager import VARIABLE, ServiceManager
from oaiproxy.stopping import EXIT_FAILED
from tests.process import PATIENCE, Service

NAMES = ("passthrough", "bridge")
BY_NAME = tuple(f"--{name}=systemd:domain=INET:name={name}" for name in NAMES)


class HandingOver(SynchronousTestCase):
    def listening(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        opened = socket.create_server((host, 0), family=family)
        self.addCleanup(opened.close)
        return opened

    def service(self, *options: str, listening: dict[str, socket.socket], **environ: str) -> Service:
        service = Service("--upstream=demo", *options, places=False, listening=listening, **environ)
        self.addCleanup(service.stop, signal.SIGKILL)
        return service


class SocketTests(HandingOver):
    def test_two_by_their_names_whatever_their_order(self) -> None:
        for workers in ("1", "2"):
            sockets = {name: self.listening() for name in reversed(NAMES)}
            service = self.service(*BY_NAME, f"--workers={workers}", listening=sockets)
            for name, base in zip(NAMES, (service.passthrough, service.bridge), strict=True):
                port = sockets[name].getsockname()[1]
                self.assertEqual(base, f"http://127.0.0.1:{port}/v1")
                with urllib.request.urlopen(f"{base}/models", timeout=PATIENCE) as answer:
                    self.assertEqual(answer.status, 200)
            self.assertEqual(service.stop(), 0, service.output)
            self.assertNotIn("Traceback", service.output)

    def test_one_of_them_may_be_left(self) -> None:
        for workers in ("1", "2"):
            sockets = {name: self.listening() for name in NAMES}
            service = self.service(BY_NAME[1], f"--workers={workers}", listening=sockets)
            self.assertEqual(service.bridge, f"http://127.0.0.1:{sockets['bridge'].getsockname()[1]}/v1")
            with urllib.request.urlopen(f"{service.bridge}/models", timeout=PATIENCE) as answer:
                self.assertEqual(answer.status, 200)
            self.assertEqual(service.stop(), 0, service.output)

    def refused(self, option: str, listening: dict[str, socket.socket]) -> str:
        with self.assertRaises(AssertionError) as caught:
            self.service(option, listening=listening)
        said = str(caught.exception)
        self.assertIn(f"ended with {EXIT_FAILED}:", said)
        self.assertNotIn("Traceback", said)
        return said

    def test_one_that_is_not_there_is_said_to_be_missing(self) -> None:
        for where in ("name=other", "index=1"):
            said = self.refused(f"--bridge=systemd:domain=INET:{where}", {"bridge": self.listening()})
            self.assertIn(f"systemd:domain=INET:{where}' is no endpoint to listen on: no such socket", said)

    def test_one_of_another_kind_is_refused_with_the_right_word(self) -> None:
        said = self.refused("--bridge=systemd:domain=INET:name=bridge", {"bridge": self.listening(socket.AF_INET6)})
        self.assertIn("say domain=INET6", said)

    if not socket.has_ipv6:
        test_one_of_another_kind_is_refused_with_the_right_word.skip = "no IPv6"  # type: ignore[attr-defined]

    def test_one_that_accepts_nothing_is_refused(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            said = self.refused("--bridge=systemd:domain=INET:name=bridge", {"bridge": datagrams})
        self.assertIn("accepts no connections", said)


class ManagerTests(HandingOver):
    def manager(self) -> tuple[socket.socket, str]:
        """What hears the messages, and where."""
        # not below trial's folder: the address of a socket may have no more than 108 bytes
        folder = Path(tempfile.mkdtemp(prefix="notify"))
        self.addCleanup(shutil.rmtree, folder)
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(heard.close)
        heard.bind(str(folder / "socket"))
        heard.settimeout(PATIENCE)
        return heard, str(folder / "socket")

    def test_it_is_told_when_requests_are_answered_and_when_the_service_ends(self) -> None:
        for workers in ("1", "2"):
            heard, where = self.manager()
            sockets = {name: self.listening() for name in NAMES}
            service = self.service(*BY_NAME, f"--workers={workers}", listening=sockets, NOTIFY_SOCKET=where)
            ready = f"READY=1\nSTATUS=passthrough port: {service.passthrough}, bridge port: {service.bridge}"
            self.assertEqual(heard.recv(1000).decode(), ready)
            self.assertEqual(service.stop(), 0)
            self.assertEqual(heard.recv(1000), b"STOPPING=1\nSTATUS=letting what runs come to its end")
            heard.setblocking(False)
            # each of them once, and no worker said anything
            self.assertRaises(BlockingIOError, heard.recv, 1000)

    def test_an_address_that_is_in_no_file_system(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(f"\0oaiproxy-test-{os.getpid()}")
            heard.settimeout(PATIENCE)
            environ = {VARIABLE: f"@oaiproxy-test-{os.getpid()}"}
            ServiceManager(environ).ready("here")
            self.assertEqual(heard.recv(100), b"READY=1\nSTATUS=here")
            self.assertEqual(environ, {})

    def test_where_nobody_listens_the_service_goes_on(self) -> None:
        for where in ("", "/no/such/socket", "vsock:1:2"):
            ServiceManager({VARIABLE: where}).stopping("the end")
