"""Stop sequences: the text ends before the first of them, wherever it is cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rules.stop import StopFilter


def shown(stops: list[str], *pieces: str) -> list[str]:
    """What comes of each piece, and of the end."""
    stop = StopFilter(stops)
    return [*(stop.feed(piece) for piece in pieces), "" if stop.hit else stop.flush()]


class StopFilterTests(SynchronousTestCase):
    def test_text_without_a_stop_sequence_goes_through_at_once(self) -> None:
        self.assertEqual(shown(["END"], "one ", "two"), ["one ", "two", ""])

    def test_text_ends_before_the_stop_sequence(self) -> None:
        self.assertEqual(shown(["END"], "one END two", "three"), ["one ", "", ""])

    def test_a_stop_sequence_is_seen_across_pieces(self) -> None:
        self.assertEqual(shown(["END"], "one E", "N", "D two"), ["one ", "", "", ""])

    def test_what_only_looked_like_one_is_let_through(self) -> None:
        self.assertEqual(shown(["END"], "one E", "N", "E"), ["one ", "", "EN", "E"])

    def test_no_more_is_held_back_than_may_be_the_beginning_of_one(self) -> None:
        self.assertEqual(shown(["\n\nUser:"], "Hello\n", "there"), ["Hello", "\nthere", ""])

    def test_the_first_of_several_ends_the_text(self) -> None:
        self.assertEqual(shown(["b", "a"], "xxaxxb"), ["xx", ""])

    def test_of_two_that_overlap_the_one_that_is_complete_first_counts(self) -> None:
        self.assertEqual(shown(["abcd", "bc"], "xabcd"), ["xa", ""])

    def test_one_inside_another_is_not_waited_over(self) -> None:
        self.assertEqual(shown(["abc", "b"], "xab"), ["xa", ""])

    def test_the_whole_text_may_be_one(self) -> None:
        self.assertEqual(shown(["END"], "END"), ["", ""])

    def test_an_empty_one_is_none(self) -> None:
        self.assertEqual(shown(["", "x"], "abc"), ["abc", ""])

    def test_characters_of_several_bytes_are_characters(self) -> None:
        self.assertEqual(shown(["\N{CAT FACE}!"], "a\N{CAT FACE}", "!b"), ["a", "", ""])

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.lists(st.text("ab\n", max_size=4), min_size=1, max_size=3),
        st.lists(st.text("abc\n", max_size=6), max_size=8),
    )
    def test_any_cut_of_any_text_ends_before_the_same_match(self, stops: list[str], pieces: list[str]) -> None:
        text = "".join(pieces)
        got = "".join(shown(stops, *pieces))
        self.assertEqual(got, "".join(shown(stops, text)))
        self.assertEqual(got, "".join(shown(stops, *text)))
        self.assertTrue(text.startswith(got))
        stops = [stop for stop in stops if stop]
        self.assertFalse(any(stop in got for stop in stops))
        if got != text:
            self.assertTrue(any(text.startswith(stop, len(got)) for stop in stops))
