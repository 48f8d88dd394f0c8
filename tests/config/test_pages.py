"""What people read of the settings is what the code reads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.config import SETTINGS
from tests.config import pages


class PageTests(SynchronousTestCase):
    def test_the_page_is_as_the_table_says(self) -> None:
        text = pages.PAGE.read_text(encoding="utf-8")
        self.assertEqual(text, pages.page(), "it is due: python -m tests.config.pages")

    def test_the_example_is_as_the_table_says(self) -> None:
        text = pages.EXAMPLE.read_text(encoding="utf-8")
        self.assertEqual(text, pages.example(), "it is due: python -m tests.config.pages")

    def test_the_example_names_every_variable_once(self) -> None:
        lines = pages.EXAMPLE.read_text(encoding="utf-8").splitlines()
        named = [line[1:].partition("=")[0] for line in lines if line.startswith("#") and not line.startswith("# ")]
        expected = {name for setting in SETTINGS for name in pages.names(setting)}
        expected |= {variable for _, variable, *_ in pages.PLACES}
        self.assertEqual(sorted(named), sorted(expected))

    def test_no_name_means_two_things(self) -> None:
        for names in (
            [setting.key for setting in SETTINGS],
            [option for setting in SETTINGS if (option := pages.option(setting))],
            [name for setting in SETTINGS for name in pages.names(setting)],
        ):
            self.assertEqual(len(names), len(set(names)))
