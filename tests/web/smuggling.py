"""Requests that two servers could read in two ways, or that try to be more than they are: what becomes of each."""

from __future__ import annotations

from dataclasses import dataclass

#: What must never arrive as a request of its own.
SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

GET = b"GET /v1/files HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /v1/files HTTP/1.1\r\nHost: a\r\n"


@dataclass(frozen=True)
class Case:
    """One case.

    @ivar what: what it is.
    @ivar sent: the bytes of the client.
    @ivar statuses: of the answers, in order.
    @ivar arrives: what arrives upstream: request lines and bodies.
    @ivar result: what becomes of it, in words.
    """

    what: str
    sent: bytes
    statuses: tuple[int, ...]
    arrives: tuple[tuple[str, bytes], ...] = ()
    result: str = ""

    @property
    def row(self) -> str:
        """Its line in `docs/reliability.md`."""
        refused = f"refused with {self.statuses[-1]}, connection closed"
        return f"| {self.what} | {self.result or refused} |"


def _refused(what: str, head: bytes, status: int = 400, body: bytes = b"") -> Case:
    return Case(what, head + b"\r\n" + body + SMUGGLED, (status,))


_FILES = ("POST /v1/files HTTP/1.1", b"hello")
_LIST = ("GET /v1/files HTTP/1.1", b"")

