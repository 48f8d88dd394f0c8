"""What crosses the proxy: each rule with the fields before and after."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api.headers import (
    END_TO_END,
    HOP_BY_HOP,
    STREAM_HEADERS,
    WARNING_LIMIT,
    Header,
    for_client,
    for_client_bridge,
    for_client_changed,
    for_upstream,
    for_upstream_bridge,
    for_upstream_readable,
    warning_header,
)

HOST = (b"Host", b"api.openai.com")


def upstream(*pairs: Header) -> list[Header]:
    """What becomes of a request's fields, without the `Host` at their head."""
    first, *rest = for_upstream(pairs, host=b"api.openai.com")
    assert first == HOST
    return rest


class ForUpstreamTests(SynchronousTestCase):
    def test_what_is_meant_for_the_far_end_is_unchanged_and_in_order(self) -> None:
        pairs = [
            (b"User-Agent", b"OpenAI/Python 3.52.0"),
            (b"authorization", b"Bearer sk-client"),
            (b"Cookie", b"a=1; b=2"),
            (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
            (b"Accept", b"application/json"),
            (b"Content-Type", b"application/json"),
            (b"Content-Encoding", b"gzip"),
            (b"OpenAI-Organization", b"org-1"),
            (b"OpenAI-Project", b"proj_1"),
            (b"OpenAI-Beta", b"assistants=v2"),
            (b"Idempotency-Key", b"i-1"),
            (b"X-Client-Request-Id", b"c-1"),
            (b"X-Stainless-Retry-Count", b"0"),
            (b"Via", b"1.1 a"),
            (b"x-twice", b"1"),
            (b"X-Twice", b"2"),
            (b"X-Empty", b""),
        ]
        self.assertEqual(upstream(*pairs), pairs)

    def test_the_host_is_the_upstreams_and_there_is_one(self) -> None:
        self.assertEqual(
            for_upstream(
                [(b"Accept", b"*/*"), (b"host", b"127.0.0.1:5101"), (b"Host", b"evil.example")],
                host=b"llm.example:8443",
            ),
            [(b"Host", b"llm.example:8443"), (b"Accept", b"*/*")],
        )

    def test_hop_by_hop_fields_are_left_out(self) -> None:
        for name in sorted(HOP_BY_HOP):
            with self.subTest(name=name):
                self.assertEqual(upstream((name.title(), b"x"), (b"Accept", b"*/*")), [(b"Accept", b"*/*")])

    def test_what_connection_names_is_left_out(self) -> None:
        self.assertEqual(
            upstream(
                (b"X-One", b"1"),
                (b"Connection", b"keep-alive, X-ONE ,"),
                (b"connection", b"\tx-two"),
                (b"X-Two", b"2"),
                (b"X-Three", b"3"),
            ),
            [(b"X-Three", b"3")],
        )

    def test_connection_cannot_take_out_what_is_meant_for_the_far_end(self) -> None:
        for name in sorted(END_TO_END - {b"content-length", b"host", b"x-api-key", b"api-key"}):
            with self.subTest(name=name):
                self.assertEqual(upstream((b"Connection", b"close, " + name), (name, b"x")), [(name, b"x")])

    def test_what_the_http_client_sets_or_the_proxy_has_answered_is_left_out(self) -> None:
        self.assertEqual(upstream((b"Content-Length", b"12"), (b"Expect", b"100-continue")), [])

    def test_who_the_client_is_is_not_told(self) -> None:
        self.assertEqual(
            upstream(
                (b"Forwarded", b"for=10.0.0.1"),
                (b"X-Forwarded-For", b"10.0.0.1"),
                (b"X-FORWARDED-PROTO", b"https"),
                (b"x-forwarded-host", b"a"),
                (b"X-Forwarded", b"10.0.0.1"),
            ),
            [],
        )

    def test_the_proxys_own_fields_are_left_out(self) -> None:
        self.assertEqual(upstream((b"X-Oaiproxy-Warning", b"forged"), (b"x-oaiproxy-anything", b"1")), [])

    def test_cr_lf_and_nul_become_spaces(self) -> None:
        self.assertEqual(
            upstream((b"X-A", b"one\r\nX-Injected: 1"), (b"X-B", b"a\x00b"), (b"X-C", b"end\n")),
            [(b"X-A", b"one  X-Injected: 1"), (b"X-B", b"a b"), (b"X-C", b"end")],
        )
        self.assertEqual(for_upstream([], host=b"a\r\nX: 1"), [(b"Host", b"a  X: 1")])

    def test_a_name_that_is_no_token_is_left_out(self) -> None:
        for name in (b"", b"X A", b"X\nB", b"X:", b"X\x00", b"\xc3\xbc", b"X-\xff", b"(x)", b"X\t"):
            with self.subTest(name=name):
                self.assertEqual(upstream((name, b"1"), (b"X-Good_name.1", b"2")), [(b"X-Good_name.1", b"2")])


class KeyTests(SynchronousTestCase):
    def test_a_key_in_another_field_becomes_authorization_in_its_place(self) -> None:
        for field, value, sent in (
            (b"X-Api-Key", b"sk-1", b"Bearer sk-1"),
            (b"api-key", b"sk-1", b"Bearer sk-1"),
            (b"X-API-KEY", b" sk-1\t", b"Bearer sk-1"),
            (b"x-api-key", b"Bearer sk-1", b"Bearer sk-1"),
            (b"x-api-key", b"bearer  sk-1", b"Bearer sk-1"),
            (b"x-api-key", b"Bearersk-1", b"Bearer Bearersk-1"),
        ):
            with self.subTest(field=field, value=value):
                self.assertEqual(
                    upstream((b"A", b"1"), (field, value), (b"B", b"2")),
                    [(b"A", b"1"), (b"Authorization", sent), (b"B", b"2")],
                )

    def test_x_api_key_wins_over_api_key_and_neither_is_sent_on(self) -> None:
        self.assertEqual(
            upstream((b"Api-Key", b"azure"), (b"X-Api-Key", b""), (b"X-Api-Key", b"first"), (b"X-Api-Key", b"second")),
            [(b"Authorization", b"Bearer first")],
        )

    def test_with_authorization_nothing_is_changed(self) -> None:
        pairs = [(b"X-Api-Key", b"other"), (b"Authorization", b"Basic dTpw"), (b"api-key", b"third")]
        self.assertEqual(upstream(*pairs), pairs)

    def test_an_authorization_without_credentials_gives_way_to_a_key(self) -> None:
        for blank in (b"", b"Bearer", b"Bearer ", b"bearer  "):
            with self.subTest(blank=blank):
                self.assertEqual(
                    upstream((b"Authorization", blank), (b"X-Api-Key", b"sk-1")), [(b"Authorization", b"Bearer sk-1")]
                )

    def test_without_a_key_none_is_added(self) -> None:
        for pairs in ([], [(b"Authorization", b"Bearer ")], [(b"X-Api-Key", b"")], [(b"api-key", b"Bearer ")]):
            with self.subTest(pairs=pairs):
                self.assertEqual(upstream(*pairs), pairs)

    def test_connection_cannot_take_out_a_key(self) -> None:
        self.assertEqual(
            upstream((b"Connection", b"x-api-key"), (b"X-Api-Key", b"sk-1")), [(b"Authorization", b"Bearer sk-1")]
        )

    def test_a_key_cannot_bring_a_line_along(self) -> None:
        self.assertEqual(
            upstream((b"X-Api-Key", b"sk-1\r\nX-Injected: 1")), [(b"Authorization", b"Bearer sk-1  X-Injected: 1")]
        )


class ForUpstreamBridgeTests(SynchronousTestCase):
    def test_the_new_body_is_described_and_the_old_one_is_not(self) -> None:
        pairs = [
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"gzip, deflate"),
            (b"Authorization", b"Bearer sk-1"),
            (b"Content-Digest", b"sha-256=:x=:"),
            (b"Content-Encoding", b"gzip"),
            (b"Content-MD5", b"x"),
            (b"Content-Length", b"99"),
            (b"content-type", b"text/plain"),
            (b"Digest", b"sha-256=x"),
            (b"If-None-Match", b'"x"'),
            (b"Range", b"bytes=0-1"),
            (b"OpenAI-Organization", b"org-1"),
        ]
        kept = [HOST, (b"Authorization", b"Bearer sk-1"), (b"OpenAI-Organization", b"org-1")]
        for stream, accept in ((True, b"text/event-stream"), (False, b"application/json")):
            with self.subTest(stream=stream):
                self.assertEqual(
                    for_upstream_bridge(pairs, host=b"api.openai.com", stream=stream),
                    [
                        *kept,
                        (b"Accept", accept),
                        (b"Accept-Encoding", b"identity"),
                        (b"Content-Type", b"application/json"),
                    ],
                )

    def test_a_key_in_another_field_becomes_authorization(self) -> None:
        sent = for_upstream_bridge([(b"X-Api-Key", b"sk-1")], host=b"h", stream=False)
        self.assertIn((b"Authorization", b"Bearer sk-1"), sent)
        self.assertNotIn(b"x-api-key", [name.lower() for name, _ in sent])


