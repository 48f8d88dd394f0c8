"""What fuzzing found at the ports (tests/fuzz), as it is now."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource

from oaiproxy.web import ProxySite
from tests.support import SocketTestCase

HEAD = b"POST /v1/files HTTP/1.1\r\nHost: proxy\r\nContent-Type: text/plain\r\nContent-Length: 10000000\r\n\r\n"


class FoundTests(SocketTestCase):
    async def test_an_upstream_that_answers_no_http_before_the_request_is_whole_is_an_error_at_once(self) -> None:
        upstream = self.upstream()
        client = await self.client(self.proxy())
        client.send(HEAD + b"x" * 10)
        await self.until(lambda: upstream.bytes_in > 0)
        upstream.connections[0].write(b"220 mail.example.com ESMTP\r\n\r\n")
        # at once: nobody waits for the rest of the body
        received = await client.until(b"}}")
        head, _, body = received.partition(b"\r\n\r\n")
        self.assertEqual(head.split(b"\r\n")[0], b"HTTP/1.1 502 Bad Gateway")
        self.assertEqual(json.loads(body)["error"]["code"], "upstream_invalid_response")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_the_reason_phrase_of_an_upstream_cannot_begin_another_answer(self) -> None:
        self.upstream().answers(b"HTTP/1.1 200 Fine\rHTTP/1.1 200 Two\x00\r\nContent-Length: 2\r\n\r\n{}")
        status, _, body = await self.ask(self.proxy(), "POST", "/v1/embeddings", b"{}")
        self.assertEqual((status, json.loads(body)["error"]["code"]), (502, "upstream_invalid_response"))

    async def test_an_upstream_s_status_that_no_answer_has_is_an_error(self) -> None:
        upstream = self.upstream()
        port = self.proxy()
        for status in ("1", "1000"):
            upstream.answers(b"HTTP/1.1 %b Said\r\nContent-Length: 2\r\n\r\n{}" % status.encode())
            got, _, body = await self.ask(port, "POST", "/v1/embeddings", b"{}")
            self.assertEqual((got, json.loads(body)["error"]["code"]), (502, "upstream_invalid_response"), status)

    async def test_a_cookie_of_an_upstream_that_is_not_ascii_is_passed_on(self) -> None:
        self.upstream().answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: a\xff=b\xff\r\nContent-Length: 2\r\n\r\n{}")
        got, head, _ = await self.ask(self.proxy(), "POST", "/v1/embeddings", b"{}")
        self.assertEqual(got, 200)
        self.assertIn(b"Set-Cookie: a\xff=b\xff", head)

    async def test_a_method_that_is_no_token_is_refused(self) -> None:
        self.upstream()
        client = await self.client(self.proxy())
        client.send(b"G\xc3\x89T /v1/models HTTP/1.1\r\nHost: proxy\r\n\r\n")
        received = await client.until(b"}}")
        self.assertEqual(received.split(b"\r\n")[0], b"HTTP/1.1 400 Bad Request")

    def test_a_connection_that_is_idle_after_an_answer_is_closed_in_time(self) -> None:
        clock: Any = Clock()
        site = ProxySite(Resource(), "passthrough", reactor=clock, timeout=60)
        channel = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: proxy\r\n\r\n")
        self.assertIn(b"404", transport.value())
        clock.advance(59)
        self.assertFalse(transport.disconnecting)
        clock.advance(1)
        self.assertTrue(transport.disconnecting)
