"""TLS on both sides, with certificates made on the spot: which servers are trusted, and what is said of the others."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import openai
from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.request import PortKind
from oaiproxy.relay import AuthoritiesError, UpstreamClient, UpstreamTls, load_authorities
from oaiproxy.relay.connections import Connection
from oaiproxy.settings import Settings
from tests.faults.certificates import LOOPBACK, Certified
from tests.process import PATIENCE, Service, run, twistd
from tests.support import ScriptedUpstream, SocketTestCase

try:
    import httpx2 as httpx  # what the SDK brings since version 3
except ImportError:
    import httpx  # type: ignore[import-not-found, no-redef, unused-ignore]

#: Signs certificates in these tests.
AUTHORITY = Certified("Test authority", authority=True)
STRANGER = Certified("Another authority", authority=True)


class UpstreamCase(SocketTestCase):
    """An upstream that speaks TLS, behind a proxy that trusts `AUTHORITY`."""

    def setUp(self) -> None:
        super().setUp()
        # a refused handshake must not have let anything through
        self.sent: list[object] = []
        send = Connection.send

        def sending(connection: Connection, request: bytes, *more: Any, **named: Any) -> Any:
            self.sent.append(request)
            return send(connection, request, *more, **named)

        self.patch(Connection, "send", sending)

    def serve(self, options: CertificateOptions) -> None:
        upstream = ScriptedUpstream()
        listening: list[Any] = []
        SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1").listen(upstream).addCallback(listening.append)
        self.addCleanup(lambda: listening[0].stopListening())
        self.addCleanup(self._let_go, upstream.connections)
        self.upstream_port = listening[0].getHost().port

    def upstream_client(
        self, settings: Settings | None = None, port: int | None = None, retries: int = 0, clock: Any = reactor
    ) -> UpstreamClient:
        url = f"https://{self.host}:{self.upstream_port}/v1"
        client = UpstreamClient(clock, url, Settings().timeouts, None, self.tls)
        self.addCleanup(client.close)
        return client

    async def asked(
        self, options: CertificateOptions, host: str = "localhost", tls: UpstreamTls | None = None
    ) -> tuple[int, Any]:
        """Status and answer of a request to an upstream that listens with `options`."""
        self.host, self.tls = host, tls or UpstreamTls([AUTHORITY.x509])
        self.serve(options)
        status, _, body = await self.ask(self.proxy(PortKind.PASSTHROUGH), "GET", "/v1/files")
        return status, json.loads(body)

    async def refused(self, options: CertificateOptions, reason: str, **more: Any) -> None:
        """The client gets a 502 that says why, and the upstream gets nothing."""
        status, answer = await self.asked(options, **more)
        self.assertEqual((status, answer["error"]["code"]), (502, "upstream_unreachable"), answer)
        message = f"No secure connection to the upstream {self.host}:{self.upstream_port}: {reason}"
        self.assertEqual(answer["error"]["message"][: len(message)], message)
        self.assertEqual(self.sent, [])


class TrustTests(UpstreamCase):
    async def test_a_certificate_of_an_authority_that_was_added_is_trusted(self) -> None:
        for host in LOOPBACK:
            self.assertEqual(await self.asked(Certified(*LOOPBACK, issuer=AUTHORITY).options(), host), (200, {}))

    async def test_one_that_an_intermediate_authority_issued_is_trusted(self) -> None:
        between = Certified("Between", issuer=AUTHORITY, authority=True)
        self.assertEqual(
            await self.asked(Certified(*LOOPBACK, issuer=between).options(between)),
            (200, {}),
        )

    async def test_an_intermediate_authority_may_itself_be_what_is_trusted(self) -> None:
        between = Certified("Between", issuer=AUTHORITY, authority=True)
        self.assertEqual(
            await self.asked(Certified(*LOOPBACK, issuer=between).options(), tls=UpstreamTls([between.x509])),
            (200, {}),
        )

    async def test_a_self_signed_certificate_may_itself_be_what_is_trusted(self) -> None:
        own = Certified(*LOOPBACK)
        self.assertEqual(await self.asked(own.options(), tls=UpstreamTls([own.x509])), (200, {}))

    async def test_a_wrong_name_is_refused(self) -> None:
        await self.refused(
            Certified("elsewhere.example", issuer=AUTHORITY).options(), "its certificate is for another host name"
        )

    async def test_a_name_does_for_no_address(self) -> None:
        await self.refused(
            Certified("localhost", issuer=AUTHORITY).options(),
            "its certificate is for another host name",
            host="127.0.0.1",
        )

    async def test_an_expired_one_is_refused(self) -> None:
        await self.refused(
            Certified(*LOOPBACK, issuer=AUTHORITY, days=(-2, -1)).options(), "its certificate has expired"
        )

    async def test_one_of_the_future_is_refused(self) -> None:
        await self.refused(
            Certified(*LOOPBACK, issuer=AUTHORITY, days=(1, 2)).options(), "its certificate is not valid yet"
        )

    async def test_one_whose_authority_has_expired_is_refused(self) -> None:
        old = Certified("Old authority", authority=True, days=(-2, -1))
        await self.refused(
            Certified(*LOOPBACK, issuer=old).options(old),
            "the certificate of its authority has expired",
            tls=UpstreamTls([old.x509]),
        )

    async def test_a_self_signed_one_is_refused(self) -> None:
        await self.refused(
            Certified(*LOOPBACK).options(), "its certificate is self-signed (--upstream-ca FILE adds certificates"
        )

    async def test_one_of_an_unknown_authority_is_refused(self) -> None:
        for chain in ((), (STRANGER,)):
            await self.refused(
                Certified(*LOOPBACK, issuer=STRANGER).options(*chain),
                "its certificate was issued by an authority that is not trusted here",
            )

    async def test_what_an_ordinary_certificate_issued_is_refused(self) -> None:
        ordinary = Certified("ordinary.example", issuer=AUTHORITY)
        await self.refused(Certified(*LOOPBACK, issuer=ordinary).options(ordinary), "its certificate ")

    async def test_added_authorities_count_only_where_they_were_added(self) -> None:
        await self.refused(
            Certified(*LOOPBACK, issuer=AUTHORITY).options(AUTHORITY),
            "its certificate was issued by an authority that is not trusted here",
            tls=UpstreamTls(),
        )

    async def test_a_server_that_is_too_old_for_tls_1_2_is_refused(self) -> None:
        options = Certified(*LOOPBACK, issuer=AUTHORITY).options(
            insecurelyLowerMinimumTo=TLSVersion.TLSv1_0, lowerMaximumSecurityTo=TLSVersion.TLSv1_1
        )
        status, answer = await self.asked(options)
        self.assertEqual(status, 502, answer)
        self.assertIn("TLS 1.2 or newer is spoken here", answer["error"]["message"])
        self.assertEqual(self.sent, [])

    async def test_tls_1_2_is_enough(self) -> None:
        options = Certified(*LOOPBACK, issuer=AUTHORITY).options(lowerMaximumSecurityTo=TLSVersion.TLSv1_2)
        self.assertEqual(await self.asked(options), (200, {}))


class FileTests(SynchronousTestCase):
    def complaint(self, content: bytes | None) -> str:
        path = Path(self.mktemp())
        if content is not None:
            path.write_bytes(content)
        return str(self.assertRaises(AuthoritiesError, load_authorities, path)).replace(str(path), "FILE")

    def test_every_certificate_of_a_file_counts(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"# ours\n" + AUTHORITY.certificate + b"\n# theirs\n" + STRANGER.certificate)
        found = [authority.get_subject().commonName for authority in load_authorities(path)]
        self.assertEqual(found, ["Test authority", "Another authority"])

    def test_what_is_no_such_file_is_said(self) -> None:
        self.assertEqual(self.complaint(None), "FILE cannot be read: No such file or directory")
        said = "FILE is no file of certificates in PEM (BEGIN CERTIFICATE)"
        self.assertEqual(self.complaint(b""), said)
        self.assertEqual(self.complaint(AUTHORITY.key), said)
        self.assertEqual(self.complaint(AUTHORITY.certificate[:200]), said)


class ServiceTests(SynchronousTestCase):
    """Services as processes: one that serves TLS, and one whose upstream that is."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        server = Certified(*LOOPBACK, issuer=AUTHORITY)
        self.authority, key, certificate = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
        self.authority.write_bytes(AUTHORITY.certificate)
        key.write_bytes(server.key)
        certificate.write_bytes(server.certificate)
        self.endpoint = f"ssl:0:privateKey={key.resolve()}:certKey={certificate.resolve()}:interface=127.0.0.1"

    def service(self, *options: str) -> Service:
        service = Service(*options)
        self.addCleanup(service.stop)
        return service

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def client(self, base: str, **more: Any) -> Any:
        http = openai.DefaultHttpxClient(trust_env=False, **more)
        client = openai.OpenAI(base_url=base, api_key="sk-x", max_retries=0, timeout=PATIENCE, http_client=http)
        self.addCleanup(client.close)
        return client

    def said(self, client: Any) -> str:
        chat = client.chat.completions.create
        stream = chat(model="gpt-5.1", messages=[{"role": "user", "content": "Hi"}], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    def test_both_ports_serve_tls_and_an_upstream_behind_it_is_reached(self) -> None:
        far = self.service("--upstream=demo", "--passthrough", self.endpoint, "--bridge", self.endpoint)
        self.assertRegex(far.passthrough, r"\Ahttps://127\.0\.0\.1:\d+/v1\Z")
        self.assertRegex(far.bridge, r"\Ahttps://127\.0\.0\.1:\d+/v1\Z")
        expected = self.said(self.client(far.bridge, verify=self.trusting()))
        self.assertTrue(expected)
        self.assertTrue(self.said(self.client(far.passthrough, verify=self.trusting())))
        with self.assertRaises(openai.APIConnectionError):
            self.said(self.client(far.bridge))
        near = self.service(f"--upstream={far.passthrough}", f"--upstream-ca={self.authority}")
        self.assertEqual(self.said(self.client(near.bridge)), expected)
        self.assertTrue(self.said(self.client(near.passthrough)))
        wary = self.service(f"--upstream={far.passthrough}")
        for base in (wary.bridge, wary.passthrough):
            with self.assertRaisesRegex(openai.APIStatusError, "authority that is not trusted here") as caught:
                self.said(self.client(base))
            self.assertEqual(caught.exception.status_code, 502)
        for service in (far, near, wary):
            service.stop()
            self.assertNotIn("Traceback", service.output)
            self.assertNotIn("Unhandled", service.output)

    def test_tls_below_1_2_is_not_served(self) -> None:
        service = self.service("--upstream=demo", "--passthrough", self.endpoint)
        url = service.passthrough.removesuffix("/v1") + "/health"
        for version, served in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = self.trusting()
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
            with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE) as client:
                if served:
                    self.assertEqual(client.get(url).status_code, 200)
                else:
                    self.assertRaises(httpx.TransportError, client.get, url)

    def test_a_file_without_certificates_stops_the_start(self) -> None:
        found = run(*twistd("--passthrough=0", "--upstream=https://a.example", "--upstream-ca=none.pem"))
        self.assertEqual(found.returncode, 1)
        self.assertIn("oaiproxy: upstream_ca: none.pem cannot be read: No such file or directory", found.stderr)
