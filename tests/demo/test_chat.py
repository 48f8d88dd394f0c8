from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.chat_fields import CREATE_CHAT_COMPLETION
from oaiproxy.demo.reply import Cut, Wait
from tests.demo.support import NOW, Demo, chat_function, schema_fields

_SKY = chat_function("sky", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
_USER = {"role": "user", "content": "Hello"}
_CALL = {"id": "c1", "type": "function", "function": {"name": "sky", "arguments": "{}"}}
_ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
_TOOL = {"role": "tool", "tool_call_id": "c1", "content": "blue"}


def _message(completion: Any) -> Any:
    return completion["choices"][0]["message"]


class ObjectTests(SynchronousTestCase):
    def test_a_completion(self) -> None:
        self.assertEqual(
            Demo().chat("demo:tokens=2"),
            {
                "id": "chatcmpl-demo00000001",
                "object": "chat.completion",
                "created": NOW,
                "model": "gpt-4o",
                "service_tier": "default",
                "system_fingerprint": "fp_oaiproxy_demo",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": "demo1 demo2",
                            "refusal": None,
                            "annotations": [],
                        },
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 2,
                    "total_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": 0,
                        "audio_tokens": 0,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0,
                    },
                },
            },
        )

    def test_the_text_tells_of_messages_images_files_and_tools(self) -> None:
        content = [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]
        messages = [{"role": "system", "content": "x"}, {"role": "user", "content": content}]
        text = _message(Demo().chat(messages=messages, tools=[_SKY]))["content"]
        self.assertIn("2 messages, 1 image, 1 file, 1 audio clip, 1 tool (sky)", text)

    def test_a_tool_call(self) -> None:
        choice = Demo().chat("call it", tools=[_SKY])["choices"][0]
        self.assertEqual(choice["finish_reason"], "tool_calls")
        self.assertEqual(choice["message"]["content"], None)
        self.assertEqual(
            choice["message"]["tool_calls"],
            [
                {
                    "id": "call_demo00000001",
                    "type": "function",
                    "function": {"name": "sky", "arguments": '{"city":"demo city"}'},
                }
            ],
        )

    def test_a_custom_tool_call(self) -> None:
        tools = [{"type": "custom", "custom": {"name": "sql"}}]
        (call,) = _message(Demo().chat(tools=tools, tool_choice={"type": "custom", "custom": {"name": "sql"}}))[
            "tool_calls"
        ]
        self.assertEqual((call["type"], call["custom"]), ("custom", {"name": "sql", "input": "demo input for sql"}))

    def test_a_legacy_function_call(self) -> None:
        choice = Demo().chat(functions=[_SKY["function"]], function_call={"name": "sky"})["choices"][0]
        self.assertEqual(choice["finish_reason"], "function_call")
        self.assertEqual(choice["message"]["function_call"], {"name": "sky", "arguments": '{"city":"demo city"}'})
        self.assertNotIn("tool_calls", choice["message"])

    def test_allowed_tools(self) -> None:
        allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "sea"}}]}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        (call,) = _message(Demo().chat(tools=[_SKY, chat_function("sea")], tool_choice=choice))["tool_calls"]
        self.assertEqual(call["function"]["name"], "sea")

    def test_the_result_of_a_tool_is_quoted(self) -> None:
        for messages in (
            [_USER, _ASSISTANT, _TOOL],
            [_USER, _ASSISTANT, _TOOL, {"role": "system", "content": "go on"}],
            [_USER, {"role": "function", "name": "sky", "content": "blue"}],
        ):
            text = _message(Demo().chat(messages=messages, tools=[_SKY], tool_choice="required"))["content"]
            self.assertIn("The tool answered: “blue”", text)

    def test_reasoning_shows_in_the_usage_alone(self) -> None:
        completion = Demo().chat(model="gpt-5.1", reasoning_effort="high")
        self.assertEqual(completion["usage"]["completion_tokens_details"]["reasoning_tokens"], 32)
        self.assertEqual(set(_message(completion)), {"role", "content", "refusal", "annotations"})

    def test_a_limit_that_is_reached(self) -> None:
        for limit in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
            more: dict[str, Any] = dict(limit)
            choice = Demo().chat("demo:tokens=9", **more)["choices"][0]
            self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("demo1 demo2 demo3", "length"))

    def test_a_stop_sequence(self) -> None:
        choice = Demo().chat("demo:tokens=9", stop=" demo3")["choices"][0]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("demo1 demo2", "stop"))

    def test_several_choices_are_told_apart_by_index_and_call_id(self) -> None:
        completion = Demo().chat("call it", tools=[_SKY], n=2)
        self.assertEqual([choice["index"] for choice in completion["choices"]], [0, 1])
        ids = [choice["message"]["tool_calls"][0]["id"] for choice in completion["choices"]]
        self.assertEqual(ids, ["call_demo00000001", "call_demo00000002"])

    def test_a_refusal(self) -> None:
        message = _message(Demo().chat("refuse"))
        self.assertEqual(message["content"], None)
        self.assertIn("It refuses", message["refusal"])

    def test_a_citation_for_a_search(self) -> None:
        message = _message(Demo().chat("search it", web_search_options={}))
        (annotation,) = message["annotations"]
        cited = annotation["url_citation"]
        self.assertEqual(
            message["content"][cited["start_index"] : cited["end_index"]],
            "([example.com](https://example.com/oaiproxy-demo))",
        )

    def test_structured_output(self) -> None:
        schema = {"name": "x", "schema": {"type": "object", "properties": {"a": {"const": 1}}}}
        form = {"type": "json_schema", "json_schema": schema}
        self.assertEqual(_message(Demo().chat(response_format=form))["content"], '{"a":1}')

    def test_log_probabilities(self) -> None:
        choice = Demo().chat("demo:tokens=2", logprobs=True, top_logprobs=1)["choices"][0]
        self.assertEqual([entry["token"] for entry in choice["logprobs"]["content"]], ["demo1", " demo2"])

    def test_an_empty_answer(self) -> None:
        choice = Demo().chat("demo:empty")["choices"][0]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("", "stop"))

    def test_a_failure_is_an_error(self) -> None:
        error = Demo().error(
            "/v1/chat/completions", model="x", messages=[{"role": "user", "content": "demo:fail-midstream"}]
        )
        self.assertEqual((error["status"], error["type"]), (500, "server_error"))


