"""A bridge in front of the strict upstream, and what tests ask of its counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import settings as hypothesis_settings
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.settings import Settings
from tests.continuity.bridge import Bridge
from tests.continuity.chatclient import ChatClient
from tests.continuity.ledger import Prefix, Seen
from tests.continuity.loops import ACCOUNTS, Step, converse, play
from tests.continuity.upstream import StrictResponses

#: How made-up conversations are tried.
conversations = hypothesis_settings(max_examples=40, deadline=None, derandomize=True)

#: Shapes of turns, in an order in which each meets others before and behind it.
SEQUENCE = (
    "call",
    "parallel calls",
    "text",
    "searches",
    "commentary and calls",
    "several messages",
    "refusal",
    "calls of both kinds",
    "thought before each call",
    "final answer",
)


class JudgedTestCase(SynchronousTestCase):
    """A bridge in front of a strict upstream."""

    def start(self, conversation: Sequence[Step], settings: Settings | None = None, **options: Any) -> Bridge:
        """An upstream that says what is in a conversation, and a bridge to it."""
        late = options.pop("late", False)
        self.upstream = StrictResponses(play(conversation), late=late)
        self.bridge = Bridge(self.upstream, settings, accounts=ACCOUNTS, **options)
        return self.bridge

    def judge(self, conversation: Sequence[Step], client: ChatClient | None = None) -> ChatClient:
        """Let a conversation happen; each turn has to be answered."""
        last = client
        for step, heard, now in converse(self.bridge, conversation, client):
            self.assertEqual((heard.status, heard.whole), (200, True), (step, heard))
            last = now
        self.assertEqual(self.upstream.refused, [], conversation)
        assert last is not None
        return last

    def all_came_back(self, why: object = None) -> None:
        """See that every request gave all the reasoning that it could, behind the same bytes."""
        for seen in self.upstream.seen:
            self.assertEqual(
                (seen.missing, seen.dropped, seen.verified, seen.head_same),
                ((), (), seen.given, True),
                (why, seen.number, seen.body),
            )
            self.assertNotEqual(seen.prefix, Prefix.CHANGED, (why, seen.number, seen.body))

    @property
    def last(self) -> Seen:
        return self.upstream.last

    @property
    def input(self) -> list[dict[str, Any]]:
        """The items of the last request."""
        items: list[dict[str, Any]] = json.loads(self.last.body)["input"]
        return items
