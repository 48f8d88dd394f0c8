from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.reply import Cut, Wait
from tests.demo.support import NOW, WEATHER, Demo, function, sent, text_of

_SKY = function("sky", {"type": "object", "properties": {"city": {"type": "string"}}}, strict=False)
_ENCRYPTED: dict[str, Any] = {
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low"},
    "model": "gpt-5.1",
}


def _types(events: list[Any]) -> list[str]:
    """The types of events without what they begin with, runs of the same type told once."""
    types: list[str] = []
    for event in events:
        name = event["type"].removeprefix("response.") if isinstance(event, dict) else repr(event)
        if not types or types[-1] != name:
            types.append(name)
    return types


class ObjectTests(SynchronousTestCase):
    def test_a_response_says_back_what_was_asked(self) -> None:
        response = Demo().respond("Hi", instructions="Be brief", metadata={"a": "b"}, temperature=0.5, store=False)
        self.assertEqual(response["id"], "resp_demo00000001")
        self.assertEqual(response["created_at"], NOW)
        for name, value in (
            ("object", "response"),
            ("status", "completed"),
            ("model", "gpt-4o"),
            ("instructions", "Be brief"),
            ("metadata", {"a": "b"}),
            ("temperature", 0.5),
            ("top_p", 1.0),
            ("store", False),
            ("tool_choice", "auto"),
            ("tools", []),
            ("text", {"format": {"type": "text"}, "verbosity": "medium"}),
            ("error", None),
            ("incomplete_details", None),
        ):
            self.assertEqual(response[name], value, name)

    def test_the_text_tells_of_messages_images_files_and_tools(self) -> None:
        content = [
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ]
        items = [{"role": "developer", "content": "x"}, {"role": "user", "content": content}]
        response = Demo().respond(items, tools=[_SKY, {"type": "web_search"}])
        self.assertIn("You said: “Look”", text_of(response))
        self.assertIn("2 messages, 1 image, 1 file, 2 tools (sky, web_search)", text_of(response))

    def test_usage_counts_the_input_and_the_output(self) -> None:
        usage = Demo().respond("one two three demo:tokens=7", instructions="four five")["usage"]
        self.assertEqual(
            usage,
            {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 17,
            },
        )

    def test_a_tool_that_says_nothing_of_strict_is_strict(self) -> None:
        tools = [function("a"), function("b", strict=None), function("c", strict=False)]
        response = Demo().respond(tools=tools)
        self.assertEqual([tool["strict"] for tool in response["tools"]], [True, True, False])

    def test_a_limit_that_is_reached_leaves_the_response_incomplete(self) -> None:
        response = Demo().respond("demo:tokens=50", max_output_tokens=16)
        self.assertEqual((response["status"], response["completed_at"]), ("incomplete", None))
        self.assertEqual(response["incomplete_details"], {"reason": "max_output_tokens"})
        self.assertEqual(response["output"][0]["status"], "incomplete")
        self.assertEqual(response["usage"]["output_tokens"], 16)

    def test_ids_count_up_and_do_not_depend_on_anything_else(self) -> None:
        demo = Demo()
        first, second = demo.respond(), demo.respond()
        self.assertEqual([first["id"], second["id"]], ["resp_demo00000001", "resp_demo00000002"])
        self.assertEqual(Demo().respond(), first)


