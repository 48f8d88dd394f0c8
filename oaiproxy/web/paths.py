"""Paths as clients sent them."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from oaiproxy.api.errors import BadRequest, NotFound


def below_v1(uri: bytes) -> bytes:
    """What follows ``/v1`` in a request target: path and query, byte for byte.

    @raise NotFound: the target is not below ``/v1/``.
    @raise BadRequest: the path climbs (``..``), by which it could leave the upstream's base path.
    """
    if not uri.startswith(b"/v1/"):
        raise NotFound(
            "This proxy serves the paths below /v1/. Use a base URL that ends in /v1 (or one without /v1 for clients "
            "that add it themselves, as Xcode does).",
            code="unknown_path",
        )
    target = uri[3:]
    path = target.partition(b"?")[0]
    if b"." in path or b"%" in path:
        for segment in unquote_to_bytes(path).replace(b"\\", b"/").split(b"/"):
            if segment in (b".", b".."):
                raise BadRequest("The path must not hold '.' or '..' segments.", code="invalid_path")
    return target
