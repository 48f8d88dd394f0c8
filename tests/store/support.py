"""What tests of several homes share."""

from __future__ import annotations

import json
import subprocess
import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from oaiproxy.interfaces import IStateStore
from oaiproxy.store import StoreUnavailable
from tests.process import PATIENCE, ROOT, clean_environ


def counted(place: str, processes: int, times: int) -> list[list[int]]:
    """What processes find that add 1 to one count so many times each, all at the same moment; blocks."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.counting", place, str(times)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=clean_environ({}),
        )
        for _ in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in running]
    finally:
        for process in running:
            process.kill()
            process.communicate()


async def unavailable(test: TestCase, working: Deferred[object]) -> str:
    """What a call says that fails because the store cannot be used."""
    try:
        found = await working
    except StoreUnavailable as e:
        return str(e)
    raise test.failureException(f"it has an answer: {found!r}")


async def every_call(test: TestCase, store: IStateStore) -> list[str]:
    """What each kind of call says of a store that cannot be used."""
    calls: list[Deferred[object]] = [
        store.get([b"a"]),  # type: ignore[list-item]
        store.put({b"a": b"1"}, 10),  # type: ignore[list-item]
        store.forget([b"a"]),  # type: ignore[list-item]
        store.add({b"a": 1}, 10),  # type: ignore[list-item]
    ]
    return [await unavailable(test, call) for call in calls]
