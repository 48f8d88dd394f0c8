from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.responses_fields import CREATE_RESPONSE
from tests.demo.support import Demo, function, schema_fields

_USER = {"role": "user", "content": "Hello"}
_CALL = {"type": "function_call", "call_id": "c1", "name": "sky", "arguments": "{}"}
_OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "blue"}
_SKY = function("sky")
_STRICT_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


def _part(part: Any, role: str = "user") -> dict[str, Any]:
    return {"input": [{"role": role, "content": [part]}]}


#: What is wrong with a request -> the status, param and code of the error, and words from its message.
REFUSED: list[tuple[dict[str, Any], int, str | None, str | None, str]] = [
    ({"model": None}, 400, "model", "invalid_type", "expected a string, but got null"),
    ({"input": 5}, 400, "input", "invalid_type", "expected one of a string or array of input items"),
    ({"foo": 1}, 400, "foo", "unknown_parameter", "Unknown parameter: 'foo'."),
    ({"messages": []}, 400, "messages", "unknown_parameter", "Unknown parameter: 'messages'."),
    ({"stop": "x"}, 400, "stop", "unknown_parameter", "Unknown parameter"),
    ({"max_output_tokens": 15}, 400, "max_output_tokens", "integer_below_min_value", ">= 16, but got 15"),
    ({"temperature": 3}, 400, "temperature", "decimal_above_max_value", "<= 2"),
    ({"include": ["x"]}, 400, "include[0]", "invalid_value", "Invalid value: 'x'."),
    ({"metadata": {"a": 1}}, 400, "metadata.a", "invalid_type", "expected a string"),
    ({"user": "x" * 65}, 400, "user", "string_above_max_length", "maximum length 64"),
    ({"safety_identifier": "x" * 65}, 400, "safety_identifier", "string_above_max_length", "maximum length 64"),
    ({"stream_options": {"include_usage": True}}, 400, "stream_options.include_usage", "unknown_parameter", ""),
    ({"background": True}, 400, "background", "unsupported_parameter", "in the background"),
    ({"conversation": "conv_1"}, 404, "conversation", None, "'conv_1' not found"),
    ({"prompt": {"id": "pmpt_1"}}, 404, "prompt", None, "'pmpt_1' not found"),
    ({"previous_response_id": "resp_x"}, 400, "previous_response_id", "previous_response_not_found", "'resp_x'"),
    # roles and parts
    ({"input": [{"role": "tool", "content": "x"}]}, 400, "input[0].role", "invalid_value", "'tool'. Supported"),
    ({"input": [{"role": "user"}]}, 400, "input[0].content", "missing_required_parameter", ""),
    ({"input": [{**_USER, "name": "x"}]}, 400, "input[0].name", "unknown_parameter", ""),
    ({"input": [{**_USER, "tool_calls": []}]}, 400, "input[0].tool_calls", "unknown_parameter", ""),
    ({"input": [{"type": "nope"}]}, 400, "input[0].type", "invalid_value", "'nope'"),
    (
        _part({"type": "input_text", "text": "x"}, "assistant"),
        400,
        "input[0].content[0].type",
        "invalid_value",
        "Supported values are: 'output_text' and 'refusal'.",
    ),
    (_part({"type": "output_text", "text": "x"}), 400, "input[0].content[0].type", "invalid_value", "'output_text'"),
    (_part({"type": "text", "text": "x"}), 400, "input[0].content[0].type", "invalid_value", "'text'"),
    (
        _part({"type": "input_image", "image_url": {"url": "https://x"}}),
        400,
        "input[0].content[0].image_url",
        "invalid_type",
        "expected a string, but got an object",
    ),
    (_part({"type": "input_image", "image_url": "AAAA"}), 400, "input[0].content[0].image_url", "invalid_value", ""),
    (_part({"type": "input_image"}), 400, "input[0].content[0].image_url", "missing_required_parameter", ""),
    (_part({"type": "input_file", "file_data": "AA"}), 400, "input[0].content[0].file_data", "invalid_value", ""),
    (_part({"type": "input_file", "file": {}}), 400, "input[0].content[0].file", "unknown_parameter", ""),
    # calls and their outputs
    ({"input": [_OUTPUT]}, 400, "input", None, "No tool call found for function call output with call_id c1."),
    ({"input": [_OUTPUT, _CALL]}, 400, "input", None, "No tool call found"),
    ({"input": [_CALL, _USER]}, 400, "input", None, "No tool output found for function call c1."),
    (
        {"input": [_CALL, {**_OUTPUT, "type": "custom_tool_call_output"}]},
        400,
        "input",
        None,
        "No tool call found for custom tool call output with call_id c1.",
    ),
    (
        {"input": [{**_CALL, "call_id": "x" * 65}]},
        400,
        "input[0].call_id",
        "string_above_max_length",
        "maximum length 64, but got a string with length 65",
    ),
    ({"input": [{**_CALL, "call_id": ""}]}, 400, "input[0].call_id", "empty_string", ""),
    ({"input": [{**_CALL, "id": "call_1"}]}, 400, "input[0].id", "invalid_value", "begins with 'fc'"),
    ({"input": [{**_CALL, "arguments": {}}]}, 400, "input[0].arguments", "invalid_type", "a string"),
    # reasoning
    ({"input": [{"type": "reasoning"}]}, 400, "input[0].summary", "missing_required_parameter", ""),
    (
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}, _USER], "store": False},
        404,
        "input",
        None,
        "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.",
    ),
    ({"input": [{"id": "msg_1"}]}, 404, "input", None, "Item with id 'msg_1' not found."),
    (
        {"input": [_USER, {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, _USER]},
        400,
        "input",
        "invalid_encrypted_content",
        "could not be verified",
    ),
    ({"input": [{**_USER, "id": "msg_1"}, {**_USER, "id": "msg_1"}]}, 400, "input", None, "Duplicate item"),
    # tools
    (
        {"tools": [{"type": "function", "function": {"name": "x"}}]},
        400,
        "tools[0].name",
        "missing_required_parameter",
        "",
    ),
    ({"tools": [{"name": "x"}]}, 400, "tools[0].type", "missing_required_parameter", ""),
    ({"tools": [function("a.b")]}, 400, "tools[0].name", "invalid_value", "does not match pattern"),
    ({"tools": [function("x" * 129)]}, 400, "tools[0].name", "string_above_max_length", ""),
    ({"tools": [{**_SKY, "x": 1}]}, 400, "tools[0].x", "unknown_parameter", ""),
    ({"tools": [_SKY] * 129}, 400, "tools", "array_above_max_length", "maximum length 128"),
    (
        {"tools": [function("f", {"type": "array"})]},
        400,
        "tools[0].parameters",
        "invalid_function_parameters",
        "Invalid schema for function 'f': schema must be",
    ),
    (
        {"tools": [function("f", {"type": "object"}, strict=True)]},
        400,
        "tools[0].parameters",
        "invalid_function_parameters",
        "'additionalProperties' is required to be supplied and to be false",
    ),
    (
        {"tools": [function("f", _STRICT_SCHEMA, strict=True)]},
        400,
        "tools[0].parameters",
        "invalid_function_parameters",
        "Missing 'a'",
    ),
    (
        {"tools": [{"type": "web_search", "user_location": {"type": "approximate", "approximate": {}}}]},
        400,
        "tools[0].user_location.approximate",
        "unknown_parameter",
        "",
    ),
    (
        {"tools": [{"type": "custom", "name": "x", "format": {"type": "grammar"}}]},
        400,
        "tools[0].format.syntax",
        None,
        "",
    ),
    ({"tool_choice": "any"}, 400, "tool_choice", "invalid_value", "'none', 'auto', and 'required'"),
    ({"tool_choice": "required"}, 400, "tool_choice", None, "must be specified with 'tools'"),
    (
        {"tool_choice": {"type": "function", "function": {"name": "sky"}}, "tools": [_SKY]},
        400,
        "tool_choice.name",
        "missing_required_parameter",
        "",
    ),
    (
        {"tool_choice": {"type": "function", "name": "sea"}, "tools": [_SKY]},
        400,
        "tool_choice",
        None,
        "'sea' not found",
    ),
    ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, 400, "tool_choice.type", None, ""),
    # formats
    ({"text": {"format": {"type": "json_object"}}}, 400, "input", None, "must contain the word 'json'"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, 400, "text.format.schema", None, ""),
    (
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}}},
        400,
        "text.format.schema",
        "invalid_json_schema",
        "'additionalProperties'",
    ),
    ({"response_format": {"type": "text"}}, 400, "response_format", "unknown_parameter", ""),
    # models
    (
        {"reasoning": {"effort": "low"}, "model": "gpt-4.1"},
        400,
        "reasoning.effort",
        "unsupported_parameter",
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
    ),
    ({"reasoning": {"summary": "auto"}}, 400, "reasoning.summary", "unsupported_parameter", ""),
    ({"reasoning": {"effort": "huge"}}, 400, "reasoning.effort", "invalid_value", "'huge'"),
    ({"reasoning": {"effort": "none"}, "model": "o3"}, 400, "reasoning.effort", "unsupported_value", "'o3' model"),
    ({"reasoning_effort": "low"}, 400, "reasoning_effort", "unknown_parameter", ""),
    ({"temperature": 0.5, "model": "gpt-5"}, 400, "temperature", "unsupported_parameter", ""),
    ({"top_p": 0.5, "model": "gpt-5.1", "reasoning": {"effort": "low"}}, 400, "top_p", "unsupported_parameter", ""),
    ({"include": ["reasoning.encrypted_content"]}, 400, "include", None, "Encrypted content is not supported"),
    ({"top_logprobs": 2, "model": "o3"}, 400, "top_logprobs", "unsupported_parameter", ""),
    ({"include": ["message.output_text.logprobs"], "model": "o3"}, 400, "include", "unsupported_parameter", ""),
    (
        {"tools": [{"type": "web_search"}], "reasoning": {"effort": "minimal"}, "model": "gpt-5"},
        400,
        "tools",
        None,
        "cannot be used with reasoning.effort 'minimal': web_search",
    ),
]

