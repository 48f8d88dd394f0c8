"""Every recipe, command for command."""

from __future__ import annotations

import os
import shutil

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.recipes import FOLDER, Block, Kitchen, as_written, blocks, free_port
from tests.process import Service


class RecipeTests(SynchronousTestCase):
    if shutil.which("curl") is None:
        skip = "the recipes are written with curl, which is not here"

    def follow(self, name: str) -> list[Block]:
        ports = {str(number): free_port() for number in (5101, 5102, 5103, 5104, 8080)}
        folder = self.mktemp()
        os.mkdir(folder)
        kitchen = Kitchen(os.path.abspath(folder), ports)
        self.addCleanup(kitchen.close)
        # the model server that the recipes take for granted: its answers begin with <think>
        server = Service("--bridge", str(ports["8080"]), "--upstream", "demo", "--reasoning-field", "think")
        self.addCleanup(server.stop)
        found = blocks(FOLDER / f"{name}.md")
        for block in found:
            for command, printed, written in kitchen.follow(block):
                self.assertTrue(as_written(printed, written), f"{command}\nprinted:\n{printed}\nand not:\n{written}")
                self.printed = printed
        return found

    def test_a_local_model_server_with_think_tags(self) -> None:
        self.follow("local-model-with-think-tags")
        self.assertNotIn("<think>", self.printed)

    def test_a_team_with_one_upstream_key(self) -> None:
        self.follow("team-with-one-key")

    def test_a_browser_app(self) -> None:
        self.follow("browser-app")

    def test_legacy_parameters_on_new_models(self) -> None:
        self.follow("legacy-parameters")

    def test_several_upstreams_on_several_ports(self) -> None:
        self.follow("several-upstreams")

    def test_each_recipe_is_followed(self) -> None:
        followed = {name.removeprefix("test_").replace("_", "-") for name in dir(self) if name.startswith("test_")}
        pages = {page.stem for page in FOLDER.glob("*.md")} - {"README"}
        self.assertEqual(len(pages), len(followed) - 1)
        listed = (FOLDER / "README.md").read_text("utf-8")
        for page in pages:
            self.assertIn(f"({page}.md)", listed)
