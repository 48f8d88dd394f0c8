"""A cut is never an end: an upstream that dies behind every single byte of its answer, on real sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import openai
from twisted.internet import threads

from oaiproxy.api.request import PortKind
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import Settings, ToolSettings
from tests.faults.exchanges import (
    CHAT_JSON,
    CHAT_STREAM,
    CHAT_TO_CLOSE,
    DONE,
    OWN_CALL_STREAM,
    RESPONSE_COMPLETED,
    RESPONSE_JSON,
    RESPONSE_STREAM,
    RESPONSE_TO_CLOSE,
    request,
)
from tests.faults.support import FaultTestCase, Seen, send_now
from tests.process import PATIENCE
from tests.support import Received, UpstreamConnection
from tests.tools.support import Tool

try:
    import httpx2 as httpx  # what the SDK brings since version 3
except ImportError:
    import httpx  # type: ignore[import-not-found, no-redef, unused-ignore]

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
THINK = Settings(think=ThinkBook(ThinkRules(ThinkMode.MOVE)))
TOOLS = Settings(tools=ToolSettings(enabled=True))

#: With so many bytes upstream has said all that a translated answer needs.
SAID = RESPONSE_STREAM.index(RESPONSE_COMPLETED) + len(RESPONSE_COMPLETED)

Cut = tuple[int, str]


#: Every byte is one to be cut behind; resets come behind every third, unless this says that they come behind each.
RESETS = 1 if os.environ.get("TEST_EVERY_RESET") else 3


def cuts(answer: bytes, step: int = 1) -> Iterator[Cut]:
    """Each byte behind which it is cut, and each way to do it."""
    for offset in range(0, len(answer), step):
        yield offset, "close"
        if step > 1 or offset % RESETS == 0:
            yield offset, "reset"


def body_of(answer: bytes, cut: int) -> bytes:
    """What came of an answer's body when so many of its bytes came."""
    if answer in (CHAT_TO_CLOSE, RESPONSE_TO_CLOSE):
        return answer[:cut].partition(b"\r\n\r\n")[2]
    return Seen.of(answer[:cut]).body


