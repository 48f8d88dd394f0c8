"""Whose reasoning it is, where it is kept, and what happens where it cannot be used."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from zope.interface import implementer

from oaiproxy.interfaces import IStateStore
from oaiproxy.settings import ReasoningContinuity, Settings
from oaiproxy.store import MemoryStore, StoreUnavailable
from tests.continuity.bridge import KEY, Bridge, Heard
from tests.continuity.judged import SEQUENCE, JudgedTestCase
from tests.continuity.ledger import Prefix
from tests.continuity.loops import ACCOUNTS, KEYS, Step, begun, steps
from tests.continuity.turns import SHAPES, Ending, Say, Thought, Turn
from tests.continuity.upstream import StrictResponses


class OwnerTests(JudgedTestCase):
    """Reasoning is for those whose it is."""

    def test_another_account_gets_none_and_the_first_gets_it_again(self) -> None:
        first, second, _ = KEYS
        conversation = [Step("call", key=first), Step("call", key=second), Step("call", key=first), Step("text")]
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual([len(seen.given) for seen in self.upstream.seen], [0, 0, 1, 2])
        self.assertEqual([seen.missing for seen in self.upstream.seen], [()] * 4)

    def test_another_client_of_the_same_account_gets_none(self) -> None:
        first, _, third = KEYS
        self.assertEqual(ACCOUNTS[first], ACCOUNTS[third])
        for shape in ("call", "text"):
            conversation = [Step(shape, key=first), Step("text", key=third)]
            self.start(conversation)
            self.judge(conversation)
            self.assertEqual(self.last.given, ())
            self.assertNotEqual(self.last.missing, (), "the upstream would have taken it")

    def test_another_family_gets_none_and_the_words_all_the_same(self) -> None:
        conversation = [*steps("commentary and calls"), Step("text", changes=(("other family", 0),)), *steps("text")]
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual([len(seen.given) for seen in self.upstream.seen], [0, 0, 1])
        phases = [item.get("phase") for item in self.input if item.get("role") == "assistant"]
        self.assertEqual(phases[0], "commentary")

    def test_another_snapshot_of_the_model_gets_it(self) -> None:
        conversation = [*steps("call"), Step("call", changes=(("other snapshot", 0),)), *steps("text")]
        self.start(conversation)
        self.judge(conversation)
        self.assertEqual([len(seen.used) for seen in self.upstream.seen], [0, 1, 2])


class RefusedTests(JudgedTestCase):
    """Reasoning that upstream refuses after all: the client never hears of it."""

    def lose_the_key(self, stream: bool, late: bool = False) -> None:
        conversation = steps("call", "call", "call", "call", "text", "text", stream=stream)
        self.start(conversation, late=late)
        client = self.judge(conversation[:3]).goes_on()
        self.upstream.forget_key(ACCOUNTS[KEY])
        heard = self.bridge.chat(client.request(stream=stream))
        self.assertEqual((heard.status, heard.whole), (200, True), heard)
        before, refused, again = self.upstream.seen[-3:]
        self.assertEqual((before.code, refused.code, again.code), (None, "invalid_encrypted_content", None))
        self.assertEqual((len(refused.body) > len(again.body), again.given), (True, ()))
        # it was forgotten: the turns to come have the new reasoning only, and none is refused
        client = client.hears(heard.body).goes_on()
        for count in (1, 2):
            client = self.bridge.tell(client, stream=stream).goes_on()
            self.assertEqual((len(self.last.used), self.last.missing, self.last.dropped), (count, (), ()))
        self.assertEqual(len(self.upstream.refused), 1)

    def test_it_is_sent_once_more_without_and_forgotten(self) -> None:
        self.lose_the_key(stream=False)

    def test_a_stream_is_asked_for_once_more_without(self) -> None:
        self.lose_the_key(stream=True)

    def test_a_refusal_in_the_stream_counts_as_one(self) -> None:
        self.lose_the_key(stream=True, late=True)

    def test_what_the_client_itself_got_wrong_it_is_told(self) -> None:
        conversation = steps("call", "text")
        self.start(conversation)
        client = self.judge(conversation[:1]).goes_on()
        heard = self.bridge.chat(client.request(tool_choice={"type": "function", "function": {"name": "nobody"}}))
        self.assertEqual(heard.status, 400)
        self.assertEqual(heard.json["error"]["param"], "tool_choice")
        # and what was kept is still there
        self.bridge.tell(client)
        self.assertEqual((len(self.last.used), self.last.missing), (1, ()))


class BrokenTurnTests(JudgedTestCase):
    """Answers that did not come to their end are not gone on from."""

    def broken(self, ending: Ending, stream: bool) -> None:
        turn = Turn((Thought(), Say("It is "), *SHAPES["call"].parts), ending)
        turns = [SHAPES["text"], turn, SHAPES["text"], SHAPES["text"]]
        asked: list[bool] = []

        def script(asking: Any) -> Turn:
            asked.append(asking.rounds == 1 and True not in asked)
            return turn if asked[-1] else turns[0]

        self.upstream = StrictResponses(script)
        self.bridge = Bridge(self.upstream)
        client = self.bridge.tell(begun(), stream=stream).goes_on()
        heard = self.bridge.chat(client.request(stream=stream))
        self.assertTrue(heard.status >= 500 or not heard.whole or b'"error"' in heard.body, heard)
        client = self.bridge.tell(client, stream=stream).goes_on()
        self.bridge.tell(client, stream=stream)
        self.assertEqual(self.upstream.refused, [])
        self.assertEqual((len(self.last.used), self.last.missing, self.last.dropped), (2, (), ()))

    def test_a_failed_response(self) -> None:
        for stream in (False, True):
            self.broken(Ending.FAILED, stream)

    def test_a_cut_stream(self) -> None:
        self.broken(Ending.CUT, stream=True)


@implementer(IStateStore)
class BrokenStore:
    """A store that is down."""

    def _down(self, *given: Any) -> Deferred[Any]:
        return fail(StoreUnavailable("The store is down."))

    get = put = forget = add = close = _down


class HomeTests(JudgedTestCase):
    """Where turns are kept."""

    def test_two_machines_with_one_store_are_as_good_as_one(self) -> None:
        conversation = steps(*SEQUENCE)
        store = MemoryStore(Clock().seconds)
        self.start(conversation)
        machines = [Bridge(self.upstream, accounts=ACCOUNTS, store=store) for _ in range(2)]
        client = begun()
        for number in range(len(conversation)):
            client = machines[number % 2].tell(client, stream=number % 3 == 0).goes_on()
        self.assertEqual(self.upstream.refused, [])
        self.all_came_back()
        self.assertGreater(len(self.last.used), 10)

    def test_a_store_that_is_down_costs_reasoning_and_no_answer(self) -> None:
        conversation = steps("call", "text", "searches", "text")
        self.start(conversation, store=BrokenStore())
        self.judge(conversation)
        self.assertEqual([seen.given for seen in self.upstream.seen], [()] * 4)
        self.assertNotEqual(self.last.missing, ())

    def test_with_nothing_kept_the_upstream_misses_it(self) -> None:
        # what shows that the upstream sees what is missing
        conversation = steps(*SEQUENCE, "text")
        self.start(conversation, Settings(reasoning_continuity=ReasoningContinuity.OFF))
        self.judge(conversation)
        self.assertEqual([len(seen.given) for seen in self.upstream.seen], [0] * 11)
        self.assertEqual(self.last.missing, (), "nothing was sealed")
        self.start(conversation, store=BrokenStore())
        self.judge(conversation)
        counts = [len(seen.missing) for seen in self.upstream.seen]
        self.assertEqual(counts, [0, 1, 2, 3, 10, 12, 14, 15, 16, 18, 19])


class CarrierTests(JudgedTestCase):
    """Clients that send back every field of a message carry their reasoning themselves."""

    carrier = Settings(reasoning_continuity=ReasoningContinuity.CARRIER)

    def machines(self) -> list[Bridge]:
        """Two bridges that know nothing of each other."""
        return [Bridge(self.upstream, self.carrier, accounts=ACCOUNTS) for _ in range(2)]

    def carry(self, stream: bool) -> None:
        conversation = steps(*SEQUENCE, "text")
        self.start(conversation)
        machines, client = self.machines(), begun(echoes=True)
        for number in range(len(conversation)):
            client = machines[number % 2].tell(client, stream=stream).goes_on()
        self.assertEqual(self.upstream.refused, [])
        self.assertEqual([(seen.missing, seen.dropped) for seen in self.upstream.seen], [((), ())] * 11)
        self.assertEqual(len(self.last.used), 19)
        # a refusal is the client's own words, and no part of another kind
        changed = {SEQUENCE[seen.number - 1] for seen in self.upstream.seen if seen.prefix is Prefix.CHANGED}
        self.assertLessEqual(changed, {"refusal"})

    def test_what_a_client_carries_is_taken_by_a_machine_that_has_nothing(self) -> None:
        self.carry(stream=False)

    def test_what_a_client_puts_together_of_a_stream_is_taken_too(self) -> None:
        self.carry(stream=True)

    def test_a_client_that_carries_nothing_is_served_from_the_cache(self) -> None:
        conversation = steps(*SEQUENCE)
        self.start(conversation, self.carrier)
        self.judge(conversation)
        self.all_came_back()

    def test_what_another_client_was_given_to_carry_is_not_taken(self) -> None:
        first, _, third = KEYS
        conversation = [Step("call", key=first), Step("text", key=third)]
        self.start(conversation, self.carrier)
        self.judge(conversation, begun(echoes=True))
        self.assertEqual(self.last.given, ())

    def test_damaged_luggage_is_never_the_client_s_trouble(self) -> None:
        conversation = steps("call", "text", "text")
        for damage in ({"data": "gAAAAA"}, {"data": None}, {"index": "x"}, {"index": 7}, {"format": "x"}, {"id": "x"}):
            self.start(conversation)
            machines = self.machines()
            client = machines[0].tell(begun(echoes=True))
            details = client.messages[-1]["reasoning_details"]
            details[-1].update(damage)
            heard: Heard = machines[1].chat(client.goes_on().request())
            self.assertEqual(heard.status, 200, (damage, heard))
