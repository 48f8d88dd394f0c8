"""The table of forms: each is tried, and becomes what the table says."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.notes import Dropped
from oaiproxy.bridge.fields import Fate
from oaiproxy.bridge.forms import FORMS
from tests.bridge.asking import HELLO, ask

IMAGE = "data:image/png;base64,iVBORw0KGgo="
FLAT = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
TOOL = {"type": "function", "function": {"name": "f"}}
CUSTOM = {"type": "custom", "custom": {"name": "c"}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
CALL_ITEM = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "r"}
RESULT_ITEM = {"type": "function_call_output", "call_id": "1", "output": "r"}
LEGACY = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}


def said(*messages: dict[str, Any]) -> dict[str, Any]:
    """A request of messages after the user's."""
    return {"messages": [*HELLO, *messages]}


def part(**fields: Any) -> dict[str, Any]:
    """A request of a user's message with one part."""
    return said({"role": "user", "content": [fields]})


def choice(value: Any) -> dict[str, Any]:
    """A request with a choice of tools."""
    return {"tools": [TOOL, CUSTOM], "tool_choice": value}


def audio() -> dict[str, Any]:
    """A request of a message that one can hear."""
    return part(type="input_audio", input_audio={"data": "QUJD", "format": "wav"})


#: Field and form -> a request with it, and what has to be in the translated one: the field, and in it the last item
#: where it is an array.
EXAMPLES: dict[tuple[str, str], tuple[dict[str, Any], str, Any]] = {
    ("messages[].role", "system"): (
        said({"role": "system", "content": "s"}),
        "input",
        {"role": "developer", "content": "s"},
    ),
    ("messages[].role", "developer"): (
        said({"role": "developer", "content": "d"}),
        "input",
        {"role": "developer", "content": "d"},
    ),
    ("messages[].role", "user"): (said({"role": "user", "content": "u"}), "input", {"role": "user", "content": "u"}),
    ("messages[].role", "assistant"): (
        said({"role": "assistant", "content": "a"}),
        "input",
        {"type": "message", "role": "assistant", "content": "a"},
    ),
    ("messages[].role", "tool"): (said(CALLED, RESULT), "input", RESULT_ITEM),
    ("messages[].role", "function"): (
        said(LEGACY, {"role": "function", "name": "f", "content": "r"}),
        "input",
        {**RESULT_ITEM, "call_id": "call_..."},
    ),
    ("messages[]", "content"): (said({"role": "user", "content": "u"}), "input", {"role": "user", "content": "u"}),
    ("messages[]", "name"): (
        said({"role": "user", "name": "Ann", "content": "u"}, {"role": "user", "name": "Bo", "content": "v"}),
        "input",
        {"role": "user", "content": "Bo: v"},
    ),
    ("messages[]", "refusal"): (
        said({"role": "assistant", "refusal": "No."}),
        "input",
        {"type": "message", "role": "assistant", "content": "No."},
    ),
    ("messages[]", "tool_calls"): (
        said(
            CALLED, RESULT, {**CALLED, "tool_calls": [{**CALL, "id": "i" * 65}]}, {**RESULT, "tool_call_id": "i" * 65}
        ),
        "input",
        {**RESULT_ITEM, "call_id": "call_..."},
    ),
    ("messages[]", "tool_call_id"): (said(CALLED, RESULT), "input", RESULT_ITEM),
    ("messages[]", "function_call"): (
        said(LEGACY, {"role": "function", "name": "f", "content": "r"}),
        "input",
        {**RESULT_ITEM, "call_id": "call_..."},
    ),
    ("messages[]", "audio"): (said({"role": "assistant", "audio": {"id": "a"}}), "", None),
    ("messages[]", "images"): (
        said({"role": "assistant", "images": [{"type": "image_url", "image_url": {"url": IMAGE}}]}),
        "input",
        {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE, "detail": "auto"}]},
    ),
    ("messages[]", "phase"): (
        said({"role": "assistant", "content": "a", "phase": "commentary"}),
        "input",
        {"type": "message", "role": "assistant", "content": "a", "phase": "commentary"},
    ),
    ("messages[].content[].type", "text"): (
        part(type="text", text="t"),
        "input",
        {"role": "user", "content": [{"type": "input_text", "text": "t"}]},
    ),
    ("messages[].content[].type", "image_url"): (
        part(type="image_url", image_url={"url": "iVBORw0KGgo=", "detail": "low"}),
        "input",
        {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE, "detail": "low"}]},
    ),
    ("messages[].content[].type", "file"): (
        part(type="file", file={"file_data": "JVBERi0xLjQK"}),
        "input",
        {
            "role": "user",
            "content": [
                {
                    "type": "input_file",
                    "file_data": "data:application/pdf;base64,JVBERi0xLjQK",
                    "filename": "file.pdf",
                }
            ],
        },
    ),
    ("messages[].content[].type", "refusal"): (
        said({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
        "input",
        {"type": "message", "role": "assistant", "content": "No."},
    ),
    ("messages[].content[].type", "input_audio"): (audio(), "", None),
    ("messages[].content[].type", "video_url"): (part(type="video_url", video_url={"url": "https://a"}), "", None),
    ("messages[].content[].type", "input_text"): (
        part(type="input_text", text="t"),
        "input",
        {"role": "user", "content": [{"type": "input_text", "text": "t"}]},
    ),
    ("messages[].content[].type", "input_image"): (
        part(type="input_image", file_id="file-1", detail="high"),
        "input",
        {"role": "user", "content": [{"type": "input_image", "file_id": "file-1", "detail": "high"}]},
    ),
    ("messages[].content[].type", "input_file"): (
        part(type="input_file", file_id="file-1"),
        "input",
        {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
    ),
    ("tools[].type", "function"): ({"tools": [TOOL]}, "tools", FLAT),
    ("tools[].type", "custom"): ({"tools": [CUSTOM]}, "tools", {"type": "custom", "name": "c"}),
    ("tools[].type", "web_search"): ({"tools": [{"type": "web_search"}]}, "tools", {"type": "web_search"}),
    ("tools[].custom.format.type", "text"): (
        {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}]},
        "tools",
        {"type": "custom", "name": "c", "format": {"type": "text"}},
    ),
    ("tools[].custom.format.type", "grammar"): (
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "c",
                        "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
                    },
                }
            ]
        },
        "tools",
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
    ),
    ("tool_choice", "none"): (choice("none"), "tool_choice", "none"),
    ("tool_choice", "auto"): (choice("auto"), "tool_choice", "auto"),
    ("tool_choice", "required"): (choice("required"), "tool_choice", "required"),
    ("tool_choice", "any"): (choice("any"), "tool_choice", "required"),
    ("tool_choice", "function"): (
        choice({"type": "function", "function": {"name": "f"}}),
        "tool_choice",
        {"type": "function", "name": "f"},
    ),
    ("tool_choice", "custom"): (
        choice({"type": "custom", "custom": {"name": "c"}}),
        "tool_choice",
        {"type": "custom", "name": "c"},
    ),
    ("tool_choice", "allowed_tools"): (
        choice({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL, CUSTOM]}}),
        "tool_choice",
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
        },
    ),
    ("tool_choice", "file_search"): (choice({"type": "file_search"}), "tool_choice", {"type": "file_search"}),
    ("function_call", "none"): ({"functions": [{"name": "f"}], "function_call": "none"}, "tool_choice", "none"),
    ("function_call", "auto"): ({"functions": [{"name": "f"}], "function_call": "auto"}, "tool_choice", "auto"),
    ("function_call", "name"): (
        {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
        "tool_choice",
        {"type": "function", "name": "f"},
    ),
    ("response_format.type", "text"): ({"response_format": {"type": "text"}}, "text", None),
    ("response_format.type", "json_object"): (
        {"response_format": {"type": "json_object"}},
        "text",
        {"format": {"type": "json_object"}},
    ),
    ("response_format.type", "json_schema"): (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True}}},
        "text",
        {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
    ),
    ("stream_options", "include_usage"): (
        {"stream": True, "stream_options": {"include_usage": True}},
        "stream_options",
        {"include_obfuscation": False},
    ),
    ("stream_options", "include_obfuscation"): (
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        "stream_options",
        {"include_obfuscation": True},
    ),
    ("modalities[]", "text"): ({"modalities": ["text"]}, "modalities", None),
    ("modalities[]", "audio"): ({"modalities": ["audio"]}, "", None),
    ("web_search_options", "search_context_size"): (
        {"web_search_options": {"search_context_size": "low"}},
        "tools",
        {"type": "web_search", "search_context_size": "low"},
    ),
    ("web_search_options", "user_location"): (
        {"web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Bern"}}}},
        "tools",
        {"type": "web_search", "user_location": {"type": "approximate", "city": "Bern"}},
    ),
}