class StreamTests(SynchronousTestCase):
    def test_a_text(self) -> None:
        chunks = Demo().chunks("demo:tokens=2")
        self.assertEqual(chunks.pop(), "[DONE]")
        self.assertEqual(
            [chunk["choices"] for chunk in chunks],
            [
                [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
                for delta, finish in (
                    ({"role": "assistant", "content": "", "refusal": None}, None),
                    ({"content": "demo1"}, None),
                    ({"content": " demo2"}, None),
                    ({}, "stop"),
                )
            ],
        )
        self.assertEqual(
            {(c["id"], c["object"], "usage" in c) for c in chunks},
            {("chatcmpl-demo00000001", "chat.completion.chunk", False)},
        )

    def test_usage_comes_last_and_alone(self) -> None:
        *chunks, last, done = Demo().chunks("demo:tokens=2", stream_options={"include_usage": True})
        self.assertEqual([chunk["usage"] for chunk in chunks], [None] * 4)
        self.assertEqual((last["choices"], last["usage"]["completion_tokens"], done), ([], 2, "[DONE]"))

    def test_tool_calls_are_opened_once_and_then_filled(self) -> None:
        chunks = Demo().chunks("parallel", tools=[_SKY, {"type": "custom", "custom": {"name": "sql"}}])
        deltas = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[1:-2]]
        opened = [delta for delta in deltas if "id" in delta]
        self.assertEqual(
            opened,
            [
                {
                    "index": 0,
                    "id": "call_demo00000001",
                    "type": "function",
                    "function": {"name": "sky", "arguments": ""},
                },
                {"index": 1, "id": "call_demo00000002", "type": "custom", "custom": {"name": "sql", "input": ""}},
            ],
        )
        arguments = [d["function"]["arguments"] for d in deltas if d["index"] == 0]
        self.assertEqual("".join(arguments), '{"city":"demo city"}')
        self.assertEqual(chunks[0]["choices"][0]["delta"]["content"], None)
        self.assertEqual(chunks[-2]["choices"][0]["finish_reason"], "tool_calls")

    def test_a_legacy_function_call(self) -> None:
        chunks = Demo().chunks(functions=[_SKY["function"]], function_call={"name": "sky"})
        calls = [chunk["choices"][0]["delta"]["function_call"] for chunk in chunks[1:-2]]
        self.assertEqual(calls[0], {"name": "sky", "arguments": ""})
        self.assertEqual("".join(call["arguments"] for call in calls), '{"city":"demo city"}')

    def test_annotations_are_on_the_last_chunk_of_the_choice(self) -> None:
        chunks = Demo().chunks("search", web_search_options={})
        with_annotations = [index for index, c in enumerate(chunks[:-1]) if "annotations" in c["choices"][0]["delta"]]
        self.assertEqual(with_annotations, [len(chunks) - 2])

    def test_choices_take_turns(self) -> None:
        chunks = Demo().chunks("demo:tokens=2", n=2)
        self.assertEqual([chunk["choices"][0]["index"] for chunk in chunks[:-1]], [0, 1] * 4)

    def test_log_probabilities_go_with_their_tokens(self) -> None:
        chunks = Demo().chunks("demo:tokens=2", logprobs=True)
        self.assertEqual([len(c["choices"][0]["logprobs"]["content"]) for c in chunks[:3]], [0, 1, 1])
        self.assertEqual(chunks[2]["choices"][0]["logprobs"]["content"][0]["token"], " demo2")

    def test_trouble_comes_after_half_of_the_deltas(self) -> None:
        for directive, rest in (("cut", [Cut()]), ("eof", [])):
            chunks = Demo().chunks(f"demo:tokens=4 demo:{directive}")
            self.assertEqual(chunks[3:], rest, directive)
            self.assertEqual(chunks[2]["choices"][0]["delta"], {"content": " demo2"})
        failed = Demo().chunks("demo:tokens=4 demo:fail-midstream")
        self.assertEqual([list(chunk) for chunk in failed[3:]], [["error"]])
        self.assertEqual(failed[3]["error"]["code"], "server_error")
        stalled = Demo().chunks("demo:tokens=4 demo:stall=2")
        self.assertEqual((stalled[3], stalled[-1]), (Wait(2.0), "[DONE]"))


