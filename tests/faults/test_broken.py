"""Upstreams that stall, or send what is not what they said: on real sockets, on both kinds of port."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.api.sse import SseDecoder
from oaiproxy.api.sseblocks import SseBlocks
from oaiproxy.settings import Settings, Timeouts, ToolSettings
from tests.faults.exchanges import (
    CHAT_EVENTS,
    CHAT_JSON,
    EVENTS,
    JSON,
    RESPONSE_BEGINS,
    RESPONSE_COMPLETED,
    RESPONSE_EVENTS,
    RESPONSE_OBJECT,
    chat_chunk,
    event,
    request,
    text_delta,
)
from tests.faults.support import FaultTestCase, Seen
from tests.faults.test_cuts import CHAT, THINK, TOOLS
from tests.support import Received, UpstreamConnection, http_answer, http_stream
from tests.tools.support import Tool

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STALL = Timeouts(first_byte=0.2, idle=0.1)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class BrokenCase(FaultTestCase):
    timeout = 10

    def setUp(self) -> None:
        self.scripted = self.upstream()

    async def told(
        self,
        kind: PortKind,
        answer: bytes,
        stream: bool = True,
        settings: Settings | None = None,
        close: bool = False,
        **proxy: Any,
    ) -> Seen:
        """What the client sees of an answer."""

        def script(connection: UpstreamConnection, request: Received) -> None:
            connection.write(answer)
            if close:
                connection.close()

        self.scripted.script = script
        self.port_ = self.proxy(kind, settings, **proxy)
        return await self.seen(self.port_, CHAT, request(stream))

    def breaks_off(self, seen: Seen) -> None:
        """The client knows that a stream that had begun is not whole."""
        self.assertEqual((seen.status, seen.whole), (200, False), seen)
        for end in (b"[DONE]", b'"stop"', b'"tool_calls"}'):
            self.assertNotIn(end, seen.body)

    def error_event(self, seen: Seen) -> dict[str, Any]:
        """The error that is the last event of a stream that breaks off."""
        self.breaks_off(seen)
        last = seen.body.rstrip(b"\n").rpartition(b"\n\n")[2]
        self.assertTrue(last.startswith(b"data: {"), seen.body)
        error: dict[str, Any] = json.loads(last[6:])["error"]
        return error

    async def upstream_left(self) -> None:
        """Nothing goes on with the upstream."""
        await self.scripted.connections[-1].lost


class StallTests(BrokenCase):
    async def test_a_stream_that_stalls_breaks_off_where_it_is_passed_on(self) -> None:
        seen = await self.told(
            PortKind.PASSTHROUGH, CHUNKED + chunked(CHAT_EVENTS[0]), settings=Settings(timeouts=STALL)
        )
        self.breaks_off(seen)
        self.assertEqual(seen.body, CHAT_EVENTS[0])
        await self.upstream_left()

    async def test_a_stream_that_stalls_ends_with_an_error_where_it_is_translated(self) -> None:
        begun = CHUNKED + chunked(b"".join(RESPONSE_BEGINS) + text_delta("Gr"))
        seen = await self.told(PortKind.BRIDGE, begun, settings=Settings(timeouts=STALL))
        self.assertEqual(self.error_event(seen)["code"], "upstream_timeout")
        self.assertIn(b'"Gr"', seen.body)
        await self.upstream_left()

    async def test_an_object_that_stalls_is_a_504_where_it_is_translated(self) -> None:
        for begun in (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", CHUNKED + chunked(b"".join(RESPONSE_BEGINS))):
            seen = await self.told(PortKind.BRIDGE, begun, stream=False, settings=Settings(timeouts=STALL))
            self.assertEqual((seen.status, seen.error["code"], seen.whole), (504, "upstream_timeout", True))
            await self.upstream_left()

    async def test_an_object_that_stalls_breaks_off_where_it_is_passed_on(self) -> None:
        seen = await self.told(PortKind.PASSTHROUGH, CHAT_JSON[:-3], stream=False, settings=Settings(timeouts=STALL))
        self.assertEqual((seen.status, seen.whole), (200, False))
        await self.upstream_left()

    async def test_silence_is_a_504(self) -> None:
        for kind in PortKind:
            seen = await self.told(kind, b"", settings=Settings(timeouts=STALL))
            self.assertEqual((seen.status, seen.error["code"]), (504, "upstream_timeout"))
            await self.upstream_left()


class FramingTests(BrokenCase):
    #: What stands where a chunk should.
    CHUNKS = (
        b"zz\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"3\r\nhello\r\n",
        b"\r\n",
        b"5 5\r\nhello\r\n",
    )

    async def test_a_malformed_chunk_breaks_a_stream_off(self) -> None:
        for bad in self.CHUNKS:
            seen = await self.told(PortKind.PASSTHROUGH, CHUNKED + chunked(CHAT_EVENTS[0]) + bad)
            self.breaks_off(seen)
            self.assertTrue(seen.body.startswith(CHAT_EVENTS[0]), seen)
            await self.upstream_left()

    async def test_a_malformed_chunk_is_an_error_where_the_answer_is_translated(self) -> None:
        for bad in self.CHUNKS:
            seen = await self.told(PortKind.BRIDGE, CHUNKED + chunked(b"".join(RESPONSE_BEGINS)) + bad)
            self.assertEqual(self.error_event(seen)["code"], "upstream_incomplete")
            await self.upstream_left()

    async def test_a_malformed_last_chunk_is_no_end(self) -> None:
        for bad in (b"0\r\nX", b"00000000000000000000000\r\n", b"0;\r\r\n", b"0\n\n"):
            seen = await self.told(PortKind.PASSTHROUGH, CHUNKED + chunked(CHAT_EVENTS[0]) + bad, close=True)
            self.breaks_off(seen)

    async def test_a_length_that_is_too_long_breaks_an_answer_off(self) -> None:
        body = json.dumps(RESPONSE_OBJECT).encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body) + 1,
            body,
        )
        seen = await self.told(PortKind.PASSTHROUGH, answer, stream=False, close=True)
        self.assertEqual((seen.status, seen.whole), (200, False))
        seen = await self.told(PortKind.BRIDGE, answer, stream=False, close=True)
        self.assertEqual((seen.status, seen.error["code"]), (502, "upstream_incomplete"))

    async def test_what_comes_behind_a_length_is_nobody_s_answer(self) -> None:
        evil = http_answer(b'{"stolen": 1}', "200 OK", JSON)
        for behind in (b"x", evil, b"\r\n\r\n" + evil):
            seen = await self.told(PortKind.PASSTHROUGH, http_answer(b"{}", "200 OK", JSON) + behind, stream=False)
            self.assertEqual((seen.status, seen.body, seen.whole), (200, b"{}", True))
            self.scripted.answers(http_answer(b'{"second": 2}', "200 OK", JSON))
            seen = await self.seen(self.port_, CHAT, request(False))
            self.assertEqual((seen.status, seen.body), (200, b'{"second": 2}'))

    async def test_what_comes_behind_a_length_later_is_nobody_s_answer_either(self) -> None:
        seen = await self.told(PortKind.PASSTHROUGH, http_answer(b"{}", "200 OK", JSON), stream=False)
        self.assertEqual(seen.body, b"{}")
        self.scripted.connections[0].write(http_answer(b'{"stolen": 1}', "200 OK", JSON))
        await self.turns(5)
        self.scripted.answers(http_answer(b'{"second": 2}', "200 OK", JSON))
        seen = await self.seen(self.port_, CHAT, request(False))
        self.assertEqual((seen.status, seen.body), (200, b'{"second": 2}'))

    async def test_two_lengths_that_differ_are_an_error(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
        for kind in PortKind:
            seen = await self.told(kind, answer, stream=False)
            self.assertEqual((seen.status, seen.whole), (502, True))
            await self.upstream_left()


class ContentTests(BrokenCase):
    async def test_an_object_that_is_no_json_is_an_error_where_it_is_translated(self) -> None:
        for body in (b"", b"{", b"<html>", b'{"a": 1}}', b'"\xff"', b"[" * 100_000, b"null", b"[]"):
            seen = await self.told(PortKind.BRIDGE, http_answer(body, "200 OK", JSON), stream=False)
            self.assertEqual((seen.status, seen.whole), (502, True), (body[:20], seen))
            self.assertEqual(seen.error["type"], "api_error")

    async def test_an_event_that_is_no_json_is_an_error_where_it_is_translated(self) -> None:
        for data in (b"{", b'{"type": "response.output_text.delta",', b'{"a": ' + b"[" * 100_000):
            stream = http_stream(*RESPONSE_BEGINS, b"data: " + data + b"\n\n", RESPONSE_COMPLETED)
            seen = await self.told(PortKind.BRIDGE, stream)
            self.assertEqual(self.error_event(seen)["code"], "upstream_invalid_response", data[:20])
            seen = await self.told(PortKind.BRIDGE, stream, stream=False)
            self.assertEqual((seen.status, seen.error["code"]), (502, "upstream_invalid_response"), data[:20])

    async def test_bytes_that_are_no_utf_8_are_an_error_wherever_they_are_cut(self) -> None:
        item = {**RESPONSE_OBJECT, "output": []}
        for data in (b"a\xffb", b"a\xc3", b"\xf0\x9f\x98b"):
            delta = text_delta("@").replace(b"@", data)
            for cut in range(0, len(delta), 5):
                begun = b"".join(RESPONSE_BEGINS) + delta[:cut]
                done = event("response.completed", response=item)
                seen = await self.told(PortKind.BRIDGE, http_stream(begun, delta[cut:], done))
                self.assertEqual(self.error_event(seen)["code"], "upstream_invalid_response")
                self.assertNotIn(b"[DONE]", seen.body)

    async def test_a_ping_of_any_sort_is_passed_over(self) -> None:
        seen = await self.told(PortKind.BRIDGE, http_stream(*RESPONSE_BEGINS, b"data: ping\n\n", *RESPONSE_EVENTS[4:]))
        self.assertTrue(seen.whole)
        self.assertTrue(seen.body.endswith(b"data: [DONE]\n\n"))

    async def test_what_is_no_json_is_passed_on_as_it_is(self) -> None:
        body = b'{"broken": "\xff'
        seen = await self.told(PortKind.PASSTHROUGH, http_answer(body, "200 OK", JSON), stream=False)
        self.assertEqual((seen.status, seen.body, seen.whole), (200, body, True))

    async def test_a_character_may_be_cut_anywhere(self) -> None:
        delta = text_delta("ü😀\u2028")
        text = json.dumps("Grüßeü😀\u2028", ensure_ascii=True)
        whole = b"".join([*RESPONSE_BEGINS, text_delta("Grüße"), delta])
        at = len(whole) - len(delta)
        done = event(
            "response.completed",
            response={**RESPONSE_OBJECT, "output": []},
        )
        for cut in range(at, len(whole)):
            seen = await self.told(PortKind.BRIDGE, http_stream(whole[:cut], whole[cut:], done))
            self.assertTrue(seen.whole)
            chunks = [json.loads(line[6:]) for line in seen.body.split(b"\n") if line.startswith(b"data: {")]
            deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
            self.assertEqual(json.dumps("".join(deltas)), text)

    async def test_a_stream_that_ends_too_early_by_the_api_s_own_rules_is_an_error(self) -> None:
        for events in ((), RESPONSE_BEGINS, RESPONSE_EVENTS[:-1]):
            seen = await self.told(PortKind.BRIDGE, http_stream(*events))
            if events:
                self.assertEqual(self.error_event(seen)["code"], "upstream_incomplete")
            else:
                self.assertEqual((seen.status, seen.error["code"]), (502, "upstream_incomplete"))


class LimitTests(BrokenCase):
    """An event that is larger than the limit, which is smaller here."""

    def setUp(self) -> None:
        super().setUp()
        for cut in (SseDecoder, SseBlocks):
            self.patch(cut, "__init__", self.limited(cut.__init__))

    @staticmethod
    def limited(init: Callable[[Any, int], None]) -> Callable[..., None]:
        return lambda self, limit=0: init(self, 1 << 16)

    async def test_it_ends_a_stream_where_thoughts_are_moved_or_tools_are_run(self) -> None:
        large = CHUNKED + chunked(CHAT_EVENTS[0]) + chunked(b"data: " + b"x" * (1 << 17))
        for settings, tools in ((THINK, ()), (TOOLS, (Tool(),))):
            seen = await self.told(PortKind.PASSTHROUGH, large, settings=settings, tools=tools)
            self.assertEqual(self.error_event(seen)["code"], "upstream_event_too_large")
            await self.upstream_left()

    async def test_it_ends_a_stream_that_is_translated(self) -> None:
        for end in (b"", b"\n\n"):
            large = b"data: " + b"x" * (1 << 16) + end
            seen = await self.told(PortKind.BRIDGE, CHUNKED + chunked(b"".join(RESPONSE_BEGINS)) + chunked(large))
            self.assertEqual(self.error_event(seen)["code"], "upstream_event_too_large")
            await self.upstream_left()

    async def test_it_ends_an_object_that_is_made_of_a_stream(self) -> None:
        large = chunked(b"".join(RESPONSE_BEGINS)) + chunked(b"data: " + b"x" * (1 << 17))
        seen = await self.told(PortKind.BRIDGE, CHUNKED + large, stream=False)
        self.assertEqual((seen.status, seen.error["code"]), (502, "upstream_event_too_large"))
        await self.upstream_left()

    async def test_it_is_passed_on_where_nobody_reads_it(self) -> None:
        large = chat_chunk({"content": "x" * (1 << 17)})
        seen = await self.told(PortKind.PASSTHROUGH, http_stream(large, *CHAT_EVENTS))
        self.assertTrue(seen.whole)
        self.assertEqual(seen.body, large + b"".join(CHAT_EVENTS))


class CompressedTests(BrokenCase):
    """Codings that were not asked for."""

    async def test_a_compressed_object_that_is_cut_is_an_error_although_its_length_is_right(self) -> None:
        packed = gzip.compress(json.dumps(RESPONSE_OBJECT).encode(), mtime=0)
        for cut in range(len(packed) - 1):
            seen = await self.told(
                PortKind.BRIDGE, http_answer(packed[:cut], "200 OK", JSON, "Content-Encoding: gzip"), stream=False
            )
            self.assertEqual((seen.status, seen.whole), (502, True), cut)

    async def test_a_compressed_stream_that_is_cut_is_an_error_although_its_chunks_are_right(self) -> None:
        packer = zlib.compressobj(wbits=31)
        packed = b"".join(packer.compress(e) + packer.flush(zlib.Z_SYNC_FLUSH) for e in RESPONSE_EVENTS[:-1])
        for cut in range(0, len(packed), 9):
            fields = (EVENTS, "Content-Encoding: gzip")
            seen = await self.told(PortKind.BRIDGE, http_stream(packed[:cut], fields=fields))
            if seen.status == 200:
                self.assertEqual(self.error_event(seen)["code"], "upstream_incomplete", cut)
            else:
                self.assertEqual((seen.status, seen.error["code"]), (502, "upstream_incomplete"), cut)

    async def test_a_compressed_chat_stream_that_is_cut_is_no_end_where_it_is_read(self) -> None:
        packer = zlib.compressobj(wbits=31)
        packed = b"".join(packer.compress(e) + packer.flush(zlib.Z_SYNC_FLUSH) for e in CHAT_EVENTS[:3])
        answer = http_stream(packed, fields=(EVENTS, "Content-Encoding: gzip"))
        for settings, tools in ((THINK, ()), (TOOLS, (Tool(),))):
            seen = await self.told(PortKind.PASSTHROUGH, answer, settings=settings, tools=tools)
            self.assertEqual(self.error_event(seen)["code"], "upstream_incomplete")

    async def test_one_of_several_members_is_read_whole(self) -> None:
        body = json.dumps(RESPONSE_OBJECT).encode()
        packed = gzip.compress(body[:50]) + gzip.compress(body[50:])
        answer = http_answer(packed, "200 OK", JSON, "Content-Encoding: gzip")
        seen = await self.told(PortKind.BRIDGE, answer, stream=False)
        self.assertEqual(json.loads(seen.body)["choices"][0]["message"]["content"], "Grüße")

    async def test_a_coding_that_is_not_read_is_an_error_and_ends_the_request(self) -> None:
        answer = http_answer(b"x" * 100_000, "200 OK", JSON, "Content-Encoding: br")
        seen = await self.told(PortKind.BRIDGE, answer, stream=False)
        self.assertEqual((seen.status, seen.error["code"]), (502, "upstream_invalid_response"))
        await self.upstream_left()

    async def test_a_failure_that_unfolds_to_much_is_not_read_whole(self) -> None:
        packed = gzip.compress(b" " * 50_000_000)
        answer = http_answer(packed, "500 Internal Server Error", JSON, "Content-Encoding: gzip")
        seen = await self.told(PortKind.BRIDGE, answer, stream=False)
        self.assertEqual(seen.status, 500)


class ToolTests(BrokenCase):
    async def test_a_stream_that_breaks_off_without_a_call_of_ours_is_no_end(self) -> None:
        # this request names no tool that the proxy could run, so that its answer is only looked at
        settings = Settings(tools=ToolSettings(enabled=True, offer=False))
        half = CHUNKED + chunked(CHAT_EVENTS[0] + CHAT_EVENTS[1][:20])
        seen = await self.told(PortKind.PASSTHROUGH, half, settings=settings, close=True, tools=[Tool()])
        self.breaks_off(seen)
        self.assertLessEqual(seen.body.split(b"\n\n")[1].count(b"data:"), 1, seen.body)
