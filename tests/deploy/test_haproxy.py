"""The shipped HAProxy configuration in front of real proxies, which are killed, drained and come back under load."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.settings import ServiceSettings, Timeouts
from tests.deploy.machines import CONFIGURATION, MachinesTestCase
from tests.support import RawClient, Received, UpstreamConnection, http_answer, http_stream, unchunk
from tests.test_stopping import END, chunk
from tests.web.test_bridge import ADDED, COMPLETED, CREATED, chat, delta

FIRST, SECOND = "127.0.0.2", "127.0.0.3"

#: The last bytes of an answer of the load's.
ANSWER = b'{"answer":1}'


class Stream:
    """A stream that a client has begun to read.

    @ivar client: who reads it.
    @ivar machine: the address of the machine that it goes through.
    @ivar upstream: the upstream's connection for it.
    """

    def __init__(self, client: RawClient, machine: str, upstream: UpstreamConnection) -> None:
        self.client = client
        self.machine = machine
        self.upstream = upstream

    def finish(self) -> None:
        """Let upstream write the rest."""
        self.upstream.write(chunk(delta(" two")))
        self.upstream.write(chunk(COMPLETED) + END)

    @property
    def outcome(self) -> str:
        """What the client makes of what it got."""
        head, _, body = self.client.received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            return f"another answer: {head!r}"
        try:
            text = unchunk(body)
        except AssertionError:
            # the bridge may have said more; nothing that looks like an end
            return (
                "cut" if b"[DONE]" not in body and b'finish_reason":"' not in body else f"cut after its end: {body!r}"
            )
        last = (b"data: [DONE]\n\n", COMPLETED)
        return "whole" if b"two" in text and text.endswith(last) else f"ended too early: {text!r}"


class Load:
    """Clients that ask without a break, and what became of each request.

    @ivar outcomes: how many requests had which outcome.
    @ivar failed: those that failed though nothing was broken since they were begun.
    """

    def __init__(self, test: MachinesTestCase) -> None:
        self._test = test
        self.outcomes: Counter[str] = Counter()
        self.failed: list[str] = []
        self._over = False
        # even: all is well; odd: something is being broken
        self._age = 0
        self._running: list[Any] = []
        test.addCleanup(self.stop)

    def start(self, count: int) -> None:
        """Let so many clients of each kind begin."""
        for number in range(count):
            port = (self._test.passthrough, self._test.bridge)[number % 2]
            self._running += [ensureDeferred(self._one_each(port)), ensureDeferred(self._kept(port))]

    async def stop(self) -> None:
        """Wait for the last answers."""
        self._over = True
        await gatherResults(self._running)

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        enough = self.outcomes["answered"] + count
        await self._test.until(lambda: self.outcomes["answered"] >= enough)

    async def breaking(self, what: Callable[[], Any]) -> None:
        """Break something, off the reactor's thread; a request that runs meanwhile may be lost, a later one may not."""
        self._age += 1
        await deferToThread(what)
        self._age += 1

    async def _one_each(self, port: int) -> None:
        """A connection for each request."""
        while not self._over:
            client = await self._test.client(port)
            await self._ask(client)
            client.transport.loseConnection()
            await client.closed

    async def _kept(self, port: int) -> None:
        """One connection for as long as it is kept."""
        client = await self._test.client(port)
        while not self._over:
            if not await self._ask(client):
                client = await self._test.client(port)

    async def _ask(self, client: RawClient) -> bool:
        """Ask once.

        @return: whether the connection may be used again.
        """
        age, before = self._age, len(client.received)
        client.post("/v1/embeddings", b'{"input":"x"}')
        try:
            whole = (await client.until(partial(_answered, before)))[before:]
        except AssertionError:
            whole = client.received[before:]
        status = whole.split(b" ")[1].decode() if whole else "nothing"
        if status == "200":
            self.outcomes["answered"] += 1
            return b"connection: close" not in whole.lower()
        self.outcomes[f"lost: {status}"] += 1
        if age == self._age and age % 2 == 0:
            self.failed.append(f"{status}: {whole!r}")
        return False


