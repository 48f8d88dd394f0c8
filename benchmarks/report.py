"""All of it in one run, and the page that holds it."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks import cost, delays, idle, sizes, starts, workers
from benchmarks.contenders import Contender, versions
from benchmarks.figures import Figure, Figures
from benchmarks.filters import filters, translators
from benchmarks.goals import GOALS
from benchmarks.session import Session, session
from benchmarks.sizes import BODIES, STREAMS
from benchmarks.table import table
from tests.soak.rig import most_files

_OURS = ("passthrough", "bridge")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    @ivar times: how many rounds.
    @ivar seconds: how long each contender is asked for one figure of a round.
    @ivar held: how many streams are held at the same time, and for how many seconds.
    @ivar idle: how many idle streams are opened.
    @ivar streams: the pieces of streams that show how cost grows.
    @ivar bodies: the sizes of bodies that do.
    """

    times: int = 5
    seconds: float = 1.0
    held: tuple[int, float] = (1000, 5.0)
    idle: int = 10_000
    streams: tuple[int, ...] = STREAMS
    bodies: tuple[int, ...] = BODIES


#: What does not take long, and says less.
QUICK = Size(times=1, seconds=0.5, held=(1000, 2.0), idle=1000)


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", file=sys.stderr, flush=True)


def measure(contenders: Sequence[Contender], size: Size) -> Figures:
    """Everything there is to know of contenders."""
    streams = idle.as_many_as(size.idle, most_files())
    with session(contenders) as measuring:
        for turn in range(1, size.times + 1):
            _say(f"round {turn} of {size.times}: cost")
            cost.measure(measuring, size.seconds)
            _say("delays")
            _delay(measuring, size)
        figures = measuring.figures
    # nobody but who is measured runs from here on
    with session(()) as measuring:
        measuring.figures = figures
        for each in contenders:
            _say(f"{each.title}: start, memory, growth")
            try:
                _alone(measuring, each, size, streams)
            except AssertionError as error:
                # what was found so far took long: it is told, and what is missing is said to be
                _say(f"{each.title} is not measured any further: {error}")
        if workers.has_workers() and "bridge" in {each.name for each in contenders}:
            _say("workers")
            workers.workers(measuring, size.times, 2 * size.seconds)
    return figures


def _delay(measuring: Session, size: Size) -> None:
    delays.answers(measuring, size.seconds)
    delays.paced(measuring)
    delays.held(measuring, *size.held)


def delay(contenders: Sequence[Contender], size: Size) -> str:
    """Only what is added to the time of answers; the tables."""
    most_files()
    with session(contenders) as measuring:
        for _ in range(size.times):
            _delay(measuring, size)
        figures = measuring.figures
    return "\n\n".join((time_table(figures, contenders), room_table(figures, contenders)))


def _alone(measuring: Session, each: Contender, size: Size, streams: int) -> None:
    ours = each.name in _OURS
    for _ in range(size.times if not each.slow else 1):
        starts.starts(measuring, each)
    if each.name in delays.QUICK:
        idle.idle(measuring, each, streams)
    for _ in range(size.times if ours else 0):
        sizes.streams(measuring, each, size.streams)
        sizes.bodies(measuring, each, size.bodies)


def _cell(figure: Figure | None, form: str) -> str:
    return "" if figure is None else figure.shown(form)


def _median(figure: Figure | None, form: str) -> str:
    return "" if figure is None else f"{figure.median:{form}}"


def goals_table(figures: Figures) -> str:
    """Each figure that has a goal."""
    return table("", ("figure", "measured", "goal", ""), [goal.row(figures) for goal in GOALS])


def ratio_table(figures: Figures, contenders: Sequence[Contender]) -> str:
    """All contenders, as so many times the bare aiohttp relay."""
    kinds = ("request", "chunk", "chunk together", "chunk paced")
    rows = [
        (each.title, *(_cell(figures.ratio((each.name, kind), ("aiohttp", kind)), ",.2f") for kind in kinds))
        for each in contenders
    ]
    heads = ("", "a request", "a chunk", "a chunk, all at once", "a chunk, 50 ms apart")
    return table("", heads, rows)


def cpu_table(figures: Figures, contenders: Sequence[Contender]) -> str:
    """The same in microseconds."""
    kinds = (
        ("a request", "request", ",.0f"),
        (f"a stream of {cost.CHUNKS}", "stream", ",.0f"),
        ("a chunk", "chunk", ",.1f"),
        ("a chunk, all at once", "chunk together", ",.2f"),
        ("a chunk, 50 ms apart", "chunk paced", ",.1f"),
    )
    rows = [
        (each.title, *(_cell(figures.figure(each.name, kind), form) for _, kind, form in kinds)) for each in contenders
    ]
    return table("", ("", *(title for title, _, _ in kinds)), rows)


