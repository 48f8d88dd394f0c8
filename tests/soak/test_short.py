"""The soak test in its short form; ``tox -e soak`` runs the long one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.__main__ import PORTS, Size, faults, rate, slow
from tests.soak.rig import Rig, rig
from tests.soak.upstream import FAULTS

SIZE = Size(
    rate_seconds=1,
    rate_connections=8,
    slow_streams=50,
    slow_seconds=1,
    slow_every=0.05,
    slow_loads=1,
    fault_streams=50,
    fault_seconds=1,
    fault_every=0.02,
    settle=0,
)


class SoakTests(SynchronousTestCase):
    def test_no_piece_is_lost_doubled_or_out_of_order_and_no_broken_answer_looks_whole(self) -> None:
        with rig() as running, ThreadPoolExecutor() as pool:
            # both at the same time: most of it is to wait
            list(pool.map(partial(self.port, running), PORTS))
            self.assertEqual((running.log_has("Traceback"), running.log_has("Unhandled")), (0, 0))

    def port(self, running: Rig, port: str) -> None:
        """All phases at one port."""
        [plain, streamed] = rate(running, port, SIZE)
        [slowly] = slow(running, port, SIZE)
        for report in (plain, streamed, slowly):
            [found] = report.found
            self.assertEqual((found.wrong, found.whole), ([], found.exchanges), report.phase)
        self.assertEqual(slowly.found[0].chunks, 50 * 20)
        [broken] = faults(running, port, SIZE)
        [found] = broken.found
        self.assertEqual(found.wrong, [])
        self.assertGreater(found.whole, 0)
        # every fault was made
        self.assertEqual(
            {how for how, count in found.ended.items() if count},
            {*(f"upstream: {fault}" for fault in FAULTS), "the client: leave", "the client: reset"},
        )
