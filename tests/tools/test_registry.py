"""How tools are found, chosen and listed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from oaiproxy.interfaces import IToolContext, IToolProvider
from oaiproxy.settings import Settings, ToolSettings
from oaiproxy.tools import ToolBox, ToolBoxError, discover_tools, tool_listing
from oaiproxy.transforms import discover
from oaiproxy.web.toolcalls import ToolContext
from tests.test_transforms import PluginFolderTestCase
from tests.tools.support import Tool, request, schema

PLUGIN = """
from zope.interface import implementer
from oaiproxy.interfaces import IToolProvider

@implementer(IToolProvider)
class Dice:
    name = "roll_dice"
    description = "Rolls a die."
    parameters = {"type": "object", "properties": {}}

    def call(self, arguments, context):
        return 4

dice = Dice()
"""


class BuiltinTests(SynchronousTestCase):
    def test_the_built_in_tool_is_found_as_a_plugin(self) -> None:
        found = discover_tools()
        self.assertEqual(found.broken, ())
        self.assertEqual([tool.name for tool in found.tools], ["current_time"])

    def test_each_is_what_it_says(self) -> None:
        for tool in discover_tools().tools:
            verifyObject(IToolProvider, tool)

    def test_a_context_is_what_it_says(self) -> None:
        verifyObject(IToolContext, ToolContext(Settings(), request(), None))


class DiscoveryTests(PluginFolderTestCase):
    """With a folder in place of the real ones, as a distribution of somebody else's would add one."""

    def reason(self, *changes: tuple[str, str]) -> str:
        text = PLUGIN
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.write("dice", text)
        found = discover_tools()
        self.assertEqual(found.tools, ())
        ((name, reason),) = ((plugin.name, plugin.reason) for plugin in found.broken)
        self.assertIn("oaiproxy.plugins.dice", name)
        return reason

    def test_a_module_in_the_folder_is_found(self) -> None:
        self.write("dice", PLUGIN)
        found = discover_tools()
        self.assertEqual(([tool.name for tool in found.tools], found.broken), (["roll_dice"], ()))

    def test_a_tool_is_no_transform_and_no_broken_one(self) -> None:
        self.write("dice", PLUGIN)
        found = discover()
        self.assertEqual((found.transforms, found.broken), ((), ()))

    def test_a_class_that_was_not_made_an_object_is_told_by_name(self) -> None:
        self.assertIn("it is a class", self.reason(("dice = Dice()", "")))

    def test_a_module_that_cannot_be_imported_is_told_by_name(self) -> None:
        self.assertIn("it cannot be imported: ZeroDivisionError", self.reason(("dice = Dice()", "1 / 0")))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_what_is_wrong_with_a_tool_is_said(self) -> None:
        self.assertEqual(
            self.reason(('"roll_dice"', '"roll dice"')),
            "name is 'roll dice'; it has to be up to 64 letters, digits, underscores and dashes",
        )

    def test_a_tool_has_to_say_what_it_does(self) -> None:
        self.assertEqual(self.reason(('"Rolls a die."', '" "')), "description is ' '; it has to say what the tool does")

    def test_parameters_have_to_be_those_of_an_object(self) -> None:
        reason = self.reason(('{"type": "object", "properties": {}}', '{"type": "string"}'))
        self.assertEqual(
            reason, 'parameters has to be the JSON schema of an object: {"type": "object", "properties": {...}}'
        )

    def test_parameters_have_to_be_json(self) -> None:
        reason = self.reason(('"properties": {}', '"properties": object()'))
        self.assertIn("parameters is no JSON: ", reason)

    def test_a_tool_that_cannot_be_called_is_none(self) -> None:
        self.assertIn("attribute was not provided", self.reason(("def call(", "def calls(")))

    def test_a_tool_that_takes_no_arguments_is_none(self) -> None:
        reason = self.reason(("def call(self, arguments, context)", "def call(self)"))
        self.assertIn("doesn't allow enough arguments", reason)


class ToolBoxTests(SynchronousTestCase):
    box = ToolBox([Tool("clock"), Tool("dice")])

    def test_off_there_are_none(self) -> None:
        self.assertFalse(self.box.for_settings(ToolSettings()))

    def test_on_there_are_all_or_those_that_are_named(self) -> None:
        self.assertEqual(self.box.for_settings(ToolSettings(enabled=True)).names, {"clock", "dice"})
        self.assertEqual(self.box.for_settings(ToolSettings(enabled=True, names=("dice",))).names, {"dice"})
        self.assertFalse(self.box.for_settings(ToolSettings(enabled=True, names=())))

    def test_one_that_there_is_not_is_an_error_that_names_those_that_are(self) -> None:
        settings = ToolSettings(enabled=True, names=("calendar",))
        error = self.assertRaises(ToolBoxError, self.box.for_settings, settings)
        self.assertEqual(str(error), "there is no tool 'calendar'; those that were found: clock, dice")

    def test_two_of_one_name_are_an_error_that_names_both_modules(self) -> None:
        error = self.assertRaises(ToolBoxError, ToolBox, [Tool("clock"), Tool("clock")])
        self.assertEqual(
            str(error), "two tools are called 'clock': those of tests.tools.support and tests.tools.support"
        )

    def test_the_schemas_are_in_the_same_order_whoever_asks(self) -> None:
        expected = [schema("clock"), schema("dice")]
        self.assertEqual(self.box.schemas(["dice", "clock"]), expected)
        self.assertEqual(self.box.schemas(["clock", "dice"]), expected)

    def test_the_listing_has_names_modules_and_what_they_do(self) -> None:
        self.assertEqual(
            tool_listing(self.box),
            "tools:\n  clock  tests.tools.support  What clock says.\n  dice   tests.tools.support  What dice says.",
        )
        self.assertEqual(tool_listing(ToolBox()), "tools: none")
