"""Limits by the minute as the openai SDK sees them: an error of its own kind, and a wait that it keeps to by itself."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, ClassVar

import openai
from twisted.internet.threads import blockingCallFromThread, deferToThread

from oaiproxy.api.request import PortKind
from oaiproxy.settings import Rates, Settings
from tests.e2e.support import ServiceTestCase
from tests.support import ClockedReactor, SocketTestCase, http_answer
from tests.web.test_bridge import response

JSON = "Content-Type: application/json"

ASKED: dict[str, Any] = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "demo:tokens=3"}]}


class _LimitTests(ServiceTestCase):
    """What holds on either port."""

    options: ClassVar[tuple[str, ...]] = ("--upstream", "demo", "--requests-per-minute", "4")

    def test_the_limit_is_raised_as_the_sdk_knows_it(self) -> None:
        # a key of its own would not do: without proxy keys the port is one
        client = self.client()
        for left in (3, 2, 1, 0):
            raw = client.chat.completions.with_raw_response.create(**ASKED)
            self.assertEqual(raw.headers["x-ratelimit-remaining-requests"], str(left))
            self.assertEqual(raw.headers["x-ratelimit-limit-requests"], "4")
            self.assertRegex(raw.headers["x-ratelimit-reset-requests"], r"^(1m\d(\.\d+)?s|\d+(\.\d+)?s)$")
            # of those there is no limit here
            self.assertEqual(raw.headers["x-ratelimit-limit-tokens"], "2000000")
        for stream in (False, True):
            with self.assertRaises(openai.RateLimitError) as caught:
                client.chat.completions.create(**ASKED, stream=stream)
            error = caught.exception
            self.assertEqual((error.status_code, error.code, error.type), (429, "rate_limit_exceeded", "requests"))
            self.assertIn("Limit 4, Used 4, Requested 1. Please try again in", error.message)
            self.assertTrue(50 <= int(error.response.headers["retry-after"]) <= 60)
            self.assertTrue(50_000 < int(error.response.headers["retry-after-ms"]) < 60_000)


class PassthroughTests(_LimitTests):
    port = "passthrough"


class BridgeTests(_LimitTests):
    port = "bridge"


del _LimitTests


class TokenTests(ServiceTestCase):
    """Against the demo, with its own figures."""

    options: ClassVar[tuple[str, ...]] = ("--upstream", "demo", "--tokens-per-minute", "1000000")

    def left(self, port: str) -> int:
        """The tokens that are left, as the answer to a request says that costs none."""
        raw = self.client(port).files.with_raw_response.list()
        return int(raw.headers["x-ratelimit-remaining-tokens"])

    def test_each_answer_costs_what_it_says_that_it_costs(self) -> None:
        for port in ("passthrough", "bridge"):
            client = self.client(port)
            before = self.left(port)
            cost = client.chat.completions.create(**ASKED).usage.total_tokens
            chunks = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
            cost += chunks[-1].usage.total_tokens
            cost += client.responses.create(model="gpt-5.1", input="demo:tokens=5").usage.total_tokens
            *_, last = client.responses.create(model="gpt-5.1", input="demo:tokens=5", stream=True)
            cost += last.response.usage.total_tokens
            self.assertEqual(before - self.left(port), cost, port)

    def test_a_stream_whose_client_does_not_ask_for_usage_costs_as_much_and_tells_him_nothing(self) -> None:
        for port in ("passthrough", "bridge"):
            client = self.client(port)
            asked = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
            before = self.left(port)
            chunks = list(client.chat.completions.create(**ASKED, stream=True))
            self.assertEqual(before - self.left(port), asked[-1].usage.total_tokens, port)
            self.assertEqual([chunk for chunk in chunks if not chunk.choices], [])
            self.assertEqual([chunk.usage for chunk in chunks], [None] * len(chunks))


class RetryTests(SocketTestCase):
    """The SDK in a thread, and a proxy whose time passes while the SDK waits."""

    def setUp(self) -> None:
        self.clock = ClockedReactor()
        self.clock.advance(1_795_000_000)
        self.waits: list[float] = []
        self.patch(time, "sleep", self.sleep)
        self.upstream().answers(http_answer(json.dumps(response()).encode(), "200 OK", JSON))

    def sleep(self, seconds: float) -> None:
        self.assertIsNot(threading.current_thread(), threading.main_thread())
        self.waits.append(seconds)
        reactor: Any = self.clock
        blockingCallFromThread(reactor, self.clock.advance, seconds)

    def create(self, port: int, **settings: Any) -> str:
        """Ask for a completion; blocks."""
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key="sk-x",
            http_client=openai.DefaultHttpxClient(trust_env=False),
            **settings,
        ) as client:
            made: Any = client.chat.completions.create(**ASKED)
            return str(made.choices[0].message.content)

    def port(self, **rates: int) -> int:
        settings = Settings(rates=Rates(**rates))
        return self.proxy(PortKind.BRIDGE, settings, clock=self.clock)

    async def test_it_comes_again_when_it_was_told_to_and_is_answered(self) -> None:
        port = self.port(requests=1)
        await deferToThread(self.create, port)
        self.clock.advance(20)
        self.assertEqual(await deferToThread(self.create, port, max_retries=1), "Hello")
        self.assertEqual(self.waits, [41.0])

    async def test_so_it_does_where_tokens_are_used_up(self) -> None:
        port = self.port(tokens=4)
        await deferToThread(self.create, port)
        self.clock.advance(30.5)
        self.assertEqual(await deferToThread(self.create, port, max_retries=1), "Hello")
        self.assertEqual(self.waits, [30.5])

    async def test_the_longest_wait_that_there_is_is_one_that_it_keeps_to(self) -> None:
        port = self.port(requests=1)
        await deferToThread(self.create, port)
        # as often as it does by default
        self.assertEqual(await deferToThread(self.create, port), "Hello")
        self.assertEqual([round(wait, 3) for wait in self.waits], [59.9, 1.1])

    async def test_in_the_end_it_gives_up(self) -> None:
        port = self.port(requests=1)
        await deferToThread(self.create, port)
        with self.assertRaises(openai.RateLimitError):
            await deferToThread(self.create, port, max_retries=0)
        self.assertEqual(self.waits, [])
