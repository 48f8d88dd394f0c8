"""Tools, tool names and tool choice."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import BadRequest
from oaiproxy.bridge.names import LEGAL_NAME, ToolNames, short_id
from oaiproxy.bridge.tools import HOSTED
from tests.bridge.asking import WEATHER, ask, items, sent

NO_PARAMETERS = {"type": "object", "properties": {}}


def tools(*given: Any, **how: Any) -> Any:
    return sent(tools=list(given), **how)["tools"]


class FunctionToolTests(SynchronousTestCase):
    def test_a_function_tool_is_flat_and_not_strict(self) -> None:
        self.assertEqual(
            tools(WEATHER),
            [
                {
                    "type": "function",
                    "name": "get_weather",
                    "description": "The weather at a place.",
                    "parameters": WEATHER["function"]["parameters"],  # type: ignore[index]
                    "strict": False,
                }
            ],
        )

    def test_strict_is_true_only_where_the_client_says_so(self) -> None:
        for given, made in ((True, True), (False, False), (None, False)):
            tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": given}}
            self.assertIs(tools(tool)[0]["strict"], made)

    def test_missing_parameters_become_an_object_without_properties(self) -> None:
        for function in ({"name": "f"}, {"name": "f", "parameters": None}):
            self.assertEqual(tools({"type": "function", "function": function})[0]["parameters"], NO_PARAMETERS)

    def test_missing_parameters_of_a_strict_function_are_closed(self) -> None:
        made = tools({"type": "function", "function": {"name": "f", "strict": True}})[0]
        self.assertEqual(made["parameters"], {**NO_PARAMETERS, "additionalProperties": False})

    def test_a_schema_keeps_the_order_of_its_keys(self) -> None:
        schema = {
            "type": "object",
            "properties": {"z": {"type": "string"}, "a": {"description": "d", "type": "number"}},
        }
        body = ask(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}]).body
        self.assertIn(
            b'{"type":"object","properties":{"z":{"type":"string"},"a":{"description":"d","type":"number"}}}', body
        )

    def test_a_flat_function_tool_is_taken_too(self) -> None:
        made = tools({"type": "function", "name": "f", "parameters": {"type": "object"}, "defer_loading": True})
        self.assertEqual(
            made,
            [
                {
                    "type": "function",
                    "name": "f",
                    "parameters": {"type": "object"},
                    "strict": False,
                    "defer_loading": True,
                }
            ],
        )

    def test_the_type_may_be_missing(self) -> None:
        self.assertEqual([t["type"] for t in tools({"function": {"name": "f"}}, {"name": "g"})], ["function"] * 2)

    def test_of_two_tools_with_one_name_the_first_is_kept(self) -> None:
        first = {"type": "function", "function": {"name": "f", "description": "first"}}
        second = {"type": "custom", "custom": {"name": "f"}}
        translation = ask(tools=[first, second])
        self.assertEqual(translation.plan.functions, {"f"})
        self.assertEqual(translation.plan.custom_tools, frozenset())
        self.assertEqual(translation.warnings, ("dropped the second tool named f (a name can be used once)",))
        self.assertEqual([t.get("description") for t in tools(first, second)], ["first"])

    def test_the_client_is_told_of_a_key_that_is_left_out(self) -> None:
        translation = ask(tools=[{"type": "function", "function": {"name": "f", "examples": [1]}}])
        self.assertEqual(translation.warnings, ("dropped tools[].examples (unknown field)",))

    def test_no_tools_are_no_field(self) -> None:
        self.assertNotIn("tools", sent(tools=[]))


class LegacyFunctionTests(SynchronousTestCase):
    def test_functions_become_tools_that_are_called_one_at_a_time(self) -> None:
        body = sent(functions=[{"name": "f", "description": "d", "parameters": {"type": "object"}}])
        self.assertEqual(
            body["tools"],
            [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}],
        )
        self.assertIs(body["parallel_tool_calls"], False)

    def test_the_answer_is_planned_in_the_same_form(self) -> None:
        plan = ask(functions=[{"name": "f"}]).plan
        self.assertTrue(plan.legacy_functions)
        self.assertEqual(plan.functions, {"f"})

    def test_a_client_with_tools_of_its_own_is_answered_with_tool_calls(self) -> None:
        plan = ask(functions=[{"name": "f"}], tools=[WEATHER]).plan
        self.assertFalse(plan.legacy_functions)
        self.assertEqual(plan.functions, {"f", "get_weather"})

    def test_a_web_search_that_the_proxy_added_does_not_change_the_form(self) -> None:
        plan = ask(functions=[{"name": "f"}], tools=[{"type": "web_search"}], added=("tools",)).plan
        self.assertTrue(plan.legacy_functions)

    def test_a_wish_for_parallel_calls_is_dropped(self) -> None:
        translation = ask(functions=[{"name": "f"}], parallel_tool_calls=True)
        self.assertIn(b'"parallel_tool_calls":false', translation.body)
        self.assertEqual(translation.warnings, ("dropped parallel_tool_calls (functions are called one at a time)",))

    def test_function_call_becomes_tool_choice(self) -> None:
        for given, made in (
            ("none", "none"),
            ("auto", "auto"),
            ({"name": "f"}, {"type": "function", "name": "f"}),
        ):
            self.assertEqual(sent(functions=[{"name": "f"}], function_call=given)["tool_choice"], made)

    def test_tool_choice_wins_over_function_call(self) -> None:
        translation = ask(functions=[{"name": "f"}], function_call="none", tool_choice="required")
        self.assertIn(b'"tool_choice":"required"', translation.body)
        self.assertEqual(translation.warnings, ("dropped function_call (tool_choice wins)",))


class CustomToolTests(SynchronousTestCase):
    def test_a_grammar_is_flat(self) -> None:
        grammar = {"syntax": "lark", "definition": 'start: "a"'}
        tool = {
            "type": "custom",
            "custom": {"name": "c", "description": "d", "format": {"type": "grammar", "grammar": grammar}},
        }
        self.assertEqual(
            tools(tool),
            [{"type": "custom", "name": "c", "description": "d", "format": {"type": "grammar", **grammar}}],
        )

    def test_a_flat_custom_tool_is_taken_too(self) -> None:
        form = {"type": "grammar", "syntax": "regex", "definition": "a+"}
        self.assertEqual(
            tools({"type": "custom", "name": "c", "format": form}), [{"type": "custom", "name": "c", "format": form}]
        )

    def test_plain_text_stays(self) -> None:
        made = tools({"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}})
        self.assertEqual(made, [{"type": "custom", "name": "c", "format": {"type": "text"}}])

    def test_the_answer_is_planned_for_it(self) -> None:
        self.assertEqual(ask(tools=[{"type": "custom", "custom": {"name": "c"}}]).plan.custom_tools, {"c"})


class HostedToolTests(SynchronousTestCase):
    def test_every_hosted_tool_passes_unchanged(self) -> None:
        for kind in HOSTED:
            tool = {"type": kind, "further": {"b": 1, "a": [2]}}
            self.assertEqual(tools(tool), [tool])
            self.assertEqual(ask(tools=[tool]).plan.hosted_tools, {kind})

    def test_tools_keep_their_order(self) -> None:
        given = ({"type": "shell"}, WEATHER, {"type": "web_search"})
        self.assertEqual([t["type"] for t in tools(*given)], ["shell", "function", "web_search"])

    def test_the_web_search_of_the_proxy_is_none_of_the_clients(self) -> None:
        self.assertEqual(ask(tools=[{"type": "web_search"}], added=("tools",)).plan.hosted_tools, frozenset())


class WebSearchOptionsTests(SynchronousTestCase):
    OPTIONS = {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"country": "DE", "city": "Berlin"}},
    }
    TOOL = {
        "type": "web_search",
        "search_context_size": "low",
        "user_location": {"type": "approximate", "city": "Berlin", "country": "DE"},
    }

    def test_they_become_a_tool_with_a_flat_location(self) -> None:
        self.assertEqual(sent(web_search_options=self.OPTIONS)["tools"], [self.TOOL])

    def test_empty_options_search_too(self) -> None:
        self.assertEqual(sent(web_search_options={})["tools"], [{"type": "web_search"}])

    def test_they_come_after_the_clients_tools(self) -> None:
        self.assertEqual([t["type"] for t in tools(WEATHER, web_search_options={})], ["function", "web_search"])

    def test_they_replace_the_search_that_the_proxy_added(self) -> None:
        made = tools({"type": "web_search"}, web_search_options=self.OPTIONS, added=("tools",))
        self.assertEqual(made, [self.TOOL])

    def test_a_search_among_the_clients_tools_wins(self) -> None:
        tool = {"type": "web_search_preview"}
        translation = ask(tools=[tool], web_search_options=self.OPTIONS)
        self.assertEqual(translation.warnings, ("dropped web_search_options (tools has a web search already)",))
        self.assertEqual(tools(tool, web_search_options=self.OPTIONS), [tool])


class ToolChoiceTests(SynchronousTestCase):
    TABLE: tuple[tuple[Any, Any], ...] = (
        ("none", "none"),
        ("auto", "auto"),
        ("required", "required"),
        ("any", "required"),
        ({"type": "function", "function": {"name": "get_weather"}}, {"type": "function", "name": "get_weather"}),
        ({"type": "function", "name": "get_weather"}, {"type": "function", "name": "get_weather"}),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "get_weather"}},
                        {"type": "custom", "custom": {"name": "c"}},
                        {"type": "image_generation"},
                    ],
                },
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [
                    {"type": "function", "name": "get_weather"},
                    {"type": "custom", "name": "c"},
                    {"type": "image_generation"},
                ],
            },
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]},
        ),
        ({"type": "mcp", "server_label": "s", "name": "t"}, {"type": "mcp", "server_label": "s", "name": "t"}),
        ({"type": "web_search_preview"}, {"type": "web_search_preview"}),
    )

    def test_each_form(self) -> None:
        for given, made in self.TABLE:
            self.assertEqual(sent(tools=[WEATHER], tool_choice=given)["tool_choice"], made)

    def test_a_choice_without_tools_is_dropped(self) -> None:
        for choice in ("required", {"type": "function", "function": {"name": "f"}}):
            translation = ask(tool_choice=choice, tools=[])
            self.assertNotIn(b"tool_choice", translation.body)
            self.assertEqual(translation.warnings, ("dropped tool_choice (no tools to choose from)",))

    def test_auto_without_tools_asks_for_nothing(self) -> None:
        translation = ask(tool_choice="auto", tools=[])
        self.assertNotIn(b"tool_choice", translation.body)
        self.assertEqual(translation.warnings, ())

    def test_none_without_tools_stays(self) -> None:
        translation = ask(tool_choice="none")
        self.assertIn(b'"tool_choice":"none"', translation.body)
        self.assertEqual(translation.warnings, ())

    def test_parallel_calls_are_as_the_client_says_or_not_said(self) -> None:
        for value in (True, False):
            self.assertIs(sent(tools=[WEATHER], parallel_tool_calls=value)["parallel_tool_calls"], value)
        self.assertNotIn("parallel_tool_calls", sent(tools=[WEATHER]))

    def test_parallel_calls_without_tools_are_dropped(self) -> None:
        translation = ask(parallel_tool_calls=True)
        self.assertNotIn(b"parallel_tool_calls", translation.body)
        self.assertEqual(translation.warnings, ("dropped parallel_tool_calls (no tools to call)",))


class NameTests(SynchronousTestCase):
    def test_legal_names_stay(self) -> None:
        names = ToolNames()
        for name in ("a", "get_weather-2", "x" * 128):
            self.assertEqual(names.upstream(name), name)
        self.assertEqual(names.reverse, {})

    def test_others_become_legal_and_can_be_told_apart(self) -> None:
        names = ToolNames()
        given = ("a.b", "a/b", "a_b.", "x" * 129, "x" * 128 + "y", "städte", "a b", "a\n", "\U0001f600")
        made = [names.upstream(name) for name in given]
        self.assertEqual(len(set(made)), len(given))
        for name in made:
            self.assertTrue(LEGAL_NAME.fullmatch(name), name)
        self.assertEqual(names.reverse, dict(zip(made, given, strict=True)))

    def test_a_name_is_the_same_whatever_else_there_is(self) -> None:
        one, other = ToolNames(), ToolNames()
        other.upstream("c.d")
        self.assertEqual(one.upstream("a.b"), other.upstream("a.b"))

    def test_tools_choice_and_history_use_one_name(self) -> None:
        call = {"id": "1", "type": "function", "function": {"name": "srv.tool", "arguments": "{}"}}
        how: dict[str, Any] = {
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}],
            "tools": [{"type": "function", "function": {"name": "srv.tool"}}],
            "tool_choice": {"type": "function", "function": {"name": "srv.tool"}},
        }
        body, plan = sent(**how), ask(**how).plan
        name = body["tools"][0]["name"]
        self.assertEqual(body["tool_choice"]["name"], name)
        self.assertEqual(body["input"][1]["name"], name)
        self.assertEqual(plan.names, {name: "srv.tool"})
        self.assertEqual(plan.functions, {"srv.tool"})

    def test_a_tool_that_is_only_in_the_history_is_named_alike(self) -> None:
        call = {"id": "1", "type": "function", "function": {"name": "srv.tool", "arguments": "{}"}}
        made = items({"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]})
        self.assertEqual(made[1]["name"], ToolNames().upstream("srv.tool"))

    def test_long_ids_are_hashed_whole(self) -> None:
        one, other = short_id("x" * 64 + "1"), short_id("x" * 64 + "2")
        self.assertNotEqual(one, other)
        self.assertLessEqual(len(one), 64)
        self.assertEqual(short_id("x" * 64), "x" * 64)


class RefusalTests(SynchronousTestCase):
    TABLE: tuple[tuple[dict[str, Any], str], ...] = (
        ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [WEATHER, None]}, "tools[1]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "frobnicate"}]}, "tools[0].type"),
        ({"tools": [{"type": 3}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": None}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": 1}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": "yes"}}]}, "tools[0].function.strict"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "description": 1}}]},
            "tools[0].function.description",
        ),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "c", "format": {}}}]}, "tools[0].custom.format.type"),
        (
            {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {}}}}]},
            "tools[0].custom.format.grammar.syntax",
        ),
        (
            {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "x"}}}]},
            "tools[0].custom.format.type",
        ),
        ({"functions": [{}]}, "functions[0].name"),
        ({"functions": "f"}, "functions"),
        ({"function_call": 1}, "function_call"),
        ({"function_call": "required-ish"}, "function_call"),
        ({"function_call": {}}, "function_call.name"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "whatever"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "function", "function": "f"}}, "tool_choice.function"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
            "tool_choice.allowed_tools.tools",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "never", "tools": []}}},
            "tool_choice.allowed_tools.mode",
        ),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"web_search_options": True}, "web_search_options"),
        ({"web_search_options": {"user_location": "Berlin"}}, "web_search_options.user_location"),
    )

    def test_each_names_the_field_at_fault(self) -> None:
        for fields, param in self.TABLE:
            error = self.assertRaises(BadRequest, ask, **fields)
            self.assertEqual((error.status, error.param), (400, param), fields)
