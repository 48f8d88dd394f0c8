"""What a chat request asks, as a `Question`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from oaiproxy.demo import directives, tokens
from oaiproxy.demo.chat_rules import Message
from oaiproxy.demo.question import Format, Mode, Question, Received, Tool

#: Type of a content part -> what it counts as.
_MEDIA = {"image_url": "image", "file": "file", "input_audio": "audio"}


def texts(message: Message) -> Iterator[str]:
    """All text in a message's content."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if part["type"] in ("text", "refusal"):
            yield part[part["type"]]


def read(request: Mapping[str, Any], effort: str | None) -> Question:
    """The question that a request asks.

    @param request: the checked request.
    @param effort: the effort to reason with, or None.
    @raise BadRequest: the user's text has a directive that makes no sense.
    """
    messages: Sequence[Message] = request["messages"]
    users = [message for message in messages if message["role"] == "user"]
    text = "\n".join(texts(users[-1])) if users else ""
    declared = _declared(request)
    mode, names = _choice(request)
    media = [kind for message in messages for kind in _media(message)]
    limit = request.get("max_completion_tokens")
    stop = request.get("stop") or ()
    return Question(
        model=request["model"],
        text=text,
        received=Received(
            messages=len(messages),
            images=media.count("image"),
            files=media.count("file"),
            audio=media.count("audio"),
            tools=tuple(tool.name for tool in declared),
        ),
        input_tokens=_input_tokens(request, media),
        directives=directives.parse(text, "messages"),
        outputs=_outputs(messages),
        tools=tuple(tool for tool in declared if names is None or tool.name in names),
        mode=mode,
        parallel=request.get("parallel_tool_calls") is not False and not request.get("functions"),
        search=request.get("web_search_options") is not None,
        format=_format(request),
        effort=effort,
        limit=request.get("max_tokens") if limit is None else limit,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


def _declared(request: Mapping[str, Any]) -> list[Tool]:
    functions = [tool["function"] for tool in request.get("tools") or () if tool["type"] == "function"]
    custom = [tool["custom"] for tool in request.get("tools") or () if tool["type"] == "custom"]
    return [
        *(
            Tool(function["name"], function.get("parameters") or {"type": "object"}, function.get("strict") is True)
            for function in [*functions, *(request.get("functions") or ())]
        ),
        *(Tool(tool["name"], None) for tool in custom),
    ]


def _choice(request: Mapping[str, Any]) -> tuple[Mode, list[str] | None]:
    """Whether tools are to be called, and the names of the only ones that may be; None for all of them."""
    choice = request.get("tool_choice")
    if choice is None:
        choice = request.get("function_call") or "auto"
        return (Mode(choice), None) if isinstance(choice, str) else (Mode.REQUIRED, [choice["name"]])
    if isinstance(choice, str):
        return Mode(choice), None
    if choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        return Mode(allowed["mode"]), [tool[tool["type"]]["name"] for tool in allowed["tools"]]
    return Mode.REQUIRED, [choice[choice["type"]]["name"]]


def _outputs(messages: Sequence[Message]) -> tuple[str, ...]:
    """What the tools gave, where that is the end of the conversation."""
    given: list[str] = []
    for message in reversed(messages):
        if message["role"] in ("tool", "function"):
            given.append(" ".join(texts(message)))
        elif message["role"] not in ("system", "developer"):
            break
    return tuple(reversed(given))


def _media(message: Message) -> Iterator[str]:
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if part["type"] in _MEDIA:
            yield _MEDIA[part["type"]]


def _format(request: Mapping[str, Any]) -> Format | None:
    form = request.get("response_format") or {}
    if form.get("type", "text") == "text":
        return None
    return Format((form.get("json_schema") or {}).get("schema"))


def _input_tokens(request: Mapping[str, Any], media: list[str]) -> int:
    said = [text for message in request["messages"] for text in texts(message)]
    beside = [
        msgspec.json.encode(value).decode()
        for value in (request.get("tools"), request.get("functions"), *_calls(request["messages"]))
        if value
    ]
    return tokens.count([*said, *beside]) + sum(tokens.MEDIA_TOKENS[kind] for kind in media)


def _calls(messages: Sequence[Message]) -> Iterator[object]:
    for message in messages:
        yield message.get("tool_calls")
        yield message.get("function_call")
