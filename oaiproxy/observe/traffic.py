"""The traffic log: a file with one JSON object a line for every step of every exchange."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from oaiproxy.interfaces import IExchangeObserver
from oaiproxy.observe.exchange import LoggedBody, timestamp

_log = Logger()

#: The direction of the record that says how many records are missing before it; beside those of `Direction`.
DROPPED = "records-dropped"

#: Bytes of records that may wait for the disk: seconds of heavy traffic, and not much beside the bodies themselves.
QUEUE_LIMIT = 32 * 2**20

#: Seconds for which records are collected before they are written: a hand-over to a thread costs as much as ten
#: records, and nobody who follows the file sees the difference.
DELAY = 0.05

#: Bytes of records that are written without waiting for `DELAY`.
BATCH = 256 * 2**10

#: Runs a function in another thread and gives its result; one call at a time is made.
InThread = Callable[[Callable[[], "Outcome"]], "Deferred[Outcome]"]


class LogFileError(OSError):
    """The traffic log cannot be opened; the text says why, for the operator."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    @ivar lost: how many of its records are not in the file.
    @ivar error: what the disk said, or None.
    """

    lost: int
    error: OSError | None = None


@implementer(IExchangeObserver)
class TrafficLog(Service):
    """Writes what it observes to a file: a new one at every start, which only its owner can read (mode 0600).

    Records are encoded and written in the reactor's thread pool, in order, one batch at a time.  When the disk is
    slower than the traffic, records are dropped rather than kept, and a record says how many.  A disk that fails is
    said once in the service's log; everything else goes on.

    Several processes may write to one file: the first begins it, the others get its descriptor.  Each writes whole
    lines while it has the file's lock, and none is left cut by one that was killed.

    @ivar fd: the file's descriptor while it is open, or None.
    """

    name = "traffic-log"

    def __init__(
        self,
        path: str | Path,
        reactor: IReactorTime,
        *,
        in_thread: InThread | None = None,
        limit: int = QUEUE_LIMIT,
        begun: int | None = None,
    ) -> None:
        """
        @param path: the file; a relative one is meant from the working directory of now.
        @param reactor: also provides C{IReactorThreads} unless there is an `in_thread`.
        @param in_thread: runs a function in a thread; by default in the reactor's thread pool.
        @param limit: how many bytes of records may wait for the disk.
        @param begun: the descriptor of the file where another process has begun it, and others write to it too.
        """
        self._path = os.path.abspath(path)
        self._reactor = reactor
        self._in_thread = in_thread or _in_pool_of(reactor)
        self._limit = limit
        self.fd: int | None = None
        self._begun = begun
        self._queue: list[dict[str, object]] = []
        self._waiting = 0  # bytes in _queue
        self._writing = 0  # bytes in the batch that is being written
        self._busy = False
        self._dropped = 0  # records that are missing and of which no record says so yet
        self._failed = False
        self._call: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None

    def open(self) -> None:
        """Start the file.  `startService` does it unless it was done before, to tell the operator of a bad name early.

        A symbolic link is not followed and a device or pipe is not taken: it is one file, and empty, or it is an error.

        @raise LogFileError: it cannot be done.
        """
        if self.fd is None:
            self.fd = _open(self._path) if self._begun is None else self._begun
            self._failed = False

    def startService(self) -> None:
        self.open()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Write what waits and close the file.

        @return: fires when that is done.
        """
        super().stopService()
        self._note_dropped()
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        self._next()
        return stopped

    def observe(self, record: dict[str, object]) -> None:
        """Take a record to be written; nothing where the service does not run.

        @param record: see `IExchangeObserver.observe`; it is kept, and encoded later.
        """
        if not self.running:
            return
        size = _size(record)
        queued = self._waiting + self._writing
        if queued and queued + size > self._limit:
            self._dropped += 1
            return
        self._note_dropped()
        self._queue.append(record)
        self._waiting += size
        self._schedule()

    def _schedule(self) -> None:
        """See to it that what waits is written."""
        if self._busy:
            return
        if self._waiting >= BATCH or self._stopped is not None:
            self._next()
        elif self._queue and self._call is None:
            self._call = self._reactor.callLater(DELAY, self._next)

    def _note_dropped(self) -> None:
        """Say in the queue that records are missing there."""
        if self._dropped:
            self._queue.append(
                {
                    "timestamp": timestamp(self._reactor.seconds()),
                    "port": None,
                    "exchange": None,
                    "direction": DROPPED,
                    "payload": {"records": self._dropped},
                }
            )
            self._dropped = 0

    def _next(self) -> None:
        """Write what waits now, if nothing is being written."""
        if self._call is not None:
            if self._call.active():
                self._call.cancel()
            self._call = None
        if self._busy:
            return
        if self._queue and self.fd is not None:
            self._busy = True
            batch, self._queue = self._queue, []
            self._writing, self._waiting = self._waiting, 0
            fd, shared = self.fd, self._begun is not None
            self._in_thread(lambda: _append(fd, batch, shared=shared)).addBoth(self._written, batch)
        elif self._stopped is not None:
            self._close()

    def _written(self, result: Outcome | Failure, batch: list[dict[str, object]]) -> None:
        self._busy = False
        self._writing = 0
        if isinstance(result, Failure):
            self._dropped += sum(map(_count, batch))
            error: BaseException | None = result.value
        else:
            self._dropped += result.lost
            error = result.error
        if error is None:
            self._note_dropped()
        elif not self._failed:
            # the note waits for the next record that comes: no writing in a circle
            self._failed = True
            _log.error(
                "The traffic log {path} cannot be written: {reason}. Records are lost until it can; all else goes on.",
                path=self._path,
                reason=getattr(error, "strerror", None) or repr(error),
            )
        self._schedule()

    def _close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)


