"""The tool that tells the time."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from oaiproxy.interfaces import IToolProvider
from oaiproxy.plugins.current_time import CurrentTime, current_time
from oaiproxy.settings import Settings
from oaiproxy.tools import ToolError
from oaiproxy.tools.schema import mismatch
from oaiproxy.web.toolcalls import ToolContext
from tests.tools.support import request

#: 2026-11-21, 07:30:05 UTC, a Saturday.
NOW = 1795246205.9


class CurrentTimeTests(SynchronousTestCase):
    def tell(self, **arguments: Any) -> Any:
        self.assertIsNone(mismatch(arguments, CurrentTime.parameters))
        return CurrentTime(lambda: NOW).call(arguments, ToolContext(Settings(), request(), None))

    def test_it_is_a_tool(self) -> None:
        verifyObject(IToolProvider, current_time)

    def test_without_a_time_zone_it_tells_utc(self) -> None:
        for arguments in ({}, {"timezone": "UTC"}):
            self.assertEqual(
                self.tell(**arguments), {"time": "2026-11-21T07:30:05+00:00", "weekday": "Saturday", "timezone": "UTC"}
            )

    def test_it_knows_time_zones_by_their_iana_names(self) -> None:
        self.assertEqual(
            self.tell(timezone="Asia/Tokyo"),
            {"time": "2026-11-21T16:30:05+09:00", "weekday": "Saturday", "timezone": "Asia/Tokyo"},
        )
        self.assertEqual(self.tell(timezone="Pacific/Kiritimati")["time"], "2026-11-21T21:30:05+14:00")
        self.assertEqual(self.tell(timezone="America/Argentina/Ushuaia")["time"], "2026-11-21T04:30:05-03:00")

    def test_a_zone_that_there_is_not_is_an_error_with_a_way_out(self) -> None:
        for name in ("Europe/Atlantis", "Europe", "CET-time"):
            error = self.assertRaises(ToolError, self.tell, timezone=name)
            self.assertEqual(
                error.message, f"there is no time zone '{name}'. Give its IANA name, such as Europe/Berlin, or UTC."
            )

    def test_what_is_no_name_of_a_zone_does_not_fit(self) -> None:
        for name in ("../../etc/passwd", "/etc/localtime", "", "Europe/Berlin\n"):
            self.assertIsNotNone(mismatch({"timezone": name}, CurrentTime.parameters), name)
        # the tool itself does not open them either
        for name in ("../../etc/passwd", "/etc/localtime", "a\0b"):
            self.assertRaises(ToolError, CurrentTime().call, {"timezone": name}, None)

    def test_the_clock_is_the_machine_s(self) -> None:
        first, second = (current_time.call({}, ToolContext(Settings(), request(), None)) for _ in range(2))
        self.assertLessEqual(first["time"], second["time"])
        self.assertGreater(first["time"], "2026-01-01")
