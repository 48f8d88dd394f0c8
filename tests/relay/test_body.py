"""The limit on silence in an answer: what counts as silence, and what does not."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.errors import UpstreamIncomplete, UpstreamTimeout
from oaiproxy.relay import UpstreamBody
from oaiproxy.relay.alarm import Alarm


class Answer:
    """An answer whose body comes when a test says so."""

    upstream = "models.example:8443"

    def __init__(self, clock: Clock) -> None:
        self.aborted = False
        self.paused = True
        self._clock = clock
        self._alarm = Alarm(clock, lambda: self._late())
        self._late: Callable[[], None] = self.abort

    def collect(self, receive: Callable[[bytes], None]) -> Deferred[None]:
        self.come = receive
        self.paused = False
        self.end: Deferred[None] = Deferred()
        return self.end.addBoth(self._over)

    def _over(self, result: object) -> object:
        self._alarm.stop()
        return result

    def limit(self, seconds: float, late: Callable[[], None]) -> None:
        self._late = late
        self._alarm.set(seconds)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True
        self._alarm.stop()


class SilenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.answer = Answer(self.clock)
        self.got: list[bytes] = []
        self.body = UpstreamBody(self.answer, self.got.append, self.clock, 600)  # type: ignore[arg-type]
        self.body.start()
        self.done: Deferred[None] = self.body.done

    def test_silence_beyond_the_limit_ends_it_and_names_the_upstream_and_the_stage(self) -> None:
        self.answer.come(b"one")
        self.clock.advance(599)
        self.assertNoResult(self.done)
        self.clock.advance(1)
        error = self.failureResultOf(self.done, UpstreamTimeout).value
        self.assertEqual((error.status, error.code), (504, "upstream_timeout"))
        self.assertEqual(error.message, "The upstream models.example:8443 sent nothing more of its answer for 600 s.")
        self.assertTrue(self.answer.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_piece_begins_the_time_anew(self) -> None:
        for _ in range(10):
            self.clock.advance(500)
            self.answer.come(b".")
        self.clock.advance(599)
        self.assertNoResult(self.done)
        self.clock.advance(1)
        self.failureResultOf(self.done, UpstreamTimeout)

    def test_a_client_that_pauses_is_no_silence_of_the_upstream(self) -> None:
        self.answer.come(b"one")
        self.clock.advance(300)
        self.body.pauseProducing()
        for _ in range(10):
            self.clock.advance(599)
        self.assertNoResult(self.done)
        self.body.resumeProducing()
        self.clock.advance(599)
        self.assertNoResult(self.done)
        self.answer.come(b"two")
        self.clock.advance(599)
        self.assertNoResult(self.done)
        self.clock.advance(1)
        self.failureResultOf(self.done, UpstreamTimeout)
        self.assertEqual(self.got, [b"one", b"two"])

    def test_a_client_that_paused_before_it_began_still_does_when_it_has_begun(self) -> None:
        answer = Answer(self.clock)
        body = UpstreamBody(answer, self.got.append, self.clock, 600)  # type: ignore[arg-type]
        body.pauseProducing()
        body.start()
        self.assertTrue(answer.paused)
        body.resumeProducing()
        self.assertFalse(answer.paused)

    def test_nothing_is_left_of_a_body_that_has_ended(self) -> None:
        self.answer.end.callback(None)
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.answer.aborted)

    def test_a_body_that_breaks_off_is_said_of_its_upstream(self) -> None:
        self.answer.end.errback(ConnectionLost())
        error = self.failureResultOf(self.done, UpstreamIncomplete).value
        self.assertEqual(error.message, "The answer of the upstream models.example:8443 was cut off before its end.")

    def test_nothing_is_left_when_the_client_leaves(self) -> None:
        self.body.stopProducing()
        self.failureResultOf(self.done, CancelledError)
        self.assertTrue(self.answer.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
