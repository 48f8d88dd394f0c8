"""A small part of what ``tox -e fuzz`` does, the same cases each time."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.draw import Draw
from tests.fuzz.targets import TARGETS, run
from tests.process import ROOT, clean_environ

CASES = 150


def _test_of(name: str) -> Callable[[SynchronousTestCase], None]:
    def test(self: SynchronousTestCase) -> None:
        chance = random.Random(name)
        for _ in range(CASES):
            run(name, chance.randbytes(chance.choice((0, 40, 200, 800))))

    test.__name__ = f"test_{name.replace('-', '_')}"
    return test


class TargetTests(SynchronousTestCase):
    """Each target with some strings of bytes."""


for _name in TARGETS:
    setattr(TargetTests, f"test_{_name.replace('-', '_')}", _test_of(_name))


class DrawTests(SynchronousTestCase):
    def test_the_pieces_of_a_text_are_the_text(self) -> None:
        chance = random.Random(1)
        for _ in range(100):
            draw = Draw(chance.randbytes(20))
            self.assertEqual("".join(draw.pieces("some text")), "some text")

    def test_a_string_that_is_used_up_gives_an_end_to_everything(self) -> None:
        draw = Draw(b"")
        self.assertEqual(
            (draw.byte(), draw.below(5), draw.flag(), draw.json(), list(draw.some(9))), (0, 0, False, None, [])
        )

    def test_one_change_of_a_value_leaves_the_value_itself_alone(self) -> None:
        value = {"a": [1, {"b": 2}]}
        for seed in range(200):
            Draw(random.Random(seed).randbytes(50)).changed(value, ("c",))
        self.assertEqual(value, {"a": [1, {"b": 2}]})


class CommandTests(SynchronousTestCase):
    def test_a_fault_is_found_made_short_kept_and_run_again(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        (folder / "run.py").write_text(
            "import sys\n"
            "from tests.fuzz import targets, __main__ as command\n"
            "def fault(draw):\n"
            "    assert draw.byte() < 200\n"
            "targets.TARGETS['fault'] = fault\n"
            "sys.exit(command.main(sys.argv[1:]))\n"
        )

        def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, str(folder / "run.py"), *arguments]
            environ = clean_environ({"PYTHONPATH": str(ROOT)})
            return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)

        found = fuzz("--engine", "hypothesis", "--cases", "500", "fault")
        self.assertNotEqual(found.returncode, 0)
        [kept] = (folder / "fuzz-crashes").iterdir()
        self.assertEqual(kept.read_bytes(), b"\xc8")
        again = fuzz("--again", str(kept), "fault")
        self.assertIn("AssertionError", again.stderr)
