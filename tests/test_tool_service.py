"""The service with tools of its own: what is found, what is listed, and what keeps it from starting."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout

from oaiproxy.maker import makeService
from oaiproxy.options import Options
from oaiproxy.service import ProxyService
from oaiproxy.stopping import StartFailed
from tests.test_transforms import PluginFolderTestCase
from tests.tools.test_registry import PLUGIN


def options(*given: str, **environ: str) -> Options:
    made = Options(environ)
    made.parseOptions(given)
    return made


class MakerTests(PluginFolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(sys, "__stderr__", io.StringIO())

    def made(self, *given: str) -> ProxyService:
        service = makeService(options("--bridge=0", *given))
        assert isinstance(service, ProxyService)
        return service

    def test_a_service_that_runs_no_tools_does_not_look_for_them(self) -> None:
        self.write("dice", PLUGIN + "again = Dice()\n")
        self.made()  # two of one name would be an error

    def test_two_tools_of_one_name_keep_it_from_starting(self) -> None:
        self.write("dice", PLUGIN + "again = Dice()\n")
        error = self.assertRaises(StartFailed, self.made, "--tool-execution")
        self.assertIn("two tools are called 'roll_dice'", str(error.args[0]))

    def test_a_tool_that_there_is_not_keeps_it_from_starting(self) -> None:
        self.write("dice", PLUGIN)
        self.made("--tool-execution", "--tools=roll_dice")
        error = self.assertRaises(StartFailed, self.made, "--tool-execution", "--tools=roll_dice,lottery")
        self.assertEqual(
            error.args[0],
            "oaiproxy: there is no tool 'lottery'; those that were found: roll_dice (see --list-tools)",
        )

    def test_the_list_shows_tools_and_what_is_left_out(self) -> None:
        self.write("dice", PLUGIN)
        self.write("bad", "1 / 0\n")
        for asked in (options("--list-tools"), options(OAIPROXY_LIST_TOOLS="true")):
            with redirect_stdout(io.StringIO()) as shown:
                self.assertRaises(SystemExit, makeService, asked)
            self.assertEqual(
                shown.getvalue(),
                "tools:\n"
                "  roll_dice  oaiproxy.plugins.dice  Rolls a die.\n"
                "left out:\n"
                "  oaiproxy.plugins.bad: it cannot be imported: ZeroDivisionError: division by zero\n",
            )
        self.flushLoggedErrors(ZeroDivisionError)
