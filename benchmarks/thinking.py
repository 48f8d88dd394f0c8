"""An upstream that thinks: each answer is a reasoning item with a blob of 2 kB and one call, which is new each time.

It answers every request so, streams none, and takes as little time as it can.  A process of its own: ``python -m
benchmarks.thinking`` prints its port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import Any

from benchmarks.upstream import serve

#: As many characters has the encrypted content of a short thought in recorded traffic, about.
BLOB = 2000

_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")


def answer(number: int) -> bytes:
    """An answer whose call is the `number`-th of all."""
    thought = {
        "id": f"rs_{number:032x}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "I look it up."}],
        "encrypted_content": f"{number:032x}" + "g" * (BLOB - 32),
    }
    call = {
        "id": f"fc_{number:032x}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{number:024x}",
        "name": "look_up",
        "arguments": '{"country": "France"}',
    }
    usage = {
        "input_tokens": 50,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 60,
        "output_tokens_details": {"reasoning_tokens": 40},
        "total_tokens": 110,
    }
    response = {
        "id": f"resp_{number:032x}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "model": "gpt-5.2",
        "output": [thought, call],
        "usage": usage,
    }
    body = json.dumps(response).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Upstream(asyncio.Protocol):
    """One connection: a request after the other."""

    _numbers = itertools.count(1)

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        """Something of a request."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._data, 0, end)
        assert length is not None, "a request without its length"
        if len(self._data) >= end + 4 + int(length[1]):
            self._data.clear()
            self._transport.write(answer(next(self._numbers)))


if __name__ == "__main__":
    asyncio.run(serve(Upstream))
