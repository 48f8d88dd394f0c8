"""What the model is sent once its calls were run: the same request, with the calls and their results behind it."""

from __future__ import annotations

from collections.abc import Sequence

from oaiproxy.api.request import ApiRequest, JsonObject, PortKind
from oaiproxy.tools.offer import forbidden, offered, unforced
from oaiproxy.tools.registry import ToolBox


def tool_message(call_id: str, text: str) -> JsonObject:
    """The message with the result of a call."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def follow_up(
    request: ApiRequest, rounds: Sequence[Sequence[JsonObject]], box: ToolBox, own: frozenset[str], last: bool
) -> ApiRequest:
    """The request after one or more rounds of calls.

    All that comes before the first call is as it was in the first request, so that upstream's cache of it is of use.

    @param request: the client's, after the transforms.
    @param rounds: of each round the model's message and the results.
    @param box: the tools.
    @param own: the names of those that the proxy runs for the request.
    @param last: no more calls will be run.
    """
    body = request.json
    if request.port is PortKind.BRIDGE and body.get("conversation") is not None:
        # upstream keeps the conversation and has the question and the calls in it; a message twice would be there twice
        request = request.with_fields(messages=[message for message in rounds[-1] if message["role"] == "tool"])
    else:
        added = [message for messages in rounds for message in messages]
        given = body.get("messages")
        if isinstance(given, list) and given:
            request = request.with_fields(messages=[*given, *added])
        elif isinstance(given := body.get("input"), list):
            request = request.with_fields(input=[*given, *added])
        else:
            said = {"role": "user", "content": given}
            request = request.without_fields({"input"}).with_fields(messages=[said, *added])
    request = offered(unforced(request), box)
    return forbidden(request, own) if last else request