class ItemTests(SynchronousTestCase):
    def test_a_function_call(self) -> None:
        (item,) = Demo().respond("call it", tools=[_SKY])["output"]
        self.assertEqual(
            item,
            {
                "id": "fc_demo00000001",
                "type": "function_call",
                "status": "completed",
                "call_id": "call_demo00000001",
                "name": "sky",
                "arguments": '{"city":"demo city"}',
            },
        )

    def test_a_forced_function(self) -> None:
        tools = [_SKY, function("sea", WEATHER)]
        (item,) = Demo().respond("Hello", tools=tools, tool_choice={"type": "function", "name": "sea"})["output"]
        self.assertEqual(item["name"], "sea")
        self.assertEqual(json.loads(item["arguments"])["unit"], "C")

    def test_only_allowed_tools_are_called(self) -> None:
        choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "sea"}]}
        (item,) = Demo().respond("call sky", tools=[_SKY, function("sea")], tool_choice=choice)["output"]
        self.assertEqual(item["name"], "sea")

    def test_a_custom_tool_call(self) -> None:
        (item,) = Demo().respond("run sql", tools=[{"type": "custom", "name": "sql"}])["output"]
        self.assertEqual((item["type"], item["input"]), ("custom_tool_call", "demo input for sql"))

    def test_parallel_calls_have_ids_of_their_own(self) -> None:
        items = Demo().respond("parallel", tools=[_SKY, function("sea")])["output"]
        self.assertEqual([item["call_id"] for item in items], ["call_demo00000001", "call_demo00000002"])

    def test_the_output_of_a_tool_is_quoted(self) -> None:
        items = [
            {"role": "user", "content": "call sky"},
            {"type": "function_call", "call_id": "c1", "name": "sky", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "blue"}]},
            {"role": "developer", "content": "go on"},
        ]
        self.assertIn("The tool answered: “blue”", text_of(Demo().respond(items, tools=[_SKY])))

    def test_a_search_has_its_item_and_its_citation(self) -> None:
        include = ["web_search_call.action.sources"]
        call, message = Demo().respond("search owls", tools=[{"type": "web_search"}], include=include)["output"]
        self.assertEqual(
            (call["type"], call["status"], call["action"]),
            (
                "web_search_call",
                "completed",
                {
                    "type": "search",
                    "query": "search owls",
                    "queries": ["search owls"],
                    "sources": [{"type": "url", "url": "https://example.com/oaiproxy-demo"}],
                },
            ),
        )
        (annotation,) = message["content"][0]["annotations"]
        self.assertEqual(annotation["type"], "url_citation")

    def test_a_demanded_search_is_made(self) -> None:
        tools = [{"type": "web_search_preview"}]
        response = Demo().respond("owls", tools=tools, tool_choice={"type": "web_search_preview"})
        self.assertEqual(response["output"][0]["type"], "web_search_call")

    def test_a_refusal(self) -> None:
        (message,) = Demo().respond("refuse!")["output"]
        self.assertEqual(message["content"][0]["type"], "refusal")

    def test_reasoning_with_its_summary(self) -> None:
        response = Demo().respond(model="gpt-5.1", reasoning={"effort": "low", "summary": "concise"})
        reasoning, _ = response["output"]
        self.assertEqual((reasoning["type"], len(reasoning["summary"])), ("reasoning", 1))
        self.assertEqual(response["usage"]["output_tokens_details"], {"reasoning_tokens": 8})
        self.assertEqual(response["reasoning"], {"effort": "low", "summary": "concise"})

    def test_who_reasons(self) -> None:
        for model, reasoning, reasons in (
            ("gpt-4o", None, False),
            ("gpt-5", None, True),
            ("o3", None, True),
            ("gpt-5.1", None, False),
            ("gpt-5.1", {"effort": "none"}, False),
            ("gpt-5.1", {"effort": "low"}, True),
            ("gpt-5.1-codex", {}, True),
            ("gpt-5.5", None, True),
            ("gpt-5.5", {"effort": "none"}, False),
            ("gpt-5-chat-latest", None, False),
            ("some-local-model", None, False),
            ("some-local-model", {"effort": "low"}, True),
        ):
            response = Demo().respond(model=model, reasoning=reasoning)
            types = [item["type"] for item in response["output"]]
            self.assertEqual("reasoning" in types, reasons, (model, reasoning))

    def test_structured_output(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}}}
        form = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
        self.assertEqual(text_of(Demo().respond(text=form)), '{"a":5}')

    def test_log_probabilities_go_with_the_tokens(self) -> None:
        include = ["message.output_text.logprobs"]
        (message,) = Demo().respond("demo:tokens=3", include=include, top_logprobs=2)["output"]
        logprobs = message["content"][0]["logprobs"]
        self.assertEqual([entry["token"] for entry in logprobs], ["demo1", " demo2", " demo3"])
        self.assertEqual([len(entry["top_logprobs"]) for entry in logprobs], [2, 2, 2])

    def test_an_empty_response(self) -> None:
        response = Demo().respond("demo:empty")
        self.assertEqual((response["status"], response["output"]), ("completed", []))


