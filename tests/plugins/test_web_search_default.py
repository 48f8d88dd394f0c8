"""The search tool that is filled in, case by case."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.plugins.prompt_cache_default import cache_key
from oaiproxy.plugins.web_search_default import web_search_default
from oaiproxy.transforms import Pipeline, discover, order
from tests.plugins.support import chat, context

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}

#: (the body, whether a search is filled in)
CASES: list[tuple[dict[str, Any], bool]] = [
    ({"model": "gpt-5.1"}, True),
    ({"model": "gpt-4o"}, True),
    ({"model": "gpt-5.1-codex"}, True),
    ({"model": "ft:gpt-4.1-2025-04-14:org::id"}, True),
    # a model that cannot, or that nobody knows
    ({"model": "gpt-4.1-nano"}, False),
    ({"model": "o3-mini"}, False),
    ({"model": "llama-3.3"}, False),
    ({}, False),
    # the client says nothing of tools
    ({"model": "gpt-5.1", "tools": []}, True),
    ({"model": "gpt-5.1", "tools": None, "functions": None}, True),
    ({"model": "gpt-5.1", "tool_choice": None}, True),
    ({"model": "gpt-5.1", "tool_choice": "auto", "function_call": "auto"}, True),
    # it does
    ({"model": "gpt-5.1", "tools": [FUNCTION]}, False),
    ({"model": "gpt-5.1", "tools": [{"type": "web_search_preview"}]}, False),
    ({"model": "gpt-5.1", "functions": [{"name": "f"}]}, False),
    ({"model": "gpt-5.1", "web_search_options": {}}, False),
    ({"model": "gpt-5.1", "tool_choice": "none"}, False),
    ({"model": "gpt-5.1", "tool_choice": "required"}, False),
    ({"model": "gpt-5.1", "tool_choice": {"type": "function", "function": {"name": "f"}}}, False),
    ({"model": "gpt-5.1", "tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, False),
    ({"model": "gpt-5.1", "function_call": "none"}, False),
    # free JSON
    ({"model": "gpt-5.1", "response_format": {"type": "json_object"}}, False),
    ({"model": "gpt-5.1", "text": {"format": {"type": "json_object"}}}, False),
    ({"model": "gpt-5.1", "response_format": {"type": "json_schema", "json_schema": {}}}, True),
    ({"model": "gpt-5.1", "response_format": {"type": "text"}}, True),
    ({"model": "gpt-5.1", "response_format": None, "text": "odd"}, True),
    # an effort at which upstream refuses searches
    ({"model": "gpt-5", "reasoning_effort": "minimal"}, False),
    ({"model": "gpt-5", "reasoning": {"effort": "minimal"}}, False),
    ({"model": "gpt-5", "reasoning_effort": "low"}, True),
    ({"model": "gpt-5.1", "reasoning_effort": "none"}, True),
    # no room for it
    ({"model": "gpt-5.1", "max_tokens": 255}, False),
    ({"model": "gpt-5.1", "max_completion_tokens": 255}, False),
    ({"model": "gpt-5.1", "max_tokens": 256}, True),
]


class WebSearchTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for body, searches in CASES:
            request = chat(**body)
            result = web_search_default.transform(request, context())
            if searches:
                self.assertEqual(result.json, {**body, "tools": [{"type": "web_search"}]}, body)
                self.assertEqual(result.added, {"tools"})
            else:
                self.assertIs(result, request, body)

    def test_the_operator_can_turn_it_off(self) -> None:
        request = chat(model="gpt-5.1")
        self.assertIs(web_search_default.transform(request, context(auto_web_search=False)), request)

    def test_an_effort_that_was_filled_in_counts(self) -> None:
        pipeline = Pipeline(order(discover().transforms))
        result = pipeline.run(chat(model="gpt-5", max_tokens=300), context())
        self.assertEqual(result.json, {"model": "gpt-5", "max_tokens": 300, "reasoning": {"effort": "minimal"}})

    def test_all_of_the_built_in_transforms_together(self) -> None:
        pipeline = Pipeline(order(discover().transforms))
        messages = [{"role": "user", "content": "What is new?"}]
        result = pipeline.run(chat(model="gpt-5.1-codex:res-high:sum-auto", messages=messages, stream=True), context())
        self.assertEqual(
            result.json,
            {
                "model": "gpt-5.1-codex",
                "messages": messages,
                "stream": True,
                "reasoning": {"effort": "high", "summary": "auto"},
                "tools": [{"type": "web_search"}],
                "prompt_cache_key": cache_key({"model": "gpt-5.1-codex", "messages": messages}),
            },
        )
        self.assertEqual(result.added, {"reasoning", "tools", "prompt_cache_key"})
        self.assertEqual(result.warnings, ())
