"""What a client is told of its limits."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.rates import RateLimitExceeded, Standing, duration, fields
from oaiproxy.rates.account import Refusal


class DurationTests(SynchronousTestCase):
    def test_they_are_said_as_openai_says_them(self) -> None:
        for seconds, said in (
            (0, "0s"),
            (-1, "0s"),
            (0.0001, "1ms"),
            (0.006, "6ms"),
            (0.12, "120ms"),
            (0.9995, "1s"),
            (1, "1s"),
            (1.5, "1.5s"),
            (10, "10s"),
            (59.369, "59.369s"),
            (60, "1m0s"),
            (60.01, "1m0.01s"),
            (61, "1m1s"),
            (360, "6m0s"),
            (3600, "1h0m0s"),
            (3725.25, "1h2m5.25s"),
        ):
            self.assertEqual(duration(seconds), said, seconds)


class ErrorTests(SynchronousTestCase):
    def test_requests(self) -> None:
        error = RateLimitExceeded(Refusal(Standing("requests", 60, 60, 30.0), 1.234))
        self.assertEqual(
            (error.status, error.as_object(), error.headers),
            (
                429,
                {
                    "error": {
                        "message": "Rate limit reached on requests per min (RPM): Limit 60, Used 60, Requested 1. "
                        "Please try again in 1.234s. The limit is this proxy's; its operator sets it.",
                        "type": "requests",
                        "param": None,
                        "code": "rate_limit_exceeded",
                    }
                },
                {"Retry-After": "2", "retry-after-ms": "1234"},
            ),
        )

    def test_tokens(self) -> None:
        error = RateLimitExceeded(Refusal(Standing("tokens", 1000, 1200, 30.0), 0.05))
        self.assertEqual(
            (error.message, error.type, error.headers),
            (
                "Rate limit reached on tokens per min (TPM): Limit 1000, Used 1200. Please try again in 50ms. "
                "The limit is this proxy's; its operator sets it.",
                "tokens",
                {"Retry-After": "1", "retry-after-ms": "50"},
            ),
        )

    def test_a_wait_is_never_longer_than_the_sdks_wait(self) -> None:
        error = RateLimitExceeded(Refusal(Standing("requests", 1, 1, 61.0), 61.0))
        self.assertEqual(error.headers, {"Retry-After": "60", "retry-after-ms": "59900"})
        self.assertIn("in 59.9s", error.message)


class FieldTests(SynchronousTestCase):
    def test_each_limit_has_three(self) -> None:
        self.assertEqual(
            fields([Standing("requests", 60, 2, 61.0), Standing("tokens", 1000, 1200, 0.5)]),
            [
                (b"x-ratelimit-limit-requests", b"60"),
                (b"x-ratelimit-remaining-requests", b"58"),
                (b"x-ratelimit-reset-requests", b"1m1s"),
                (b"x-ratelimit-limit-tokens", b"1000"),
                (b"x-ratelimit-remaining-tokens", b"0"),
                (b"x-ratelimit-reset-tokens", b"500ms"),
            ],
        )