#: What is wrong with a request -> the param and code of the error, and words from its message.
REFUSED: list[tuple[dict[str, Any], str | None, str | None, str]] = [
    ({"model": None}, "model", "invalid_type", ""),
    ({"messages": None}, "messages", "invalid_type", "expected an array"),
    ({"messages": []}, "messages", "empty_array", "minimum length 1"),
    ({"foo": 1}, None, None, "Unrecognized request argument supplied: foo"),
    ({"input": "x"}, None, None, "Unrecognized request argument supplied: input"),
    ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role", "invalid_value", "'bot'. Supported values"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter", ""),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter", ""),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type", ""),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array", ""),
    (
        {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]},
        "messages[0].content[0].type",
        "invalid_value",
        "'text', 'image_url', 'input_audio', and 'file'",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
        "messages[0].content[0].image_url",
        "invalid_type",
        "expected an object",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "missing_required_parameter", ""),
    ({"messages": [_USER, _TOOL]}, "messages[1].role", None, "must be a response to a preceding message"),
    ({"messages": [_USER, _ASSISTANT]}, "messages[2].role", None, "did not have response messages: c1"),
    ({"messages": [_USER, _ASSISTANT, _USER]}, "messages[2].role", None, "did not have response messages: c1"),
    (
        {"messages": [_USER, _ASSISTANT, {**_TOOL, "tool_call_id": "c2"}]},
        "messages[2].tool_call_id",
        None,
        "'tool_call_id' of 'c2' not found",
    ),
    ({"messages": [{**_ASSISTANT, "tool_calls": []}]}, "messages[0].tool_calls", "empty_array", ""),
    ({"n": 0}, "n", "integer_below_min_value", ""),
    ({"stop": ["a"] * 5}, "stop", "array_above_max_length", ""),
    ({"stop": 5}, "stop", "invalid_type", ""),
    ({"stream_options": {"include_usage": True}}, "stream_options", None, "only allowed when 'stream' is enabled"),
    ({"max_tokens": 0}, "max_tokens", "integer_below_min_value", ""),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", None, "at the same time"),
    ({"max_tokens": 5, "model": "o3"}, "max_tokens", "unsupported_parameter", "Use 'max_completion_tokens' instead."),
    ({"temperature": 0.5, "model": "gpt-5"}, "temperature", "unsupported_parameter", ""),
    ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter", ""),
    ({"reasoning_effort": "none", "model": "o3"}, "reasoning_effort", "unsupported_value", ""),
    ({"top_logprobs": 2}, "top_logprobs", None, "only allowed when 'logprobs' is enabled"),
    ({"modalities": ["text", "audio"]}, "modalities", None, "answers in text only"),
    ({"tools": [{"type": "function", "name": "x"}]}, "tools[0].function", "missing_required_parameter", ""),
    ({"tools": [chat_function("a b")]}, "tools[0].function.name", "invalid_value", ""),
    ({"tools": [chat_function("f", {"type": "object"}, strict=True)]}, "tools[0].function.parameters", None, ""),
    ({"tools": [chat_function("f", strict=True)]}, "tools[0].function.parameters", "invalid_function_parameters", ""),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value", "'function' and 'custom'"),
    ({"tool_choice": "auto"}, "tool_choice", None, "only allowed when 'tools' are specified"),
    ({"parallel_tool_calls": True}, "parallel_tool_calls", None, "only allowed when 'tools' are specified"),
    ({"function_call": "auto"}, "function_call", None, "only allowed when 'functions' are specified"),
    (
        {"tools": [_SKY], "tool_choice": {"type": "function", "function": {"name": "sea"}}},
        "tool_choice",
        None,
        "'sea' not found",
    ),
    ({"response_format": {"type": "json_object"}}, "messages", None, "must contain the word 'json'"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name", None, ""),
]


