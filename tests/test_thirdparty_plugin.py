"""A request transform of somebody else's: its own distribution, installed beside oaiproxy in a fresh environment."""

from __future__ import annotations

import json
import threading
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import TestCase

from tests.environment import ROOT, Environment
from tests.process import Service, run

THIRD_PARTY = ROOT / "tests" / "thirdparty" / "oaiproxy-shout"


@cache
def environment() -> Environment:
    """The environment with both installed, made once for all tests."""
    made = Environment("thirdparty-environment")
    made.install(made.source(ROOT), made.source(THIRD_PARTY))
    return made


#: Runs in the environment: what is found there, and what it makes of a chat request on each kind of port.
PROBE = """
import json, sys
import oaiproxy
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline, TransformContext, discover, listing, order

found = discover()
every = Pipeline(order(found.transforms))
pipeline = every.for_settings(Settings())
context = TransformContext(Settings(), Catalogue.builtin())
body = json.dumps({"model": "a-local-model", "messages": [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]}).encode()
report = {"home": oaiproxy.__file__, "broken": [plugin.name for plugin in found.broken],
          "listing": listing(every, found.broken)}
for kind in PortKind:
    request = ApiRequest(kind, "POST", "/chat/completions", (), Body(body))
    report[kind.value] = {
        "names": [transform.name for transform in pipeline.for_request(kind, request.path)],
        "body": json.loads(pipeline.run(request, context).body.raw),
    }
json.dump(report, sys.stdout)
"""

#: The transform in the list of all.
LISTED = r"shout +last +oaiproxy\.plugins\.shout +/chat/completions"

#: The request after the transform.
SHOUTED: dict[str, Any] = {
    "model": "a-local-model",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Answer in capital letters."},
        {"role": "user", "content": "Hello"},
    ],
}


class InstalledTests(TestCase):
    """What is installed is what is found."""

    timeout = 240

    def probe(self) -> Any:
        return json.loads(environment().output(PROBE))

    def test_the_transform_is_found_and_ordered_and_rewrites_requests_on_both_kinds_of_port(self) -> None:
        report = self.probe()
        # the installed copy answered, not the checkout
        self.assertEqual(Path(report["home"]).parents[1].resolve(), environment().site.resolve())
        self.assertEqual(report["broken"], [])
        self.assertEqual(report["passthrough"], {"names": ["shout"], "body": SHOUTED})
        self.assertEqual(
            report["bridge"],
            {
                "names": ["model-alias", "prompt-cache-default", "reasoning-default", "web-search-default", "shout"],
                "body": SHOUTED,
            },
        )
        self.assertRegex(report["listing"], LISTED)

    def test_its_distribution_puts_one_module_into_the_package_and_nothing_else(self) -> None:
        files = json.loads(
            environment().output(
                "import importlib.metadata, json\n"
                "print(json.dumps([str(file) for file in importlib.metadata.files('oaiproxy-shout')]))"
            )
        )
        code = [file for file in files if ".dist-info" not in file and not file.endswith(".pyc")]
        self.assertEqual(code, ["oaiproxy/plugins/shout.py"])


class _Upstream(BaseHTTPRequestHandler):
    """Keeps what it is sent, and refuses it: what comes back is no concern of these tests."""

    received: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, json.loads(body)))
        answer = b'{"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": "refused"}}'
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class ServiceTests(TestCase):
    """The service of that environment, with real requests."""

    timeout = 240

    def setUp(self) -> None:
        self.received: list[tuple[str, Any]] = []
        handler = type("Upstream", (_Upstream,), {"received": self.received})
        upstream = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=upstream.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(upstream.server_close)
        self.addCleanup(upstream.shutdown)
        self.service = Service(
            command=environment().command(
                "--passthrough=0", "--bridge=0", "--upstream", f"http://127.0.0.1:{upstream.server_port}/v1"
            ),
            cwd=str(environment().folder),
        )
        self.addCleanup(self.service.stop)

    def post(self, base: str) -> int:
        """Send the request to a port, and return the status of the answer."""
        connection = HTTPConnection(urlsplit(base).netloc, timeout=60)
        self.addCleanup(connection.close)
        body = json.dumps({**SHOUTED, "messages": [SHOUTED["messages"][0], SHOUTED["messages"][2]]})
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.assertEqual(json.loads(answer.read())["error"]["code"], "refused")
        return answer.status

    def test_a_request_to_the_passthrough_port_reaches_the_upstream_with_the_note(self) -> None:
        self.assertEqual(self.post(self.service.passthrough), 400)
        self.assertEqual(self.received, [("/v1/chat/completions", SHOUTED)])

    def test_a_request_to_the_bridge_port_reaches_the_upstream_with_the_note(self) -> None:
        self.assertEqual(self.post(self.service.bridge), 400)
        ((path, body),) = self.received
        self.assertEqual(path, "/v1/responses")
        self.assertIn("Answer in capital letters.", json.dumps(body))

    def test_the_service_lists_it(self) -> None:
        listed = run(*environment().command("--list-transforms"), cwd=str(environment().folder))
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertRegex(listed.stdout, LISTED)
