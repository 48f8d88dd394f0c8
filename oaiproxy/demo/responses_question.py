"""What a Responses request asks, as a `Question`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from oaiproxy.demo import directives, tokens
from oaiproxy.demo.question import Format, Mode, Question, Received, Tool
from oaiproxy.demo.responses_rules import Item, kind_of_item
from oaiproxy.demo.responses_types import WEB_SEARCH

_OUTPUTS = ("function_call_output", "custom_tool_call_output")

#: The field of an item that holds its text, or its list of parts.
_TEXT_FIELDS = ("content", "output", "summary", "arguments", "input")

#: Type of a content part -> what it counts as.
_MEDIA = {"input_image": "image", "input_file": "file"}


def input_items(value: object) -> list[dict[str, Any]]:
    """The ``input`` of a request as items, each with its type."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [{**item, "type": kind_of_item(item)} for item in value] if isinstance(value, list) else []


def texts(item: Item) -> Iterator[str]:
    """All text in an item, however it is nested."""
    for name in _TEXT_FIELDS:
        value = item.get(name)
        if isinstance(value, str):
            yield value
        for part in value if isinstance(value, list) else ():
            text = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text


def read(request: Mapping[str, Any], items: Sequence[Item], effort: str | None) -> Question:
    """The question that a request asks.

    @param request: the checked request.
    @param items: the whole conversation: what went before, then the request's input.
    @param effort: the effort to reason with, or None.
    @raise BadRequest: the user's text has a directive that makes no sense.
    """
    users = [item for item in items if item.get("role") == "user"]
    text = "\n".join(texts(users[-1])) if users else ""
    tools = request.get("tools") or ()
    mode, allowed = _choice(request.get("tool_choice"))
    searches = [tool for tool in tools if tool["type"] in WEB_SEARCH and _is_allowed(tool, allowed)]
    callable_tools = tuple(_tool(t) for t in tools if t["type"] in ("function", "custom") and _is_allowed(t, allowed))
    media = [kind for item in items for kind in _media(item)]
    reasoning = request.get("reasoning") or {}
    return Question(
        model=request["model"],
        text=text,
        received=Received(
            messages=sum(item["type"] == "message" for item in items),
            images=media.count("image"),
            files=media.count("file"),
            tools=tuple(tool.get("name") or tool["type"] for tool in tools),
        ),
        input_tokens=_input_tokens(request, items, media),
        directives=directives.parse(text, "input"),
        outputs=_outputs(items),
        tools=callable_tools,
        mode=mode,
        parallel=request.get("parallel_tool_calls") is not False,
        search=bool(searches) and mode is not Mode.NONE,
        must_search=bool(searches) and mode is Mode.REQUIRED and not callable_tools and not _outputs(items),
        format=_format(request),
        effort=effort,
        summary=reasoning.get("summary") or reasoning.get("generate_summary"),
        limit=request.get("max_output_tokens"),
    )


def _choice(choice: Any) -> tuple[Mode, list[Mapping[str, Any]] | None]:
    """Whether tools are to be called, and the only ones that may be; None for all of them."""
    if not isinstance(choice, dict):
        return Mode(choice or "auto"), None
    if choice["type"] == "allowed_tools":
        return Mode(choice["mode"]), choice["tools"]
    return Mode.REQUIRED, [choice]


def _is_allowed(tool: Mapping[str, Any], allowed: list[Mapping[str, Any]] | None) -> bool:
    if allowed is None:
        return True
    if tool["type"] in WEB_SEARCH:
        return any(choice["type"] in WEB_SEARCH for choice in allowed)
    return any(choice["type"] == tool["type"] and choice.get("name") == tool.get("name") for choice in allowed)


def _tool(tool: Mapping[str, Any]) -> Tool:
    if tool["type"] == "custom":
        return Tool(tool["name"], None)
    # the API tries strict mode where a request says nothing about it
    return Tool(tool["name"], tool.get("parameters") or {"type": "object"}, tool.get("strict") is not False)


def _outputs(items: Sequence[Item]) -> tuple[str, ...]:
    """What the tools gave, where that is the end of the conversation."""
    given: list[str] = []
    for item in reversed(items):
        if item["type"] in _OUTPUTS:
            given.append(" ".join(texts(item)) or " ".join(f"[{kind}]" for kind in _media(item)))
        elif item.get("role") not in ("system", "developer"):
            break
    return tuple(reversed(given))


def _media(item: Item) -> Iterator[str]:
    for name in ("content", "output"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else ():
            if part.get("type") in _MEDIA:
                yield _MEDIA[part["type"]]


def _format(request: Mapping[str, Any]) -> Format | None:
    form = (request.get("text") or {}).get("format") or {}
    return Format(form.get("schema")) if form.get("type", "text") != "text" else None


def _input_tokens(request: Mapping[str, Any], items: Sequence[Item], media: list[str]) -> int:
    said = [text for item in items for text in texts(item)]
    tools = [msgspec.json.encode(tool).decode() for tool in request.get("tools") or ()]
    return tokens.count([request.get("instructions") or "", *said, *tools]) + sum(map(tokens.MEDIA_TOKENS.get, media))  # type: ignore[arg-type]
