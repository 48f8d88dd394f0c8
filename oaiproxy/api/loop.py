"""Requests that have come around: the mark by which a proxy knows its own.

``CDN-Loop`` (RFC 8586) is a list of who has passed a request on.  It is for this and nothing else; ``Via`` (RFC 9110
section 7.6.3) would do as well, but servers take it as a reason to answer otherwise, such as without compression.
"""

from __future__ import annotations

from collections.abc import Iterable

from oaiproxy.api.headers import Header

#: The request header field, in lower case.
FIELD = b"cdn-loop"


def has_come_around(values: Iterable[bytes], mark: bytes) -> bool:
    """Whether one of a request's `FIELD` values names `mark`.

    @param values: the values of the field, each a list of names with parameters (RFC 8586 section 2).
    """
    return any(mark == entry.partition(b";")[0].strip(b" \t") for value in values for entry in value.split(b","))


def marked(pairs: Iterable[Header], mark: bytes) -> list[Header]:
    """The fields of a request with `mark` behind those of others who passed it on.

    @return: the fields, with one `FIELD`, the last of them.
    """
    fields = list(pairs)
    others = [value for name, value in fields if name.lower() == FIELD]
    if others:
        fields = [field for field in fields if field[0].lower() != FIELD]
    fields.append((b"CDN-Loop", b", ".join((*filter(None, others), mark))))
    return fields
