"""How soon a client that leaves has taken its upstream request with it.

`python -m tests.faults.latency` makes the figures of docs/reliability.md.
"""

from __future__ import annotations

import queue
import socket
import struct
import sys
import threading
import time

from tests.faults.exchanges import CHAT_EVENTS, CHAT_JSON, RESPONSE_BEGINS, RESPONSE_JSON, request, text_delta
from tests.process import PATIENCE, Service

RUNS = 100

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


class Patient:
    """An upstream that says something, and then waits until it is left.

    @ivar asked: gets a value when a request has come and what there is to say is said.
    @ivar left: gets the time at which its connection has ended.
    """

    def __init__(self) -> None:
        self.says = b""
        self.asked: queue.Queue[None] = queue.Queue()
        self.left: queue.Queue[float] = queue.Queue()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                asked = b""
                while b"}]" not in asked:
                    asked += connection.recv(65536)
                connection.sendall(self.says)
                self.asked.put(None)
                try:
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass  # a reset
                self.left.put(time.perf_counter())


def leave(upstream: Patient, base: str, stream: bool, reset: bool) -> float:
    """How long it takes from a client's leaving until the upstream knows of it, in seconds."""
    port, body = int(base.rpartition(":")[2].partition("/")[0]), request(stream)
    client = socket.create_connection(("127.0.0.1", port), PATIENCE)
    client.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    upstream.asked.get(timeout=PATIENCE)
    time.sleep(0.005)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left = time.perf_counter()
    client.close()
    return upstream.left.get(timeout=PATIENCE) - left


def main() -> None:
    upstream = Patient()
    service = Service("--upstream", f"http://127.0.0.1:{upstream.port}/v1")
    try:
        for stage, (stream, *said) in STAGES.items():
            for name, base, upstream.says in zip(
                ("passthrough", "bridge"), (service.passthrough, service.bridge), said, strict=True
            ):
                took = sorted(leave(upstream, base, stream, bool(run % 2)) for run in range(RUNS))
                sys.stdout.write(
                    f"{stage}, {name}: median {took[RUNS // 2] * 1000:.1f} ms, longest {took[-1] * 1000:.1f} ms\n"
                )
    finally:
        service.stop()


if __name__ == "__main__":
    main()
