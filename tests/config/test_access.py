"""Keys, browsers, and the addresses at which the service may lend its key."""

from __future__ import annotations

from oaiproxy.api.request import PortKind
from oaiproxy.config.reach import is_private
from oaiproxy.settings import AuthMode, port_at
from tests.config.test_build import SettingsTestCase

LENT = {"OPENAI_API_KEY": "sk-ours", "OAIPROXY_AUTH": "replace"}

PRIVATE = (
    "unix:/run/oaiproxy.sock",
    "tcp:5101:interface=127.0.0.1",
    "tcp:5101:interface=127.0.0.1:backlog=1024",
    r"tcp:5101:interface=\:\:1:backlog=1024",
    r"tcp6:5101:interface=\:\:1",
    "tcp:port=5101:interface=localhost",
    "ssl:5101:privateKey=a:certKey=b:interface=127.0.0.1",
)
REACHABLE = (
    "tcp:5101",
    "tcp:5101:interface=",
    "tcp:5101:interface=0.0.0.0",
    "tcp:5101:interface=10.0.0.1:backlog=127.0.0.1",
    "tcp:5101:127.0.0.1",
    r"tcp:5101\:interface=127.0.0.1",
    "tcp:5101:interface=127.0.0.1:interface=0.0.0.0",
    r"tcp:5101:interface=127.0.0.1:inter\face=0.0.0.0",
    "tcp6:5101",
    r"tcp6:5101:interface=\:\:",
    "ssl:5101:privateKey=a:certKey=b",
    "tls:certs:tcp:443:interface=127.0.0.1",
    "systemd:domain=INET:index=0",
    "haproxy:tcp:5101:interface=127.0.0.1",
    "carrier:pigeon",
    "",
)


class ReachTests(SettingsTestCase):
    def test_which_endpoints_only_this_machine_reaches(self) -> None:
        self.assertEqual([each for each in (*PRIVATE, *REACHABLE) if is_private(each)], list(PRIVATE))

    def test_bare_ports_are_this_machine_s(self) -> None:
        for where in ("5101", "0"):
            for endpoint in port_at(PortKind.BRIDGE, where).endpoints:
                self.assertTrue(is_private(endpoint), endpoint)
        self.assertFalse(is_private(port_at(PortKind.BRIDGE, "5101", "0.0.0.0").endpoints[0]))


class LendingTests(SettingsTestCase):
    def test_without_proxy_keys_the_key_is_lent_on_loopback_addresses(self) -> None:
        access = self.parsed(**LENT).common.access
        self.assertEqual((access.mode, access.lends_to_all), (AuthMode.REPLACE, True))

    def test_and_nowhere_else(self) -> None:
        for arguments, environ in [
            (("--interface=0.0.0.0",), {}),
            ((), {"OAIPROXY_INTERFACE": "0.0.0.0"}),
            (("--bridge=tcp:5102",), {}),
            (("--bridge=5102", "--passthrough=tcp:5101"), {}),
        ]:
            with self.assertRaises(SystemExit) as caught:
                self.parsed(*arguments, **LENT, **environ)
            line = str(caught.exception.code)
            self.assertRegex(line, r"^oaiproxy: tcp:510[12].*whoever reaches this address could use the upstream key")
            self.assertIn("PROXY_API_KEYS", line)
            self.assertNotIn("sk-ours", line)

    def test_each_port_of_a_file_is_looked_at(self) -> None:
        text = """
            auth = "replace"
            upstream_key = "sk-ours"
            [[ports]]
            kind = "bridge"
            [[ports]]
            kind = "passthrough"
            interface = "0.0.0.0"
            """
        self.assertIn("tcp:5101:interface=0.0.0.0", self.mistake(text))
        self.from_file(text + 'proxy_keys = ["one"]\n')
        self.from_file(text + 'auth = "forward"\n')

    def test_with_proxy_keys_any_address_will_do(self) -> None:
        self.parsed("--interface=0.0.0.0", PROXY_API_KEYS="one", **LENT)

    def test_where_no_key_is_lent_any_address_will_do(self) -> None:
        self.parsed("--interface=0.0.0.0", OPENAI_API_KEY="sk-ours")


class FitTests(SettingsTestCase):
    def test_a_key_that_is_required_has_to_be_there(self) -> None:
        said = self.mistake("", PROXY_REQUIRE_API_KEY="true", OPENAI_API_KEY="sk-ours")
        self.assertIn("PROXY_REQUIRE_API_KEY: there is no proxy key that clients could show", said)

    def test_a_key_that_is_required_is_not_forwarded(self) -> None:
        said = self.mistake("auth = 'forward'", PROXY_REQUIRE_API_KEY="true", PROXY_API_KEYS="one")
        self.assertIn("PROXY_REQUIRE_API_KEY: goes with auth = replace, but oaiproxy.toml: auth says forward", said)

    def test_without_an_upstream_key_there_has_to_be_something_to_ask_for(self) -> None:
        said = self.mistake("auth = 'replace'\nforward_auth_header = true")
        self.assertIn("oaiproxy.toml: auth: there is no proxy key", said)
        self.from_file("auth = 'replace'\nforward_auth_header = true\nproxy_keys = ['one']")

    def test_what_is_common_may_be_half_of_what_each_port_says(self) -> None:
        port = "[[ports]]\nkind = 'bridge'\nupstream_key = 'sk-ours'\nproxy_keys = ['one']\n"
        (found,) = self.from_file("require_api_key = true\n" + port).ports
        self.assertFalse(found.settings.access.lends_to_all)
        self.assertIn("require_api_key", self.mistake("require_api_key = true\n[[ports]]\nkind = 'bridge'\n"))


class OriginTests(SettingsTestCase):
    def test_origins_as_browsers_write_them(self) -> None:
        for given, origin in [
            ("https://Chat.Example.com", "https://chat.example.com"),
            ("https://chat.example.com:443", "https://chat.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("tauri://localhost", "tauri://localhost"),
            ("*", "*"),
        ]:
            self.assertEqual(self.parsed("--cors-origin", given).common.access.cors_origins, (origin,))

    def test_what_is_no_origin(self) -> None:
        for given in (
            "example.com",
            "https://a.example/",
            "https://a.example/x",
            "https://*.example",
            "null",
            "https://",
        ):
            self.assertIn("is no origin such as", self.mistake(f"cors_origin = ['{given}']"), given)
