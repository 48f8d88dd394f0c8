"""Browser pages of other origins (CORS: the Fetch standard, section 3.2): which may use a port, and what they see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from twisted.web.http_headers import Headers

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.headers import WARNING
from oaiproxy.web.respond import ERROR_STATUS, write_head
from oaiproxy.web.site import ProxyRequest

#: The methods of the API; a page may use any of them.
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"

#: Request fields that are allowed whether a page asks for them or not: ``*`` would not stand for Authorization.
REQUEST_FIELDS = (b"authorization", b"content-type", b"x-api-key")

#: Answer fields that a page's script may read: request ids, rate limits, what the SDKs go by, and our own.
EXPOSED = (
    b"x-request-id",
    WARNING,
    ERROR_STATUS,
    b"x-oaiproxy-retries",
    b"retry-after",
    b"retry-after-ms",
    b"x-should-retry",
    b"x-ratelimit-limit-requests",
    b"x-ratelimit-limit-tokens",
    b"x-ratelimit-remaining-requests",
    b"x-ratelimit-remaining-tokens",
    b"x-ratelimit-reset-requests",
    b"x-ratelimit-reset-tokens",
    b"openai-model",
    b"openai-organization",
    b"openai-processing-ms",
    b"openai-project",
    b"openai-version",
    b"content-disposition",
    b"content-length",
    b"location",
    b"www-authenticate",
)
#: ... and all of these that an answer has.
_EXPOSED_PREFIXES = (b"x-", b"openai-", b"ratelimit")

#: How long a browser may keep the answer to a preflight, in seconds; Chromium keeps none for longer.
MAX_AGE = 7200

#: More names than any page asks for.
_MOST_FIELDS = 100

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,100}")


class Cors:
    """What pages of some origins may do with a port."""

    def __init__(self, origins: Sequence[str]) -> None:
        """@param origins: the origins in lower case, or ``*`` for any."""
        self._any = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def take(self, request: ProxyRequest) -> bool:
        """See to it that the answer says what the request's page may see of it.

        @return: whether that was all that was asked: a preflight, which is answered by now.
        @raise BadRequest: a preflight, for a page that may not use the port.
        """
        origin: bytes | None = request.getHeader(b"origin")
        allowed = b"*" if self._any else origin if origin and origin.lower() in self._origins else None
        request.finish_head = lambda headers: self._finish(headers, allowed)
        if request.method != b"OPTIONS" or origin is None or not request.getHeader(b"access-control-request-method"):
            return False
        if allowed is None:
            raise BadRequest(
                f"Browser pages from {origin.decode('latin-1')} may not use this proxy. Its operator can allow them: "
                "--cors-origin.",
                status=403,
                code="origin_not_allowed",
            )
        self._preflight(request)
        return True

    def _preflight(self, request: ProxyRequest) -> None:
        write_head(request, 204, ())
        asked = b",".join(request.requestHeaders.getRawHeaders(b"access-control-request-headers", ()))
        headers = request.responseHeaders
        headers.setRawHeaders(b"Access-Control-Allow-Methods", [METHODS])
        headers.setRawHeaders(b"Access-Control-Allow-Headers", [b", ".join(_allowed(asked.lower().split(b",")))])
        headers.setRawHeaders(b"Access-Control-Max-Age", [b"%d" % MAX_AGE])
        _vary(headers, b"Access-Control-Request-Method", b"Access-Control-Request-Headers")
        if request.getHeader(b"access-control-request-private-network") == b"true":
            # a page from the internet that wants to speak to this network: that is what it was allowed for
            headers.setRawHeaders(b"Access-Control-Allow-Private-Network", [b"true"])
        request.finish()

    def _finish(self, headers: Headers, allowed: bytes | None) -> None:
        """Say in the fields of an answer who may see it; what upstream says of that is about its own address."""
        names = [name.lower() for name, _ in headers.getAllRawHeaders()]
        for name in names:
            if name.startswith(b"access-control-"):
                headers.removeHeader(name)
        if not self._any:
            _vary(headers, b"Origin")
        if allowed is None:
            return
        headers.setRawHeaders(b"Access-Control-Allow-Origin", [allowed])
        if not self._any:
            # a browser has nothing of ours that it would send on its own; some clients insist
            headers.setRawHeaders(b"Access-Control-Allow-Credentials", [b"true"])
        more = [name for name in names if name.startswith(_EXPOSED_PREFIXES) and name not in EXPOSED]
        headers.setRawHeaders(b"Access-Control-Expose-Headers", [b", ".join((*EXPOSED, *more))])


def _allowed(asked: Iterable[bytes]) -> Iterable[bytes]:
    """The request fields that a page may set: those that it asks for, as far as they are names of fields."""
    names = [name for entry in asked if _TOKEN.fullmatch(name := entry.strip(b" \t"))]
    return list(dict.fromkeys((*REQUEST_FIELDS, *names)))[:_MOST_FIELDS]


def _vary(headers: Headers, *fields: bytes) -> None:
    """Note that the answer depends on some fields of the request (RFC 9110 section 12.5.5)."""
    noted: Sequence[bytes] = headers.getRawHeaders(b"vary", [])
    known = {name.strip(b" \t").lower() for value in noted for name in value.split(b",")}
    more = [field for field in fields if field.lower() not in known]
    if more and b"*" not in known:
        headers.setRawHeaders(b"Vary", [b", ".join((*noted, *more))])
