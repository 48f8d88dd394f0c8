"""What can be said of a request body without reading it: is it JSON, an object, and of the shape its path takes?"""

from __future__ import annotations

import msgspec

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import decode_object


class _Shape(msgspec.Struct):
    # the parser skips all else without building it
    messages: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Shape)

#: POST paths whose bodies are JSON objects, and whether ``messages`` has to be in them.
CHECKED_PATHS = {"/chat/completions": True, "/responses": False}


def check_body(path: str, raw: bytes) -> None:
    """Refuse a body that no server could take, before anything is sent.

    Roles and parts are not looked at: servers behind a passthrough port may know more of them than OpenAI does.

    @param path: the path below ``/v1``; one that is not in `CHECKED_PATHS` is not checked.
    @param raw: the body.
    @raise BadRequest: it is not JSON, not an object, or has no list of messages.
    """
    wants_messages = CHECKED_PATHS.get(path)
    if wants_messages is None:
        return
    try:
        shape = _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        decode_object(raw)  # says precisely what is wrong
        return
    if not wants_messages:
        return
    if shape.messages is msgspec.UNSET:
        raise BadRequest(
            "'messages' is missing: send the conversation as a list of messages.",
            param="messages",
            code="missing_required_parameter",
        )
    # a look at where it begins is no copy of it
    if bytes(memoryview(shape.messages)[:1]) != b"[":
        raise BadRequest("'messages' must be a list of messages.", param="messages", code="invalid_type")
