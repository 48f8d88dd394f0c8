"""The health check."""

from __future__ import annotations

import gc
import json
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from zope.interface import implementer

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IStoreState
from oaiproxy.models import Catalogue
from oaiproxy.settings import Access, AuthMode, Settings
from oaiproxy.store import MemoryStore
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext
from oaiproxy.web.exchanges import Exchanges
from oaiproxy.web.health import KEPT, PATIENCE, UpstreamCheck
from tests.support import UpstreamConnection, http_answer
from tests.web.asking import Answer, AskingTestCase

ASKS = Settings(health_asks_upstream=True)
KEYED = Settings(access=Access(AuthMode.REPLACE, (Secret("team-key"),), Secret("sk-ours"), organization="org-ours"))


class LivenessTests(AskingTestCase):
    def setUp(self) -> None:
        self.census: list[Exchanges] = []

    async def test_it_says_ok_and_asks_nobody(self) -> None:
        for kind in PortKind:
            upstream = self.upstream()
            port = self.proxy(kind)
            for path in ("/health", "/health/", "/v1/health", "/health?x=1", "/health?upstream=0", "/v1/health?"):
                answer = await self.asks(port, f"GET {path}")
                self.assertEqual((answer.status, json.loads(answer.body)), (200, {"status": "ok"}), path)
                self.assertEqual(answer.fields["content-type"], "application/json")
                self.assertEqual(answer.fields["cache-control"], "no-store")
            self.assertEqual(upstream.requests, [])

    async def test_it_says_how_many_exchanges_run_in_the_process_where_that_is_asked(self) -> None:
        upstream = self.upstream()
        upstream.script = lambda connection, request: None
        ports = [self.proxy(kind, census=self.census) for kind in PortKind]
        asked = "GET /health?exchanges=1"
        self.assertEqual((await self.asks(ports[0], asked)).body, b'{"status":"ok","exchanges":0}')
        clients = [await self.client(port) for port in (*ports, ports[1])]
        for client in clients:
            client.post("/v1/responses", b"{}")
        await self.until(lambda: len(upstream.requests) == 3)
        for port in ports:
            self.assertEqual((await self.asks(port, asked)).body, b'{"status":"ok","exchanges":3}')
        clients[0].transport.abortConnection()
        await self.until(lambda: sum(map(len, self.census)) == 2)
        self.assertEqual((await self.asks(ports[0], asked)).body, b'{"status":"ok","exchanges":2}')
        self.census[0].draining = True
        answer = await self.asks(ports[0], asked)
        self.assertEqual((answer.status, answer.body), (503, b'{"status":"shutting_down","exchanges":2}'))

    async def test_it_says_how_the_store_is_where_that_is_asked_and_is_well_in_any_case(self) -> None:
        @implementer(IStoreState)
        class State(MemoryStore):
            available = True

        self.upstream()
        state = State(Clock().seconds)
        asked = "GET /health?store=1"
        for store, expected in ((None, "memory"), (MemoryStore(Clock().seconds), "memory"), (state, "ok")):
            answer = await self.asks(self.proxy(store=store), asked)
            self.assertEqual((answer.status, json.loads(answer.body)), (200, {"status": "ok", "store": expected}))
        state.available = False
        answer = await self.asks(self.proxy(store=state), asked)
        self.assertEqual((answer.status, json.loads(answer.body)), (200, {"status": "ok", "store": "unavailable"}))
        self.assertEqual((await self.asks(self.proxy(store=state), "GET /health")).body, b'{"status":"ok"}')

    async def test_it_is_ok_where_the_upstream_is_not(self) -> None:
        self.upstream()
        self.assertEqual((await self.asks(self.proxy(upstream_port=1), "GET /health")).status, 200)

    async def test_head_has_the_head_of_it(self) -> None:
        self.upstream()
        port = self.proxy()
        for path in ("/health", "/health?upstream=1"):
            answer = await self.asks(port, f"HEAD {path}")
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertGreater(int(answer.fields["content-length"]), 0)

    async def test_it_is_only_read(self) -> None:
        self.upstream()
        answer = await self.asks(self.proxy(), "POST /health", body=b"{}")
        self.assertEqual((answer.status, answer.fields["allow"]), (405, "GET, HEAD"))

    async def test_what_is_below_it_is_somebody_else_s(self) -> None:
        upstream = self.upstream()
        port = self.proxy()
        self.assertEqual((await self.asks(port, "GET /health/deep")).status, 404)
        await self.asks(port, "GET /v1/health/deep")
        self.assertEqual(upstream.requests[0].line, "GET /v1/health/deep HTTP/1.1")


