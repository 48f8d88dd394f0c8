"""A client for load: it checks the number of each piece of text and how each answer ends.

A process of its own: it reads a plan (`Plan` as JSON) from its standard input and prints what it found (`Found`).
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.soak.upstream import FAULTS, model

#: The number of a piece, and when it was written.
_PIECE = re.compile(rb"<(\d+):(\d+)>")

_FINISH = re.compile(rb'"finish_reason":\s*"')

#: What clients do in the phase with faults, beside reading on: leave, reset, and take a break from reading.
_LEAVING = ("", "", "", "", "leave", "reset", "break")


@dataclass
class Plan:
    """What to ask.

    @ivar port: where.
    @ivar kind: ``streams`` (each once), ``rate`` (again and again on kept connections) or ``faults``.
    @ivar concurrent: how many at a time.
    @ivar seconds: for how long new requests are made.
    @ivar chunks: pieces of text a stream.
    @ivar every: seconds between two of them.
    @ivar ramp: over how many seconds the streams begin.
    @ivar stream: whether streams are asked for in ``rate``.
    @ivar seed: of what is drawn by lot.
    """

    port: int
    kind: str = "streams"
    concurrent: int = 10
    seconds: float = 10.0
    chunks: int = 10
    every: float = 0.0
    ramp: float = 0.0
    stream: bool = True
    seed: int = 1


@dataclass
class Found:
    """What came of it.

    @ivar exchanges: how many were begun.
    @ivar whole: how many answers came whole.
    @ivar ended: how those ended that had a fault made in them, by the fault.
    @ivar chunks: pieces of text, all told.
    @ivar wrong: what must never be, each with an example.
    @ivar delay: seconds from an upstream's writing of a piece to its being read, at percentiles.
    @ivar took: seconds from a request to its whole answer, at percentiles.
    @ivar seconds: how long it all took.
    """

    exchanges: int = 0
    whole: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    chunks: int = 0
    wrong: list[str] = field(default_factory=list)
    delay: dict[str, float] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


class Answers:
    """Gathers what is found.  Delays are kept of the first millions only."""

    most = 4_000_000

    def __init__(self) -> None:
        self.found = Found()
        self.delays = array("f")
        self.times = array("f")
        self.ended: Counter[str] = Counter()

    def wrong(self, what: str) -> None:
        if len(self.found.wrong) < 20:
            self.found.wrong.append(what)

    def result(self, seconds: float) -> Found:
        """All of it."""
        found = self.found
        found.seconds = seconds
        found.ended = dict(sorted(self.ended.items()))
        found.delay, found.took = percentiles(self.delays), percentiles(self.times)
        return found


def percentiles(values: array[float]) -> dict[str, float]:
    """The median and the worst few."""
    order = sorted(values)
    if not order:
        return {}
    return {
        "p50": order[len(order) // 2],
        "p99": order[min(len(order) - 1, len(order) * 99 // 100)],
        "max": order[-1],
    }


class Client(asyncio.Protocol):
    """One connection; asks one request at a time, and checks its answer."""

    def __init__(self, answers: Answers, done: Callable[[Client], None]) -> None:
        self._answers = answers
        self._done = done
        self._fault = ""
        self._leaves = ("", 0)
        self._over = True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body: dict[str, Any], fault: str = "", leaves: tuple[str, int] = ("", 0), chunks: int = 0) -> None:
        """Send a request.

        @param fault: what the upstream will do wrong.
        @param leaves: what the client does itself, and after how many pieces of text.
        @param chunks: how many pieces a whole answer has.
        """
        self._fault, self._leaves, self._chunks = fault, leaves, chunks
        self._stream = bool(body["stream"])
        self._status, self._head, self._body = 0, b"", b""
        self._left: int | None = None  # what is missing of the current chunk, its line end too; -1: the size line
        self._next = 0
        self._finished = self._said_done = self._over = False
        self._began = time.monotonic()
        self._answers.found.exchanges += 1
        data = json.dumps(body).encode()
        self.transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
        )

    def data_received(self, data: bytes) -> None:
        if self._over:
            self._answers.wrong(f"more after the end of an answer: {data[:80]!r}")
            return
        if self._status == 0:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = head.lower()
            self._status = int(head[9:12])
            at = self._head.find(b"content-length:")
            self._length = int(self._head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
            self._raw = b""
        if self._length >= 0:
            self._body += data
            if len(self._body) >= self._length:
                self._end()
            return
        self._raw += data
        self._unchunk()

    def _unchunk(self) -> None:
        raw, at, pieces = self._raw, 0, []
        while True:
            end = raw.find(b"\r\n", at)
            if end < 0:
                break
            size = int(raw[at:end], 16)
            if len(raw) < end + 4 + size:
                break
            pieces.append(raw[end + 2 : end + 2 + size])
            at = end + 4 + size
            if size == 0:
                self._raw = b""
                self._text(b"".join(pieces))
                if not self._over:
                    self._end()
                return
        self._raw = raw[at:]
        if pieces:
            self._text(b"".join(pieces))

    def _text(self, data: bytes) -> None:
        answers, body, last = self._answers, self._body + data, 0
        now = time.monotonic_ns()
        for match in _PIECE.finditer(body):
            last = match.end()
            number = int(match[1])
            if number != self._next:
                answers.wrong(f"piece {number} came where {self._next} was due")
            self._next = number + 1
            answers.found.chunks += 1
            if len(answers.delays) < answers.most:
                answers.delays.append((now - int(match[2])) / 1e9)
        self._finished = self._finished or _FINISH.search(body, last) is not None
        self._said_done = self._said_done or b"[DONE]" in body
        self._body = body[last:][-400:]
        how, at = self._leaves
        if how and self._next >= at:
            self._leave(how)

    def _leave(self, how: str) -> None:
        self._leaves = ("", 0)
        if how == "break":
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(1.0, self._read_on)
            return
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._over = True
        self._answers.ended["the client: " + how] += 1
        self.transport.abort()
        self._done(self)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _end(self) -> None:
        """A whole HTTP answer."""
        self._over = True
        answers = self._answers
        if self._fault:
            # only an error may come whole
            if self._status < 400 and b'"error"' not in self._body:
                answers.wrong(f"fault {self._fault}: status {self._status} and a clean end, {self._body[-200:]!r}")
            self._check_cut()
        elif self._status != 200:
            answers.wrong(f"status {self._status}: {self._body[:200]!r}")
        elif self._stream and not (self._said_done and self._finished and self._next == self._chunks):
            answers.wrong(f"a clean end after {self._next} of {self._chunks} pieces")
        else:
            answers.found.whole += 1
            answers.times.append(time.monotonic() - self._began)
        self._done(self)

    def _check_cut(self) -> None:
        self._answers.ended["upstream: " + self._fault] += 1
        if self._said_done or self._finished:
            self._answers.wrong(f"fault {self._fault}: the client was told that the answer is whole")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._over:
            return
        self._over = True
        if self._fault:
            self._check_cut()
        else:
            self._answers.wrong(f"cut off after {self._next} of {self._chunks} pieces, status {self._status}")
        self._done(self)


def _request(plan: Plan, **settings: object) -> dict[str, Any]:
    name = model(chunks=plan.chunks, every=plan.every, **settings)
    return {"model": name, "messages": [{"role": "user", "content": "Go."}], "stream": plan.stream}


async def run(plan: Plan) -> Found:
    """Do what a plan says."""
    loop = asyncio.get_running_loop()
    answers, began = Answers(), time.monotonic()
    chance = random.Random(plan.seed)
    until = began + plan.seconds

    async def one(number: int) -> None:
        await asyncio.sleep(plan.ramp * number / plan.concurrent)
        ended: asyncio.Event = asyncio.Event()

        async def connect() -> Client:
            _, client = await loop.create_connection(
                lambda: Client(answers, lambda client: ended.set()), "127.0.0.1", plan.port
            )
            return client

        client = await connect()
        while True:
            fault, leaves, at = "", "", 0
            if plan.kind == "faults":
                fault = chance.choice(("", "", *FAULTS))
                at = chance.randrange(plan.chunks)
                leaves = chance.choice(_LEAVING)
            settings = {"fault": fault, "at": at} if fault else {}
            ended.clear()
            if client.transport.is_closing():
                client = await connect()
            client.ask(_request(plan, **settings), fault, (leaves, chance.randrange(1, plan.chunks + 1)), plan.chunks)
            await ended.wait()
            if plan.kind == "streams" or time.monotonic() >= until:
                break
        client.transport.close()

    await asyncio.gather(*(one(number) for number in range(plan.concurrent)))
    return answers.result(time.monotonic() - began)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Plan(**json.load(sys.stdin)))))))
