"""TLS on both sides, with all that is promised of uploads, flow control and `Expect` among it, and how it ends."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path
from typing import Any

import openai
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.relay import UpstreamClient, UpstreamTls
from oaiproxy.settings import Settings
from oaiproxy.web import ProxySite
from tests.faults import test_leaving
from tests.faults.certificates import LOOPBACK, Certified
from tests.process import PATIENCE, Service
from tests.support import RawClient, http_answer
from tests.web import test_uploads, test_websockets
from tests.web.test_uploads import DONE, MEGABYTE, Pieces, SendingClient, Taking, UploadTestCase

AUTHORITY = Certified("Test authority", authority=True)
SERVER = Certified(*LOOPBACK, issuer=AUTHORITY)


def endpoint(folder: Path) -> str:
    """A port that serves TLS, as the command line has it; its files are put into `folder`."""
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "cert.pem"
    key.write_bytes(SERVER.key)
    certificate.write_bytes(SERVER.certificate)
    return f"ssl:0:privateKey={key.resolve()}:certKey={certificate.resolve()}:interface=127.0.0.1"


class TlsTestCase(UploadTestCase):
    """TLS between the client and the proxy, and between the proxy and its upstream.

    @ivar trusted: signs the upstream's certificate, as far as the proxy knows.
    """

    trusted = AUTHORITY

    def listen(self, factory: Factory) -> int:
        ports: list[Any] = []
        server = (
            serverFromString(reactor, endpoint(Path(self.mktemp())))
            if isinstance(factory, ProxySite)
            else SSL4ServerEndpoint(reactor, 0, SERVER.options(), interface="127.0.0.1")
        )
        server.listen(factory).addCallback(ports.append)
        self.addCleanup(lambda: ports[0].stopListening())
        number: int = ports[0].getHost().port
        return number

    def upstream_client(
        self, settings: Settings | None = None, port: int | None = None, retries: int = 0, clock: Any = reactor
    ) -> UpstreamClient:
        url = f"https://localhost:{port or self.upstream_port}/v1"
        tls = UpstreamTls([self.trusted.x509])
        client = UpstreamClient(clock, url, (settings or Settings()).timeouts, None, tls)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    async def client(self, port: int) -> RawClient:
        client = SendingClient()
        options = optionsForClientTLS("localhost", trustRootFromCertificates([Certificate(AUTHORITY.x509)]))
        await connectProtocol(wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", port)), client)
        self.addCleanup(self._let_go, [client])
        return client


class TlsStreamTests(TlsTestCase, test_uploads.StreamTests):
    """An upload streams, whole, and at the pace of who takes it."""

    async def test_an_upstream_that_stops_twice(self) -> None:
        upstream = self.taking()
        upstream.begun = lambda connection: connection.transport.pauseProducing()
        client = await self.begins(self.proxy(), 64 * len(MEGABYTE))
        pieces = Pieces(client, MEGABYTE, 64)
        await self.held_back(upstream)
        (connection,) = upstream.connections
        self.assertLess(pieces.sent, 40)

        def took(connection: Taking) -> None:
            if connection.taken == 64 * len(MEGABYTE):
                connection.transport.write(DONE)  # type: ignore[union-attr]
            elif connection.taken > 8 * len(MEGABYTE) and not stopped:
                stopped.append(connection.taken)
                connection.transport.pauseProducing()  # type: ignore[union-attr]

        stopped: list[int] = []
        upstream.took = took
        connection.transport.resumeProducing()  # type: ignore[union-attr]
        await self.until(lambda: stopped)
        await self.held_back(upstream)
        self.assertLess(pieces.sent, 50)
        connection.transport.resumeProducing()  # type: ignore[union-attr]
        await client.until(b"file-1")
        self.assertEqual(connection.digest.digest(), hashlib.sha256(64 * MEGABYTE).digest())


class TlsContinueTests(TlsTestCase, test_uploads.ContinueTests):
    """The client is told to go on when there is a secure connection to the upstream."""

    async def test_not_before_the_upstream_s_certificate_is_verified(self) -> None:
        self.trusted = Certified("Another authority", authority=True)
        upstream = self.upstream()
        client = await self.begins(self.proxy(), len(MEGABYTE), "Expect: 100-continue")
        received = await client.until(b"}}")
        self.assertTrue(received.startswith(b"HTTP/1.1 502 "), received)
        self.assertNotIn(b"100 Continue", received)
        self.assertEqual(upstream.requests, [])


class TlsEndTests(TlsTestCase, test_uploads.EndTests):
    """Uploads that do not come to their end."""


class TlsWebSocketTests(TlsTestCase, test_websockets.RelayTests):
    """A WebSocket over TLS on both sides: what is said arrives ..."""


class TlsWebSocketFlowTests(TlsTestCase, test_websockets.FlowTests):
    """... at the pace of who takes it."""


class TlsWebSocketEndTests(TlsTestCase, test_websockets.EndTests):
    """... and ends."""


class TlsHeldBackTests(TlsTestCase, test_leaving.HeldBackTests):
    """A client that leaves while nothing is read from it; as most clients, it waits for no answer to the end of TLS."""

    ways = (
        lambda client: client.transport.transport.loseConnection(),
        lambda client: client.transport.abortConnection(),
    )

    def spoken(self, factory: Factory) -> Any:
        return TLSMemoryBIOFactory(SERVER.options(), False, factory, reactor)


class TlsEarlyTests(TlsTestCase, test_uploads.EarlyTests):
    """An answer before the body is complete."""


class TlsCloseTests(TlsTestCase):
    """RFC 8446 section 6.1: who says the end of TLS need not wait for the other side to say it."""

    async def deaf(self) -> RawClient:
        """A client that has an answer, and then neither reads nor says anything."""
        client = await self.client(self.proxy())
        client.get("/v1/models")
        await client.until(b'"object":"list"')
        client.transport.pauseProducing()  # type: ignore[union-attr]
        return client

    async def test_an_idle_client_does_not_hold_up_the_end_of_the_service(self) -> None:
        self.upstream()
        client = await self.deaf()
        self.site.connections.drain()
        await self.until(lambda: not len(self.site.connections))
        self.assertFalse(client.closed.called)

    async def test_the_last_answer_arrives_whole(self) -> None:
        upstream = self.upstream()
        answer = http_answer(MEGABYTE * 8, "200 OK")
        upstream.answers(answer)
        client = await self.deaf()
        client.get("/v1/files/f/content", "Connection: close")
        await self.until(lambda: upstream.requests)
        await self.turns(50)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await client.closed
        self.assertTrue(client.received.endswith(b"\r\n\r\n" + MEGABYTE * 8))


class ServiceTests(SynchronousTestCase):
    def test_a_file_goes_through_two_services(self) -> None:
        folder = Path(self.mktemp())
        where = endpoint(folder)
        authority = folder / "ca.pem"
        authority.write_bytes(AUTHORITY.certificate)
        far = Service("--upstream=demo", "--passthrough", where)
        self.addCleanup(far.stop)
        near = Service(f"--upstream={far.passthrough}", f"--upstream-ca={authority}", "--passthrough", where)
        self.addCleanup(near.stop)
        http = openai.DefaultHttpxClient(trust_env=False, verify=ssl.create_default_context(cafile=str(authority)))
        client = openai.OpenAI(
            base_url=near.passthrough, api_key="sk-x", max_retries=0, timeout=PATIENCE, http_client=http
        )
        self.addCleanup(client.close)
        content = os.urandom(5_000_000)
        file = client.files.create(file=("f.bin", content), purpose="user_data")
        self.assertEqual(file.bytes, len(content))
        self.assertEqual((file.model_extra or {})["sha256"], hashlib.sha256(content).hexdigest())
        for service in (near, far):
            service.stop()
            self.assertNotIn("Traceback", service.output)
            self.assertNotIn("Unhandled", service.output)