def _answered(before: int, data: bytes | bytearray) -> bool:
    """Whether an answer has come since there were so many bytes."""
    head, found, body = data[before:].partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(found) and length is not None and len(body) >= int(length[1])


class HAProxyTestCase(MachinesTestCase):
    """Two machines, and streams that end when the test says."""

    def script(self, connection: UpstreamConnection, request: Received) -> None:
        if b'"stream":true' in request.body.replace(b" ", b""):
            self.seen.append((self.machine_of(request), connection, request))
        else:
            connection.write(http_answer(ANSWER, "200 OK", "Content-Type: application/json", "x-request-id: req_42"))

    async def stream(self, kind: str, *fields: str) -> Stream:
        """Begin a stream; its first piece has come to the client while the last is not written."""
        client, count = await self.client(getattr(self, kind)), len(self.seen)
        client.post("/v1/chat/completions" if kind == "bridge" else "/v1/responses", chat(stream=True), *fields)
        await self.until(lambda: len(self.seen) > count)
        machine, upstream, _ = self.seen[-1]
        upstream.write(http_stream(CREATED, ADDED, delta("one"), end=False))
        await client.until(b"one")
        return Stream(client, machine, upstream)

    async def streams(self, count: int) -> list[Stream]:
        """Begin so many, half of them on each kind of port."""
        return [await self.stream(("passthrough", "bridge")[number % 2]) for number in range(count)]

    async def used(self, address: str) -> None:
        """Ask until a machine is used."""
        while True:
            stream = await self.stream("bridge")
            stream.finish()
            await stream.client.until(b"[DONE]")
            if stream.machine == address:
                return