def _in_pool_of(reactor: IReactorTime) -> InThread:
    threads = IReactorThreads(reactor)
    return lambda write: deferToThreadPool(threads, threads.getThreadPool(), write)


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            # first the mode, then what must not be read under the old one
            os.fchmod(fd, 0o600)
            os.ftruncate(fd, 0)
        except OSError:
            os.close(fd)
            raise
    except OSError as e:
        reason = "it is a symbolic link; name the file itself" if e.errno == errno.ELOOP else e.strerror
        raise LogFileError(f"The traffic log {path} cannot be opened: {reason}.") from e
    return fd


def _size(record: dict[str, object]) -> int:
    """About how many bytes a record holds."""
    return 200 + _length(record.get("payload"))


def _length(value: object) -> int:
    if isinstance(value, (str, bytes, LoggedBody)):
        return 8 + len(value)
    if isinstance(value, dict):
        return 8 + sum(map(_length, value.values()))
    if isinstance(value, (list, tuple)):
        return 8 + sum(map(_length, value))
    return 8


def _encode_body(value: object) -> object:
    if isinstance(value, LoggedBody):
        return msgspec.Raw(value.as_json())
    raise NotImplementedError(f"{type(value).__name__} in a record")


_encode = msgspec.json.Encoder(enc_hook=_encode_body).encode


def _append(fd: int, batch: list[dict[str, object]], *, shared: bool = False) -> Outcome:
    """Write records as lines; in a thread.  Never leaves half a line: what a full disk cut is taken back.

    @param shared: whether other processes write to the file too.
    """
    lost = 0
    lines = bytearray()
    unwritten = 0  # records in `lines`, and those that they say are missing
    for n, record in enumerate(batch, 1):
        try:
            lines += _encode(record) + b"\n"
            unwritten += _count(record)
        except Exception:  # an observer takes records from anywhere; one that is no JSON must not take others along
            lost += 1
        if len(lines) >= BATCH or n == len(batch):
            try:
                with _alone(fd) if shared else nullcontext():
                    _write(fd, bytes(lines))
            except OSError as e:
                return Outcome(lost + unwritten + sum(map(_count, batch[n:])), e)
            lines.clear()
            unwritten = 0
    return Outcome(lost)


def _count(record: dict[str, object]) -> int:
    """How many records are missing where this one is."""
    payload = record.get("payload")
    return payload["records"] if record.get("direction") == DROPPED and isinstance(payload, dict) else 1


def _write(fd: int, data: bytes) -> None:
    """Append all of it, or nothing."""
    end = os.fstat(fd).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(fd, end)
        raise


@contextmanager
def _alone(fd: int) -> Iterator[None]:
    """Keep other processes from writing; half a line of one that was killed while it wrote is taken back.

    The lock is the process's (fcntl(2)), which is why the descriptor may be one that all of them have; it ends with the
    process.
    """
    fcntl.lockf(fd, fcntl.LOCK_EX)
    try:
        _take_back_half_a_line(fd)
        yield
    finally:
        fcntl.lockf(fd, fcntl.LOCK_UN)


def _take_back_half_a_line(fd: int) -> None:
    end = os.fstat(fd).st_size
    if not end or os.pread(fd, 1, end - 1) == b"\n":
        return
    whole = at = end
    while at and whole == end:
        at, piece_end = max(0, at - BATCH), at
        found = os.pread(fd, piece_end - at, at).rfind(b"\n")
        if found >= 0:
            whole = at + found + 1
    os.ftruncate(fd, 0 if whole == end else whole)