class FormTests(SynchronousTestCase):
    def test_each_form_is_tried_below(self) -> None:
        self.assertEqual(set(EXAMPLES), {(field, form.name) for field, forms in FORMS.items() for form in forms})

    def test_each_becomes_what_the_table_says(self) -> None:
        for field, forms in FORMS.items():
            for form in forms:
                fields, where, expected = EXAMPLES[field, form.name]
                if form.fate is Fate.REFUSED:
                    error = self.assertRaises(BadRequest, ask, **fields)
                    assert error.param is not None
                    self.assertEqual(error.status, 400)
                    self.assertTrue(error.param.startswith(field.partition("[")[0]), (field, form.name, error.param))
                    continue
                translation = ask(**fields)
                self.assertEqual([n.text for n in translation.notes if isinstance(n, Dropped)], [], (field, form.name))
                found = json.loads(translation.body).get(where)
                if where in ("input", "tools"):
                    found = found[-1]
                if isinstance(found, dict) and str(found.get("call_id")).startswith("call_"):
                    found["call_id"] = "call_..."
                self.assertEqual(found, expected, (field, form.name))

    def test_what_is_refused_says_what_to_do(self) -> None:
        self.assertIn("send a transcript instead", self.assertRaises(BadRequest, ask, **audio()).message)

    def test_usage_is_made_here(self) -> None:
        self.assertTrue(ask(stream=True, stream_options={"include_usage": True}).plan.include_usage)
        self.assertFalse(ask(stream=True).plan.include_usage)
