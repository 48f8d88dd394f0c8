"""Fuzzed: chat and completion requests with anything in them."""

from __future__ import annotations

import json
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import ApiRequest, Body, PortKind
from oaiproxy.bridge import translate
from oaiproxy.bridge.completions import translate_completion
from oaiproxy.models import Capabilities
from tests.fuzz.draw import Draw

_CAPABILITIES = (
    Capabilities(),
    Capabilities(True, frozenset(("none", "low", "high")), "none", "without_reasoning", True),
    Capabilities(True, frozenset(("low", "high")), "medium", "never", True),
    Capabilities(False, frozenset(), None, "always", True),
)

_CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}

MESSAGES: tuple[dict[str, Any], ...] = (
    {"role": "user", "content": "Hello"},
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "developer", "content": "é🦊", "name": "d"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [_CALL], "reasoning_content": "Hm"},
    {
        "role": "assistant",
        "content": [{"type": "text", "text": "Hi"}, {"type": "refusal", "refusal": "No"}],
        "audio": {"id": "a"},
        "tool_calls": [{"id": "call_3", "type": "custom", "custom": {"name": "g", "input": "x"}}],
    },
    {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    {"role": "tool", "tool_call_id": "call_3", "content": [{"type": "text", "text": "2"}]},
    {"role": "function", "name": "f", "content": "3"},
)

_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

FIELDS: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.5,
    "function_call": {"name": "f"},
    "functions": [{"name": "f", "parameters": _SCHEMA}],
    "logit_bias": {"1": 2},
    "logprobs": True,
    "max_completion_tokens": 5,
    "max_tokens": 50,
    "metadata": {"a": "b"},
    "modalities": ["text"],
    "model": "gpt-5.1:res-low",
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _SCHEMA, "strict": True}},
    "safety_identifier": "s",
    "seed": 7,
    "service_tier": "auto",
    "stop": ["a", "b"],
    "store": True,
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.1,
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": _SCHEMA, "strict": False}},
        {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        {"type": "web_search"},
    ],
    "top_logprobs": 2,
    "top_p": 0.9,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {"user_location": {"type": "approximate", "approximate": {"country": "FR"}}},
    "extra": None,
}

_NAMES = (*FIELDS, "messages", "role", "content", "type", "text", "name", "id", "tool_calls", "function", "arguments")


def _body(draw: Draw, said: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    names = list(fields)
    value: Any = {**said, **{name: fields[name] for name in (draw.choice(names) for _ in draw.some(8))}}
    for _ in draw.some(6):
        value = draw.changed(value, _NAMES)
    return value if isinstance(value, dict) else said


def chat_request(draw: Draw) -> None:
    """A chat request becomes a request that can be sent, always the same, or is refused."""
    messages = [draw.choice(MESSAGES)] + [draw.choice(MESSAGES) for _ in draw.some(8)]
    raw = json.dumps(_body(draw, {"model": "gpt-5.1", "messages": messages}, FIELDS)).encode()
    if draw.rarely():
        raw = draw.spoilt(raw)
    capabilities, strict = draw.choice(_CAPABILITIES), draw.rarely()
    added = frozenset(("tools", "reasoning")) if draw.rarely() else frozenset[str]()

    def sent() -> tuple[Any, ...]:
        request = ApiRequest(PortKind.BRIDGE, "POST", "/chat/completions", (), Body(raw), added=added)
        try:
            made = translate(request, capabilities, strict=strict, empty_messages=not strict)
        except BadRequest as error:
            return error.status, error.body()
        return made.body, made.plan, made.notes

    first = sent()
    if len(first) == 3:
        assert isinstance(json.loads(first[0]), dict)
    else:
        assert first[0] == 400, first
    assert sent() == first


_COMPLETION = {
    "best_of": 2,
    "echo": True,
    "frequency_penalty": 1,
    "logit_bias": {},
    "logprobs": 2,
    "max_tokens": 5,
    "n": 2,
    "presence_penalty": 0,
    "seed": 1,
    "stop": "\n",
    "stream": True,
    "stream_options": {"include_usage": True},
    "suffix": "x",
    "temperature": 0,
    "top_p": 1,
    "user": "u",
}


def completion_request(draw: Draw) -> None:
    """A legacy completion request becomes requests that can be sent, or is refused."""
    prompt = draw.choice(("Say", ["a", "b"], "", [1, 2], [[1], [2]], [], None))
    raw = json.dumps(_body(draw, {"model": "gpt-5.1", "prompt": prompt}, _COMPLETION)).encode()
    if draw.rarely():
        raw = draw.spoilt(raw)
    request = ApiRequest(PortKind.BRIDGE, "POST", "/completions", (), Body(raw))
    try:
        made = translate_completion(request, draw.choice(_CAPABILITIES), strict=draw.rarely())
    except BadRequest as error:
        assert error.status == 400
        return
    assert made.bodies
    assert all(isinstance(json.loads(body), dict) for body in made.bodies)
