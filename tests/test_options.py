"""The command line and the environment."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.clients import profile_names
from oaiproxy.options import Options, variable
from oaiproxy.settings import DEMO, ServiceSettings, port_at

ROOT = Path(__file__).resolve().parent.parent


def parsed(*arguments: str, **environ: str) -> ServiceSettings:
    options = Options(environ)
    options.parseOptions(arguments)
    return options.settings


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        # no models.json of whoever runs the tests
        here = os.getcwd()
        empty = self.mktemp()
        os.mkdir(empty)
        os.chdir(empty)
        self.addCleanup(os.chdir, here)

    def test_without_any_there_is_a_port_of_each_kind_and_the_real_upstream(self) -> None:
        settings = parsed()
        self.assertEqual(settings.ports, (port_at(PortKind.PASSTHROUGH, "5101"), port_at(PortKind.BRIDGE, "5102")))
        self.assertEqual(settings.common.upstream, "https://api.openai.com/v1")
        self.assertEqual((settings.common.models_file, settings.log_file), (None, None))
        self.assertTrue(settings.common.auto_web_search)
        self.assertEqual((settings.common.reasoning_field, settings.common.profile), (None, None))

    def test_naming_one_kind_leaves_the_other_out(self) -> None:
        self.assertEqual(parsed("--bridge", "6000").ports, (port_at(PortKind.BRIDGE, "6000"),))

    def test_a_kind_may_be_given_several_times(self) -> None:
        settings = parsed("--bridge", "6000", "--passthrough", "tcp:7000", "--bridge", "unix:/x")
        self.assertEqual(
            settings.ports,
            (
                port_at(PortKind.BRIDGE, "6000"),
                port_at(PortKind.PASSTHROUGH, "tcp:7000"),
                port_at(PortKind.BRIDGE, "unix:/x"),
            ),
        )

    def test_every_option_has_its_effect(self) -> None:
        settings = parsed(
            *("--upstream", "demo", "--models", "m.json", "--log", "t.jsonl", "--disable-auto-web-search"),
            *("--reasoning-field", "think", "--interface", "10.0.0.1", "--profile", "Xcode"),
        )
        self.assertEqual(settings.common.upstream, DEMO)
        self.assertEqual((settings.common.models_file, settings.log_file), (Path("m.json"), Path("t.jsonl")))
        self.assertFalse(settings.common.auto_web_search)
        self.assertEqual((settings.common.reasoning_field, settings.common.profile), (ReasoningField.THINK, "xcode"))
        self.assertEqual(settings.ports[0].endpoints, ("tcp:5101:interface=10.0.0.1:backlog=1024",))

    def test_every_variable_has_its_effect(self) -> None:
        settings = parsed(
            OAIPROXY_PASSTHROUGH="6001 6002",
            OAIPROXY_BRIDGE="6003",
            OAIPROXY_INTERFACE="10.0.0.1",
            OAIPROXY_UPSTREAM="http://localhost:8080",
            OAIPROXY_MODELS="m.json",
            OAIPROXY_LOG="t.jsonl",
            OAIPROXY_DISABLE_AUTO_WEB_SEARCH="true",
            OAIPROXY_REASONING_FIELD="none",
            OAIPROXY_PROFILE="cursor",
        )
        self.assertEqual(
            [(p.kind, p.endpoints[0].split(":")[1]) for p in settings.ports],
            [(PortKind.PASSTHROUGH, "6001"), (PortKind.PASSTHROUGH, "6002"), (PortKind.BRIDGE, "6003")],
        )
        self.assertEqual(settings.common.upstream, "http://localhost:8080/v1")
        self.assertEqual((settings.common.models_file, settings.log_file), (Path("m.json"), Path("t.jsonl")))
        self.assertFalse(settings.common.auto_web_search)
        self.assertEqual((settings.common.reasoning_field, settings.common.profile), (ReasoningField.NONE, "cursor"))

    def test_an_option_wins_over_its_variable(self) -> None:
        settings = parsed("--upstream", "demo", "--bridge", "1", OAIPROXY_UPSTREAM="http://x", OAIPROXY_BRIDGE="2")
        self.assertEqual(settings.common.upstream, DEMO)
        self.assertEqual([port.endpoints for port in settings.ports], [port_at(PortKind.BRIDGE, "1").endpoints])

    def test_the_model_list_of_the_working_directory_is_found(self) -> None:
        Path("models.json").write_text("[]")
        self.assertEqual(parsed().common.models_file, Path("models.json"))

    def test_a_mistake_ends_the_process_with_one_line_that_names_it(self) -> None:
        for arguments, said in [
            (["--bridge", "no"], "--bridge: 'no'"),
            (["--upstream", "ftp://x"], "--upstream: 'ftp://x'"),
            (["--reasoning-field", "thoughts"], "--reasoning-field: 'thoughts'"),
            (["--profile", "netscape"], "--profile: 'netscape' is none of the client profiles default, xcode, "),
            (["--colour"], "colour"),
            (["stray"], "'stray'"),
        ]:
            with self.assertRaises(SystemExit) as caught:
                parsed(*arguments)
            line = str(caught.exception.code)
            self.assertIn(said, line)
            self.assertTrue(line.startswith("oaiproxy: "), line)
            self.assertNotIn("\n", line)

    def test_the_help_and_the_readme_name_every_client_profile(self) -> None:
        readme = (ROOT / "README.md").read_text()
        (row,) = (line for line in readme.splitlines() if line.startswith("| `--profile "))
        self.assertIn(": " + ", ".join(f"`{name}`" for name in profile_names()) + ";", row)
        # the help breaks its lines at hyphens as well
        self.assertIn(",".join(profile_names()), "".join(str(Options({})).split()))

    def test_a_variable_for_a_flag_must_be_true_or_false(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            parsed(OAIPROXY_DISABLE_AUTO_WEB_SEARCH="maybe")
        self.assertIn("OAIPROXY_DISABLE_AUTO_WEB_SEARCH", str(caught.exception.code))

    def test_the_readme_names_the_options_that_most_people_need(self) -> None:
        readme = (ROOT / "README.md").read_text()
        known = {name.rstrip("=") for name in Options({}).longOpt}
        for option in ("passthrough", "bridge", "interface", "upstream", "models", "log", "config"):
            self.assertIn(option, known)
            self.assertIn(f"| `--{option} ", readme)
            self.assertIn(f"`{variable(option)}`", readme)