CASES = [
    # where the body ends
    _refused("Content-Length and Transfer-Encoding", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    _refused("Transfer-Encoding and Content-Length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    _refused("two different Content-Length", POST + b"Content-Length: 0\r\nContent-Length: 39\r\n"),
    _refused("the same Content-Length twice", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n", body=b"hello"),
    _refused("a list in Content-Length (`5, 5`)", POST + b"Content-Length: 5, 5\r\n", body=b"hello"),
    _refused("a sign in Content-Length (`+5`, `-5`)", POST + b"Content-Length: +5\r\n", body=b"hello"),
    _refused("Content-Length in hexadecimal", POST + b"Content-Length: 0x5\r\n", body=b"hello"),
    _refused("a Content-Length beyond 18 digits", POST + b"Content-Length: 18446744073709551621\r\n", body=b"hello"),
    _refused("a space before the colon (`Content-Length :`)", POST + b"Content-Length : 5\r\n", body=b"hello"),
    _refused("a space before the colon (`Transfer-Encoding :`)", POST + b"Transfer-Encoding : chunked\r\n"),
    _refused("`Transfer-Encoding: identity`", POST + b"Transfer-Encoding: identity\r\n", 501),
    _refused("`Transfer-Encoding: gzip, chunked`", POST + b"Transfer-Encoding: gzip, chunked\r\n", 501),
    _refused("`Transfer-Encoding: chunked, identity`", POST + b"Transfer-Encoding: chunked, identity\r\n", 501),
    _refused(
        "two Transfer-Encoding fields", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501
    ),
    _refused("`Transfer-Encoding: xchunked`", POST + b"Transfer-Encoding: xchunked\r\n", 501),
    _refused("a vertical tab before `chunked`", POST + b"Transfer-Encoding: \x0bchunked\r\n"),
    _refused(
        "Transfer-Encoding on HTTP/1.0",
        b"POST /v1/files HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        body=b"0\r\n\r\n",
    ),
    _refused("Transfer-Encoding on a continued line", POST + b"X: 1\r\n Transfer-Encoding: chunked\r\n"),
    _refused("Content-Length on a continued line", POST + b"Content-Length:\r\n 5\r\n", body=b"hello"),
    Case(
        "chunk extensions",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b;c\r\nhello\r\n0;d\r\n\r\n" + GET + b"\r\n",
        (200, 200),
        (_FILES, _LIST),
        "taken, the extensions are left out",
    ),
    Case(
        "trailer fields (`Host`, `Authorization`, `Content-Length`)",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: b\r\nAuthorization: x\r\nContent-Length: 1"
        b"\r\n\r\n" + GET + b"\r\n",
        (200, 200),
        (_FILES, _LIST),
        "taken, the fields are left out",
    ),
    Case("a bare LF after a chunk size", POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", (400,)),
    Case("a bare LF in a chunk extension", POST + b"Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", (400,)),
    Case(
        "a bare CR in a chunk extension",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5;\ra\r\nhello\r\n0\r\n\r\n",
        (400,),
    ),
    Case(
        "a chunk that is longer than it says",
        POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        (400,),
    ),
    Case(
        "a chunk size with `0x`, a sign or spaces", POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", (400,)
    ),
    Case(
        "a chunk size beyond 15 digits",
        POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        (400,),
    ),
    Case(
        "a request in the place of the trailer",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + SMUGGLED,
        (400,),
    ),
    Case(
        "a bare LF in the place of the trailer's end",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\n" + SMUGGLED,
        (400,),
    ),
    Case(
        "a GET with a body",
        GET + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED + GET + b"\r\n",
        (200, 200),
        (("GET /v1/files HTTP/1.1", SMUGGLED), _LIST),
        "passed on with the body and its length",
    ),
    Case(
        "requests one after another without waiting",
        POST + b"Content-Length: 5\r\n\r\nhello" + GET + b"\r\n" + GET + b"\r\n",
        (200, 200, 200),
        (_FILES, _LIST, _LIST),
        "answered in order, each its own request upstream",
    ),
    # where the head ends
    _refused("a bare LF as a line end", b"GET /v1/files HTTP/1.1\nHost: a\r\n"),
    _refused("a bare LF in a value", GET + b"X: 1\nContent-Length: 39\r\n"),
    _refused("a bare CR in a value", GET + b"X: 1\rContent-Length: 39\r\n"),
    _refused("NUL in a value", GET + b"X: \x00\r\n"),
    _refused("NUL in a name", GET + b"X\x00: 1\r\n"),
    _refused("a space in a name", GET + b"X Y: 1\r\n"),
    _refused("a tab in a name", GET + b"X\t: 1\r\n"),
    _refused("bytes that are no ASCII in a name", GET + b"X\xa0: 1\r\n"),
    _refused("control characters in a value", GET + b"X: \x08\r\n"),
    _refused("a line without a colon", GET + b"X\r\n"),
    _refused("a folded field (obs-fold)", GET + b"X: 1\r\n 2\r\n"),
    _refused("a first field that begins with a space", b"GET /v1/files HTTP/1.1\r\n Host: a\r\n"),
    _refused("spaces in the request line", b"GET /v1/files x HTTP/1.1\r\nHost: a\r\n"),
    _refused("a tab in the request line", b"GET\t/v1/files HTTP/1.1\r\nHost: a\r\n"),
    _refused("HTTP/0.9", b"GET /v1/files\r\n"),
    _refused("HTTP/2.0 and other versions", b"GET /v1/files HTTP/2.0\r\nHost: a\r\n", 505),
    Case(
        "one empty line before a request",
        b"\r\n" + GET + b"\r\n",
        (200,),
        (_LIST,),
        "taken, the line is left out",
    ),
    # for whom it is
    _refused("no Host", b"GET /v1/files HTTP/1.1\r\n"),
    _refused("two Host fields", GET + b"Host: b\r\n"),
    _refused("a Host with a path, a user, a list, or an empty one", b"GET /v1/files HTTP/1.1\r\nHost: a/b\r\n"),
    Case(
        "an absolute target (`GET http://evil/v1/files`)",
        b"GET http://evil.example/v1/files HTTP/1.1\r\nHost: a\r\n\r\n",
        (200,),
        (_LIST,),
        "its path goes to the configured upstream; its host counts in place of `Host`, and leads nowhere",
    ),
    _refused("an absolute target with a user", b"GET http://u:p@evil.example/v1/files HTTP/1.1\r\nHost: a\r\n"),
    _refused("an absolute target of another scheme", b"GET ftp://evil.example/v1/files HTTP/1.1\r\nHost: a\r\n"),
    Case(
        "two slashes before a host (`GET //evil/v1/files`)",
        b"GET //evil.example/v1/files HTTP/1.1\r\nHost: a\r\n\r\n",
        (404,),
        result="404: a path that is not below /v1/",
    ),
    _refused("a tunnel (CONNECT)", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n", 501),
    _refused("a target with `@` for a path", b"GET @evil.example/v1/files HTTP/1.1\r\nHost: a\r\n"),
    # paths
    Case("`..` in a path", b"GET /v1/../admin HTTP/1.1\r\nHost: a\r\n\r\n", (400,), result="refused with 400"),
    Case("`%2e%2e` in a path", b"GET /v1/x/%2e%2E/y HTTP/1.1\r\nHost: a\r\n\r\n", (400,), result="refused with 400"),
    Case("`..%2f` in a path", b"GET /v1/..%2fadmin HTTP/1.1\r\nHost: a\r\n\r\n", (400,), result="refused with 400"),
    Case("`..%5c` in a path", b"GET /v1/..%5cadmin HTTP/1.1\r\nHost: a\r\n\r\n", (400,), result="refused with 400"),
    Case(
        "an encoded slash in a path (`a%2Fb`)",
        b"GET /v1/files/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n",
        (200,),
        (("GET /v1/files/a%2Fb HTTP/1.1", b""),),
        "passed on byte for byte",
    ),
    Case(
        "encoded CR LF in a target (`%0d%0a`)",
        b"GET /v1/files?x=%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
        (200,),
        (("GET /v1/files?x=%0d%0aX:%20y HTTP/1.1", b""),),
        "passed on byte for byte, nowhere decoded",
    ),
    _refused("`#` in a target", b"GET /v1/files#/../x HTTP/1.1\r\nHost: a\r\n"),
    _refused("bytes that are no ASCII in a target", b"GET /v1/files/\xff HTTP/1.1\r\nHost: a\r\n"),
    # fields that do things
    _refused("an Expect that nobody knows", POST + b"Content-Length: 5\r\nExpect: x\r\n", 417, b"hello"),
    Case(
        "`Upgrade: h2c` with its settings",
        GET + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        (200,),
        (_LIST,),
        "answered as HTTP/1.1; none of it goes upstream",
    ),
    Case(
        "`Connection: Host, Authorization, Content-Length, Content-Type`",
        POST + b"Content-Length: 5\r\nConnection: Host, Authorization, Content-Length, Content-Type\r\n\r\nhello",
        (200,),
        (_FILES,),
        "the fields stay: Connection cannot take out what is meant for the far end",
    ),
    Case(
        "fields that `Connection` names",
        GET + b"Connection: X-Secret, close\r\nX-Secret: 1\r\n\r\n",
        (200,),
        (_LIST,),
        "left out, as `Connection` itself",
    ),
    Case(
        "the proxy's own names (`x-oaiproxy-*`), `X-Forwarded-*`, `Forwarded`",
        GET + b"x-oaiproxy-warning: x\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\r\n",
        (200,),
        (_LIST,),
        "left out",
    ),
]
