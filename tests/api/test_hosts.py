"""Hosts that are this machine alone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.hosts import is_loopback, without_port

LOOPBACK = ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "ip6-localhost")
OTHERS = (
    "",
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "[fe80::1]",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost",
    "evil.example",
    "[::1",
    "127.1",
    "2130706433",
)


class HostTests(SynchronousTestCase):
    def test_what_is_loopback(self) -> None:
        self.assertEqual([host for host in (*LOOPBACK, *OTHERS) if is_loopback(host)], list(LOOPBACK))

    def test_a_host_without_its_port(self) -> None:
        for given, host in [
            ("localhost", "localhost"),
            ("localhost:5101", "localhost"),
            ("localhost:", "localhost"),
            (" 127.0.0.1:80 ", "127.0.0.1"),
            ("[::1]:5101", "[::1]"),
            ("[::1]", "[::1]"),
            ("localhost:evil", "localhost:evil"),
            ("localhost:80@evil.example:80", "localhost:80@evil.example"),
        ]:
            self.assertEqual(without_port(given), host)
