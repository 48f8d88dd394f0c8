"""The calls that an answer asks the client to make."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.plan import AnswerPlan
from tests.bridge.wire import (
    Event,
    added,
    arguments,
    call,
    calls,
    chunks,
    completed,
    deltas,
    done,
    joined,
    stream,
    text,
)


class CallTests(SynchronousTestCase):
    def finish(self, raw: bytes) -> Any:
        return chunks(raw)[-1]["choices"][0]["finish_reason"]

    def test_id_type_and_name_are_said_once(self) -> None:
        raw = stream(
            added(**call(0, "call_1", "f")),
            arguments('{"a"'),
            arguments(":1}"),
            done(**call(0, "call_1", "f", '{"a":1}')),
            completed(),
        )
        self.assertEqual(
            deltas(raw)[1:-1],
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
                    ]
                },
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
            ],
        )
        self.assertEqual(self.finish(raw), "tool_calls")

    def test_a_call_after_text_is_kept(self) -> None:
        raw = stream(
            text("Let me see."), added(**call(1, "call_1", "f")), arguments("{}", 1), text(" Done.", 2), completed()
        )
        self.assertEqual(calls(raw), [("call_1", "f", "{}")])
        self.assertEqual(joined(raw, "content"), "Let me see.\n\n Done.")
        self.assertEqual(self.finish(raw), "tool_calls")

    def test_calls_that_are_open_at_once_are_told_apart_by_index(self) -> None:
        raw = stream(
            added(**call(1, "call_a", "f")),
            added(**call(3, "call_b", "g")),
            arguments('{"b"', 3, item_id="x1"),
            arguments('{"a"', 1, item_id="x2"),
            arguments(":2}", 3, item_id="x3"),
            arguments(":1}", 1, item_id="x4"),
            completed(),
        )
        self.assertEqual(calls(raw), [("call_a", "f", '{"a":1}'), ("call_b", "g", '{"b":2}')])

    def test_arguments_that_never_came_as_deltas(self) -> None:
        whole = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a":1}'}
        end = done(**call(0, "call_1", "f", '{"a":1}'))
        for events in ([whole, end], [end], [whole], [arguments('{"a"'), whole], [arguments('{"a"'), end], []):
            raw = stream(added(**call(0, "call_1", "f")), *events, completed(end["item"]))
            self.assertEqual(calls(raw), [("call_1", "f", '{"a":1}')], events)

    def test_a_call_that_was_never_announced(self) -> None:
        end = done(**call(0, "call_1", "f", '{"a":1}'))
        for events in ([end], [arguments('{"a"'), end], [arguments('{"a"'), arguments(":1}"), end], []):
            self.assertEqual(calls(stream(*events, completed(end["item"]))), [("call_1", "f", '{"a":1}')], events)

    def test_a_name_that_comes_late(self) -> None:
        raw = stream(
            added(0, type="function_call", name=""), arguments("{}"), done(**call(0, "call_1", "f", "{}")), completed()
        )
        self.assertEqual(calls(raw), [("call_1", "f", "{}")])

    def test_a_call_of_no_tool_is_dropped(self) -> None:
        raw = stream(added(0, type="function_call"), arguments("{}"), completed())
        self.assertEqual((calls(raw), self.finish(raw)), ([], "stop"))

    def test_arguments_in_the_announcement_are_the_last_resort(self) -> None:
        self.assertEqual(calls(stream(added(**call(0, "c", "f", '{"a":1}')), completed())), [("c", "f", '{"a":1}')])
        raw = stream(added(**call(0, "c", "f", "{}")), arguments('{"a":1}'), completed())
        self.assertEqual(calls(raw), [("c", "f", '{"a":1}')])

    def test_deltas_that_do_not_lead_up_to_the_end_stay_as_they_were_sent(self) -> None:
        whole = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a":1}'}
        for events in (
            [arguments('{"a": 1}'), whole],
            [whole, done(**call(0, "c", "f", "{}"))],
            [whole, arguments("stale")],
        ):
            raw = stream(added(**call(0, "c", "f")), *events, done(**call(0, "c", "f", "{}")), completed())
            self.assertEqual(json.loads(calls(raw)[0][2]), {"a": 1}, events)

    def test_what_does_not_begin_like_an_object_waits_for_the_end(self) -> None:
        events = [arguments(" "), arguments("<tool>"), arguments('{"a"')]
        raw = stream(added(**call(0, "c", "f")), *events, done(**call(0, "c", "f", '{"a":1}')), completed())
        self.assertEqual(calls(raw), [("c", "f", '{"a":1}')])
        raw = stream(added(**call(0, "c", "f")), *events, completed())
        self.assertEqual(calls(raw), [("c", "f", ' <tool>{"a"')])

    def test_a_call_without_arguments_has_an_empty_object(self) -> None:
        for end in (
            done(**call(0, "c", "f")),
            done(0, type="function_call", call_id="c", name="f", arguments=None),
            text("", 5),
        ):
            self.assertEqual(calls(stream(added(**call(0, "c", "f")), end, completed())), [("c", "f", "{}")], end)

    def test_arguments_that_are_no_string_are_encoded(self) -> None:
        raw = stream(done(0, type="function_call", call_id="c", name="f", arguments={"a": [1]}), completed())
        self.assertEqual(calls(raw), [("c", "f", '{"a":[1]}')])

    def test_a_call_that_was_cut_off_stays_as_it_is(self) -> None:
        end = done(**call(0, "c", "f", '{"a"', status="incomplete"))
        incomplete = {**completed(end["item"], status="incomplete", incomplete_details={"reason": "max_output_tokens"})}
        incomplete["type"] = "response.incomplete"
        for events in ([arguments('{"a"'), end], [arguments('{"a"')], []):
            raw = stream(added(**call(0, "c", "f")), *events, incomplete)
            self.assertEqual((calls(raw), self.finish(raw)), ([("c", "f", '{"a"')], "length"))

    def test_a_call_without_an_id_gets_one(self) -> None:
        raw = stream(
            done(0, type="function_call", name="f", arguments="{}"),
            done(1, type="function_call", name="f"),
            completed(),
        )
        self.assertEqual([id for id, _, _ in calls(raw)], ["call_1_0", "call_1_1"])

    def test_a_tool_has_the_clients_name_again(self) -> None:
        plan = AnswerPlan(stream=True, functions=frozenset({"a.b"}), names={"a_b_123": "a.b"})
        self.assertEqual(
            calls(stream(done(**call(0, "c", "a_b_123", "{}")), completed(), plan=plan)), [("c", "a.b", "{}")]
        )

    def test_a_client_that_speaks_functions_gets_the_first_call_only(self) -> None:
        plan = AnswerPlan(stream=True, legacy_functions=True, functions=frozenset({"f"}))
        raw = stream(
            added(**call(0, "c", "f")),
            arguments('{"a":'),
            added(**call(1, "d", "f")),
            arguments("{}", 1),
            arguments("1}"),
            completed(),
            plan=plan,
        )
        self.assertEqual(
            deltas(raw)[1:],
            [
                {"function_call": {"name": "f", "arguments": ""}},
                {"function_call": {"arguments": '{"a":'}},
                {"function_call": {"arguments": "1}"}},
                {},
            ],
        )
        self.assertEqual(self.finish(raw), "function_call")


class CustomToolTests(SynchronousTestCase):
    item = {"type": "custom_tool_call", "call_id": "c", "name": "sql"}

    def events(self, *texts: str) -> list[Event]:
        kind = "response.custom_tool_call_input"
        found: list[Event] = [{"type": f"{kind}.delta", "output_index": 0, "delta": text} for text in texts]
        whole = "".join(texts)
        found.append({"type": f"{kind}.done", "output_index": 0, "input": whole})
        return [added(0, **self.item, input=""), *found, done(0, **self.item, input=whole)]

    def test_a_client_that_declared_it_gets_its_form(self) -> None:
        plan = AnswerPlan(stream=True, custom_tools=frozenset({"sql"}))
        raw = stream(*self.events("SELECT ", '"1"'), completed(), plan=plan)
        self.assertEqual(
            deltas(raw)[1:-1],
            [
                {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": ""}}]},
                {"tool_calls": [{"index": 0, "custom": {"input": "SELECT "}}]},
                {"tool_calls": [{"index": 0, "custom": {"input": '"1"'}}]},
            ],
        )
        self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "tool_calls")

    def test_to_any_other_client_it_is_a_function_of_one_string(self) -> None:
        for texts in (("SELECT ", '"1"\n', "é\u2028"), ("x",), ()):
            raw = stream(*self.events(*texts), completed())
            [(id, name, found)] = calls(raw)
            self.assertEqual((id, name, json.loads(found)), ("c", "sql", {"input": "".join(texts)}))

    def test_without_deltas(self) -> None:
        raw = stream(done(0, **self.item, input="SELECT 1"), completed())
        self.assertEqual(calls(raw), [("c", "sql", '{"input":"SELECT 1"}')])


class WrapperTests(SynchronousTestCase):
    """The model's wrapper around calls that it makes at once (vercel/ai issue 19067)."""

    plan = AnswerPlan(stream=True, functions=frozenset({"f", "a.b"}), names={"a_b": "a.b"})

    def wrapped(
        self, *uses: tuple[str, Any], name: str = "parallel", plan: AnswerPlan = plan
    ) -> list[tuple[str, str, str]]:
        text_ = json.dumps({"tool_uses": [{"recipient_name": n, "parameters": p} for n, p in uses]})
        return calls(
            stream(
                added(**call(0, "c", name)),
                arguments(text_[:20]),
                arguments(text_[20:]),
                done(**call(0, "c", name, text_)),
                completed(),
                plan=plan,
            )
        )

    def test_calls_of_declared_functions_are_taken_out(self) -> None:
        for name in ("parallel", "multi_tool_use.parallel"):
            self.assertEqual(
                self.wrapped(("functions.f", {"x": 1}), ("functions.a_b", {}), name=name),
                [("c_0", "f", '{"x":1}'), ("c_1", "a.b", "{}")],
            )

    def test_with_any_other_call_in_it_it_stays_whole(self) -> None:
        mixed: list[tuple[str, Any]] = [("functions.f", {}), ("functions.g", {})]
        foreign: list[tuple[str, Any]] = [("web.run", {})]
        for uses in (mixed, foreign, mixed[:0]):
            [(id, name, _)] = self.wrapped(*uses)
            self.assertEqual((id, name), ("c", "parallel"))

    def test_a_tool_of_the_clients_own_with_that_name_is_a_tool(self) -> None:
        plan = AnswerPlan(stream=True, functions=frozenset({"f", "parallel"}))
        [(id, name, _)] = self.wrapped(("functions.f", {}), plan=plan)
        self.assertEqual((id, name), ("c", "parallel"))