class StreamTests(HAProxyTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        # one is enough for most of it
        self.addresses = (FIRST,)
        await self.begin()

    async def test_pieces_come_as_they_are_written_and_are_not_compressed(self) -> None:
        for kind in ("passthrough", "bridge"):
            stream = await self.stream(kind, "Accept-Encoding: gzip, deflate, br")
            for number in range(5):
                stream.upstream.write(chunk(delta(f"piece {number}")))
                await stream.client.until(b"piece %d" % number)
            self.assertNotIn(b"content-encoding", stream.client.received.lower())
            stream.finish()
            await stream.client.until(END)
            self.assertEqual(stream.outcome, "whole")

    async def test_the_machine_with_fewer_streams_gets_the_next_one(self) -> None:
        await self.machine(SECOND)
        await self.known(FIRST, SECOND)
        streams = await self.streams(20)
        for kind in (0, 1):
            share = Counter(stream.machine for stream in streams[kind::2])
            self.assertEqual(share, {FIRST: 5, SECOND: 5})

    async def test_a_client_that_leaves_ends_its_request_upstream(self) -> None:
        for kind in ("passthrough", "bridge"):
            for leave in ("loseConnection", "abortConnection"):
                stream = await self.stream(kind)
                # nothing is written from now on, which would be the other way to notice
                getattr(stream.client.transport, leave)()
                await stream.upstream.lost

    async def test_ids_of_requests_are_passed_both_ways_and_are_in_the_log(self) -> None:
        status, head, _ = await self.ask(
            self.passthrough, "POST", "/v1/embeddings", b"{}", "X-Client-Request-Id: mine-7", "X-Request-Id: mine-8"
        )
        self.assertEqual(status, 200)
        self.assertIn(b"x-request-id: req_42", head.lower())
        (request,) = self.scripted.requests
        self.assertEqual((request.field("x-client-request-id"), request.field("x-request-id")), ("mine-7", "mine-8"))
        await self.until(lambda: "POST /v1/embeddings {mine-7} {req_42}" in self.balancer.output)
        self.assertRegex(self.balancer.output, r" passthrough proxy\d \S+ 200 \d+ -- 0 POST ")


class FailureTests(HAProxyTestCase):
    async def test_a_machine_that_is_killed_takes_only_its_own_streams_with_it(self) -> None:
        await self.begin()
        streams = await self.streams(60)
        load = Load(self)
        load.start(8)
        await load.more(100)
        killed = self.machines[FIRST]
        await load.breaking(partial(killed.stop, signal.SIGKILL))
        # of those that the balancer sends to the dead machine at first none is lost, and of later ones neither
        await load.more(300)
        mine = [stream for stream in streams if stream.machine == FIRST]
        others = [stream for stream in streams if stream.machine == SECOND]
        self.assertEqual((len(mine), len(others)), (30, 30))
        for stream in mine:
            await stream.client.closed
        for stream in others:
            stream.finish()
            await stream.client.until(END)
        self.assertEqual(Counter(stream.outcome for stream in mine), {"cut": 30})
        self.assertEqual(Counter(stream.outcome for stream in others), {"whole": 30})
        # new streams go elsewhere
        self.assertEqual({stream.machine for stream in await self.streams(4)}, {SECOND})
        await self.known(SECOND)
        await self.machine(FIRST)
        await self.known(FIRST, SECOND)
        await self.used(FIRST)
        await load.more(100)
        await load.stop()
        self.assertEqual(load.failed, [])
        lost = {outcome: count for outcome, count in load.outcomes.items() if outcome != "answered"}
        # nothing was sent again that a machine had seen
        asked = sum("/embeddings" in request.line for request in self.scripted.requests)
        self.assertLessEqual(asked, load.outcomes.total())
        # at most those that ran at that moment; each was told, on a kept connection by its end (RFC 9112 section 9.3.1)
        self.assertLessEqual(sum(lost.values()), 16)
        self.assertLessEqual(set(lost), {"lost: 502", "lost: nothing"})

    async def test_nothing_fails_when_a_machine_drains(self) -> None:
        await self.begin("--drain-delay=2")
        streams = await self.streams(20)
        load = Load(self)
        load.start(8)
        await load.more(100)
        leaving = self.machines[FIRST]
        os.kill(leaving.pid, signal.SIGTERM)
        # the balancer has seen what the health check says, and the ports are open still
        await self.known(SECOND)
        self.assertNotIn("Closed)", leaving.output)
        self.assertEqual({stream.machine for stream in await self.streams(4)}, {SECOND})
        await load.more(100)
        for stream in streams:
            stream.finish()
            await stream.client.until(END)
        self.assertEqual(Counter(stream.outcome for stream in streams), {"whole": 20})
        self.assertEqual(await deferToThread(leaving.wait), 0, leaving.output)
        await self.machine(FIRST, "--drain-delay=2")
        await self.known(FIRST, SECOND)
        await load.more(100)
        await load.stop()
        self.assertEqual((load.failed, set(load.outcomes)), ([], {"answered"}))

    async def test_without_any_machine_clients_are_told_in_the_api_s_words(self) -> None:
        await self.balance()
        status, head, body = await self.ask(self.bridge, "POST", "/v1/chat/completions", chat())
        self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "no_proxy"))
        self.assertIn(b"retry-after: 1", head.lower())
        self.assertIn(b"content-type: application/json", head.lower())


class ConfigurationTests(SynchronousTestCase):
    """What cannot be waited for."""

    def setUp(self) -> None:
        self.lines = [line.split("#")[0].split() for line in CONFIGURATION.read_text().splitlines()]

    def seconds(self, name: str) -> float:
        (text,) = [line[2] for line in self.lines if line[:2] == ["timeout", name]]
        number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
        return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]

    def test_the_proxy_speaks_before_the_balancer_gives_up(self) -> None:
        longest = max(Timeouts().first_byte, Timeouts().idle)
        for name in ("client", "server"):
            self.assertGreater(self.seconds(name), longest + ServiceSettings().drain)

    def test_only_what_was_never_sent_is_sent_again(self) -> None:
        self.assertIn(["retry-on", "conn-failure"], self.lines)
        self.assertIn(["option", "redispatch", "1"], self.lines)

    def test_nobody_reaches_statistics_or_the_administrator_s_socket_from_elsewhere(self) -> None:
        (socket,) = [line for line in self.lines if line[:1] == ["stats"]]
        self.assertEqual(socket[3:], ["mode", "600", "level", "admin"])
        self.assertTrue(socket[2].startswith('"${BALANCER_SOCKET-/'))
