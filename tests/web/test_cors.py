"""Browser pages of other origins."""

from __future__ import annotations

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.settings import Access, AuthMode, Settings
from tests.support import http_answer, http_stream
from tests.web.asking import Answer, AskingTestCase

PAGE = "https://chat.example.com"
NAMED = Access(cors_origins=(PAGE, "http://localhost:3000"))
ANY = Access(cors_origins=("*",))
ASKED = "Access-Control-Request-Method: POST"


class CorsTestCase(AskingTestCase):
    def port(self, access: Access = NAMED, kind: PortKind = PortKind.PASSTHROUGH) -> int:
        self.scripted = self.upstream()
        return self.proxy(kind, Settings(access=access))


class PreflightTests(CorsTestCase):
    async def preflight(self, *fields: str, access: Access = NAMED, origin: str = PAGE) -> Answer:
        answer = await self.asks(self.port(access), "OPTIONS /v1/chat/completions", f"Origin: {origin}", ASKED, *fields)
        self.assertEqual(self.scripted.requests, [])
        return answer

    async def test_it_is_answered_here(self) -> None:
        for kind in PortKind:
            for path in ("/v1/chat/completions", "/v1/models", "/v1/files/x", "/proxy", "/health"):
                answer = await self.asks(self.port(kind=kind), f"OPTIONS {path}", f"Origin: {PAGE}", ASKED)
                self.assertEqual((answer.status, answer.body), (204, b""), path)
                self.assertEqual(answer.fields["access-control-allow-origin"], PAGE)
                self.assertEqual(self.scripted.requests, [])

    async def test_it_says_what_a_page_may_send_and_for_how_long_that_holds(self) -> None:
        answer = await self.preflight("Access-Control-Request-Headers: content-type, X-Stainless-OS,authorization")
        self.assertEqual(answer.fields["access-control-allow-methods"], "GET, HEAD, POST, PUT, PATCH, DELETE")
        self.assertEqual(
            answer.fields["access-control-allow-headers"], "authorization, content-type, x-api-key, x-stainless-os"
        )
        self.assertEqual(answer.fields["access-control-max-age"], "7200")
        self.assertEqual(answer.fields["vary"], "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")

    async def test_authorization_is_named_although_nobody_asked_for_it(self) -> None:
        answer = await self.preflight(access=ANY)
        self.assertIn("authorization", answer.fields["access-control-allow-headers"].split(", "))
        self.assertEqual(answer.fields["access-control-allow-origin"], "*")

    async def test_names_that_are_none_are_not_repeated(self) -> None:
        answer = await self.preflight("Access-Control-Request-Headers: x-a, x b, <x>, , x:c, " + "y" * 200)
        self.assertEqual(answer.fields["access-control-allow-headers"], "authorization, content-type, x-api-key, x-a")

    async def test_a_flood_of_names_is_cut(self) -> None:
        answer = await self.preflight("Access-Control-Request-Headers: " + ",".join(f"x-{n}" for n in range(500)))
        self.assertEqual(len(answer.fields["access-control-allow-headers"].split(", ")), 100)

    async def test_another_origin_is_refused(self) -> None:
        for origin in ("https://evil.example", "null", "https://chat.example.com:8443", "http://chat.example.com"):
            answer = await self.preflight(origin=origin)
            self.assertEqual((answer.status, answer.error["code"]), (403, "origin_not_allowed"))
            self.assertNotIn("access-control-allow-origin", answer.fields)
            self.assertIn("--cors-origin", answer.error["message"])

    async def test_any_origin_is_any_origin(self) -> None:
        for origin in ("https://evil.example", "null"):
            answer = await self.preflight(access=ANY, origin=origin)
            self.assertEqual((answer.status, answer.fields["access-control-allow-origin"]), (204, "*"))
            self.assertNotIn("access-control-allow-credentials", answer.fields)

    async def test_a_page_from_outside_may_ask_for_this_network(self) -> None:
        answer = await self.preflight("Access-Control-Request-Private-Network: true")
        self.assertEqual(answer.fields["access-control-allow-private-network"], "true")
        self.assertNotIn("access-control-allow-private-network", (await self.preflight()).fields)

    async def test_no_key_is_asked_for_and_none_is_lent(self) -> None:
        keyed = Access(AuthMode.REPLACE, (Secret("team-key"),), Secret("sk-ours"), cors_origins=(PAGE,))
        self.assertEqual((await self.preflight(access=keyed)).status, 204)
        lent = Access(AuthMode.REPLACE, (), Secret("sk-ours"), cors_origins=(PAGE,))
        self.assertEqual((await self.preflight(access=lent)).status, 204)
        self.assertEqual((await self.preflight(access=lent, origin="https://evil.example")).status, 403)

    async def test_options_that_are_no_preflight_go_upstream(self) -> None:
        for fields in ((), (f"Origin: {PAGE}",), (ASKED,)):
            answer = await self.asks(self.port(), "OPTIONS /v1/x", *fields)
            self.assertEqual((answer.status, len(self.scripted.requests)), (200, 1), fields)


