"""The strict upstream through real sockets, as the tests of a whole service use it."""

from __future__ import annotations

import json

from oaiproxy.api.request import PortKind
from oaiproxy.plugins.reasoning_default import reasoning_default
from tests.continuity.chatclient import ChatClient
from tests.continuity.site import strict_site
from tests.continuity.turns import SHAPES, Ending, Turn
from tests.continuity.upstream import StrictResponses
from tests.support import SocketTestCase

JSON = "Content-Type: application/json"
BODY = json.dumps({"model": "gpt-5.6", "input": "Hello"}).encode()


class SiteTests(SocketTestCase):
    async def test_keys_are_accounts_of_their_own_or_those_that_they_are_said_to_be(self) -> None:
        upstream = StrictResponses([SHAPES["text"]])
        anybody = self.listen(strict_site(upstream))
        somebody = self.listen(strict_site(upstream, {"sk-one": "acme"}))
        for port, key in ((anybody, "sk-two"), (somebody, "sk-one")):
            status, _, body = await self.ask(port, "POST", "/v1/responses", BODY, JSON, f"Authorization: Bearer {key}")
            self.assertEqual((status, json.loads(body)["status"]), (200, "completed"))
        self.assertEqual([seen.account for seen in upstream.seen], ["sk-two", "acme"])
        for fields in ((), ("Authorization: Bearer sk-two",)):
            status, _, body = await self.ask(somebody, "POST", "/v1/responses", BODY, JSON, *fields)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (401, "invalid_api_key"))

    async def test_a_stream_is_a_stream_and_a_cut_one_is_cut(self) -> None:
        upstream = StrictResponses([SHAPES["text"]])
        port = self.listen(strict_site(upstream))
        body = json.dumps({"model": "gpt-5.6", "input": "Hello", "stream": True}).encode()
        _, head, answer = await self.ask(port, "POST", "/v1/responses", body, JSON, "Authorization: Bearer sk-one")
        self.assertIn(b"text/event-stream", head)
        self.assertIn(b"event: response.completed", answer)
        cut = self.listen(strict_site(StrictResponses([Turn(SHAPES["text"].parts, Ending.CUT)])))
        client = await self.client(cut)
        client.post("/v1/responses", body, "Authorization: Bearer sk-one")
        await client.closed
        self.assertIn(b"response.output_item.done", client.received)
        self.assertNotIn(b"response.completed", client.received)
        self.assertFalse(client.received.endswith(b"0\r\n\r\n"))

    async def test_other_paths_are_not_there(self) -> None:
        port = self.listen(strict_site(StrictResponses()))
        status, _, _ = await self.ask(port, "GET", "/v1/models", b"", "Authorization: Bearer sk-one")
        self.assertEqual(status, 404)

    async def test_a_bridge_stands_before_it(self) -> None:
        upstream = StrictResponses([SHAPES["call"], SHAPES["text"]])
        port = self.proxy(
            PortKind.BRIDGE, transforms=(reasoning_default,), upstream_port=self.listen(strict_site(upstream))
        )
        client = ChatClient().says("Hello")
        for stream in (False, True):
            body = json.dumps(client.request(stream=stream)).encode()
            status, _, answer = await self.ask(
                port, "POST", "/v1/chat/completions", body, JSON, "Authorization: Bearer sk-one"
            )
            self.assertEqual(status, 200, answer)
            client = client.hears(answer).goes_on()
        self.assertEqual(upstream.refused, [])
        self.assertEqual(client.messages[-2]["content"], "It is blue.")
