"""Flow control: what a client does not take stays with the upstream, and not in the service's memory."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.e2e.support import ProcessTestCase
from tests.faults.flow import MB, TEXT, Flood, Flow, flow
from tests.faults.support import Seen
from tests.process import Service


class FlowTests(ProcessTestCase):
    upstream: Flood
    service: Service

    @classmethod
    def start(cls) -> None:
        cls.upstream = Flood()
        cls.at_end(cls.upstream.close)
        cls.service = cls.started(Service("--upstream", f"http://127.0.0.1:{cls.upstream.port}/v1"))

    def setUp(self) -> None:
        if not Path("/proc/self/status").exists():
            raise SkipTest("there is no /proc to look into")
        super().setUp()

    def held(self, base: str) -> Flow:
        found = flow(self.service, self.upstream, base, 40, 1.5, read=True)
        self.assertLess(found.growth, 2 * MB)
        self.assertLess(found.taken, found.offered)
        # and nothing is lost of it
        seen = Seen.of(found.received)
        self.assertTrue(seen.whole)
        self.assertTrue(seen.body.endswith(b"data: [DONE]\n\n"))
        return found

    def test_a_stream_that_is_passed_on(self) -> None:
        found = self.held(self.service.passthrough)
        self.assertGreater(len(Seen.of(found.received).body), 40 * MB)

    def test_a_stream_that_is_translated(self) -> None:
        found = self.held(self.service.bridge)
        _, piece, _ = self.upstream.answer(b"POST /v1/responses HTTP/1.1\r\n")
        texts = Seen.of(found.received).body.count(b'"' + TEXT.encode() + b'"')
        self.assertEqual(texts, self.upstream.pieces(piece))
