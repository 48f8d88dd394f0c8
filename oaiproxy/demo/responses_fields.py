"""What the Responses API takes, as tables (schema ``CreateResponse``): each field, item, part and tool on its own."""

from __future__ import annotations

from collections.abc import Mapping
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
    missing,
    nullable,
    one_of,
    string,
    tagged,
)
from oaiproxy.demo.common_fields import COMMON, FUNCTION_NAME
from oaiproxy.demo.responses_types import EFFORTS, HOSTED_CHOICES, HOSTED_TOOLS, INCLUDES, OTHER_ITEMS, WEB_SEARCH
from oaiproxy.demo.schemas import SCHEMA_NAME

_ANY = fields({}, more=True)
_TEXT = string(most=10_485_760)
_LONG_URL = string(most=20_971_520)
_FILE = string(most=73_400_320)
_CALL_ID = string(least=1, most=64)
_TOOL_NAME = string(least=1, most=128, pattern=FUNCTION_NAME)
_STATUS = nullable(one_of("in_progress", "completed", "incomplete"))
_BREAKPOINT = nullable(fields({"mode": one_of("explicit")}))


def _url(value: Any, path: str) -> None:
    _LONG_URL(value, path)
    if not value.startswith(("https://", "http://", "data:image/")):
        raise BadRequest(
            f"Invalid '{path}'. Expected a valid URL, but got a value with an invalid format.",
            param=path,
            code="invalid_value",
        )


def _data_url(value: Any, path: str) -> None:
    _FILE(value, path)
    if not value.startswith("data:"):
        raise BadRequest(
            f"Invalid '{path}'. Expected a base64-encoded data URL (data:application/pdf;base64,...), "
            "but got a value without a MIME type.",
            param=path,
            code="invalid_value",
        )


def _needs_one(check: Check, *names: str) -> Check:
    """`check`, and one of these fields has to be there and not null."""

    def both(value: Any, path: str) -> None:
        check(value, path)
        if all(value.get(name) is None for name in names):
            raise missing(f"{path}.{names[0]}")

    return both


_DETAIL = nullable(one_of("low", "high", "auto", "original"))
_INPUT_PARTS: dict[str, Check] = {
    "input_text": fields({"type": anything, "text": _TEXT, "prompt_cache_breakpoint": _BREAKPOINT}, "text"),
    "input_image": _needs_one(
        fields(
            {
                "type": anything,
                "image_url": nullable(_url),
                "file_id": nullable(string()),
                "detail": _DETAIL,
                "prompt_cache_breakpoint": _BREAKPOINT,
            }
        ),
        "image_url",
        "file_id",
    ),
    "input_file": _needs_one(
        fields(
            {
                "type": anything,
                "file_data": nullable(_data_url),
                "file_id": nullable(string()),
                "file_url": nullable(string()),
                "filename": nullable(string()),
                "detail": _DETAIL,
                "prompt_cache_breakpoint": _BREAKPOINT,
            }
        ),
        "file_data",
        "file_id",
        "file_url",
    ),
}
_OUTPUT_PARTS: dict[str, Check] = {
    "output_text": fields(
        {"type": anything, "text": _TEXT, "annotations": array(anything), "logprobs": nullable(array(anything))}, "text"
    ),
    "refusal": fields({"type": anything, "refusal": _TEXT}, "refusal"),
}


def _content(parts: Mapping[str, Check]) -> Check:
    return either("one of a string or array of objects", str=_TEXT, list=array(tagged(parts)))


def _identifier(prefix: str) -> Check:
    """The id of an item that the API made; ids that a client made up look different."""

    def check(value: Any, path: str) -> None:
        string(most=64)(value, path)
        if not value.startswith(prefix):
            raise BadRequest(
                f"Invalid '{path}': '{value}'. Expected an ID that begins with '{prefix}'.",
                param=path,
                code="invalid_value",
            )

    return nullable(check)


def _message(role: str) -> Check:
    return fields(
        {
            "type": anything,
            "role": anything,
            "content": _content(_OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS),
            "id": _identifier("msg"),
            "status": _STATUS,
            "phase": nullable(one_of("commentary", "final_answer")),
        },
        "content",
    )


def _call(prefix: str, argument: str) -> Check:
    return fields(
        {
            "type": anything,
            "id": _identifier(prefix),
            "call_id": _CALL_ID,
            "name": _TOOL_NAME,
            argument: _TEXT,
            "namespace": nullable(string(most=64)),
            "caller": nullable(anything),
            "status": _STATUS,
        },
        "call_id",
        "name",
        argument,
    )


def _output() -> Check:
    return fields(
        {
            "type": anything,
            "id": nullable(string()),
            "call_id": _CALL_ID,
            "output": _content(_INPUT_PARTS),
            "name": nullable(string()),
            "namespace": nullable(string()),
            "caller": nullable(anything),
            "status": _STATUS,
        },
        "call_id",
        "output",
    )


_ITEMS: dict[str, Check] = {
    "message": tagged({role: _message(role) for role in ("assistant", "system", "developer", "user")}, tag="role"),
    "function_call": _call("fc", "arguments"),
    "function_call_output": _output(),
    "custom_tool_call": _call("ctc", "input"),
    "custom_tool_call_output": _output(),
    "reasoning": fields(
        {
            "type": anything,
            "id": _identifier("rs"),
            "summary": array(tagged({"summary_text": fields({"type": anything, "text": _TEXT}, "text")})),
            "content": nullable(array(anything)),
            "encrypted_content": nullable(string()),
            "status": _STATUS,
        },
        "summary",
    ),
    "web_search_call": fields({"type": anything, "id": _identifier("ws"), "status": anything, "action": _ANY}),
    "item_reference": fields({"type": anything, "id": string(least=1)}, "id"),
    **dict.fromkeys(OTHER_ITEMS, _ANY),
}


