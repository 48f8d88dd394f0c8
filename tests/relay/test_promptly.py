"""What is sent at once, and what the transport is left with: real sockets, and no reactor that would send the rest."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.relay.promptly import write


class _Reactor:
    """Knows who waits to be told that its socket takes something."""

    def __init__(self) -> None:
        self.writers: list[Any] = []

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.remove(writer)

    def removeReader(self, reader: Any) -> None:
        """Nobody reads here."""


class WriteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = _Reactor()
        ours, self.theirs = socket.socketpair()
        for end in (ours, self.theirs):
            end.setblocking(False)
            self.addCleanup(end.close)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.transport = Connection(ours, Protocol(), self.reactor)  # type: ignore[arg-type]
        self.transport.connected = True

    def arrived(self) -> bytes:
        """What has come at the other end; nothing where nothing has."""
        try:
            return self.theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    def test_it_has_arrived_when_it_returns(self) -> None:
        write(self.transport, b"hello")
        self.assertEqual((self.arrived(), self.reactor.writers), (b"hello", []))

    def test_nothing_is_sent_for_nothing(self) -> None:
        write(self.transport, b"")
        self.assertEqual((self.arrived(), self.reactor.writers), (b"", []))

    def test_it_waits_behind_what_waits(self) -> None:
        self.transport.write(b"first ")
        write(self.transport, b"second")
        self.assertEqual((self.arrived(), self.reactor.writers), (b"", [self.transport]))
        self.transport.doWrite()
        self.assertEqual((self.arrived(), self.reactor.writers), (b"first second", []))

    def test_what_the_socket_does_not_take_is_sent_later_in_order(self) -> None:
        data = b"".join(b"%07d\n" % n for n in range(8_000))
        write(self.transport, data)
        self.assertEqual(self.reactor.writers, [self.transport])
        write(self.transport, b"end")
        got = self.arrived()
        self.assertTrue(0 < len(got) < len(data))
        while self.reactor.writers:
            self.transport.doWrite()
            got += self.arrived()
        self.assertEqual(got, data + b"end")

    def test_a_large_piece_is_left_to_the_transport(self) -> None:
        write(self.transport, bytes(1 << 17))
        self.assertEqual((self.arrived(), self.reactor.writers), (b"", [self.transport]))

    def test_nothing_is_sent_before_the_end_of_what_is_closing(self) -> None:
        self.transport.loseWriteConnection()
        write(self.transport, b"late")
        self.assertEqual(self.arrived(), b"")

    def test_a_lost_connection_is_found_in_the_next_turn(self) -> None:
        self.theirs.close()
        write(self.transport, b"hello")
        self.assertEqual(self.reactor.writers, [self.transport])
        self.assertIsInstance(self.transport.doWrite(), Exception)

    def test_nothing_is_sent_on_one_that_has_ended(self) -> None:
        self.transport.connected = False
        write(self.transport, b"hello")
        self.assertEqual((self.arrived(), self.reactor.writers), (b"", []))

    def test_any_other_transport_is_written_to(self) -> None:
        transport = StringTransport()
        write(transport, b"hello")
        self.assertEqual(transport.value(), b"hello")
