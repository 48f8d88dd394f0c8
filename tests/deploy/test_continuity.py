"""Reasoning that survives the turn on several machines: HAProxy, two proxies, one Redis, and a strict upstream."""

from __future__ import annotations

import json
import signal
from collections import Counter
from functools import partial

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from tests.continuity.chatclient import ChatClient
from tests.continuity.site import strict_site
from tests.continuity.turns import SHAPES, Asked, Turn
from tests.continuity.upstream import Answer, StrictResponses
from tests.deploy.machines import MISSING, REDIS, MachinesTestCase, Redis
from tests.support import Received, UpstreamConnection, unchunk

FIRST, SECOND = "127.0.0.2", "127.0.0.3"

#: What the model says in a tool loop, over and over.
LOOP = (
    "call",
    "thought before each call",
    "parallel calls",
    "commentary and calls",
    "search and call",
    "custom call",
    "the same call twice",
    "final answer",
)


class _Machine:
    """The strict upstream as one machine sees it."""

    def __init__(self, upstream: StrictResponses, address: str, asked: list[str]) -> None:
        self._upstream, self._address, self._asked = upstream, address, asked

    def answer(self, body: bytes, account: str) -> Answer:
        self._asked.append(self._address)
        return self._upstream.answer(body, account)


class ContinuityTests(MachinesTestCase):
    """Tool loops whose turns land on any machine."""

    if MISSING or REDIS is None:
        skip = MISSING or "Redis is not installed"

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.strict = StrictResponses(self.turn)
        #: The machine of each request, in the order of `strict.seen`.
        self.asked: list[str] = []
        #: Whether a machine is gone, and how many requests were lost of those that were begun after that.
        self.gone, self.lost_later = False, 0
        machines = {address: _Machine(self.strict, address, self.asked) for address in self.addresses}
        self._upstreams = {address: self.listen(strict_site(machine)) for address, machine in machines.items()}
        self.redis = await deferToThread(Redis)
        self.addCleanup(lambda: deferToThread(self.redis.stop))
        self.environment = {
            "OAIPROXY_STORE": f"redis://127.0.0.1:{self.redis.port}/0",
            "OAIPROXY_STORE_KEY": "0123456789abcdef" * 4,
        }
        await self.begin()

    def script(self, connection: UpstreamConnection, request: Received) -> None:
        raise AssertionError("nobody asks here")

    def upstream_of(self, address: str) -> str:
        return f"http://127.0.0.1:{self._upstreams[address]}/v1"

    @staticmethod
    def turn(asked: Asked) -> Turn:
        """What the model says."""
        return SHAPES[LOOP[asked.rounds % len(LOOP)]].said_again(asked.again)

    async def tell(self, client: ChatClient, *, stream: bool) -> ChatClient | None:
        """Ask for the next turn, on a connection of its own.

        @return: the client with it in its history; None where it did not come whole.
        """
        raw, later = await self.client(self.bridge), self.gone
        body = json.dumps(client.request(stream=stream)).encode()
        raw.post("/v1/chat/completions", body, "Authorization: Bearer sk-one", "Connection: close")
        await raw.closed
        told = heard(client, raw.received)
        self.lost_later += later and told is None
        return told

    async def loop(self, question: str, turns: int) -> int:
        """A tool loop, in which a turn that is lost is asked for again.

        @return: how many were lost.
        """
        client, lost = ChatClient().says(question), 0
        for number in range(turns):
            while (told := await self.tell(client, stream=bool(number % 2))) is None:
                lost += 1
            client = told.goes_on()
        return lost

    def without_reasoning(self, since: int = 0) -> list[int]:
        """The numbers of the requests that lack reasoning that they could have had."""
        return [seen.number for seen in self.strict.seen[since:] if seen.missing]

    @property
    def late(self) -> bool:
        """Whether a proxy has done without the store, for which it waits 250 ms: where the machine is busy it may."""
        return any("reasoning is lost between requests" in machine.output for machine in self.machines.values())

    async def test_turns_that_land_on_alternating_machines_keep_their_reasoning(self) -> None:
        for number in range(3):
            since = len(self.strict.seen)
            self.assertEqual(await self.loop(f"What is the population of {number}?", 8), 0)
            asked = self.asked[since:]
            self.assertEqual(asked, [FIRST, SECOND] * 4 if asked[0] == FIRST else [SECOND, FIRST] * 4)
        self.assertEqual(self.strict.refused, [])
        if self.late:
            raise SkipTest("this machine is so busy that Redis does not answer within 250 ms")
        self.assertEqual(self.without_reasoning(), [])

    async def test_when_a_machine_is_killed_the_next_turns_go_on_elsewhere_with_their_reasoning(self) -> None:
        loops = [ensureDeferred(self.loop(f"Question {number}?", 12)) for number in range(12)]
        await self.until(lambda: len(self.strict.seen) > 40)
        before = len(self.strict.seen)
        await deferToThread(partial(self.machines[FIRST].stop, signal.SIGKILL))
        self.gone = True
        after = len(self.strict.seen)
        lost = await gatherResults(loops)
        # each client had one request under way, which may be lost; where the kernel takes its time to close a dead
        # process's sockets, which it does one after the other, the next one may have come into the port's queue
        self.assertLessEqual(max(lost), 2)
        # when they are closed none is lost, also before the balancer knows
        self.assertEqual(self.lost_later, 0)
        self.assertEqual(self.strict.refused, [])
        self.assertEqual(Counter(self.asked[:before]).keys(), {FIRST, SECOND})
        self.assertEqual(set(self.asked[after:]), {SECOND})
        if self.late:
            raise SkipTest("this machine is so busy that Redis does not answer within 250 ms")
        # with what the dead one has kept as well: all but what it had just made, a turn of two thoughts for each client
        later = self.strict.seen[after:]
        self.assertLessEqual(len({name for seen in later for name in seen.missing}), 2 * len(loops))
        self.assertGreater(sum(bool(seen.used) for seen in later), 0.9 * len(later))

    async def test_no_request_fails_when_redis_is_stopped_and_started_again(self) -> None:
        loops = [ensureDeferred(self.loop(f"Question {number}?", 16)) for number in range(8)]
        await self.until(lambda: len(self.strict.seen) > 30)
        await deferToThread(partial(self.redis.stop, signal.SIGKILL))
        without = len(self.strict.seen)
        await self.until(lambda: len(self.strict.seen) > without + 30)
        port = self.redis.port
        self.redis = await deferToThread(lambda: Redis(port))
        lost = await gatherResults(loops)
        self.assertEqual((lost, self.strict.refused), ([0] * 8, []))
        # and it is used again: sooner or later a whole loop has all its reasoning
        while True:
            since = len(self.strict.seen)
            self.assertEqual(await self.loop(f"And now, {since}?", 4), 0)
            if not self.without_reasoning(since):
                break
        self.assertEqual(self.strict.refused, [])


def heard(client: ChatClient, received: bytes) -> ChatClient | None:
    """The client with an answer in its history; None where it did not come whole."""
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        assert not received or head.split(b" ")[1] in (b"502", b"503"), received
        return None
    if b"transfer-encoding: chunked" in head.lower():
        try:
            body = unchunk(body)
        except AssertionError:
            return None
    try:
        return client.hears(body)
    except (AssertionError, ValueError):
        return None
