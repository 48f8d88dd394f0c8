"""Connections that are watched while nothing is read from them."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.web.leaving import Departures


class Watching:
    """A reactor that only keeps what is to be read from."""

    def __init__(self) -> None:
        self.readers: list[Departures] = []

    def addReader(self, reader: Departures) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Departures) -> None:
        assert reader.fileno() >= 0
        self.readers.remove(reader)

    def turn(self) -> None:
        """As a reactor does it: whatever can be read from is read from, once."""
        for reader in list(self.readers):
            if select.select([reader.fileno()], [], [], 0)[0]:
                reader.doRead()


class DeparturesTests(SynchronousTestCase):
    def setUp(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("only Linux tells of the end of what is not read")
        self.reactor = Watching()
        self.departures = Departures(self.reactor)
        self.addCleanup(self.departures.close)
        self.left: list[str] = []

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A connection: the client's side of it and ours."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        self.addCleanup(client.close)
        self.addCleanup(ours.close)
        return client, ours

    def watched(self, name: str) -> tuple[socket.socket, socket.socket, int]:
        client, ours = self.pair()
        number = self.departures.watch(ours, lambda: self.left.append(name))
        assert number is not None
        return client, ours, number

    def leaves(self, way: Callable[[socket.socket], None]) -> None:
        client, _, _ = self.watched("a")
        stays, _, _ = self.watched("b")
        client.sendall(b"unread")
        stays.sendall(b"unread")
        self.reactor.turn()
        self.assertEqual(self.left, [])
        way(client)
        self.reactor.turn()
        self.assertEqual(self.left, ["a"])
        # once only
        self.reactor.turn()
        self.assertEqual(self.left, ["a"])
        self.assertFalse(select.select([self.departures], [], [], 0)[0])

    def test_who_closes_is_noticed_behind_unread_bytes(self) -> None:
        self.leaves(lambda client: client.close())

    def test_who_resets(self) -> None:
        def reset(client: socket.socket) -> None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()

        self.leaves(reset)

    def test_who_closes_its_own_side_only(self) -> None:
        self.leaves(lambda client: client.shutdown(socket.SHUT_WR))

    def test_who_had_left_before(self) -> None:
        client, ours = self.pair()
        client.close()
        self.departures.watch(ours, lambda: self.left.append("a"))
        self.reactor.turn()
        self.assertEqual(self.left, ["a"])

    def test_several_at_the_same_time(self) -> None:
        clients = [self.watched(name)[0] for name in "abc"]
        for client in clients[:2]:
            client.close()
        self.reactor.turn()
        self.assertEqual(sorted(self.left), ["a", "b"])

    def test_who_is_read_from_again_is_left_to_the_reader(self) -> None:
        client, _, number = self.watched("a")
        self.departures.unwatch(number)
        client.close()
        self.reactor.turn()
        self.assertEqual(self.left, [])

    def test_the_end_of_one_that_another_s_end_has_ended_is_not_told(self) -> None:
        found: list[int] = []

        def left() -> None:
            self.left.append("a")
            for number in found:
                self.departures.unwatch(number)

        for _ in range(2):
            client, ours = self.pair()
            number = self.departures.watch(ours, left)
            assert number is not None
            found.append(number)
            client.close()
        self.reactor.turn()
        self.assertEqual(self.left, ["a"])

    def test_a_number_that_is_used_again(self) -> None:
        _, ours, number = self.watched("a")
        ours.close()
        self.departures.unwatch(number)
        client, ours = self.pair()
        os.dup2(ours.fileno(), number)
        self.addCleanup(os.close, number)
        ours.close()
        again = socket.socket(fileno=os.dup(number))
        self.addCleanup(again.close)
        self.departures.watch(again, lambda: self.left.append("b"))
        client.close()
        self.reactor.turn()
        self.assertEqual(self.left, ["b"])

    def test_a_connection_in_memory_is_not_watched(self) -> None:
        self.assertIsNone(self.departures.watch(StringTransport(), self.fail))
        self.assertEqual(self.reactor.readers, [])

    def test_nor_one_that_has_ended(self) -> None:
        _, ours = self.pair()
        ours.close()
        self.assertIsNone(self.departures.watch(ours, self.fail))

    def test_where_there_are_no_more_descriptors_nothing_is_watched_and_nothing_fails(self) -> None:
        def none_left() -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        patch = self.patch(select, "epoll", none_left)
        _, ours = self.pair()
        self.assertIsNone(self.departures.watch(ours, self.fail))
        self.assertEqual(self.reactor.readers, [])
        patch.restore()
        self.watched("a")[0].close()
        self.reactor.turn()
        self.assertEqual(self.left, ["a"])

    def test_what_it_takes_is_given_back_and_taken_again(self) -> None:
        for name in "ab":
            client, _, _ = self.watched(name)
            number = self.departures.fileno()
            self.assertEqual(self.reactor.readers, [self.departures])
            client.close()
            self.reactor.turn()
            self.departures.close()
            self.assertEqual((self.reactor.readers, self.departures.fileno()), ([], -1))
            self.assertRaises(OSError, os.fstat, number)
        self.assertEqual(self.left, ["a", "b"])

    def test_a_reactor_that_ends_takes_it_along(self) -> None:
        self.watched("a")
        number = self.departures.fileno()
        self.departures.connectionLost()
        self.assertRaises(OSError, os.fstat, number)
