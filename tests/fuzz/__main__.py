"""Fuzzing: ``python -m tests.fuzz [TARGET ...]``, which ``tox -e fuzz`` runs.

Each target gets OAIPROXY_TEST_FUZZ_CASES cases (a million), a tenth of them from hypothesis and the rest from atheris,
which finds more in the same time; all of them from hypothesis where atheris is not installed.  Each target and fuzzer
is a process of its own, as many at a time as OAIPROXY_TEST_FUZZ_JOBS says (the number of processors).  Nothing of it is
random: the same count gives the same cases.  A case that finds a fault is shown and kept; ``python -m tests.fuzz
--again TARGET FILE`` runs it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import engines

DEFAULT_CASES = 1_000_000

#: Where the cases that found a fault are kept.
CRASHES = Path("fuzz-crashes")


class Job(NamedTuple):
    """One target for one fuzzer."""

    target: str
    engine: str
    cases: int


def jobs(targets: Sequence[str], names: Sequence[str], cases: int) -> list[Job]:
    """Who does what: of two fuzzers the first does a tenth."""
    shares = [cases] if len(names) == 1 else [cases // 10, cases - cases // 10]
    return [
        Job(target, engine, share) for target in targets for engine, share in zip(names, shares, strict=True) if share
    ]


def run(job: Job) -> tuple[Job, float, subprocess.CompletedProcess[str]]:
    """Run a job in a process of its own."""
    CRASHES.mkdir(exist_ok=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz", "--engine", job.engine, "--cases", str(job.cases), job.target]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return job, time.monotonic() - began, done


def _all(targets: Sequence[str], cases: int) -> int:
    names = [name for name in engines.ENGINES if find_spec(name) is not None]
    if "atheris" not in names:
        print("atheris is not installed: hypothesis does all of it")
    failed = 0
    count = int(os.environ.get("OAIPROXY_TEST_FUZZ_JOBS") or os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as pool:
        for job, seconds, done in pool.map(run, jobs(targets, names, cases)):
            said = "ok" if done.returncode == 0 else f"FAILED\n{done.stdout}"
            failed += done.returncode != 0
            print(f"{job.target:20} {job.engine:10} {job.cases:9,} cases {seconds:8.1f} s  {said}", flush=True)
    if not failed:
        # only where it is empty
        CRASHES.rmdir() if CRASHES.exists() and not any(CRASHES.iterdir()) else None
        print(f"{len(targets)} targets, {cases:,} cases each: no fault found")
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    """Run the fuzzers.

    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to fuzz; all where none is named")
    parser.add_argument("--cases", type=int, default=int(os.environ.get("OAIPROXY_TEST_FUZZ_CASES") or DEFAULT_CASES))
    parser.add_argument("--engine", choices=engines.ENGINES, help="only this fuzzer, in this process")
    parser.add_argument("--again", metavar="FILE", type=Path, help="run one kept case of the target again")
    parser.add_argument("--list", action="store_true", help="show the targets")
    options = parser.parse_args(arguments)
    # after atheris had its chance to look into them
    if options.engine == "atheris":
        return engines.atheris_run(options.targets[0], options.cases, CRASHES)
    from tests.fuzz import targets

    if options.list:
        for name, target in sorted(targets.TARGETS.items()):
            print(f"{name:20} {(target.__doc__ or '').splitlines()[0]}")
        return 0
    try:
        names = targets.chosen(options.targets)
    except ValueError as e:
        parser.error(str(e))
    if options.again is not None:
        targets.run(names[0], options.again.read_bytes())
        print("no fault found")
        return 0
    if options.engine is not None:
        return engines.hypothesis_run(names[0], options.cases, CRASHES)
    return _all(names, options.cases)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
