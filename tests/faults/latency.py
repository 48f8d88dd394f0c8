"""How soon a client that leaves has taken its upstream request with it.

`python -m tests.faults.latency` makes the figures of docs/reliability.md.
"""

from __future__ import annotations

import queue
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults.exchanges import CHAT_EVENTS, CHAT_JSON, RESPONSE_BEGINS, RESPONSE_JSON, request, text_delta
from tests.process import PATIENCE, Service

RUNS = 100
UPLOADS = 20

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


#: Stage -> whether a stream is asked for, and what upstream has said by then on the passthrough port and the bridge.
STAGES = {
    "before the head": (True, b"", b""),
    "before the first token": (True, HEAD, HEAD + _chunked(RESPONSE_BEGINS[0])),
    "in the middle": (
        True,
        HEAD + _chunked(CHAT_EVENTS[0]),
        HEAD + _chunked(b"".join(RESPONSE_BEGINS) + text_delta("Gr")),
    ),
    "no stream, before the head": (False, b"", b""),
    "no stream, in the middle": (False, CHAT_JSON[:-5], RESPONSE_JSON[:-5]),
}


UPLOAD = "an upload that is held back"
_FILES = b"POST /v1/files "
_PIECE = 1 << 16


class Patient:
    """An upstream that says something, and then waits until it is left.  Of an upload it takes next to nothing.

    @ivar asked: gets a value when a request has come and what there is to say is said.
    @ivar left: gets the time at which its connection has ended.
    """

    def __init__(self) -> None:
        self.says = b""
        self.asked: queue.Queue[None] = queue.Queue()
        self.left: queue.Queue[float] = queue.Queue()
        self._server = socket.create_server(("127.0.0.1", 0))
        # so little that the kernel takes nothing more of an upload soon, and then never
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                asked = b""
                while b"}]" not in asked and not asked.startswith(_FILES):
                    asked += connection.recv(4096)
                connection.sendall(self.says)
                self.asked.put(None)
                if asked.startswith(_FILES):
                    poll = select.poll()
                    poll.register(connection, select.POLLRDHUP)
                    poll.poll()
                    self.left.put(time.perf_counter())
                    continue
                try:
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass  # a reset
                self.left.put(time.perf_counter())


def _ask(client: socket.socket, upstream: Patient, stream: bool) -> None:
    """Make a request, and let what upstream says of it arrive."""
    body = request(stream)
    client.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    upstream.asked.get(timeout=PATIENCE)
    time.sleep(0.005)


def _upload(client: socket.socket, upstream: Patient) -> None:
    """Send of a file what the proxy takes, and a little that it does not."""
    client.sendall(_FILES + b"HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
    client.sendall(bytes(_PIECE))
    upstream.asked.get(timeout=PATIENCE)
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        if not _unread(client):
            client.sendall(bytes(_PIECE))
            end = time.monotonic() + 0.05
        time.sleep(0.0002)


def _unread(client: socket.socket) -> int:
    """How many bytes the kernel has for the other side of a connection on this machine, which has not read them."""
    ours, theirs = (b"%04X" % end[1] for end in (client.getsockname(), client.getpeername()))
    for line in Path("/proc/net/tcp").read_bytes().splitlines()[1:]:
        _, local, remote, _, waiting, *_ = line.split()
        if (local[-4:], remote[-4:]) == (theirs, ours):
            return int(waiting.partition(b":")[2], 16)
    raise AssertionError("the connection has ended")


def leave(upstream: Patient, base: str, ask: Callable[[socket.socket], None], reset: bool) -> float:
    """How long it takes from a client's leaving until the upstream knows of it, in seconds.

    @param ask: brings the client to where it leaves.
    """
    port = int(base.rpartition(":")[2].partition("/")[0])
    client = socket.create_connection(("127.0.0.1", port), PATIENCE)
    ask(client)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left = time.perf_counter()
    client.close()
    return upstream.left.get(timeout=PATIENCE) - left


def _measure(what: str, upstream: Patient, base: str, ask: Callable[[socket.socket], None], runs: int) -> None:
    took = sorted(leave(upstream, base, ask, bool(run % 2)) for run in range(runs))
    sys.stdout.write(f"{what}: median {took[runs // 2] * 1000:.1f} ms, longest {took[-1] * 1000:.1f} ms\n")


def main() -> None:
    upstream = Patient()
    service = Service("--upstream", f"http://127.0.0.1:{upstream.port}/v1")
    try:
        ports = (("passthrough", service.passthrough), ("bridge", service.bridge))
        for stage, (stream, *said) in STAGES.items():
            for (name, base), upstream.says in zip(ports, said, strict=True):
                _measure(f"{stage}, {name}", upstream, base, partial(_ask, upstream=upstream, stream=stream), RUNS)
        upstream.says = b""
        for name, base in ports:
            _measure(f"{UPLOAD}, {name}", upstream, base, partial(_upload, upstream=upstream), UPLOADS)
    finally:
        service.stop()


if __name__ == "__main__":
    main()