def time_table(figures: Figures, contenders: Sequence[Contender]) -> str:
    """What each adds to the time of answers."""
    kinds = (
        ("1 kB answer, p50", "answer added", ".2f"),
        ("first byte, p50", "first added", ".2f"),
        ("a chunk, p50", "paced p50", ".2f"),
        ("p99", "paced p99", ".1f"),
    )
    rows = [
        (each.title, *(_cell(figures.figure(each.name, kind), form) for _, kind, form in kinds)) for each in contenders
    ]
    return table("", ("", *(title for title, _, _ in kinds)), rows)


def room_table(figures: Figures, contenders: Sequence[Contender]) -> str:
    """What each takes where there are many streams, and at its start."""
    rows = []
    for each in contenders:
        own = each.name
        streams = figures.figure(own, "idle streams")
        memory = _median(figures.figure(own, "idle"), ".1f")
        rows.append(
            (
                each.title,
                _cell(figures.figure(own, "held p50"), ".1f"),
                _cell(figures.figure(own, "held p99"), ".1f"),
                _median(figures.figure(own, "held lost"), ".0f"),
                _cell(figures.figure(own, "held share"), ".0f"),
                f"{memory} ({streams.median:,.0f})" if streams else "",
                _cell(figures.figure(own, "start"), ".2f"),
                _median(figures.figure(own, "start cpu"), ".2f"),
            )
        )
    heads = (
        "",
        "1,000 streams: ms added, p50",
        "p99",
        "lost",
        "% of a core",
        "KiB an idle stream (of so many)",
        "s to first answer",
        "of it CPU",
    )
    return table("", heads, rows)


def growth_table(figures: Figures, size: Size) -> str:
    """How the cost grows."""
    rows = [
        (f"µs a chunk, stream of {chunks:,}", *(_cell(figures.figure(w, f"chunk of {chunks}"), ".2f") for w in _OURS))
        for chunks in size.streams
    ]
    for body in size.bodies:
        rows.append(
            (
                f"µs a kB, body of {body / 1000:,.0f} kB",
                *(_scaled(figures.figure(who, f"body of {body}"), 1000 / body) for who in _OURS),
            )
        )
    for body in size.bodies[-2:]:
        rows.append(
            (
                f"memory more at the most, body of {body / 1_000_000:,.0f} MB, of its size",
                *(_cell(figures.figure(who, f"memory of {body}"), ".2f") for who in _OURS),
            )
        )
    return table("", ("", *_OURS), rows)


def _scaled(figure: Figure | None, by: float) -> str:
    if figure is None:
        return ""
    return Figure(figure.median * by, figure.least * by, figure.most * by).shown(".2f")


_PAGE = """\
# Performance

How cheap the proxy is, beside others, in one run: `tox -e bench` ([benchmarks](../benchmarks)). This page is what
`python -m benchmarks report --markdown > docs/performance.md` prints.

{measured}

The machine has {processors} processors, and other work on them (load {load:.1f}). What is measured has the first
one, the client and the upstream share the others. Figures are medians of {times}, with the least and the most beside
them; a ratio is made within a round. Compare ratios, not microseconds of two machines.

## Goals

With all features on, as the service starts by default: both ports, limits, masking, timeouts, the access log.

{goals}

- The two ports' requests: what the bridge does beside passing a request on and its answer back (decode, transform,
  translate and encode both) takes the same whatever that costs, so the ratio grows as the passthrough gets cheaper. The
  row below it holds the bridge against the relay that the passthrough is held against, with the product of both goals.
- A chunk, as fast as it goes: who is quicker finds fewer chunks in a read, and pays for more reads. Where each chunk
  comes in a read of its own, 50 ms after the one before, the two can be compared.

## Beside others

The others run in the way that suits them best: nginx with one worker, `proxy_buffering off`, kept connections, no log;
relays of a few lines, [aiohttp](../benchmarks/peers/aiohttp_relay.py) and
[FastAPI with httpx](../benchmarks/peers/fastapi_relay.py), on uvloop and without a log; LiteLLM with one worker and its
own defaults.{out}

Processor time, of the bare aiohttp relay's:

{ratios}

In microseconds:

{cpu}

- *a request*: a chat completion of 1 kB each way that is no stream, on 16 kept connections, to an upstream that answers
  at once. The processor time of the process and its children, by the kernel's clock, for each answer.
- *a chunk*: a stream of {chunks} small pieces of text, each an event and a `send` of its own, as fast as it goes, on 16
  connections; what a request costs is taken off, and the rest divided by {chunks}. How many of them come in one read
  depends on how busy everyone is. *All at once*: the upstream writes the whole stream in one piece, so all coalesce.
  *50 ms apart*: the 1,000 streams below.

Added to the time of an answer, in milliseconds:

{times_added}

- One client at a time, through the proxy and to the upstream itself; the difference of the medians.
- The chunks are those of 10 streams with 20 ms between two, from the upstream's writing to the client's reading.

Many streams, and the start:

{room}

- 1,000 streams with a chunk every 50 ms: milliseconds added to the delay that a chunk has without a proxy{direct}.
  Each chunk has a number, and counts as lost if it does not come.
- Idle streams: as many as the limit on open files allows (two for each stream), up to 10,000, all begun and none with
  anything to say; how much resident memory rose, for each.
- From the start of the process to the first answer that went to the upstream and back; files in the system's cache,
  bytecode beside them as pip leaves it.
{workers}
## As work grows

{growth}

- One stream at a time, in which the upstream sends a piece when the client has the one before, so that each comes in a
  read of its own however long the stream is; what a stream of a single piece costs is taken off, and the rest divided
  by the number of the other pieces.
- Bodies of chat completions, one at a time. Memory is how far resident memory rose, at the most, above what it was
  before these requests.

## Work on one event or chunk

In one process, without sockets (`python -m benchmarks translators filters`).

{translators}

{filters}
"""


