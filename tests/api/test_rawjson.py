"""JSON objects opened one level at a time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.rawjson import as_list, as_object, as_plain, close_object, open_object, says_nothing


class RawJsonTests(SynchronousTestCase):
    def test_what_is_not_touched_stays_the_bytes_it_was(self) -> None:
        top = open_object(b'{"a": {"x": 1.50, "y":[1, 2]}, "n": 123456789012345678901234567890, "s": "\\u00e9"}')
        self.assertEqual(
            close_object({**top, "b": "new"}),
            b'{"a":{"x": 1.50, "y":[1, 2]},"n":123456789012345678901234567890,"s":"\\u00e9","b":"new"}',
        )

    def test_one_level_is_opened_at_a_time(self) -> None:
        top = open_object(b'{"choices": [{"index": 0}, 7]}')
        first, second = as_list(top["choices"])
        self.assertEqual(as_plain(as_object(first)["index"]), 0)
        self.assertEqual((as_object(second), as_list(second), as_object(None)), ({}, [], {}))

    def test_halves_of_surrogate_pairs_stay_halves(self) -> None:
        top = open_object(b'{"a": {"b": "\\ud83d"}, "c": [1.50, "\\ude00"]}')
        inner = as_object(top["a"])
        self.assertEqual(inner, {"b": "\ud83d"})
        self.assertEqual(as_list(top["c"]), [1.5, "\ude00"])
        self.assertEqual(close_object(top), b'{"a":{"b":"\\ud83d"},"c":[1.5,"\\ude00"]}')
        self.assertEqual(close_object({"a": inner, **open_object(b'{"d": [1]}')}), b'{"a":{"b":"\\ud83d"},"d":[1]}')

    def test_broken_utf_8_is_replaced(self) -> None:
        self.assertEqual(as_plain(open_object(b'{"a": "x\xff"}')["a"]), "x\ufffd")

    def test_what_is_no_object_is_refused(self) -> None:
        for data in (b"", b"[]", b"null", b"{", b'{"a": }', b"[" * 100_000, b'{"a":"\\ud83d"'):
            self.assertRaises(ValueError, open_object, data)

    def test_null_and_what_is_empty_says_nothing(self) -> None:
        top = open_object(b'{"a": null, "b": "", "c": [], "d": {}, "e": 0, "f": false, "g": "x"}')
        self.assertEqual([name for name, value in top.items() if says_nothing(value)], ["a", "b", "c", "d"])
        self.assertTrue(says_nothing(None))
        self.assertFalse(says_nothing(0) and says_nothing(False))
