"""A relay of a few lines with aiohttp and uvloop: ``python -m benchmarks.peers.aiohttp_relay PORT UPSTREAM``.

It has no feature at all: no limits, no log, no errors of its own.  About the least that Python can do.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-authorization"}
_UPSTREAM = web.AppKey("upstream", aiohttp.ClientSession)


async def relay(request: web.Request) -> web.StreamResponse:
    """Pass one request on."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP | {"host"}}
    body = await request.read() if request.can_read_body else None
    async with request.app[_UPSTREAM].request(request.method, request.path_qs, headers=headers, data=body) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response


def main(port: int, upstream: str) -> None:
    """Serve until killed."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(upstream, connector=connector, timeout=timeout, auto_decompress=False) as made:
            app[_UPSTREAM] = made
            yield

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", relay)
    app.cleanup_ctx.append(session)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=loop, backlog=4096)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
