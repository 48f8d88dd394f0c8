from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.demo.multipart import KEEP, MultipartReader, Part
from tests.demo.support import fed_in_pieces

_BINARY = bytes(range(256)) + b"\r\n--x\r\n--boundar\r\n\r\n--"

_FORM = (
    b"--boundary\r\n"
    b'Content-Disposition: form-data; name="purpose"\r\n'
    b"\r\n"
    b"assistants\r\n"
    b"--boundary  \r\n"
    b'content-disposition: form-data; name="file"; filename="a b.bin"\r\n'
    b"Content-Type: application/pdf\r\n"
    b"\r\n" + _BINARY + b"\r\n"
    b"--boundary\r\n"
    b'Content-Disposition: form-data; name="empty"; filename="\xc3\xa9"\r\n'
    b"\r\n"
    b"\r\n--boundary--\r\nwhat comes after is nothing"
)


def _read(data: bytes, size: int) -> list[Part]:
    reader = MultipartReader.of('multipart/form-data; boundary="boundary"')
    fed_in_pieces(reader.feed, data, size)
    return reader.close()


def _told(parts: list[Part]) -> list[tuple[object, ...]]:
    return [(part.name, part.filename, part.content_type, part.content) for part in parts]


#: Content that looks like the end of content.
_NEARLY = st.lists(st.sampled_from([b"\r\n", b"--", b"boundary", b"\r\n--bound", b"x"]), max_size=6).map(b"".join)


class ReaderTests(SynchronousTestCase):
    def test_a_form(self) -> None:
        self.assertEqual(
            _told(_read(_FORM, len(_FORM))),
            [
                ("purpose", None, "text/plain", b"assistants"),
                ("file", "a b.bin", "application/pdf", _BINARY),
                ("empty", "é", "application/octet-stream", b""),
            ],
        )

    def test_any_pieces_give_the_same_parts(self) -> None:
        whole = _told(_read(_FORM, len(_FORM)))
        for size in (1, 2, 3, 7, 11, 64):
            self.assertEqual(_told(_read(_FORM, size)), whole, size)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.binary(max_size=60),
        st.lists(st.sampled_from([b"\r\n", b"--", b"boundary", b"\r\n--bound", b"x"]), max_size=6),
        st.integers(1, 40),
    )
    def test_any_content_comes_out_as_it_went_in(self, raw: bytes, pieces: list[bytes], size: int) -> None:
        content = (raw + b"".join(pieces)).replace(b"\r\n--boundary", b"")
        head = b'--boundary\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
        (part,) = _read(head + content + b"\r\n--boundary--\r\n", size)
        self.assertEqual(part.content, content)
        self.assertEqual((part.size, part.sha256), (len(content), hashlib.sha256(content).hexdigest()))

    def test_a_large_file_is_counted_and_not_kept(self) -> None:
        reader = MultipartReader(b"b")
        reader.feed(b'--b\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n')
        block = b"\0" * KEEP
        for _ in range(3):
            reader.feed(block)
        reader.feed(b"\r\n--b--")
        (part,) = reader.close()
        self.assertEqual((part.size, len(part.kept), part.content), (3 * KEEP, KEEP, None))
        self.assertEqual(part.sha256, hashlib.sha256(block * 3).hexdigest())

    def test_a_form_that_is_not_whole_is_an_error_wherever_it_ends(self) -> None:
        end = _FORM.index(b"--boundary--") + len(b"--boundary--")
        for length in range(end):
            reader = MultipartReader(b"boundary")
            reader.feed(_FORM[:length])
            self.assertRaises(BadRequest, reader.close)

    def test_what_is_no_form_is_an_error(self) -> None:
        form = "multipart/form-data"
        for content_type in ("", "application/json", form, f"{form}; boundary=", "multipart/mixed; boundary=x"):
            self.assertRaises(BadRequest, MultipartReader.of, content_type)
        for data in (
            b"--boundary junk\r\n\r\n",
            b"--boundary\r\nContent-Type: text/plain\r\n\r\n",
            b"--boundary\r\nContent-Disposition: form-data\r\n\r\n",
            b"--boundary\r\n" + b"x" * 20_000,
            b"--boundary" + b" " * 20_000,
        ):
            self.assertRaises(BadRequest, _read, data, len(data))
