"""The tool in ``docs/examples``: found in a folder as its docstring says, and asking a service over real sockets."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

import oaiproxy.plugins
from oaiproxy.api.request import PortKind
from oaiproxy.settings import Settings, ToolSettings
from oaiproxy.tools import discover_tools
from tests.support import Received, ScriptedUpstream, SocketTestCase, UpstreamConnection, http_answer
from tests.tools.support import call, completion
from tests.web.test_bridge import JSON
from tests.web.test_tools import CHAT

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "order_status.py"
MODULE = "oaiproxy.plugins.order_status"


class OrderStatusTests(SocketTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        shutil.copy(EXAMPLE, folder)
        self.patch(oaiproxy.plugins, "__path__", [*oaiproxy.plugins.__path__, str(folder)])
        importlib.invalidate_caches()
        self.addCleanup(self.forget)
        self.service = ScriptedUpstream()
        self.service_port = self.listen(self.service)
        self.addCleanup(self._let_go, self.service.connections)

    def forget(self) -> None:
        sys.modules.pop(MODULE, None)
        vars(oaiproxy.plugins).pop("order_status", None)

    def tool(self) -> Any:
        """The tool, found as a plugin, for the service of this test."""
        found = discover_tools()
        self.assertEqual((found.broken, sorted(t.name for t in found.tools)), ((), ["current_time", "order_status"]))
        (tool,) = (tool for tool in found.tools if tool.name == "order_status")
        return type(tool)(f"http://127.0.0.1:{self.service_port}/shop/")

    async def result(self, order: str = "A-1007", **limits: Any) -> str:
        """What the model is told of a call."""
        upstream = self.upstream()
        made = call("order_status", json.dumps({"order": order}))
        answers = [completion(None, [made], "tool_calls"), completion("Done")]
        upstream.answers(*(http_answer(body, "200 OK", JSON) for body in answers))
        settings = Settings(tools=ToolSettings(enabled=True, **limits))
        port = self.proxy(PortKind.PASSTHROUGH, settings, tools=[self.tool()])
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Where is it?"}]}).encode()
        status, _, _ = await self.ask(port, "POST", CHAT, body, JSON)
        self.assertEqual(status, 200)
        told: str = json.loads(upstream.requests[1].body)["messages"][-1]["content"]
        return told

    async def test_the_model_gets_what_the_service_says(self) -> None:
        self.service.answers(http_answer(b'{"state": "on its way"}', "200 OK", JSON))
        self.assertEqual(await self.result(), '{"state":"on its way"}')
        self.assertEqual(self.service.requests[0].line, "GET /shop/orders/A-1007 HTTP/1.1")

    async def test_what_is_no_number_is_not_asked_for(self) -> None:
        self.assertIn("order must match", await self.result("../admin"))
        self.assertEqual(self.service.requests, [])

    async def test_what_the_service_does_not_know_or_do_is_said(self) -> None:
        self.service.answers(http_answer(b"", "404 Not Found"))
        self.assertEqual(await self.result(), "Error: order_status: there is no order A-1007")
        self.service.answers(http_answer(b"", "500 Oops"))
        self.assertEqual(await self.result(), "Error: order_status: the shop's service answered with status 500")

    async def test_a_service_that_breaks_off_is_said_to_be_out_of_reach(self) -> None:
        self.service.script = lambda connection, request: connection.reset()
        self.assertEqual(
            await self.result(), "Error: order_status: the shop's service cannot be reached; try again later"
        )

    async def test_one_that_takes_too_long_loses_its_connection(self) -> None:
        asked: Deferred[UpstreamConnection] = Deferred()

        def silent(connection: UpstreamConnection, request: Received) -> None:
            asked.callback(connection)

        self.service.script = silent
        self.assertEqual(await self.result(seconds=0.2), "Error: order_status: it did not answer within 0.2 s")
        await (await asked).lost
        await deferLater(reactor, 0)
