"""Request bodies on their way: at the pace of who takes them, as often as it takes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oaiproxy.api.errors import ApiError, BadRequest
from oaiproxy.relay import BytesBody, StreamedBody
from oaiproxy.relay.upload import StreamedUpload, Upload

LARGE = bytes(range(256)) * 1000


@implementer(IConsumer)
class Taker:
    """Takes what it gets, and has enough after each piece where it is told to."""

    def __init__(self, upload: Upload | StreamedUpload, pausing: bool = False) -> None:
        self.upload = upload
        self.pausing = pausing
        self.pieces: list[bytes] = []

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nobody calls it."""

    def unregisterProducer(self) -> None:
        """Nobody calls it."""

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        if self.pausing:
            self.upload.pauseProducing()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class UploadTests(SynchronousTestCase):
    def sending(self, body: BytesBody, pausing: bool = False) -> tuple[Upload, Taker, Deferred[None]]:
        self.clock = Clock()
        upload = Upload(body, self.clock.seconds)
        taker = Taker(upload, pausing)
        return upload, taker, upload.startProducing(taker)

    def test_a_small_body_is_handed_over_at_once_and_not_copied(self) -> None:
        data = b'{"model": "gpt-5.1"}'
        upload, taker, done = self.sending(BytesBody(data))
        self.successResultOf(done)
        self.assertIs(taker.pieces[0], data)
        self.assertEqual((taker.pieces, upload.ended, upload.length), ([data], True, len(data)))

    def test_an_empty_body_ends(self) -> None:
        _, taker, done = self.sending(BytesBody(b""))
        self.successResultOf(done)
        self.assertEqual(taker.data, b"")

    def test_a_large_body_waits_for_its_taker(self) -> None:
        upload, taker, done = self.sending(BytesBody(LARGE), pausing=True)
        taken = []
        while not upload.ended:
            self.assertNoResult(done)
            taken.append(len(taker.data))
            upload.resumeProducing()
        self.successResultOf(done)
        self.assertEqual(taken, [65536, 131072, 196608])
        self.assertEqual(taker.data, LARGE)

    def test_it_knows_when_something_was_taken_last(self) -> None:
        upload, taker, _ = self.sending(BytesBody(LARGE), pausing=True)
        for seconds in (3, 5):
            self.clock.advance(seconds)
            upload.resumeProducing()
        self.clock.advance(100)
        self.assertEqual((upload.last, upload.ended, len(taker.data)), (8, False, 196608))

    def test_it_says_when_it_has_ended(self) -> None:
        told: list[bool] = []
        upload, _, _ = self.sending(BytesBody(LARGE), pausing=True)
        upload.on_end = lambda: told.append(upload.ended)
        while not upload.ended:
            self.assertEqual(told, [])
            upload.resumeProducing()
        self.assertEqual(told, [True])

    def test_once_it_has_ended_or_was_stopped_it_is_gone_with_the_body(self) -> None:
        # without the garbage collector, which looks seldom and knows nothing of how large a body is
        gc.disable()
        self.addCleanup(gc.enable)
        for stopped in (False, True):
            upload, taker, _ = self.sending(BytesBody(LARGE), pausing=True)
            upload.on_end = partial(len, [upload])
            if stopped:
                upload.stopProducing()
            while not (stopped or upload.ended):
                upload.resumeProducing()
            gone = weakref.ref(upload)
            del upload, taker.upload
            self.assertIsNone(gone(), f"stopped: {stopped}")

    def test_one_body_may_be_sent_several_times_at_once(self) -> None:
        body = BytesBody(LARGE)
        one, first, _ = self.sending(body, pausing=True)
        other, second, _ = self.sending(body, pausing=True)
        while not (one.ended and other.ended):
            one.resumeProducing()
            other.resumeProducing()
        self.assertEqual((first.data, second.data), (LARGE, LARGE))

    def test_once_stopped_it_sends_no_more(self) -> None:
        upload, taker, done = self.sending(BytesBody(LARGE), pausing=True)
        upload.stopProducing()
        upload.resumeProducing()
        self.assertEqual(len(taker.data), 65536)
        self.assertNoResult(done)


class Source:
    """A body that comes when the test says so, and notes what it is told."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.told: list[str] = []

    def take(
        self, receive: Callable[[bytes], None], ended: Callable[[], None], failed: Callable[[ApiError], None]
    ) -> None:
        self.receive, self.ended, self.failed = receive, ended, failed

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def discard(self) -> None:
        self.told.append("discard")


class StreamedUploadTests(SynchronousTestCase):
    def sending(self, length: int | None, framed: bool = True) -> tuple[Source, StreamedUpload, Taker, Deferred[None]]:
        self.clock = Clock()
        source = Source(length)
        body = StreamedBody(source, framed=framed)
        self.assertFalse(body.begun)
        upload = body.upload(self.clock.seconds)
        taker = Taker(upload)
        done = upload.startProducing(taker)
        self.assertTrue(body.begun)
        return source, upload, taker, done

    def test_pieces_go_on_as_they_come(self) -> None:
        source, upload, taker, done = self.sending(5)
        source.receive(b"he")
        source.receive(b"llo")
        self.assertNoResult(done)
        source.ended()
        self.successResultOf(done)
        self.assertEqual((taker.pieces, upload.ended), ([b"he", b"llo"], True))

    def test_a_body_whose_length_nobody_knows_goes_in_chunks(self) -> None:
        source, _, taker, done = self.sending(None)
        source.receive(b"hello")
        source.ended()
        self.successResultOf(done)
        self.assertEqual(taker.data, b"5\r\nhello\r\n0\r\n\r\n")

    def test_what_is_no_body_goes_as_it_is(self) -> None:
        source, _, taker, done = self.sending(None, framed=False)
        source.receive(b"hello")
        source.ended()
        self.successResultOf(done)
        self.assertEqual(taker.data, b"hello")

    def test_who_sends_is_held_back_by_who_takes(self) -> None:
        source, upload, _, _ = self.sending(5)
        for call in (upload.pauseProducing, upload.pauseProducing, upload.resumeProducing, upload.resumeProducing):
            call()
        self.assertEqual(source.told, ["pause", "resume"])

    def test_the_time_counts_only_while_who_takes_has_enough(self) -> None:
        _, upload, _, _ = self.sending(5)
        self.clock.advance(100)
        self.assertEqual(upload.last, 100)
        upload.pauseProducing()
        self.clock.advance(100)
        self.assertEqual(upload.last, 100)

    def test_what_does_not_come_is_an_error(self) -> None:
        source, _, _, done = self.sending(5)
        source.failed(BadRequest("late", status=408))
        self.assertEqual(self.failureResultOf(done, BadRequest).value.status, 408)

    def test_once_stopped_nothing_goes_on(self) -> None:
        source, upload, taker, done = self.sending(5)
        upload.stopProducing()
        upload.stopProducing()
        source.receive(b"hello")
        source.ended()
        source.failed(BadRequest("late"))
        self.assertNoResult(done)
        self.assertEqual((taker.pieces, source.told, upload.ended), ([], ["discard"], False))
