"""What the options mean."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.request import PortKind
from oaiproxy.settings import DEMO, port_at, upstream_url


class PortAtTests(SynchronousTestCase):
    def test_a_bare_number_means_both_loopback_addresses_the_second_where_there_is_one(self) -> None:
        port = port_at(PortKind.BRIDGE, "5102")
        self.assertEqual(
            port.endpoints,
            ("tcp:5102:interface=127.0.0.1:backlog=1024", r"tcp:5102:interface=\:\:1:backlog=1024"),
        )
        self.assertEqual(port.optional, {r"tcp:5102:interface=\:\:1:backlog=1024"})

    def test_an_interface_takes_the_place_of_both(self) -> None:
        port = port_at(PortKind.BRIDGE, "5102", "0.0.0.0")
        self.assertEqual(port.endpoints, ("tcp:5102:interface=0.0.0.0:backlog=1024",))
        self.assertEqual(port.optional, frozenset())

    def test_an_endpoint_description_is_taken_as_it_is(self) -> None:
        for text in ("tcp:5101:interface=0.0.0.0", "unix:/run/x.sock", "systemd:domain=INET:name=bridge"):
            self.assertEqual(port_at(PortKind.BRIDGE, text, "10.0.0.1").endpoints, (text,))

    def test_what_is_neither_is_refused(self) -> None:
        for text in ("", "bridge", "65536", "-1", "5102 ", "\u0665"):
            with self.assertRaises(ValueError, msg=text):
                port_at(PortKind.BRIDGE, text)


class UpstreamUrlTests(SynchronousTestCase):
    def test_v1_is_added_where_there_is_no_path(self) -> None:
        for text, url in [
            ("https://api.openai.com", "https://api.openai.com/v1"),
            ("https://api.openai.com/", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("https://gateway.example/openai", "https://gateway.example/openai"),
            ("http://localhost:8080", "http://localhost:8080/v1"),
            ("http://[::1]:8080", "http://[::1]:8080/v1"),
            ("demo", DEMO),
        ]:
            self.assertEqual(upstream_url(text), url)

    def test_what_is_no_url_of_an_http_server_is_refused(self) -> None:
        for text in (
            "",
            "api.openai.com",
            "ftp://x/v1",
            "https://",
            "http://x:port/",
            "https://x/v1?key=1",
            "http://é/",
        ):
            with self.assertRaises(ValueError, msg=text):
                upstream_url(text)

    def test_a_password_in_the_url_is_refused_and_not_repeated(self) -> None:
        with self.assertRaises(ValueError) as caught:
            upstream_url("https://me:hunter2@api.openai.com/v1")
        self.assertNotIn("hunter2", str(caught.exception))
