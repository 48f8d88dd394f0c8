"""A cut is never an end: an upstream that dies behind every single byte of its answer, on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
from twisted.internet import threads

from oaiproxy.api.request import PortKind
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import Settings, ToolSettings
from tests.faults.exchanges import (
    CHAT_EVENTS,
    CHAT_JSON,
    CHAT_STREAM,
    OWN_CALL_STREAM,
    RESPONSE_COMPLETED,
    RESPONSE_EVENTS,
    RESPONSE_JSON,
    RESPONSE_STREAM,
    request,
)
from tests.faults.support import FaultTestCase, Seen, send_now
from tests.process import PATIENCE
from tests.support import Received, UpstreamConnection
from tests.tools.support import Tool

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
THINK = Settings(think=ThinkBook(ThinkRules(ThinkMode.MOVE)))
TOOLS = Settings(tools=ToolSettings(enabled=True))

Cut = tuple[int, str]


def cuts(answer: bytes, step: int = 1) -> Iterator[Cut]:
    """Each byte behind which it is cut, and each way to do it."""
    return ((offset, how) for offset in range(0, len(answer), step) for how in ("close", "reset"))


def body_of(answer: bytes, cut: int) -> bytes:
    """What came of an answer's body when so many of its bytes came."""
    return Seen.of(answer[:cut]).body


class CutTests(FaultTestCase):
    def setUp(self) -> None:
        self.scripted = self.upstream()

    async def each_cut(
        self, port: int, path: str, body: bytes, answer: bytes, whole_from: int | None = None, step: int = 1
    ) -> None:
        """Every cut of an answer is one for the client too.

        @param whole_from: with how many bytes of it the client has all that upstream had to say.
        """
        head = answer.index(b"\r\n\r\n") + 4

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
            for end in (b"[DONE]", b'"finish_reason": "', b'"finish_reason":"'):
                if end not in sent:
                    self.assertNotIn(end, seen.body, offset)

    async def test_a_stream_that_is_passed_on(self) -> None:
        self.scripted.script = self.dying(CHAT_STREAM)
        await self.each_cut(self.proxy(), CHAT, request(True), CHAT_STREAM)

    async def test_a_responses_stream_that_is_passed_on(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        port = self.proxy(PortKind.BRIDGE)
        await self.each_cut(port, RESPONSES, b'{"model": "m", "input": "Hi", "stream": true}', RESPONSE_STREAM)

    async def test_an_object_that_is_passed_on(self) -> None:
        self.scripted.script = self.dying(CHAT_JSON)
        await self.each_cut(self.proxy(), CHAT, request(False), CHAT_JSON)

    async def test_a_stream_that_is_translated(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        end = RESPONSE_STREAM.index(RESPONSE_COMPLETED) + len(RESPONSE_COMPLETED)
        await self.each_cut(self.proxy(PortKind.BRIDGE), CHAT, request(True), RESPONSE_STREAM, whole_from=end)

    async def test_a_stream_that_is_translated_to_an_object(self) -> None:
        self.scripted.script = self.dying(RESPONSE_STREAM)
        end = RESPONSE_STREAM.index(RESPONSE_COMPLETED) + len(RESPONSE_COMPLETED)
        await self.each_cut(self.proxy(PortKind.BRIDGE), CHAT, request(False), RESPONSE_STREAM, whole_from=end)

    async def test_an_object_that_is_translated(self) -> None:
        self.scripted.script = self.dying(RESPONSE_JSON)
        await self.each_cut(self.proxy(PortKind.BRIDGE), CHAT, request(False), RESPONSE_JSON)
