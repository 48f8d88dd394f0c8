"""Reasoning in answers that take several rounds, as the proxy itself runs tools that the model calls."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.settings import Settings, ToolSettings
from oaiproxy.tools import ToolBox
from tests.continuity.bridge import Bridge
from tests.continuity.chatclient import ChatClient
from tests.continuity.turns import Call, Play, Say, Thought, Turn
from tests.continuity.upstream import StrictResponses
from tests.tools.support import Tool

#: The model calls the proxy's tool, then answers.
ROUNDS = (
    Turn((Thought(), Say("I look at the clock."), Call("clock", "{}"))),
    Turn((Thought(("So it is late.",)), Say("It is noon."))),
    Turn((Thought(), Say("Indeed."))),
)


class ToolRoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.upstream = StrictResponses(Play(ROUNDS))
        box = ToolBox([Tool("clock", lambda arguments, context: "noon")])
        self.bridge = Bridge(self.upstream, Settings(tools=ToolSettings(enabled=True)), tools=box)

    def inputs(self) -> list[list[Any]]:
        """What upstream was given: the types of the items, for each request."""
        found = [json.loads(seen.body)["input"] for seen in self.upstream.seen]
        return [[item.get("type", item.get("role")) for item in items] for items in found]

    def converse(self, stream: bool) -> None:
        client = ChatClient().says("How late is it?")
        client = self.bridge.tell(client, stream=stream).says("Are you sure?")
        self.bridge.tell(client, stream=stream)

    def test_the_next_round_knows_what_the_model_thought_in_the_last(self) -> None:
        for stream in (False, True):
            self.setUp()
            self.converse(stream)
            first, second = self.upstream.seen[:2]
            self.assertEqual((first.given, len(second.used), second.missing), ((), 1, ()))

    def test_the_next_request_of_the_client_has_all_rounds_as_they_were(self) -> None:
        for stream in (False, True):
            self.setUp()
            self.converse(stream)
            last = self.upstream.seen[-1]
            self.assertEqual((len(last.used), last.dropped, last.missing), (2, (), ()))
            expected = ["user", "reasoning", "message", "function_call", "function_call_output", "reasoning", "message"]
            self.assertEqual(self.inputs()[-1], [*expected, "user"])
