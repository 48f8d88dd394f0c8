"""The mark of requests that have been here."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.loop import has_come_around, marked

OURS = b"oaiproxy-1"


class MarkTests(SynchronousTestCase):
    def test_a_request_that_nobody_marked_gets_the_mark(self) -> None:
        self.assertEqual(marked([(b"Accept", b"*/*")], OURS), [(b"Accept", b"*/*"), (b"CDN-Loop", b"oaiproxy-1")])

    def test_the_marks_of_others_stay_before_it_in_one_field(self) -> None:
        given = [(b"cdn-loop", b"a; x=1, b"), (b"Accept", b"*/*"), (b"CDN-Loop", b""), (b"CDN-LOOP", b"c")]
        self.assertEqual(marked(given, OURS), [(b"Accept", b"*/*"), (b"CDN-Loop", b"a; x=1, b, c, oaiproxy-1")])

    def test_it_is_found_wherever_it_stands_in_the_list(self) -> None:
        for values, found in [
            ((), False),
            ((b"",), False),
            ((b"oaiproxy-1",), True),
            ((b"oaiproxy-12",), False),
            ((b"xoaiproxy-1",), False),
            ((b"cloudflare; loops=1,\toaiproxy-1 ; x=2",), True),
            ((b"cloudflare", b"fastly, oaiproxy-1"), True),
            ((b"fastly; x=oaiproxy-1",), False),
        ]:
            self.assertEqual(has_come_around(values, OURS), found, values)
