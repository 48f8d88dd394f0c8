"""Think tags: what of a text is thought, wherever the text is cut, and whose rules hold for a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.rules.thinkfilter import Part, Piece, ThinkFilter

TAGS = ThinkRules()
OPENED = ThinkRules(opened=True)


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of one sort that stand together as one; tags and white space beside each other are one as well."""
    found: list[Piece] = []
    for part, text in pieces:
        if found and found[-1][0] is part:
            found[-1] = (part, found[-1][1] + text)
        else:
            found.append((part, text))
    return found


def parted(rules: ThinkRules, *texts: str) -> list[Piece]:
    """What all of it is."""
    think = ThinkFilter(rules)
    return merged([piece for text in texts for piece in think.feed(text)] + think.flush())


def shown(rules: ThinkRules, *texts: str) -> list[tuple[str, str]]:
    """The answer and the thoughts that come of each text, and of the end."""
    think = ThinkFilter(rules)
    steps = [*(think.feed(text) for text in texts), think.flush()]
    return [(said(step, Part.ANSWER), said(step, Part.THOUGHT)) for step in steps]


def said(pieces: Sequence[Piece], part: Part) -> str:
    return "".join(text for which, text in pieces if which is part)


def both(rules: ThinkRules, *texts: str) -> tuple[str, str]:
    """All of the answer, all of the thoughts."""
    pieces = parted(rules, *texts)
    return said(pieces, Part.ANSWER), said(pieces, Part.THOUGHT)


class ThinkFilterTests(SynchronousTestCase):
    def test_text_without_tags_goes_through_at_once(self) -> None:
        self.assertEqual(shown(TAGS, "one ", "two\n"), [("one ", ""), ("two\n", ""), ("", "")])

    def test_a_block_is_thought_and_the_rest_is_the_answer(self) -> None:
        self.assertEqual(both(TAGS, "<think>plan</think>Hello"), ("Hello", "plan"))

    def test_tags_are_seen_across_pieces(self) -> None:
        self.assertEqual(
            shown(TAGS, "a<th", "ink>b</", "think", ">c"), [("a", ""), ("", "b"), ("", ""), ("c", ""), ("", "")]
        )

    def test_each_character_by_itself_makes_no_difference(self) -> None:
        text = "Well <think>\nso\n</think> yes, <thinking> <think>2</think>!"
        self.assertEqual(parted(TAGS, *text), parted(TAGS, text))

    def test_several_blocks_are_all_thought(self) -> None:
        self.assertEqual(both(TAGS, "a<think>1</think>b<think>2</think>c"), ("abc", "12"))

    def test_a_thought_may_have_any_line_ends(self) -> None:
        self.assertEqual(both(TAGS, "<think>\r\none\n\ntwo\n</think>\r\n\r\nHello\n"), ("Hello\n", "one\n\ntwo\n"))

    def test_tags_may_have_line_ends(self) -> None:
        rules = ThinkRules(start="\n[THINK]\n", end="\n[/THINK]\n")
        self.assertEqual(both(rules, "\n[THI", "NK]\nso\n", "[/THINK]\n\n[THINK]\nand\n[/THINK]\nHi"), ("Hi", "soand"))

    def test_a_block_that_does_not_end_is_thought_to_the_end(self) -> None:
        self.assertEqual(both(TAGS, "Hi <think>well", " and so </thi"), ("Hi ", "well and so </thi"))

    def test_a_lone_end_tag_is_text(self) -> None:
        self.assertEqual(both(TAGS, "a</think>b"), ("a</think>b", ""))

    def test_a_start_tag_in_a_block_is_thought(self) -> None:
        self.assertEqual(both(TAGS, "<think>a<think>b</think>c</think>"), ("c</think>", "a<think>b"))

    def test_what_only_looks_like_a_tag_is_let_through_as_soon_as_that_is_known(self) -> None:
        self.assertEqual(shown(TAGS, "a <", "thin", "g>"), [("a ", ""), ("", ""), ("<thing>", ""), ("", "")])

    def test_what_looks_like_one_up_to_the_end_is_text(self) -> None:
        self.assertEqual(shown(TAGS, "a <think"), [("a ", ""), ("<think", "")])

    def test_a_tag_may_begin_in_what_looked_like_one(self) -> None:
        self.assertEqual(both(TAGS, "<thi<think>x</thi</think>y"), ("<thiy", "x</thi"))
        self.assertEqual(both(ThinkRules(start="aab", end="c"), "aa", "ab", "xc"), ("a", "x"))

    def test_white_space_after_a_block_at_the_beginning_is_left_out(self) -> None:
        self.assertEqual(both(TAGS, "<think>\n\n</think>\n", "\n", " Hello"), ("Hello", ""))
        self.assertEqual(both(TAGS, "<think>a</think>\n<think>b</think>\n\nHello"), ("Hello", "ab"))

    def test_white_space_anywhere_else_is_the_text_s_own(self) -> None:
        self.assertEqual(
            both(TAGS, "\n\nHello \n<think>a \n</think>\n\n  world\n"), ("\n\nHello \n\n\n  world\n", "a \n")
        )

    def test_white_space_that_came_before_a_block_at_the_beginning_is_kept(self) -> None:
        self.assertEqual(both(TAGS, "\n<think>a</think>\n\nHello"), ("\nHello", "a"))

    def test_wide_white_space_is_text(self) -> None:
        self.assertEqual(both(TAGS, "<think>a</think>\n\u3000Hello"), ("\u3000Hello", "a"))

    def test_an_answer_may_begin_inside_a_block(self) -> None:
        self.assertEqual(
            shown(OPENED, "Well, ", "so.\n</th", "ink>\n\nHi")[:3], [("", "Well, "), ("", "so.\n"), ("Hi", "")]
        )

    def test_it_may_say_the_start_tag_all_the_same(self) -> None:
        self.assertEqual(both(OPENED, "<thi", "nk>Well</think>Hi"), ("Hi", "Well"))
        self.assertEqual(both(OPENED, "<thi", "s>Well</think>Hi"), ("Hi", "<this>Well"))

    def test_a_second_block_needs_its_start_tag(self) -> None:
        self.assertEqual(both(OPENED, "a</think>b</think>c<think>d</think>e"), ("b</think>ce", "ad"))

    def test_both_tags_may_be_the_same(self) -> None:
        self.assertEqual(both(ThinkRules(start="||", end="||"), "a||b|", "|c|", "|d"), ("ac", "bd"))

    def test_a_tag_may_be_one_character(self) -> None:
        self.assertEqual(
            shown(ThinkRules(start="\u25c1", end="\u25b7"), "a\u25c1b", "\u25b7c"), [("a", "b"), ("c", ""), ("", "")]
        )

    def test_a_tag_must_not_be_empty(self) -> None:
        for tags in ({"start": ""}, {"end": ""}):
            self.assertRaisesRegex(ValueError, "must not be empty", ThinkRules, **tags)


