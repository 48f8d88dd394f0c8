"""Answers that the proxy gives itself."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.http import Request

from oaiproxy.api.errors import ApiError

Pairs = Iterable[tuple[bytes, bytes]]


def write_head(request: Request, status: int, headers: Pairs, phrase: bytes | None = None) -> None:
    """Set status and header fields; fields of one name take the place of what was set before."""
    request.setResponseCode(status, phrase)
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    for name, values in fields.items():
        request.responseHeaders.setRawHeaders(name, values)


def write_body(request: Request, status: int, body: bytes, headers: Pairs = ()) -> None:
    """Answer with a whole body of JSON and end the request."""
    write_head(request, status, headers)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def write_error(request: Request, error: ApiError, headers: Pairs = ()) -> None:
    """Answer with an error in OpenAI's shape and end the request.

    @param headers: what else the client may know, such as the upstream's request id.
    """
    own = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in error.headers.items()]
    write_body(request, error.status, error.body(), [*headers, *own])
