"""The traffic log's file: what is in it, who can read it, and what happens when the disk does not keep up or fails."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from oaiproxy.api.secrets import Secrets
from oaiproxy.interfaces import IExchangeObserver
from oaiproxy.observe.exchange import ExchangeLog, LoggedBody
from oaiproxy.observe.traffic import BATCH, DELAY, LogFileError, Outcome, TrafficLog


def record(text: str, **more: object) -> dict[str, object]:
    return {
        "timestamp": "1970-01-01T00:00:00.000Z",
        "port": "bridge",
        "exchange": "e-1",
        "direction": "upstream-response-chunk",
        "payload": {"text": text},
        **more,
    }


class Threads:
    """Stands for the thread pool: a job runs when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Outcome], Deferred[Outcome]]] = []

    def __call__(self, job: Callable[[], Outcome]) -> Deferred[Outcome]:
        done: Deferred[Outcome] = Deferred()
        self.jobs.append((job, done))
        return done

    def run(self) -> None:
        job, done = self.jobs.pop(0)
        maybeDeferred(job).chainDeferred(done)


class TrafficLogCase(SynchronousTestCase):
    """A running log whose thread is `threads`, or runs at once where a test sets `threads` to None."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.path = Path(self.mktemp())

    def started(self, *, at_once: bool = True, **more: Any) -> TrafficLog:
        log = TrafficLog(self.path, self.clock, in_thread=maybeDeferred if at_once else self.threads, **more)
        log.startService()
        self.addCleanup(self.stop, log)
        return log

    def stop(self, log: TrafficLog) -> None:
        if log.running:
            stopped = log.stopService()
            while self.threads.jobs:
                self.threads.run()
            self.successResultOf(stopped)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def texts(self) -> list[str]:
        return [line["payload"]["text"] for line in self.lines()]

    def said(self) -> list[LogEvent]:
        """The list to which everything is added that is logged from here on by the module under test."""
        events: list[LogEvent] = []

        @implementer(ILogObserver)
        def keep(event: LogEvent) -> None:
            if event.get("log_namespace") == "oaiproxy.observe.traffic":
                events.append(event)

        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        return events


class FileTests(TrafficLogCase):
    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_a_new_file_is_only_for_its_owner_whatever_the_umask(self) -> None:
        for mask in (0o000, 0o077, 0o277):
            with self.subTest(mask=mask):
                before = os.umask(mask)
                try:
                    log = self.started()
                finally:
                    os.umask(before)
                self.assertEqual(self.mode(), 0o600)
                self.stop(log)
                self.path.unlink()

    def test_an_old_file_is_emptied_and_closed_to_others(self) -> None:
        self.path.write_text("old\n")
        self.path.chmod(0o666)
        self.started()
        self.assertEqual((self.path.read_bytes(), self.mode()), (b"", 0o600))

    def test_each_start_begins_a_new_file(self) -> None:
        log = self.started()
        log.observe(record("first"))
        self.stop(log)
        self.assertEqual(self.texts(), ["first"])
        log.startService()
        log.observe(record("second"))
        self.stop(log)
        self.assertEqual(self.texts(), ["second"])

    def test_opening_early_and_starting_is_one_opening(self) -> None:
        log = TrafficLog(self.path, self.clock, in_thread=maybeDeferred)
        log.open()
        self.path.write_text("still the same file\n")
        log.startService()
        self.stop(log)
        self.assertEqual(self.path.read_text(), "still the same file\n")

    def test_a_relative_path_is_meant_from_where_it_was_named(self) -> None:
        before = Path.cwd()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.addCleanup(os.chdir, before)
        os.chdir(folder)
        log = TrafficLog("traffic.jsonl", self.clock, in_thread=maybeDeferred)
        os.chdir(before)
        log.startService()
        self.stop(log)
        self.assertTrue((folder / "traffic.jsonl").exists())

    def refused(self, path: Path, reason: str) -> None:
        log = TrafficLog(path, self.clock, in_thread=maybeDeferred)
        e = self.assertRaises(LogFileError, log.startService)
        self.assertIsInstance(e, OSError)
        self.assertEqual(str(e), f"The traffic log {path.absolute()} cannot be opened: {reason}.")
        self.assertFalse(log.running)

    def test_a_name_that_cannot_be_opened_is_said_clearly(self) -> None:
        self.refused(self.path / "nowhere" / "log", "No such file or directory")
        self.path.mkdir()
        self.refused(self.path, "Is a directory")

    def test_a_symbolic_link_is_not_followed(self) -> None:
        target = Path(self.mktemp())
        target.write_text("somebody else's")
        self.path.symlink_to(target.absolute())
        self.refused(self.path, "it is a symbolic link; name the file itself")
        self.assertEqual(target.read_text(), "somebody else's")

    def test_what_is_no_file_is_not_taken_and_not_waited_for(self) -> None:
        os.mkfifo(self.path)
        self.refused(self.path, "it is not a regular file")

    def test_no_descriptor_is_left_open(self) -> None:
        before = len(os.listdir("/dev/fd"))
        self.stop(self.started())
        self.path.unlink()
        self.path.symlink_to("x")
        self.assertRaises(LogFileError, TrafficLog(self.path, self.clock, in_thread=maybeDeferred).open)
        self.assertEqual(len(os.listdir("/dev/fd")), before)


class WritingTests(TrafficLogCase):
    def test_it_is_an_observer(self) -> None:
        self.assertTrue(verifyObject(IExchangeObserver, self.started()))

    def test_a_record_is_a_line_of_json(self) -> None:
        log = self.started()
        log.observe(record("data: {}\n\n"))
        self.clock.advance(DELAY)
        self.assertEqual(
            self.path.read_bytes(),
            b'{"timestamp":"1970-01-01T00:00:00.000Z","port":"bridge","exchange":"e-1",'
            b'"direction":"upstream-response-chunk","payload":{"text":"data: {}\\n\\n"}}\n',
        )

    def test_a_body_is_rendered_when_it_is_written(self) -> None:
        log = self.started()
        body = LoggedBody(b'{\n "a": 1.50,\n "authorization": "x"\n}', Secrets())
        log.observe(record("", payload={"body": body}))
        self.clock.advance(DELAY)
        self.assertTrue(
            self.path.read_bytes().endswith(b'"payload":{"body":{"a":1.50,"authorization":"***"}}}\n'),
        )

    def test_records_are_collected_and_written_in_order(self) -> None:
        log = self.started(at_once=False)
        log.observe(record("1"))
        self.clock.advance(DELAY / 2)
        log.observe(record("2"))
        self.assertEqual(self.threads.jobs, [])
        self.clock.advance(DELAY / 2)
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.run()
        self.assertEqual(self.texts(), ["1", "2"])

    def test_a_full_batch_is_not_waited_with(self) -> None:
        log = self.started(at_once=False)
        log.observe(record("x" * BATCH))
        self.assertEqual((len(self.threads.jobs), self.clock.getDelayedCalls()), (1, []))

    def test_there_is_one_write_at_a_time(self) -> None:
        log = self.started(at_once=False)
        for text in ("1", "2", "3"):
            log.observe(record(text + "x" * BATCH))
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.run()
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.run()
        self.assertEqual([text[0] for text in self.texts()], ["1", "2", "3"])

    def test_what_comes_during_a_write_is_collected_again(self) -> None:
        log = self.started(at_once=False)
        log.observe(record("1"))
        self.clock.advance(DELAY)
        log.observe(record("2"))
        self.threads.run()
        self.assertEqual(self.threads.jobs, [])
        self.clock.advance(DELAY)
        self.threads.run()
        self.assertEqual(self.texts(), ["1", "2"])

    def test_when_it_does_not_run_it_takes_nothing(self) -> None:
        log = self.started()
        self.stop(log)
        log.observe(record("late"))
        self.clock.advance(DELAY)
        self.assertEqual((self.path.read_bytes(), self.clock.getDelayedCalls()), (b"", []))

    def test_a_record_that_is_no_json_does_not_take_others_along(self) -> None:
        log = self.started()
        log.observe(record("1"))
        log.observe(record("", payload=object()))
        log.observe(record("2"))
        self.clock.advance(DELAY)
        self.clock.advance(DELAY)
        self.assertEqual([line["payload"] for line in self.lines()], [{"text": "1"}, {"text": "2"}, {"records": 1}])

    def test_a_planted_key_is_nowhere_in_the_file(self) -> None:
        key = b"planted-key-without-a-prefix"
        log = self.started()
        exchange = ExchangeLog([log], "bridge", "e-1", self.clock.seconds)
        headers = [(b"Authorization", b"Bearer " + key), (b"X-Note", key)]
        exchange.downstream_request("POST", b"/v1/x?api_key=" + key, headers, b'{"note":"' + key + b'"}')
        exchange.upstream_request("POST", b"https://u:" + key + b"@h/v1/x", headers, b'["' + key + b'"]')
        exchange.upstream_response(401, [(b"WWW-Authenticate", b"Bearer realm=" + key)])
        for n in range(len(key)):
            exchange.upstream_chunk(key[n : n + 1])
        exchange.downstream_response(401, [], b"Incorrect API key: " + key)
        exchange.close()
        self.stop(log)
        self.assertEqual(len(self.lines()), 5)
        self.assertNotIn(key, self.path.read_bytes())


class SharedTests(TrafficLogCase):
    """Several processes write to one file."""

    def joined(self, first: TrafficLog) -> TrafficLog:
        assert first.fd is not None
        return self.started(begun=os.dup(first.fd))

    def write(self, log: TrafficLog, text: str) -> None:
        log.observe(record(text))
        self.clock.advance(DELAY)

    def test_who_joins_adds_to_what_is_there(self) -> None:
        first = self.started()
        self.write(first, "1")
        others = [self.joined(first), self.joined(first)]
        self.write(others[0], "2")
        self.write(others[1], "3")
        self.write(others[0], "4")
        self.assertEqual(self.texts(), ["1", "2", "3", "4"])

    def test_half_a_line_of_one_that_was_killed_is_taken_back(self) -> None:
        for half in ("{", '{"timestamp": ' + "x" * BATCH * 2):
            first = self.started()
            other = self.joined(first)
            self.write(other, "1")
            with self.path.open("a") as file:
                file.write(half)
            self.write(other, "2")
            self.assertEqual(self.texts(), ["1", "2"])

    def test_where_there_is_nothing_else_the_file_is_empty_again(self) -> None:
        other = self.joined(self.started())
        with self.path.open("a") as file:
            file.write("{")
        self.write(other, "1")
        self.assertEqual(self.texts(), ["1"])

    def test_it_is_written_while_the_file_is_locked(self) -> None:
        steps: list[object] = []
        write = os.write
        self.patch(fcntl, "lockf", lambda fd, how: steps.append(how))
        self.patch(os, "write", lambda fd, data: steps.append("write") or write(fd, data))
        first = self.started()
        self.write(first, "1")
        self.assertEqual(steps, ["write"])
        steps.clear()
        self.write(self.joined(first), "2")
        self.assertEqual(steps, [fcntl.LOCK_EX, "write", fcntl.LOCK_UN])


class StoppingTests(TrafficLogCase):
    def test_stopping_writes_what_waits(self) -> None:
        log = self.started(at_once=False)
        log.observe(record("1"))
        stopped = log.stopService()
        self.assertNoResult(stopped)
        self.threads.run()
        self.successResultOf(stopped)
        self.assertEqual((self.texts(), self.clock.getDelayedCalls()), (["1"], []))

    def test_stopping_waits_for_the_write_under_way_and_writes_the_rest(self) -> None:
        log = self.started(at_once=False)
        log.observe(record("1"))
        self.clock.advance(DELAY)
        log.observe(record("2"))
        stopped = log.stopService()
        self.threads.run()
        self.assertNoResult(stopped)
        self.threads.run()
        self.successResultOf(stopped)
        self.assertEqual(self.texts(), ["1", "2"])

    def test_stopping_with_nothing_to_write_is_done_at_once(self) -> None:
        log = self.started(at_once=False)
        self.successResultOf(log.stopService())

    def test_stopping_what_never_started_is_done_at_once(self) -> None:
        self.successResultOf(TrafficLog(self.path, self.clock, in_thread=self.threads).stopService())


class SlowDiskTests(TrafficLogCase):
    def test_what_does_not_fit_is_dropped_and_counted_where_it_is_missing(self) -> None:
        log = self.started(at_once=False, limit=2000)
        log.observe(record("1" * 1000))
        self.clock.advance(DELAY)
        for text in ("2", "3", "4"):
            log.observe(record(text * 1000))
        self.threads.run()
        log.observe(record("5"))
        self.stop(log)
        self.assertEqual(
            [line["payload"].get("text", "")[:1] or line for line in self.lines()],
            [
                "1",
                {
                    "timestamp": "1970-01-01T00:00:00.050Z",
                    "port": None,
                    "exchange": None,
                    "direction": "records-dropped",
                    "payload": {"records": 3},
                },
                "5",
            ],
        )

    def test_what_was_dropped_at_last_is_said_at_the_stop(self) -> None:
        log = self.started(at_once=False, limit=1000)
        log.observe(record("1"))
        log.observe(record("2" * 1000))
        self.stop(log)
        self.assertEqual([line["payload"] for line in self.lines()], [{"text": "1"}, {"records": 1}])

    def test_one_that_is_larger_than_the_limit_is_taken_when_nothing_waits(self) -> None:
        log = self.started(limit=1000)
        log.observe(record("x" * 5000))
        self.clock.advance(DELAY)
        self.assertEqual(self.texts(), ["x" * 5000])


class BadThreadTests(TrafficLogCase):
    def test_a_thread_that_fails_loses_its_records_only(self) -> None:
        said = self.said()
        jobs: list[object] = []

        def thread(job: Callable[[], Outcome]) -> Deferred[Outcome]:
            jobs.append(job)
            return maybeDeferred(job) if len(jobs) > 1 else maybeDeferred(self.fail_in_thread)

        log = TrafficLog(self.path, self.clock, in_thread=thread)
        log.startService()
        log.observe(record("1"))
        self.clock.advance(DELAY)
        self.assertEqual([event["reason"] for event in said], ["MemoryError()"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        log.observe(record("2"))
        self.stop(log)
        self.assertEqual([line["payload"] for line in self.lines()], [{"records": 1}, {"text": "2"}])

    def fail_in_thread(self) -> Outcome:
        raise MemoryError


class BadDiskTests(TrafficLogCase):
    """The disk is full: really, by the limit on the size of files, of which writing beyond gives EFBIG."""

    #: A hole at the file's beginning, so that the limit is beyond the size of trial's own log.
    HOLE = 2**28

    def started(self, *, at_once: bool = True, **more: Any) -> TrafficLog:
        log = super().started(at_once=at_once, **more)
        os.truncate(self.path, self.HOLE)
        return log

    def written(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.HOLE)
            return file.read()

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.written().splitlines()]

    def full_at(self, size: int) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.HOLE + size, before[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)

    def not_full(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    def test_it_is_said_once_and_the_log_goes_on_when_there_is_room(self) -> None:
        said = self.said()
        log = self.started()
        log.observe(record("1"))
        self.clock.advance(DELAY)
        self.full_at(400)
        for text in ("2", "3"):
            log.observe(record(text * 1000))
            log.observe(record(text))
            self.clock.advance(DELAY)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.not_full()
        log.observe(record("4"))
        self.clock.advance(DELAY)
        self.assertEqual([line["payload"] for line in self.lines()], [{"text": "1"}, {"records": 4}, {"text": "4"}])
        self.assertEqual([event["reason"] for event in said], ["File too large"])
        self.assertEqual([event["path"] for event in said], [str(self.path.absolute())])

    def test_half_a_line_is_taken_back(self) -> None:
        log = self.started()
        self.full_at(300)
        log.observe(record("1"))
        self.clock.advance(DELAY)
        whole = self.written()
        log.observe(record("x" * 1000))
        self.clock.advance(DELAY)
        self.assertEqual((self.written(), self.texts()), (whole, ["1"]))
        self.not_full()


class RealThreadTests(TestCase):
    def test_the_reactors_thread_pool_writes(self) -> Deferred[None]:
        path = Path(self.mktemp())
        seen: set[int] = set()

        class Spy(LoggedBody):
            def as_json(self) -> bytes:
                seen.add(threading.get_ident())
                return super().as_json()

        log = TrafficLog(path, reactor)
        log.startService()
        for n in range(1000):
            log.observe(record(str(n), payload={"body": Spy(b"%d" % n, Secrets())}))

        def check(_: None) -> None:
            numbers = [json.loads(line)["payload"]["body"] for line in path.read_bytes().splitlines()]
            self.assertEqual(numbers, list(range(1000)))
            self.assertNotIn(threading.get_ident(), seen)

        return log.stopService().addCallback(check)
