"""The bytes of answers: their heads, and how the ends of their bodies are told; and what is left of a connection."""

from __future__ import annotations

import gc
import re
import weakref
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from oaiproxy.web.respond import date, write_body, write_head
from oaiproxy.web.site import ProxyRequest, ProxySite


class _Asked(Resource):
    """Keeps the requests."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[ProxyRequest] = []

    def render(self, request: ProxyRequest) -> int:
        self.requests.append(request)
        return NOT_DONE_YET


class _Transport(StringTransport):
    """Counts how often something is written."""

    writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As sockets have it."""


class AnswerTests(SynchronousTestCase):
    def ask(self, line: bytes = b"GET / HTTP/1.1", *fields: bytes) -> ProxyRequest:
        root = _Asked()
        site = ProxySite(root, "passthrough", reactor=Clock())
        channel: Any = site.buildProtocol(None)
        self.transport = _Transport()
        channel.makeConnection(self.transport)
        channel.dataReceived(b"\r\n".join((line, b"Host: a", *fields, b"", b"")))
        return root.requests[0]

    def said(self) -> bytes:
        """What was sent, its date aside."""
        value: bytes = self.transport.value()
        return re.sub(rb"\r\nDate: [^\r]+ GMT(?=\r\n)", b"\r\nDate: now", value)

    def test_fields_are_sent_as_they_are_given_and_in_their_order(self) -> None:
        fields = [(b"x-request-id", b"1"), (b"date", b"then"), (b"X-A", b"1"), (b"B", b""), (b"x-a", b"2")]
        request = self.ask()
        write_head(request, 429, [*fields, (b"Content-Length", b"0")])
        request.finish()
        self.assertEqual(
            self.said(),
            b"HTTP/1.1 429 Too Many Requests\r\nx-request-id: 1\r\ndate: then\r\nX-A: 1\r\nB: \r\nx-a: 2\r\n"
            b"Content-Length: 0\r\n\r\n",
        )

    def test_a_whole_answer_is_written_at_once(self) -> None:
        write_body(self.ask(), 200, b"{}")
        self.assertEqual(
            self.said(),
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nDate: now\r\n\r\n{}",
        )
        self.assertEqual(self.transport.writes, 1)

    def test_without_a_length_it_comes_in_chunks(self) -> None:
        request = self.ask()
        write_head(request, 200, ())
        request.write(b"")
        self.assertEqual(self.said(), b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.transport.clear()
        request.write(b"eleven bytes"[:11])
        request.write(b"")
        request.finish()
        self.assertEqual(self.said(), b"b\r\neleven byte\r\n0\r\n\r\n")
        self.assertEqual((request.sentLength, request.delimited), (11, True))

    def test_to_http_1_0_the_end_of_the_connection_is_its_end(self) -> None:
        request = self.ask(b"GET / HTTP/1.0")
        write_head(request, 200, ())
        request.write(b"one")
        self.assertFalse(request.delimited)
        request.finish()
        self.assertEqual(self.said(), b"HTTP/1.0 200 OK\r\nDate: now\r\n\r\none")
        self.assertTrue(self.transport.disconnecting)

    def test_there_is_no_body_where_there_can_be_none(self) -> None:
        for line, status in ((b"HEAD / HTTP/1.1", 200), (b"GET / HTTP/1.1", 204), (b"GET / HTTP/1.1", 304)):
            request = self.ask(line)
            write_head(request, status, ())
            request.write(b"none")
            request.finish()
            head, end, body = self.said().partition(b"\r\n\r\n")
            self.assertEqual((end, body, request.sentLength), (b"\r\n\r\n", b"", 0))
            self.assertNotIn(b"Transfer-Encoding", head)

    def test_the_last_answer_of_a_connection_says_so(self) -> None:
        write_body(self.ask(b"GET / HTTP/1.1", b"Connection: close"), 200, b"{}")
        self.assertIn(b"\r\nConnection: close\r\n", self.said())

    def test_a_line_end_in_a_value_does_not_end_its_field(self) -> None:
        for value in (b"1\r\nSet-Cookie: a=b", b"1\nSet-Cookie: a=b", b"1\rSet-Cookie: a=b"):
            request = self.ask()
            write_body(request, 200, b"{}", [(b"Retry-After", value)])
            head = self.said().partition(b"\r\n\r\n")[0]
            self.assertEqual(len(re.split(rb"[\r\n]+", head)), 5, head)
            self.assertIn(b"\r\nRetry-After: 1 ", head)

    def test_fields_that_are_set_by_twisted_s_names_go_with_them(self) -> None:
        request = self.ask()
        request.setHeader(b"x-own", b"1")
        write_body(request, 200, b"{}")
        self.assertIn(b"\r\nX-Own: 1\r\n", self.said())

    def test_the_request_s_fields_can_be_asked_for_by_any_name(self) -> None:
        request = self.ask(b"GET / HTTP/1.1", b"x-A: 1", b"X-a: 2")
        self.assertEqual(
            (request.getHeader(b"X-A"), request.getHeader("x-a"), request.getHeader(b"x-b")), (b"2", "2", None)
        )
        self.assertEqual(request.requestHeaders.getRawHeaders(b"x-a"), [b"1", b"2"])


class EndTests(SynchronousTestCase):
    def test_a_connection_that_ended_is_gone_at_once(self) -> None:
        self.ends_after(b"GET / HTTP/1.1\r\n")

    def test_so_is_one_whose_client_waited_for_its_answer(self) -> None:
        self.ends_after(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")

    def test_so_is_one_whose_client_was_in_the_middle_of_its_body(self) -> None:
        self.ends_after(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")

    def ends_after(self, sent: bytes) -> None:
        asked = _Asked()
        site = ProxySite(asked, "passthrough", reactor=Clock())
        channel: Any = site.buildProtocol(None)
        transport = _Transport()
        channel.makeConnection(transport)
        channel.dataReceived(sent)
        asked.requests.clear()
        gone = weakref.ref(channel)
        gc.disable()
        self.addCleanup(gc.enable)
        # as sockets have it
        transport.unregisterProducer()
        channel.connectionLost(Failure(ConnectionDone()))
        del channel
        self.assertIsNone(gone())


class DateTests(SynchronousTestCase):
    def test_it_is_in_the_form_of_http(self) -> None:
        self.assertEqual(date(784111777), b"Sun, 06 Nov 1994 08:49:37 GMT")

    def test_it_goes_on_with_the_second(self) -> None:
        said = [date(784111777 + passed) for passed in (0, 0.999, 1, 0.5)]
        self.assertEqual([each[-6:-4] for each in said], [b"37", b"37", b"38", b"37"])