TAKEN: list[dict[str, Any]] = [
    {name: None for name in CREATE_RESPONSE if name not in ("model", "input")},
    {"input": []},
    {"input": [_USER, _CALL, _OUTPUT]},
    {"input": [_USER, _CALL, {"role": "assistant", "content": "wait"}, _OUTPUT]},
    {"input": [_CALL, {**_CALL, "call_id": "c2"}, {**_OUTPUT, "call_id": "c2"}, _OUTPUT]},
    {"input": [{**_CALL, "call_id": "x" * 64}, {**_OUTPUT, "call_id": "x" * 64}]},
    {"input": [{"type": "reasoning", "summary": []}, _USER]},
    {"input": [{"type": "web_search_call", "status": "completed", "action": {"type": "search"}}, _USER]},
    {"input": [{"role": "assistant", "content": "x", "phase": "commentary"}, _USER]},
    {"input": "as json please", "text": {"format": {"type": "json_object"}}},
    {"tools": [function("f", {"type": "object"}, strict=False), function("g"), {"type": "function", "name": "h"}]},
    {"tools": [{"type": "mcp", "server_label": "x"}, {"type": "local_shell"}], "tool_choice": {"type": "mcp"}},
    {"temperature": 0.5, "model": "gpt-5.1"},
    {"temperature": 0.5, "model": "gpt-5.5", "reasoning": {"effort": "none"}},
    {"temperature": 0.5, "model": "local", "reasoning": {"effort": "low"}},
    {"reasoning": {"effort": None, "summary": None}},
    {"reasoning": {"effort": "medium", "summary": "auto"}, "model": "gpt-5.1-codex"},
]


