"""Request bodies on their way upstream."""

from __future__ import annotations

from typing import IO

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.client import FileBodyProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class BytesBody:
    """A body that is in memory already: written at once, and again when the request has to be repeated.

    @ivar data: the bytes.
    """

    replayable = True

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing to pause: all was written at once."""

    def resumeProducing(self) -> None:
        """There is nothing to resume."""

    def stopProducing(self) -> None:
        """There is nothing to stop."""


class FileBody(FileBodyProducer):
    """A body that was spooled to a file: read as the upstream takes it, once."""

    replayable = False

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)


RequestBody = BytesBody | FileBody
