"""Requests that come around."""

from __future__ import annotations

import json

from twisted.protocols.portforward import ProxyFactory

from oaiproxy.api.request import PortKind
from tests.support import http_answer
from tests.web.asking import AskingTestCase

CHAT = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}'


class LoopTests(AskingTestCase):
    async def test_every_request_goes_upstream_with_a_mark(self) -> None:
        upstream = self.upstream()
        for kind in PortKind:
            port = self.proxy(kind)
            for line, body in [
                ("POST /v1/embeddings", b"{}"),
                ("POST /v1/chat/completions", CHAT),
                ("GET /v1/files", b""),
                ("GET /health?upstream=1", b""),
                ("POST /proxy", CHAT),
            ]:
                await self.asks(port, line, body=body)
                mark = upstream.requests[-1].field("cdn-loop") or ""
                self.assertRegex(mark, r"\Aoaiproxy-[0-9a-f]{16}\Z", line)

    async def test_it_is_the_same_throughout_the_process_and_follows_those_of_others(self) -> None:
        upstream = self.upstream()
        await self.asks(self.proxy(), "POST /v1/embeddings", body=b"{}")
        await self.asks(self.proxy(), "POST /v1/embeddings", "CDN-Loop: cloudflare; loops=1", body=b"{}")
        first, second = (request.field("cdn-loop") for request in upstream.requests)
        self.assertEqual(second, f"cloudflare; loops=1, {first}")

    async def test_a_request_that_has_come_around_is_a_508(self) -> None:
        for kind in PortKind:
            # what the startup check cannot see: something else between, that leads back here
            forwarder = ProxyFactory("127.0.0.1", 0)
            between = self.listen(forwarder)
            port = forwarder.port = self.proxy(kind, upstream_port=between)
            for line, body in [
                ("POST /v1/embeddings", b"{}"),
                ("POST /v1/chat/completions", CHAT),
                ("POST /v1/chat/completions", CHAT[:-1] + b', "stream": true}'),
                ("GET /v1/files", b""),
            ]:
                answer = await self.asks(port, line, body=body)
                self.assertEqual((answer.status, answer.error["code"]), (508, "loop_detected"), line)
                self.assertIn(f"127.0.0.1:{between} leads back to this proxy", answer.error["message"])
                self.assertIn("--upstream", answer.error["message"])

    async def test_it_is_not_sent_again(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"{}", "508 Loop Detected"))
        await self.asks(self.proxy(retries=2), "POST /v1/embeddings", body=b"{}")
        self.assertEqual(len(upstream.requests), 1)

    async def test_the_health_check_finds_it(self) -> None:
        forwarder = ProxyFactory("127.0.0.1", 0)
        port = forwarder.port = self.proxy(upstream_port=self.listen(forwarder))
        answer = await self.asks(port, "GET /health?upstream=1")
        # the list of models is answered by the proxy that it comes around to
        self.assertEqual((answer.status, json.loads(answer.body)["status"]), (503, "error"))
        self.assertIn("508", answer.error["message"])

    async def test_another_proxy_s_mark_is_none_of_ours(self) -> None:
        self.upstream()
        answer = await self.asks(self.proxy(), "POST /v1/embeddings", "CDN-Loop: oaiproxy-0123456789abcdef", body=b"{}")
        self.assertEqual(answer.status, 200)
