"""The README's examples, run as they stand there: only ports and the key are not those of a reader's machine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.settings import DEFAULT_PORTS
from tests.e2e.support import KEY, ServiceTestCase
from tests.process import ROOT, Service, run, twistd


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a language below a heading of the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", readme, re.DOTALL | re.MULTILINE)
    assert section is not None, f"the README has no heading {heading!r}"
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)


def block(heading: str, language: str) -> str:
    """The only such block."""
    (found,) = blocks(heading, language)
    return found


class ExampleTests(ServiceTestCase):
    def here(self, example: str) -> str:
        """An example with the ports of the service in place of the usual ones."""
        for kind, number in DEFAULT_PORTS.items():
            example = example.replace(f"http://127.0.0.1:{number}/v1", self.base(kind.value))
        self.assertNotRegex(example, r"127\.0\.0\.1:510\d")
        return example

    def curl(self, command: str) -> str:
        """What a curl command of the README prints."""
        if shutil.which("curl") is None or shutil.which("sh") is None:
            self.skipTest("there is no curl here")
        self.assertTrue(command.startswith("curl "))
        command = command.replace("curl ", "curl --silent --show-error --fail --noproxy '*' ", 1)
        done = run("sh", "-c", command, OPENAI_API_KEY=KEY)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_the_curl_command_gets_an_answer_and_a_summary(self) -> None:
        completion = json.loads(self.curl(self.here(block("Try it", "sh"))))
        message = completion["choices"][0]["message"]
        self.assertEqual(completion["model"], "gpt-5.1")
        self.assertIn("You said: “Why is the sky blue?”", message["content"])
        self.assertIn("reasoning effort high", message["content"])
        self.assertTrue(message["reasoning_content"])

    def test_with_stream_the_summary_comes_before_the_answer(self) -> None:
        command = self.here(block("Try it", "sh"))
        self.assertEqual(command.count('{"model"'), 1)
        lines = self.curl(command.replace('{"model"', '{"stream": true, "model"')).splitlines()
        self.assertEqual(lines[-2:], ["data: [DONE]", ""])
        told: list[Any] = [json.loads(line.removeprefix("data: ")) for line in lines[:-2] if line]
        fields = [field for chunk in told for field, text in chunk["choices"][0]["delta"].items() if text]
        answer_begins = fields.index("content")
        self.assertEqual(set(fields[:answer_begins]), {"role", "reasoning_content"})
        self.assertEqual(set(fields[answer_begins:]), {"content"})

    def test_the_python_example_prints_summary_and_answer(self) -> None:
        done = run(sys.executable, "-c", self.here(block("Try it", "python")), OPENAI_API_KEY=KEY, NO_PROXY="*")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        summary, _, answer = done.stdout.partition("This is oaiproxy's demo upstream, not a real model.")
        self.assertTrue(summary.startswith("**Reading the request**"))
        self.assertIn("You said: “What happened in the news today?”", answer)

    def test_the_table_of_ports_is_right(self) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        for kind, number in DEFAULT_PORTS.items():
            self.assertRegex(
                readme, rf"(?m)^\| {number}, \*\*{kind.value}\*\* \|.*`http://127\.0\.0\.1:{number}/v1` \|$"
            )


class StartTests(ServiceTestCase):
    """The commands that start it; what makes the environment is for the project's own checks to run."""

    @classmethod
    def start(cls) -> None:
        """Nothing: each test starts what it is about."""

    def started_with(self, command: str) -> Service:
        """The service that a command of the README starts, on other ports and with the demo behind it."""
        words = shlex.split(command)
        self.assertEqual(words[:3], [".venv/bin/twistd", "-n", "oaiproxy"])
        arguments = [{"5101": "0", "5102": "0"}.get(word, word) for word in words[3:]]
        if "--upstream" not in arguments:
            arguments += ["--upstream", "demo"]
        if not {"--passthrough", "--bridge"} & {*arguments}:
            arguments += ["--passthrough", "0", "--bridge", "0"]
        type(self).service = Service(command=twistd(*arguments))
        self.addCleanup(self.service.stop)
        return self.service

    def test_every_command_starts_a_service_with_both_ports(self) -> None:
        commands = [command.rpartition("&& ")[2].strip() for command in blocks("Start", "sh")]
        self.assertTrue(commands)
        for command in commands:
            service = self.started_with(command)
            for kind in PortKind:
                self.assertIn("gpt-5.1", [model.id for model in self.client(kind.value).models.list()], command)
            service.stop()

    def test_the_example_of_a_model_list_is_taken(self) -> None:
        type(self).service = Service("--upstream", "demo", "--models", str(ROOT / "models.example.json"))
        self.addCleanup(self.service.stop)
        written = json.loads((ROOT / "models.example.json").read_text(encoding="utf-8"))["models"]
        names = [entry if isinstance(entry, str) else entry["id"] for entry in written]
        listed = [model.id for model in self.client("bridge").models.list()]
        self.assertEqual([name for name in names if name not in listed], [])
        self.assertNotIn("gpt-4o", listed)