class RuleTests(SynchronousTestCase):
    def test_what_the_api_refuses_is_refused_in_its_words(self) -> None:
        for wrong, status, param, code, words in REFUSED:
            error = Demo().error("/v1/responses", **{"model": "gpt-4o", "input": "Hello", **wrong})
            self.assertEqual((error["status"], error["param"]), (status, param), wrong)
            if code is not None:
                self.assertEqual(error["code"], code, wrong)
            self.assertIn(words, error["message"])
            self.assertEqual(error["type"], "invalid_request_error")

    def test_what_the_api_takes_is_taken(self) -> None:
        for fields in TAKEN:
            Demo().respond(**{"input": "Hello", **fields})

    def test_model_and_input_have_to_be_there(self) -> None:
        for fields, param in (({"input": "x"}, "model"), ({"model": "x"}, "input")):
            error = Demo().error("/v1/responses", **fields)
            self.assertEqual((error["param"], error["code"]), (param, "missing_required_parameter"))

    def test_a_reasoning_item_that_is_stored_needs_something_after_it(self) -> None:
        demo = Demo()
        reasoning = demo.respond(model="gpt-5")["output"][0]
        fields = {"model": "gpt-5", "input": [_USER, reasoning]}
        self.assertIn("without its required following item", demo.error("/v1/responses", **fields)["message"])
        demo.respond([_USER, reasoning, {"role": "assistant", "content": "x"}], model="gpt-5")

    def test_the_table_has_the_fields_of_the_published_schema(self) -> None:
        self.assertEqual(set(CREATE_RESPONSE), schema_fields("CreateResponse"))

    def test_what_codex_sends_beyond_the_schema_is_taken(self) -> None:
        item = {**_USER, "internal_chat_message_metadata_passthrough": {"turn_id": "t1", "create_time": 1.5}}
        response = Demo().respond([item], client_metadata={"session_id": "s1"})
        self.assertIn("1 message", response["output"][-1]["content"][0]["text"])

    def test_a_body_that_is_no_json_object_is_refused(self) -> None:
        for body in (b"", b"{", b"[]", b'"x"', b"\xff"):
            self.assertEqual(Demo().reply("POST", "/v1/responses", body).status, 400, body)
