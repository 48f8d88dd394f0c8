"""Upstream's failures as errors for a chat client: HTTP errors, ``error`` events, failed responses.

bridge.md sections 5.1 and 5.2 are the source of the tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any

import msgspec

from oaiproxy.api.errors import ApiError, UpstreamError
from oaiproxy.api.sse import SseDecoder
from oaiproxy.bridge.plan import AnswerPlan

#: An error code (or, where a server sends none, an error type) -> the HTTP status of a failure that has it.  A response
#: that fails after it was created is announced on status 200; this is what the status would have been.  Codes with
#: ``image`` in them are 400, all others 500.
STATUS_BY_CODE: Mapping[str, int] = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "usage_limit_reached": 429,
    "usage_not_included": 429,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
    "overloaded_error": 503,
    "slow_down": 503,
    "vector_store_timeout": 504,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "bio_policy": 400,
    "cyber_policy": 400,
    "data_residency_mismatch": 400,
    "failed_to_download_image": 400,
    "previous_response_not_found": 400,
    "invalid_encrypted_content": 400,
    "unsupported_parameter": 400,
    "unsupported_value": 400,
    "model_not_found": 404,
}

#: The class of an error whose server names none, by its HTTP status.
_TYPE_BY_STATUS: Mapping[int, str] = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}

#: How long a text may be that is no error object (an edge's HTML page, a stack trace).
_LONGEST_TEXT = 500

#: Upstream's name of a field -> the client's.  The first match counts; what matches none is called the same in both.
#: None stands for a field that the proxy put in on its own: the client has no name for it.
_Renaming = Callable[[re.Match[str], AnswerPlan], str | None]


def _function_field(match: re.Match[str], plan: AnswerPlan) -> str:
    index, field = match[1], match[2]
    return f"functions{index}.{field}" if plan.legacy_functions else f"tools{index}.function.{field}"


def _choice_field(match: re.Match[str], plan: AnswerPlan) -> str:
    if plan.legacy_functions:
        return "function_call" + match[1]
    return "tool_choice" + (".function.name" if match[1] == ".name" else match[1])


_PARAMS: tuple[tuple[re.Pattern[str], _Renaming], ...] = tuple(
    (re.compile(pattern, re.DOTALL), rename)
    for pattern, rename in (
        (r"(?:input|instructions)(?![A-Za-z_]).*", lambda m, plan: "messages"),
        (r"max_output_tokens", lambda m, plan: plan.max_tokens_field),
        (r"text\.verbosity", lambda m, plan: "verbosity"),
        (r"text\.format\.((?:name|description|schema|strict).*)", lambda m, p: "response_format.json_schema." + m[1]),
        (r"text\.format(.*)", lambda m, plan: "response_format" + m[1]),
        (r"text", lambda m, plan: "response_format"),
        (r"reasoning(?:\.effort)?", lambda m, plan: "reasoning_effort"),
        (r"reasoning\..*|include(?:\[.*)?", lambda m, plan: None),
        (r"tools(\[\d+\])\.((?:name|description|parameters|strict).*)", _function_field),
        (r"tools(.*)", lambda m, plan: ("functions" if plan.legacy_functions else "tools") + m[1]),
        (r"tool_choice(.*)", _choice_field),
    )
)


def chat_param(param: str | None, plan: AnswerPlan) -> str | None:
    """The client's name of the request field that upstream calls `param`; None where the client has none."""
    if param is None:
        return None
    for pattern, rename in _PARAMS:
        match = pattern.fullmatch(param)
        if match:
            return rename(match, plan)
    return param


