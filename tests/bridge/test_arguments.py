"""Which of a call's arguments may go to the client, and when."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.bridge.arguments import HELD, Arguments


def taken(*deltas: str, final: str = "") -> list[str]:
    """What may go on after each delta, after the whole, and at the end."""
    arguments = Arguments()
    found = []
    for delta in deltas:
        arguments.add(delta)
        found.append(arguments.take())
    arguments.settle(final)
    found.append(arguments.take())
    arguments.close()
    return [*found, arguments.take()]


class ArgumentsTests(SynchronousTestCase):
    def test_compact_json_goes_on_as_it_comes(self) -> None:
        deltas = ['{"a b', '":"c d\\', '" e","', 'f":', "[1,2]}"]
        self.assertEqual(taken(*deltas, final="".join(deltas)), [*deltas, "", ""])

    def test_what_the_deltas_left_out_goes_on_with_the_whole(self) -> None:
        self.assertEqual(taken('{"a"', final='{"a":1}'), ['{"a"', ":1}", ""])
        self.assertEqual(taken(final='{"a":1}'), ['{"a":1}', ""])

    def test_deltas_that_do_not_lead_up_to_the_whole_stay(self) -> None:
        self.assertEqual(taken('{"a":1}', final='{"b":1}'), ['{"a":1}', "", ""])
        self.assertEqual(taken('{"a":', " 1}", final='{"b":1}'), ['{"a":', "", " 1}", ""])

    def test_white_space_between_tokens_waits_for_the_whole(self) -> None:
        self.assertEqual(taken('{"a":', " 1", "}", final='{"a":1}'), ['{"a":', "", "", "1}", ""])
        self.assertEqual(taken('{\n  "a": 1}', final='{"a":1}'), ["", '{"a":1}', ""])
        self.assertEqual(taken('{"a": 1}'), ["", "", '{"a": 1}'])

    def test_not_much_waits_for_white_space(self) -> None:
        long = "x" * HELD
        self.assertEqual(taken('{"a": "', long, 'y"}', final=""), ["", '{"a": "' + long, 'y"}', "", ""])

    def test_what_is_no_object_waits_for_the_whole(self) -> None:
        self.assertEqual(taken(" ", "<arg>", "x" * 999, final='{"a":1}'), ["", "", "", '{"a":1}', ""])
        self.assertEqual(taken("\n", '{"a":', "1}"), ["", '\n{"a":', "1}", "", ""])
        self.assertEqual(taken("null"), ["", "", "null"])

    def test_an_empty_object_at_the_end_does_not_replace_arguments(self) -> None:
        self.assertEqual(taken('{"a": 1}', final="{}"), ["", '{"a": 1}', ""])
        self.assertEqual(taken("<arg>", final="{}"), ["", "{}", ""])

    def test_what_comes_after_the_whole_is_stale(self) -> None:
        arguments = Arguments()
        arguments.settle("{}")
        arguments.add('{"a":1}')
        arguments.settle('{"a":1}')
        self.assertEqual((arguments.take(), arguments.whole), ("{}", "{}"))

    def test_free_text_never_waits(self) -> None:
        arguments = Arguments()
        arguments.free = True
        arguments.add("a b")
        self.assertEqual(arguments.take(), "a b")

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
        st.integers(1, 7),
        st.booleans(),
    )
    def test_the_client_gets_the_whole_whatever_the_server_wrote_before(
        self, value: Any, size: int, spaced: bool
    ) -> None:
        final = json.dumps({"value": value}, separators=(",", ":"))
        written = json.dumps({"value": value}) if spaced else final
        deltas = [written[i : i + size] for i in range(0, len(written), size)]
        found = taken(*deltas, final=final)
        self.assertEqual("".join(found), final if len(written) <= HELD or not spaced else "".join(found))
        self.assertEqual(json.loads("".join(found)), {"value": value})
        if not spaced:
            self.assertEqual(found[: len(deltas)], deltas)
