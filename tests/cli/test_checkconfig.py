"""``oaiproxy check-config FILE``."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.cli import checkconfig, find_command


class CheckConfigTests(SynchronousTestCase):
    def check(self, text: str, **environ: str) -> tuple[int, str, str]:
        folder = Path(self.mktemp())
        folder.mkdir()
        here = os.getcwd()
        os.chdir(folder)
        self.addCleanup(os.chdir, here)
        Path("proxy.toml").write_text(text)
        out, err = StringIO(), StringIO()
        status = checkconfig.main(["proxy.toml"], out, err, environ)
        return status, out.getvalue(), err.getvalue()

    def test_it_is_a_command(self) -> None:
        self.assertIs(find_command("check-config"), checkconfig.main)

    def test_what_each_port_is_told_beyond_the_default_is_shown(self) -> None:
        found = self.check(
            """
            log = "t.jsonl"
            [[ports]]
            kind = "bridge"
            listen = "tcp:6001"
            keepalive = 5
            auth = "replace"
            [[ports]]
            kind = "passthrough"
            listen = "unix:/x"
            """,
            OPENAI_API_KEY="sk-ours",
            PROXY_API_KEYS="sk-theirs",
        )
        told = [
            "bridge tcp:6001",
            "  keepalive = 5.0",
            "  access.mode = replace",
            "  access.proxy_keys = Secret(***)",
            "  access.upstream_key = Secret(***)",
            "passthrough unix:/x",
            "log = t.jsonl",
            "",
        ]
        self.assertEqual(found, (0, "\n".join(told), ""))

    def test_a_mistake_is_one_line_with_its_place(self) -> None:
        self.assertEqual(
            self.check("keepalive = -1"),
            (1, "", "oaiproxy: proxy.toml: keepalive: must be a number of seconds, not -1\n"),
        )

    def test_the_environment_counts_as_for_the_service(self) -> None:
        status, _, err = self.check("", OAIPROXY_KEEPALIVE="x")
        self.assertEqual((status, err), (1, "oaiproxy: OAIPROXY_KEEPALIVE: must be a number of seconds, not 'x'\n"))

    def test_a_wrong_command_line(self) -> None:
        for argv in ([], ["a", "b"], ["--strict"]):
            err = StringIO()
            self.assertEqual(checkconfig.main(argv, StringIO(), err, {}), 2)
            self.assertIn("one FILE is needed", err.getvalue())

    def test_help(self) -> None:
        out = StringIO()
        self.assertEqual(checkconfig.main(["--help"], out, StringIO(), {}), 0)
        self.assertIn("Usage: oaiproxy check-config FILE", out.getvalue())

    def test_the_store_is_shown_without_its_password_and_key(self) -> None:
        status, out, err = self.check(
            'store = "redis://:secret-word@cache/1"\n[[ports]]\nkind = "bridge"\nlisten = "unix:/x"\n',
            OAIPROXY_STORE_KEY=32 * "k",
        )
        self.assertEqual((status, out, err), (0, "bridge unix:/x\nstore = redis://cache:6379/1\n", ""))
