"""The store that is an SQLite file: it survives a restart, and the processes of one machine share it.

All of it happens in one thread, on one connection.  So what is put is there for what is asked after it, nothing waits
for a lock that the process itself holds, and a disk that does not answer holds up that thread and no other: whoever
asks is told so when the time is over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from oaiproxy.interfaces import IStateStore, IStoreState
from oaiproxy.store import sqlitefile
from oaiproxy.store.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

#: Whoever asks waits no longer, in seconds.
DEADLINE = 1.0

#: A file that failed is left alone for so many seconds: what is asked meanwhile fails at once.
PAUSE = 1.0

#: So many calls may wait for the thread.
MOST_WAITING = 1000

#: What is over is looked for every so many seconds.
SWEEP_EVERY = 60.0

#: When the store is closed, what was begun has so many seconds to end.
LAST = 5.0

_Job = Callable[Concatenate[sqlite3.Connection, P], T]


class _Daemon(Thread):
    """A thread that does not keep the process from its end, should it hang."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class _Threads(ThreadPool):
    threadFactory = _Daemon


@implementer(IStateStore, IStoreState)
class SqliteStore:
    """Keeps values and counts in a file; see `oaiproxy.store.sqlitefile` for what is in it.

    @ivar available: whether the last call was answered.
    """

    _log = Logger()

    def __init__(self, reactor: Any, path: Path, limit: int, *, durable: bool = True, check: bool = True) -> None:
        """Open the file, which blocks; where it is not there it is made.

        @param reactor: for time and threads.
        @param path: the file.
        @param limit: how many bytes the file may have.
        @param durable: whether it has to be whole after the machine lost its power.
        @param check: look through the file for damage.
        @raise oaiproxy.store.StoreRefused: it cannot be used.
        """
        self._reactor = reactor
        self._name = f"sqlite:{path}"
        self._limit = limit
        self._connection = sqlitefile.connect(path, durable=durable, check=check)
        self._threads = _Threads(1, 1, "store")
        self._waiting = self._late = 0
        self._again = self._sweep_at = 0.0
        self._closed = False
        self.available = True

    def get(self, keys: Sequence[bytes]) -> Deferred[list[bytes | None]]:
        if not keys:
            return succeed([])
        now = self._reactor.seconds()
        return self._do(sqlitefile.get, keys, now).addCallback(self._got, now)

    def _got(self, found: sqlitefile.Found, now: float) -> list[bytes | None]:
        if found.stale:
            self._aside(sqlitefile.use, found.stale, now)
        self._sweep(now)
        return found.values

    def put(self, entries: Mapping[bytes, bytes], seconds: float) -> Deferred[None]:
        if not entries:
            return succeed(None)
        now = self._reactor.seconds()
        putting = self._do(sqlitefile.put, dict(entries), now, now + seconds, self._limit)
        self._sweep(now)
        return putting

    def forget(self, keys: Sequence[bytes]) -> Deferred[None]:
        return self._do(sqlitefile.forget, tuple(keys)) if keys else succeed(None)

    def add(self, amounts: Mapping[bytes, int], seconds: float) -> Deferred[list[int]]:
        if not amounts:
            return succeed([])
        now = self._reactor.seconds()
        adding = self._do(sqlitefile.add, dict(amounts), now, now + seconds)
        self._sweep(now)
        return adding

    def _sweep(self, now: float) -> None:
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY
            self._aside(sqlitefile.sweep, now, self._limit).addCallback(self._swept)

    def _swept(self, more: bool | None) -> None:
        if more:
            # behind what was asked for meanwhile
            self._sweep_at = 0.0
            self._sweep(self._reactor.seconds())

    def _aside(self, job: _Job[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T | None]:
        """Do something for which nobody waits; None where it fails."""
        return self._do(job, *args, **kwargs).addErrback(lambda reason: None)

    def _do(self, job: _Job[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Do something in the thread.

        @return: fails with `StoreUnavailable` where it fails, or takes too long.
        """
        if self._closed:
            return fail(StoreUnavailable(f"{self._name} is closed"))
        if (
            self._late
            or self._waiting >= MOST_WAITING
            or (not self.available and self._reactor.seconds() < self._again)
        ):
            return fail(StoreUnavailable(f"{self._name} did not answer a moment ago"))
        outcome: Deferred[T] = Deferred()
        is_late = False

        def late() -> None:
            nonlocal is_late
            is_late = True
            # nobody else is to wait until this one is answered
            self._late += 1
            fire(Failure(self._failed(f"no answer within {DEADLINE:g} s")))

        def done(result: Any) -> None:
            self._waiting -= 1
            if is_late:
                self._late -= 1
            else:
                timer.cancel()
            if not isinstance(result, Failure):
                self._worked()
            elif not is_late:
                result = Failure(self._failed(_reason(result)))
            fire(result)

        def fire(result: Any) -> None:
            # who asked may have left as well
            if not outcome.called:
                outcome.callback(result)

        timer = self._reactor.callLater(DEADLINE, late)
        self._waiting += 1
        self._work(job, *args, **kwargs).addBoth(done)
        return outcome

    def _work(self, job: _Job[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        if not self._threads.started:
            # not before the reactor runs: it has to be there to end it
            self._threads.start()
        return deferToThreadPool(self._reactor, self._threads, job, self._connection, *args, **kwargs)

    def _failed(self, reason: str) -> StoreUnavailable:
        self._again = self._reactor.seconds() + PAUSE
        if self.available:
            self.available = False
            self._log.error("the store {name} cannot be used: {reason}", name=self._name, reason=reason)
        return StoreUnavailable(f"{self._name}: {reason}")

    def _worked(self) -> None:
        if not (self.available or self._late):
            self.available = True
            self._log.info("the store {name} can be used again", name=self._name)

    def close(self) -> Deferred[None]:
        if self._closed:
            return succeed(None)
        self._closed = True
        if not self._threads.started:
            self._connection.close()
            return succeed(None)
        # behind all that was begun
        closing: Deferred[None] = self._work(sqlite3.Connection.close)
        closing.addCallback(lambda _: self._threads.stop())
        return closing.addTimeout(LAST, self._reactor).addErrback(self._not_closed)

    def _not_closed(self, reason: Failure) -> None:
        self._log.error("the store {name} was not closed: {reason}", name=self._name, reason=reason.getErrorMessage())


def _reason(failure: Failure) -> str:
    # SQLite's own words, which hold no values; of anything else no more than the kind
    return str(failure.value) if failure.check(sqlite3.Error) else type(failure.value).__name__
