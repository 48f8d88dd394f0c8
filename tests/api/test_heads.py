"""Which heads of requests are taken, and what they say."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import ApiError
from oaiproxy.api.heads import CHUNKED, FIELD_LIMIT, LINE_LIMIT, SECTION_LIMIT, RequestHead, head_end, read_head

GET = b"GET /v1/models HTTP/1.1\r\n"
POST = b"POST /v1/files HTTP/1.1\r\nHost: a\r\n"

#: Heads that are refused: what is wrong, the head without its end, and the status.
REFUSED: list[tuple[str, bytes, int]] = [
    ("no method", b" /v1/models HTTP/1.1\r\nHost: a", 400),
    ("two spaces", b"GET  /v1/models HTTP/1.1\r\nHost: a", 400),
    ("a space at the end", b"GET /v1/models HTTP/1.1 \r\nHost: a", 400),
    ("a tab in the place of a space", b"GET\t/v1/models HTTP/1.1\r\nHost: a", 400),
    ("a space in the target", b"GET /v1/mo dels HTTP/1.1\r\nHost: a", 400),
    ("a method that is no token", b"G(ET /v1/models HTTP/1.1\r\nHost: a", 400),
    ("HTTP/0.9", b"GET /v1/models", 400),
    ("HTTP/1.2", b"GET /v1/models HTTP/1.2\r\nHost: a", 505),
    ("HTTP/2", b"PRI * HTTP/2.0", 505),
    ("HTTP in small letters", b"GET /v1/models http/1.1\r\nHost: a", 400),
    ("a target that is no path", b"GET v1/models HTTP/1.1\r\nHost: a", 400),
    ("a target with a fragment", b"GET /v1/models#/../x HTTP/1.1\r\nHost: a", 400),
    ("a target with bytes that are no ASCII", b"GET /v1/mod\xc3\xa9 HTTP/1.1\r\nHost: a", 400),
    ("a target with a control character", b"GET /v1/mod\x0bels HTTP/1.1\r\nHost: a", 400),
    ("* with another method than OPTIONS", b"GET * HTTP/1.1\r\nHost: a", 400),
    ("a target with a user", b"GET http://u:p@a/v1/models HTTP/1.1\r\nHost: a", 400),
    ("a target of another scheme", b"GET file:///etc/passwd HTTP/1.1\r\nHost: a", 400),
    ("a target without a host", b"GET http:///v1/models HTTP/1.1\r\nHost: a", 400),
    ("a tunnel", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443", 501),
    ("no Host", GET[:-2], 400),
    ("two Hosts", GET + b"Host: a\r\nhost: a", 400),
    ("two Hosts on HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b", 400),
    ("an empty Host", GET + b"Host: ", 400),
    ("a Host with a path", GET + b"Host: a/b", 400),
    ("a Host with a user", GET + b"Host: u@a", 400),
    ("a list of Hosts", GET + b"Host: a, b", 400),
    ("a Host with a port that is none", GET + b"Host: a:80x", 400),
    ("a folded field", GET + b"Host: a\r\nX: 1\r\n 2", 400),
    ("a field that is folded with a tab", GET + b"Host: a\r\nX: 1\r\n\tTransfer-Encoding: chunked", 400),
    ("a first field that begins with a space", GET + b" Host: a", 400),
    ("a space before the colon", POST + b"Content-Length : 5", 400),
    ("a space in a name", GET + b"Host: a\r\nX Y: 1", 400),
    ("no name", GET + b"Host: a\r\n: 1", 400),
    ("no colon", GET + b"Host: a\r\nX", 400),
    ("a name that is no ASCII", GET + b"Host: a\r\n\xff: 1", 400),
    ("a name with a control character", GET + b"Host: a\r\n\x01X: 1", 400),
    ("a value with a control character", GET + b"Host: a\r\nX: a\x0bb", 400),
    ("a value with a DEL", GET + b"Host: a\r\nX: a\x7f", 400),
    ("length and coding", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
    ("coding and length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
    ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 6", 400),
    ("the same length twice", POST + b"Content-Length: 5\r\nContent-Length: 5", 400),
    ("a list of lengths", POST + b"Content-Length: 5, 5", 400),
    ("a length with a sign", POST + b"Content-Length: +5", 400),
    ("a negative length", POST + b"Content-Length: -5", 400),
    ("a hexadecimal length", POST + b"Content-Length: 0x5", 400),
    ("a length with an underscore", POST + b"Content-Length: 1_0", 400),
    ("a length with a space", POST + b"Content-Length: 1 0", 400),
    ("an empty length", POST + b"Content-Length:", 400),
    ("a length that no machine has", POST + b"Content-Length: " + b"9" * 19, 400),
    ("a coding that is none", POST + b"Transfer-Encoding: identity", 501),
    ("a coding before chunked", POST + b"Transfer-Encoding: gzip, chunked", 501),
    ("chunked twice", POST + b"Transfer-Encoding: chunked, chunked", 501),
    ("two codings", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 501),
    ("a coding with a control character", POST + b"Transfer-Encoding: \x0bchunked", 400),
    ("a coding in quotes", POST + b'Transfer-Encoding: "chunked"', 501),
    ("a coding with a parameter", POST + b"Transfer-Encoding: chunked;a=b", 501),
    ("an empty coding", POST + b"Transfer-Encoding:", 501),
    ("a coding on HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked", 400),
    ("an expectation that nobody knows", POST + b"Content-Length: 5\r\nExpect: 200-ok", 417),
    ("too many fields", GET + b"Host: a" + b"\r\nX: 1" * FIELD_LIMIT, 431),
]

#: Line ends that are none, anywhere in a head.
NO_LINE_END = [
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",  # a client that speaks TLS
]

#: Targets, and what they come down to: the target and the Host.
TARGETS = [
    (b"GET /v1/models?a=b HTTP/1.1\r\nHost: a:80", b"/v1/models?a=b", b"a:80"),
    (b"GET http://b/v1/models HTTP/1.1\r\nHost: a", b"/v1/models", b"b"),
    (b"GET HTTPS://b:8443/v1/models?x=http://c/ HTTP/1.1\r\nHost: a", b"/v1/models?x=http://c/", b"b:8443"),
    (b"GET http://b HTTP/1.1\r\nHost: a", b"/", b"b"),
    (b"GET http://b?x HTTP/1.1\r\nHost: a", b"/?x", b"b"),
    (b"OPTIONS http://b HTTP/1.1\r\nHost: a", b"*", b"b"),
    (b"OPTIONS * HTTP/1.1\r\nHost: a", b"*", b"a"),
    (b"GET //b/v1/models HTTP/1.1\r\nHost: a", b"//b/v1/models", b"a"),
    (b"GET / HTTP/1.1\r\nHost: [::1]:5101", b"/", b"[::1]:5101"),
]

#: What follows `POST`, and what is known of the body and the connection then.
SAID: list[tuple[bytes, int | None, bool, bool]] = [
    (b"X: 1", 0, False, True),
    (b"Content-Length: 0", 0, False, True),
    (b"Content-Length: 005", 5, False, True),
    (b"content-length:\t5 ", 5, False, True),
    (b"Transfer-Encoding: Chunked", CHUNKED, False, True),
    (b"Content-Length: 5\r\nExpect: 100-Continue", 5, True, True),
    (b"Connection: close", 0, False, False),
    (b"Connection: x, Close", 0, False, False),
    (b"Connection: keep-alive\r\nConnection: close", 0, False, False),
    (b"Connection: closed", 0, False, True),
    (b"Upgrade: h2c\r\nConnection: upgrade", 0, False, True),
]


class RefusedTests(SynchronousTestCase):
    def test_each_with_its_status(self) -> None:
        for what, head, status in REFUSED:
            self.assertEqual(head_end(head + b"\r\n\r\n"), len(head), what)
            error = self.assertRaises(ApiError, read_head, head)
            self.assertEqual(error.status, status, what)

    def test_a_line_end_that_is_none_at_once(self) -> None:
        for data in NO_LINE_END:
            error = self.assertRaises(ApiError, head_end, data)
            self.assertEqual((error.status, error.code), (400, "invalid_http_request"), data)

    def test_a_long_request_line_before_its_end(self) -> None:
        line = b"GET /" + b"a" * LINE_LIMIT
        error = self.assertRaises(ApiError, head_end, line)
        self.assertEqual((error.status, error.code), (414, "request_line_too_long"))
        self.assertEqual(head_end(line[:LINE_LIMIT] + b"\r\n"), -1)

    def test_a_long_header_section_before_its_end(self) -> None:
        data = GET + b"X: " + b"a" * SECTION_LIMIT
        error = self.assertRaises(ApiError, head_end, data)
        self.assertEqual((error.status, error.code), (431, "headers_too_large"))
        self.assertEqual(head_end(data[:-1000]), -1)


class TakenTests(SynchronousTestCase):
    def test_targets_come_down_to_a_path_and_a_host(self) -> None:
        for head, target, host in TARGETS:
            found = read_head(head)
            hosts = [value for name, value in found.fields if name.lower() == b"host"]
            self.assertEqual((found.target, hosts), (target, [host]), head)

    def test_what_is_known_of_the_body_and_the_connection(self) -> None:
        for lines, length, expects, persistent in SAID:
            found = read_head(POST + lines)
            self.assertEqual((found.length, found.expects_continue, found.persistent), (length, expects, persistent))

    def test_http_1_0_needs_no_host_and_ends_its_connection(self) -> None:
        self.assertEqual(
            read_head(b"GET /health HTTP/1.0\r\nExpect: 100-continue"),
            RequestHead(
                method=b"GET",
                target=b"/health",
                version=b"HTTP/1.0",
                fields=((b"Expect", b"100-continue"),),
                named={b"expect": [b"100-continue"]},
                length=0,
                expects_continue=False,
                persistent=False,
            ),
        )

    def test_fields_are_kept_as_they_were_sent(self) -> None:
        found = read_head(GET + b"Host: a\r\nx-A:  b c \r\nX-a:\r\nY: caf\xc3\xa9")
        self.assertEqual(found.fields, ((b"Host", b"a"), (b"x-A", b"b c"), (b"X-a", b""), (b"Y", b"caf\xc3\xa9")))

    @given(st.lists(st.integers(1, 60), max_size=5))
    @settings(max_examples=50, deadline=None, derandomize=True)
    def test_the_end_is_found_however_the_head_comes(self, cuts: list[int]) -> None:
        data = GET + b"Host: a\r\nX: 1\r\n\r\n" + b"rest\n"
        seen = 0
        for at in [*sorted(cuts), len(data)]:
            end = head_end(data[:at], seen)
            if end >= 0:
                break
            seen = min(at, len(data))
        self.assertEqual(end, len(GET) + 13)

    @given(st.binary(max_size=200))
    @settings(max_examples=300, deadline=None, derandomize=True)
    def test_no_bytes_break_it(self, data: bytes) -> None:
        for head in (data, GET + b"Host: a\r\n" + data, POST + b"Transfer-Encoding:" + data):
            try:
                head_end(head + b"\r\n\r\n")
                found = read_head(head)
            except ApiError as e:
                self.assertIn(e.status, (400, 414, 417, 431, 501, 505))
            else:
                self.assertTrue(found.target.startswith(b"/") or found.target == b"*")
