"""What the tests with Node clients share: a script in ``node/`` does everything once; tests look at what it told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.support import KEY, ServiceTestCase
from tests.process import run

HERE = Path(__file__).resolve().parent
NODE = shutil.which("node")


def missing(*packages: str) -> str | None:
    """Why tests with npm packages cannot be run; None where they can."""
    if NODE is None:
        return "there is no node here"
    absent = [package for package in packages if not (HERE / "node_modules" / package).is_dir()]
    if absent:
        return f"there is no {', '.join(absent)} here: npm install --prefix tests/e2e"
    return None


class NodeTestCase(ServiceTestCase):
    """All scenarios of a script run once, against one port.

    @cvar script: its name in ``node/``; it takes the port's base URL, the key, and `scenarios`, and prints what came of
        each.
    @cvar scenarios: those to run, where not all are.
    @cvar results: name of a scenario -> what it gave or threw.
    """

    script: ClassVar[str]
    scenarios: ClassVar[tuple[str, ...]] = ()
    results: ClassVar[dict[str, Any]]

    @classmethod
    def start(cls) -> None:
        super().start()
        assert NODE is not None
        done = run(NODE, str(HERE / "node" / cls.script), getattr(cls.service, cls.port), KEY, *cls.scenarios)
        assert done.returncode == 0, done.stderr
        cls.results = json.loads(done.stdout)

    def value(self, scenario: str) -> Any:
        """What a scenario gave."""
        result = self.results[scenario]
        self.assertNotIn("error", result)
        return result.get("value")

    def error(self, scenario: str) -> dict[str, Any]:
        """What a scenario threw."""
        error: dict[str, Any] = self.results[scenario]["error"]
        return error
