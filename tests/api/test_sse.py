"""Server-sent events, as bytes and as events."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.sse import DONE, SseDecoder, encode_event

#: name -> bytes, and the events that they are: (event, data).  Each is fed at once and one byte at a time.
STREAMS: dict[str, tuple[bytes, list[tuple[str, bytes]]]] = {
    "nothing": (b"", []),
    "event and data": (b"event: a\ndata: {}\n\n", [("a", b"{}")]),
    "data alone": (b"data: {}\n\n", [("", b"{}")]),
    "data before event": (b"data: {}\nevent: a\n\n", [("a", b"{}")]),
    "two events": (b"data: 1\n\ndata: 2\n\n", [("", b"1"), ("", b"2")]),
    "carriage returns": (b"event: a\rdata: 1\r\rdata: 2\r\r", [("a", b"1"), ("", b"2")]),
    "CRLF": (b"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", [("a", b"1"), ("", b"2")]),
    "line ends of every sort": (
        b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\n\rdata: 4\n\n",
        [("", b"1"), ("", b"2"), ("", b"3"), ("", b"4")],
    ),
    "more blank lines than needed": (b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n", [("", b"1"), ("", b"2")]),
    "data of several lines": (b"data: {\ndata: }\n\n", [("", b"{\n}")]),
    "no space after the colon": (b"event:a\ndata:1\n\n", [("a", b"1")]),
    "one space is taken off, not two": (b"data:  1\n\n", [("", b" 1")]),
    "a colon in the data": (b"data: a: b\n\n", [("", b"a: b")]),
    "empty data": (b"data:\n\ndata\n\n", [("", b""), ("", b"")]),
    "the last event field counts": (b"event: a\nevent: b\ndata: 1\n\n", [("b", b"1")]),
    "the event field is for one block": (b"event: a\ndata: 1\n\ndata: 2\n\n", [("a", b"1"), ("", b"2")]),
    "a block without data": (b"event: ping\n\nid: 1\n\nretry: 5\n\ndata: 1\n\n", [("", b"1")]),
    "comments": (b": keep-alive\n\n:\ndata: 1\n: in between\n\n", [("", b"1")]),
    "unknown fields": (b"hello\ndata: 1\nmore: 2\n\n", [("", b"1")]),
    "id and retry": (b"id: 7\nretry: 5\ndata: 1\n\n", [("", b"1")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", [("", b"1")]),
    "half a byte order mark is none": (b"\xef\xbbdata: 1\n\ndata: 2\n\n", [("", b"2")]),
    "a byte order mark later on is none": (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [("", b"1")]),
    "UTF-8": ('data: "🦊é"\n\n'.encode(), [("", '"🦊é"'.encode())]),
    "line separators of Unicode are none": ("data: \u2028\x85\u2029\n\n".encode(), [("", "\u2028\x85\u2029".encode())]),
    "what is not UTF-8": (b"event: \xff\ndata: \xff\n\n", [("\ufffd", b"\xff")]),
    "a block that is not complete": (b"data: 1\n\ndata: 2\n", [("", b"1")]),
}


def decoded(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    decoder = SseDecoder()
    return [(event.event, event.data) for piece in pieces for event in decoder.feed(piece)]


class DecoderTests(SynchronousTestCase):
    def test_every_form_of_stream_at_once(self) -> None:
        for name, (raw, events) in STREAMS.items():
            self.assertEqual(decoded([raw]), events, name)

    def test_every_form_of_stream_one_byte_at_a_time(self) -> None:
        for name, (raw, events) in STREAMS.items():
            self.assertEqual(decoded([raw[i : i + 1] for i in range(len(raw))]), events, name)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from(sorted(STREAMS)), max_size=4), st.data())
    def test_any_cut_gives_the_same_events(self, names: list[str], data: st.DataObject) -> None:
        raw = b"".join(STREAMS[name][0] for name in names)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        self.assertEqual(decoded(pieces), decoded([raw]))

    def test_an_event_is_given_out_with_the_byte_that_ends_it(self) -> None:
        decoder = SseDecoder()
        self.assertEqual(decoder.feed(b"data: 1\r\n"), [])
        self.assertEqual([e.data for e in decoder.feed(b"\r")], [b"1"])
        self.assertEqual([e.data for e in decoder.feed(b"\ndata: 2\n\n")], [b"2"])

    def test_a_line_of_20_MB_in_pieces(self) -> None:
        decoder, line = SseDecoder(), b"data: " + b"x" * (20 * 1024 * 1024) + b"\n\n"
        events = [e for i in range(0, len(line), 16384) for e in decoder.feed(line[i : i + 16384])]
        self.assertEqual([len(e.data) for e in events], [20 * 1024 * 1024])

    def test_an_event_over_the_limit_is_refused_before_it_is_whole(self) -> None:
        decoder = SseDecoder(limit=100)
        self.assertEqual(len(decoder.feed(b"data: " + b"x" * 90 + b"\n\n")), 1)
        decoder.feed(b"data: " + b"x" * 50)
        error = self.assertRaises(UpstreamInvalid, decoder.feed, b"x" * 50)
        self.assertEqual((error.status, error.code), (502, "upstream_event_too_large"))

    def test_a_whole_event_over_the_limit_is_refused_too(self) -> None:
        self.assertRaises(UpstreamInvalid, SseDecoder(limit=100).feed, b"data: " + b"x" * 100 + b"\n\n")

    def test_the_end_hands_on_an_event_without_its_blank_line(self) -> None:
        for rest in (b"event: a\ndata: 1", b"event: a\ndata: 1\n", b"event: a\r\ndata: 1\r\n"):
            decoder = SseDecoder()
            self.assertEqual(decoder.feed(rest), [])
            self.assertEqual([(e.event, e.data) for e in decoder.end()], [("a", b"1")])
            self.assertEqual(decoder.end(), [])

    def test_the_end_of_a_complete_stream_is_nothing(self) -> None:
        for raw in (b"", b"data: 1\n\n", b"data: 1\n\n: bye\n", b"\xef\xbb"):
            decoder = SseDecoder()
            decoder.feed(raw)
            self.assertEqual(decoder.end(), [])


class EncoderTests(SynchronousTestCase):
    def test_an_event_is_one_data_line(self) -> None:
        self.assertEqual(encode_event(b'{"a":1}'), b'data: {"a":1}\n\n')

    def test_the_end_of_a_chat_stream(self) -> None:
        self.assertEqual(DONE, b"data: [DONE]\n\n")

    def test_what_line_readers_cut_at_is_escaped(self) -> None:
        value = {"text": "a\u2028b\u2029c\x85d 🦊"}
        raw = encode_event(json.dumps(value, ensure_ascii=False).encode())
        self.assertEqual(raw.decode().splitlines(), [raw.decode()[:-2], ""])
        self.assertEqual(json.loads(raw[len(b"data: ") :]), value)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.text())
    def test_what_is_encoded_is_decoded(self, text: str) -> None:
        raw = encode_event(json.dumps(text, ensure_ascii=False).encode())
        [event] = SseDecoder().feed(raw)
        self.assertEqual(json.loads(event.data), text)
