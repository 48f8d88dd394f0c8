"""Whatever comes in, the demo answers: a request with something odd in it is taken or refused, and never breaks it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.demo.support import WEATHER, Demo, chat_function, function

_CALL = {"type": "function_call", "call_id": "c1", "name": "sky", "arguments": "{}", "id": "fc_1"}
_IMAGE = {"type": "input_image", "image_url": "https://example.com/x.png", "detail": "auto"}
_TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "sky", "arguments": "{}"}}

#: A request with something of everything for each path.
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/responses": {
        "model": "gpt-5.5",
        "input": [
            {"role": "developer", "content": "json"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}, _IMAGE]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
            _CALL,
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "x"}]},
            {"role": "user", "content": "call parallel search demo:tokens=3"},
        ],
        "tools": [function("sky", WEATHER, strict=False), {"type": "custom", "name": "sql"}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "sky"}]},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": WEATHER}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["web_search_call.action.sources"],
        "metadata": {"a": "b"},
        "max_output_tokens": 100,
    },
    "/v1/chat/completions": {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "json"}]},
            {"role": "assistant", "content": None, "tool_calls": [_TOOL_CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
            {"role": "user", "content": "call parallel"},
        ],
        "tools": [chat_function("sky", WEATHER), {"type": "custom", "custom": {"name": "sql"}}],
        "tool_choice": {"type": "function", "function": {"name": "sky"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": WEATHER}},
        "stop": ["x"],
        "logprobs": True,
        "n": 2,
    },
    "/v1/completions": {"model": "x", "prompt": ["a", "b"], "max_tokens": 5, "logprobs": 2, "stop": "x"},
    "/v1/embeddings": {"model": "x", "input": ["a", "b"], "dimensions": 8},
    "/v1/audio/speech": {"model": "x", "input": "a", "voice": "b", "speed": 1},
}

_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 200),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
        st.sampled_from(["function", "custom", "user", "assistant", "tool", "message", "demo:cut", "demo:eof", "auto"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "name", "content", "id", "text", "role", "tools"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a request."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _changed(request: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The request with another value at a path; the whole of it where the path is empty."""
    if not path:
        return value
    copy = json.loads(json.dumps(request))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copy


_PLACES = [(name, path) for name, request in REQUESTS.items() for path in _places(request)]


class RobustnessTests(SynchronousTestCase):
    def test_the_requests_are_fine_as_they_are(self) -> None:
        for path, request in REQUESTS.items():
            reply = Demo().reply("POST", path, json.dumps(request).encode())
            self.assertEqual(reply.status, 200, b"".join(s for s in reply.steps if isinstance(s, bytes)))

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(st.sampled_from(_PLACES), _VALUES, st.booleans())
    def test_any_value_anywhere_is_taken_or_refused(self, place: Any, value: Any, stream: bool) -> None:
        path, where = place
        request = _changed(REQUESTS[path], where, value)
        if stream and isinstance(request, dict) and path != "/v1/embeddings":
            request["stream"] = True
        reply = Demo().reply("POST", path, json.dumps(request).encode())
        self.assertIn(reply.status, (200, 400, 404))
        for step in reply.steps:
            self.assertIsNotNone(step)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.sampled_from(sorted(REQUESTS)), st.binary(max_size=40))
    def test_any_bytes_are_refused(self, path: str, body: bytes) -> None:
        self.assertEqual(Demo().reply("POST", path, body).status, 400)