class StateTests(SynchronousTestCase):
    def test_a_stored_response_can_be_fetched_and_deleted(self) -> None:
        demo = Demo()
        response = demo.respond()
        path = f"/v1/responses/{response['id']}"
        self.assertEqual(json.loads(sent(demo.reply("GET", path))), response)
        self.assertEqual(
            json.loads(sent(demo.reply("DELETE", path))), {"id": response["id"], "object": "response", "deleted": True}
        )
        self.assertEqual([demo.reply("GET", path).status, demo.reply("DELETE", path).status], [404, 404])

    def test_a_response_that_is_not_to_be_stored_is_not(self) -> None:
        demo = Demo()
        response = demo.respond(store=False)
        self.assertEqual(demo.reply("GET", f"/v1/responses/{response['id']}").status, 404)

    def test_a_response_goes_on_from_an_earlier_one(self) -> None:
        demo = Demo()
        first = demo.respond("call it", tools=[_SKY])
        output = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "blue"}
        second = demo.respond([output], tools=[_SKY], previous_response_id=first["id"])
        self.assertIn("The tool answered: “blue”", text_of(second))
        third = demo.respond("And?", previous_response_id=second["id"])
        self.assertIn("3 messages", text_of(third))

    def test_encrypted_reasoning_is_taken_back_as_it_was_given(self) -> None:
        demo = Demo()
        reasoning, message = demo.respond(store=False, **_ENCRYPTED)["output"]
        del message["id"]
        demo.respond([{"role": "user", "content": "Hello"}, reasoning, message, {"role": "user", "content": "On"}])

    def test_encrypted_reasoning_that_is_not_whole_is_refused(self) -> None:
        demo = Demo()
        events = demo.events(store=False, **_ENCRYPTED)
        (opened,) = [
            e["item"] for e in events if e["type"].endswith("added") and e.get("item", {}).get("summary") == []
        ]
        error = demo.error("/v1/responses", model="gpt-5.1", input=[opened, {"role": "user", "content": "On"}])
        self.assertEqual((error["status"], error["code"]), (400, "invalid_encrypted_content"))