class AnswerTests(CorsTestCase):
    async def answer(self, access: Access = NAMED, origin: str = PAGE, upstream: bytes = b"") -> Answer:
        port = self.port(access)
        if upstream:
            self.scripted.answers(upstream)
        fields = [f"Origin: {origin}"] if origin else []
        return await self.asks(port, "POST /v1/embeddings", *fields, body=b"{}")

    async def test_the_page_may_see_it(self) -> None:
        for origin in NAMED.cors_origins:
            answer = await self.answer(origin=origin)
            self.assertEqual(answer.fields["access-control-allow-origin"], origin)
            self.assertEqual(answer.fields["access-control-allow-credentials"], "true")
            self.assertEqual(answer.fields["vary"], "Origin")

    async def test_what_its_script_may_read_is_named(self) -> None:
        upstream = http_answer(
            b"{}", "200 OK", "X-Request-Id: req_1", "X-Ratelimit-Limit-Project-Tokens: 1", "Server: x"
        )
        answer = await self.answer(upstream=upstream)
        exposed = answer.fields["access-control-expose-headers"].split(", ")
        for name in ("x-request-id", "x-oaiproxy-warning", "retry-after", "x-ratelimit-remaining-tokens"):
            self.assertIn(name, exposed)
        self.assertIn("x-ratelimit-limit-project-tokens", exposed)
        self.assertEqual(len(exposed), len(set(exposed)))
        self.assertNotIn("server", exposed)
        self.assertNotIn("*", exposed)

    async def test_another_page_may_not(self) -> None:
        for origin in ("https://evil.example", ""):
            answer = await self.answer(origin=origin)
            self.assertEqual(answer.status, 200)
            self.assertEqual([name for name in answer.fields if name.startswith("access-control")], [])
            self.assertEqual(answer.fields["vary"], "Origin", "a cache must not give it to the other page")

    async def test_for_any_page_it_does_not_depend_on_which(self) -> None:
        for origin in ("https://evil.example", ""):
            answer = await self.answer(ANY, origin)
            self.assertEqual(answer.fields["access-control-allow-origin"], "*")
            self.assertNotIn("vary", answer.fields)
            self.assertNotIn("access-control-allow-credentials", answer.fields)

    async def test_what_upstream_says_to_pages_is_replaced(self) -> None:
        upstream = http_answer(
            b"{}",
            "200 OK",
            "Access-Control-Allow-Origin: *",
            "access-control-expose-headers: x-theirs",
            "Access-Control-Max-Age: 1",
            "Vary: Accept-Encoding",
        )
        answer = await self.answer(upstream=upstream)
        self.assertEqual(answer.fields["access-control-allow-origin"], PAGE)
        self.assertNotIn("x-theirs", answer.fields["access-control-expose-headers"])
        self.assertNotIn("access-control-max-age", answer.fields)
        self.assertEqual(answer.fields["vary"], "Accept-Encoding, Origin")
        for vary in ("*", "Accept, ORIGIN"):
            answer = await self.answer(upstream=http_answer(b"{}", "200 OK", f"Vary: {vary}"))
            self.assertEqual(answer.fields["vary"], vary)

    async def test_errors_may_be_seen_too(self) -> None:
        keyed = Access(AuthMode.REPLACE, (Secret("team-key"),), Secret("sk-ours"), cors_origins=(PAGE,))
        answer = await self.answer(keyed)
        self.assertEqual((answer.status, answer.fields["access-control-allow-origin"]), (401, PAGE))
        self.assertIn("www-authenticate", answer.fields["access-control-expose-headers"])
        port = self.port()
        for line, status in [("GET /nowhere", 404), ("GET /v1/models/none", 404), ("DELETE /v1/models", 405)]:
            answer = await self.asks(port, line, f"Origin: {PAGE}")
            self.assertEqual((answer.status, answer.fields["access-control-allow-origin"]), (status, PAGE))
        down = self.proxy(settings=Settings(access=NAMED), upstream_port=1)
        answer = await self.asks(down, "POST /v1/embeddings", f"Origin: {PAGE}", body=b"{}")
        self.assertEqual((answer.status, answer.fields["access-control-allow-origin"]), (502, PAGE))
        answer = await self.answer(upstream=http_answer(b"{}", "429 Slow Down", "Retry-After: 1"))
        self.assertEqual((answer.status, answer.fields["access-control-allow-origin"]), (429, PAGE))

    async def test_streams_may_be_seen_too(self) -> None:
        answer = await self.answer(upstream=http_stream(b"data: 1\n\n"))
        self.assertEqual((answer.fields["access-control-allow-origin"], answer.body), (PAGE, b"data: 1\n\n"))

    async def test_so_may_models_health_and_translated_answers(self) -> None:
        port = self.port(kind=PortKind.BRIDGE)
        chat = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}'
        for line, body in [("GET /v1/models", b""), ("GET /health", b""), ("POST /v1/chat/completions", chat)]:
            answer = await self.asks(port, line, f"Origin: {PAGE}", body=body)
            self.assertEqual(answer.fields["access-control-allow-origin"], PAGE, line)


class OffTests(CorsTestCase):
    async def test_without_it_nothing_changes(self) -> None:
        port = self.port(Access())
        theirs = ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: POST")
        self.scripted.answers(http_answer(b"", "200 OK", *theirs))
        for line in ("OPTIONS /v1/chat/completions", "POST /v1/embeddings"):
            answer = await self.asks(port, line, f"Origin: {PAGE}", ASKED)
            self.assertEqual(self.scripted.requests[-1].line, f"{line} HTTP/1.1")
            self.assertEqual(self.scripted.requests[-1].field("origin"), PAGE)
            found = {name: value for name, value in answer.fields.items() if name.startswith("access-control")}
            self.assertEqual(found, {"access-control-allow-origin": "*", "access-control-allow-methods": "POST"})
            self.assertNotIn("vary", answer.fields)
