"""One connection to a Redis server: commands go out, their answers come back in the same order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from hiredis import HiredisError, Reader, pack_command
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from oaiproxy.store.errors import StoreUnavailable

#: What a server's answer means to whoever reads the log, by its first word.
_MEANINGS = {
    "DENIED": "it is protected, and takes nobody from outside (protected-mode)",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "it is a replica whose master is down",
    "MISCONF": "it cannot save its data and takes no writes",
    "NOAUTH": "it wants a password",
    "NOPERM": "its user may not do that (ACL)",
    "OOM": "its memory is full and it drops nothing (maxmemory-policy)",
    "READONLY": "it is a replica and takes no writes",
    "WRONGPASS": "the user or the password is wrong",
}

#: Where a server begins to repeat what it was told.
_QUOTED = re.compile("['`\",]")

Command = Sequence[bytes | int]


class AnsweredError(Exception):
    """The server answers that it does not do it; the message holds nothing of what it was told.

    @ivar word: the first word of its answer, which is the kind of it.
    """

    def __init__(self, text: str) -> None:
        """@param text: its answer."""
        self.word = text.partition(" ")[0]
        super().__init__(_MEANINGS.get(self.word) or _QUOTED.split(text)[0].strip()[:100])


class RedisLink(Protocol):
    """A connection.  A command without an answer in time ends it: a later answer would be taken for the next one's."""

    transport: Any

    def __init__(self, reactor: Any, deadline: float) -> None:
        """
        @param reactor: for time.
        @param deadline: how long an answer may take, in seconds.
        """
        self._reactor = reactor
        self._reader = Reader(replyError=AnsweredError, notEnoughData=Reader)
        self._waiting: deque[tuple[float, Deferred[Any]]] = deque()
        self._watch: IDelayedCall | None = None
        self._reason = ""
        self._gone = self._closed = False
        self._ends: list[Deferred[str]] = []
        self._deadline = deadline

    @property
    def idle(self) -> bool:
        """Whether no answer is waited for."""
        return not self._waiting

    def hurry(self, deadline: float) -> None:
        """From now on an answer may take no longer than this."""
        self._deadline = deadline
        if self._watch is not None and not self._waiting:
            # it looks after longer than that
            self._watch.cancel()
            self._watch = None

    def send(self, commands: Sequence[Command]) -> list[Deferred[Any]]:
        """Send some commands.

        @return: their answers; one fails with `AnsweredError` where the server says so, and with `StoreUnavailable`
            where there is no answer.
        """
        until = self._reactor.seconds() + self._deadline
        answers: list[Deferred[Any]] = [Deferred() for _ in commands]
        if self._gone:
            for answer in answers:
                answer.errback(StoreUnavailable(self._reason))
            return answers
        self._waiting.extend((until, answer) for answer in answers)
        self.transport.write(b"".join(map(_packed, commands)))
        if self._watch is None:
            self._watch = self._reactor.callLater(self._deadline, self._look)
        return answers

    def _look(self, again: bool = False) -> None:
        """See whether the answer that is waited for the longest is late."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][0] - self._reactor.seconds()
        if left > 0:
            self._watch = self._reactor.callLater(left, self._look)
        elif -left > self._deadline / 5 and not again:
            # the process itself was busy meanwhile: the answer may be there, or the command not even sent
            self._watch = self._reactor.callLater(self._deadline, self._look, True)
        else:
            self.fail(f"no answer within {self._deadline:g} s")

    def dataReceived(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (found := self._reader.gets()) is not Reader:
                if not self._waiting:
                    self.fail("it says something that nobody asked")
                    return
                self._fire(self._waiting.popleft()[1], found)
        except HiredisError:
            self.fail("what answers there is no Redis server")

    @staticmethod
    def _fire(answer: Deferred[Any], found: Any) -> None:
        # whoever asked may have left
        if not answer.called:
            answer.errback(found) if isinstance(found, Exception) else answer.callback(found)

    def fail(self, reason: str) -> None:
        """End the connection at once.

        @param reason: why, for the log.
        """
        self._reason = self._reason or reason
        if self.transport is not None:
            self.transport.abortConnection()
        self._let_go()

    def lost(self) -> Deferred[str]:
        """Fires with the reason when the connection has ended; at once where there is none."""
        end: Deferred[str] = Deferred()
        if self._closed or self.transport is None:
            end.callback(self._reason)
        else:
            self._ends.append(end)
        return end

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Redis closes what it does not want any more without a word
        self._reason = self._reason or _why(reason)
        self._closed = True
        self._let_go()
        ends, self._ends = self._ends, []
        for end in ends:
            if not end.called:
                end.callback(self._reason)

    def _let_go(self) -> None:
        self._gone = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            self._fire(answer, StoreUnavailable(self._reason))


def _packed(command: Command) -> bytes:
    # its own annotation has it that a command is a single word
    packed: bytes = pack_command(tuple(command))  # type: ignore[arg-type]
    return packed


def _why(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, ConnectionDone):
        return "the connection was closed"
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        # OpenSSL's library, function and reason
        return f"TLS: {error.args[0][-1][-1]}"
    return str(error) or type(error).__name__
