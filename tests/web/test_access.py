"""Keys at a port: who comes in, and what upstream sees."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint, connectProtocol

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.models import Catalogue
from oaiproxy.settings import Access, AuthMode, Settings
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext, ProxySite, resource_tree
from tests.support import RawClient, http_answer
from tests.web.asking import Answer, AskingTestCase

CHAT = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}'
OURS = "sk-ours-1234567890"
FIRST, SECOND = "team-key-1234567890", "team-key-0987654321"

LENT = Access(AuthMode.REPLACE, upstream_key=Secret(OURS))
KEYED = replace(LENT, proxy_keys=(Secret(FIRST), Secret(SECOND)))


class AccessTestCase(AskingTestCase):
    def port(self, access: Access, kind: PortKind = PortKind.PASSTHROUGH, **kwargs: Any) -> int:
        self.scripted = self.upstream()
        return self.proxy(kind, Settings(access=access), **kwargs)

    async def sent(self, access: Access, *fields: str) -> dict[str, str]:
        """The header fields that upstream sees."""
        answer = await self.asks(self.port(access), "POST /v1/embeddings", *fields, body=b"{}")
        self.assertEqual(answer.status, 200, answer.body)
        return dict(self.scripted.requests[-1].fields)

    def refused(self, answer: Answer, status: int, code: str) -> None:
        self.assertEqual((answer.status, answer.error["code"]), (status, code))
        self.assertEqual(set(answer.error), {"message", "type", "param", "code"})
        self.assertEqual(self.scripted.requests, [], "nothing of it may reach the upstream")


class AskedTests(AccessTestCase):
    async def test_a_key_is_taken_wherever_clients_put_it(self) -> None:
        port = self.port(KEYED)
        for field in (
            f"Authorization: Bearer {FIRST}",
            f"authorization: bearer  {SECOND} ",
            f"Authorization: {FIRST}",
            f"X-API-KEY: {SECOND}",
            f"x-api-key: Bearer {FIRST}",
            f"api-key: {FIRST}",
        ):
            answer = await self.asks(port, "POST /v1/embeddings", field, body=b"{}")
            self.assertEqual(answer.status, 200, field)

    async def test_without_a_key_it_is_a_401_that_says_what_to_do(self) -> None:
        answer = await self.asks(self.port(KEYED), "POST /v1/embeddings", body=b"{}")
        self.refused(answer, 401, "missing_api_key")
        self.assertEqual(answer.fields["www-authenticate"], "Bearer")
        self.assertEqual(answer.error["type"], "invalid_request_error")
        self.assertIn("Authorization: Bearer KEY", answer.error["message"])
        self.assertIn("X-API-KEY", answer.error["message"])

    async def test_a_wrong_key_is_a_401_that_does_not_repeat_it(self) -> None:
        port = self.port(KEYED)
        for wrong in ("sk-wrong-1234567890", FIRST[:-1], FIRST + "x", FIRST.upper(), OURS):
            for field in (f"Authorization: Bearer {wrong}", f"X-API-KEY: {wrong}"):
                answer = await self.asks(port, "POST /v1/embeddings", field, body=b"{}")
                self.refused(answer, 401, "invalid_api_key")
                self.assertNotIn(wrong.encode(), answer.body)

    async def test_credentials_of_another_kind_are_no_key(self) -> None:
        port = self.port(KEYED)
        for field in ("Authorization: Bearer ", "Authorization: Basic eDp5", "X-API-KEY:", f"Cookie: key={FIRST}"):
            answer = await self.asks(port, "POST /v1/embeddings", field, body=b"{}")
            self.assertEqual(answer.status, 401, field)

    async def test_one_right_key_among_wrong_ones_is_enough(self) -> None:
        fields = ("Authorization: Bearer dummy", f"X-API-KEY: {SECOND}")
        answer = await self.asks(self.port(KEYED), "POST /v1/embeddings", *fields, body=b"{}")
        self.assertEqual(answer.status, 200)

    async def test_every_path_asks_for_one_but_the_health_check(self) -> None:
        for kind in PortKind:
            port = self.port(KEYED, kind)
            for line, status in [
                ("GET /v1/models", 401),
                ("GET /v1/models/gpt-4o", 401),
                ("POST /v1/chat/completions", 401),
                ("POST /v1/responses", 401),
                ("GET /v1/files", 401),
                ("OPTIONS /v1/models", 401),
                ("POST /proxy", 401),
                ("POST /v1/proxy", 401),
                ("GET /", 401),
                ("GET /health", 200),
                ("GET /v1/health", 200),
                ("HEAD /health", 200),
                ("GET /health?upstream=0", 200),
                ("GET /%68ealth", 401),
                ("GET /v1/x/../health", 401),
                ("GET /health/x", 401),
            ]:
                answer = await self.asks(port, line)
                self.assertEqual(answer.status, status, line)
            self.assertEqual(self.scripted.requests, [])

    async def test_the_health_check_may_ask_for_one_too(self) -> None:
        port = self.port(replace(KEYED, open_health=False))
        for path in ("/health", "/v1/health", "/health?upstream=1"):
            self.assertEqual((await self.asks(port, f"GET {path}")).status, 401, path)
        self.assertEqual((await self.asks(port, "GET /health", f"X-API-KEY: {FIRST}")).status, 200)

    async def test_by_default_nobody_is_asked(self) -> None:
        answer = await self.asks(self.port(Access(proxy_keys=(Secret(FIRST),))), "GET /v1/models")
        self.assertEqual(answer.status, 200)


class UpstreamTests(AccessTestCase):
    async def test_upstream_sees_the_proxy_s_key_and_no_other(self) -> None:
        for field in (f"Authorization: Bearer {FIRST}", f"X-API-KEY: {FIRST}", f"api-key: {FIRST}"):
            fields = await self.sent(KEYED, field)
            self.assertEqual(fields["authorization"], f"Bearer {OURS}")
            self.assertNotIn(FIRST, str(fields))

    async def test_the_account_is_the_proxy_s_as_well(self) -> None:
        theirs = ("OpenAI-Organization: org-theirs", "openai-project: proj-theirs")
        fields = await self.sent(
            replace(KEYED, organization="org-ours", project="proj-ours"), f"X-API-KEY: {FIRST}", *theirs
        )
        self.assertEqual((fields["openai-organization"], fields["openai-project"]), ("org-ours", "proj-ours"))
        fields = await self.sent(KEYED, f"X-API-KEY: {FIRST}", *theirs)
        self.assertNotIn("openai-organization", fields)
        self.assertNotIn("openai-project", fields)

    async def test_the_client_cannot_take_the_key_out_by_calling_it_a_matter_of_the_connection(self) -> None:
        fields = await self.sent(KEYED, f"X-API-KEY: {FIRST}", "Connection: authorization, cdn-loop")
        self.assertEqual(fields["authorization"], f"Bearer {OURS}")
        self.assertIn("cdn-loop", fields)

    async def test_a_key_goes_upstream_in_no_field_at_all(self) -> None:
        fields = await self.sent(
            KEYED,
            f"X-API-KEY: {FIRST}",
            f"X-Custom: a, {FIRST}",
            f"Cookie: a=1; key={SECOND}",
            f"X-Auth: Bearer {SECOND}",
            "X-Other: harmless",
        )
        self.assertNotIn("team-key", str(fields))
        self.assertEqual(fields["x-other"], "harmless")

    async def test_a_key_that_is_a_word_takes_nothing_else_with_it(self) -> None:
        access = replace(LENT, proxy_keys=(Secret("one"),))
        fields = await self.sent(access, "X-API-KEY: one", "User-Agent: iphone/1")
        self.assertEqual(fields["user-agent"], "iphone/1")

    async def test_it_is_so_on_the_bridge(self) -> None:
        port = self.port(replace(KEYED, organization="org-ours"), PortKind.BRIDGE)
        self.scripted.answers(http_answer(b"{}", "500 Oops"))
        await self.asks(port, "POST /v1/chat/completions", f"Authorization: Bearer {FIRST}", body=CHAT)
        fields = dict(self.scripted.requests[0].fields)
        self.assertEqual((fields["authorization"], fields["openai-organization"]), (f"Bearer {OURS}", "org-ours"))
        self.assertNotIn(FIRST, str(fields))


class ForwardedTests(AccessTestCase):
    ACCESS = replace(KEYED, forward_header=True, organization="org-ours")

    async def test_the_client_s_own_header_goes_upstream_with_its_account(self) -> None:
        for theirs in ("Bearer sk-theirs", "Basic eDp5"):
            fields = await self.sent(
                self.ACCESS, f"Authorization: {theirs}", f"X-API-KEY: {FIRST}", "OpenAI-Project: proj-theirs"
            )
            self.assertEqual(fields["authorization"], theirs)
            self.assertEqual(fields["openai-project"], "proj-theirs")
            self.assertNotIn("openai-organization", fields)
            self.assertNotIn("x-api-key", fields)

    async def test_without_one_the_proxy_s_key_does(self) -> None:
        fields = await self.sent(self.ACCESS, f"X-API-KEY: {FIRST}")
        self.assertEqual((fields["authorization"], fields["openai-organization"]), (f"Bearer {OURS}", "org-ours"))

    async def test_a_proxy_key_in_it_stays_here(self) -> None:
        fields = await self.sent(self.ACCESS, f"Authorization: Bearer {FIRST}")
        self.assertEqual(fields["authorization"], f"Bearer {OURS}")
        # as the password of Basic: x:team-key-1234567890
        basic = "Authorization: Basic eDp0ZWFtLWtleS0xMjM0NTY3ODkw"
        fields = await self.sent(self.ACCESS, basic, f"X-API-KEY: {FIRST}")
        self.assertEqual(fields["authorization"], f"Bearer {OURS}")

    async def test_it_is_no_proxy_key_itself(self) -> None:
        answer = await self.asks(self.port(self.ACCESS), "POST /v1/embeddings", "Authorization: Bearer sk-theirs")
        self.refused(answer, 401, "invalid_api_key")
        self.assertIn("X-API-KEY", answer.error["message"])
        self.assertNotIn("Authorization: Bearer KEY", answer.error["message"])

    async def test_without_an_upstream_key_nothing_is_invented(self) -> None:
        fields = await self.sent(replace(self.ACCESS, upstream_key=None, organization=None), f"X-API-KEY: {FIRST}")
        self.assertNotIn("authorization", fields)


class LentTests(AccessTestCase):
    """No proxy keys: the key is lent to the programs of this machine, and to no page in a browser on it."""

    async def test_a_program_needs_no_key_and_its_own_does_not_go_upstream(self) -> None:
        fields = await self.sent(LENT, "Authorization: Bearer dummy", "OpenAI-Organization: org-theirs")
        self.assertEqual(fields["authorization"], f"Bearer {OURS}")
        self.assertNotIn("openai-organization", fields)
        self.assertEqual((await self.sent(LENT))["authorization"], f"Bearer {OURS}")

    async def test_a_page_of_another_origin_is_refused(self) -> None:
        port = self.port(LENT)
        for field in (
            "Origin: https://evil.example",
            "Origin: http://localhost:3000",
            "Origin: null",
            "Origin:",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ):
            for line in ("POST /v1/chat/completions", "GET /v1/models", "OPTIONS /v1/chat/completions", "POST /proxy"):
                answer = await self.asks(port, line, field)
                self.refused(answer, 403, "origin_not_allowed")
                self.assertNotIn("access-control-allow-origin", answer.fields)

    async def test_what_the_user_types_is_no_page_of_another_origin(self) -> None:
        for site in ("none", "same-origin"):
            answer = await self.asks(self.port(LENT), "GET /v1/models", f"Sec-Fetch-Site: {site}")
            self.assertEqual(answer.status, 200, site)

    async def test_a_page_that_is_allowed_may_use_it(self) -> None:
        access = replace(LENT, cors_origins=("https://chat.example.com",))
        fields = ("Origin: https://chat.example.com", "Sec-Fetch-Site: cross-site")
        answer = await self.asks(self.port(access), "POST /v1/embeddings", *fields, body=b"{}")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.fields["access-control-allow-origin"], "https://chat.example.com")
        answer = await self.asks(self.port(access), "POST /v1/embeddings", "Origin: https://evil.example", body=b"{}")
        self.refused(answer, 403, "origin_not_allowed")

    async def test_a_name_that_anybody_could_have_pointed_here_is_refused(self) -> None:
        port = self.port(LENT)
        for host in ("evil.example", "evil.example:5101", "localhost.evil.example", "192.168.0.7:5101", "0.0.0.0:5101"):
            answer = await self.asks(port, "POST /v1/embeddings", body=b"{}", host=host)
            self.refused(answer, 403, "host_not_allowed")
            self.assertIn("localhost", answer.error["message"])

    async def test_loopback_names_are_not(self) -> None:
        port = self.port(LENT)
        for host in ("localhost", "127.0.0.1:5101", "[::1]:5101", "proxy.localhost:5101"):
            answer = await self.asks(port, "POST /v1/embeddings", body=b"{}", host=host)
            self.assertEqual(answer.status, 200, host)

    async def test_on_a_unix_socket_any_name_will_do(self) -> None:
        self.port(LENT)
        context = PortContext(
            kind=PortKind.PASSTHROUGH,
            settings=Settings(access=LENT),
            models=Catalogue.builtin(),
            pipeline=Pipeline(()),
            upstream=self.upstream_client(),
            clock=reactor,
        )
        path = os.path.join(tempfile.mkdtemp(), "s")  # a short one, as they have to be
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        port = await UNIXServerEndpoint(reactor, path).listen(ProxySite(resource_tree(context), "x", timeout=None))
        self.addCleanup(port.stopListening)
        client = RawClient()
        await connectProtocol(UNIXClientEndpoint(reactor, path), client)
        client.get("/v1/files", "Connection: close")
        await client.closed
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 "), client.received)

    async def test_the_second_of_two_hosts_is_looked_at_too(self) -> None:
        answer = await self.asks(self.port(LENT), "POST /v1/embeddings", "Host: evil.example", body=b"{}")
        self.assertIn(answer.status, (400, 403))
        self.assertEqual(self.scripted.requests, [])

    async def test_with_proxy_keys_the_key_is_what_counts(self) -> None:
        fields = (f"X-API-KEY: {FIRST}", "Origin: app://desktop")
        answer = await self.asks(self.port(KEYED), "POST /v1/embeddings", *fields, body=b"{}", host="proxy.example")
        self.assertEqual(answer.status, 200)

    async def test_where_nothing_is_lent_nothing_is_refused(self) -> None:
        for access in (Access(), Access(AuthMode.REPLACE, forward_header=True)):
            fields = ("Origin: https://a.example", "Sec-Fetch-Site: cross-site")
            answer = await self.asks(self.port(access), "POST /v1/embeddings", *fields, body=b"{}", host="x.example")
            self.assertEqual(answer.status, 200)


class HiddenTests(AccessTestCase):
    """Keys of the proxy are seen by nobody."""

    async def log(self, kind: PortKind, answer: bytes, body: bytes) -> str:
        records: list[dict[str, Any]] = []

        class Observer:
            def observe(self, record: dict[str, Any]) -> None:
                payload = dict(record["payload"])
                if "body" in payload:
                    payload["body"] = payload["body"].as_json().decode()
                records.append(payload)

        port = self.port(KEYED, kind, observers=[Observer()])
        self.scripted.answers(answer)
        path = "/v1/embeddings" if kind is PortKind.PASSTHROUGH else "/v1/chat/completions"
        await self.asks(port, f"POST {path}?note={SECOND}", f"Authorization: Bearer {FIRST}", body=body)
        self.assertGreater(len(records), 3)
        return json.dumps(records)

    async def test_the_traffic_log_has_none_of_them_not_even_in_bodies(self) -> None:
        said = json.dumps({"a": f"{OURS} {FIRST} {SECOND}", "b": f"x{SECOND}x"}).encode()
        for kind in PortKind:
            log = await self.log(kind, http_answer(said, "400 No", "X-Echo: " + OURS), CHAT[:-1] + b"," + said[1:])
            for key in (OURS, FIRST, SECOND):
                self.assertNotIn(key, log)

    async def test_an_upstream_that_quotes_the_key_it_refuses_tells_it_to_nobody(self) -> None:
        quoted = json.dumps({"error": {"message": f"Incorrect API key: {OURS}", "type": "x", "code": "bad"}}).encode()
        for kind in PortKind:
            for fields, body in [
                ((), quoted),
                (("Content-Encoding: gzip",), gzip.compress(quoted)),
            ]:
                port = self.port(KEYED, kind)
                self.scripted.answers(http_answer(body, "401 Unauthorized", "Content-Type: application/json", *fields))
                answer = await self.asks(
                    port, "POST /v1/chat/completions", f"X-API-KEY: {FIRST}", "Accept-Encoding: gzip", body=CHAT
                )
                self.assertEqual((answer.status, answer.error["code"]), (401, "bad"))
                self.assertEqual(answer.error["message"], "Incorrect API key: ***")

    async def test_nor_does_one_in_a_coding_that_nobody_here_reads(self) -> None:
        port = self.port(KEYED)
        self.scripted.answers(http_answer(b"...", "401 Unauthorized", "Content-Encoding: br"))
        answer = await self.asks(port, "POST /v1/embeddings", f"X-API-KEY: {FIRST}", body=b"{}")
        self.assertEqual(answer.status, 401)
        self.assertIn("refused", answer.error["message"])

    async def test_a_client_s_own_key_is_refused_word_for_word(self) -> None:
        said = b'{"error": {"message": "Incorrect API key: sk-theirs-1234567890"}}'
        port = self.port(Access())
        self.scripted.answers(http_answer(said, "401 Unauthorized"))
        answer = await self.asks(port, "POST /v1/embeddings", body=b"{}")
        self.assertEqual((answer.status, answer.body), (401, said))
