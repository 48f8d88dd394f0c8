"""Which heads of requests are taken: the bytes of a head in, what it says out, or why it is refused.

Stricter than HTTP has to be: where two servers could read a head in two ways, so that they would differ on where the
request ends or for whom it is (request smuggling), it is refused.  `docs/reliability.md` has the table of the cases.
"""

from __future__ import annotations

import re

import msgspec

from oaiproxy.api.errors import ApiError, BadRequest

#: The longest request line, in bytes (RFC 9112 section 3 asks for 8000 at least).
LINE_LIMIT = 16384

#: The longest header section, in bytes, and the most fields of one.
SECTION_LIMIT = 65536
FIELD_LIMIT = 200

#: Said by those whose length is not known before the end of the body.
CHUNKED = None

_END = b"\r\n\r\n"

#: A line end that is none (RFC 9112 section 2.2 lets a server take a bare LF for one, and forbids it a bare CR), and
#: NUL, at which some parsers stop.
_NO_LINE_END = re.compile(rb"[^\r]\n|\r[^\n]|\x00")

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: A line of the header section, with the line end before it.
_FIELD = re.compile(rb"\r\n([!#$%&'*+\-.^_`|~0-9A-Za-z]++):([\t\x20-\x7e\x80-\xff]*+)(?=\r\n|\Z)")
#: Visible ASCII; not ``#``, which begins what is no part of a target, and at which some servers cut it.
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([\x21\x22\x24-\x7e]++) (HTTP/1\.[01])")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(rb"(?:[0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class RequestHead(msgspec.Struct, frozen=True):
    """The head of a request.

    @ivar method: the method, in the letters sent.
    @ivar target: the target in origin form, path and query, or ``*``.
    @ivar version: ``HTTP/1.1`` or ``HTTP/1.0``.
    @ivar fields: names and values, in the order sent; with a ``Host`` that is where the request was sent to.
    @ivar named: the values of each field, by its name in lower case.
    @ivar length: of the body in bytes, or `CHUNKED`.
    @ivar expects_continue: the client waits for a ``100 Continue`` with the body.
    @ivar persistent: the connection may serve another request.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    named: dict[bytes, list[bytes]]
    length: int | None
    expects_continue: bool
    persistent: bool


def head_end(data: bytes, seen: int = 0) -> int:
    """Where the head of a request ends.

    @param data: what has come of the request.
    @param seen: how much of it was looked at before.
    @return: the length of the head without the empty line at its end, or -1 where that has not come yet.
    @raise BadRequest: it cannot become a head that is taken.
    """
    if data.startswith(b"\n"):
        raise _no_line_end()
    end = data.find(_END, max(0, seen - 3))
    _check_line_ends(data, max(0, seen - 1), len(data) if end < 0 else end + 4)
    line = data.find(b"\r\n", 0, LINE_LIMIT + 2)
    if line < 0 and len(data) > LINE_LIMIT:
        raise BadRequest(
            f"The request line is longer than {LINE_LIMIT} bytes.", status=414, code="request_line_too_long"
        )
    if (len(data) if end < 0 else end) - max(line, 0) > SECTION_LIMIT:
        raise BadRequest(
            f"The header fields are longer than {SECTION_LIMIT} bytes in all.", status=431, code="headers_too_large"
        )
    return end


def _check_line_ends(data: bytes, begin: int, end: int) -> None:
    """@raise BadRequest: there is a line end that is none."""
    # counting is many times faster than searching; where each CR has its LF there is nothing to look for
    ends = data.count(b"\r\n", begin, end)
    if data.count(b"\n", begin, end) == ends == data.count(b"\r", begin, end) and data.find(b"\0", begin, end) < 0:
        return
    if _NO_LINE_END.search(data, begin, end) is not None:
        raise _no_line_end()


def read_head(head: bytes) -> RequestHead:
    """Read a head.

    @param head: its bytes, as `head_end` found them: with no line end that is none, and without the last.
    @raise BadRequest: it is refused; the connection it came on is to be closed, as nobody knows what follows.
    """
    line = head.partition(b"\r\n")[0]
    method, target, version = _request_line(line)
    fields = _fields(head, len(line))
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in named:
            named[lower].append(value)
        else:
            named[lower] = [value]
    said = named.get
    _check_host(said(b"host", []), version)
    target, authority = _origin_form(method, target)
    if authority is not None:
        # RFC 9112 section 3.2.2: what Host says does not count then
        fields = [(b"Host", authority), *(field for field in fields if field[0].lower() != b"host")]
        named[b"host"] = [authority]
    return RequestHead(
        method=method,
        target=target,
        version=version,
        fields=tuple(fields),
        named=named,
        length=_length(said(b"content-length"), said(b"transfer-encoding"), version),
        expects_continue=_expects_continue(said(b"expect"), version),
        persistent=version == b"HTTP/1.1" and b"close" not in options(said(b"connection")),
    )


def _fields(head: bytes, begin: int) -> list[tuple[bytes, bytes]]:
    """The fields of a header section, which begins with the end of the line before it.

    @raise BadRequest: there are too many, or a line is no field.
    """
    count = head.count(b"\r\n", begin)
    if count > FIELD_LIMIT:
        raise BadRequest(f"There are more than {FIELD_LIMIT} header fields.", status=431, code="headers_too_large")
    found = _FIELD.findall(head, begin)
    if len(found) != count:
        # as no field has a line end in it, there is a line that is none
        found = list(map(_field, head[begin + 2 :].split(b"\r\n")))
    return [(name, value.strip(b" \t")) for name, value in found]


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    usual = _LINE.fullmatch(line)
    if usual is not None and usual[1] != b"CONNECT":
        return usual[1], usual[2], usual[3]
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):
        raise _invalid("The request line is not 'METHOD target HTTP/1.1' with one space between")
    method, target, version = parts
    if not _VERSION.fullmatch(version):
        raise _invalid("The request line does not end in 'HTTP/1.1'")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest("This server speaks HTTP/1.1.", status=505, code="unsupported_http_version")
    if method == b"CONNECT":
        raise BadRequest(
            "This server is no forward proxy: use it as the base URL, not as HTTPS_PROXY.",
            status=501,
            code="method_not_implemented",
        )
    if not _TARGET.fullmatch(target):
        raise _invalid("The request target has characters that have to be percent-encoded")
    return method, target, version


def _origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """A target in origin form, and the authority where it names one (RFC 9112 section 3.2)."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target, None
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise _invalid("The request target is no path that begins with '/'")
    authority, path = found.groups()
    if not _HOST.fullmatch(authority):
        raise _invalid("The request target names no host, or one with characters that hosts do not have")
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    return path if path.startswith((b"/", b"*")) else b"/" + path, authority


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        raise _invalid("A header field is continued on another line (obs-fold)")
    if not colon or not _TOKEN.fullmatch(name):
        raise _invalid("A header line is no 'Name: value', or its name has characters that names do not have")
    if _CONTROL.search(value):
        raise _invalid("The value of a header field has control characters")
    return name, value


def _check_host(hosts: list[bytes], version: bytes) -> None:
    """RFC 9112 section 3.2: one Host, and a valid one."""
    if len(hosts) > 1:
        raise _invalid("There are several Host fields")
    if not hosts:
        if version == b"HTTP/1.1":
            raise _invalid("There is no Host field")
    elif not _HOST.fullmatch(hosts[0]):
        raise _invalid("The Host field is not 'host' or 'host:port'")


def _length(lengths: list[bytes] | None, codings: list[bytes] | None, version: bytes) -> int | None:
    """How long the body is (RFC 9112 section 6.3)."""
    if codings is not None:
        if lengths is not None:
            raise _invalid("There are both Content-Length and Transfer-Encoding")
        if version != b"HTTP/1.1":
            raise _invalid("HTTP/1.0 knows no Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadRequest(
                "The only Transfer-Encoding that this server takes is 'chunked'.",
                status=501,
                code="unsupported_transfer_encoding",
            )
        return CHUNKED
    if lengths is None:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise _invalid("Content-Length is not one number")
    return int(lengths[0])


def _expects_continue(expected: list[bytes] | None, version: bytes) -> bool:
    """RFC 9110 section 10.1.1."""
    if expected is None or version != b"HTTP/1.1":
        return False
    if [value.lower() for value in expected] != [b"100-continue"]:
        raise BadRequest("The only Expect that this server knows is '100-continue'.", status=417, code="unknown_expect")
    return True


def options(values: list[bytes] | None) -> set[bytes]:
    """The entries, in lower case, of a field whose value is a list of words."""
    return {option.strip(b" \t").lower() for value in values or () for option in value.split(b",")}


def _invalid(what: str) -> ApiError:
    return BadRequest(f"{what}: this is not HTTP as RFC 9112 has it.", code="invalid_http_request")


def _no_line_end() -> ApiError:
    return _invalid("The head of the request has a CR, LF, or NUL that is no line end")