class UpstreamTests(AskingTestCase):
    async def check(self, answer: bytes | None = None, settings: Settings = ASKS, **kwargs: Any) -> Answer:
        self.scripted = self.upstream()
        if answer is not None:
            self.scripted.answers(answer)
        return await self.asks(self.proxy(settings=settings, **kwargs), "GET /health?upstream=1", "X-API-KEY: team-key")

    async def test_one_that_answers_is_ok(self) -> None:
        for status in ("200 OK", "401 Unauthorized", "404 Not Found", "429 Too Many Requests"):
            answer = await self.check(http_answer(b"{}", status))
            self.assertEqual(
                (answer.status, json.loads(answer.body)), (200, {"status": "ok", "upstream": "ok"}), status
            )

    async def test_it_is_asked_for_its_models_in_the_proxy_s_own_name(self) -> None:
        await self.check()
        (request,) = self.scripted.requests
        self.assertEqual((request.line, request.body), ("GET /v1/models HTTP/1.1", b""))
        self.assertIsNone(request.field("authorization"), "what a client sends is not for the health check")
        self.assertIsNone(request.field("x-api-key"))
        await self.check(settings=KEYED)
        (request,) = self.scripted.requests
        self.assertEqual(request.field("authorization"), "Bearer sk-ours")
        self.assertEqual(request.field("openai-organization"), "org-ours")

    async def test_one_that_says_that_it_cannot_is_a_503(self) -> None:
        answer = await self.check(http_answer(b"{}", "503 Service Unavailable"))
        found = json.loads(answer.body)
        self.assertEqual((answer.status, found["status"], found["upstream"]), (503, "error", "error"))
        self.assertIn(f"127.0.0.1:{self.upstream_port} answers, but with status 503", answer.error["message"])
        self.assertEqual(len(self.scripted.requests), 1)

    async def test_one_that_cannot_be_reached_is_a_503_with_the_reason(self) -> None:
        answer = await self.check(upstream_port=1)
        self.assertEqual((answer.status, answer.error["code"]), (503, "upstream_unreachable"))
        self.assertIn("127.0.0.1:1", answer.error["message"])

    async def test_one_that_refuses_the_key_that_is_lent_is_a_503(self) -> None:
        answer = await self.check(http_answer(b'{"error": {"message": "bad key sk-ours"}}', "401 No"), KEYED)
        self.assertEqual((answer.status, answer.error["code"]), (503, "upstream_key_refused"))
        self.assertNotIn(b"sk-ours", answer.body)

    async def test_it_is_not_asked_again_and_again(self) -> None:
        upstream = self.upstream()
        port = self.proxy(settings=ASKS)
        for path in ("/health", "/v1/health", "/health?upstream=1", "/v1/health?upstream=yes"):
            for _ in range(3):
                self.assertEqual((await self.asks(port, f"GET {path}")).status, 200)
        self.assertEqual(len(upstream.requests), 1)

    async def test_a_bad_answer_is_kept_as_long(self) -> None:
        upstream = self.upstream()
        upstream.answers(http_answer(b"", "500 Oops"), http_answer(b""))
        port = self.proxy(settings=ASKS)
        for _ in range(3):
            self.assertEqual((await self.asks(port, "GET /health")).status, 503)
        self.assertEqual(len(upstream.requests), 1)

    async def test_many_who_ask_at_once_wait_for_the_one_answer(self) -> None:
        upstream = self.upstream()
        asked: Deferred[UpstreamConnection] = Deferred()
        upstream.script = lambda connection, request: asked.callback(connection)
        port = self.proxy(settings=ASKS)
        asking = [Deferred.fromCoroutine(self.asks(port, "GET /health")) for _ in range(5)]
        connection = await asked
        # an exchange on another connection, so that the others had their time
        await self.asks(port, "GET /v1/models")
        connection.write(http_answer(b"{}"))
        answers = await DeferredList(asking, fireOnOneErrback=True)
        self.assertEqual([answer.status for _, answer in answers], [200] * 5)
        self.assertEqual(len(upstream.requests), 1)

    async def test_who_leaves_takes_nothing_from_the_others(self) -> None:
        upstream = self.upstream()
        asked: Deferred[UpstreamConnection] = Deferred()
        upstream.script = lambda connection, request: asked.callback(connection)
        port = self.proxy(settings=ASKS)
        client = await self.client(port)
        client.get("/health")
        connection = await asked
        other = Deferred.fromCoroutine(self.asks(port, "GET /health"))
        client.transport.abortConnection()
        await client.closed
        await self.asks(port, "GET /v1/models")
        connection.write(http_answer(b"{}"))
        self.assertEqual((await other).status, 200)

    async def test_a_plain_one_may_be_told_not_to_ask(self) -> None:
        upstream = self.upstream()
        answer = await self.asks(self.proxy(settings=ASKS), "GET /health?upstream=0")
        self.assertEqual((json.loads(answer.body), upstream.requests), ({"status": "ok"}, []))


class TimeTests(AskingTestCase):
    def check(self) -> UpstreamCheck:
        self.clock = Clock()
        port = PortContext(
            kind=PortKind.PASSTHROUGH,
            settings=ASKS,
            models=Catalogue.builtin(),
            pipeline=Pipeline(()),
            upstream=self.upstream_client(),
            clock=self.clock,
        )
        return UpstreamCheck(port)

    async def test_an_answer_that_breaks_off_with_its_head_is_an_answer(self) -> None:
        self.upstream().answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        self.assertIsNone(await self.check().outcome())
        await self.turns(5)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_what_was_found_is_kept_for_a_time(self) -> None:
        upstream = self.upstream()
        fine = http_answer(b"{}", "200 OK", "Connection: close")
        upstream.answers(fine, http_answer(b"{}", "500 Oops", "Connection: close"), fine)
        check = self.check()
        found = []
        for wait in (0.0, KEPT - 0.1, 0.2, KEPT - 0.1, 0.2):
            self.clock.advance(wait)
            error = await check.outcome()
            found.append((error is None, len(upstream.requests)))
        self.assertEqual(found, [(True, 1), (True, 1), (False, 2), (False, 2), (True, 3)])

    async def test_one_that_says_nothing_is_not_waited_for(self) -> None:
        upstream = self.upstream()
        asked: Deferred[UpstreamConnection] = Deferred()
        upstream.script = lambda connection, request: asked.callback(connection)
        outcome = self.check().outcome()
        connection = await asked
        self.clock.advance(PATIENCE - 0.1)
        self.assertFalse(outcome.called)
        self.clock.advance(0.2)
        error = await outcome
        assert error is not None
        self.assertEqual((error.code, f"within {PATIENCE:g} s" in error.message), ("upstream_timeout", True))
        await connection.lost