#: Codex sends it in every item, and the API takes it, though its schema does not have it.
_ITEM_METADATA = "internal_chat_message_metadata_passthrough"


def _item(value: Any, path: str) -> None:
    """An input item; one without a type is a reference where it has nothing but an id, else a message."""
    if isinstance(value, dict) and _ITEM_METADATA in value:
        value = {name: inner for name, inner in value.items() if name != _ITEM_METADATA}
    default = "item_reference" if isinstance(value, dict) and value.keys() == {"id"} else "message"
    _ITEM[default](value, path)


_ITEM = {default: tagged(_ITEMS, default=default) for default in ("item_reference", "message")}


_NULLABLE_TEXT = nullable(string())
_LOCATION = nullable(
    fields(
        {
            "type": one_of("approximate"),
            "city": _NULLABLE_TEXT,
            "country": _NULLABLE_TEXT,
            "region": _NULLABLE_TEXT,
            "timezone": _NULLABLE_TEXT,
        },
        "type",
    )
)
_WEB_SEARCH = fields(
    {
        "type": anything,
        "user_location": _LOCATION,
        "search_context_size": nullable(one_of("low", "medium", "high")),
        "filters": nullable(_ANY),
        "external_web_access": nullable(boolean),
        "search_content_types": nullable(array(string())),
    }
)

_TOOLS: dict[str, Check] = {
    "function": fields(
        {
            "type": anything,
            "name": _TOOL_NAME,
            "description": nullable(string()),
            "parameters": nullable(_ANY),
            "strict": nullable(boolean),
            "allowed_callers": nullable(array(string())),
            "defer_loading": boolean,
            "output_schema": nullable(_ANY),
        },
        "name",
    ),
    "custom": fields(
        {
            "type": anything,
            "name": _TOOL_NAME,
            "description": nullable(string()),
            "format": nullable(
                tagged(
                    {
                        "text": fields({"type": anything}),
                        "grammar": fields(
                            {"type": anything, "syntax": one_of("lark", "regex"), "definition": string(least=1)},
                            "syntax",
                            "definition",
                        ),
                    }
                )
            ),
            "allowed_callers": nullable(array(string())),
            "defer_loading": boolean,
        },
        "name",
    ),
    **dict.fromkeys(WEB_SEARCH, _WEB_SEARCH),
    **dict.fromkeys(HOSTED_TOOLS, _ANY),
}

_NAMED = fields({"type": anything, "name": string(least=1)}, "name")
_JUST_TYPE = fields({"type": anything})
_CHOICES: dict[str, Check] = {
    "function": _NAMED,
    "custom": _NAMED,
    "allowed_tools": fields(
        {
            "type": anything,
            "mode": one_of("auto", "required"),
            "tools": array(tagged({**dict.fromkeys(_TOOLS, _ANY), "function": _NAMED, "custom": _NAMED}), least=1),
        },
        "mode",
        "tools",
    ),
    "mcp": _ANY,
    **dict.fromkeys(HOSTED_CHOICES, _JUST_TYPE),
}

_FORMATS: dict[str, Check] = {
    "text": _JUST_TYPE,
    "json_object": _JUST_TYPE,
    "json_schema": fields(
        {
            "type": anything,
            "name": SCHEMA_NAME,
            "schema": _ANY,
            "description": nullable(string()),
            "strict": nullable(boolean),
        },
        "name",
        "schema",
    ),
}

#: A field of a request of which the same is true as of `_ITEM_METADATA`.
UNPUBLISHED: dict[str, Check] = {"client_metadata": nullable(_ANY)}

#: Every field of a request, and what it takes.  What is not in here is refused by name, as the API does.
CREATE_RESPONSE: dict[str, Check] = {
    **COMMON,
    "background": nullable(boolean),
    "context_management": nullable(array(_ANY, least=1)),
    "conversation": nullable(either("one of a string or object", str=string(least=1), dict=_ANY)),
    "include": nullable(array(one_of(*INCLUDES))),
    "input": either("one of a string or array of input items", str=_TEXT, list=array(_item)),
    "instructions": nullable(string()),
    "max_output_tokens": nullable(integer(least=16)),
    "max_tool_calls": nullable(integer(least=1)),
    "previous_response_id": nullable(string()),
    "prompt": nullable(fields({"id": string(), "variables": anything, "version": nullable(string())}, "id")),
    "reasoning": nullable(
        fields(
            {
                "effort": nullable(one_of(*EFFORTS)),
                "summary": nullable(one_of("auto", "concise", "detailed")),
                "generate_summary": nullable(one_of("auto", "concise", "detailed")),
                "context": nullable(one_of("auto", "current_turn", "all_turns")),
                "mode": nullable(one_of("standard", "pro")),
            }
        )
    ),
    "service_tier": nullable(one_of("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")),
    "stream_options": nullable(fields({"include_obfuscation": boolean})),
    "text": nullable(
        fields({"format": nullable(tagged(_FORMATS)), "verbosity": nullable(one_of("low", "medium", "high"))})
    ),
    "tool_choice": nullable(
        either("one of a string or object", str=one_of("none", "auto", "required"), dict=tagged(_CHOICES))
    ),
    "tools": nullable(array(tagged(_TOOLS), most=128)),
    "truncation": nullable(one_of("auto", "disabled")),
}