class CutTests(FaultTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()

    def bridge(self, settings: Settings | None = None) -> int:
        return self.proxy(PortKind.BRIDGE, settings)

    async def each_cut(
        self,
        port: int,
        path: str,
        body: bytes,
        answer: bytes,
        whole_from: int | None = None,
        step: int = 1,
        begun: bool = False,
    ) -> None:
        """Every cut of an answer is one for the client too.

        @param whole_from: with how many bytes of it the client has all that upstream had to say.
        @param begun: whether the client's answer begins before this one does.
        """
        head = 0 if begun else answer.index(b"\r\n\r\n") + 4

        async def one(cut: Cut) -> None:
            offset, how = cut
            seen = await self.seen(port, f"{path}?cut=0.{offset}.{how}", body)
            if whole_from is not None and offset >= whole_from and seen.whole:
                self.assertEqual(seen.status, 200, cut)
                return
            if seen.status == 502:
                self.assertTrue(seen.whole, cut)
                self.assertIn(seen.error["code"], ("upstream_unreachable", "upstream_incomplete"), cut)
            else:
                self.assertEqual((seen.status, seen.whole), (200, False), (cut, seen))
                self.assertGreaterEqual(offset, head, cut)
            self.look(seen, answer, offset, whole_from)

        await self.all_of(cuts(answer, step), one)

    def look(self, seen: Seen, answer: bytes, offset: int, whole_from: int | None) -> None:
        """Nothing in it says that it is over unless upstream had said so."""
        if whole_from is None or offset < whole_from:
            sent = body_of(answer, offset)
            sent, got = (data.replace(b": ", b":") for data in (sent, seen.body))
            for end in (b"[DONE]", b'"finish_reason":"'):
                if end not in sent:
                    self.assertNotIn(end, got, offset)
        if seen.status == 200 and seen.body.startswith(b"data:"):
            self.in_order(seen.body)

    def in_order(self, stream: bytes) -> None:
        """The error at the end of a stream is an event of its own."""
        *events, last = stream.split(b"\n\n")
        for event in events:
            self.assertEqual(event.count(b"data:"), 1, stream)
        self.assertLessEqual(last.count(b"data:"), 1, stream)

    # every byte

    async def test_a_stream_that_is_passed_on(self) -> None:
        self.scripted.script = self.dying(CHAT_STREAM)
        await self.each_cut(self.proxy(), CHAT, request(True), CHAT_STREAM)

    async def test_an_object_that_is_passed_on(self) -> None:
        self.scripted.script = self.dying(CHAT_JSON)
        await self.each_cut(self.proxy(), CHAT, request(False), CHAT_JSON)

    async def test_a_stream_that_is_translated(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        await self.each_cut(self.bridge(), CHAT, request(True), RESPONSE_STREAM, SAID)

    async def test_an_object_that_is_translated(self) -> None:
        self.scripted.script = self.dying(RESPONSE_JSON)
        await self.each_cut(self.bridge(), CHAT, request(False), RESPONSE_JSON)

    # the same bytes on other ways: every so many of them

    async def test_a_responses_stream_that_is_passed_on(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        body = b'{"model": "m", "input": "Hi", "stream": true}'
        await self.each_cut(self.bridge(), RESPONSES, body, RESPONSE_STREAM, step=23)

    async def test_a_stream_that_is_translated_to_an_object(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        await self.each_cut(self.bridge(), CHAT, request(False), RESPONSE_STREAM, SAID, step=23)

    async def test_a_stream_whose_thoughts_are_moved(self) -> None:
        self.scripted.script = self.dying(CHAT_STREAM)
        await self.each_cut(self.proxy(settings=THINK), CHAT, request(True), CHAT_STREAM, step=11)

    async def test_an_object_whose_thoughts_are_moved(self) -> None:
        self.scripted.script = self.dying(CHAT_JSON)
        await self.each_cut(self.proxy(settings=THINK), CHAT, request(False), CHAT_JSON, step=11)

    async def test_a_translated_stream_whose_thoughts_are_moved(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        await self.each_cut(self.bridge(THINK), CHAT, request(True), RESPONSE_STREAM, SAID, step=23)

    async def test_a_stream_of_a_port_that_runs_tools(self) -> None:
        self.scripted.script = self.dying(CHAT_STREAM)
        await self.each_cut(self.proxy(settings=TOOLS, tools=[Tool()]), CHAT, request(True), CHAT_STREAM, step=11)

    async def test_an_object_of_a_port_that_runs_tools(self) -> None:
        self.scripted.script = self.dying(CHAT_JSON)
        await self.each_cut(self.proxy(settings=TOOLS, tools=[Tool()]), CHAT, request(False), CHAT_JSON, step=11)

    async def test_the_stream_of_a_second_round(self) -> None:
        dies = self.dying(CHAT_STREAM)

        def script(connection: UpstreamConnection, request: Received) -> None:
            if b'"tool"' in request.body:
                dies(connection, request)
            else:
                send_now(connection, OWN_CALL_STREAM)

        self.scripted.script = script
        port = self.proxy(settings=TOOLS, tools=[Tool()])
        await self.each_cut(port, CHAT, request(True), CHAT_STREAM, step=23, begun=True)

    # answers that only the end of the connection ends: what the API says tells an end from a cut

    async def test_streams_without_a_length_that_are_passed_on(self) -> None:
        self.scripted.script = self.dying(CHAT_TO_CLOSE)
        # the finish reason is complete with its chunk
        end = CHAT_TO_CLOSE.index(b'tool_calls"}]}') + len(b'tool_calls"}]}')
        for port in (self.proxy(), self.proxy(settings=THINK), self.proxy(settings=TOOLS, tools=[Tool()])):
            await self.each_cut(port, CHAT, request(True), CHAT_TO_CLOSE, end, step=7)

    async def test_one_that_has_come_whole_is_whole(self) -> None:
        self.scripted.script = self.dying(CHAT_TO_CLOSE)
        for port in (self.proxy(), self.proxy(settings=THINK)):
            seen = await self.seen(port, f"{CHAT}?cut=0.{len(CHAT_TO_CLOSE)}.close", request(True))
            self.assertTrue(seen.whole)
            self.assertTrue(seen.body.endswith(DONE))

    async def test_streams_without_a_length_of_the_responses_api(self) -> None:
        self.scripted.script = self.dying(RESPONSE_TO_CLOSE)
        end = len(RESPONSE_TO_CLOSE) - 2
        body = b'{"model": "m", "input": "Hi", "stream": true}'
        await self.each_cut(self.bridge(), RESPONSES, body, RESPONSE_TO_CLOSE, end, step=23)
        await self.each_cut(self.bridge(), CHAT, request(True), RESPONSE_TO_CLOSE, end, step=23)

    # what the SDK makes of it

    async def sdk_raises(self, port: int, answer: bytes, stream: bool, until: int) -> None:
        """The SDK says each time that the answer broke off."""
        head = answer.index(b"\r\n\r\n") + 4
        self.scripted.script = self.dying(answer)
        for how in ("close", "reset"):
            for offset in (0, head // 2, head, *range(head + 1, until, (until - head) // 6), until - 1):
                said = await threads.deferToThread(sdk, port, f"0.{offset}.{how}", stream)
                self.assertIsInstance(said, BROKEN, (offset, how))

    async def test_the_sdk_raises_for_a_stream_that_is_passed_on(self) -> None:
        # what follows [DONE] the SDK does not read
        until = CHAT_STREAM.index(b"data: [DONE]")
        await self.sdk_raises(self.proxy(), CHAT_STREAM, True, until)

    async def test_the_sdk_raises_for_an_object_that_is_passed_on(self) -> None:
        await self.sdk_raises(self.proxy(), CHAT_JSON, False, len(CHAT_JSON))

    async def test_the_sdk_raises_for_a_stream_that_is_translated(self) -> None:
        await self.sdk_raises(self.bridge(), RESPONSE_STREAM, True, SAID)

    async def test_the_sdk_raises_for_objects_that_are_translated(self) -> None:
        await self.sdk_raises(self.bridge(), RESPONSE_STREAM, False, SAID)
        await self.sdk_raises(self.bridge(), RESPONSE_JSON, False, len(RESPONSE_JSON))


#: What the SDK raises where an answer fails or breaks off.
BROKEN = (openai.APIError, httpx.TransportError)


def sdk(port: int, cut: str, stream: bool) -> Any:
    """What the SDK returns of a whole exchange, or what it raises."""
    # no TLS here, and to read authorities for each client takes longer than all the rest
    http = openai.DefaultHttpxClient(trust_env=False, verify=False)
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key="sk-x",
        max_retries=0,
        timeout=PATIENCE,
        http_client=http,
        default_query={"cut": cut},
    ) as client:
        create: Any = client.chat.completions.create
        try:
            answer = create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=stream)
            return list(answer) if stream else answer
        except Exception as e:
            return e
