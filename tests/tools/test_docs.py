"""What ``docs/tools.md`` says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from oaiproxy.interfaces import IToolProvider
from oaiproxy.settings import ToolSettings
from oaiproxy.tools import ToolBox, ToolError
from oaiproxy.web.toolcalls import MOST_AT_ONCE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")


class PageTests(SynchronousTestCase):
    def test_the_tool_in_it_is_one(self) -> None:
        (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        names: dict[str, Any] = {}
        exec(compile(code, "docs/tools.md", "exec"), names)
        stock = names["stock"]
        verifyObject(IToolProvider, stock)
        self.assertEqual(ToolBox([stock]).names, {"stock"})
        self.assertEqual(stock.call({"article": "lamp"}, None), {"pieces": 12})
        self.assertRaises(ToolError, stock.call, {"article": "sofa"}, None)

    def test_the_limits_are_as_it_says(self) -> None:
        said = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
        default = ToolSettings()
        self.assertEqual(
            said,
            {
                "tool_execution": "on" if default.enabled else "off",
                "tools": "all that were found",
                "tool_offer": str(default.offer).lower(),
                "tool_rounds": str(default.rounds),
                "tool_timeout": f"{default.seconds:g} s",
                "tool_result_limit": f"{default.bytes} bytes",
            },
        )
        self.assertIn(f"more than {MOST_AT_ONCE} calls in one turn", PAGE)
