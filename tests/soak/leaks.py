"""Nothing is left behind: exchanges at which both sides do wrong at random, and what there is of everything after them.

``python -m tests.soak.leaks [EXCHANGES]`` makes 10,000 of them in one process, with the proxy, its upstream and its
clients in it, and prints what was there before and what is there afterwards; the exit status is 1 where something is
left.  ``OAIPROXY_TEST_SOAK_LEAKS`` says how many where the command line does not.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater, react
from twisted.internet.tcp import Connection
from twisted.logger import ILogObserver, globalLogBeginner
from zope.interface import provider

from oaiproxy.api.request import PortKind
from oaiproxy.models import Catalogue
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.reasoning_default import reasoning_default
from oaiproxy.relay import Retry, UpstreamClient
from oaiproxy.settings import Concurrency, Settings, Timeouts, ToolSettings
from oaiproxy.tools import ToolBox
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext, ProxySite, resource_tree
from oaiproxy.web.accesslog import WINDOW
from tests.soak.faulty import CLIENT, HANDSHAKE, QUESTIONS, UPSTREAM, Client, FaultyUpstream, Nap, Nobody

reactor: Any = global_reactor

#: So short that stalls are noticed within a test.
SETTINGS = Settings(
    timeouts=Timeouts(connect=2.0, first_byte=0.3, idle=0.3),
    keepalive=0.05,
    concurrency=Concurrency(client=10**6),
    tools=ToolSettings(enabled=True, seconds=0.1),
)

#: What the proxy makes for an exchange; none of them may be there after the last.
MADE = frozenset(
    (
        "ApiRequest",
        "BytesBody",
        "ClientBody",
        "Connection",
        "Deadline",
        "Downstream",
        "Exchange",
        "ExchangeLog",
        "Incoming",
        "Keepalive",
        "ProxyChannel",
        "ProxyRequest",
        "StreamedBody",
        "StreamedUpload",
        "ToolRounds",
        "TranslatedAnswer",
        "Upload",
        "UpstreamAnswer",
        "UpstreamBodies",
        "UpstreamBody",
    )
)


@dataclass(frozen=True)
class Left:
    """What there is of everything.

    @ivar files: open file descriptors.
    @ivar calls: the calls that are due later, by what is called.
    @ivar sockets: what the reactor watches, by class.
    @ivar exchanges: running exchanges, those of clients that are counted, and open connections of the ports.
    @ivar made: the objects of `MADE`, and Deferreds, by class.
    @ivar kilobytes: resident memory.
    """

    files: int
    calls: Counter[str]
    sockets: Counter[str]
    exchanges: int
    made: Counter[str]
    kilobytes: int


class Rig:
    """The proxy, its upstream and its clients, all in this process.

    @ivar ended: how many exchanges were made, by what the upstream did and by what the client did.
    """

    def __init__(self, seed: int = 1) -> None:
        self.ended: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._upstream = FaultyUpstream()
        self._listening = [reactor.listenTCP(0, self._upstream, interface="127.0.0.1")]
        alive: int = self._listening[0].getHost().port
        closed = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        dead: int = closed.getHost().port
        self._closing: Deferred[None] = closed.stopListening()
        self._contexts: list[PortContext] = []
        self._sites: list[ProxySite] = []
        self._ports = {
            "passthrough": self._port(PortKind.PASSTHROUGH, alive),
            "bridge": self._port(PortKind.BRIDGE, alive),
            "nowhere": self._port(PortKind.PASSTHROUGH, dead),
        }

    def _port(self, kind: PortKind, upstream: int) -> int:
        context = PortContext(
            kind=kind,
            settings=SETTINGS,
            models=Catalogue.builtin(),
            pipeline=Pipeline((model_alias, reasoning_default)),
            upstream=UpstreamClient(
                reactor, f"http://127.0.0.1:{upstream}/v1", SETTINGS.timeouts, Retry(1, random=lambda: 0.0)
            ),
            clock=reactor,
            observers=(Nobody(),) if kind is PortKind.BRIDGE else (),
            tools=ToolBox((Nap(),)),
        )
        site = ProxySite(resource_tree(context), kind.value)
        site.noisy = False
        listening = reactor.listenTCP(0, site, interface="127.0.0.1", backlog=1024)
        self._contexts.append(context)
        self._sites.append(site)
        self._listening.append(listening)
        number: int = listening.getHost().port
        return number

    # exchanges

    async def run(self, count: int, at_once: int = 50) -> None:
        """Make some exchanges.

        @raise AssertionError: one did not end.
        """
        await self._closing
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                await self._one()
                # what they hold is not the proxy's
                self._upstream.requests.clear()
                self._upstream.connections.clear()

        done = await DeferredList([Deferred.fromCoroutine(worker()) for _ in range(at_once)], consumeErrors=True)
        result: Any
        for succeeded, result in done:
            if not succeeded:
                result.raiseException()

    async def _one(self) -> None:
        draw = self._random
        port, path, body = draw.choice(QUESTIONS)
        upstream, leaving = draw.choice(UPSTREAM), draw.choice(CLIENT)
        target = f"{path}?do={upstream}.{draw.randrange(1001)}"
        wait = draw.choice((0.0, 0.0, 0.001, 0.01, 0.05))
        client = Client()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self._ports[port]), client)
        if path == "/v1/socket":
            head = f"GET {target} HTTP/1.1\r\nHost: x\r\n{HANDSHAKE}"
        else:
            fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
            head = f"POST {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"
        last = head + "Connection: close\r\n\r\n"
        if leaving == "half":
            sent = last.encode() + body
            client.transport.write(sent[: draw.randrange(len(sent))])
        elif leaving == "pipeline":
            client.transport.write((head + "\r\n").encode() + body + last.encode() + body)
        else:
            client.transport.write(last.encode() + body)
        if leaving in ("first", "pause"):
            await client.began
            if leaving == "pause":
                client.transport.pauseProducing()
        if leaving not in ("stay", "pipeline") and not client.ended.called:
            await deferLater(reactor, wait)
            if client.ended.called:
                pass
            elif leaving == "leave":
                client.transport.loseConnection()
            elif leaving == "stop":
                # not another word, but what comes is read: some proxies take that for leaving
                client.transport.loseWriteConnection()
            else:
                client.transport.abortConnection()
        try:
            await client.ended.addTimeout(20, reactor)
        except Exception as e:
            client.transport.abortConnection()
            raise AssertionError(f"{target} on {port}, {leaving}: did not end: {e!r}") from None
        self.ended[f"upstream: {upstream}"] += 1
        self.ended[f"client: {leaving}"] += 1

    # what is left

    async def left(self) -> Left:
        """What there is, when all has had time to end, and without the connections that are kept for reuse."""
        until = time.monotonic() + 15
        while (self._busy() or self._connections()) and time.monotonic() < until:
            await deferLater(reactor, 0.02)
            for context in self._contexts:
                await context.upstream.close()
        # what the reactor and this coroutine hold of the last exchange, and its line for the access log
        await deferLater(reactor, 0.1 + WINDOW)
        gc.collect()
        return self._now()

    @staticmethod
    def _connections() -> int:
        """How many ends of TCP connections there are."""
        return sum(isinstance(socket, Connection) for socket in {*reactor.getReaders(), *reactor.getWriters()})

    def _busy(self) -> int:
        return sum(len(context.exchanges) for context in self._contexts) + sum(
            len(site.connections) for site in self._sites
        )

    def _now(self) -> Left:
        calls = [getattr(call.func, "__qualname__", repr(call.func)) for call in reactor.getDelayedCalls()]
        sockets = [type(socket).__name__ for socket in (*reactor.getReaders(), *reactor.getWriters())]
        names = Counter(type(thing).__name__ for thing in gc.get_objects())
        return Left(
            files=len(os.listdir("/proc/self/fd")),
            calls=Counter(calls),
            sockets=Counter(sockets),
            exchanges=self._busy() + sum(len(context.exchanges.clients) for context in self._contexts),
            made=Counter({name: count for name, count in names.items() if name in MADE or name == "Deferred"}),
            kilobytes=_resident(),
        )

    async def close(self) -> None:
        """Stop to listen."""
        for listening in self._listening:
            await listening.stopListening()
        for context in self._contexts:
            await context.upstream.close()


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def differences(before: Left, after: Left) -> list[str]:
    """What there is more of than before, memory aside."""
    found = []
    for what in ("files", "exchanges"):
        if getattr(after, what) > getattr(before, what):
            found.append(f"{what}: {getattr(before, what)} -> {getattr(after, what)}")
    for what in ("calls", "sockets", "made"):
        more = getattr(after, what) - getattr(before, what)
        found += [f"{what}: {count} more of {name}" for name, count in more.items()]
    return found


async def _main(count: int) -> int:
    errors: list[str] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        if "log_failure" in event:
            errors.append(event["log_failure"].getTraceback())

    # until logging begins, Twisted keeps what was logged, and whoever said it
    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False)
    rig = Rig()
    await rig.run(max(count // 10, 200))
    before = await rig.left()
    rig.ended.clear()
    began = time.monotonic()
    await rig.run(count)
    seconds = time.monotonic() - began
    after = await rig.left()
    await rig.close()
    found = differences(before, after) + errors
    if after.kilobytes - before.kilobytes > max(count, 10_000):
        # it goes up and down by some megabytes
        found.append(f"memory: {before.kilobytes} -> {after.kilobytes} kB")
    kinds = ", ".join(f"{how} {number}" for how, number in sorted(rig.ended.items()))
    print(f"{count} exchanges in {seconds:.0f} s: {kinds}")
    for name, left in (("before", before), ("after", after)):
        deferreds = left.made["Deferred"]
        made = sum(left.made.values()) - deferreds
        print(
            f"{name:6}: {left.files} open files, {sum(left.sockets.values())} sockets, {sum(left.calls.values())} "
            f"calls due, {left.exchanges} exchanges, {made} objects of exchanges, {deferreds} Deferreds, "
            f"{left.kilobytes} kB"
        )
    print(f"errors logged: {len(errors)}")
    for line in found:
        print("left behind:", line)
    return 1 if found else 0


def main(arguments: Sequence[str] = ()) -> int:
    """Make the exchanges, and tell what they leave behind.

    @return: the exit status.
    """
    said = arguments[0] if arguments else os.environ.get("OAIPROXY_TEST_SOAK_LEAKS") or "10000"
    status = 1

    def run(_: object) -> Deferred[None]:
        async def work() -> None:
            nonlocal status
            status = await _main(int(said))

        coroutine: Coroutine[Any, Any, None] = work()
        return Deferred.fromCoroutine(coroutine)

    try:
        react(run)
    except SystemExit as e:
        status = status or int(e.code or 0)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
