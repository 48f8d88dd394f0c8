"""Upstream's answers as bytes: what is read of them, however they are cut, and what is no answer."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.relay.reading import HEAD_LIMIT, AnswerReader


def read(*pieces: bytes, bodiless: bool = False, switches: bool = False) -> tuple[AnswerReader, bytes]:
    reader = AnswerReader()
    reader.expect(bodiless=bodiless, switches=switches)
    return reader, b"".join(reader.feed(piece) for piece in pieces)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class HeadTests(SynchronousTestCase):
    def test_status_phrase_and_fields_are_as_they_were_sent(self) -> None:
        reader, body = read(b"HTTP/1.1 429 Too  Many\r\nX-One: 1\r\nx-one:2 \r\nEmpty:\r\nContent-Length: 2\r\n\r\n{}")
        assert reader.head is not None
        self.assertEqual((reader.head.status, reader.head.phrase), (429, b"Too  Many"))
        self.assertEqual(reader.head.fields, [(b"X-One", b"1"), (b"x-one", b"2"), (b"Empty", b"")])
        self.assertEqual((reader.head.length, body, reader.done, reader.head.persistent), (2, b"{}", True, True))

    def test_fields_of_the_connection_and_those_it_names_are_left_out(self) -> None:
        reader, _ = read(
            OK + b"Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\nUpgrade: h2c\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        assert reader.head is not None
        self.assertEqual(reader.head.fields, [(b"X-End", b"2")])

    def test_a_phrase_may_be_missing(self) -> None:
        for line in (b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n"):
            reader, body = read(line + b"Content-Length: 2\r\n\r\n{}")
            assert reader.head is not None
            self.assertEqual((reader.head.phrase, body), (b"", b"{}"))

    def test_interim_answers_are_passed_over(self) -> None:
        reader, body = read(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            + OK
            + b"Content-Length: 1\r\n"
            b"\r\nx"
        )
        assert reader.head is not None
        self.assertEqual((reader.head.status, reader.head.phrase, reader.head.fields), (200, b"OK", []))
        self.assertEqual((body, reader.done), (b"x", True))

    def test_who_says_close_or_speaks_http_1_0_is_not_asked_again(self) -> None:
        for head, persistent in (
            (OK, True),
            (OK + b"Connection: close\r\n", False),
            (OK + b"Connection: x\r\nConnection: Close\r\n", False),
            (b"HTTP/1.0 200 OK\r\n", False),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        ):
            reader, _ = read(head + b"Content-Length: 1\r\n\r\nx")
            assert reader.head is not None
            self.assertEqual((reader.head.persistent, reader.done), (persistent, True), head)


class BodyTests(SynchronousTestCase):
    def test_a_body_in_chunks(self) -> None:
        reader, body = read(CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n")
        assert reader.head is not None
        self.assertEqual((body, reader.done, reader.head.length, reader.head.fields), (b"abcde", True, None, []))

    def test_a_body_that_only_the_end_of_the_connection_ends(self) -> None:
        reader, body = read(OK + b"\r\nabc", b"def")
        assert reader.head is not None
        self.assertEqual((body, reader.done), (b"abcdef", False))
        self.assertEqual((reader.head.until_close, reader.head.length, reader.head.persistent), (True, None, False))

    def test_an_answer_to_head_has_no_body_and_says_its_length(self) -> None:
        reader, body = read(OK + b"Content-Length: 1000\r\n\r\n", bodiless=True)
        assert reader.head is not None
        self.assertEqual((body, reader.done, reader.head.length), (b"", True, 0))
        self.assertEqual(reader.head.fields, [(b"Content-Length", b"1000")])
        self.assertFalse(reader.stray)

    def test_what_follows_an_answer_to_head_is_the_next_answer(self) -> None:
        reader, _ = read(OK + b"Content-Length: 1000\r\n\r\n", bodiless=True)
        reader.expect()
        self.assertEqual(reader.feed(OK + b"Content-Length: 1\r\n\r\nx"), b"x")
        self.assertTrue(reader.done)

    def test_204_and_304_have_no_body(self) -> None:
        for status in (b"204 No Content", b"304 Not Modified"):
            reader, body = read(b"HTTP/1.1 " + status + b"\r\nContent-Length: 10\r\n\r\n")
            assert reader.head is not None
            self.assertEqual((body, reader.done, reader.head.length), (b"", True, 0))

    def test_what_stands_behind_an_answer_is_no_part_of_it(self) -> None:
        for behind in (b"x", OK + b"Content-Length: 1\r\n\r\ny", b"\x00"):
            for pieces in (
                (OK + b"Content-Length: 2\r\n\r\n{}" + behind,),
                (OK + b"Content-Length: 2\r\n\r\n{}", behind),
            ):
                reader, body = read(*pieces)
                self.assertEqual((body, reader.done, reader.stray, reader.broken), (b"{}", True, True, ""), pieces)

    def test_several_answers_come_one_after_the_other(self) -> None:
        reader, _ = read(CHUNKED + b"1\r\na\r\n0\r\n\r\n")
        for expected in (b"b", b"c"):
            reader.expect()
            self.assertEqual(reader.feed(OK + b"Content-Length: 1\r\n\r\n" + expected), expected)
            self.assertTrue(reader.done and not reader.stray)


class SwitchTests(SynchronousTestCase):
    """A 101, behind which another protocol is spoken."""

    SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
    ACCEPT = SWITCH + b"Sec-WebSocket-Accept: x\r\n\r\n"
    SAID = b"\x81\x05hello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"

    def test_what_comes_behind_it_is_handed_on_as_it_is_however_it_is_cut(self) -> None:
        whole = self.ACCEPT + self.SAID
        for cut in range(len(whole) + 1):
            reader, body = read(whole[:cut], whole[cut:], b"\x00more", switches=True)
            assert reader.head is not None
            self.assertEqual(body, self.SAID + b"\x00more")
            self.assertEqual((reader.broken, reader.done, reader.stray), ("", False, False))
            self.assertEqual((reader.head.status, reader.head.fields), (101, [(b"Sec-WebSocket-Accept", b"x")]))
            self.assertEqual((reader.head.until_close, reader.head.persistent), (True, False))

    def test_fields_of_a_body_mean_nothing_in_it(self) -> None:
        for field in (b"Content-Length: 2", b"Transfer-Encoding: chunked"):
            reader, body = read(self.SWITCH + field + b"\r\n\r\nabc", b"de", switches=True)
            assert reader.head is not None
            self.assertEqual((body, reader.head.fields, reader.head.length), (b"abcde", [], None))

    def test_interim_answers_may_come_before(self) -> None:
        _, body = read(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + self.ACCEPT + b"abc", switches=True)
        self.assertEqual(body, b"abc")

    def test_another_answer_is_read_as_ever(self) -> None:
        reader, body = read(OK + b"Content-Length: 2\r\n\r\n{}", switches=True)
        self.assertEqual((body, reader.done), (b"{}", True))

    def test_one_that_was_not_asked_for_is_no_answer(self) -> None:
        reader, body = read(self.ACCEPT + b"abc")
        self.assertEqual((reader.head, reader.broken, body), (None, "it changes the protocol", b""))

    def test_one_to_another_protocol_or_to_none_is_no_answer(self) -> None:
        for fields in (
            b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
            b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
            b"Connection: Upgrade\r\n",
            b"Upgrade: websocket\r\n",
            b"",
        ):
            reader, body = read(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\nabc", switches=True)
            self.assertEqual((reader.head, reader.broken, body), (None, "it changes the protocol", b""), fields)

    def test_the_next_answer_is_none_of_it(self) -> None:
        reader, _ = read(self.ACCEPT, switches=True)
        reader.expect()
        self.assertTrue(reader.feed(b"abc") == b"" and reader.broken)


class BrokenTests(SynchronousTestCase):
    def test_what_is_no_answer_is_said(self) -> None:
        for answer in (
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 99 Low\r\n\r\n",
            b"HTTP/1.1 099 Low\r\n\r\n",
            b"HTTP/1.1 1000 High\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 200 O\rK\r\n\r\n",
            OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            OK + b"Content-Length: 1, 1\r\n\r\nx",
            OK + b"Content-Length: -1\r\n\r\nx",
            OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
            OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            OK + b"Transfer-Encoding: gzip\r\n\r\n",
            OK + b"X: a\r\n folded\r\n\r\n",
            OK + b"X: a\x00b\r\n\r\n",
            OK + b"no colon\r\n\r\n",
            CHUNKED + b"zz\r\n",
            CHUNKED + b"fffffffffffffffff\r\n",
            CHUNKED + b"1\r\nab\r\n",
        ):
            reader, _ = read(answer)
            self.assertTrue(reader.broken, answer)
            self.assertFalse(reader.done, answer)

    def test_a_head_without_end_is_given_up(self) -> None:
        reader, _ = read(OK, b"X: ", *([b"x" * 10_000] * (HEAD_LIMIT // 10_000 + 1)))
        self.assertIn("longer than", reader.broken)

    def test_interim_answers_without_end_are_given_up(self) -> None:
        reader, _ = read(*([b"HTTP/1.1 100 Continue\r\n\r\n"] * (HEAD_LIMIT // 20)))
        self.assertIn("longer than", reader.broken)

    def test_what_came_before_the_damage_is_there(self) -> None:
        reader, body = read(CHUNKED + b"3\r\nabc\r\nzz\r\n")
        self.assertEqual((body, bool(reader.broken)), (b"abc", True))


ANSWERS = (
    OK + b"Content-Length: 11\r\nX-A: b\r\n\r\nhello world",
    CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nhello world",
    CHUNKED + b"3\r\nabc\r\nzz\r\n",
    OK + b"Content-Length: 5\r\n\r\nhello world",
)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.sampled_from(ANSWERS), st.lists(st.integers(1, 70), max_size=6))
    def test_the_cut_of_the_bytes_does_not_matter(self, answer: bytes, cuts: list[int]) -> None:
        whole, body = read(answer)
        at = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
        cut, pieces = read(*(answer[a:b] for a, b in pairwise(at)))
        self.assertEqual((cut.head, cut.done, bool(cut.broken)), (whole.head, whole.done, bool(whole.broken)))
        self.assertEqual((pieces, cut.stray), (body, whole.stray))