class StreamTests(SynchronousTestCase):
    def test_a_text(self) -> None:
        events = Demo().events("demo:tokens=2")
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))
        self.assertEqual(
            _types(events),
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "completed",
            ],
        )
        self.assertEqual([e["delta"] for e in events if e["type"].endswith(".delta")], ["demo1", " demo2"])
        self.assertEqual((events[0]["response"]["status"], events[0]["response"]["output"]), ("in_progress", []))

    def test_reasoning_and_a_call(self) -> None:
        reasoning = {"effort": "low", "summary": "auto"}
        events = Demo().events("call it", model="gpt-5.1", tools=[_SKY], reasoning=reasoning)
        part = [
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
        ]
        self.assertEqual(
            _types(events),
            [
                "created",
                "in_progress",
                "output_item.added",
                *part,
                *part,
                "output_item.done",
                "output_item.added",
                "function_call_arguments.delta",
                "function_call_arguments.done",
                "output_item.done",
                "completed",
            ],
        )

    def test_a_search_a_refusal_and_a_custom_call(self) -> None:
        search = _types(Demo().events("search it", tools=[{"type": "web_search"}]))
        self.assertEqual(
            search[3:6], ["web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"]
        )
        self.assertIn("output_text.annotation.added", search)
        self.assertEqual(_types(Demo().events("refuse"))[4:6], ["refusal.delta", "refusal.done"])
        custom = _types(Demo().events("run sql", tools=[{"type": "custom", "name": "sql"}]))
        self.assertEqual(custom[3:5], ["custom_tool_call_input.delta", "custom_tool_call_input.done"])

    def test_deltas_put_together_are_what_is_done(self) -> None:
        events = Demo().events(
            "parallel", model="gpt-5.1", tools=[_SKY, function("sea")], reasoning={"effort": "low", "summary": "auto"}
        )
        said: dict[Any, str] = {}
        for event in events:
            where = event.get("output_index"), event.get("summary_index"), event.get("content_index")
            if event["type"].endswith(".delta"):
                said[where] = said.get(where, "") + event["delta"]
            elif event["type"].endswith(("text.done", "arguments.done")):
                self.assertEqual(said[where], event.get("text", event.get("arguments")))
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        self.assertEqual(events[-1]["response"]["output"], done)

    def test_the_stream_ends_in_what_the_object_would_have_been(self) -> None:
        request: dict[str, Any] = {"input": "call parallel demo:preamble", "model": "gpt-5", "tools": [_SKY]}
        self.assertEqual(Demo().events(**request)[-1]["response"], Demo().respond(**request))

    def test_an_answer_that_is_cut_ends_incomplete(self) -> None:
        events = Demo().events("demo:tokens=40", max_output_tokens=16)
        self.assertEqual(events[-1]["type"], "response.incomplete")

    def test_an_empty_answer_has_no_items(self) -> None:
        self.assertEqual(_types(Demo().events("demo:empty")), ["created", "in_progress", "completed"])


class TroubleTests(SynchronousTestCase):
    def test_a_failure_comes_after_half_of_the_deltas(self) -> None:
        events = Demo().events("demo:tokens=10 demo:fail-midstream")
        self.assertEqual(
            [e["delta"] for e in events if "delta" in e], ["demo1", " demo2", " demo3", " demo4", " demo5"]
        )
        error, failed = events[-2:]
        self.assertEqual((error["type"], error["code"]), ("error", "server_error"))
        self.assertEqual((failed["type"], failed["response"]["status"]), ("response.failed", "failed"))
        self.assertEqual(failed["sequence_number"], len(events) - 1)

    def test_a_failure_without_a_stream_is_a_failed_response(self) -> None:
        response = Demo().respond("demo:fail-midstream")
        self.assertEqual((response["status"], response["output"]), ("failed", []))
        self.assertEqual(response["error"]["code"], "server_error")

    def test_a_cut_and_an_end_and_a_stall(self) -> None:
        self.assertEqual(Demo().events("demo:tokens=4 demo:cut")[-1], Cut())
        self.assertEqual(Demo().events("demo:tokens=4 demo:eof")[-1]["delta"], " demo2")
        stalled = Demo().events("demo:tokens=4 demo:stall=9")
        self.assertEqual(stalled[6], Wait(9.0))
        self.assertEqual(stalled[-1]["type"], "response.completed")
        numbers = [event["sequence_number"] for event in stalled if isinstance(event, dict)]
        self.assertEqual(numbers, list(range(len(stalled) - 1)))

    def test_a_failed_response_is_not_stored(self) -> None:
        demo = Demo()
        failed = demo.events("demo:fail-midstream")[-1]["response"]
        self.assertEqual(demo.reply("GET", f"/v1/responses/{failed['id']}").status, 404)

    def test_trouble_in_an_empty_answer_comes_after_its_first_event(self) -> None:
        self.assertEqual(_types(Demo().events("demo:empty demo:fail-midstream")), ["created", "error", "failed"])
