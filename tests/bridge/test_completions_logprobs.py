"""Log probabilities in the legacy form."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.completions.logprobs import LegacyLogprobs, likelihood
from tests.bridge.completing import answer, folded, plan, response, streamed, token, whole
from tests.bridge.wire import Event


def entry(token: str, logprob: float, encoded: list[int] | None, *top: Event) -> Event:
    """A token's entry as a chat answer has it."""
    return {"token": token, "logprob": logprob, "bytes": encoded, "top_logprobs": list(top)}


class LogprobTests(SynchronousTestCase):
    TOKENS = (token("a", -0.5, ("b", -1.0)), token("é", -2.0, ("a", -0.25)))

    def test_they_are_lists_beside_each_other(self) -> None:
        (choice,) = whole(plan("One", logprobs=2), response("a", "é", logprobs=self.TOKENS))["choices"]
        self.assertEqual(
            choice["logprobs"],
            {
                "tokens": ["a", "é"],
                "token_logprobs": [-0.5, -2.0],
                "top_logprobs": [{"a": -0.5, "b": -1.0}, {"é": -2.0, "a": -0.25}],
                "text_offset": [3, 4],
            },
        )

    def test_a_stream_goes_on_counting(self) -> None:
        raw = answer(plan("One", stream=True, logprobs=2), streamed("a", "é", logprobs=self.TOKENS))
        self.assertEqual(folded(raw)["choices"][0]["logprobs"]["text_offset"], [3, 4])

    def test_they_are_left_out_where_nobody_asked(self) -> None:
        (choice,) = whole(plan(made=2), *[response("a", "é", logprobs=self.TOKENS)] * 2)["choices"]
        self.assertEqual(choice["logprobs"], None)

    def test_an_upstream_that_gives_none_gives_null(self) -> None:
        self.assertEqual(whole(plan(logprobs=2), response("a"))["choices"][0]["logprobs"], None)

    def test_the_token_itself_is_always_among_the_likeliest(self) -> None:
        found = LegacyLogprobs(0).write([entry("a", -9.0, [97]), entry("b", -1.0, [98], entry("c", -0.5, [99]))])
        self.assertEqual(found["top_logprobs"], [{"a": -9.0}, {"c": -0.5, "b": -1.0}])

    def test_of_two_alternatives_of_one_name_the_likelier_counts(self) -> None:
        same = [entry("x", value, None) for value in (-0.5, -4.0)]
        self.assertEqual(
            LegacyLogprobs(0).write([entry("a", -1.0, [97], *same)])["top_logprobs"], [{"x": -0.5, "a": -1.0}]
        )

    def test_a_part_of_a_character_is_named_by_its_bytes(self) -> None:
        found = LegacyLogprobs(5).write(
            [
                entry("\ufffd", -1.0, [0xF0, 0x9F]),
                entry("\ufffd", -1.0, [0xA6, 0x8A]),
                entry("!", -1.0, [33]),
                entry("?", -1.0, [63]),
            ]
        )
        self.assertEqual(found["tokens"], ["bytes:\\xf0\\x9f", "bytes:\\xa6\\x8a", "!", "?"])
        # the fox is one character, there once both of its tokens are
        self.assertEqual(found["text_offset"], [5, 5, 6, 7])

    def test_bytes_that_never_become_a_character_do_no_harm(self) -> None:
        found = LegacyLogprobs(0).write([entry("\ufffd", -1.0, [0xFF]), entry("a", -1.0, [97]), entry("b", -1.0, [98])])
        self.assertEqual((found["tokens"], found["text_offset"]), (["bytes:\\xff", "a", "b"], [0, 0, 1]))

    def test_without_bytes_the_token_is_what_it_says(self) -> None:
        for encoded in (None, [300]):
            found = LegacyLogprobs(0).write([entry("ab", -1.0, encoded), entry("c", -1.0, encoded)])
            self.assertEqual((found["tokens"], found["text_offset"]), (["ab", "c"], [0, 2]))

    def test_an_answer_is_as_likely_as_its_tokens_are_on_average(self) -> None:
        self.assertEqual(likelihood([entry("a", -1.0, None), entry("b", -3.0, None)]), -2.0)
        self.assertEqual(likelihood([]), float("-inf"))
