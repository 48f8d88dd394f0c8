"""Who asks: many connections, each with one request after the other.

A process of its own, so that it can be kept on a processor: ``python -m benchmarks.driver`` reads plans (`Plan` as
JSON), one a line, does what they say, and prints what it found (`Found`) as one line each.  Connections are kept
from a plan to the next for the same port, so that none of them pays for making them.  It does not look into answers
but for the number of their events; `tests.soak.load` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.soak.upstream import model


@dataclass
class Plan:
    """What to ask.

    @ivar port: where.
    @ivar path: of what.
    @ivar connections: how many at a time.
    @ivar seconds: for how long new requests are made.
    @ivar most: and how many at the most, all told; 0: any number.
    @ivar stream: whether for streams.
    @ivar chunks: pieces of text in a stream.
    @ivar together: whether the upstream writes all of a stream at once.
    @ivar body: about how many bytes a request's body has.
    """

    port: int
    path: str = "/v1/chat/completions"
    connections: int = 16
    seconds: float = 2.0
    most: int = 0
    stream: bool = False
    chunks: int = 200
    together: bool = False
    body: int = 1000


@dataclass
class Found:
    """What came of it.

    @ivar requests: how many were answered.
    @ivar events: how many events their streams had.
    @ivar wrong: what must never be, some examples.
    @ivar first: seconds to the first event of a stream, p50.
    @ivar took: seconds to the whole answer: p50, p99.
    @ivar seconds: how long it all took.
    """

    requests: int = 0
    events: int = 0
    wrong: list[str] = field(default_factory=list)
    first: float = 0.0
    took: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0


def request(plan: Plan) -> bytes:
    """The bytes of the request that a plan wants."""
    message: dict[str, Any] = {"role": "user", "content": ""}
    name = model(chunks=plan.chunks, together=1) if plan.together else model(chunks=plan.chunks)
    body: dict[str, Any] = {"model": name, "stream": plan.stream, "messages": [message]}
    bare = len(json.dumps(body))
    message["content"] = ("Say something. " * (plan.body // 15 + 1))[: max(1, plan.body - bare)]
    data = json.dumps(body).encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json\r\nUser-Agent: benchmark\r\n"
        b"Authorization: Bearer sk-benchmark\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (plan.path.encode(), plan.port, len(data), data)
    )


class Work:
    """One plan being done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.request = request(plan)
        self.found = Found()
        self.begun = 0
        self.until = 0.0
        self.firsts: list[float] = []
        self.times: list[float] = []

    def more(self) -> bool:
        """Whether one more request is to be made; it counts as begun."""
        if time.perf_counter() >= self.until or (self.plan.most and self.begun >= self.plan.most):
            return False
        self.begun += 1
        return True

    def wrong(self, what: str) -> None:
        """Keep it."""
        if len(self.found.wrong) < 5:
            self.found.wrong.append(what)

    def result(self, seconds: float) -> Found:
        """All of it."""
        self.found.seconds = seconds
        self.firsts.sort()
        self.times.sort()
        if self.firsts:
            self.found.first = self.firsts[len(self.firsts) // 2]
        if self.times:
            self.found.took = self.times[len(self.times) // 2], self.times[len(self.times) * 99 // 100]
        return self.found


class Connection(asyncio.Protocol):
    """One connection; asks until the plan is done."""

    def connection_made(self, transport: Any) -> None:
        """It stands."""
        self.transport = transport
        self.usable = True
        self._work: Work | None = None
        self._done: asyncio.Future[None] | None = None

    def ask(self, work: Work) -> asyncio.Future[None]:
        """Ask again and again until the plan has enough; fires then, or when the connection has ended."""
        self._work, self._done = work, asyncio.get_running_loop().create_future()
        self._next(work)
        return self._done

    def _next(self, work: Work) -> None:
        if not self.usable or not work.more():
            self._finish()
            return
        self._head = b""
        self._in_body = False
        self._left = 0
        self._chunked = False
        self._tail = b""
        self._events = 0
        self._began = time.perf_counter()
        self.transport.write(work.request)

    def _finish(self) -> None:
        self._work = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Something of the answer."""
        work = self._work
        if work is None:
            return
        if not self._in_body:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._read_head(work, head)
        if self._chunked:
            if not self._tail and data:
                work.firsts.append(time.perf_counter() - self._began)
            seen = self._tail + data
            self._events += seen.count(b"data: ")
            # shorter than what is counted, so that nothing is counted twice
            self._tail = seen[-5:]
            if seen.endswith(b"\r\n0\r\n\r\n"):
                self._answered(work)
        else:
            self._left -= len(data)
            if self._left <= 0:
                self._answered(work)

    def _read_head(self, work: Work, head: bytes) -> None:
        self._in_body = True
        lower = head.lower()
        if lower[9:12] != b"200":
            work.wrong(head[:200].decode("latin-1"))
        self.usable = b"\r\nconnection: close" not in lower
        at = lower.find(b"\r\ncontent-length:")
        self._chunked = at < 0
        if at >= 0:
            self._left = int(lower[at + 17 :].split(b"\r\n", 1)[0])

    def _answered(self, work: Work) -> None:
        now = time.perf_counter()
        work.times.append(now - self._began)
        work.found.requests += 1
        work.found.events += self._events
        if work.plan.stream and self._events < work.plan.chunks:
            work.wrong(f"{self._events} events where there are {work.plan.chunks} pieces")
        self._next(work)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It ended: a plan that is under way goes on with the others."""
        self.usable = False
        if self._work is not None:
            self._work.wrong(f"a connection ended in the middle: {exc!r}")
        self._finish()


class Driver:
    """The connections, by port."""

    def __init__(self, make: Callable[[], Connection] = Connection) -> None:
        """@param make: makes a connection."""
        self._make = make
        self._kept: dict[int, list[Connection]] = {}

    async def _connections(self, port: int, count: int) -> list[Connection]:
        kept = [each for each in self._kept.get(port, []) if each.usable]
        loop = asyncio.get_running_loop()
        while len(kept) < count:
            kept.append((await loop.create_connection(self._make, "127.0.0.1", port))[1])
        self._kept[port] = kept
        return kept[:count]

    async def do(self, plan: Plan) -> Found:
        """What a plan says."""
        connections = await self._connections(plan.port, plan.connections)
        work = Work(plan)
        began = time.perf_counter()
        work.until = began + plan.seconds
        waiting = [each.ask(work) for each in connections]
        while waiting:
            await asyncio.wait(waiting)
            # one that the other side closes between two requests, as it may, is replaced
            again = sum(not each.usable for each in connections)
            if not again or time.perf_counter() >= work.until or work.found.wrong:
                break
            connections = await self._connections(plan.port, plan.connections)
            waiting = [each.ask(work) for each in connections]
        return work.result(time.perf_counter() - began)


async def serve_plans(driver: Driver) -> None:
    """Do what the plans on the standard input say, until it ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await driver.do(Plan(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve_plans(Driver()))
    else:
        # only to be quick
        uvloop.run(serve_plans(Driver()))
