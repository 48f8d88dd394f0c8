"""Request bodies on their way: at the pace of who takes them, as often as it takes."""

from __future__ import annotations

from io import BytesIO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oaiproxy.relay import BytesBody, FileBody, RequestBody
from oaiproxy.relay.upload import Upload

LARGE = bytes(range(256)) * 1000


@implementer(IConsumer)
class Taker:
    """Takes what it gets, and has enough after each piece where it is told to."""

    def __init__(self, upload: Upload, pausing: bool = False) -> None:
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
    def sending(self, body: RequestBody, pausing: bool = False) -> tuple[Upload, Taker, Deferred[None]]:
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
        for body in (BytesBody(LARGE), FileBody(BytesIO(LARGE))):
            upload, taker, done = self.sending(body, pausing=True)
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

    def test_a_file_is_sent_again_from_its_beginning_and_stays_open(self) -> None:
        file = BytesIO(LARGE)
        body = FileBody(file)
        self.sending(body, pausing=True)  # which is given up
        for _ in range(2):
            _, taker, done = self.sending(body)
            self.successResultOf(done)
            self.assertEqual(taker.data, LARGE)
        self.assertFalse(file.closed)

    def test_two_sendings_of_one_file_do_not_disturb_each_other(self) -> None:
        body = FileBody(BytesIO(LARGE))
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

    def test_a_file_that_was_closed_in_the_middle_is_an_error(self) -> None:
        file = BytesIO(LARGE)
        upload, _, done = self.sending(FileBody(file), pausing=True)
        file.close()
        upload.resumeProducing()
        self.failureResultOf(done, ValueError)
        self.assertFalse(upload.ended)
