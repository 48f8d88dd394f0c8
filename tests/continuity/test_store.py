"""Where turns are kept: what a store that fails costs, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oaiproxy.interfaces import IStateStore
from oaiproxy.settings import ReasoningContinuity, Settings
from oaiproxy.store import MemoryStore, StoreUnavailable
from oaiproxy.web import continuity
from oaiproxy.web.continuity import LARGEST_TURN
from tests.continuity.bridge import Bridge
from tests.continuity.chatclient import ChatClient
from tests.continuity.turns import Call, Play, Say, Thought, Turn
from tests.continuity.upstream import Answer, StrictResponses

HEADER = "x-oaiproxy-continuity"
CALLS = (Turn((Thought(), Call("look_up", '{"country": "France"}'))),) * 3


@implementer(IStateStore)
class Down:
    """A store that cannot be reached.

    @ivar asked: what was asked of it.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def _fails(self, what: str) -> Deferred[None]:
        self.asked.append(what)
        return fail(StoreUnavailable("the store cannot be reached"))

    def get(self, keys: Sequence[bytes]) -> Deferred[list[bytes | None]]:
        return self._fails("get")  # type: ignore[return-value]

    def put(self, entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        return self._fails("put")

    def forget(self, keys: Sequence[bytes]) -> Deferred[None]:
        return self._fails("forget")

    def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        return self._fails("add")  # type: ignore[return-value]

    def close(self) -> Deferred[None]:
        return succeed(None)


class StoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.upstream = StrictResponses(Play(CALLS))
        self.memory = MemoryStore(lambda: 0.0)

    def bridge(self, store: IStateStore | None = None, mode: ReasoningContinuity = ReasoningContinuity.CACHE) -> Bridge:
        return Bridge(self.upstream, Settings(reasoning_continuity=mode), store=store or self.memory)

    def loop(self, bridge: Bridge, turns: int = 3) -> list[str | None]:
        """Go through a tool loop, and return what each answer said of continuity."""
        client, told = ChatClient().says("Which country?"), []
        for _ in range(turns):
            heard = bridge.chat(client.request())
            self.assertEqual(heard.status, 200, heard)
            told.append(heard.fields.get(HEADER))
            client = client.hears(heard.body).runs_tools()
        return told

    def test_each_answer_says_how_many_turns_went_back(self) -> None:
        self.assertEqual(self.loop(self.bridge()), [None, "1 of 1 turns", "2 of 2 turns"])

    def test_a_store_that_is_down_costs_the_reasoning_and_no_answer(self) -> None:
        store = Down()
        self.assertEqual(self.loop(self.bridge(store)), [None, "0 of 1 turns", "0 of 2 turns"])
        self.assertEqual(store.asked, ["put", "get", "put", "get", "put"])

    def test_the_log_says_once_and_not_each_time_that_a_store_is_down(self) -> None:
        lines: list[str] = []

        def take(event: Mapping[str, object]) -> None:
            if "reasoning is lost" in str(event.get("log_format")):
                lines.append(str(event.get("error")))

        observer = cast("ILogObserver", take)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.loop(self.bridge(Down()))
        self.assertEqual(lines, ["the store cannot be reached"])

    def test_turned_off_nothing_is_kept_and_nothing_is_said_of_it(self) -> None:
        self.assertEqual(self.loop(self.bridge(mode=ReasoningContinuity.OFF)), [None] * 3)
        self.assertEqual(len(self.memory), 0)
        self.assertNotIn(b"encrypted_content", self.upstream.seen[0].body)

    def test_bytes_that_are_no_turn_cost_no_answer(self) -> None:
        bridge = self.bridge()
        client = bridge.tell(ChatClient().says("Which country?")).runs_tools()
        for key in list(self.memory._values):
            self.memory.put({key: b"\xc1 no turn"}, 60)
        self.assertEqual(bridge.chat(client.request()).fields[HEADER], "0 of 1 turns")

    def test_a_fault_of_ours_in_keeping_an_answer_costs_no_answer(self) -> None:
        def broken(slots: object) -> object:
            raise LookupError("a fault")

        self.patch(continuity, "kept_items", broken)
        self.assertEqual(self.loop(self.bridge()), [None, "0 of 1 turns", "0 of 2 turns"])

    def test_a_fault_of_ours_in_finding_a_turn_costs_no_answer(self) -> None:
        def broken(*given: object) -> object:
            raise LookupError("a fault")

        self.patch(continuity, "recall", broken)
        self.assertEqual(self.loop(self.bridge()), [None, None, None])

    def test_an_answer_of_enormous_size_is_not_kept(self) -> None:
        self.upstream = StrictResponses(Play((Turn((Thought(), Say("x" * LARGEST_TURN))),)))
        self.bridge().tell(ChatClient().says("Go on and on."))
        self.assertEqual(len(self.memory), 0)

    def test_what_was_kept_is_found_by_another_bridge_with_the_same_store(self) -> None:
        client = self.bridge().tell(ChatClient().says("Which country?")).runs_tools()
        heard = self.bridge().chat(client.request())
        self.assertEqual((heard.fields[HEADER], len(self.upstream.seen[-1].used)), ("1 of 1 turns", 1))

    def test_a_client_with_another_key_finds_nothing(self) -> None:
        bridge = self.bridge()
        client = bridge.tell(ChatClient().says("Which country?"), "sk-one").runs_tools()
        self.assertEqual(bridge.chat(client.request(), "sk-two").fields[HEADER], "0 of 1 turns")


class Late(MemoryStore):
    """A store that takes its time to keep something.

    @ivar putting: what waits, in order.
    """

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.begun: Callable[[], object] = lambda: None
        self.putting: list[Deferred[None]] = []

    def put(self, entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        super().put(entries, seconds)
        self.putting.append(Deferred())
        self.begun()
        return self.putting[-1]


class LateStoreTests(SynchronousTestCase):
    """A client's next request may come at once, and to another machine: by then its turn has to be there."""

    def setUp(self) -> None:
        self.store = Late()
        self.upstream = StrictResponses(Play(CALLS))
        self.bridge = Bridge(self.upstream, store=self.store)
        self.client = ChatClient().says("Which country?")

    def told_before_it_was_kept(self, *, stream: bool) -> bytes:
        """Ask, and return what the client had when its turn was kept; it has all in the end."""
        told: list[bytes] = []

        def kept() -> None:
            told.append(self.bridge.told)
            self.store.putting.pop(0).callback(None)

        self.store.begun = lambda: self.bridge.later(0.5, kept)
        self.bridge.pace = 0.1
        self.client = self.bridge.tell(self.client, stream=stream)
        return told[0]

    def test_the_end_of_a_stream_waits_until_it_is_kept(self) -> None:
        self.assertNotIn(b"[DONE]", self.told_before_it_was_kept(stream=True))

    def test_an_answer_that_is_no_stream_waits_until_it_is_kept(self) -> None:
        self.assertEqual(self.told_before_it_was_kept(stream=False), b"")

    def test_an_answer_does_not_wait_for_ever(self) -> None:
        self.bridge.pace = 0.1
        for stream in (False, True):
            heard = self.bridge.chat(self.client.request(stream=stream))
            self.assertEqual((heard.status, heard.whole), (200, True))

    def test_the_end_waits_for_all_of_several_choices(self) -> None:
        for stream, order in ((False, (0, 0)), (True, (0, 0)), (False, (1, 0)), (True, (1, 0))):
            self.setUp()
            told: list[bytes] = []

            def kept(which: int, told: list[bytes] = told) -> None:
                told.append(self.bridge.told)
                self.store.putting.pop(which).callback(None)

            def begun(order: Sequence[int] = order, kept: Callable[[int], None] = kept) -> None:
                if len(self.store.putting) == 2:
                    self.bridge.later(0.3, kept, order[0])
                    self.bridge.later(0.6, kept, order[1])

            self.store.begun = begun
            self.bridge.pace = 0.1
            heard = self.bridge.chat(self.client.request(stream=stream, n=2))
            self.assertEqual((heard.status, heard.whole, len(told)), (200, True, 2))
            self.assertNotIn(b"[DONE]" if stream else b"choices", told[1])

    def test_a_store_that_fails_in_a_way_of_its_own_costs_no_answer(self) -> None:
        def fails() -> None:
            self.store.putting[-1].errback(LookupError("a fault"))

        self.store.begun = lambda: self.bridge.later(0.2, fails)
        self.bridge.pace = 0.1
        for stream in (False, True):
            self.assertTrue(self.bridge.chat(self.client.request(stream=stream)).whole)

    def test_an_answer_that_has_nothing_to_keep_waits_for_nothing(self) -> None:
        bridge = Bridge(StrictResponses(Play([Turn((Say("Hello."),))])), store=self.store)
        self.assertEqual(bridge.chat(self.client.request()).status, 200)


class Choosy(StrictResponses):
    """An upstream that takes no reasoning at all, or says so of everything."""

    def __init__(self, *, reasoning: bool = True) -> None:
        super().__init__(Play(CALLS))
        self.takes_reasoning, self.broken = reasoning, False
        self.refusals = 0

    def answer(self, body: bytes, account: str) -> Answer:
        refused = self.broken or (not self.takes_reasoning and b'"type":"reasoning"' in body)
        self.refusals += refused
        return Answer(400, REFUSAL) if refused else super().answer(body, account)


REFUSAL = b'{"error": {"message": "Invalid value for input[1].", "type": "invalid_request_error", "param": "input[1]"}}'


class RefusalTests(SynchronousTestCase):
    """What upstream refuses may be what the proxy has put back, or something of the client's."""

    def begun(self, upstream: StrictResponses) -> ChatClient:
        self.memory = MemoryStore(lambda: 0.0)
        self.bridge = Bridge(upstream, store=self.memory)
        return self.bridge.tell(ChatClient().says("Which country?")).runs_tools()

    def test_an_upstream_that_takes_no_reasoning_refuses_it_once_and_not_each_time(self) -> None:
        upstream = Choosy(reasoning=False)
        client = self.begun(upstream)
        told = []
        for _ in range(3):
            heard = self.bridge.chat(client.request())
            told.append((upstream.refusals, heard.fields[HEADER]))
            client = client.hears(heard.body).runs_tools()
        self.assertEqual(told, [(1, "0 of 1 turns"), (1, "0 of 2 turns"), (1, "0 of 3 turns")])

    def test_what_the_client_got_wrong_costs_no_kept_turn(self) -> None:
        upstream = Choosy()
        client = self.begun(upstream)
        upstream.broken = True
        self.assertEqual(self.bridge.chat(client.request()).status, 400)
        upstream.broken = False
        self.assertEqual(self.bridge.chat(client.request()).fields[HEADER], "1 of 1 turns")
