"""Choosing among the efforts that a model takes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.models import Capabilities

#: (what the model takes, what is wanted) -> what comes nearest
NEAREST = {
    ("none low medium high", "medium"): "medium",
    ("none low medium high", "none"): "none",
    ("none low medium high", "minimal"): "low",
    ("none low medium high", "max"): "high",
    ("high", "medium"): "high",
    ("medium", "none"): "medium",
    ("medium high xhigh", "low"): "medium",
    # as near on both sides: the lower
    ("low high", "medium"): "low",
    # none is never instead of another
    ("none high", "low"): "high",
    ("none", "low"): None,
    ("", "medium"): None,
}


class EffortTests(SynchronousTestCase):
    def test_the_nearest_effort(self) -> None:
        for (efforts, wanted), nearest in NEAREST.items():
            can = Capabilities(reasoning=True, efforts=frozenset(efforts.split()))
            self.assertEqual(can.nearest_effort(wanted), nearest, (efforts, wanted))

    def test_the_lowest_effort_still_reasons(self) -> None:
        self.assertEqual(Capabilities(efforts=frozenset({"none", "high", "low"})).lowest_effort, "low")
        self.assertEqual(Capabilities(efforts=frozenset({"minimal", "low"})).lowest_effort, "minimal")
        self.assertEqual(Capabilities(efforts=frozenset({"none"})).lowest_effort, None)
