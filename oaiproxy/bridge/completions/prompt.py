"""Prompts: what a client may send as one, and how a chat model is told to go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import JsonObject
from oaiproxy.bridge.checks import missing, wrong_type

#: How the models of this API write the border between two documents: as a whole prompt it means that there is none, and
#: it is what an absent prompt stands for (schema ``CreateCompletionRequest.prompt``).
END_OF_TEXT = "<|endoftext|>"

_ONLY = "Reply with that text and nothing else: no introduction, no comment, no quotation marks, no code fence."

#: What a chat model is told in front of a prompt.
CONTINUE = (
    "You complete texts. The user's message is the beginning of a text. Write how it goes on from its very last "
    f"character, repeating nothing of it and starting with a space or a line break where one belongs. {_ONLY}"
)

#: ... of a prompt with a suffix.
INSERT = (
    "You complete texts. The user's message holds a text with a gap: what stands before it between <prefix> and "
    f"</prefix>, and what stands after it between <suffix> and </suffix>. Write what belongs into the gap. {_ONLY}"
)

#: ... in place of an empty prompt.
BEGIN = f"You write texts. Write one, of any kind. {_ONLY}"


def read_prompts(value: Any) -> tuple[str, ...]:
    """The texts of a ``prompt``; an empty one stands for no prompt at all.

    @param value: the field's value, unchecked.
    @raise BadRequest: it is of the wrong type, or it holds token numbers.
    """
    if value is None:
        return ("",)
    if isinstance(value, str):
        return (_text(value),)
    if not isinstance(value, list):
        raise wrong_type(value, "prompt", "a string or an array of strings")
    if not value:
        raise BadRequest("'prompt' is empty. Send at least one text.", param="prompt", code="empty_array")
    if all(map(_is_token, value)) or any(isinstance(item, list) and all(map(_is_token, item)) for item in value):
        raise BadRequest(
            "This port cannot read token numbers: the Responses API takes text alone, and which text they stand for "
            "only the model's own tokenizer knows. Send the prompt as a string or an array of strings.",
            param="prompt",
            code="unsupported_value",
        )
    for i, item in enumerate(value):
        if not isinstance(item, str):
            raise wrong_type(item, f"prompt[{i}]", "a string")
    return tuple(map(_text, value))


def require_prompt(body: Mapping[str, Any]) -> Any:
    """The ``prompt`` of a request, unchecked.

    @raise BadRequest: there is none.
    """
    if "prompt" in body:
        return body["prompt"]
    if "messages" in body:
        raise BadRequest(
            "'prompt' is missing. Requests with 'messages' go to /v1/chat/completions.",
            param="prompt",
            code="missing_required_parameter",
        )
    raise missing("prompt")


def messages(prompt: str, suffix: str) -> list[JsonObject]:
    """The chat messages that ask for the completion of a prompt.

    The instruction comes first and is the same for all prompts, so that it is no hindrance to the prompt cache.

    @param prompt: the text before; may be empty.
    @param suffix: the text after; empty for none.
    """
    if suffix:
        return [_system(INSERT), _user(f"<prefix>{prompt}</prefix><suffix>{suffix}</suffix>")]
    return [_system(CONTINUE), _user(prompt)] if prompt else [_system(BEGIN)]


def _system(text: str) -> JsonObject:
    # a developer message, for a model that knows those
    return {"role": "system", "content": text}


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": text}


def _text(prompt: str) -> str:
    return "" if prompt == END_OF_TEXT else prompt


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
