"""The service as its operator starts it: where it refuses to lend its key, and what its log has and never has."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from tests.process import Service, run, twistd

OURS, TEAM = "sk-canary-upstream-0123456789", "canary-team-0123456789"
LENT = {"OPENAI_API_KEY": OURS, "OAIPROXY_AUTH": "replace"}


class RefusalTests(SynchronousTestCase):
    """One clear line, status 1, and no traceback."""

    def fails(self, *arguments: str, **environ: str) -> str:
        done = run(*twistd("--upstream=demo", *arguments), **environ)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        self.assertNotIn("canary", done.stdout + done.stderr)
        (line,) = (line for line in done.stderr.splitlines() if line.strip())
        return line

    def test_it_lends_its_key_to_nobody_on_another_address(self) -> None:
        for arguments in (
            ("--interface=0.0.0.0",),
            ("--bridge=tcp:0",),
            ("--passthrough=0", "--bridge=systemd:domain=INET:name=bridge"),
        ):
            line = self.fails(*arguments, **LENT)
            self.assertTrue(line.startswith("oaiproxy: "), line)
            self.assertIn("whoever reaches this address could use the upstream key", line)
            self.assertIn("PROXY_API_KEYS", line)

    def test_a_key_that_is_required_has_to_be_there(self) -> None:
        line = self.fails(PROXY_REQUIRE_API_KEY="true", OPENAI_API_KEY=OURS)
        self.assertIn("PROXY_REQUIRE_API_KEY: there is no proxy key", line)

    def test_any_page_may_not_use_a_lent_key(self) -> None:
        line = self.fails("--cors-origin=*", PROXY_API_KEYS=TEAM, **LENT)
        self.assertIn("--cors-origin: '*' would let any web page use the upstream key", line)


class LogTests(SynchronousTestCase):
    def service(self, *arguments: str, **environ: str) -> Service:
        service = Service("--upstream=demo", *arguments, **environ)
        self.addCleanup(service.stop)
        return service

    def ask(self, url: str, key: str | None, text: str = "canary-text") -> int:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "user": OURS}
        fields = {"Content-Type": "application/json", **({} if key is None else {"Authorization": f"Bearer {key}"})}
        request = urllib.request.Request(f"{url}/chat/completions?note=canary-query", json.dumps(body).encode(), fields)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as e:
            with e:
                return e.code

    def test_with_debug_there_is_a_line_for_each_exchange(self) -> None:
        service = self.service(DEBUG="true")
        self.assertEqual(self.ask(service.bridge, None), 200)
        service.stop()
        self.assertRegex(
            service.output, r"exchange \w+-1: bridge POST /v1/chat/completions -> 200, \d+ bytes, \d\.\d+ s"
        )
        self.assertNotIn("canary", service.output)

    def test_without_there_is_none(self) -> None:
        service = self.service()
        self.assertEqual(self.ask(service.bridge, None), 200)
        service.stop()
        self.assertNotIn("exchange", service.output)

    def test_the_console_script_shows_it_too(self) -> None:
        command = [*twistd()[:1], "-m", "oaiproxy", "--bridge=0", "--upstream=demo", "--debug"]
        service = Service(command=command)
        self.addCleanup(service.stop)
        self.assertEqual(self.ask(service.bridge, None), 200)
        service.stop()
        self.assertIn("exchange ", service.output)

    def test_keys_and_bodies_are_in_no_log(self) -> None:
        traffic = os.path.abspath(self.mktemp())
        service = self.service("--log", traffic, DEBUG="true", PROXY_API_KEYS=TEAM, **LENT)
        for url in (service.bridge, service.passthrough):
            self.assertEqual(self.ask(url, TEAM), 200)
            self.assertEqual(self.ask(url, TEAM, "demo:error=401"), 401)
            self.assertEqual(self.ask(url, "canary-wrong"), 401)
            self.assertEqual(self.ask(url, None), 401)
        service.stop()
        self.assertNotIn("canary", service.output)
        with open(traffic) as file:
            logged = file.read()
        self.assertIn("canary-text", logged, "it is the log of all that passes")
        for key in (OURS, TEAM):
            self.assertNotIn(key, logged)


class HealthTests(SynchronousTestCase):
    def test_the_image_s_health_check_finds_it_alive(self) -> None:
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        with open(os.path.join(root, "Dockerfile")) as file:
            text = file.read()
        (line,) = (line for line in text[text.index("HEALTHCHECK") :].splitlines() if line.strip().startswith("CMD "))
        command = json.loads(line.strip().removeprefix("CMD "))
        for environ in ({}, {**LENT, "PROXY_API_KEYS": TEAM, "ALLOW_UNAUTHENTICATED_HEALTH": "false"}):
            service = Service("--upstream=http://127.0.0.1:1", **environ)
            self.addCleanup(service.stop)
            ports = [url.rpartition(":")[2].removesuffix("/v1") for url in (service.passthrough, service.bridge)]
            there = command[-1].replace("5101, 5102", ", ".join(ports))
            self.assertNotEqual(there, command[-1])
            self.assertEqual(run(*twistd()[:1], "-c", there).returncode, 0)
            service.stop()
            self.assertEqual(run(*twistd()[:1], "-c", there).returncode, 1)
