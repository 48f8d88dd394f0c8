"""Which tools of the proxy a request has, and the request with their schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from oaiproxy.api.request import ApiRequest
from oaiproxy.tools.registry import ToolBox

#: The path below ``/v1`` of the requests whose calls are run.
CHAT = "/chat/completions"


def own_tools(request: ApiRequest, box: ToolBox) -> frozenset[str]:
    """The names of the functions whose calls the proxy runs for a request; mostly all, and none where

    - the client wants no calls (``tool_choice: "none"``),
    - it speaks the older form (``functions``), in which an answer has room for one call,
    - it wants several choices (``n``): each would need rounds of its own.

    What the client itself declares under the name of a tool is the client's to run.

    @param request: the request after the transforms.
    """
    body = request.json
    tools = body.get("tools")
    if request.path != CHAT or body.get("functions") or body.get("n") not in (None, 1):
        return frozenset()
    if "none" in (body.get("tool_choice"), body.get("function_call")) or not isinstance(tools, (list, type(None))):
        return frozenset()
    # what transforms have put there nobody but us can run
    own = "tools" in request.added or "tools" in request.demanded
    return box.names if own else box.names - set(_declared(tools))


def marked(request: ApiRequest, box: ToolBox) -> ApiRequest:
    """The request with the tools that are to be offered with it, if any are."""
    offered = own_tools(request, box) if box.settings.offer else frozenset()
    return replace(request, tools=offered) if offered else request


def offered(request: ApiRequest, box: ToolBox) -> ApiRequest:
    """The request as it is sent: its `ApiRequest.tools` are among those in its body, behind the client's own and what
    transforms have added."""
    tools = request.json.get("tools") or []
    missing = request.tools - set(_declared(tools))
    if not missing:
        return request
    tools = [*tools, *box.schemas(missing)]
    return request.with_fields(tools=tools) if request.json.get("tools") else request.with_added(tools=tools)


def _declared(tools: Any) -> Iterator[str]:
    """The names of the functions and custom tools in ``tools``."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, Mapping):
            # nested as in Chat, or flat as in Responses
            inner = [tool.get(kind) for kind in ("function", "custom")]
            for each in (tool, *inner):
                if isinstance(each, Mapping) and isinstance(name := each.get("name"), str):
                    yield name


def forbidden(request: ApiRequest, own: frozenset[str]) -> ApiRequest:
    """The request in a form in which the model can call none of the proxy's tools any more.

    Where it could call nothing else, the tools stay, as servers want to know those that were called, and
    ``tool_choice`` says no; else they are taken out, and the client's are left.

    @param request: as it is sent.
    @param own: the names of the proxy's tools.
    """
    tools = request.json.get("tools") or []
    left = [tool for tool in tools if own.isdisjoint(_declared([tool]))]
    if any(isinstance(tool, Mapping) and next(_declared([tool]), None) for tool in left):
        return request.with_fields(tools=left)
    return request.with_fields(tool_choice="none") if tools else request


def unforced(request: ApiRequest) -> ApiRequest:
    """The request after a call was made: one that the client has demanded is not demanded once more."""
    choice = request.json.get("tool_choice")
    if choice in (None, "auto", "none"):
        return request
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        inner = choice.get("allowed_tools")
        if isinstance(inner, Mapping):
            return request.with_fields(tool_choice={**choice, "allowed_tools": {**inner, "mode": "auto"}})
        return request.with_fields(tool_choice={**choice, "mode": "auto"})
    return request.with_fields(tool_choice="auto")
