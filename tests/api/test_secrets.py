"""What is secret by name and by value, and that however a text is cut, no secret gets out of it."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.api import masking
from oaiproxy.api.secrets import (
    Masker,
    Secrets,
    credentials,
    is_secret_header,
    mask_headers,
    mask_url,
    url_credentials,
)

KEY = b"sk-proj-Ab3_x-0123456789"


def masked(text: bytes, *secrets: bytes) -> bytes:
    return Secrets(secrets).mask(text)


class NameTests(SynchronousTestCase):
    def test_secret_fields(self) -> None:
        for name in (
            b"authorization",
            b"Authorization",
            b"Proxy-Authorization",
            b"cookie",
            b"Set-Cookie",
            b"x-api-key",
            b"X-API-KEY",
            b"api-key",
            b"api_key",
            b"apikey",
            b"x-goog-api-key",
            b"Ocp-Apim-Subscription-Key",
            b"X-Amz-Security-Token",
            b"x-auth-token",
            b"x-accesstoken",
            b"x-openai-actor-authorization",
            b"openai-sentinel-chat-requirements-token",
            b"client-secret",
            b"x-password",
            b"x-amz-signature",
        ):
            with self.subTest(name=name):
                self.assertTrue(is_secret_header(name))

    def test_other_fields(self) -> None:
        for name in (
            b"openai-organization",
            b"OpenAI-Project",
            b"openai-processing-ms",
            b"idempotency-key",
            b"Idempotency-Key",
            b"x-request-id",
            b"x-client-request-id",
            b"x-ratelimit-remaining-tokens",
            b"x-ratelimit-limit-tokens",
            b"x-token-count",
            b"x-api-key-id",
            b"sec-websocket-key",
            b"user-agent",
            b"www-authenticate",
            b"content-type",
            b"x-keyboard",
            b"x-monkey-business",
            b"session-id",
            b"",
            b"\xff\xfe",
        ):
            with self.subTest(name=name):
                self.assertFalse(is_secret_header(name))


class CredentialsTests(SynchronousTestCase):
    def test_what_each_field_holds(self) -> None:
        for name, value, found in (
            (b"Authorization", b"Bearer sk-1", (b"sk-1",)),
            (b"authorization", b"bearer   sk-1 ", (b"sk-1",)),
            (b"Authorization", b"sk-bare", (b"sk-bare",)),
            (b"Authorization", b"Unknown-Scheme token", (b"Unknown-Scheme token",)),
            (b"Authorization", b"Basic " + b64encode(b"user:pa:ss"), (b64encode(b"user:pa:ss"), b"pa:ss")),
            (b"Authorization", b"Basic !", (b"!",)),
            (b"Authorization", b"Bearer ", ()),
            (b"Authorization", b"Bearer", ()),
            (b"Authorization", b"", ()),
            (b"X-Api-Key", b"abc", (b"abc",)),
            (b"Cookie", b'a=one; b="two=2"; flag; c=', (b"one", b"two=2")),
            (b"Set-Cookie", b"sid=abcdef; Path=/; HttpOnly", (b"abcdef",)),
            (b"User-Agent", b"curl/8", ()),
        ):
            with self.subTest(name=name, value=value):
                self.assertEqual(credentials([(name, value)]), found)

    def test_each_is_there_once_in_the_order_met(self) -> None:
        self.assertEqual(
            credentials([(b"X-Api-Key", b"b"), (b"Authorization", b"Bearer a"), (b"api-key", b"b")]), (b"b", b"a")
        )

    def test_those_of_a_url(self) -> None:
        self.assertEqual(url_credentials(b"/v1/x?key=a%2Fb&limit=3&token=t"), (b"a%2Fb", b"a/b", b"t"))
        self.assertEqual(url_credentials(b"/v1/x"), ())


class MaskHeadersTests(SynchronousTestCase):
    def test_secrets_are_masked_and_the_scheme_is_shown(self) -> None:
        self.assertEqual(
            mask_headers(
                [
                    (b"Authorization", b"Bearer sk-1"),
                    (b"Proxy-Authorization", b"Basic dTpw"),
                    (b"authorization", b"sk-bare and-more"),
                    (b"X-Api-Key", b"abc"),
                    (b"Cookie", b"a=1; b=2"),
                    (b"Set-Cookie", b"a=1; Path=/"),
                    (b"Set-Cookie", b"b=2"),
                    (b"OpenAI-Organization", b"org-1"),
                    (b"X-Ratelimit-Remaining-Tokens", b"7"),
                ]
            ),
            [
                ["Authorization", "Bearer ***"],
                ["Proxy-Authorization", "Basic ***"],
                ["authorization", "***"],
                ["X-Api-Key", "***"],
                ["Cookie", "***"],
                ["Set-Cookie", "***"],
                ["Set-Cookie", "***"],
                ["OpenAI-Organization", "org-1"],
                ["X-Ratelimit-Remaining-Tokens", "7"],
            ],
        )

    def test_secrets_in_other_fields_are_masked(self) -> None:
        self.assertEqual(
            mask_headers(
                [
                    (b"X-Note", b"my key is planted-secret!"),
                    (b"X-Other", b"Bearer abcdefgh"),
                    (b"Referer", b"https://a.example/?token=t1&x=1"),
                    (b"Location", b"https://u:p@files.example/f?sig=abc"),
                    (b"X-Plain", b"plain"),
                ],
                Secrets([b"planted-secret"]),
            ),
            [
                ["X-Note", "my key is ***!"],
                ["X-Other", "Bearer ***"],
                ["Referer", "https://a.example/?token=***&x=1"],
                ["Location", "https://***@files.example/f?sig=***"],
                ["X-Plain", "plain"],
            ],
        )

    def test_bytes_that_are_no_utf_8_are_latin_1(self) -> None:
        self.assertEqual(
            mask_headers([(b"X-A", "gr\xfcn".encode()), (b"X-B", b"gr\xfcn")]), [["X-A", "grün"], ["X-B", "grün"]]
        )


class MaskUrlTests(SynchronousTestCase):
    def test_urls(self) -> None:
        for url, shown in (
            (b"/v1/models", "/v1/models"),
            (b"/v1/models?", "/v1/models?"),
            (b"/v1/x?limit=3&after=abc", "/v1/x?limit=3&after=abc"),
            (b"/v1/x?api_key=abc&limit=3", "/v1/x?api_key=***&limit=3"),
            (b"/v1/x?a=1&key=abc", "/v1/x?a=1&key=***"),
            (b"/v1/x?token=a=b;KEY=c", "/v1/x?token=***;KEY=***"),
            (b"/v1/x?api-key=abc&apiKey=d", "/v1/x?api-key=***&apiKey=***"),
            (b"/v1/x?k%65y=abc", "/v1/x?k%65y=***"),
            (b"/v1/x?key=", "/v1/x?key="),
            (b"/v1/x?X-Amz-Signature=ab&X-Amz-Credential=c", "/v1/x?X-Amz-Signature=***&X-Amz-Credential=***"),
            (b"/cb#access_token=abc&state=1", "/cb#access_token=***&state=1"),
            (b"https://user:pass@host/v1?x=@", "https://***@host/v1?x=@"),
            (b"//user@host/", "//***@host/"),
            (b"/v1/files/a@b", "/v1/files/a@b"),
            (b"/v1/sk-0123456789abcdef/x", "/v1/sk-***/x"),
            (b"/v1/planted%2Fsecret?q=planted/secret", "/v1/***?q=***"),
            (b"/\xff", "/ÿ"),
        ):
            with self.subTest(url=url):
                self.assertEqual(mask_url(url, Secrets([b"planted/secret"])), shown)


class MaskTests(SynchronousTestCase):
    def test_known_secrets_in_every_form(self) -> None:
        self.assertEqual(
            masked(
                b'raw pass"/word+1 json "pass\\"/word+1" slashed "pass\\"\\/word+1" url pass%22%2Fword%2B1.',
                b'pass"/word+1',
            ),
            b'raw *** json "***" slashed "***" url ***.',
        )

    def test_known_secrets_that_overlap_are_one(self) -> None:
        self.assertEqual(masked(b"<abcdefghij>", b"abcdefg", b"efghij"), b"<***>")
        self.assertEqual(masked(b"<abcdefg>", b"abcdefg", b"bcdefg"), b"<***>")
        self.assertEqual(masked(b"<xyxyxyxyx>", b"xyxyxy"), b"<***x>")
        self.assertEqual(masked(b"abcdefabcdef", b"abcdef"), b"******")

    def test_short_values_are_not_looked_for(self) -> None:
        self.assertEqual(masked(b"a test of none", b"test", b"none", b"a"), b"a test of none")

    def test_what_looks_like_a_secret(self) -> None:
        for text, shown in (
            (b"Incorrect key: " + KEY + b".", b"Incorrect key: sk-***."),
            (b"sk-12345678", b"sk-***"),
            (b"SK-12345678", b"SK-***"),
            (b'{"value":"ek_0123456789"}', b'{"value":"ek_***"}'),
            (b"(sess-0123456789)", b"(sess-***)"),
            (b"a\\nsk-12345678 b\\u0020sk-12345678", b"a\\nsk-*** b\\u0020sk-***"),
            (b"Authorization: Bearer abc.def~1/2+3==, x", b"Authorization: Bearer ***, x"),
            (b"BEARER \t abcdefgh", b"BEARER \t ***"),
            (b"bearer " + KEY, b"bearer ***"),
            (b'{"authorization": "Bearer x", "a": 1}', b'{"authorization": "***", "a": 1}'),
            (b'{"api_key":"a\\"b\\\\","c":"d"}', b'{"api_key":"***","c":"d"}'),
            (b'{"OPENAI_API_KEY"\n:\t"x"}', b'{"OPENAI_API_KEY"\n:\t"***"}'),
            (b'{"X-API-Key":"x"}', b'{"X-API-Key":"***"}'),
            (b'{"arguments":"{\\"password\\": \\"x y\\"}"}', b'{"arguments":"{\\"password\\": \\"***\\"}"}'),
            (b'{"Set-Cookie":"a=b"}', b'{"Set-Cookie":"***"}'),
        ):
            with self.subTest(text=text):
                self.assertEqual(masked(text), shown)

    def test_what_does_not(self) -> None:
        for text in (
            b"sk-learn and sk-1234567",
            b"risk-management-framework, task-force-2026",
            b"desk_01234567, geek_0123456789",
            b"Incorrect API key provided: sk-abcd****wxyz",
            b"the bearer of bad news",
            b"Bearer *** and Bearer",
            b'{"authorization": {"type": "string"}, "password": ""}',
            b'{"token":"Hello","prompt_cache_key":"user-1","max_tokens":5}',
            b"authorization, password, cookie",
            b"",
        ):
            with self.subTest(text=text):
                self.assertEqual(masked(text), text)

    def test_a_masked_text_stays_as_it_is(self) -> None:
        text = b'{"authorization":"Bearer ' + KEY + b'","x":"' + KEY + b'"} Bearer ' + KEY
        self.assertEqual(masked(masked(text)), masked(text))

    def test_the_secrets_are_not_in_the_repr(self) -> None:
        self.assertEqual(repr(Secrets([KEY])), "<Secrets 1>")

    def test_plus_adds_what_is_new(self) -> None:
        secrets = Secrets([b"first-secret"])
        self.assertIs(secrets.plus([b"first-secret"]), secrets)
        self.assertEqual(secrets.plus([b"other-secret"]).mask(b"first-secret other-secret"), b"*** ***")


class TriggerTests(SynchronousTestCase):
    def test_none_contains_another(self) -> None:
        for one in masking.TRIGGERS:
            for other in masking.TRIGGERS:
                self.assertTrue(one is other or one not in other, (one, other))


#: Text that is full of secrets and of what nearly is one.
PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *masking.TRIGGERS,
                b"Bearer ",
                b"Bearer abcdefgh",
                b"sk-12345678",
                b"sk-1234",
                b"\\nsk-",
                b"\\u0041sk-",
                b"planted-secret",
                b"planted-",
                b"secret-planted",
                b"-secret",
                b'"authorization": "',
                b'\\"api_key\\":\\"',
                b'"',
                b'\\"',
                b"\\",
                b'":"',
                b" ",
                b"\n\n",
                b"abababab",
                b"ab",
            ]
        ),
        st.binary(max_size=4),
    ),
    max_size=14,
).map(b"".join)
KNOWN = Secrets([b"planted-secret", b"secret-planted", b"abababab", b'quo"ted\\'])


class CutTests(SynchronousTestCase):
    def test_a_secret_that_is_cut_is_masked(self) -> None:
        masker = Masker([b"planted-secret"])
        self.assertEqual(
            [masker.feed(piece) for piece in (b"my pla", b"nted", b"-secret and sk-", b"1234567", b"8 ", b"")],
            [b"my ", b"", b"*** and ", b"", b"sk-*** ", b""],
        )
        self.assertEqual(masker.end(), b"")

    def test_no_more_is_held_back_than_what_may_be_a_secrets_beginning(self) -> None:
        for text, shown in (
            (b"data: hello\n\n", b"data: hello\n\n"),
            (b"planted.", b"planted."),
            (b"plante", b""),
            (b"x sk-1234567", b"x "),
            (b"x sk-12345678", b"x sk-***"),
            (b"x sk-123 ", b"x sk-123 "),
            (b"say bear", b"say "),
            (b'{"password" : ', b'{"'),
            (b'{"password" : 1', b'{"password" : 1'),
        ):
            with self.subTest(text=text):
                masker = Masker([b"planted-secret"])
                self.assertEqual(masker.feed(text), shown)

    def test_a_beginning_that_was_none_comes_at_the_end(self) -> None:
        masker = Masker([b"planted-secret"])
        self.assertEqual([masker.feed(b"sk-12"), masker.feed(b" planted"), masker.end()], [b"", b"sk-12 ", b"planted"])

    def test_a_long_secret_is_not_collected(self) -> None:
        masker = Masker()
        pieces = [masker.feed(b"Bearer "), *(masker.feed(b"a" * 1000) for _ in range(50)), masker.feed(b" end")]
        self.assertEqual(b"".join(pieces), b"Bearer *** end")

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(PIECES)
    def test_fed_byte_by_byte_it_is_the_same(self, text: bytes) -> None:
        masker = Masker(KNOWN)
        pieces = [masker.feed(text[n : n + 1]) for n in range(len(text))]
        self.assertEqual(b"".join([*pieces, masker.end()]), KNOWN.mask(text))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(PIECES, st.lists(st.integers(0, 100), max_size=6))
    def test_however_it_is_cut_it_is_the_same(self, text: bytes, cuts: list[int]) -> None:
        masker = Masker(KNOWN)
        edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
        pieces = [masker.feed(text[a:b]) for a, b in pairwise(edges)]
        self.assertEqual(b"".join([*pieces, masker.end()]), KNOWN.mask(text))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(PIECES, PIECES)
    def test_no_known_secret_is_left(self, before: bytes, after: bytes) -> None:
        shown = KNOWN.mask(before + b"planted-secret" + after)
        for form in KNOWN.forms:
            self.assertNotIn(form, shown)
