"""Text that follows the last user message: ``/no_think``, or what the answer has to look like.

The last message is meant.  Where that is none of the user's (the result of a tool, an answer that is to be continued),
or where there is none at all, a user message of its own follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: The fields in which a conversation stands, each with its types of parts that hold text: the first is a new part's.
CONVERSATION: Mapping[str, tuple[str, ...]] = {"messages": ("text", "input_text"), "input": ("input_text", "text")}

_ESCAPE = re.compile(r"\\([nrt\\])")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def unescaped(text: str) -> str:
    r"""What ``\n``, ``\r``, ``\t`` and ``\\`` stand for; any other backslash is one."""
    return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], text)


def append_text(body: Mapping[str, Any], text: str) -> Mapping[str, Any] | None:
    """A request's body with text behind its last user message.

    @param body: of a chat completion (``messages``), or of a response (``input``).
    @return: the new body, or None where there is no conversation, or none that can be understood.
    """
    messages, given = body.get("messages"), body.get("input")
    # some clients post the conversation as input and an empty list of messages
    field = "input" if given is not None and not messages else "messages"
    if field == "input" and isinstance(given, str):
        return {**body, "input": given + text}
    conversation = body.get(field)
    if not isinstance(conversation, list):
        return None
    last = conversation[-1] if conversation else None
    if not isinstance(last, dict) or not _is_users(last):
        return {**body, field: [*conversation, {"role": "user", "content": text}]}
    content = _content(last.get("content"), text, CONVERSATION[field])
    if content is None:
        return None
    return {**body, field: [*conversation[:-1], {**last, "content": content}]}


def _is_users(message: Mapping[str, Any]) -> bool:
    # an item without a type is a message
    return message.get("role") == "user" and message.get("type") in (None, "message")


def _content(content: Any, text: str, kinds: tuple[str, ...]) -> Any:
    """A message's content with more text, or None where it is of no kind that we know."""
    if content is None:
        return text
    if isinstance(content, str):
        return content + text
    if not isinstance(content, list):
        return None
    for place in reversed(range(len(content))):
        part = content[place]
        if isinstance(part, dict) and part.get("type") in kinds and isinstance(part.get("text"), str):
            return [*content[:place], {**part, "text": part["text"] + text}, *content[place + 1 :]]
    return [*content, {"type": kinds[0], "text": text}]
