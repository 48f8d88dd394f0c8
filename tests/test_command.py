"""The command as people type it: what it says, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import sys
import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.options import Options
from tests.process import Service, run, twistd


class StartTests(SynchronousTestCase):
    def service(self, *arguments: str, **kwargs: str) -> Service:
        service = Service(*arguments, **kwargs)  # type: ignore[arg-type]
        self.addCleanup(service.stop)
        return service

    def test_it_says_where_it_listens_and_what_is_upstream(self) -> None:
        service = self.service("--upstream", "http://localhost:9")
        self.assertRegex(service.output, r"passthrough port: http://127\.0\.0\.1:\d+/v1")
        self.assertRegex(service.output, r"bridge port: http://127\.0\.0\.1:\d+/v1")
        self.assertIn("upstream: http://localhost:9/v1", service.output)

    def test_both_loopback_addresses_are_served(self) -> None:
        if not socket.has_ipv6 or not _has_ipv6_loopback():
            self.skipTest("there is no ::1 on this machine")
        port = _free_port()
        self.service("--bridge", str(port), "--upstream", "demo")
        for host in ("127.0.0.1", "[::1]"):
            with urllib.request.urlopen(f"http://{host}:{port}/v1/models", timeout=10) as answer:
                self.assertEqual(answer.status, 200)

    def test_an_endpoint_description_is_served(self) -> None:
        path = os.path.join(self.mktemp()[:60] + ".sock")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.service("--bridge", f"unix:{path}", "--upstream", "demo")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_sigterm_ends_it_in_order(self) -> None:
        service = Service("--upstream", "demo")
        self.assertEqual(service.stop(signal.SIGTERM), 0)
        self.assertIn("Main loop terminated", service.output)
        self.assertNotIn("Traceback", service.output)

    def test_variables_of_the_environment_are_options(self) -> None:
        service = self.service(OAIPROXY_UPSTREAM="demo")
        self.assertIn("the embedded demo", service.output)

    def test_a_broken_model_list_is_said_and_the_built_in_one_serves(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("{")
        service = self.service("--models", path, "--upstream", "demo")
        self.assertIn(path, service.output)
        with urllib.request.urlopen(f"{service.bridge}/models", timeout=10) as answer:
            self.assertIn(b'"gpt-5.1"', answer.read())

    def test_the_traffic_log_is_begun_anew_and_private(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("old")
        os.chmod(path, 0o644)
        self.service("--log", path, "--upstream", "demo")
        with open(path) as file:
            self.assertNotIn("old", file.read())
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_the_console_script_runs_the_same_service(self) -> None:
        command = [sys.executable, "-m", "oaiproxy", "--passthrough=0", "--bridge=0", "--upstream=demo"]
        service = Service(command=command)
        self.addCleanup(service.stop)
        with urllib.request.urlopen(f"{service.bridge}/models", timeout=10) as answer:
            self.assertEqual(answer.status, 200)


class MistakeTests(SynchronousTestCase):
    """One clear line, an exit status that is not 0, and no traceback."""

    def fails(self, *arguments: str) -> str:
        done = run(*twistd(*arguments))
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("oaiproxy: ")]
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def test_a_bad_option(self) -> None:
        self.assertIn("--upstream", self.fails("--upstream", "nonsense"))

    def test_an_unknown_option(self) -> None:
        self.assertIn("colour", self.fails("--colour=red"))

    def test_an_endpoint_that_is_none(self) -> None:
        self.assertIn("carrier:pigeon", self.fails("--bridge", "carrier:pigeon"))

    def test_a_certificate_that_is_not_there(self) -> None:
        self.assertIn("no-such.pem", self.fails("--bridge", "ssl:0:privateKey=no-such.pem:certKey=no-such.pem"))

    def test_a_tool_that_there_is_not(self) -> None:
        line = self.fails("--bridge", "0", "--tool-execution", "--tools", "no_such_tool")
        self.assertIn("there is no tool 'no_such_tool'; those that were found: current_time", line)

    def test_a_port_in_use(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            line = self.fails("--bridge", str(port))
        self.assertIn(f"cannot listen on tcp:{port}", line)
        self.assertIn("in use", line)

    def test_a_traffic_log_that_cannot_be_written(self) -> None:
        self.assertIn("no/such/folder", self.fails("--log", "no/such/folder/x.jsonl", "--bridge", "0"))


class HelpTests(SynchronousTestCase):
    def test_help_names_every_option(self) -> None:
        done = run(*twistd("--help"))
        self.assertEqual(done.returncode, 0)
        for option in Options({}).longOpt:
            self.assertIn(f"--{option.rstrip('=')}", done.stdout)

    def test_version(self) -> None:
        done = run(*twistd("--version"))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^oaiproxy \d+\.\d+\.\d+")

    def test_list_transforms_shows_them_in_order_for_each_kind_of_port(self) -> None:
        done = run(*twistd("--list-transforms"))
        self.assertEqual(done.returncode, 0, done.stderr)
        bridge = done.stdout[done.stdout.index("bridge") :]
        places = [bridge.index(name) for name in ("model-alias", "reasoning-default", "web-search-default")]
        self.assertEqual(places, sorted(places))
        self.assertTrue(re.search(r"passthrough", done.stdout))

    def test_list_tools_shows_those_that_the_proxy_can_run(self) -> None:
        done = run(*twistd("--list-tools"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(
            done.stdout, r"^tools:\n  current_time  oaiproxy\.plugins\.current_time  Tells the current date"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
