"""Which tools a request gets, and what is asked once calls were run."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.settings import ToolSettings
from oaiproxy.tools import ToolBox, follow_up, marked, offered, own_tools, tool_message
from tests.tools.support import Tool, request, schema

BOX = ToolBox([Tool("clock"), Tool("dice")], ToolSettings(enabled=True))
SEARCH = {"type": "web_search"}
OTHERS = {"type": "function", "function": {"name": "weather"}}


def sent(asked: ApiRequest, box: ToolBox = BOX) -> Any:
    """The tools that go upstream."""
    return offered(marked(asked, box), box).json.get("tools")


class OfferTests(SynchronousTestCase):
    def test_a_request_without_tools_gets_ours(self) -> None:
        result = offered(marked(request(), BOX), BOX)
        self.assertEqual(result.json["tools"], [schema("clock"), schema("dice")])
        self.assertIn("tools", result.added)

    def test_they_stand_behind_the_client_s_own(self) -> None:
        result = offered(marked(request(tools=[OTHERS]), BOX), BOX)
        self.assertEqual(result.json["tools"], [OTHERS, schema("clock"), schema("dice")])
        self.assertNotIn("tools", result.added)

    def test_they_stand_behind_a_web_search_that_a_transform_added(self) -> None:
        result = offered(marked(request().with_added(tools=[SEARCH]), BOX), BOX)
        self.assertEqual(result.json["tools"], [SEARCH, schema("clock"), schema("dice")])
        self.assertIn("tools", result.added)

    def test_what_the_client_declares_under_the_same_name_is_its_own(self) -> None:
        for own in (
            {"type": "function", "function": {"name": "clock"}},
            {"type": "function", "name": "clock"},
            {"type": "custom", "custom": {"name": "clock"}},
        ):
            asked = request(tools=[own])
            self.assertEqual(own_tools(asked, BOX), {"dice"})
            self.assertEqual(sent(asked), [own, schema("dice")])

    def test_what_a_transform_declares_under_the_same_name_is_ours_and_declared_once(self) -> None:
        own = {"type": "function", "function": {"name": "clock"}}
        asked = request().with_added(tools=[own])
        self.assertEqual(own_tools(asked, BOX), {"clock", "dice"})
        self.assertEqual(sent(asked), [own, schema("dice")])
        self.assertEqual(
            own_tools(request(tools=[own]).with_demanded(request(tools=[own]).json, ["tools"]), BOX), BOX.names
        )

    def test_a_client_that_wants_no_calls_gets_none(self) -> None:
        for fields in ({"tool_choice": "none"}, {"function_call": "none"}):
            self.assertEqual(own_tools(request(**fields), BOX), frozenset())
            self.assertIsNone(sent(request(**fields)))

    def test_a_client_that_speaks_the_older_form_gets_none(self) -> None:
        self.assertEqual(own_tools(request(functions=[{"name": "weather"}]), BOX), frozenset())

    def test_several_choices_get_none(self) -> None:
        self.assertEqual(own_tools(request(n=2), BOX), frozenset())
        self.assertEqual(own_tools(request(n=1), BOX), BOX.names)

    def test_tools_that_are_no_list_are_left_for_others_to_refuse(self) -> None:
        self.assertEqual(own_tools(request(tools="all"), BOX), frozenset())
        self.assertEqual(sent(request(tools="all")), "all")

    def test_not_offered_they_are_answered_all_the_same(self) -> None:
        box = ToolBox(BOX, ToolSettings(enabled=True, offer=False))
        self.assertEqual(own_tools(request(), box), {"clock", "dice"})
        self.assertIsNone(sent(request(), box))


ROUND = [{"role": "assistant", "content": None, "tool_calls": []}, tool_message("call_1", "noon")]
AGAIN = [{"role": "assistant", "content": "Hm", "tool_calls": []}, tool_message("call_2", "one")]


class FollowUpTests(SynchronousTestCase):
    def follow(self, asked: ApiRequest, *rounds: Any, last: bool = False) -> Any:
        asked = marked(asked, BOX)
        return follow_up(asked, rounds or (ROUND,), BOX, own_tools(asked, BOX), last).json

    def test_calls_and_results_stand_behind_what_was_there(self) -> None:
        first = offered(marked(request(temperature=1), BOX), BOX).json
        body = self.follow(request(temperature=1), ROUND, AGAIN)
        self.assertEqual(body, {**first, "messages": [*first["messages"], *ROUND, *AGAIN]})

    def test_a_call_that_was_demanded_is_not_demanded_again(self) -> None:
        named = {"type": "function", "function": {"name": "clock"}}
        for choice in ("required", named):
            self.assertEqual(self.follow(request(tool_choice=choice))["tool_choice"], "auto")
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
        self.assertEqual(
            self.follow(request(tool_choice=allowed))["tool_choice"],
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}},
        )
        self.assertNotIn("tool_choice", self.follow(request()))

    def test_in_the_last_round_no_tool_can_be_called(self) -> None:
        body = self.follow(request(), last=True)
        self.assertEqual((body["tools"], body["tool_choice"]), ([schema("clock"), schema("dice")], "none"))

    def test_in_the_last_round_the_client_s_own_tools_still_can(self) -> None:
        body = self.follow(request(tools=[OTHERS], tool_choice="required"), last=True)
        self.assertEqual((body["tools"], body["tool_choice"]), ([OTHERS], "auto"))

    def test_what_a_bridge_takes_in_place_of_messages_goes_on_too(self) -> None:
        bridged = request(PortKind.BRIDGE).without_fields({"messages"})
        items = [{"role": "user", "content": "Hi"}]
        self.assertEqual(self.follow(bridged.with_fields(input=items))["input"], [*items, *ROUND])
        body = self.follow(bridged.with_fields(input="Hi"))
        self.assertEqual((body["messages"], body.get("input")), ([*items, *ROUND], None))

    def test_a_conversation_that_upstream_keeps_gets_the_results_alone(self) -> None:
        body = self.follow(request(PortKind.BRIDGE, conversation="conv_1"), ROUND, AGAIN)
        self.assertEqual(body["messages"], [AGAIN[1]])
