"""What an exchange tells its observers: the records, whole, and never a secret."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oaiproxy.api.secrets import Secrets
from oaiproxy.interfaces import IExchangeObserver
from oaiproxy.observe.exchange import (
    BINARY_LIMIT,
    BODY_LIMIT,
    Direction,
    ExchangeLog,
    LoggedBody,
    exchange_log,
    timestamp,
)

KEY = b"sk-client-0123456789"


@implementer(IExchangeObserver)
class Notebook:
    """Keeps what it observes."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def observe(self, record: dict[str, object]) -> None:
        self.records.append(record)

    @property
    def payloads(self) -> list[tuple[str, dict[str, Any]]]:
        return [(record["direction"], record["payload"]) for record in self.records]


@implementer(IExchangeObserver)
class Broken:
    """Does what an observer must not do."""

    def observe(self, record: dict[str, object]) -> None:
        raise RuntimeError("no observer")


class ExchangeLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = 1795246200.25
        self.notebook = Notebook()
        self.log = ExchangeLog([self.notebook], "bridge", "e-1", self.clock.seconds, [b"operator-secret"])

    def test_a_record_says_when_where_what_and_which_way(self) -> None:
        self.log.upstream_chunk(b"x\n")
        self.assertEqual(
            self.notebook.records,
            [
                {
                    "timestamp": "2026-11-21T07:30:00.250Z",
                    "port": "bridge",
                    "exchange": "e-1",
                    "direction": "upstream-response-chunk",
                    "payload": {"text": "x\n"},
                }
            ],
        )

    def test_an_exchange_is_told_step_by_step(self) -> None:
        self.log.downstream_request(
            "POST", b"/v1/chat/completions?key=q-secret", [(b"Authorization", b"Bearer " + KEY)], b'{"a": 1}'
        )
        self.log.upstream_request(
            "POST", b"https://api.openai.com/v1/responses", [(b"Authorization", b"Bearer upstream-key")], b'{"b": 2}'
        )
        self.log.upstream_response(200, [(b"Set-Cookie", b"sid=session-one")])
        self.log.upstream_chunk(b"data: 1\n\n")
        self.log.downstream_response(200, [(b"Content-Type", b"text/event-stream")])
        self.log.downstream_chunk(b"data: 2\n\n")
        self.log.close()
        told = [
            (direction, {k: json.loads(v.as_json()) if isinstance(v, LoggedBody) else v for k, v in payload.items()})
            for direction, payload in self.notebook.payloads
        ]
        self.assertEqual(
            told,
            [
                (
                    "downstream-request",
                    {
                        "method": "POST",
                        "path": "/v1/chat/completions?key=***",
                        "headers": [["Authorization", "Bearer ***"]],
                        "body": {"a": 1},
                    },
                ),
                (
                    "upstream-request",
                    {
                        "method": "POST",
                        "path": "https://api.openai.com/v1/responses",
                        "headers": [["Authorization", "Bearer ***"]],
                        "body": {"b": 2},
                    },
                ),
                ("upstream-response", {"status": 200, "headers": [["Set-Cookie", "***"]]}),
                ("upstream-response-chunk", {"text": "data: 1\n\n"}),
                ("downstream-response", {"status": 200, "headers": [["Content-Type", "text/event-stream"]]}),
                ("downstream-response-chunk", {"text": "data: 2\n\n"}),
            ],
        )
        self.assertEqual({direction for direction, _ in told}, {direction.value for direction in Direction})

    def test_a_body_that_is_not_known_is_not_there(self) -> None:
        self.log.downstream_request("POST", b"/v1/files", [])
        self.log.downstream_response(204, [], b"")
        payloads = [payload for _, payload in self.notebook.payloads]
        self.assertEqual(payloads[0], {"method": "POST", "path": "/v1/files", "headers": []})
        self.assertEqual(payloads[1]["body"].as_json(), b'""')

    def test_credentials_are_masked_wherever_they_turn_up_later(self) -> None:
        cookie, query = b"cookie-secret", b"query-secret"
        headers = [(b"X-Api-Key", KEY), (b"Cookie", b"a=" + cookie), (b"X-Note", b"operator-secret")]
        self.log.downstream_request("POST", b"/v1/x?token=" + query, headers, b'{"x":"' + KEY + b'"}')
        everything = b" ".join((KEY, cookie, query, b"operator-secret"))
        self.log.upstream_response(400, [(b"X-Echo", everything)])
        self.log.upstream_chunk(everything + b"\n")
        self.log.downstream_response(400, [], everything)
        told = repr(
            [
                [v.as_json() if isinstance(v, LoggedBody) else v for v in payload.values()]
                for _, payload in self.notebook.payloads
            ]
        )
        for secret in (KEY, cookie, query, b"operator-secret"):
            self.assertNotIn(secret.decode(), told)
        self.assertIn("*** *** *** ***", told)

    def test_a_secret_cut_across_chunks_is_masked(self) -> None:
        self.log.downstream_request("GET", b"/", [(b"Authorization", b"Bearer " + KEY)])
        self.log.upstream_chunk(b"your key " + KEY[:5])
        self.log.upstream_chunk(KEY[5:] + b" is wrong")
        self.log.close()
        texts = [payload["text"] for direction, payload in self.notebook.payloads[1:]]
        self.assertEqual(texts, ["your key ", "*** is wron", "g"])

    def test_a_character_cut_across_chunks_is_kept_whole(self) -> None:
        for byte in "aü\N{EURO SIGN}\N{GRINNING FACE}".encode():
            self.log.downstream_chunk(bytes((byte,)))
        self.assertEqual(
            [payload for _, payload in self.notebook.payloads],
            [{"text": "a"}, {"text": "ü"}, {"text": "\N{EURO SIGN}"}, {"text": "\N{GRINNING FACE}"}],
        )

    def test_a_chunk_that_is_no_text_is_base64(self) -> None:
        self.log.upstream_chunk(b"\x1f\x8b\x08\x00\xff\x01")
        self.log.upstream_chunk(b"\xff" * BINARY_LIMIT + b"\x01")
        self.assertEqual(
            [payload for _, payload in self.notebook.payloads],
            [{"base64": base64.b64encode(b"\x1f\x8b\x08\x00\xff\x01").decode(), "bytes": 6}, {"bytes": 65537}],
        )

    def test_an_end_within_a_character_is_told(self) -> None:
        self.log.upstream_chunk(b"x\xe2\x82")
        self.log.close()
        self.assertEqual(
            [payload for _, payload in self.notebook.payloads], [{"text": "x"}, {"base64": "4oI=", "bytes": 2}]
        )

    def test_a_second_answer_begins_anew(self) -> None:
        self.log.upstream_response(400, [])
        self.log.upstream_chunk(b"end sk-1234")
        self.log.upstream_response(200, [])
        self.log.upstream_chunk(b"56789012\n")
        self.assertEqual(
            [(d, p.get("text")) for d, p in self.notebook.payloads],
            [
                ("upstream-response", None),
                ("upstream-response-chunk", "end "),
                ("upstream-response-chunk", "sk-1234"),
                ("upstream-response", None),
                ("upstream-response-chunk", "56789012\n"),
            ],
        )

    def test_closing_again_tells_nothing(self) -> None:
        self.log.upstream_chunk(b"sk-1234")
        self.log.close()
        self.log.close()
        self.assertEqual([payload for _, payload in self.notebook.payloads], [{"text": "sk-1234"}])

    def test_an_observer_that_fails_harms_nobody(self) -> None:
        log = ExchangeLog([Broken(), self.notebook], "passthrough", "e-2", self.clock.seconds)
        log.upstream_chunk(b"x\n")
        self.assertEqual(len(self.notebook.records), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_where_nobody_observes_there_is_no_log(self) -> None:
        self.assertIsNone(exchange_log([], "bridge", "e-1", self.clock.seconds))
        self.assertIsInstance(exchange_log([self.notebook], "bridge", "e-1", self.clock.seconds), ExchangeLog)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.text(alphabet="aü\N{EURO SIGN}\N{GRINNING FACE}sk-012345678 \n", max_size=40),
        st.lists(st.integers(0, 120), max_size=5),
    )
    def test_however_a_stream_is_cut_its_texts_joined_are_the_same(self, text: str, cuts: list[int]) -> None:
        notebook = Notebook()
        log = ExchangeLog([notebook], "bridge", "e", self.clock.seconds)
        data = text.encode()
        edges = [0, *sorted(cuts), len(data)]
        for a, b in zip(edges, [*edges[1:], len(data)], strict=True):
            log.upstream_chunk(data[a:b])
        log.close()
        self.assertEqual("".join(p["text"] for _, p in notebook.payloads), Secrets().mask(data).decode())


class LoggedBodyTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for raw, shown in (
            (b'{ "a" : 1.0,\n "b": [1e3, null] }', b'{"a":1.0,"b":[1e3,null]}'),
            (b'{"a":1,"a":12345678901234567890123}', b'{"a":1,"a":12345678901234567890123}'),
            (b'{"key": "' + KEY + b'", "password": "p"}', b'{"key":"sk-***","password":"***"}'),
            (b"plain\ntext", b'"plain\\ntext"'),
            (b'{"cut": ', b'"{\\"cut\\": "'),
            (b"", b'""'),
            (b"\xff\x00", b'{"base64":"/wA=","bytes":2}'),
            (b'{"a":"\xff"}', b'{"base64":"eyJhIjoi/yJ9","bytes":9}'),
            (b"[" * 100_000, b'"' + b"[" * 100_000 + b'"'),
            (b"\xff" * (BINARY_LIMIT + 1), b'{"bytes":65537}'),
        ):
            with self.subTest(raw=raw[:40]):
                self.assertEqual(LoggedBody(raw, Secrets()).as_json(), shown)

    def test_a_huge_one_is_only_counted(self) -> None:
        self.assertEqual(LoggedBody(bytes(BODY_LIMIT + 1), Secrets()).as_json(), b'{"bytes":8388609}')

    def test_a_secret_between_two_of_the_pieces_in_which_it_is_masked_is_masked(self) -> None:
        raw = b'"' + b"x" * 65530 + b" " + KEY + b'"'
        self.assertNotIn(KEY, LoggedBody(raw, Secrets([KEY])).as_json())

    def test_its_repr_shows_nothing_of_it(self) -> None:
        self.assertEqual(repr(LoggedBody(KEY, Secrets())), "<LoggedBody 20 bytes>")


class TimestampTests(SynchronousTestCase):
    def test_it_is_utc_to_the_millisecond(self) -> None:
        for seconds, shown in (
            (0, "1970-01-01T00:00:00.000Z"),
            (1.001, "1970-01-01T00:00:01.001Z"),
            (1795246199.9999, "2026-11-21T07:29:59.999Z"),
        ):
            with self.subTest(seconds=seconds):
                self.assertEqual(timestamp(seconds), shown)
