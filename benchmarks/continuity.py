"""What it costs to keep reasoning between the turns of a tool loop."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import free_port
from benchmarks.figures import Figures
from benchmarks.processes import PATIENCE, cpu, descendants, processors, start, stop
from benchmarks.table import table
from oaiproxy.bridge.continuity.turns import FORM, KeptTurn
from oaiproxy.store import MemoryStore
from tests.process import twistd

#: So many turns has a conversation, and these of them are shown: the history of the n-th has n - 1 kept turns.
TURNS, SHOWN = 50, (1, 10, 50)

#: How often a conversation is held for one round's figures.
_CONVERSATIONS = 40

_TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"country": {"type": "string"}}}},
}

_KEY = "0123456789abcdef0123456789abcdef"


class _Client:
    """A chat client that drops all reasoning."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer sk-benchmark\r\n"
            "Content-Type: application/json\r\n"
        ).encode()

    def converse(self, turns: int) -> Iterator[tuple[float, bytes]]:
        """Hold a conversation.

        @return: of each turn, the seconds that it took, and the head of the answer.
        """
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Which country is the best?"}]
        for _ in range(turns):
            asked = {"model": "gpt-5.2", "reasoning_effort": "low", "tools": [_TOOL], "messages": messages}
            body = json.dumps(asked).encode()
            request = b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)
            began = time.perf_counter()
            self._connection.sendall(request)
            head, answer = self._answer()
            yield time.perf_counter() - began, head
            (call,) = json.loads(answer)["choices"][0]["message"]["tool_calls"]
            messages += (
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "It is one of many."},
            )

    def _answer(self) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), data
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._more()
        return head, body

    def _more(self) -> bytes:
        data = self._connection.recv(1 << 18)
        assert data, "the connection was closed"
        return data

    def close(self) -> None:
        """No more is asked."""
        self._connection.close()


@contextmanager
def _redis() -> Iterator[int]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = start(command, processors()[1], output=subprocess.DEVNULL)
    try:
        yield port
    finally:
        stop(process)


@contextmanager
def _bridge(upstream: int, log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], _Client]]:
    """A bridge, and a client of it."""
    port = free_port()
    target = ("--upstream", f"http://127.0.0.1:{upstream}/v1")
    with log.open("w") as output:
        process = start(
            twistd("--bridge", str(port), "--passthrough", "0", *target, *options),
            processors()[0],
            output=output,
            environ={"OAIPROXY_STORE_KEY": _KEY},
        )
        try:
            until = time.monotonic() + PATIENCE
            while True:
                try:
                    client = _Client(port)
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < until, "it does not listen"
                    time.sleep(0.01)
            yield process, client
            client.close()
        finally:
            stop(process)


def _measure(figures: Figures, name: str, process: subprocess.Popen[str], client: _Client) -> None:
    """One round."""
    pids = descendants(process.pid)
    times: dict[int, list[float]] = {turn: [] for turn in SHOWN}
    for _ in range(_CONVERSATIONS):
        for turn, (seconds, _) in enumerate(client.converse(TURNS), 1):
            if turn in times:
                times[turn].append(seconds)
    for turn, values in times.items():
        values.sort()
        figures.add(name, f"p50 {turn}", 1000 * values[len(values) // 2])
        figures.add(name, f"p99 {turn}", 1000 * values[len(values) * 99 // 100])
    # the first turn, and the tenth with the nine before it
    for turns in (1, 10):
        before = cpu(pids)
        for _ in range(_CONVERSATIONS):
            for _ in client.converse(turns):
                pass
        figures.add(name, f"cpu {turns}", 1e6 * (cpu(pids) - before) / _CONVERSATIONS)


def _per_turn() -> str:
    """The memory that a kept turn takes."""
    store = MemoryStore(time.monotonic, 1 << 30)
    thought = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "g" * 2000,
    }
    call = {"type": "function_call", "call_id": f"call_{1:024x}", "name": "look_up", "arguments": "{}"}
    value = KeptTurn(FORM, b"a" * 16, "gpt-5.2", b"p" * 16, [thought, call]).encoded() or b""
    store.put({b"turn:" + b"0" * 32: value}, 3600)
    return (
        f"A turn whose reasoning has 2,000 bytes takes {len(value):,} bytes in a store, {store.bytes:,} in the memory."
    )


def continuity(times: int = 3) -> str:
    """What continuity adds to a request, for each home of the turns."""
    homes: dict[str, Sequence[str]] = {
        "off": ("--reasoning-continuity", "off"),
        "memory": (),
    }
    figures = Figures()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        homes["sqlite"] = ("--store", f"sqlite:{folder}/state.db")
        if shutil.which("redis-server"):
            homes["redis"] = ("--store", f"redis://127.0.0.1:{stack.enter_context(_redis())}")
        upstream = start([sys.executable, "-m", "benchmarks.thinking"], processors()[1], output=subprocess.PIPE)
        stack.callback(stop, upstream)
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        ready = {
            name: stack.enter_context(_bridge(port, folder / f"{name}.log", *options))
            for name, options in homes.items()
        }
        for name, (_, client) in ready.items():
            head = [head for _, head in client.converse(3)][-1].lower()
            assert (b"x-oaiproxy-continuity: 2 of 2 turns" in head) == (name != "off"), head
        for _ in range(times):
            for name, (process, client) in ready.items():
                _measure(figures, name, process, client)
    return "\n\n".join((_table(figures, list(homes), times), _per_turn()))


def _table(figures: Figures, homes: Sequence[str], times: int) -> str:
    heads = ["", *(f"turn {turn}, {what}" for turn in SHOWN for what in ("p50", "p99"))]
    heads += ["CPU of a first turn", "CPU of ten turns"]
    rows = []
    for name in homes:
        cells = [figures.figure(name, f"{what} {turn}") for turn in SHOWN for what in ("p50", "p99")]
        spent = [figures.figure(name, f"cpu {turns}") for turns in (1, 10)]
        texts = [f"{cell.median:.2f} ms" for cell in cells if cell] + [
            f"{cell.median:,.0f} µs" for cell in spent if cell
        ]
        rows.append((name, *texts))
    return table(f"A tool loop of {TURNS} turns, one client; medians of {times} rounds", heads, rows)
