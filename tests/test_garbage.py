"""The garbage collector of a service that is up."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.process import ROOT, clean_environ


class SettleTests(SynchronousTestCase):
    def test_what_there_is_is_not_looked_through_again(self) -> None:
        program = (
            "import gc, oaiproxy.garbage as g; before = gc.get_threshold(); g.settle(); "
            "print(gc.get_freeze_count() > 1000, gc.get_threshold()[0] > before[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=clean_environ({}), capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "True True\n")
