"""What is told of an error, and what it holds on to."""

from __future__ import annotations

import gc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.place import let_go


class _Work:
    """What a frame worked on."""


def _failed(work: _Work) -> ValueError:
    """An error that came of another one, and frames that hold both of them and what they worked on."""
    try:
        try:
            raise KeyError("before")
        except KeyError as e:
            first = e
            raise ValueError("after") from None
    except ValueError as e:
        kept = first, e
    return kept[1]


class LetGoTests(SynchronousTestCase):
    def setUp(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)

    def test_nothing_that_an_error_held_waits_for_the_garbage_collector(self) -> None:
        work = _Work()
        seen = weakref.ref(work)
        error = _failed(work)
        del work
        self.assertIsNotNone(seen())
        let_go(error)
        del error
        self.assertIsNone(seen())

    def test_the_error_says_what_it_said(self) -> None:
        error = _failed(_Work())
        let_go(error)
        self.assertEqual(str(error), "after")
