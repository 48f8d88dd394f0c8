"""The command ``llm`` asks through the service, with models of ``extra-openai-models.yaml``.

What it does by itself: a chat model's ``reasoning_content`` is not read (only the tokens are counted), nor are
refusals; and a stream that ends in good order and too early it takes for a whole one, which only the bridge port can
keep from it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.support import KEY, ServiceTestCase
from tests.process import run

if find_spec("llm") is None:
    MISSING: str | None = "llm is not installed (tox -e clients has it)"
else:
    MISSING = None
    from click.testing import CliRunner
    from llm.cli import cli

#: The kinds of port, which are also the names of the models that ask them.
PORTS = ("passthrough", "bridge")

#: What the models of the file can do.
ABLE = {"api_key_name": "oaiproxy", "supports_tools": True, "supports_schema": True, "vision": True, "reasoning": True}

TOOLS = """
def weather(city: str) -> str:
    "The weather in a city."
    return "fine in " + city

def clock(zone: str) -> str:
    "The time in a zone."
    return "noon in " + zone
"""
ANSWERED = "This is oaiproxy's demo upstream, not a real model. The tool answered: "


class LLMTests(ServiceTestCase):
    """Each test asks both ports: the models ``passthrough`` and ``bridge``, and ``whole-passthrough`` and
    ``whole-bridge``, which do not stream."""

    skip = MISSING
    folder: ClassVar[str]

    @classmethod
    def start(cls) -> None:
        super().start()
        folder = tempfile.TemporaryDirectory()
        cls.at_end(folder.cleanup)
        cls.folder = folder.name
        models: list[dict[str, Any]] = [
            {"model_id": port, "model_name": "gpt-5.1", "api_base": getattr(cls.service, port), **ABLE}
            for port in PORTS
        ]
        models += [
            {**model, "model_id": f"whole-{model['model_id']}", "model_name": "gpt-4.1", "can_stream": False}
            for model in models
        ]
        # JSON is YAML too
        Path(cls.folder, "extra-openai-models.yaml").write_text(json.dumps(models), encoding="utf-8")
        Path(cls.folder, "keys.json").write_text(json.dumps({"oaiproxy": KEY}), encoding="utf-8")

    @property
    def environ(self) -> dict[str, str]:
        """Where it finds its models, and that there are no plugins but its own."""
        return {"LLM_USER_PATH": self.folder, "LLM_LOAD_PLUGINS": "", "NO_PROXY": "*"}

    def llm(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command in this process, which saves the second that it takes to start.

        @return: its exit status, and what it writes to standard output and to standard error.
        """
        done = CliRunner(env=self.environ).invoke(cli, arguments)
        return done.exit_code, done.stdout, done.stderr

    def said(self, *arguments: str) -> str:
        """What it prints where all goes well."""
        status, out, err = self.llm(*arguments)
        self.assertEqual(status, 0, err)
        return out.rstrip("\n")

    def run_by_itself(self, *arguments: str) -> str:
        """What it prints in a process of its own."""
        done = run(sys.executable, "-m", "llm", *arguments, **self.environ)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.rstrip("\n")

    def test_a_prompt_is_answered_streamed_and_not(self) -> None:
        for port in PORTS:
            self.assertTrue(
                self.said("-m", port, "Hi").startswith(
                    "This is oaiproxy's demo upstream, not a real model. You said: “Hi”"
                )
            )
            for how in (("-m", port), ("-m", port, "--no-stream"), ("-m", f"whole-{port}")):
                self.assertEqual(self.said(*how, "demo:tokens=3"), "demo1 demo2 demo3")

    def test_a_conversation_goes_on(self) -> None:
        for port in PORTS:
            self.said("-m", port, "-s", "Be short.", "One")
            answer = self.said("-c", "Two")
            self.assertIn("You said: “Two”", answer)
            # the system prompt is said again with each
            self.assertRegex(answer, " [34] messages")

    def test_the_log_has_the_whole_answer_and_its_usage(self) -> None:
        for port in PORTS:
            for how in ((), ("--no-stream",)):
                said = self.said("-m", port, *how, "demo:tokens=4")
                (entry,) = json.loads(self.said("logs", "-n", "1", "--json"))
                self.assertEqual((entry["response"], entry["model"]), (said, port))
                self.assertGreaterEqual(entry["output_tokens"], 4)
                self.assertEqual("reasoning_tokens" in (entry["token_details"] or ""), port == "bridge")

    def test_tools_are_called_and_answered(self) -> None:
        for port in PORTS:
            for how in ((), ("--no-stream",)):
                answer = self.said("-m", port, *how, "--functions", TOOLS, "Call both in parallel")
                self.assertEqual(answer, f"{ANSWERED}“fine in demo city” “noon in demo zone”")

    def test_a_schema_is_kept(self) -> None:
        for port in PORTS:
            for how in ((), ("--no-stream",)):
                answer = json.loads(self.said("-m", port, *how, "--schema", "name, size int", "Where?"))
                self.assertEqual(answer, {"name": "demo name", "size": 1})

    def test_a_picture_arrives(self) -> None:
        picture = Path(self.folder, "picture.png")
        picture.write_bytes(bytes.fromhex("89504e470d0a1a0a"))
        for port in PORTS:
            answer = self.said("-m", port, "--at", str(picture), "image/png", "What is this?")
            self.assertIn("1 message, 1 image", answer)

    def test_options_arrive(self) -> None:
        for port in PORTS:
            self.assertIn("effort high", self.said("-m", port, "-o", "reasoning_effort", "high", "Hi"))
            cut = self.said("-m", f"whole-{port}", "-o", "max_tokens", "20", "demo:tokens=50")
            self.assertEqual(len(cut.split()), 20)

    def test_a_stop_sequence_ends_the_text(self) -> None:
        for port in PORTS:
            for how in ((), ("--no-stream",)):
                answer = self.said("-m", port, *how, "-o", "stop", " demo4", "demo:tokens=9")
                self.assertEqual(answer, "demo1 demo2 demo3")

    def test_errors_are_told_in_upstreams_words(self) -> None:
        for port in PORTS:
            status, out, err = self.llm("-m", port, "demo:error=400")
            self.assertEqual((status, out), (1, ""))
            self.assertIn("Error code: 400 - The request failed with status 400.", err)

    def test_a_cut_is_an_error(self) -> None:
        for port in PORTS:
            for how in ((), ("--no-stream",)):
                for text in ("demo:cut demo:tokens=100", "demo:fail-midstream demo:tokens=100"):
                    status, out, err = self.llm("-m", port, *how, text)
                    self.assertEqual(status, 1, text)
                    self.assertIn("Error: ", err)
                    self.assertNotIn("demo100", out)

    def test_on_the_bridge_a_stream_that_ends_too_early_is_an_error(self) -> None:
        status, _, err = self.llm("-m", "bridge", "demo:eof demo:tokens=100")
        self.assertEqual(status, 1)
        self.assertIn("ended before it was complete", err)

    def test_several_at_once_stay_apart(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            asked = [("-n", "-m", PORTS[count % 2], f"demo:tokens={count} demo:slow=50") for count in range(1, 5)]
            answers = list(pool.map(lambda arguments: self.run_by_itself(*arguments), asked))
        self.assertEqual([len(answer.split()) for answer in answers], [1, 2, 3, 4])

    def test_the_models_of_an_endpoint_are_listed(self) -> None:
        listed = self.said("openai", "endpoint", self.service.bridge, "--models").splitlines()
        self.assertIn("gpt-5.1", listed)
        self.assertIn("gpt-5.1:res-high:sum-auto", listed)

    def test_an_endpoint_is_asked_for_chats_and_for_responses(self) -> None:
        for port in PORTS:
            asked = ("openai", "endpoint", getattr(self.service, port), "-m", "gpt-5.1", "--key", KEY)
            self.assertEqual(self.said(*asked, "demo:tokens=3"), "demo1 demo2 demo3")
            self.assertEqual(self.said(*asked, "--responses", "demo:tokens=3"), "demo1 demo2 demo3")
