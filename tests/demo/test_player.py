from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.player import Player
from oaiproxy.demo.reply import Cut, Reply, Step, Wait


class _Stage:
    """What is done to a request, in order; a full one pauses its producer, as a transport does."""

    def __init__(self, room: int = 1000) -> None:
        self.done: list[Any] = []
        self.room = room
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        self.done.append(data)
        self.room -= 1
        if self.room == 0:
            self.producer.pauseProducing()

    def finish(self) -> None:
        self.done.append("finish")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None


class PlayerTests(SynchronousTestCase):
    def _play(self, reply: Reply, room: int = 1000) -> tuple[_Stage, Clock, Player]:
        stage, clock = _Stage(room), Clock()
        player = Player(reply, stage, clock, lambda: stage.done.append("abort"), lambda: stage.done.append("over"))
        player.start()
        return stage, clock, player

    def test_each_piece_is_one_write_in_a_turn_of_its_own(self) -> None:
        stage, clock, _ = self._play(Reply([b"a", b"b"]))
        self.assertEqual(stage.done, [])
        clock.advance(0)
        self.assertEqual(stage.done, [b"a", b"b", "over", "finish"])
        self.assertEqual((stage.producer, clock.getDelayedCalls()), (None, []))

    def test_the_head_of_a_live_reply_goes_out_at_once(self) -> None:
        stage, clock, _ = self._play(Reply([b"a"], live=True, silence=2.0))
        self.assertEqual(stage.done, [b""])
        clock.advance(1.9)
        self.assertEqual(stage.done, [b""])
        clock.advance(0.1)
        self.assertEqual(stage.done, [b"", b"a", "over", "finish"])

    def test_pieces_keep_their_distance(self) -> None:
        stage, clock, _ = self._play(Reply([b"a", b"b", b"c"], slow=0.5))
        clock.advance(0)
        self.assertEqual(stage.done, [b"a"])
        clock.advance(0.5)
        self.assertEqual(stage.done, [b"a", b"b"])
        clock.pump([0.5, 0.5])
        self.assertEqual(stage.done, [b"a", b"b", b"c", "over", "finish"])

    def test_a_wait_holds_up_what_comes_after_it(self) -> None:
        stage, clock, _ = self._play(Reply([b"a", Wait(3), b"b"]))
        clock.advance(0)
        clock.advance(2.9)
        self.assertEqual(stage.done, [b"a"])
        clock.advance(0.1)
        self.assertEqual(stage.done, [b"a", b"b", "over", "finish"])

    def test_a_cut_lets_what_was_written_leave_and_then_aborts(self) -> None:
        stage, clock, _ = self._play(Reply([b"a", Cut(), b"never"]))
        clock.advance(0)
        self.assertEqual(stage.done, [b"a"])
        clock.advance(0.1)
        self.assertEqual(stage.done, [b"a", "over", "abort"])

    def test_a_slow_client_pauses_it(self) -> None:
        taken: list[int] = []

        def steps() -> Iterator[Step]:
            for number in range(10):
                taken.append(number)
                yield b"x"

        stage, clock, player = self._play(Reply(steps()), room=3)
        clock.advance(60)
        self.assertEqual((stage.done, taken), ([b"x"] * 3, [0, 1, 2]))
        self.assertEqual(clock.getDelayedCalls(), [])
        stage.room = 4
        player.resumeProducing()
        clock.advance(0)
        self.assertEqual(len(stage.done), 7)
        player.resumeProducing()
        stage.room = 100
        clock.advance(0)
        self.assertEqual(stage.done, [b"x"] * 10 + ["over", "finish"])

    def test_resuming_does_not_hurry_it(self) -> None:
        stage, clock, player = self._play(Reply([b"a", b"b"], slow=1.0))
        clock.advance(0)
        player.pauseProducing()
        player.resumeProducing()
        clock.advance(0.5)
        self.assertEqual(stage.done, [b"a"])
        clock.advance(0.5)
        self.assertIn(b"b", stage.done)

    def test_nothing_goes_on_after_the_client_has_left(self) -> None:
        closed: list[str] = []

        def steps() -> Iterator[Step]:
            try:
                while True:
                    yield b"x"
            finally:
                closed.append("closed")

        stage, clock, player = self._play(Reply(steps(), slow=1.0))
        clock.advance(0)
        player.stopProducing()
        self.assertEqual((stage.done, closed, clock.getDelayedCalls()), ([b"x", "over"], ["closed"], []))
        player.stop()
        player.resumeProducing()
        clock.advance(10)
        self.assertEqual(stage.done, [b"x", "over"])

    def test_a_client_that_leaves_while_it_is_written_to(self) -> None:
        stage, clock, player = self._play(Reply([b"a", b"b"]))
        stage.write = lambda data: player.stop()  # type: ignore[method-assign]
        clock.advance(0)
        self.assertEqual((stage.done, clock.getDelayedCalls()), (["over"], []))

    def test_a_reply_that_breaks_is_cut(self) -> None:
        def steps() -> Iterator[Step]:
            yield b"a"
            raise ValueError("broken")

        stage, clock, _ = self._play(Reply(steps()))
        clock.pump([0, 1])
        self.assertEqual(stage.done, [b"a", "over", "abort"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
