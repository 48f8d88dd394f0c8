"""Asks for every chat answer in capital letters, on both kinds of port."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.interfaces import IRequestTransform, ITransformContext

NOTE = {"role": "system", "content": "Answer in capital letters."}


@implementer(IRequestTransform)
class Shout:
    """Adds a system message after those that the client sent first."""

    name = "shout"
    phase = "last"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ports = frozenset({PortKind.PASSTHROUGH, PortKind.BRIDGE})
    paths = frozenset({"/chat/completions"})

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        messages = request.json.get("messages")
        if not isinstance(messages, list):
            return request
        start = sum(1 for _ in takewhile(_is_instruction, messages))
        return request.with_fields(messages=[*messages[:start], NOTE, *messages[start:]])


def _is_instruction(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


shout = Shout()
