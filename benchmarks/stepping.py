"""Streams in lockstep: the upstream sends a piece of text when the client has the one before.

As fast as it goes, how many pieces come in one read depends on how busy everyone is, and that depends on how long the
stream has been going on.  In lockstep each comes in a read of its own, in the first hundred as in the last.

The upstream and the client are one process, so that they know of each other: ``python -m benchmarks.stepping`` prints
the upstream's port, and then does as `benchmarks.driver`, one stream at a time.
"""

from __future__ import annotations

import asyncio
from functools import partial

from benchmarks.driver import Connection, Driver, serve_plans
from benchmarks.upstream import Upstream, serve

#: How a piece of text begins in a chunk; the chunks before and after the text have none like it.
_PIECE = b'"content":" '


class Steps:
    """What the client and the upstream know of each other."""

    upstream: SteppedUpstream | None = None

    def arrived(self) -> None:
        """The client has a piece."""
        if self.upstream is not None:
            self.upstream.step()


class SteppedUpstream(Upstream):
    """Sends the first piece by itself, and each other one when it is told to."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def _next(self) -> None:
        self._steps.upstream = self
        self.step()

    def step(self) -> None:
        """Send what follows: a piece, or the end."""
        if self._gone:
            return
        if self._sent < self._chunks:
            self._send_piece()
        else:
            self._finish()


class SteppingConnection(Connection):
    """Tells of each piece."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        """Something of the answer."""
        super().data_received(data)
        seen = self._seen + data
        count = seen.count(_PIECE)
        # shorter than what is counted, so that nothing is counted twice
        self._seen = seen[1 - len(_PIECE) :]
        for _ in range(count):
            self._steps.arrived()


async def _run() -> None:
    steps = Steps()
    upstream = asyncio.ensure_future(serve(partial(SteppedUpstream, steps)))
    await serve_plans(Driver(partial(SteppingConnection, steps)))
    upstream.cancel()


if __name__ == "__main__":
    # asyncio's own loop: see the upstream's
    asyncio.run(_run())
