"""What pip puts where, and what it leaves behind: installed from a wheel, and in place."""

from __future__ import annotations

import json
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy import __version__
from tests.environment import ROOT, Environment
from tests.process import run


@cache
def environment() -> Environment:
    """An environment to install into, and to uninstall from."""
    return Environment("packaging-environment")


class PackagingTests(SynchronousTestCase):
    def files(self) -> set[str]:
        site = environment().site
        # Twisted writes a cache of the plugins that it found, and mends it when they change
        return {
            str(path.relative_to(site))
            for path in site.rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache"
        }

    def known_to_twistd(self) -> bool:
        done = run(str(environment().python), "-I", "-c", "from twisted.scripts.twistd import run; run()", "--help")
        return "A reverse proxy for the OpenAI API." in done.stdout

    def works(self) -> None:
        self.assertTrue(self.known_to_twistd())
        done = run(*environment().command("--list-transforms"))
        self.assertEqual((done.returncode, "model-alias" in done.stdout), (0, True), done.stderr)
        script = environment().python.parent / "oaiproxy"
        self.assertEqual(run(str(script), "--version").stdout, f"oaiproxy {__version__}\n")

    def test_a_wheel_brings_the_plugin_and_all_data_and_goes_without_a_trace(self) -> None:
        before = self.files()
        environment().install(environment().source(ROOT))
        added = self.files() - before
        ours = {name for name in added if name.startswith("twisted/")}
        self.assertEqual(ours, {"twisted/plugins/oaiproxy_plugin.py"})
        data = {"oaiproxy/clients/profiles.json", "oaiproxy/models/catalogue.json"}
        self.assertLess({"oaiproxy/py.typed", *data}, added)
        self.assertEqual({name.split("/")[0] for name in added if "dist-info" not in name}, {"twisted", "oaiproxy"})
        self.works()
        environment().pip("uninstall", "--quiet", "--yes", "oaiproxy")
        self.assertEqual(self.files(), before)
        self.assertFalse(self.known_to_twistd())

    def test_an_installation_in_place_works_and_goes_as_well(self) -> None:
        before = self.files()
        environment().install("-e", environment().source(ROOT))
        self.works()
        environment().pip("uninstall", "--quiet", "--yes", "oaiproxy")
        self.assertEqual(self.files(), before)
        self.assertFalse(self.known_to_twistd())

    def test_the_wheel_depends_on_what_the_project_says(self) -> None:
        environment().install(environment().source(ROOT))
        self.addCleanup(environment().pip, "uninstall", "--quiet", "--yes", "oaiproxy")
        code = "import importlib.metadata as m, json; print(json.dumps(m.requires('oaiproxy')))"
        needed = {line.split(">")[0].split("[")[0].lower() for line in json.loads(environment().output(code))}
        dependencies = "twisted treq zope.interface pyopenssl service-identity httptools msgspec python-dotenv"
        self.assertEqual(needed, {*dependencies.split(), "cryptography", "hiredis"})
