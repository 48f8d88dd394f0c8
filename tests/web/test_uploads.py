"""Uploads that nobody has to read: they stream, at the pace of who takes them, and end as they should."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IExchangeObserver
from oaiproxy.settings import Access, AuthMode, Limits, Settings, Timeouts
from oaiproxy.web import ProxySite
from oaiproxy.web.incoming import SMALL
from tests.support import ClockedReactor, RawClient, SocketTestCase, http_answer

FORM = "Content-Type: multipart/form-data; boundary=b"
DONE = http_answer(b'{"id": "file-1"}', "200 OK", "Content-Type: application/json")
MEGABYTE = bytes(range(256)) * 4096


class Taking(Protocol):
    """An upstream's connection that takes what comes, and does what the test says."""

    factory: TakingUpstream

    def __init__(self) -> None:
        self.head = b""
        self.taken = 0
        self.digest = hashlib.sha256()
        self.tail = b""
        self.lost: Deferred[BaseException] = Deferred()

    def connectionMade(self) -> None:
        self.factory.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        if b"\r\n\r\n" not in self.head:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return
            self.head, data = self.head[: self.head.index(b"\r\n\r\n") + 4], self.head.partition(b"\r\n\r\n")[2]
            self.factory.begun(self)
        self.taken += len(data)
        self.digest.update(data)
        self.tail = (self.tail + data)[-16:]
        self.factory.took(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.value)


class TakingUpstream(Factory):
    """Takes requests as they come.

    @ivar begun: called when the head of a request has come.
    @ivar took: called when a piece of its body was taken.
    """

    protocol = Taking
    noisy = False

    def __init__(self) -> None:
        self.connections: list[Taking] = []
        self.begun: Callable[[Taking], object] = lambda connection: None
        self.took: Callable[[Taking], object] = lambda connection: None


@implementer(IPushProducer)
class Pieces:
    """Sends the same piece again and again, as fast as it is taken.

    @ivar sent: how often.
    """

    def __init__(self, client: RawClient, piece: bytes, count: int) -> None:
        self.sent = 0
        self._client = client
        self._piece = piece
        self._count = count
        self._paused = False
        client.transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while self.sent < self._count and not self._paused:
            self.sent += 1
            self._client.send(self._piece)
        if self.sent == self._count and not self._paused:
            self._paused = True
            self._client.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._paused = True


@implementer(IHalfCloseableProtocol)
class SendingClient(RawClient):
    """A client that goes on sending when there is nothing more to read."""

    def readConnectionLost(self) -> None:
        """Nothing more to read."""

    def writeConnectionLost(self) -> None:
        """It never stops by itself."""


class UploadTestCase(SocketTestCase):
    def proxy(self, *args: Any, **kwargs: Any) -> int:
        port = super().proxy(*args, **kwargs)
        self.addCleanup(self._close, self.site)
        return port

    async def _close(self, site: ProxySite) -> None:
        site.connections.abort()
        await site.connections.gone()

    async def client(self, port: int) -> RawClient:
        client = SendingClient()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
        self.addCleanup(self._let_go, [client])
        return client

    def taking(self) -> TakingUpstream:
        upstream = TakingUpstream()
        self.upstream_port = self.listen(upstream)
        self.addCleanup(self._end, upstream)
        return upstream

    async def _end(self, upstream: TakingUpstream) -> None:
        for connection in upstream.connections:
            if not connection.lost.called:
                connection.transport.abortConnection()
                await connection.lost

    async def held_back(self, upstream: TakingUpstream) -> None:
        """Wait until the proxy has stopped to read from its client, as its upstream takes nothing."""
        await self.until(lambda: upstream.connections and upstream.connections[0].head)
        still = 0
        while still < 100:
            await self.turns()
            still = still + 1 if any(not channel.reading for channel in self.site.connections) else 0

    async def begins(self, port: int, length: int, *fields: str, path: str = "/v1/files") -> RawClient:
        """A client that has sent the head of an upload."""
        client = await self.client(port)
        head = [f"POST {path} HTTP/1.1", "Host: proxy", FORM, f"Content-Length: {length}", *fields]
        client.send("\r\n".join(head).encode() + b"\r\n\r\n")
        return client


