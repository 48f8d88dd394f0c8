"""Answers that the proxy gives itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from twisted.web.http import datetimeToString

from oaiproxy.api.errors import ApiError
from oaiproxy.clients import ErrorAnswer, error_answer

if TYPE_CHECKING:
    from oaiproxy.web.site import ProxyRequest

#: The response field that holds the status of an error where the answer's own status does not tell it.
ERROR_STATUS = b"x-oaiproxy-error"

#: The reason phrases (RFC 9110 section 15); Twisted lacks those of newer statuses, such as 429.
_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

Pairs = Iterable[tuple[bytes, bytes]]


def phrase_of(status: int) -> bytes:
    """The reason phrase of a status."""
    return _PHRASES.get(status, b"Unknown Status")


def date(seconds: float | None = None) -> bytes:
    """What the field ``Date`` says (RFC 9110 section 6.6.1).

    @param seconds: the Unix time; now where None.
    """
    return _date(int(time.time() if seconds is None else seconds))


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    # many answers go out in the same second
    said: bytes = datetimeToString(second)
    return said


def write_head(request: ProxyRequest, status: int, headers: Pairs, phrase: bytes | None = None) -> None:
    """Set status and header fields."""
    request.code = status
    request.code_message = phrase_of(status) if phrase is None else phrase
    if request.own_fields:
        names = {name.lower() for name, _ in request.own_fields}
        headers = [*(field for field in headers if field[0].lower() not in names), *request.own_fields]
    if request.finish_head is None:
        request.fields = headers
        return
    for name, value in headers:
        request.responseHeaders.addRawHeader(name, value)
    request.finish_head(request.responseHeaders)


def write_body(
    request: ProxyRequest, status: int, body: bytes, headers: Pairs = (), content_type: bytes = b"application/json"
) -> None:
    """Answer with a whole body and end the request."""
    own = ((b"Content-Type", content_type), (b"Content-Length", b"%d" % len(body)))
    write_head(request, status, (*headers, *own))
    request.write(body)
    request.finish()


def rendered(request: ProxyRequest, error: ApiError) -> ErrorAnswer:
    """An error in the form that the request's client takes."""
    return (request.error_form or error_answer)(error)


def write_error(request: ProxyRequest, error: ApiError, headers: Pairs = ()) -> None:
    """Answer with an error, in the form that the client takes, and end the request.

    @param headers: what else the client may know, such as the upstream's request id.
    """
    answer = rendered(request, error)
    own = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in error.headers.items()]
    if answer.status != error.status:
        own.append((ERROR_STATUS, b"%d" % error.status))
    write_body(request, answer.status, answer.body, [*headers, *own], answer.content_type)
