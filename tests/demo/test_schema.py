"""Everything the demo answers is held against the published schema."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.demo.support import WEATHER, Demo, chat_function, check_event, check_schema, function, sent_json

_REASONING = {"model": "gpt-5.1", "reasoning": {"effort": "low", "summary": "auto"}}
_TOOLS = [function("sky", WEATHER), {"type": "custom", "name": "sql"}, {"type": "web_search"}]
_FORMAT = {"type": "json_schema", "name": "weather", "schema": WEATHER}

#: Requests to the Responses API that between them make every kind of item, part and event.
RESPONSES: list[dict[str, Any]] = [
    {},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], "instructions": "y", "user": "z"},
    {"input": "search owls", "tools": _TOOLS, "include": ["web_search_call.action.sources"]},
    {"input": "parallel", "tools": _TOOLS, **_REASONING, "include": ["reasoning.encrypted_content"]},
    {"input": "demo:preamble sql", "tools": _TOOLS, "tool_choice": {"type": "custom", "name": "sql"}},
    {"input": "refuse", "metadata": {"a": "b"}, "service_tier": "flex", "truncation": "auto"},
    {"input": "demo:tokens=30", "max_output_tokens": 16, "temperature": 0},
    {"input": "Hello", "max_output_tokens": 16, **_REASONING},
    {"input": "demo:tokens=4", "include": ["message.output_text.logprobs"], "top_logprobs": 3},
    {"text": {"format": _FORMAT, "verbosity": "low"}},
    {"input": "json", "text": {"format": {"type": "json_object"}}},
    {"input": "demo:empty"},
    {"input": "demo:fail-midstream", **_REASONING},
]

_CHAT_TOOLS = [chat_function("sky", WEATHER), chat_function("sea")]

#: Requests to the chat API.  Custom tools are left out: the schema has no chunk for them.
CHATS: list[dict[str, Any]] = [
    {},
    {"text": "parallel", "tools": _CHAT_TOOLS},
    {"text": "parallel demo:preamble", "tools": _CHAT_TOOLS, "n": 2},
    {"functions": [{"name": "sky", "parameters": WEATHER}], "function_call": {"name": "sky"}},
    {"text": "refuse", "metadata": {"a": "b"}},
    {"text": "search", "web_search_options": {}},
    {"text": "demo:tokens=30", "max_tokens": 3},
    {"text": "demo:tokens=3", "logprobs": True, "top_logprobs": 2},
    {"model": "o3", "reasoning_effort": "high"},
    {"text": "demo:empty"},
]


class SchemaTests(SynchronousTestCase):
    def test_responses(self) -> None:
        for request in RESPONSES:
            check_schema("Response", Demo().respond(**request))

    def test_the_events_of_responses(self) -> None:
        seen = set()
        for request in RESPONSES:
            for event in Demo().events(**request):
                check_event(event)
                seen.add(event["type"])
        self.assertEqual(len(seen), 26, sorted(seen))

    def test_chat_completions(self) -> None:
        for request in CHATS:
            check_schema("CreateChatCompletionResponse", Demo().chat(**request))

    def test_a_custom_tool_call_in_a_chat_completion(self) -> None:
        tools = [{"type": "custom", "custom": {"name": "sql"}}]
        check_schema("CreateChatCompletionResponse", Demo().chat("sql", tools=tools))

    def test_the_chunks_of_chat_completions(self) -> None:
        for request in CHATS:
            *chunks, done = Demo().chunks(stream_options={"include_usage": True}, **request)
            for chunk in chunks:
                check_schema("CreateChatCompletionStreamResponse", chunk)
            self.assertEqual(done, "[DONE]")

    def test_completions(self) -> None:
        for more in ({}, {"n": 2, "max_tokens": 50}, {"logprobs": 2, "echo": True}, {"prompt": [[1, 2], [3]]}):
            completion = Demo().post("/v1/completions", **{"model": "davinci-002", "prompt": "Once", **more})
            check_schema("CreateCompletionResponse", completion)

    def test_embeddings(self) -> None:
        for value in ("owl", ["owl", "cat"], [1, 2], [[1], [2]]):
            embeddings = Demo().post("/v1/embeddings", model="text-embedding-3-small", input=value)
            check_schema("CreateEmbeddingResponse", embeddings)

    def test_models(self) -> None:
        models = sent_json(Demo().reply("GET", "/v1/models"))
        check_schema("ListModelsResponse", models)
        for listed in models["data"]:
            check_schema("Model", sent_json(Demo().reply("GET", f"/v1/models/{listed['id']}")))