def upstream_error(status: int, content_type: str, body: bytes, plan: AnswerPlan | None = None) -> ApiError:
    """The client's error for an HTTP error of the upstream.

    An error object keeps its fields but for `param`, which is named in the client's words.  What servers send in its
    place (``{"detail": ...}``, ``{"error": "text"}``, a list, HTML) becomes one.

    @param status: upstream's HTTP status; the error keeps it if it is one of an error, else it is 502.
    @param content_type: upstream's content type.
    @param body: upstream's whole body.
    @param plan: what is known of the request, for the names of fields.
    """
    if not 400 <= status <= 599:
        status = 502
    if "event-stream" in content_type:
        events = SseDecoder(limit=len(body) + 1)
        body = next((event.data for event in events.feed(body) + events.end()), b"")
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        value = None
    found = _error_object(value)
    if found is None:
        return UpstreamError(_no_object(status, content_type, body), status=status, type=_type(status, None))
    return _error(found, status, plan or AnswerPlan())


def event_error(found: Any, plan: AnswerPlan) -> ApiError:
    """The client's error for an ``error`` event or a failed response, which come on HTTP status 200.

    @param found: the error: ``{"code", "message", ...}``, the nested ``{"error": {...}}``, or whatever stands there.
    """
    error = _error_object(found) or (dict(found) if isinstance(found, Mapping) else {})
    return _error(error, _status(error), plan)


def _error(error: Mapping[str, Any], status: int, plan: AnswerPlan) -> ApiError:
    code = _text(error.get("code"))
    message = _text(error.get("message")) or f"The upstream failed and did not say why (status {status})."
    param = _text(error.get("param"))
    failure = UpstreamError(
        message,
        status=status,
        type=_text(error.get("type")) or _type(status, code),
        param=chat_param(param, plan),
        code=code,
    )
    failure.upstream_param = param
    return failure


def _error_object(value: Any) -> dict[str, Any] | None:
    """The error object in a body, whatever its server wraps it in, or None if there is nothing to tell."""
    if isinstance(value, list) and value:
        value = value[0]  # Google's servers
    if not isinstance(value, dict):
        return None
    inner = value.get("error")
    if isinstance(inner, dict):
        told = _text(inner.get("message")) or _text(inner.get("detail")) or _text(value.get("message"))
        return {**inner, "message": told}
    for key in ("message", "error", "detail", "title"):
        told = value.get(key)
        text = told if isinstance(told, str) else _details(told) if key == "detail" else None
        if text:
            return {**value, "message": text, "type": None if value.get("type") == "error" else value.get("type")}
    return None


def _details(value: Any) -> str | None:
    """What FastAPI says of a body that it refuses: ``[{"loc": ["body", "model"], "msg": "Field required"}]``."""
    if not isinstance(value, list):
        return None
    told = [
        ".".join(map(str, entry["loc"])) + ": " + entry["msg"] if isinstance(entry.get("loc"), list) else entry["msg"]
        for entry in value
        if isinstance(entry, dict) and isinstance(entry.get("msg"), str)
    ]
    return "; ".join(told) or None


def _no_object(status: int, content_type: str, body: bytes) -> str:
    text = body[: 64 * 1024].decode("utf-8", "replace")
    if "html" in content_type or text.lstrip()[:1] == "<":
        text = unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE))
    text = " ".join(text.split())
    if not text:
        return f"The upstream answered with status {status}."
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "…"
    return f"The upstream answered with status {status}: {text}"


def _status(error: Mapping[str, Any]) -> int:
    for key in ("status", "status_code", "code"):
        number = error.get(key)
        if isinstance(number, str) and number.isascii() and number.isdigit():
            number = int(number)
        if isinstance(number, int) and 400 <= number <= 599:
            return number
    names = [name for name in (error.get("code"), error.get("type")) if isinstance(name, str)]
    for name in names:
        if name in STATUS_BY_CODE:
            return STATUS_BY_CODE[name]
        if "image" in name:
            return 400
    return 500


def _type(status: int, code: str | None) -> str:
    if code == "insufficient_quota":
        return code  # OpenAI's error type of that name
    return _TYPE_BY_STATUS.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def _text(value: Any) -> str | None:
    """A field of an error object as the string it should be."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None
