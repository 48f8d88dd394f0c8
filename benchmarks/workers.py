"""What a second worker brings.

On a machine with two processors the client and the upstream need a part of both, and what they take is lost to the
second worker.  So they are nginx, which sends the bytes of a file, and wrk, where both are installed, and not those of
this package, which are written in Python.  Even so a machine may have less for two processes than twice what it has for
one; how much that is, two services show that have nothing to do with each other.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders import BY_NAME, Running, Started, free_port, program, running
from benchmarks.driver import Plan
from benchmarks.processes import cpu, driver, start, stop, upstream
from benchmarks.session import Session
from tests.process import run, twistd
from tests.soak.upstream import model

#: How many streams at the same time.
_CONNECTIONS = 64

#: Pieces of text in a stream: so many that what the client and the upstream take for a request is little beside them.
CHUNKS = 2_000

_NGINX = """\
daemon off;
worker_processes 1;
pid %(folder)s/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    keepalive_requests 100000000;
    open_file_cache max=10;
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        default_type text/event-stream;
        root %(folder)s;
        # a file is not for POST: the error is, and the file is its page
        error_page 405 =200 /answer;
        location / { return 405; }
        location = /answer { }
    }
}
"""

_WRK = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-benchmark"
wrk.body = [==[%s]==]
"""


@dataclass(frozen=True)
class Asked:
    """What came of asking.

    @ivar requests: how many were answered.
    @ivar seconds: how long it took.
    """

    requests: int
    seconds: float


#: Asks at a port for so many seconds, on so many connections.
Ask = Callable[[int, float, int], Asked]


def has_workers() -> bool:
    """Whether the service has the option ``--workers``."""
    return "--workers" in run(*twistd("--help")).stdout


def is_light() -> bool:
    """Whether there are a client and an upstream that leave the processors to the workers."""
    return program("nginx") is not None and program("wrk") is not None


def _request() -> bytes:
    name = model(chunks=CHUNKS, together=1)
    return json.dumps({"model": name, "stream": True, "messages": [{"role": "user", "content": "Hi."}]}).encode()


@contextmanager
def _canned(port: int, folder: Path, where: set[int]) -> Iterator[int]:
    """An upstream that gives every request the same answer: a stream that the upstream at a port gives; its port."""
    body = json.dumps({"model": model(chunks=CHUNKS, together=1), "stream": True, "input": "Hi."}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/responses", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
        (folder / "answer").write_bytes(answer.read())
    own = free_port()
    settings = folder / "canned.conf"
    settings.write_text(_NGINX % {"folder": folder, "port": own})
    # its own worker reads the file: the folder is ours alone
    folder.chmod(0o755)
    command = [program("nginx") or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(settings)]
    process = start(command, where)
    try:
        yield own
    finally:
        stop(process)


def _with_wrk(folder: Path, where: set[int]) -> Ask:
    script = folder / "ask.lua"
    script.write_text(_WRK % _request().decode())

    def ask(port: int, seconds: float, connections: int) -> Asked:
        url = f"http://127.0.0.1:{port}{BY_NAME['bridge'].path}"
        options = ("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script))
        process = start([program("wrk") or "wrk", *options, url], where, output=subprocess.PIPE)
        assert process.stdout is not None
        said = process.stdout.read()
        stop(process)
        found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", said)
        assert found is not None, said
        assert "Non-2xx" not in said, said
        assert "Socket errors" not in said, said
        return Asked(int(found[1]), float(found[2]) * {"ms": 0.001, "s": 1, "m": 60}[found[3]])

    return ask


@contextmanager
def _load(measuring: Session, where: set[int]) -> Iterator[tuple[int, Ask]]:
    """The upstream's port, and who asks."""
    with ExitStack() as stack:
        own = stack.enter_context(upstream(where))
        if is_light():
            folder = measuring.folder / "workers"
            folder.mkdir(exist_ok=True)
            measuring.folder.chmod(0o755)
            yield stack.enter_context(_canned(own, folder, where)), _with_wrk(folder, where)
            return
        asking = stack.enter_context(driver(where))

        def ask(port: int, seconds: float, connections: int) -> Asked:
            path = BY_NAME["bridge"].path
            found = asking.ask(Plan(port, path, connections, seconds, stream=True, chunks=CHUNKS, together=True))
            return Asked(found.requests, found.seconds)

        yield own, ask


def workers(measuring: Session, times: int, seconds: float) -> None:
    """Streams a second with one worker and with two, on two processors, the processor time of a stream, and the busier
    worker's part of it.

    The bridge translates long streams that upstream writes at once: of all there is to do this has the most for the
    proxy and the least for the upstream and the client.
    """
    mine = sorted(os.sched_getaffinity(0))
    two, rest = set(mine[:2]), set(mine[2:]) or set(mine[:2])
    bridge = BY_NAME["bridge"]
    with ExitStack() as stack:
        port, ask = stack.enter_context(_load(measuring, rest))

        def begun(name: str, count: int) -> Running:
            contender = replace(bridge, name=name, command=_with_workers(bridge.command, count))
            return stack.enter_context(running(contender, port, measuring.folder, two))

        ready = {count: begun(f"{count} workers", count) for count in (1, 2)}
        # whose client and upstream in Python would be asked for more than they can
        apart = [begun(f"service {number}", 1) for number in (1, 2)] if is_light() else []
        for turn in range(times + 1):
            for count, each in ready.items():
                pids = each.pids
                before = [cpu([pid]) for pid in pids]
                found = ask(each.port, seconds, _CONNECTIONS)
                spent = [cpu([pid]) - earlier for pid, earlier in zip(pids, before, strict=True)]
                # the first is to make connections
                if turn:
                    who = f"{count} workers"
                    measuring.figures.add(who, "rate", found.requests / found.seconds)
                    measuring.figures.add(who, "cpu", 1e6 * sum(spent) / found.requests)
                    measuring.figures.add(who, "busiest", 100 * max(spent) / sum(spent))
            if apart and turn:
                measuring.figures.add("2 services", "rate", _at_once(ask, apart, seconds))


def _at_once(ask: Ask, services: Sequence[Running], seconds: float) -> float:
    """Streams a second of services that are asked at the same time, with as many connections as one would have."""
    with ThreadPoolExecutor(len(services)) as pool:
        asked = [pool.submit(ask, each.port, seconds, _CONNECTIONS // len(services)) for each in services]
        return sum(each.result().requests / each.result().seconds for each in asked)


def _with_workers(command: Callable[[int, int, Path], Started], count: int) -> Callable[[int, int, Path], Started]:
    def more(port: int, upstream: int, folder: Path) -> Started:
        begun = command(port, upstream, folder)
        return Started([*begun.command, "--workers", str(count)], begun.environ)

    return more
