"""An upstream's URL that leads to the proxy itself."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.relay import own_address
from oaiproxy.relay.itself import is_local

#: (upstream, where the proxy listens, whether that is the same)
CASES = (
    ("http://127.0.0.1:5101/v1", ["127.0.0.1"], True),
    ("http://127.0.0.1:5102/v1", ["127.0.0.1"], False),
    ("http://localhost:5101/v1", ["127.0.0.1"], True),
    ("http://LOCALHOST.:5101", ["::1"], True),
    ("http://proxy.localhost:5101/v1", ["127.0.0.1"], True),
    ("http://ip6-localhost:5101/v1", ["::1"], True),
    ("https://localhost:5101/v1", ["127.0.0.1"], True),
    ("http://[::1]:5101/v1", ["127.0.0.1", "::1"], True),
    ("http://[::1]:5101/v1", ["127.0.0.1"], False),
    ("http://[0:0:0:0:0:0:0:1]:5101/v1", ["::1"], True),
    ("http://[::ffff:127.0.0.1]:5101/v1", ["127.0.0.1"], True),
    ("http://127.0.0.1:5101/v1", ["::ffff:127.0.0.1"], True),
    ("http://127.1:5101/v1", ["127.0.0.1"], True),
    ("http://0x7f000001:5101/v1", ["127.0.0.1"], True),
    ("http://0.0.0.0:5101/v1", ["127.0.0.1"], True),
    ("http://[::]:5101/v1", ["::1"], True),
    # another address of the loopback network is another place ...
    ("http://127.0.0.2:5101/v1", ["127.0.0.1"], False),
    # ... unless all are served
    ("http://127.0.0.2:5101/v1", ["0.0.0.0"], True),
    ("http://localhost:5101/v1", ["0.0.0.0"], True),
    ("http://127.0.0.1:5101/v1", ["::"], True),
    ("http://[::1]:5101/v1", ["0.0.0.0"], False),
    ("http://192.0.2.7:5101/v1", ["0.0.0.0"], True),
    ("http://192.0.2.7:5101/v1", ["192.0.2.7"], True),
    ("http://192.0.2.7:5101/v1", ["127.0.0.1"], False),
    ("http://192.0.2.8:5101/v1", ["0.0.0.0"], False),
    ("http://192.0.2.8:5101/v1", ["192.0.2.7"], False),
    ("http://[fe80::1%25eth0]:5101/v1", ["fe80::1%eth0"], True),
    # nobody is asked for other names
    ("http://proxy.example.com:5101/v1", ["0.0.0.0", "::"], False),
    ("https://api.openai.com/v1", ["127.0.0.1", "::1"], False),
)


class OwnAddressTests(SynchronousTestCase):
    def test_every_way_to_name_it(self) -> None:
        for url, hosts, expected in CASES:
            own = own_address(
                url, [(host, 5101) for host in hosts], lambda ip: ip.is_loopback or str(ip) == "192.0.2.7"
            )
            self.assertEqual(own is not None, expected, (url, hosts))

    def test_the_ports_of_the_schemes_are_known(self) -> None:
        self.assertEqual(own_address("http://127.0.0.1/v1", [("127.0.0.1", 80)]), ("127.0.0.1", 80))
        self.assertEqual(own_address("https://127.0.0.1/v1", [("127.0.0.1", 443)]), ("127.0.0.1", 443))
        self.assertIsNone(own_address("https://127.0.0.1/v1", [("127.0.0.1", 80)]))

    def test_it_says_which_one(self) -> None:
        listening = [("127.0.0.1", 5101), ("127.0.0.1", 5102)]
        self.assertEqual(own_address("http://localhost:5102/v1", listening), ("127.0.0.1", 5102))

    def test_a_socket_without_an_address_is_none(self) -> None:
        self.assertIsNone(own_address("http://localhost:5101/v1", [("", 0)]))

    def test_no_name_is_looked_up(self) -> None:
        asked: list[object] = []
        original = socket.getaddrinfo

        def spy(host: object, port: object, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> object:
            if not flags & socket.AI_NUMERICHOST:
                asked.append(host)
            return original(host, port, family, type, proto, flags)  # type: ignore[arg-type]

        self.patch(socket, "getaddrinfo", spy)
        own_address("http://nowhere.invalid:5101/v1", [("0.0.0.0", 5101), ("nowhere.invalid", 5101)])
        self.assertEqual(asked, [])


class LocalTests(SynchronousTestCase):
    def test_an_address_of_this_machine_can_be_told_from_others(self) -> None:
        self.assertTrue(is_local(ip_address("127.0.0.1")))
        self.assertTrue(is_local(ip_address("::1")))
        # kept for documentation (RFC 5737, RFC 3849): nobody has them
        self.assertFalse(is_local(ip_address("192.0.2.7")))
        self.assertFalse(is_local(ip_address("2001:db8::7")))
