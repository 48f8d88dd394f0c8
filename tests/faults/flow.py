"""A client that takes nothing, in front of an upstream that has much to send; how much of it the service takes in.

`python -m tests.faults.flow` makes the figures of docs/reliability.md.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.exchanges import CHAT_EVENTS, RESPONSE_BEGINS, RESPONSE_COMPLETED, chat_chunk, request, text_delta
from tests.process import PATIENCE, Service

MB = 1_000_000

#: The text of one event.
TEXT = "x" * 900


def resident(pid: int) -> int:
    """How much memory of a process is in use, in bytes (``VmRSS``)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory")


class Flood:
    """An upstream that answers each request with as much as it is told.

    @ivar size: how many bytes of events an answer has, at least.
    @ivar sent: how many bytes of the last answer the kernel has taken.
    @ivar events: how many texts an answer has.
    """

    def __init__(self) -> None:
        self.size = 0
        self.sent = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            asked = b""
            while b"}" not in asked:
                asked += connection.recv(65536)
            begin, piece, end = self.answer(asked)
            self.sent = 0
            try:
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + begin
                )
                for _ in range(self.pieces(piece)):
                    connection.sendall(piece)
                    self.sent += len(piece)
                connection.sendall(end)
            except OSError:
                pass  # the service has gone

    def pieces(self, piece: bytes) -> int:
        return -(-self.size // len(piece))

    def answer(self, asked: bytes) -> tuple[bytes, bytes, bytes]:
        """What an answer begins with, what it repeats, and what it ends with."""
        if b" /v1/responses " in asked.partition(b"\r\n")[0]:
            return b"".join(RESPONSE_BEGINS), text_delta(TEXT), RESPONSE_COMPLETED
        return CHAT_EVENTS[0], chat_chunk({"content": TEXT}), CHAT_EVENTS[-2] + CHAT_EVENTS[-1]

    def close(self) -> None:
        self._server.close()


@dataclass
class Flow:
    """What was seen of one such client.

    @ivar before: the service's memory before, in bytes.
    @ivar most: the most that it was while the client took nothing.
    @ivar taken: how much of the answer had left the upstream by then; most of it is in the kernel's buffers.
    @ivar offered: how much it had.
    @ivar received: the answer, where the client took it in the end.
    """

    before: int
    most: int
    taken: int
    offered: int
    received: bytes = b""

    @property
    def growth(self) -> int:
        return self.most - self.before


def flow(service: Service, upstream: Flood, base: str, megabytes: int, seconds: float, *, read: bool) -> Flow:
    """Ask for a stream, take nothing of it for some time, and then all of it if that is wanted."""
    # the first answers fill what fills once
    for _ in range(3):
        upstream.size = 4 * MB
        _exchange(base, lambda client: _rest(client))
    upstream.size = megabytes * MB
    before = resident(service.pid)
    found = Flow(before, before, 0, upstream.size)

    def stall(client: socket.socket) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
            found.most = max(found.most, resident(service.pid))
        found.taken = upstream.sent
        if read:
            found.received = _rest(client)

    _exchange(base, stall)
    return found


def _exchange(base: str, then: Callable[[socket.socket], object]) -> None:
    port = int(base.rpartition(":")[2].partition("/")[0])
    body = request(True)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        then(client)


def _rest(client: socket.socket) -> bytes:
    pieces = []
    while piece := client.recv(1 << 18):
        pieces.append(piece)
    return b"".join(pieces)


def main() -> None:
    """The full figures: 200 MB, 30 seconds."""
    upstream = Flood()
    service = Service("--upstream", f"http://127.0.0.1:{upstream.port}/v1")
    try:
        for name, base in (("passthrough", service.passthrough), ("bridge", service.bridge)):
            found = flow(service, upstream, base, 200, 30.0, read=False)
            sys.stdout.write(
                f"{name}: {found.before / MB:.1f} MB before, at most {found.growth / MB:+.2f} MB in 30 s; "
                f"{found.taken / MB:.1f} of {found.offered / MB:.0f} MB had left the upstream\n"
            )
    finally:
        service.stop()
        upstream.close()


if __name__ == "__main__":
    main()
