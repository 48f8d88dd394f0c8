"""Where bodies end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError
from oaiproxy.api.framing import body_reader

#: Chunked bodies, what is in them, and what comes after.
WHOLE = [
    (b"0\r\n\r\n", b"", b""),
    (b"000\r\n\r\nGET", b"", b"GET"),
    (b"3\r\nabc\r\n0\r\n\r\n", b"abc", b""),
    (b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n\r\n", b"abc0123456789", b"\r\n"),
    (b'3;a=b;c="d"\r\nabc\r\n0;x\r\n\r\n', b"abc", b""),
    (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", b""),
    (b"1\r\na\r\n0\r\nDigest: x\r\nY:\r\n\r\nrest", b"a", b"rest"),
]

#: Bodies that are damaged, or that two servers could read in two ways.
DAMAGED = [
    b"3\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"3\r\nab\r\n0\r\n\r\n",
    b"\r\n3\r\nabc\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"-3\r\nabc\r\n0\r\n\r\n",
    b"+3\r\nabc\r\n0\r\n\r\n",
    b" 3\r\nabc\r\n0\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"3 ;a\r\nabc\r\n0\r\n\r\n",
    b"3_0\r\nabc\r\n0\r\n\r\n",
    b"g\r\nabc\r\n0\r\n\r\n",
    b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    b"3;a\x00b\r\nabc\r\n0\r\n\r\n",
    b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    b"0\r\n\nGET / HTTP/1.1\r\n\r\n",
    b"0\r\nGET / HTTP/1.1\r\n\r\n",
    b"0\r\n X: 1\r\n\r\n",
    b"0\r\nX : 1\r\n\r\n",
    b"0\r\nX: 1\nY: 2\r\n\r\n",
    b"3;" + b"a" * 2000,
    b"1;%b\r\na\r\n" % (b"a" * 1000) * 20,
    b"0\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 20,
]


class ChunkedTests(SynchronousTestCase):
    def test_what_is_in_it_and_what_comes_after(self) -> None:
        for data, body, rest in WHOLE:
            reader = body_reader(None)
            self.assertEqual((reader.feed(data), reader.done, reader.rest), (body, True, rest), data)

    @given(st.sampled_from(WHOLE), st.lists(st.integers(0, 60), max_size=6))
    @settings(max_examples=200, deadline=None, derandomize=True)
    def test_however_it_comes(self, case: tuple[bytes, bytes, bytes], cuts: list[int]) -> None:
        data, body, rest = case
        reader, found, at = body_reader(None), b"", 0
        for cut in [*sorted(cuts), len(data)]:
            if not reader.done:
                found += reader.feed(data[at:cut])
                at = max(at, cut)
        self.assertEqual((found, reader.done, reader.rest + data[at:]), (body, True, rest))

    def test_what_is_damaged_is_refused(self) -> None:
        for data in DAMAGED:
            error = self.assertRaises(ApiError, body_reader(None).feed, data)
            self.assertEqual((error.status, error.code), (400, "invalid_http_body"), data)

    def test_what_is_damaged_is_refused_byte_by_byte_too(self) -> None:
        for data in DAMAGED:
            reader = body_reader(None)

            def feed(data: bytes = data, reader: object = reader) -> None:
                for byte in data:
                    reader.feed(bytes((byte,)))  # type: ignore[attr-defined]

            self.assertRaises(ApiError, feed)

    def test_what_has_not_ended_is_not_done(self) -> None:
        for data, _, rest in WHOLE:
            whole = data[: len(data) - len(rest)]
            for end in range(len(whole)):
                reader = body_reader(None)
                reader.feed(whole[:end])
                self.assertFalse(reader.done, whole[:end])


class SizedTests(SynchronousTestCase):
    def test_it_ends_with_its_last_byte(self) -> None:
        reader = body_reader(5)
        self.assertEqual((reader.feed(b"abc"), reader.done), (b"abc", False))
        self.assertEqual((reader.feed(b"deGET"), reader.done, reader.rest), (b"de", True, b"GET"))

    def test_one_of_nothing_is_there_at_once(self) -> None:
        self.assertTrue(body_reader(0).done)
