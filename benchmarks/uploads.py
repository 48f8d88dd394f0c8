"""How much memory a large upload takes, and how fast it is.

A process of the proxy, a sink for its upstream, and a client that sends zeros; all on this machine.
"""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from benchmarks.table import table
from tests.process import Process, twistd

_GIGABYTES = 2
_PIECE = bytes(1 << 20)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Sink(threading.Thread):
    """An upstream that takes one request and counts its bytes.

    @ivar port: where it is.
    @ivar taken: how many bytes of a request came, its head included.
    """

    def __init__(self, expected: int, *, chunked: bool) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.taken = 0
        self._expected = expected
        self._chunked = chunked

    def run(self) -> None:
        connection, _ = self._socket.accept()
        tail = b""
        buffer = bytearray(1 << 18)
        while True:
            size = connection.recv_into(buffer)
            self.taken += size
            tail = (tail + buffer[max(0, size - 5) : size])[-5:]
            if not size or (tail == b"0\r\n\r\n" if self._chunked else self.taken > self._expected):
                break
        connection.sendall(_ANSWER)
        connection.close()


def memory(pid: int) -> tuple[float, float]:
    """The resident memory of a process and its highest so far, in MB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def _upload(size: int, *, chunked: bool) -> list[str]:
    """Make one upload; a row of what was seen."""
    sink = Sink(size, chunked=chunked)
    sink.start()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = Process(
        twistd("--passthrough", str(port), f"--upstream=http://127.0.0.1:{sink.port}/v1"), r"oaiproxy \S+ is ready"
    )
    try:
        pid = proxy.pid
        before, _ = memory(pid)
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as client:
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
            client.sendall(f"POST /v1/files HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
            for _ in range(size // len(_PIECE)):
                client.sendall(b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE) if chunked else _PIECE)
            if chunked:
                client.sendall(b"0\r\n\r\n")
            answer = client.recv(65536)
        seconds = time.monotonic() - began
        after, peak = memory(pid)
    finally:
        proxy.stop()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert sink.taken > size
    rates = (f"{size / 2**20 / seconds:.0f} MB/s", *(f"{megabytes:.1f} MB" for megabytes in (before, after, peak)))
    return ["in chunks" if chunked else "of known length", *rates]


def uploads() -> str:
    """Uploads through a process of the proxy."""
    rows = [_upload(_GIGABYTES * 2**30, chunked=chunked) for chunked in (False, True)]
    return table(f"Uploads of {_GIGABYTES} GB", ("", "speed", "resident before", "after", "at most"), rows)