class ForClientTests(SynchronousTestCase):
    def test_all_but_the_connections_own_is_as_sent(self) -> None:
        kept = [
            (b"Date", b"Sat, 21 Nov 2026 07:30:00 GMT"),
            (b"Content-Type", b"text/event-stream"),
            (b"Content-Encoding", b"br"),
            (b"Set-Cookie", b"__cf_bm=1; HttpOnly"),
            (b"Set-Cookie", b"_cfuvid=2"),
            (b"x-request-id", b"req_1"),
            (b"X-Ratelimit-Remaining-Tokens", b"7"),
            (b"CF-RAY", b"x-FRA"),
            (b"alt-svc", b'h3=":443"'),
            (b"Server", b"cloudflare"),
            (b"x-oaiproxy-warning", b"of another oaiproxy"),
        ]
        gone = [
            (b"Connection", b"keep-alive, x-hop"),
            (b"X-Hop", b"1"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Trailer", b"x-checksum"),
            (b"Proxy-Authenticate", b"Basic"),
            (b"Upgrade", b"h2"),
            (b"Content-Length", b"4"),
        ]
        self.assertEqual(for_client(gone[:3] + kept + gone[3:]), kept)

    def test_connection_cannot_take_out_the_bodys_description(self) -> None:
        pairs = [(b"Content-Encoding", b"gzip"), (b"Content-Type", b"application/json"), (b"Retry-After", b"1")]
        listed = (b"Connection", b"content-encoding, content-type, retry-after")
        self.assertEqual(for_client([listed, *pairs]), pairs)

    def test_cr_lf_and_nul_become_spaces(self) -> None:
        self.assertEqual(for_client([(b"X-A", b"1\r\n\r\n<html>\x00")]), [(b"X-A", b"1    <html>")])


class ReadableTests(SynchronousTestCase):
    def test_an_answer_that_has_to_be_read_is_asked_for_whole_and_uncompressed(self) -> None:
        given = [
            (b"Accept", b"text/event-stream"),
            (b"Accept-Encoding", b"br, gzip"),
            (b"Content-Type", b"application/x-www-form-urlencoded"),
            (b"Range", b"bytes=0-9"),
            (b"If-Range", b'"x"'),
            (b"Authorization", b"Bearer sk-1"),
        ]
        self.assertEqual(
            for_upstream_readable(given, host=b"h"),
            [
                (b"Host", b"h"),
                (b"Accept", b"text/event-stream"),
                (b"Authorization", b"Bearer sk-1"),
                (b"Accept-Encoding", b"identity"),
                (b"Content-Type", b"application/json"),
            ],
        )

    def test_a_body_that_was_changed_has_no_digest_and_no_coding(self) -> None:
        kept = [
            (b"Content-Type", b"text/event-stream"),
            (b"Set-Cookie", b"__cf_bm=1"),
            (b"Server", b"cloudflare"),
            (b"x-request-id", b"req_1"),
        ]
        gone = [
            (b"Content-Length", b"4"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Content-Encoding", b"gzip"),
            (b"Content-Digest", b"sha-256=:x:"),
            (b"Repr-Digest", b"sha-256=:x:"),
            (b"Digest", b"sha-256=x"),
            (b"Content-MD5", b"x"),
            (b"ETag", b'"x"'),
            (b"Accept-Ranges", b"bytes"),
            (b"Content-Range", b"bytes 0-3/4"),
            (b"Signature", b"sig=:x:"),
            (b"Signature-Input", b"sig=()"),
            (b"x-amz-checksum-crc32", b"x"),
        ]
        self.assertEqual(for_client_changed(gone[:6] + kept + gone[6:]), kept)


class ForClientBridgeTests(SynchronousTestCase):
    def test_what_is_about_the_exchange_is_kept(self) -> None:
        pairs = [
            (b"x-request-id", b"req_1"),
            (b"OpenAI-Organization", b"org-1"),
            (b"openai-processing-ms", b"12"),
            (b"openai-version", b"2020-10-01"),
            (b"openai-project", b"proj_1"),
            (b"x-ratelimit-limit-requests", b"10"),
            (b"X-RateLimit-Reset-Tokens", b"6ms"),
            (b"ratelimit-remaining", b"3"),
            (b"retry-after", b"2"),
            (b"retry-after-ms", b"1500"),
            (b"x-should-retry", b"false"),
            (b"x-envoy-upstream-service-time", b"5"),
            (b"apim-request-id", b"a"),
            (b"WWW-Authenticate", b"Bearer"),
        ]
        self.assertEqual(for_client_bridge(pairs), pairs)

    def test_what_is_about_the_body_the_edge_or_the_connection_is_not(self) -> None:
        for name in (
            *HOP_BY_HOP,
            b"accept-ranges",
            b"access-control-allow-origin",
            b"access-control-expose-headers",
            b"alt-svc",
            b"cache-control",
            b"cf-cache-status",
            b"CF-RAY",
            b"content-digest",
            b"Content-Disposition",
            b"content-encoding",
            b"content-length",
            b"content-md5",
            b"content-type",
            b"date",
            b"digest",
            b"etag",
            b"expires",
            b"last-modified",
            b"location",
            b"nel",
            b"report-to",
            b"repr-digest",
            b"server",
            b"set-cookie",
            b"strict-transport-security",
            b"vary",
            b"x-accel-buffering",
            b"X-Accel-Redirect",
            b"x-content-type-options",
            b"x-powered-by",
            b"X-Sendfile",
        ):
            with self.subTest(name=name):
                self.assertEqual(for_client_bridge([(name, b"1"), (b"x-request-id", b"r")]), [(b"x-request-id", b"r")])

    def test_what_connection_names_is_left_out(self) -> None:
        self.assertEqual(for_client_bridge([(b"X-Hop", b"1"), (b"Connection", b"x-hop")]), [])


class StreamHeadersTests(SynchronousTestCase):
    def test_they_are_those_of_an_event_stream_that_nobody_collects(self) -> None:
        self.assertEqual(
            STREAM_HEADERS,
            (
                (b"Content-Type", b"text/event-stream; charset=utf-8"),
                (b"Cache-Control", b"no-cache"),
                (b"X-Accel-Buffering", b"no"),
            ),
        )


class WarningHeaderTests(SynchronousTestCase):
    def test_values(self) -> None:
        for warnings, value in (
            ((), b""),
            (("",), b""),
            (("dropped seed",), b"dropped seed"),
            (("dropped seed", "clamped max_tokens"), b"dropped seed, clamped max_tokens"),
            (("dropped seed", "dropped user", "dropped seed"), b"dropped seed, dropped user"),
            (("a\r\nX-Injected: 1\x00",), b"a X-Injected: 1"),
            (("field \N{LATIN SMALL LETTER U WITH DIAERESIS}\N{GRINNING FACE}",), b"field \\xfc\\U0001f600"),
            (("lone \ud800",), b"lone \\ud800"),
            (("tab\there\x7f",), b"tab here"),
        ):
            with self.subTest(warnings=warnings):
                self.assertEqual(warning_header(warnings), value)

    def test_what_fits_exactly_is_whole(self) -> None:
        self.assertEqual(warning_header(["x" * WARNING_LIMIT]), b"x" * WARNING_LIMIT)
        self.assertEqual(warning_header(["x" * 2000, "y" * 2094]), b"x" * 2000 + b", " + b"y" * 2094)

    def test_what_does_not_fit_is_counted(self) -> None:
        value = warning_header([f"dropped field_{n:04}" for n in range(1000)])
        texts = value.split(b", ")
        self.assertLessEqual(len(value), WARNING_LIMIT)
        self.assertGreater(len(value), WARNING_LIMIT - 40)
        self.assertEqual(texts[:-1], [b"dropped field_%04d" % n for n in range(len(texts) - 1)])
        self.assertEqual(texts[-1], b"and %d more" % (1000 - len(texts) + 1))

    def test_a_single_one_that_does_not_fit_is_cut(self) -> None:
        value = warning_header(["x" * 5000])
        self.assertLessEqual(len(value), WARNING_LIMIT)
        self.assertEqual(value.strip(b"x"), b"...")
        self.assertTrue(warning_header(["x" * 5000, "b", "c"]).endswith(b"xxx..., and 2 more"))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.text(max_size=900), max_size=30))
    def test_it_is_always_one_short_line_of_printable_ascii(self, warnings: list[str]) -> None:
        value = warning_header(warnings)
        self.assertLessEqual(len(value), WARNING_LIMIT)
        self.assertTrue(all(0x20 <= byte < 0x7F for byte in value))
        self.assertEqual(value, value.strip())


