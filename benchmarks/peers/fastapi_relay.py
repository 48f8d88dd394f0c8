"""A relay as most of them are written: FastAPI, httpx, uvicorn and uvloop.

``python -m benchmarks.peers.fastapi_relay PORT UPSTREAM``; no log, no limits.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-authorization"}


def application(upstream: str) -> FastAPI:
    """The relay."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx.AsyncClient(base_url=upstream, timeout=None, limits=limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await client.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def relay(path: str, request: Request) -> StreamingResponse:
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in _HOP | {"host"}]
        asked = client.build_request(request.method, request.url.path, headers=headers, content=await request.body())
        answer = await client.send(asked, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP}
        done = BackgroundTask(answer.aclose)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, headers=kept, background=done)

    return app


def main(port: int, upstream: str) -> None:
    """Serve until killed."""
    uvicorn.run(
        application(upstream), host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="warning",
        access_log=False, backlog=4096,
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
