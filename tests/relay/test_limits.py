"""The time limits of each stage before an answer: what they count, and what is said when they are exceeded."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL.crypto import X509, PKey
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS

from oaiproxy.api.errors import ApiError, UpstreamTimeout, UpstreamUnreachable
from oaiproxy.relay import BytesBody, RequestBody, Retry, UpstreamAnswer, UpstreamClient
from oaiproxy.relay.connections import Connection
from oaiproxy.settings import Timeouts
from tests.relay.test_client import HOST, whole
from tests.support import ClockedReactor, ScriptedUpstream, SocketTestCase, http_answer

LIMITS = Timeouts(connect=10, first_byte=600, idle=60)


class _Silent(Protocol):
    """Accepts and never speaks."""

    factory: _SilentFactory

    def connectionMade(self) -> None:
        self.lost: Deferred[None] = Deferred()
        self.factory.connections.append(self)

    def connectionLost(self, reason: object = None) -> None:
        self.lost.callback(None)


class _SilentFactory(Factory):
    protocol = _Silent
    noisy = False

    def __init__(self) -> None:
        self.connections: list[_Silent] = []


class LimitTestCase(SocketTestCase):
    def setUp(self) -> None:
        self.clock = ClockedReactor()

    def to(
        self, url: str, body: RequestBody | None = None, limits: Timeouts = LIMITS, **kwargs: Any
    ) -> Deferred[UpstreamAnswer]:
        """A request to an upstream."""
        self.upstream_client_ = client = UpstreamClient(self.clock, url, limits, **kwargs)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        sending: Coroutine[Any, Any, UpstreamAnswer] = client.send(
            b"POST", b"/x", [HOST, (b"Authorization", b"Bearer sk-secret")], body or BytesBody(b"{}")
        )
        return Deferred.fromCoroutine(sending)

    def error(self, sending: Deferred[UpstreamAnswer]) -> ApiError:
        """What it failed with; then nothing is left of it."""
        error: ApiError = self.failureResultOf(sending, ApiError).value
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn("sk-secret", error.message)
        return error


class ConnectLimitTests(LimitTestCase):
    def assert_connect_timeout(self, sending: Deferred[UpstreamAnswer], message: str) -> None:
        self.clock.advance(9.9)
        self.assertNoResult(sending)
        self.clock.advance(0.1)
        error = self.error(sending)
        self.assertIsInstance(error, UpstreamTimeout)
        self.assertEqual((error.status, error.code), (504, "upstream_connect_timeout"))
        self.assertEqual(error.message, message)

    async def test_a_name_that_is_not_resolved_in_time(self) -> None:
        asked: list[str] = []

        class Resolver:
            def resolveHostName(self, receiver: object, name: str, portNumber: int) -> None:
                asked.append(name)

        self.clock.nameResolver = Resolver()
        sending = self.to("http://models.example:8000/v1")
        self.assertEqual(asked, ["models.example"])
        self.assert_connect_timeout(sending, "The upstream models.example:8000 could not be connected to within 10 s.")

    async def test_a_connection_that_is_not_made_in_time(self) -> None:
        tried: list[tuple[object, ...]] = []

        class Connector:
            def stopConnecting(self) -> None:
                """It has not begun."""

            def getDestination(self) -> None:
                """It has none."""

        def connect(host: str, port: int, factory: Any, **kwargs: object) -> Connector:
            tried.append((host, port))
            connector = Connector()
            factory.startedConnecting(connector)
            return connector

        self.clock.connectTCP = connect
        sending = self.to("http://127.0.0.1:8000/v1")
        await self.until(lambda: tried)
        self.assert_connect_timeout(sending, "The upstream 127.0.0.1:8000 could not be connected to within 10 s.")

    async def test_a_tls_handshake_that_stalls(self) -> None:
        silent = _SilentFactory()
        port = self.listen(silent)
        sending = self.to(f"https://127.0.0.1:{port}/v1")
        await self.until(lambda: silent.connections)
        self.assert_connect_timeout(
            sending,
            f"The upstream 127.0.0.1:{port} could not be connected to within 10 s (the TLS handshake did not end).",
        )
        await silent.connections[0].lost

    async def test_a_tls_handshake_that_is_broken_off_is_a_502(self) -> None:
        silent = _SilentFactory()
        port = self.listen(silent)
        sending = self.to(f"https://127.0.0.1:{port}/v1")
        await self.until(lambda: silent.connections)
        silent.connections[0].transport.abortConnection()
        await self.until(lambda: sending.called)
        error = self.error(sending)
        self.assertIsInstance(error, UpstreamUnreachable)
        self.assertEqual(error.message, f"The upstream 127.0.0.1:{port} closed the connection in the TLS handshake.")

    async def test_who_leaves_while_tls_is_made_takes_the_connection_along(self) -> None:
        silent = _SilentFactory()
        sending = self.to(f"https://127.0.0.1:{self.listen(silent)}/v1")
        await self.until(lambda: silent.connections)
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        await silent.connections[0].lost
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_who_leaves_while_a_name_is_resolved_is_not_told_of_it(self) -> None:
        class Resolver:
            def resolveHostName(self, receiver: object, name: str, portNumber: int) -> None:
                """It never answers."""

        self.clock.nameResolver = Resolver()
        sending = self.to("http://models.example:8000/v1")
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TlsTests(LimitTestCase):
    """A server whose certificate is trusted."""

    def serve(self, name: str) -> int:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(IPv4Address("127.0.0.1"))])
        if name != "localhost":
            names = x509.SubjectAlternativeName([x509.DNSName(name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA256())
        )
        options = CertificateOptions(PKey.from_cryptography_key(key), X509.from_cryptography(certificate))
        self.scripted = ScriptedUpstream()
        listening: list[Any] = []
        SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1").listen(self.scripted).addCallback(
            listening.append
        )
        self.addCleanup(lambda: listening[0].stopListening())
        self.addCleanup(self._let_go, self.scripted.connections)
        roots = trustRootFromCertificates([Certificate(X509.from_cryptography(certificate))])
        self.policy = BrowserLikePolicyForHTTPS(trustRoot=roots)
        number: int = listening[0].getHost().port
        return number

    async def test_the_answer_comes_over_a_connection_that_is_kept(self) -> None:
        port = self.serve("localhost")
        large = BytesBody(b"x" * 300_000)
        for body in (BytesBody(b"{}"), large):
            sending = self.to(f"https://127.0.0.1:{port}/v1", body, tls=self.policy)
            self.assertEqual(await whole(await sending), b"{}")
        client = self.upstream_client_
        for _ in range(2):
            answer = await client.send(b"POST", b"/x", [HOST], large)
            self.assertEqual(await whole(answer), b"{}")
        self.assertEqual([request.body for request in self.scripted.requests[1:]], [large.data] * 3)
        self.assertEqual(len(self.scripted.connections), 2)

    async def test_nothing_is_sent_to_a_server_with_another_s_certificate(self) -> None:
        port = self.serve("elsewhere.example")
        written: list[object] = []
        self.patch(Connection, "send", lambda connection, request, *more, **named: written.append(request))
        sending = self.to(f"https://127.0.0.1:{port}/v1", tls=self.policy)
        await self.until(lambda: sending.called)
        error = self.error(sending)
        self.assertEqual((error.status, error.code), (502, "upstream_unreachable"))
        self.assertIn("its certificate is for another host name", error.message)
        self.assertEqual((self.scripted.requests, written), ([], []))


class FirstByteTests(LimitTestCase):
    async def test_an_upstream_that_does_not_answer(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        sending = self.to(f"http://127.0.0.1:{self.upstream_port}/v1")
        await self.until(lambda: upstream.requests)
        self.clock.advance(599)
        self.assertNoResult(sending)
        self.clock.advance(1)
        error = self.error(sending)
        self.assertEqual((error.status, error.code), (504, "upstream_timeout"))
        self.assertEqual(error.message, f"The upstream 127.0.0.1:{self.upstream_port} did not answer within 600 s.")
        await upstream.connections[0].lost

    async def test_half_a_head_is_no_answer(self) -> None:
        upstream = self.upstream()
        upstream.answers(b"HTTP/1.1 200 OK\r\nContent-")
        sending = self.to(f"http://127.0.0.1:{self.upstream_port}/v1")
        await self.until(lambda: upstream.requests)
        self.clock.advance(600)
        self.assertIn("did not answer within 600 s", self.error(sending).message)

    async def test_an_upload_may_take_as_long_as_it_moves(self) -> None:
        upstream = self.upstream()
        body = BytesBody(b"x" * 20_000_000)
        sending = self.to(f"http://127.0.0.1:{self.upstream_port}/v1", body)
        await self.until(lambda: upstream.connections)
        connection = upstream.connections[0].transport
        for _ in range(20):
            # 59 s between two pieces, 20 min in all
            connection.pauseProducing()
            self.clock.advance(59)
            self.assertNoResult(sending)
            before = upstream.bytes_in
            connection.resumeProducing()
            await self.until(lambda before=before: upstream.bytes_in > before)
        await self.until(lambda: sending.called)
        self.assertEqual(await whole(self.successResultOf(sending)), b"{}")
        self.assertEqual(upstream.requests[0].body, body.data)

    async def test_the_time_for_the_answer_begins_when_the_upload_has_ended(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        sending = self.to(f"http://127.0.0.1:{self.upstream_port}/v1", BytesBody(b"x" * 20_000_000))
        await self.until(lambda: upstream.connections)
        connection = upstream.connections[0].transport
        connection.pauseProducing()
        self.clock.advance(50)
        connection.resumeProducing()
        await self.until(lambda: upstream.requests)
        self.clock.advance(599)
        self.assertNoResult(sending)
        self.clock.advance(1)
        self.assertIn("did not answer within 600 s", self.error(sending).message)

    async def test_a_short_limit_for_the_answer_is_kept_after_a_long_upload(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        limits = Timeouts(first_byte=30, idle=600)
        sending = self.to(f"http://127.0.0.1:{self.upstream_port}/v1", BytesBody(b"x" * 20_000_000), limits)
        await self.until(lambda: upstream.connections)
        upstream.connections[0].transport.pauseProducing()
        self.clock.advance(500)
        upstream.connections[0].transport.resumeProducing()
        await self.until(lambda: upstream.requests)
        self.clock.advance(29)
        self.assertNoResult(sending)
        self.clock.advance(1)
        self.assertIn("did not answer within 30 s", self.error(sending).message)

    async def test_an_upload_that_is_not_taken_is_a_504_of_its_own_and_not_begun_again(self) -> None:
        upstream = self.upstream()
        url = f"http://127.0.0.1:{self.upstream_port}/v1"
        sending = self.to(url, BytesBody(b"x" * 20_000_000), retry=Retry(2))
        await self.until(lambda: upstream.connections)
        upstream.connections[0].transport.pauseProducing()
        # what the kernel takes on the way is taken
        await self.turns(1000)
        self.clock.advance(61)
        error = self.error(sending)
        self.assertEqual((error.status, error.code), (504, "upstream_timeout"))
        self.assertEqual(
            error.message,
            f"The upstream 127.0.0.1:{self.upstream_port} took nothing more of the request for 60 s.",
        )

    async def test_an_answer_before_the_upload_has_ended_is_the_answer(self) -> None:
        upstream = self.upstream()
        sending = self.to(f"http://127.0.0.1:{self.upstream_port}/v1", BytesBody(b"x" * 20_000_000))
        await self.until(lambda: upstream.connections)
        connection = upstream.connections[0]
        connection.transport.pauseProducing()
        connection.write(http_answer(b"too large", "413 Content Too Large"))
        answer = await sending
        self.assertEqual((answer.status, await whole(answer)), (413, b"too large"))
        # the rest of the request is not sent to be thrown away
        connection.transport.resumeProducing()
        await connection.lost
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(upstream.requests, [])
