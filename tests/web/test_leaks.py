"""Nothing is left behind by exchanges at which both sides do wrong; ``python -m tests.soak.leaks`` makes 10,000."""

from __future__ import annotations

import gc
import os

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase

from tests.soak.faulty import CLIENT, UPSTREAM
from tests.soak.leaks import Rig, differences


class LeakTests(TestCase):
    timeout = 100

    def setUp(self) -> None:
        if not os.path.isdir("/proc/self/fd"):
            raise SkipTest("open files are counted where Linux shows them")

    async def test_what_there_was_before_is_what_there_is_after(self) -> None:
        rig = Rig()
        self.addCleanup(lambda: Deferred.fromCoroutine(rig.close()))
        constants = await rig.left()
        await rig.run(100)
        before = await rig.left()
        await rig.run(400)
        after = await rig.left()
        self.assertEqual(differences(before, after), [])
        # other tests have requests among their constants
        made = before.made - constants.made
        self.assertEqual((before.exchanges, sum(made.values()) - made["Deferred"]), (0, 0))
        # a Deferred that fails unseen says so when it is collected
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        # every fault was made
        self.assertEqual({f"upstream: {how}" for how in UPSTREAM} - set(rig.ended), set())
        self.assertEqual({f"client: {how}" for how in CLIENT} - set(rig.ended), set())
