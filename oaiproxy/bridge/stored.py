"""Stored chat completions: the bridge has none, but with ``store: true`` upstream keeps the response they were made of.

A completion's id is made of the response's (`oaiproxy.bridge.turn`), so that the client can be told where to look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oaiproxy.api.errors import ApiError, MethodNotAllowed, NotFound

_ID = re.compile(r"chatcmpl-([A-Za-z0-9_-]{1,256})", re.ASCII)

#: How a client names a response whose id it has to find out itself.
_ANY = "{response_id}"


@dataclass(frozen=True, slots=True)
class _Instead:
    """What to do in place of a request about a stored completion.

    @ivar request: the request to make; ``{}`` stands for the response's id.
    @ivar rest: what else there is to know.
    """

    request: str
    rest: str = ""


_GET = _Instead("GET /v1/responses/{}")
_INPUT = _Instead("GET /v1/responses/{}/input_items")

#: The method and what follows the completion's id in the path -> what to do instead.
_INSTEAD: Mapping[tuple[str, str], _Instead] = {
    ("GET", ""): _GET,
    ("HEAD", ""): _GET,
    ("POST", ""): _Instead(
        "GET /v1/responses/{}", "A response's metadata is set when it is made, and not changed later."
    ),
    ("DELETE", ""): _Instead("DELETE /v1/responses/{}"),
    ("GET", "messages"): _INPUT,
    ("HEAD", "messages"): _INPUT,
}

_LIST = (
    "On the bridge port chat completions are made with POST and not stored, so there are none to list. What was made "
    "with store: true is kept upstream as a response: GET /v1/responses/{response_id} on this port, where a completion "
    "chatcmpl-... is the response resp_.... Responses cannot be listed."
)


def response_id(completion_id: str) -> str | None:
    """The id of the response that a chat completion of the bridge was made of, or None where `completion_id` is none
    that the bridge gives."""
    match = _ID.fullmatch(completion_id)
    return None if match is None else "resp_" + match[1]


def no_list() -> MethodNotAllowed:
    """The answer to a request for all stored completions."""
    return MethodNotAllowed(_LIST, ("POST",))


def not_stored(method: str, completion_id: str, below: str = "") -> ApiError:
    """The answer to a request about a stored completion.

    @param method: the HTTP method.
    @param completion_id: the completion's id, as the client sent it.
    @param below: what follows it in the path: nothing, or ``messages``.
    @return: a 404 that says what to do instead; a 405 where the API has no such method.
    """
    instead = _INSTEAD.get((method, below))
    if instead is None:
        allow = tuple(known for known, place in _INSTEAD if place == below)
        return MethodNotAllowed(f"This path takes {', '.join(allow)}.", allow)
    found = response_id(completion_id)
    hint = "" if found else " ({response_id} is the id of that response, resp_...)"
    told = [
        "This port makes chat completions with the Responses API, so there is no stored chat completion of this id. If "
        "it was made here with store: true, upstream keeps it as a response.",
        f"Use {instead.request.format(found or _ANY)} on this port{hint}.",
        instead.rest,
        "Without store: true nothing of it was kept.",
    ]
    return NotFound(" ".join(filter(None, told)), param="completion_id", code="completion_not_stored")
