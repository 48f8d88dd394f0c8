"""What limits by the minute cost, and how far from exact they are over several machines."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred

from benchmarks.contenders import Contender, Started
from benchmarks.cost import CHUNKS, costs
from benchmarks.table import best, table
from oaiproxy.rates import Account, UsageTail
from oaiproxy.rates.account import KEPT
from oaiproxy.store import MemoryStore
from tests.hammering import busiest, exact, hammer, let_in
from tests.process import Service, twistd
from tests.redisserver import RedisServer

#: What both limits are where none is to be reached.
_PLENTY = "2000000000"
_REQUESTS, _TOKENS = ("--requests-per-minute", _PLENTY), ("--tokens-per-minute", _PLENTY)

_STORE_KEY = "0123456789abcdef" * 4

_ROUNDS = 5

#: How machines are asked: how many there are, requests a minute that may pass, and requests a second that come.
_ASKED = ((1, 600, 30.0), (2, 600, 30.0), (2, 60, 3.0), (4, 600, 30.0))
#: Long enough for three minutes to begin, and ended in the middle of what the third lets in.
_SECONDS = 130.0


def _work(requests: int, tokens: int, gap: float, count: int = 2000) -> float:
    """Microseconds for the counting of a request, with a store in this process.

    @param gap: seconds between one request and the next.
    """

    def run() -> None:
        now = 1_795_000_000.0
        store, account = MemoryStore(lambda: now), Account(b"x" * 16, requests, tokens)
        for _ in range(count):
            now += gap
            trip = account.trip(now)
            account.judge(trip, _now(store.add(trip.amounts, KEPT)), now)
            account.standings(now)
            if tokens:
                paid = account.charge(now, 100)
                account.charged(paid, _now(store.add(paid.amounts, KEPT)))

    return 1e6 * best(run) / count


def _now(found: Deferred[list[int]]) -> list[int]:
    counts: list[list[int]] = []
    found.addCallback(counts.append)
    return counts[0]


def _tail(stream: bool) -> float:
    """Microseconds for looking at the pieces of an answer and at its end."""
    usage = b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'
    piece = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
    last = b'data: {"choices":[],%b}\n\ndata: [DONE]\n\n' % usage
    pieces = [*[piece] * CHUNKS, last] if stream else [b'{"choices":[{"message":{"content":"Hello"}}],%b}' % usage]

    def run() -> None:
        for _ in range(100):
            tail = UsageTail(stream)
            for each in pieces:
                tail.feed(each)
            assert tail.tokens() == 2

    return 1e4 * best(run)


def _contender(kind: str, name: str, title: str, *options: str) -> Contender:
    def command(port: int, upstream: int, folder: Path) -> Started:
        other = {"passthrough": "--bridge", "bridge": "--passthrough"}[kind]
        target = ("--upstream", f"http://127.0.0.1:{upstream}/v1")
        return Started(
            twistd(f"--{kind}", str(port), other, "0", *target, *options), {"OAIPROXY_STORE_KEY": _STORE_KEY}
        )

    return Contender(f"{kind} {name}", f"{kind}, {title}", (), command)


def cost() -> str:
    """Processor time for a request, without limits, with them, and with the counts in Redis."""
    redis = RedisServer()
    try:
        store = ("--store", redis.url)
        ways: Sequence[tuple[str, str, tuple[str, ...]]] = (
            ("none", "no limit", ()),
            ("requests", "requests", _REQUESTS),
            ("both", "requests and tokens", (*_REQUESTS, *_TOKENS)),
            ("redis", "requests and tokens, Redis", (*_REQUESTS, *_TOKENS, *store)),
        )
        kinds = ("passthrough", "bridge")
        contenders = [_contender(kind, name, title, *options) for kind in kinds for name, title, options in ways]
        figures = costs(contenders, _ROUNDS, 1.0)
    finally:
        redis.stop(signal.SIGKILL)
    rows = []
    for each in contenders:
        plain = f"{each.name.split(' ')[0]} none"
        cells = []
        for what in ("request", "stream"):
            found, ratio = figures.figure(each.name, what), figures.ratio((each.name, what), (plain, what))
            cells += ["" if found is None else found.shown(",.0f"), "" if ratio is None else f"{ratio.median:.2f}"]
        rows.append((each.title, *cells))
    heads = ("", "a request", "ratio", f"a stream of {CHUNKS} chunks", "ratio")
    return table(f"Limits: processor time in µs, median of {_ROUNDS} (least to most)", heads, rows)


def parts() -> str:
    """What is done for a request, in this process."""
    rows: list[tuple[str, Callable[[], float]]] = [
        ("requests counted, many in a second", lambda: _work(1000, 0, 0.001)),
        ("requests and tokens counted, many in a second", lambda: _work(1000, 10**9, 0.001)),
        ("requests and tokens counted, one in 10 s", lambda: _work(1000, 10**9, 10.0)),
        ("requests and tokens counted, one in 2 minutes", lambda: _work(1000, 10**9, 120.0)),
        ("the usage of an object", lambda: _tail(False)),
        (f"the usage of a stream of {CHUNKS} chunks", lambda: _tail(True)),
    ]
    return table("Limits: the parts", ("", "µs"), [(name, f"{work():.1f}") for name, work in rows])


def accuracy() -> str:
    """How many requests machines with one Redis let in, beside one that knows each moment."""
    rows = []
    for machines, limit, rate in _ASKED:
        redis = RedisServer()
        services = []
        try:
            for _ in range(machines):
                services.append(
                    Service(
                        "--upstream=demo",
                        "--auth=replace",
                        f"--store={redis.url}",
                        f"--requests-per-minute={limit}",
                        OAIPROXY_STORE_KEY=_STORE_KEY,
                        OPENAI_API_KEY="sk-x",
                        PROXY_API_KEYS="a-key",
                    )
                )
            # what comes before a service has its connection it counts by itself
            time.sleep(1)
            hits = hammer([each.passthrough for each in services], "a-key", _SECONDS, rate, seed=machines)
        finally:
            for service in services:
                service.stop()
            redis.stop(signal.SIGKILL)
        found, ideal = let_in(hits), exact(hits, limit)
        rows.append(
            (
                f"{machines} machine{'s' * (machines > 1)}, {limit} a minute",
                f"{len(hits):,}",
                f"{len(found):,}",
                f"{ideal:,}",
                f"{100 * (len(found) / ideal - 1):+.1f} %",
                f"{busiest(found):,}",
                f"{sum('by itself' in service.output for service in services)}",
            )
        )
    heads = (
        "",
        "asked",
        "let in",
        "an exact one lets in",
        "difference",
        "in the busiest 60 s",
        "machines without the store at times",
    )
    return table(f"Limits: requests in {_SECONDS:g} s", heads, rows)


def ratelimits() -> str:
    """What limits by the minute cost, and how far from exact they are over several machines."""
    return "\n\n".join((parts(), cost(), accuracy()))