TAKEN: list[dict[str, Any]] = [
    {name: None for name in CREATE_CHAT_COMPLETION if name not in ("model", "messages")},
    {"tools": []},
    {"messages": [_USER, _ASSISTANT, _TOOL, _USER]},
    {"messages": [{**_ASSISTANT, "reasoning_content": "x", "tool_calls": None, "content": "y"}, _USER]},
    {"messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, _USER]},
    {"model": "gpt-5", "temperature": 1, "top_p": 1, "presence_penalty": 0, "max_completion_tokens": 99},
    {"model": "local", "reasoning_effort": "low", "temperature": 0.3, "max_tokens": 5},
]


class RuleTests(SynchronousTestCase):
    def test_what_the_api_refuses_is_refused_in_its_words(self) -> None:
        for wrong, param, code, words in REFUSED:
            error = Demo().error("/v1/chat/completions", **{"model": "gpt-4o", "messages": [_USER], **wrong})
            self.assertEqual((error["status"], error["param"]), (400, param), wrong)
            if code is not None:
                self.assertEqual(error["code"], code, wrong)
            self.assertIn(words, error["message"])

    def test_what_the_api_takes_is_taken(self) -> None:
        for fields in TAKEN:
            Demo().chat(**fields)

    def test_model_and_messages_have_to_be_there(self) -> None:
        for fields, param in (({"messages": [_USER]}, "model"), ({"model": "x"}, "messages")):
            error = Demo().error("/v1/chat/completions", **fields)
            self.assertEqual((error["param"], error["code"]), (param, "missing_required_parameter"))

    def test_the_table_has_the_fields_of_the_published_schema(self) -> None:
        self.assertEqual(set(CREATE_CHAT_COMPLETION), schema_fields("CreateChatCompletionRequest"))

    def test_the_same_requests_give_the_same_bytes(self) -> None:
        first, second = Demo(), Demo()
        body = json.dumps(
            {"model": "gpt-5", "messages": [{"role": "user", "content": "call"}], "tools": [_SKY]}
        ).encode()
        replies = [list(demo.reply("POST", "/v1/chat/completions", body).steps) for demo in (first, second)]
        self.assertEqual(replies[0], replies[1])