#: Tags that have beginnings in common with themselves and each other, and text that is full of them.
TAG = st.text("<>/a\n", min_size=1, max_size=4)
TEXT = st.text("<>/a \nb", max_size=30)


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]


class ThinkFilterPropertyTests(SynchronousTestCase):
    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(TAG, TAG, st.booleans(), TEXT, st.data())
    def test_any_cut_of_any_text_has_the_same_parts_and_nothing_is_lost(
        self, start: str, end: str, opened: bool, text: str, data: st.DataObject
    ) -> None:
        rules = ThinkRules(start=start, end=end, opened=opened)
        pieces = data.draw(cut(text))
        parts = parted(rules, *pieces)
        self.assertEqual("".join(piece for _, piece in parts), text)
        self.assertEqual(parts, parted(rules, text))
        self.assertEqual(parts, parted(rules, *text))

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(TAG, TAG, TEXT)
    @example("<a>", "</a>", "<a>x</a>\n\n<a>y</a> b <a>z")
    def test_the_parts_are_those_that_a_regular_expression_finds(self, start: str, end: str, text: str) -> None:
        block = re.compile(rf"{re.escape(start)}(.*?)(?:{re.escape(end)}|\Z)", re.DOTALL)
        thoughts = [match[1].lstrip(" \n") for match in block.finditer(text)]
        answer, at, blocks = "", 0, 0
        for match in [*block.finditer(text), None]:
            piece = text[at : match.start() if match else len(text)]
            # of an answer of which nothing was seen, white space after a block is layout
            answer += piece.lstrip(" \n") if blocks and not answer.strip(" \n") else piece
            at, blocks = match.end() if match else at, blocks + 1
        self.assertEqual(both(ThinkRules(start=start, end=end), text), (answer, "".join(thoughts)))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(TAG, TAG, st.booleans(), st.lists(TEXT, max_size=6))
    def test_no_more_is_held_back_than_the_beginning_of_a_tag(
        self, start: str, end: str, opened: bool, texts: list[str]
    ) -> None:
        think = ThinkFilter(ThinkRules(start=start, end=end, opened=opened))
        fed = passed = ""
        for text in texts:
            fed += text
            passed += "".join(piece for _, piece in think.feed(text))
            held = fed[len(passed) :]
            self.assertEqual(fed, passed + held)
            self.assertEqual(think.held, len(held))
            self.assertTrue(any(tag.startswith(held) and held != tag for tag in (start, end)))


class ThinkBookTests(SynchronousTestCase):
    def test_an_exact_name_comes_before_a_glob_and_a_longer_glob_before_a_shorter(self) -> None:
        rules = {name: ThinkRules(ThinkMode.MOVE, f"<{name}>") for name in ("q*", "qwen3*", "qwen3-8b")}
        book = ThinkBook(ThinkRules(), tuple(rules.items()))
        self.assertEqual(book.rules_for("qwen3-8b").start, "<qwen3-8b>")
        self.assertEqual(book.rules_for("qwen3-4b").start, "<qwen3*>")
        self.assertEqual(book.rules_for("qwq").start, "<q*>")
        self.assertEqual(book.rules_for("gpt-5").start, "<think>")

    def test_the_name_that_the_client_wrote_counts_before_the_one_upstream_knows(self) -> None:
        book = ThinkBook(models=(("mine", ThinkRules(ThinkMode.MOVE, "[")), ("r1", ThinkRules(ThinkMode.MOVE, "{"))))
        self.assertEqual(book.rules_for("mine", "r1").start, "[")
        self.assertEqual(book.rules_for("other", "r1").start, "{")

    def test_requests_that_name_no_model_may_have_rules_of_their_own(self) -> None:
        book = ThinkBook(models=(("r1", ThinkRules(ThinkMode.MOVE, "{")),), unnamed=ThinkRules(ThinkMode.MOVE, "("))
        self.assertEqual(book.rules_for(None).start, "(")
        self.assertEqual(book.rules_for(None, "r1").start, "{")
        self.assertEqual(book.rules_for("x").start, "<think>")
        self.assertEqual(ThinkBook().rules_for(None).start, "<think>")

    def test_a_book_is_on_where_any_of_its_rules_is(self) -> None:
        on = ThinkRules(ThinkMode.MOVE)
        self.assertFalse(ThinkBook().on)
        self.assertFalse(ThinkBook(models=(("a", ThinkRules()),)).on)
        self.assertTrue(ThinkBook(on).on)
        self.assertTrue(ThinkBook(models=(("a", on),)).on)
        self.assertTrue(ThinkBook(unnamed=on).on)