def page(figures: Figures, contenders: Sequence[Contender], out: Sequence[str], size: Size) -> str:
    """What docs/performance.md holds."""
    direct = figures.figure("passthrough", "held direct p99")
    rates = [figures.figure(f"{count} workers", "rate") for count in (1, 2)]
    spent = [_median(figures.figure(f"{count} workers", "cpu"), ",.0f") for count in (1, 2)]
    installed = ", ".join(f"{name} {version}" for name, version in versions().items())
    said = "- Workers: not measured.\n"
    if rates[0] and rates[1]:
        light = "nginx, which sends a file, and wrk" if workers.is_light() else "written in Python"
        share = _median(figures.figure("2 workers", "busiest"), ".0f")
        text = (
            f"`--workers 2` against 1: {rates[1].shown(',.0f')} streams of {workers.CHUNKS:,} chunks at once a second "
            f"through the bridge, against {rates[0].shown(',.0f')}. A stream takes {spent[1]} µs of the workers, and "
            f"{spent[0]} µs of one; the busier one did {share}%. Upstream and client ({light}) have to share the two "
            "processors with the workers."
        )
        apart = figures.ratio(("2 services", "rate"), ("1 workers", "rate"))
        if apart is not None:
            text += (
                f" Two services that have nothing to do with each other get through {apart.shown('.2f')} times as much "
                "as one: that is what the two processors have for them."
            )
        said = textwrap.fill(text, 120, initial_indent="- ", subsequent_indent="  ") + "\n"
    return _PAGE.format(
        measured=textwrap.fill(f"Measured on {datetime.now(UTC):%Y-%m-%d} with {installed}.", 120),
        processors=len(os.sched_getaffinity(0)),
        load=os.getloadavg()[1],
        times=f"{size.times} rounds" if size.times > 1 else "one round",
        goals=goals_table(figures),
        out="".join(f"\n\n{line[0].upper()}{line[1:]}." for line in out),
        ratios=ratio_table(figures, contenders),
        cpu=cpu_table(figures, contenders),
        chunks=cost.CHUNKS,
        times_added=time_table(figures, contenders),
        room=room_table(figures, contenders),
        direct=f" (p99 {direct.median:.1f} ms)" if direct else "",
        workers=said,
        growth=growth_table(figures, size),
        translators=translators(),
        filters=filters(),
    )


def summary(figures: Figures, contenders: Sequence[Contender], out: Sequence[str], size: Size) -> str:
    """The same without words."""
    parts = [
        goals_table(figures),
        ratio_table(figures, contenders),
        cpu_table(figures, contenders),
        time_table(figures, contenders),
        room_table(figures, contenders),
        growth_table(figures, size),
    ]
    return "\n\n".join((*parts, *out))


def report(contenders: Sequence[Contender], out: Sequence[str], size: Size, *, markdown: bool) -> str:
    """Measure all, and say it.

    @param contenders: who is measured.
    @param out: who is not, a line each.
    @param markdown: whether as the whole page.
    """
    figures = measure(contenders, size)
    return (page if markdown else summary)(figures, contenders, out, size)