class StreamTests(UploadTestCase):
    async def test_it_arrives_while_it_is_sent(self) -> None:
        upstream = self.taking()
        client = await self.begins(self.proxy(), 2 * len(MEGABYTE))
        client.send(MEGABYTE)
        await self.until(lambda: upstream.connections and upstream.connections[0].taken == len(MEGABYTE))
        upstream.took = lambda c: c.transport.write(DONE) if c.taken == 2 * len(MEGABYTE) else None
        client.send(MEGABYTE)
        received = await client.until(b"file-1")
        self.assertTrue(received.startswith(b"HTTP/1.1 200 OK\r\n"))
        connection = upstream.connections[0]
        self.assertIn(b"\r\nContent-Length: 2097152\r\n", connection.head)
        self.assertEqual(connection.digest.digest(), hashlib.sha256(2 * MEGABYTE).digest())

    async def test_one_of_unknown_length_goes_on_in_chunks(self) -> None:
        upstream = self.upstream()
        upstream.answers(DONE)
        client = await self.client(self.proxy())
        client.send(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for size in (1, 100_000, 3):
            client.send(b"%x\r\n%b\r\n" % (size, b"a" * size))
        client.send(b"0\r\nX-Trailer: is left out\r\n\r\n")
        await client.until(b"file-1")
        (request,) = upstream.requests
        self.assertEqual((request.field("transfer-encoding"), request.field("content-length")), ("chunked", None))
        self.assertEqual(request.body, b"a" * 100_004)

    async def test_both_kinds_of_port_and_every_path_that_nobody_reads(self) -> None:
        for kind in PortKind:
            upstream = self.taking()
            upstream.took = lambda c: c.transport.write(DONE) if c.taken == len(MEGABYTE) else None
            port = self.proxy(kind)
            for path in ("/v1/files", "/v1/images/edits", "/v1/audio/translations", "/v1/uploads/u/parts"):
                client = await self.begins(port, len(MEGABYTE), path=path)
                client.send(MEGABYTE)
                await client.until(b"file-1")
                self.assertIn(b"POST " + path.encode() + b" HTTP/1.1", upstream.connections[-1].head)

    async def test_the_connection_serves_more_requests_after_one(self) -> None:
        upstream = self.upstream()
        upstream.answers(DONE)
        client = await self.begins(self.proxy(), len(MEGABYTE))
        client.send(MEGABYTE)
        await client.until(b"file-1")
        client.get("/v1/files/file-1")
        await client.until(lambda data: data.count(b"file-1") == 2)
        self.assertEqual([r.line.split()[0] for r in upstream.requests], ["POST", "GET"])

    async def test_64_megabytes_through_an_upstream_that_stops(self) -> None:
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.pauseProducing()
        client = await self.begins(self.proxy(), 64 * len(MEGABYTE))
        pieces = Pieces(client, MEGABYTE, 64)
        await self.held_back(upstream)
        # the rest is what the kernel holds on both ways
        self.assertLess(pieces.sent, 40)
        upstream.took = lambda c: c.transport.write(DONE) if c.taken == 64 * len(MEGABYTE) else None
        upstream.connections[0].transport.resumeProducing()
        await client.until(b"file-1")
        digest = hashlib.sha256()
        for _ in range(64):
            digest.update(MEGABYTE)
        self.assertEqual(upstream.connections[0].digest.digest(), digest.digest())

    async def test_the_traffic_log_has_no_body(self) -> None:
        records: list[Any] = []

        @implementer(IExchangeObserver)
        class Observer:
            def observe(self, record: Any) -> None:
                records.append(record)

        upstream = self.upstream()
        upstream.answers(DONE)
        client = await self.begins(self.proxy(observers=(Observer(),)), len(MEGABYTE))
        client.send(MEGABYTE)
        await client.until(b"file-1")
        found = {record["direction"]: record["payload"] for record in records}
        self.assertNotIn("body", found["downstream-request"])
        self.assertNotIn("body", found["upstream-request"])


class ContinueTests(UploadTestCase):
    """RFC 9110 section 10.1.1."""

    async def test_it_is_said_when_the_upstream_is_there(self) -> None:
        upstream = self.upstream()
        upstream.answers(DONE)
        client = await self.begins(self.proxy(), len(MEGABYTE), "Expect: 100-continue")
        await client.until(b"\r\n\r\n")
        self.assertEqual(client.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(len(upstream.connections), 1)
        client.send(MEGABYTE)
        await client.until(b"file-1")
        self.assertIsNone(upstream.requests[0].field("expect"))

    async def test_not_to_a_client_that_has_begun_to_send(self) -> None:
        upstream = self.upstream()
        upstream.answers(DONE)
        client = await self.client(self.proxy())
        head = f"POST /v1/files HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {len(MEGABYTE)}\r\n\r\n"
        client.send(head.encode() + MEGABYTE)
        await client.until(b"file-1")
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 OK\r\n"))

    async def test_what_is_refused_is_answered_without_it(self) -> None:
        keys = Access(AuthMode.REPLACE, (Secret("proxy-key"),), Secret("sk-up"))
        cases = [
            (Settings(access=keys), "/v1/files", 401, len(MEGABYTE)),
            (Settings(limits=Limits(upload=1000)), "/v1/files", 413, SMALL + 1),
            (Settings(limits=Limits(json_body=1000)), "/v1/chat/completions", 413, 1001),
            (Settings(), "/files", 404, len(MEGABYTE)),
        ]
        self.upstream()
        for settings, path, status, length in cases:
            port = self.proxy(settings=settings)
            client = await self.begins(port, length, "Expect: 100-continue", path=path)
            received = await client.until(b"}}")
            self.assertTrue(received.startswith(f"HTTP/1.1 {status} ".encode()), (path, received))
            self.assertIn(b"\r\nConnection: close\r\n", received)
            client.transport.loseConnection()
            await client.closed

    async def test_nor_where_there_is_no_upstream(self) -> None:
        port = self.proxy(upstream_port=1)  # which nobody listens on
        client = await self.begins(port, len(MEGABYTE), "Expect: 100-continue")
        received = await client.until(b"}}")
        self.assertTrue(received.startswith(b"HTTP/1.1 502 "), received)

    async def test_a_body_that_has_to_be_read_is_asked_for(self) -> None:
        upstream = self.upstream()
        body = b'{"model": "m", "messages": []}'
        client = await self.begins(self.proxy(), len(body), "Expect: 100-continue", path="/v1/chat/completions")
        await client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(body)
        await client.until(b"{}")
        self.assertEqual(upstream.requests[0].body, body)


class EarlyTests(UploadTestCase):
    """An answer before the body is complete."""

    TOO_LARGE = http_answer(b'{"error": "too large"}', "413 Content Too Large", "Content-Type: application/json")

    async def test_it_reaches_the_client_that_still_sends(self) -> None:
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.write(self.TOO_LARGE)
        client = await self.begins(self.proxy(), 64 * len(MEGABYTE))
        pieces = Pieces(client, MEGABYTE, 64)
        received = await client.until(b"too large")
        self.assertTrue(received.startswith(b"HTTP/1.1 413 Content Too Large\r\n"))
        self.assertIn(b"\r\nConnection: close\r\n", received)
        # what it still sends is read, so that its answer is not lost
        await self.until(lambda: pieces.sent == 64)
        await upstream.connections[0].lost
        self.assertLess(upstream.connections[0].taken, 64 * len(MEGABYTE))

    async def test_one_whose_body_takes_its_time(self) -> None:
        upstream = self.taking()
        head, body = self.TOO_LARGE[:-10], self.TOO_LARGE[-10:]
        upstream.begun = lambda connection: connection.transport.write(head)
        client = await self.begins(self.proxy(), len(MEGABYTE))
        client.send(MEGABYTE[:1000])
        await client.until(b"413 Content Too Large")
        upstream.connections[0].transport.write(body)
        received = await client.until(b"too large")
        self.assertIn(b"\r\nConnection: close\r\n", received)
        await upstream.connections[0].lost

    async def test_a_client_that_reads_it_and_closes_is_let_go(self) -> None:
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.write(self.TOO_LARGE)
        client = await self.begins(self.proxy(), len(MEGABYTE))
        await client.until(b"too large")
        client.transport.loseConnection()
        await client.closed
        await self.until(lambda: not len(self.site.connections))


class LingeringTests(UploadTestCase):
    """A client that sends on when it has its answer."""

    async def test_one_that_goes_on_for_ever_is_not_read_for_ever(self) -> None:
        clock = ClockedReactor()
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.write(EarlyTests.TOO_LARGE)
        # a plain socket: Twisted's own ends with what it reads
        with socket.create_connection(("127.0.0.1", self.proxy(clock=clock))) as client:
            client.setblocking(False)
            client.send(b"POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n")
            await self.until(lambda: [c for c in self.site.connections if c._lingering])
            (channel,) = self.site.connections
            for _ in range(6):
                self.assertEqual(len(self.site.connections), 1)
                client.send(b"a" * 1000)
                await self.until(lambda: channel._moved)
                clock.advance(5)
            await self.until(lambda: not len(self.site.connections))
            self.assertIn(b"too large", client.recv(10000))


class EndTests(UploadTestCase):
    async def test_an_upstream_that_dies_in_the_middle_is_a_502(self) -> None:
        for end in ("loseConnection", "abortConnection"):
            upstream = self.taking()
            client = await self.begins(self.proxy(retries=2), 64 * len(MEGABYTE))
            client.send(MEGABYTE)
            connections = upstream.connections
            await self.until(lambda connections=connections: connections and connections[0].taken)
            getattr(connections[0].transport, end)()
            await upstream.connections[0].lost
            Pieces(client, MEGABYTE, 63)
            received = await client.until(b"}}")
            self.assertTrue(received.startswith(b"HTTP/1.1 502 Bad Gateway\r\n"), received)
            self.assertEqual(json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"], "upstream_unreachable")
            self.assertEqual(len(upstream.connections), 1)

    async def test_a_client_that_leaves_ends_the_upstream_s_request(self) -> None:
        upstream = self.taking()
        client = await self.begins(self.proxy(), len(MEGABYTE))
        client.send(MEGABYTE[:1000])
        await self.until(lambda: upstream.connections and upstream.connections[0].taken == 1000)
        client.transport.loseConnection()
        await upstream.connections[0].lost
        await client.closed

    async def test_a_damaged_body_never_ends_upstream(self) -> None:
        upstream = self.taking()
        client = await self.client(self.proxy())
        client.send(b"POST /v1/files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await self.until(lambda: upstream.connections and upstream.connections[0].taken)
        client.send(b"5\r\nhello0\r\n\r\n")
        received = await client.until(b"}}")
        self.assertTrue(received.startswith(b"HTTP/1.1 400 Bad Request\r\n"), received)
        self.assertIn(b"invalid_http_body", received)
        await upstream.connections[0].lost
        self.assertFalse(upstream.connections[0].tail.endswith(b"0\r\n\r\n"))

    async def test_one_that_grows_over_the_limit(self) -> None:
        upstream = self.taking()
        client = await self.client(self.proxy(settings=Settings(limits=Limits(upload=1000))))
        client.send(b"POST /v1/files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3e8\r\n%b\r\n" % (b"a" * 1000))
        await self.until(lambda: upstream.connections and upstream.connections[0].taken)
        client.send(b"1\r\na\r\n")
        received = await client.until(b"}}")
        self.assertTrue(received.startswith(b"HTTP/1.1 413 "), received)
        await upstream.connections[0].lost

    async def test_an_upstream_that_takes_nothing_more_is_a_504(self) -> None:
        clock = ClockedReactor()
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.pauseProducing()
        client = await self.begins(self.proxy(settings=Settings(timeouts=Timeouts(idle=60)), clock=clock), 10**12)
        Pieces(client, MEGABYTE, 1000)
        await self.held_back(upstream)
        clock.advance(59)
        await self.turns(5)
        self.assertEqual(client.received, b"")
        clock.advance(1)
        received = await client.until(b"}}")
        self.assertTrue(received.startswith(b"HTTP/1.1 504 "), received)
        upstream.connections[0].transport.resumeProducing()
        await upstream.connections[0].lost

    async def test_a_client_that_sends_nothing_more_is_a_408(self) -> None:
        clock = ClockedReactor()
        upstream = self.taking()
        client = await self.begins(self.proxy(clock=clock), 10**12)
        client.send(MEGABYTE)
        await self.until(lambda: upstream.connections and upstream.connections[0].taken == len(MEGABYTE))
        for _ in range(60):
            clock.advance(1)
        received = await client.until(b"}}")
        self.assertTrue(received.startswith(b"HTTP/1.1 408 "), received)
        await upstream.connections[0].lost
