"""Codex itself works through either port, over a WebSocket where there is one, and else over HTTP without a delay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.e2e.support import KEY, ServiceTestCase
from tests.e2e.test_aimock import AimockTestCase
from tests.process import run

HERE = Path(__file__).resolve().parent / "codex"
CODEX = shutil.which("codex", path=f"{HERE / 'node_modules' / '.bin'}{os.pathsep}{os.environ.get('PATH', '')}")

#: What goes elsewhere than to the proxy is off.
CONFIG = """\
openai_base_url = "{base}"
model = "gpt-5.1"
model_reasoning_effort = "low"
check_for_update_on_startup = false
[analytics]
enabled = false
"""

#: What it tells where it gets no WebSocket.
FAILED = "failed to connect to Responses WebSocket"

DEMO = "This is oaiproxy's demo upstream, not a real model. "


def _missing() -> str | None:
    """Why Codex cannot be run; None where it can.  npm installs it even where there is no program for the platform."""
    if CODEX is None:
        return "there is no codex here: npm install --prefix tests/e2e/codex"
    return None if run(CODEX, "--version").returncode == 0 else "the codex that is here does not run"


class CodexTestCase(ServiceTestCase):
    skip = _missing()

    def codex(self, port: str, prompt: str) -> tuple[str, str]:
        """Let Codex do something.

        @return: its last message, and what it told on its way.
        """
        home = Path(self.mktemp()).resolve()
        home.mkdir()
        (home / "config.toml").write_text(CONFIG.format(base=self.base(port)), encoding="utf-8")
        assert CODEX is not None
        last = home / "last.txt"
        options = ("exec", "--skip-git-repo-check", "--sandbox", "read-only", "--output-last-message", str(last))
        done = run(CODEX, *options, prompt, cwd=str(home), CODEX_HOME=str(home), CODEX_API_KEY=KEY, HOME=str(home))
        self.assertEqual(done.returncode, 0, done.stderr)
        return last.read_text(encoding="utf-8"), done.stderr


class HttpTests(CodexTestCase):
    """An upstream that speaks no WebSocket, and says so as the API's clients know it."""

    def test_a_question_is_answered(self) -> None:
        for port in ("passthrough", "bridge"):
            answer, _ = self.codex(port, "Hi there")
            self.assertTrue(answer.startswith(f"{DEMO}You said: “Hi there”"), answer)

    def test_a_tool_that_runs_here_is_called_and_its_output_answered(self) -> None:
        for port in ("passthrough", "bridge"):
            answer, told = self.codex(port, "Please use exec_command")
            self.assertTrue(answer.startswith(f"{DEMO}The tool answered: "), answer)
            self.assertIn("demo cmd", told)

    def test_it_goes_over_to_http_at_once(self) -> None:
        for port in ("passthrough", "bridge"):
            _, told = self.codex(port, "Hi there")
            self.assertIn(FAILED, told, "it tries one")
            self.assertNotIn("Reconnecting", told)
            self.assertNotIn("Falling back", told)


class WebSocketTests(CodexTestCase, AimockTestCase):
    """An upstream that speaks WebSocket."""

    skip = CodexTestCase.skip or AimockTestCase.skip

    def test_a_question_is_answered_over_one(self) -> None:
        for port in ("passthrough", "bridge"):
            answer, told = self.codex(port, "hello")
            self.assertEqual(answer, "Hello! How can I help you today?")
            self.assertNotIn(FAILED, told)


class LimitedTests(CodexTestCase, AimockTestCase):
    """A port whose limits a WebSocket would go around."""

    skip = CodexTestCase.skip or AimockTestCase.skip
    more = ("--tokens-per-minute", "1000000")

    def test_a_question_is_answered_over_http_at_once(self) -> None:
        for port in ("passthrough", "bridge"):
            answer, told = self.codex(port, "hello")
            self.assertEqual(answer, "Hello! How can I help you today?")
            self.assertIn(FAILED, told)
            self.assertNotIn("Reconnecting", told)
