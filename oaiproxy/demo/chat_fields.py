"""What the chat API takes, as tables (schema ``CreateChatCompletionRequest``): each field, message and tool on its own.

Inside messages and tools fields that are not known are let pass: chat clients send many.
"""

from __future__ import annotations

from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.demo.checks import (
    Check,
    anything,
    array,
    boolean,
    either,
    fields,
    integer,
    nullable,
    number,
    one_of,
    string,
    tagged,
    wrong_type,
)
from oaiproxy.demo.common_fields import COMMON, FUNCTION_NAME
from oaiproxy.demo.responses_types import EFFORTS
from oaiproxy.demo.schemas import SCHEMA_NAME

_ANY = fields({}, more=True)
_TEXT = string()
_NAME = string(least=1, most=64, pattern=FUNCTION_NAME)


def _url(value: Any, path: str) -> None:
    _TEXT(value, path)
    if not value.startswith(("https://", "http://", "data:")):
        raise BadRequest(
            f"Invalid '{path}'. Expected a valid URL, but got a value with an invalid format.",
            param=path,
            code="invalid_image_url",
        )


_PARTS: dict[str, Check] = {
    "text": fields({"text": _TEXT}, "text", more=True),
    "image_url": fields(
        {"image_url": fields({"url": _url, "detail": nullable(one_of("auto", "low", "high"))}, "url", more=True)},
        "image_url",
        more=True,
    ),
    "input_audio": fields(
        {"input_audio": fields({"data": _TEXT, "format": one_of("wav", "mp3")}, "data", "format", more=True)},
        "input_audio",
        more=True,
    ),
    "file": fields(
        {"file": fields({"file_data": nullable(_TEXT), "file_id": nullable(_TEXT)}, more=True)}, "file", more=True
    ),
    "refusal": fields({"refusal": _TEXT}, "refusal", more=True),
}


def _content(*parts: str) -> Check:
    table = {name: _PARTS[name] for name in parts}
    return either("one of a string or array of objects", str=_TEXT, list=array(tagged(table), least=1))


def _message(content: Check, *required: str, **more: Check) -> Check:
    return fields({"content": content, **more}, *required, more=True)


_FUNCTION_CALL = fields({"name": string(least=1), "arguments": _TEXT}, "name", "arguments", more=True)
_TOOL_CALL = tagged(
    {
        "function": fields({"id": string(least=1), "function": _FUNCTION_CALL}, "id", "function", more=True),
        "custom": fields(
            {"id": string(least=1), "custom": fields({"name": string(least=1), "input": _TEXT}, "name", "input")},
            "id",
            "custom",
            more=True,
        ),
    }
)

_MESSAGE = tagged(
    {
        "system": _message(_content("text"), "content"),
        "assistant": _message(
            nullable(_content("text", "refusal")),
            refusal=nullable(_TEXT),
            tool_calls=nullable(array(_TOOL_CALL, least=1, most=128)),
            function_call=nullable(_FUNCTION_CALL),
        ),
        "user": _message(_content("text", "image_url", "input_audio", "file"), "content"),
        "function": _message(nullable(_TEXT), "content", "name", name=string(least=1)),
        "tool": _message(_content("text"), "content", "tool_call_id", tool_call_id=string(least=1)),
        "developer": _message(_content("text"), "content"),
    },
    tag="role",
)

_FUNCTION = fields(
    {"name": _NAME, "description": nullable(_TEXT), "parameters": nullable(_ANY), "strict": nullable(boolean)},
    "name",
    more=True,
)
_GRAMMAR = fields({"syntax": one_of("lark", "regex"), "definition": string(least=1)}, "syntax", "definition")
_CUSTOM = fields(
    {
        "name": _NAME,
        "description": nullable(_TEXT),
        "format": nullable(
            tagged(
                {
                    "text": fields({"type": anything}),
                    "grammar": fields({"type": anything, "grammar": _GRAMMAR}, "grammar"),
                }
            )
        ),
    },
    "name",
)
_TOOL = tagged(
    {
        "function": fields({"type": anything, "function": _FUNCTION}, "function", more=True),
        "custom": fields({"type": anything, "custom": _CUSTOM}, "custom"),
    }
)

_NAMED = fields({"name": string(least=1)}, "name", more=True)
_ONE_TOOL: dict[str, Check] = {
    "function": fields({"type": anything, "function": _NAMED}, "function"),
    "custom": fields({"type": anything, "custom": _NAMED}, "custom"),
}
_CHOICE = tagged(
    {
        **_ONE_TOOL,
        "allowed_tools": fields(
            {
                "type": anything,
                "allowed_tools": fields(
                    {"mode": one_of("auto", "required"), "tools": array(tagged(_ONE_TOOL), least=1)}, "mode", "tools"
                ),
            },
            "allowed_tools",
        ),
    }
)

_FORMAT = tagged(
    {
        "text": fields({"type": anything}),
        "json_object": fields({"type": anything}),
        "json_schema": fields(
            {
                "type": anything,
                "json_schema": fields(
                    {
                        "name": SCHEMA_NAME,
                        "description": nullable(_TEXT),
                        "schema": nullable(_ANY),
                        "strict": nullable(boolean),
                    },
                    "name",
                ),
            },
            "json_schema",
        ),
    }
)

_LOCATION = fields({"type": one_of("approximate"), "approximate": _ANY}, "type", "approximate")


def stop(value: Any, path: str) -> None:
    """Takes a stop sequence, or up to four."""
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong_type(path, "one of a string or array of strings", value)
    array(string(), most=4)(value, path)


#: Every field of a request, and what it takes.
CREATE_CHAT_COMPLETION: dict[str, Check] = {
    **COMMON,
    "audio": nullable(_ANY),
    "frequency_penalty": nullable(number(-2, 2)),
    "function_call": nullable(either("one of a string or object", str=one_of("none", "auto"), dict=_NAMED)),
    "functions": nullable(array(_FUNCTION, least=1, most=128)),
    "logit_bias": nullable(_ANY),
    "logprobs": nullable(boolean),
    "max_completion_tokens": nullable(integer(least=1)),
    "max_tokens": nullable(integer(least=1)),
    "messages": array(_MESSAGE, least=1),
    "modalities": nullable(array(one_of("text", "audio"))),
    "n": nullable(integer(least=1, most=128)),
    "prediction": nullable(_ANY),
    "presence_penalty": nullable(number(-2, 2)),
    "reasoning_effort": nullable(one_of(*EFFORTS)),
    "response_format": nullable(_FORMAT),
    "seed": nullable(integer()),
    "service_tier": nullable(one_of("auto", "default", "flex", "scale", "priority", "fast")),
    "stop": nullable(stop),
    "stream_options": nullable(fields({"include_usage": nullable(boolean), "include_obfuscation": nullable(boolean)})),
    "tool_choice": nullable(either("one of a string or object", str=one_of("none", "auto", "required"), dict=_CHOICE)),
    "tools": nullable(array(_TOOL, most=128)),
    "verbosity": nullable(one_of("low", "medium", "high")),
    "web_search_options": nullable(
        fields({"search_context_size": nullable(one_of("low", "medium", "high")), "user_location": nullable(_LOCATION)})
    ),
}
