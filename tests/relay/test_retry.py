"""When a request is sent again, and how long to wait before: the rules alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.relay import Retry

NOW = 1_795_000_000.0

HALF = Retry(2, random=lambda: 0.5, now=lambda: NOW)
NONE = Retry(2, random=lambda: 0.0, now=lambda: NOW)


def wait(retry: Retry, status: int = 503, tried: int = 0, **fields: str) -> float | None:
    """The wait after an answer with these header fields (``retry_after="1"``)."""
    headers = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()]
    return retry.wait_after(status, headers, tried)


class StatusTests(SynchronousTestCase):
    def test_those_that_say_not_now_and_no_others(self) -> None:
        again = [status for status in range(100, 600) if wait(HALF, status) is not None]
        self.assertEqual(again, [429, 500, 502, 503, 504])

    def test_not_where_upstream_says_that_it_is_no_use(self) -> None:
        self.assertIsNone(wait(HALF, 429, x_should_retry="false"))
        self.assertIsNone(wait(HALF, 500, X_Should_Retry="False"))
        self.assertIsNotNone(wait(HALF, 500, x_should_retry="true"))

    def test_a_request_that_is_wrong_stays_so_whatever_upstream_says(self) -> None:
        self.assertIsNone(wait(HALF, 400, x_should_retry="true"))
        self.assertIsNone(wait(HALF, 404, retry_after="1"))


class WaitTests(SynchronousTestCase):
    def test_it_doubles_up_to_its_cap(self) -> None:
        retry = Retry(99, random=lambda: 1.0)
        self.assertEqual([retry.wait(tried) for tried in range(7)], [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0])

    def test_many_retries_are_no_overflow(self) -> None:
        self.assertEqual(Retry(10**6, random=lambda: 1.0).wait(10**5), 8.0)

    def test_the_limit_ends_it(self) -> None:
        self.assertEqual([HALF.wait(tried) for tried in range(4)], [0.25, 0.5, None, None])
        self.assertEqual([wait(HALF, tried=tried) for tried in range(4)], [0.25, 0.5, None, None])
        self.assertEqual([wait(HALF, tried=tried, retry_after="1") for tried in range(3)], [1.25, 1.5, None])

    def test_without_retries_there_is_none(self) -> None:
        self.assertIsNone(Retry(0).wait(0))
        self.assertIsNone(wait(Retry(0), retry_after="0"))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.floats(0, 1, exclude_max=True), st.integers(0, 50))
    def test_the_jitter_is_full(self, chance: float, tried: int) -> None:
        longest = min(8.0, 0.5 * 2**tried)
        found = Retry(51, random=lambda: chance).wait(tried)
        self.assertEqual(found, chance * longest)

    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(st.integers(0, 50))
    def test_chance_decides_within_its_bounds(self, tried: int) -> None:
        waits = [Retry(51).wait(tried) for _ in range(20)]
        longest = min(8.0, 0.5 * 2**tried)
        self.assertTrue(all(found is not None and 0 <= found < longest for found in waits), waits)
        self.assertGreater(len(set(waits)), 1)


class RetryAfterTests(SynchronousTestCase):
    def test_seconds(self) -> None:
        self.assertEqual(wait(NONE, retry_after="7"), 7.0)
        self.assertEqual(wait(NONE, Retry_After=" 1.5 "), 1.5)
        self.assertEqual(wait(NONE, retry_after="0"), 0.0)

    def test_the_jitter_comes_on_top(self) -> None:
        self.assertEqual(wait(HALF, retry_after="7"), 7.25)

    def test_milliseconds_win(self) -> None:
        self.assertEqual(wait(NONE, retry_after="7", retry_after_ms="250"), 0.25)
        self.assertEqual(wait(NONE, retry_after="7", retry_after_ms="soon"), 7.0)

    def test_dates_in_each_form_of_http(self) -> None:
        then = datetime.fromtimestamp(NOW + 30, UTC)
        for text in (
            format_datetime(then, usegmt=True),
            then.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
            then.strftime("%a %b %e %H:%M:%S %Y"),
        ):
            self.assertEqual(wait(NONE, retry_after=text), 30.0, text)

    def test_a_date_that_has_passed_is_now(self) -> None:
        self.assertEqual(wait(NONE, retry_after=formatdate(NOW - 100, usegmt=True)), 0.0)

    def test_a_date_is_by_the_clock_of_who_sends_it(self) -> None:
        wrong = NOW + 4000
        fields = {"date": formatdate(wrong, usegmt=True), "retry_after": formatdate(wrong + 5, usegmt=True)}
        self.assertEqual(wait(NONE, **fields), 5.0)

    def test_a_longer_wait_than_a_minute_is_for_the_client_to_decide(self) -> None:
        self.assertEqual(wait(NONE, retry_after="60"), 60.0)
        for text in ("61", "3600", "9" * 400, formatdate(NOW + 61, usegmt=True)):
            self.assertIsNone(wait(NONE, retry_after=text), text)
        self.assertIsNone(wait(NONE, retry_after_ms="60001"))

    def test_what_is_neither_number_nor_date_is_as_if_it_were_not_there(self) -> None:
        for text in ("", "-1", "nan", "inf", "1e3", "1_0", "soon", "Sat, 99 Foo 2026 00:00:00 GMT", "\xb2", "0x10"):
            self.assertEqual(wait(HALF, retry_after=text), 0.25, text)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=40), st.sampled_from([b"Retry-After", b"retry-after-ms", b"Date"]))
    def test_no_value_breaks_it(self, value: bytes, name: bytes) -> None:
        found = NONE.wait_after(503, [(name, value), (b"Retry-After", b"Wed, 21 Oct 2026 07:28:00 GMT")], 0)
        self.assertTrue(found is None or 0 <= found <= 60)
