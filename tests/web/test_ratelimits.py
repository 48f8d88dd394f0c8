"""Requests and tokens per minute, through real sockets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.interfaces import IExchangeObserver, IStateStore
from oaiproxy.plugins.parameter_rules import parameter_rules
from oaiproxy.rules.params import ParameterRules, RuleBook
from oaiproxy.settings import Access, AuthMode, Rates, Settings, TargetApi, ToolSettings
from oaiproxy.store import StoreUnavailable
from oaiproxy.store.memory import MemoryStore
from tests.support import ClockedReactor, http_answer, http_stream
from tests.tools.support import Tool
from tests.web.asking import Answer, AskingTestCase
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, chat, delta, response
from tests.web.test_tools import Bridge, Passthrough

JSON = "Content-Type: application/json"

OURS = Access(
    mode=AuthMode.REPLACE, proxy_keys=(Secret("key-one"), Secret("key-two")), upstream_key=Secret("sk-upstream")
)

USAGE = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}

NAMES = tuple(
    f"x-ratelimit-{what}-{kind}" for kind in ("requests", "tokens") for what in ("limit", "remaining", "reset")
)


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", **fields}).encode() + b"\n\n"


WORDS = chunk(choices=[{"index": 0, "delta": {"content": "Hi"}}])
CHAT_STREAM = WORDS + chunk(choices=[], usage=USAGE) + b"data: [DONE]\n\n"


class WatchedStore(MemoryStore):
    """A store in memory of which a test sees what it is asked, and which is away when the test says so.

    @ivar asked: the amounts of each addition.
    """

    def __init__(self, clock: ClockedReactor) -> None:
        super().__init__(clock.seconds)
        self.asked: list[Mapping[bytes, int]] = []
        self.away = False

    def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        if self.away:
            return fail(StoreUnavailable("the store at redis://somewhere: connection refused"))
        self.asked.append(amounts)
        return super().add(amounts, seconds)


class RateTestCase(AskingTestCase):
    """An upstream that answers at once, and time that the test moves on."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = ClockedReactor()
        self.clock.advance(1_795_000_000)
        self.store = WatchedStore(self.clock)
        self.scripted = self.upstream()

    def port(
        self,
        kind: PortKind = PortKind.PASSTHROUGH,
        requests: int = 0,
        tokens: int = 0,
        store: IStateStore | None = None,
        **said: Any,
    ) -> int:
        return self.proxy(
            kind,
            Settings(rates=Rates(requests, tokens), **said),
            clock=self.clock,
            store=self.store if store is None else store,
        )

    def answers(self, body: Any, status: str = "200 OK", *fields: str) -> None:
        self.scripted.answers(http_answer(json.dumps(body).encode(), status, JSON, *fields))

    async def post(
        self, port: int, *fields: str, path: str = "/v1/responses", body: bytes = b'{"model":"m"}'
    ) -> Answer:
        return await self.asks(port, f"POST {path}", JSON, *fields, body=body)

    async def chat(self, port: int, stream: bool = False, **said: Any) -> Answer:
        return await self.post(port, path="/v1/chat/completions", body=chat(stream, **said))

    def told(self, answer: Answer) -> list[str | None]:
        return [answer.fields.get(name) for name in NAMES]

    async def remaining(self, port: int) -> int:
        """The tokens that are left after what was asked, as the next answer says."""
        answer = await self.asks(port, "GET /v1/files")
        self.assertEqual(answer.status, 200, answer.body)
        return int(answer.fields["x-ratelimit-remaining-tokens"])