class HostedCallTests(SynchronousTestCase):
    items: dict[str, tuple[dict[str, Any], str, Any]] = {
        "local_shell": (
            {"type": "local_shell_call", "action": {"command": ["ls"]}},
            "local_shell",
            {"command": ["ls"]},
        ),
        "shell": (
            {"type": "shell_call", "action": {"commands": ["ls"]}, "environment": {"type": "local"}},
            "shell",
            {"commands": ["ls"]},
        ),
        "apply_patch": (
            {"type": "apply_patch_call", "operation": {"type": "delete_file"}},
            "apply_patch",
            {"type": "delete_file"},
        ),
        "computer_use_preview": (
            {"type": "computer_call", "action": {"type": "click"}, "actions": None, "pending_safety_checks": []},
            "computer",
            {"action": {"type": "click"}, "pending_safety_checks": []},
        ),
        "tool_search": (
            {"type": "tool_search_call", "execution": "client", "arguments": {"goal": "x"}},
            "tool_search",
            {"goal": "x"},
        ),
    }

    def test_a_client_that_asked_for_the_tool_gets_its_call_once(self) -> None:
        for tool, (item, name, expected) in self.items.items():
            plan = AnswerPlan(stream=True, hosted_tools=frozenset({tool}))
            begun = added(0, **item, call_id="early")
            raw = stream(begun, done(0, **item, call_id="c"), completed({**item, "call_id": "c"}), plan=plan)
            [(id, found, text_)] = calls(raw)
            self.assertEqual((id, found, json.loads(text_)), ("c", name, expected))
            self.assertEqual(chunks(raw)[-1]["choices"][0]["finish_reason"], "tool_calls")

    def test_any_other_client_is_told_nothing(self) -> None:
        for item, _, _ in self.items.values():
            raw = stream(done(0, **item, call_id="c"), completed())
            self.assertEqual((calls(raw), chunks(raw)[-1]["choices"][0]["finish_reason"]), ([], "stop"))

    def test_what_runs_upstream_is_no_call(self) -> None:
        plan = AnswerPlan(stream=True, hosted_tools=frozenset({"shell", "tool_search", "web_search"}))
        for item in (
            {"type": "shell_call", "call_id": "c", "action": {}, "environment": {"type": "container_reference"}},
            {"type": "tool_search_call", "call_id": "c", "execution": "server", "arguments": {}},
            {"type": "web_search_call", "id": "ws_1", "action": {}},
            {"type": "local_shell_call", "action": {}},
            {"type": "never_heard_of", "call_id": "c"},
        ):
            self.assertEqual(calls(stream(done(0, **item), completed(), plan=plan)), [], item)
