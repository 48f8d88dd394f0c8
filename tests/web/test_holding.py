"""What an answer that takes long holds on to."""

from __future__ import annotations

import gc
import json
import tracemalloc

from oaiproxy.api.request import PortKind
from tests.faults.exchanges import RESPONSE_BEGINS, text_delta
from tests.support import SocketTestCase

SIZE = 4_000_000


class HoldingTests(SocketTestCase):
    async def test_a_stream_holds_nothing_of_its_request(self) -> None:
        prompt = {"role": "user", "content": "x" * SIZE}
        body = json.dumps({"model": "gpt-5.1", "stream": True, "messages": [prompt]}).encode()
        begun = b"".join(RESPONSE_BEGINS) + text_delta("one")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        for kind in PortKind:
            upstream = self.upstream()
            upstream.answers(head + b"%x\r\n%b\r\n" % (len(begun), begun))
            client = await self.client(self.proxy(kind))
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            before, _ = tracemalloc.get_traced_memory()
            client.post("/v1/chat/completions", body)
            await client.until(b"one")
            upstream.requests.clear()
            gc.collect()
            held = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            self.assertLess(held, SIZE / 2, kind)