PAIRS = st.lists(
    st.tuples(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"Connection", b"Host", b"X-Api-Key", b"Authorization", b"Transfer-Encoding", b"X-A"]),
        ),
        st.one_of(
            st.binary(max_size=20), st.sampled_from([b"x-a, authorization", b"chunked", b"Bearer sk-1", b"\r\n"])
        ),
    ),
    max_size=12,
)


class PropertyTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(PAIRS)
    def test_whatever_comes_in_nothing_that_leaves_can_break_a_message(self, pairs: list[Header]) -> None:
        for sent in (
            for_upstream(pairs, host=b"h"),
            for_upstream_bridge(pairs, host=b"h", stream=True),
            for_client(pairs),
            for_client_bridge(pairs),
        ):
            for name, value in sent:
                self.assertRegex(name, rb"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
                self.assertNotRegex(value, rb"[\r\n\x00]")
                self.assertNotIn(name.lower(), HOP_BY_HOP | {b"content-length"})

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(PAIRS)
    def test_a_request_has_one_host_and_its_credentials(self, pairs: list[Header]) -> None:
        sent = for_upstream(pairs, host=b"h")
        self.assertEqual([value for name, value in sent if name.lower() == b"host"], [b"h"])
        if any(name.lower() == b"authorization" for name, _ in pairs):
            self.assertTrue(any(name.lower() == b"authorization" for name, _ in sent))
