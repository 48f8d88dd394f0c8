"""A ``prompt_cache_key`` for each conversation, so that its turns find what upstream has cached of it.

Upstream sends a request to the machine that a hash of the first 256 tokens or so and the ``prompt_cache_key`` point to
(OpenAI's guide "Prompt caching"): with the same key all turns of a conversation meet the same cache, and other
conversations that begin alike do not crowd it out.  Chat clients send no such key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.bridge.names import digest
from oaiproxy.interfaces import IRequestTransform, ITransformContext

#: So many bytes of the instructions count.  That is about what upstream itself tells prompts apart by, so two requests
#: that differ in them have nothing to share.  What differs behind it must not count: many clients write the time of day
#: at the end of their instructions, and all that stands before it could not be shared by two turns any more.
INSTRUCTIONS_HEAD = 1024

#: Strings of more characters are digested as they are.
_LONG = 1024

#: Hexadecimal digits; the whole key may have 64 characters.
_DIGITS = 40

_INSTRUCTIONS = frozenset({"system", "developer"})

#: Marks of where a cache should end; clients move them on from turn to turn.
_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})


@implementer(IRequestTransform)
class PromptCacheDefault:
    """Adds ``prompt_cache_key`` to chat requests without one, for models that are known to take it.

    A client that sends a key of its own, or null, has said what it wants.
    """

    name = "prompt-cache-default"
    phase = "defaults"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ports = frozenset({PortKind.BRIDGE})
    paths = frozenset({"/chat/completions"})

    def transform(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        body = request.json
        if "prompt_cache_key" in body or not context.models.capabilities(request.model).known:
            return request
        key = cache_key(body)
        return request if key is None else request.with_added(prompt_cache_key=key)


def cache_key(body: Mapping[str, Any]) -> str | None:
    """The key for the conversation that a chat request is a turn of.

    It is a digest of what stays the same over the turns: the model, the end user, and the client's own name for the
    conversation or, where it has none, how the conversation begins.  Two that begin alike share a key, and upstream's
    cache of that beginning.  Left out is what may change while the beginning of the prompt stays: the tools, the
    settings, the end of the instructions, later messages.

    @return: a key that says nothing of what was digested, or None where no two turns can be told to belong together.
    """
    said = _name(body) or _beginning(body)
    if said is None or body.get("previous_response_id") is not None:
        # a request that is chained to an answer holds the newest turn alone
        return None
    who = [_text(body.get(field)) for field in ("model", "user", "safety_identifier")]
    return "oaiproxy-" + digest(*who, *said)[:_DIGITS]


def _name(body: Mapping[str, Any]) -> list[str] | None:
    """What the client, or upstream, calls the conversation."""
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if isinstance(conversation, str) and conversation:
        return ["conversation", conversation]
    chat = body.get("chat_id")
    return ["chat_id", chat] if isinstance(chat, str) and chat else None


def _beginning(body: Mapping[str, Any]) -> list[str] | None:
    """The head of the instructions, and all up to the first message of the user; None where nothing is said."""
    messages = body.get("messages", body.get("input"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list):
        return None
    instructions, opening = [_text(body.get("instructions"))], []
    for message in messages:
        if not isinstance(message, dict):
            continue
        role = _text(message.get("role"))
        content = _content(message.get("content"))
        if role in _INSTRUCTIONS:
            instructions += content
        else:
            opening += [role, str(len(content)), *content]
        if role == "user":
            break
    head = "\n".join([text[:INSTRUCTIONS_HEAD] for text in instructions if text]).encode("utf-8", "surrogatepass")
    return [head[:INSTRUCTIONS_HEAD].decode("latin-1"), *opening]


def _content(content: Any) -> list[str]:
    """The parts of a message's content; a string is the same as its one part."""
    said: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str) or not isinstance(part, dict):
            said.append(_text(text))
        else:
            said += _told(part)
    return said


def _told(part: Mapping[str, Any]) -> list[str]:
    """What a part says that is no text: its long strings as they are, an image may be too large to be copied, and the
    JSON of the rest."""
    fields: dict[str, Any] = {}
    for name, value in part.items():
        if name in _MARKS:
            continue
        if isinstance(value, dict):
            fields.update((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            fields[name] = value
    said: list[str] = []
    for name in sorted(name for name, value in fields.items() if isinstance(value, str) and len(value) > _LONG):
        said += name, fields.pop(name)
    return [*said, _encoded(fields)]


def _encoded(fields: Mapping[str, Any]) -> str:
    try:
        # the order of its keys is the client's whim
        return json.dumps(fields, sort_keys=True)
    except (RecursionError, TypeError, ValueError):
        return ""  # the translation says what is wrong with it


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


prompt_cache_default = PromptCacheDefault()