class RequestTests(RateTestCase):
    async def test_each_answer_says_how_the_client_stands(self) -> None:
        port = self.port(requests=3)
        self.assertEqual(self.told(await self.post(port)), ["3", "2", "1m1s", None, None, None])
        self.clock.advance(20.5)
        self.assertEqual(self.told(await self.post(port)), ["3", "1", "1m0.5s", None, None, None])

    async def test_one_too_many_is_a_429_in_openai_s_shape_of_which_upstream_hears_nothing(self) -> None:
        for kind, path, body in (
            (PortKind.PASSTHROUGH, "/v1/responses", b'{"model":"m"}'),
            (PortKind.BRIDGE, "/v1/chat/completions", chat()),
            (PortKind.BRIDGE, "/v1/chat/completions", chat(True)),
        ):
            port = self.port(kind, requests=1)
            self.answers(response())
            await self.post(port, path=path, body=body)
            self.clock.advance(20)
            count = len(self.scripted.requests)
            answer = await self.post(port, path=path, body=body)
            self.assertEqual(answer.status, 429)
            self.assertEqual(
                answer.error,
                {
                    "message": "Rate limit reached on requests per min (RPM): Limit 1, Used 1, Requested 1. Please try "
                    "again in 41s. The limit is this proxy's; its operator sets it.",
                    "type": "requests",
                    "param": None,
                    "code": "rate_limit_exceeded",
                },
            )
            self.assertEqual(
                (answer.fields["retry-after"], answer.fields["retry-after-ms"], answer.fields["content-type"]),
                ("41", "41000", "application/json"),
            )
            self.assertEqual(self.told(answer), ["1", "0", "41s", None, None, None])
            self.assertEqual(len(self.scripted.requests), count)
            self.clock.advance(120)

    async def test_there_is_room_again_when_it_was_said(self) -> None:
        port = self.port(requests=2)
        statuses = [(await self.post(port)).status for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])
        self.clock.advance(60.9)
        self.assertEqual((await self.post(port)).status, 429)
        self.clock.advance(0.1)
        self.assertEqual([(await self.post(port)).status for _ in range(3)], [200, 200, 429])

    async def test_each_proxy_key_has_its_own_minute_however_it_is_sent(self) -> None:
        port = self.port(requests=1, access=OURS)
        asked = [
            (await self.post(port, field)).status
            for field in (
                "Authorization: Bearer key-one",
                "X-API-Key: key-one",
                "Authorization: Bearer key-two",
                "api-key: key-two",
            )
        ]
        self.assertEqual(asked, [200, 429, 200, 429])

    async def test_without_proxy_keys_the_port_has_one(self) -> None:
        port = self.port(requests=1)
        asked = [(await self.post(port, f"Authorization: Bearer sk-{n}")).status for n in range(2)]
        self.assertEqual(asked, [200, 429])

    async def test_a_key_s_requests_on_all_ports_count_together(self) -> None:
        self.answers(response())
        one = self.port(requests=2, access=OURS)
        other = self.port(PortKind.BRIDGE, requests=2, access=OURS)
        key = "Authorization: Bearer key-one"
        self.assertEqual((await self.post(one, key)).status, 200)
        self.assertEqual((await self.post(other, key, path="/v1/chat/completions", body=chat())).status, 200)
        self.assertEqual((await self.post(one, key)).status, 429)

    async def test_those_of_two_kinds_of_port_without_keys_do_not(self) -> None:
        one, other = self.port(requests=1), self.port(PortKind.BRIDGE, requests=1)
        self.assertEqual([(await self.post(port)).status for port in (one, other, one)], [200, 200, 429])

    async def test_a_wrong_key_counts_for_nobody(self) -> None:
        port = self.port(requests=1, access=OURS)
        self.assertEqual((await self.post(port, "Authorization: Bearer wrong")).status, 401)
        self.assertEqual(self.store.asked, [])

    async def test_what_the_proxy_answers_itself_is_not_counted(self) -> None:
        port = self.port(requests=1)
        for path in ("/v1/models", "/health"):
            answer = await self.asks(port, f"GET {path}")
            self.assertEqual((answer.status, self.told(answer)), (200, [None] * 6))
        self.assertEqual(self.store.asked, [])

    async def test_an_error_says_it_too_whoever_it_is_from(self) -> None:
        port = self.port(PortKind.BRIDGE, requests=9)
        self.answers({"error": {"message": "no", "type": "x", "param": None, "code": None}}, "500 Oops")
        for count, body in enumerate((chat(), b"{", chat(model=5)), 1):
            answer = await self.post(port, path="/v1/chat/completions", body=body)
            self.assertGreaterEqual(answer.status, 400)
            self.assertEqual(self.told(answer)[:2], ["9", str(9 - count)], answer.body)

    async def test_a_stream_says_it_in_its_head(self) -> None:
        port = self.port(PortKind.BRIDGE, requests=9)
        self.scripted.answers(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED))
        answer = await self.chat(port, stream=True)
        self.assertIn(b"[DONE]", answer.body)
        self.assertEqual(self.told(answer)[:2], ["9", "8"])

    async def test_the_next_request_of_a_connection_is_answered_after_a_refusal(self) -> None:
        port = self.port(requests=1)
        client = await self.client(port)
        client.post("/v1/responses", b"{}")
        await client.until(b"\r\n\r\n{}")
        client.post("/v1/responses", b"{}")
        await client.until(b"rate_limit_exceeded")
        self.clock.advance(61)
        client.post("/v1/responses", b"{}")
        await client.until(lambda data: data.count(b"HTTP/1.1 200") == 2)

    async def test_upstream_s_own_fields_are_replaced_only_where_there_is_a_limit_of_ours(self) -> None:
        theirs = [f"{name.title()}: their-{n}" for n, name in enumerate(NAMES)]
        for kind in PortKind:
            self.answers(response(), "200 OK", *theirs)
            for rates, told in (
                (Rates(requests=9), ["9", "8", "1m1s", "their-3", "their-4", "their-5"]),
                (Rates(tokens=9), ["their-0", "their-1", "their-2", "9", "9", "0s"]),
                (Rates(), [f"their-{n}" for n in range(6)]),
            ):
                port = self.port(kind, rates.requests, rates.tokens)
                self.assertEqual(self.told(await self.chat(port)), told)
                self.clock.advance(100)

    async def test_pages_of_allowed_origins_see_the_refusal_and_its_fields(self) -> None:
        port = self.port(requests=1, access=Access(cors_origins=("https://chat.example",)))
        await self.post(port)
        answer = await self.post(port, "Origin: https://chat.example")
        self.assertEqual(answer.status, 429)
        self.assertEqual(answer.fields["access-control-allow-origin"], "https://chat.example")
        exposed = answer.fields["access-control-expose-headers"]
        for name in ("retry-after", "retry-after-ms", *NAMES):
            self.assertIn(name, exposed)
        self.assertEqual(self.told(answer)[:2], ["1", "0"])

    async def test_by_default_nothing_is_counted(self) -> None:
        port = self.port()
        self.assertEqual(self.told(await self.post(port)), [None] * 6)
        self.assertEqual(self.store.asked, [])

    async def test_the_store_is_told_no_key(self) -> None:
        port = self.port(requests=5, tokens=5, access=OURS)
        self.answers({"usage": USAGE})
        await self.post(port, "Authorization: Bearer key-one")
        keys = [key for amounts in self.store.asked for key in amounts]
        self.assertGreater(len(keys), 100)
        self.assertEqual([key for key in keys if b"key" in key or not 1 <= len(key) <= 200], [])

    async def test_a_refusal_is_in_the_traffic_log_with_its_request(self) -> None:
        told: list[dict[str, object]] = []

        @implementer(IExchangeObserver)
        class Observer:
            def observe(self, record: dict[str, object]) -> None:
                told.append(record)

        port = self.proxy(settings=Settings(rates=Rates(1)), observers=[Observer()], clock=self.clock, store=self.store)
        await self.post(port)
        told.clear()
        await self.post(port)
        self.assertEqual([each["direction"] for each in told][:2], ["downstream-request", "downstream-response"])


