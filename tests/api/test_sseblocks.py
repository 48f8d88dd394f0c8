"""Server-sent events as bytes: cut where they end, and put together again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import UpstreamInvalid
from oaiproxy.api.sse import SseDecoder
from oaiproxy.api.sseblocks import SseBlocks, block_data, event_block, other_lines


def cut(*pieces: bytes) -> list[bytes]:
    """The blocks of a stream, and what stands after the last."""
    blocks = SseBlocks()
    return [*(block for piece in pieces for block in blocks.feed(piece)), blocks.end()]


class SseBlocksTests(SynchronousTestCase):
    def test_a_block_ends_after_an_empty_line(self) -> None:
        self.assertEqual(cut(b"data: 1\n\ndata: 2\n\n"), [b"data: 1\n\n", b"data: 2\n\n", b""])

    def test_what_is_not_complete_waits(self) -> None:
        self.assertEqual(cut(b"da", b"ta: 1\n", b"\nid: 7\n"), [b"data: 1\n\n", b"id: 7\n"])

    def test_lines_end_as_they_like(self) -> None:
        self.assertEqual(
            cut(b"data: 1\r\n\r\ndata: 2\r\rdata: 3\n\n"), [b"data: 1\r\n\r\n", b"data: 2\r\r", b"data: 3\n\n", b""]
        )

    def test_crlf_is_one_line_end_wherever_it_is_cut(self) -> None:
        self.assertEqual(cut(b"event: x\r", b"\ndata: 1\r", b"\n\r\n"), [b"event: x\r\ndata: 1\r\n\r\n", b""])

    def test_an_event_over_the_limit_is_refused(self) -> None:
        for pieces in ((b"data: 123456",), (b"data:", b" 123456")):
            *before, last = pieces
            blocks = SseBlocks(limit=10)
            self.assertEqual([blocks.feed(piece) for piece in before], [[] for _ in before])
            self.assertRaises(UpstreamInvalid, blocks.feed, last)

    def test_the_data_of_a_block(self) -> None:
        self.assertEqual(block_data(b"data: {}\n\n"), b"{}")
        self.assertEqual(block_data(b"data:{}\r\n\r\n"), b"{}")
        self.assertEqual(block_data(b"\xef\xbb\xbf: hi\nevent: x\ndata: 1\ndata: 2\nid: 3\n\n"), b"1\n2")
        self.assertIsNone(block_data(b": ping\n\n"))
        self.assertIsNone(block_data(b"database: 1\n\n"))

    def test_the_other_lines_of_a_block(self) -> None:
        self.assertEqual(other_lines(b": hi\r\nevent: x\r\ndata: 1\r\nid: 3\r\n\r\n"), [b": hi", b"event: x", b"id: 3"])

    def test_a_block_is_made_of_data_and_lines(self) -> None:
        self.assertEqual(event_block(b'{"a":1,\n"b":2}', [b"id: 3"]), b'id: 3\ndata: {"a":1,\ndata: "b":2}\n\n')

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from([b"data: 1", b"id: 2", b": c", b"\n", b"\r", b"\r\n", b"\n\n"]), max_size=30),
        st.data(),
    )
    def test_any_cut_of_any_stream_has_the_same_events_and_all_its_bytes(
        self, tokens: list[bytes], data: st.DataObject
    ) -> None:
        stream = b"".join(tokens)
        places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
        *blocks, rest = cut(*pieces)
        self.assertEqual(b"".join(blocks) + rest, stream)
        events = [event.data for event in SseDecoder().feed(stream)]
        self.assertEqual([found for block in blocks if (found := block_data(block)) is not None], events)