class TokenTests(RateTestCase):
    async def test_the_bridge_counts_what_the_response_says(self) -> None:
        port = self.port(PortKind.BRIDGE, tokens=100)
        self.answers(response())
        self.assertEqual((await self.chat(port)).status, 200)
        self.assertEqual(await self.remaining(port), 96)

    async def test_and_of_a_stream_its_last_event_whether_the_client_asked_for_usage_or_not(self) -> None:
        port = self.port(PortKind.BRIDGE, tokens=100)
        self.scripted.answers(http_stream(CREATED, ADDED, delta("Hello"), COMPLETED))
        self.assertNotIn(b'"usage":{', (await self.chat(port, stream=True)).body)
        self.assertIn(b'"usage":{', (await self.chat(port, stream=True, stream_options={"include_usage": True})).body)
        self.answers({})
        self.assertEqual(await self.remaining(port), 92)

    async def test_all_upstream_requests_of_a_client_s_one_count(self) -> None:
        port = self.port(PortKind.BRIDGE, requests=10, tokens=100)
        self.answers(response())
        answer = await self.chat(port, n=3)
        self.assertEqual((answer.status, answer.fields["x-ratelimit-remaining-requests"]), (200, "9"))
        self.assertEqual(await self.remaining(port), 88)

    async def test_all_rounds_of_tools_of_an_answer_count_as_one_request(self) -> None:
        for on in (Passthrough(), Bridge()):
            for stream in (False, True):
                port = self.proxy(
                    on.kind,
                    Settings(rates=Rates(10, 100), tools=ToolSettings(enabled=True)),
                    clock=self.clock,
                    store=self.store,
                    tools=[Tool()],
                )
                self.scripted.answers(
                    on.says(calls=[("clock", "{}", "call_1")], stream=stream), on.says("Noon", stream=stream)
                )
                answer = await self.chat(port, stream)
                self.assertEqual((answer.status, b'"usage":{' in answer.body), (200, not stream), answer.body)
                self.assertEqual(answer.fields["x-ratelimit-remaining-requests"], "9")
                self.answers({})
                self.assertEqual(await self.remaining(port), 92)
                self.clock.advance(100)

    async def test_completions_on_the_bridge_count(self) -> None:
        port = self.port(PortKind.BRIDGE, tokens=100)
        self.answers(response())
        body = b'{"model":"gpt-5.1","prompt":"Hi"}'
        self.assertEqual((await self.post(port, path="/v1/completions", body=body)).status, 200)
        self.assertEqual(await self.remaining(port), 96)

    async def test_a_passthrough_port_counts_objects_of_all_apis(self) -> None:
        port = self.port(tokens=1000)
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/images/edits"):
            self.answers({"data": [], "usage": USAGE})
            before = await self.remaining(port)
            answer = await self.post(port, path=path, body=chat())
            self.assertEqual(json.loads(answer.body), {"data": [], "usage": USAGE})
            self.assertEqual(await self.remaining(port), before - 10, path)

    async def test_and_streams_of_the_responses_api_which_pass_as_they_are(self) -> None:
        port = self.port(tokens=1000)
        stream = CREATED + ADDED + delta("Hello") + COMPLETED
        self.scripted.answers(http_stream(stream[:100], stream[100:]))
        answer = await self.post(port, body=b'{"model":"m","stream":true}')
        self.assertEqual(answer.body, stream)
        self.assertEqual(self.scripted.requests[-1].body, b'{"model":"m","stream":true}')
        self.answers({})
        self.assertEqual(await self.remaining(port), 996)

    async def test_a_chat_stream_is_asked_for_its_usage_of_which_the_client_hears_nothing(self) -> None:
        port = self.port(tokens=1000)
        for path in ("/v1/chat/completions", "/v1/completions"):
            before = await self.remaining(port)
            self.scripted.answers(http_stream(CHAT_STREAM[:50], CHAT_STREAM[50:]))
            answer = await self.post(port, path=path, body=chat(True))
            self.assertEqual(json.loads(self.scripted.requests[-1].body)["stream_options"], {"include_usage": True})
            self.assertTrue(self.scripted.requests[-1].line.startswith(f"POST {path} "))
            self.assertEqual(answer.body, WORDS + b"data: [DONE]\n\n")
            self.answers({})
            self.assertEqual(await self.remaining(port), before - 10)

    async def test_other_stream_options_stay(self) -> None:
        port = self.port(tokens=1000)
        self.scripted.answers(http_stream(CHAT_STREAM))
        await self.chat(port, stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
        self.assertEqual(
            json.loads(self.scripted.requests[-1].body)["stream_options"],
            {"include_usage": True, "include_obfuscation": False},
        )

    async def test_who_asks_for_usage_gets_it_and_sends_what_he_sent(self) -> None:
        port = self.port(tokens=1000)
        self.scripted.answers(http_stream(CHAT_STREAM))
        body = chat(True, stream_options={"include_usage": True})
        answer = await self.post(port, path="/v1/chat/completions", body=body)
        self.assertEqual((answer.body, self.scripted.requests[-1].body), (CHAT_STREAM, body))
        self.answers({})
        self.assertEqual(await self.remaining(port), 990)

    async def test_an_upstream_that_does_not_know_the_option_is_asked_again_without(self) -> None:
        port = self.port(tokens=1000)
        refusal = {"error": {"message": "Unrecognized request argument: stream_options", "type": "x", "param": None}}
        self.scripted.answers(
            http_answer(json.dumps(refusal).encode(), "400 Bad Request", JSON),
            http_stream(WORDS, b"data: [DONE]\n\n"),
        )
        for count in (2, 3):
            answer = await self.chat(port, stream=True)
            self.assertEqual((answer.status, answer.body), (200, WORDS + b"data: [DONE]\n\n"))
            self.assertNotIn("stream_options", json.loads(self.scripted.requests[-1].body))
            self.assertEqual(len(self.scripted.requests), count)

    async def test_what_the_client_itself_said_of_it_is_the_client_s_to_hear_about(self) -> None:
        port = self.port(tokens=1000)
        refusal = {"error": {"message": "Unrecognized request argument: stream_options", "type": "x", "param": None}}
        self.answers(refusal, "400 Bad Request")
        answer = await self.chat(port, stream=True, stream_options={"include_usage": True})
        self.assertEqual((answer.status, len(self.scripted.requests)), (400, 1))

    async def test_one_endpoint_counts_too(self) -> None:
        for kind in PortKind:
            port = self.port(kind, tokens=1000, target_api=TargetApi.COMPLETIONS)
            self.scripted.answers(http_stream(CHAT_STREAM))
            answer = await self.post(port, path="/v1/proxy", body=chat(True))
            self.assertEqual(answer.body, WORDS + b"data: [DONE]\n\n")
            self.answers({})
            self.assertEqual(await self.remaining(port), 990)

    async def test_a_request_that_is_no_stream_is_sent_as_it_came(self) -> None:
        port = self.port(tokens=1000)
        self.answers({"usage": USAGE})
        for path in ("/v1/chat/completions", "/v1/completions"):
            for body in (b'{ "model":"m",  "messages":[] }', b'{"messages": [], "stream" :false, "model" : "m"}'):
                await self.post(port, path=path, body=body)
                self.assertEqual(self.scripted.requests[-1].body, body)
        self.assertEqual(await self.remaining(port), 960)

    async def test_a_stream_is_seen_however_it_is_asked_for(self) -> None:
        port = self.port(tokens=1000)
        body = b'{"model":"m","messages":[],"str\\u0065am":true}'
        self.scripted.answers(http_stream(CHAT_STREAM))
        self.assertEqual((await self.post(port, path="/v1/chat/completions", body=body)).status, 200)
        self.assertEqual(json.loads(self.scripted.requests[-1].body)["stream_options"], {"include_usage": True})

    async def test_a_stream_of_the_port_s_own_rules_is_counted(self) -> None:
        rules = RuleBook(everywhere=ParameterRules(overrides={"stream": True}))
        port = self.proxy(
            settings=Settings(rates=Rates(tokens=1000), rules=rules),
            transforms=(parameter_rules,),
            clock=self.clock,
            store=self.store,
        )
        self.scripted.answers(http_stream(CHAT_STREAM))
        body = b'{"model":"m","messages":[]}'
        self.assertEqual((await self.post(port, path="/v1/chat/completions", body=body)).status, 200)
        self.answers({})
        self.assertEqual(await self.remaining(port), 990)

    async def test_a_compressed_request_cannot_be_read_and_is_refused(self) -> None:
        port = self.port(tokens=1000)
        for path in ("/v1/chat/completions", "/v1/completions"):
            answer = await self.post(port, "Content-Encoding: gzip", path=path, body=gzip.compress(chat(True)))
            self.assertEqual((answer.status, answer.error["code"]), (415, "unsupported_content_encoding"))

    async def test_compressed_answers_are_counted_and_pass_as_they_are(self) -> None:
        port = self.port(tokens=1000)
        packed = gzip.compress(json.dumps({"usage": USAGE}).encode())
        self.scripted.answers(http_answer(packed, "200 OK", JSON, "Content-Encoding: gzip"))
        answer = await self.post(port, "Accept-Encoding: gzip")
        self.assertEqual(answer.body, packed)
        self.answers({})
        self.assertEqual(await self.remaining(port), 990)

    async def test_upstream_is_asked_for_no_coding_that_is_not_read_here(self) -> None:
        for rates, asked, sent in (
            (Rates(tokens=9), "gzip, deflate, br, zstd", "gzip, deflate"),
            (Rates(tokens=9), "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;q=0.8"),
            (Rates(tokens=9), "br", "identity"),
            (Rates(requests=9), "gzip, br", "gzip, br"),
        ):
            await self.post(self.port(requests=rates.requests, tokens=rates.tokens), f"Accept-Encoding: {asked}")
            self.assertEqual(self.scripted.requests[-1].field("accept-encoding"), sent)

    async def test_an_answer_in_another_coding_or_a_damaged_one_passes_all_the_same(self) -> None:
        port = self.port(tokens=1000)
        for coding, body in (("br", b"\x00\x01\x02"), ("gzip", b"no gzip")):
            self.scripted.answers(http_answer(body, "200 OK", JSON, f"Content-Encoding: {coding}"))
            self.assertEqual((await self.post(port)).body, body)
        self.answers({})
        self.assertEqual(await self.remaining(port), 1000)

    async def test_when_they_are_used_up_requests_that_cost_are_refused_and_no_others(self) -> None:
        port = self.port(tokens=10)
        self.answers({"usage": USAGE})
        self.assertEqual((await self.post(port)).status, 200)
        self.clock.advance(1)
        answer = await self.post(port)
        self.assertEqual(
            (answer.status, answer.error["type"], answer.error["code"], answer.error["message"]),
            (
                429,
                "tokens",
                "rate_limit_exceeded",
                "Rate limit reached on tokens per min (TPM): Limit 10, Used 10. Please try again in 59.9s. The limit "
                "is this proxy's; its operator sets it.",
            ),
        )
        self.assertEqual((answer.fields["retry-after"], self.told(answer)[3:]), ("60", ["10", "0", "1m0s"]))
        self.assertEqual(await self.remaining(port), 0)
        self.clock.advance(60)
        self.assertEqual((await self.post(port)).status, 200)

    async def test_errors_cost_nothing(self) -> None:
        port = self.port(tokens=100)
        self.answers({"usage": USAGE}, "400 Bad Request")
        self.assertEqual((await self.post(port)).status, 400)
        self.answers({})
        self.assertEqual(await self.remaining(port), 100)

    async def test_of_an_answer_that_is_cut_off_what_it_said_counts(self) -> None:
        port = self.port(tokens=100)

        def script(connection: Any, request: Any) -> None:
            connection.write(http_stream(COMPLETED, end=False))
            connection.close()

        self.scripted.script = script
        client = await self.client(port)
        client.post("/v1/responses", b"{}")
        await client.closed
        self.answers({})
        self.assertEqual(await self.remaining(port), 96)

    async def test_an_upstream_that_does_not_say_it_is_named_in_the_log_once(self) -> None:
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            if "how many tokens" in event.get("log_format", ""):
                said.append(event["target"])

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        port = self.port(tokens=100)
        self.answers({"data": []})
        await self.post(port, path="/v1/files")
        self.assertEqual(said, [])
        for _ in range(2):
            await self.post(port, path="/v1/embeddings")
        self.assertEqual(said, ["/embeddings"])


class StoreTests(RateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            text = event.get("log_format") or ""
            if text.startswith("the store"):
                self.said.append(text.format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    async def statuses(self, port: int, count: int) -> Sequence[int]:
        return [(await self.post(port)).status for _ in range(count)]

    async def test_where_it_is_away_the_process_counts_by_itself(self) -> None:
        port = self.port(requests=2)
        self.store.away = True
        self.assertEqual(await self.statuses(port, 4), [200, 200, 429, 429])
        self.clock.advance(61)
        self.assertEqual(await self.statuses(port, 3), [200, 200, 429])
        self.assertEqual(
            self.said,
            [
                "the store is away, so each process counts requests and tokens by itself: the store at "
                "redis://somewhere: connection refused"
            ],
        )

    async def test_when_it_is_back_it_counts_again(self) -> None:
        port = self.port(requests=3)
        self.assertEqual(await self.statuses(port, 1), [200])
        self.store.away = True
        self.assertEqual(await self.statuses(port, 1), [200])
        self.store.away = False
        self.assertEqual(await self.statuses(port, 2), [200, 429])
        self.assertEqual(len(self.said), 2)
        self.assertIn("is back", self.said[1])

    async def test_tokens_are_counted_without_it_too(self) -> None:
        port = self.port(tokens=20)
        self.store.away = True
        self.answers({"usage": USAGE})
        self.assertEqual(await self.statuses(port, 3), [200, 200, 429])

    async def test_a_store_with_a_fault_of_its_own_is_no_reason_to_refuse(self) -> None:
        class Broken(MemoryStore):
            def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
                raise ZeroDivisionError

        port = self.port(requests=2, store=Broken(self.clock.seconds))
        self.assertEqual(await self.statuses(port, 3), [200, 200, 429])
        self.assertEqual(len(self.said), 1)

    async def test_without_a_store_the_process_counts(self) -> None:
        port = self.proxy(settings=Settings(rates=Rates(2)), clock=self.clock)
        self.assertEqual(await self.statuses(port, 3), [200, 200, 429])

    async def test_a_client_that_leaves_while_the_store_is_asked_is_gone(self) -> None:
        waiting: list[Deferred[list[int]]] = []

        class Slow(MemoryStore):
            def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
                waiting.append(Deferred())
                return waiting[-1]

        port = self.port(requests=2, store=Slow(self.clock.seconds))
        client = await self.client(port)
        client.post("/v1/responses", b"{}")
        await self.until(lambda: waiting)
        assert client.transport is not None
        client.transport.abortConnection()  # type: ignore[attr-defined]
        await self.until(lambda: waiting[0].called)
        self.assertEqual(self.scripted.requests, [])

    async def test_processes_with_one_store_have_one_minute(self) -> None:
        ports = [self.port(requests=3) for _ in range(3)]
        self.assertEqual([(await self.post(port)).status for port in (*ports, *ports)], [200] * 3 + [429] * 3)
