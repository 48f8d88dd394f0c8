"""Reading a traffic log back: written by the log's own code, read by the command's."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.cli.recorded import EVENTS, JSON, Recorded
from oaiproxy.cli.trafficlog import SHOWN, LogError, choose, load_exchange, read_log
from oaiproxy.observe.exchange import ExchangeLog
from oaiproxy.observe.traffic import _encode

ASKED = b'{"model":"gpt-5.1","messages":[{"role":"user","content":"Hi"}],"temperature":1.0}'
SENT = b'{"model":"gpt-5.1","input":[{"role":"user","content":"Hi"}]}'
STREAM = 'data: {"type":"response.created"}\n\ndata: {"delta":"Ä"}\n\n'.encode()
HEADERS = [(b"Authorization", b"Bearer sk-secretsecret"), (b"User-Agent", b"Xcode/26"), (b"x-oaiproxy-strict", b"true")]
JSON_HEAD = [(b"Content-Type", b"application/json")]
EVENTS_HEAD = [(b"Content-Type", b"text/event-stream")]


class LogCase(SynchronousTestCase):
    """Tests with a log that is written step by step."""

    def setUp(self) -> None:
        self.records: list[dict[str, object]] = []

    def observe(self, record: dict[str, object]) -> None:
        self.records.append(record)

    def exchange(self, id: str, port: str = "bridge") -> ExchangeLog:
        return ExchangeLog([self], port, id, lambda: 1795251420.5)  # type: ignore[list-item]

    def asked(
        self, id: str, port: str = "bridge", body: bytes = ASKED, path: bytes = b"/v1/chat/completions"
    ) -> ExchangeLog:
        log = self.exchange(id, port)
        log.downstream_request("POST", path, HEADERS, body)
        return log

    def lines(self) -> list[bytes]:
        return [_encode(record) + b"\n" for record in self.records]

    def load(self, id: str | None = None) -> Any:
        path = Path(self.mktemp())
        path.write_bytes(b"".join(self.lines()))
        return load_exchange(str(path), id)


class ReadTests(LogCase):
    def test_a_request_is_read_as_it_was_sent(self) -> None:
        self.asked("ab-1", path=b"/v1/chat/completions/?x=1").close()
        exchange = self.load()
        self.assertEqual((exchange.id, exchange.port, exchange.path), ("ab-1", "bridge", "/chat/completions"))
        self.assertEqual(exchange.body(), ASKED)
        self.assertEqual(exchange.seconds, 1795251420)
        self.assertIn(("user-agent", "Xcode/26"), exchange.headers)
        self.assertNotIn("sk-secret", repr(exchange))

    def test_a_body_that_is_no_json_is_read_as_it_was_sent(self) -> None:
        for body in (b"{bad", b"text", b"", b"\xff\xfe"):
            self.records.clear()
            self.asked("ab-1", body=body).close()
            self.assertEqual(self.load().body(), body)

    def test_a_streamed_answer(self) -> None:
        log = self.asked("ab-1")
        log.upstream_request("POST", b"http://up/v1/responses", HEADERS, SENT)
        log.upstream_response(200, EVENTS_HEAD)
        for at in range(0, len(STREAM), 7):
            log.upstream_chunk(STREAM[at : at + 7])
        log.downstream_response(200, EVENTS_HEAD)
        log.close()
        exchange = self.load()
        self.assertEqual(exchange.sent(), [json.loads(SENT)])
        self.assertEqual(exchange.answers(), [Recorded(STREAM, EVENTS)])
        self.assertEqual(exchange.status, 200)

    def test_of_a_request_that_was_sent_again_the_last_answer_counts(self) -> None:
        log = self.asked("ab-1")
        for status, body in ((400, b'{"error":{}}'), (200, b'{"object":"response"}')):
            log.upstream_request("POST", b"http://up/v1/responses", HEADERS, SENT)
            log.upstream_response(status, JSON_HEAD)
            log.upstream_chunk(body)
        log.close()
        exchange = self.load()
        self.assertEqual(len(exchange.sent()), 2)
        self.assertEqual(exchange.answers(), [Recorded(b'{"object":"response"}', JSON)])

    def test_several_requests_at_once_are_told_apart(self) -> None:
        self.asked("ab-1")
        for part in (1, 0, 10):
            log = self.exchange(f"ab-1/{part}")
            log.upstream_request("POST", b"http://up/v1/responses", HEADERS, SENT)
            log.upstream_response(200, JSON_HEAD)
            log.upstream_chunk(b"{%d" % part)
            log.close()
        self.assertEqual([answer.body for answer in self.load().answers()], [b"{0", b"{1", b"{10"])

    def test_an_answer_that_upstream_compressed(self) -> None:
        log = self.asked("ab-1")
        log.upstream_response(200, [*JSON_HEAD, (b"Content-Encoding", b"gzip")])
        log.upstream_chunk(gzip.compress(b'{"object":"response"}'))
        log.close()
        self.assertEqual(self.load().answers(), [Recorded(b'{"object":"response"}', JSON)])

    def test_a_log_that_breaks_off_is_read_up_to_there(self) -> None:
        self.asked("ab-1").close()
        self.assertEqual(list(read_log([*self.lines(), b'{"timestamp": "2026'])), ["ab-1"])

    def test_records_of_no_exchange_are_passed_over(self) -> None:
        self.asked("ab-1").close()
        gap = b'{"timestamp":"x","port":null,"exchange":null,"direction":"records-dropped","payload":{"records":3}}\n'
        self.assertEqual(list(read_log([gap, *self.lines(), b"\n"])), ["ab-1"])


class MissingTests(LogCase):
    def problem(self, do: Any, *arguments: Any) -> str:
        problem = str(self.assertRaises(LogError, do, *arguments))
        self.assertNotIn("\n", problem)
        return problem

    def test_what_is_no_log(self) -> None:
        for lines in ([b"hello\n", b"world\n"], [b"hello\n"], [b"{}\n", b"{}\n"]):
            self.assertEqual(self.problem(read_log, lines), "line 1 is no record of a traffic log")
        self.assertEqual(self.problem(read_log, []), "it holds no exchange")

    def test_no_answer(self) -> None:
        self.asked("ab-1").close()
        self.assertIn("ab-1 has no answer", self.problem(self.load().answers))

    def test_a_request_that_was_too_large(self) -> None:
        self.asked("ab-1").close()
        self.records[0]["payload"]["body"] = {"bytes": 9000000}  # type: ignore[index]
        self.assertIn("too large for the log (9000000 bytes)", self.problem(self.load().body))

    def test_a_request_that_streamed(self) -> None:
        self.exchange("ab-1").downstream_request("POST", b"/v1/chat/completions", HEADERS)
        self.assertIn("not in the log as a whole", self.problem(self.load().body))

    def test_a_piece_of_the_answer_that_was_too_large(self) -> None:
        log = self.asked("ab-1")
        log.upstream_response(200, JSON_HEAD)
        log.upstream_chunk(b"\xff" * 70000)
        log.close()
        self.assertIn("too large for the log", self.problem(self.load().answers))

    def test_an_answer_in_a_coding_that_nobody_reads(self) -> None:
        log = self.asked("ab-1")
        log.upstream_response(200, [*JSON_HEAD, (b"Content-Encoding", b"br")])
        log.upstream_chunk(b"x")
        log.close()
        self.assertIn("(br)", self.problem(self.load().answers))


class ChoiceTests(LogCase):
    def problem(self, id: str | None) -> str:
        return str(self.assertRaises(LogError, choose, read_log(self.lines()), id))

    def test_the_only_one_that_was_translated(self) -> None:
        self.asked("aa-1", port="passthrough")
        self.asked("bb-1")
        self.asked("bb-2", path=b"/v1/embeddings")
        self.assertEqual(choose(read_log(self.lines()), None).id, "bb-1")

    def test_by_its_id_or_the_number_at_its_end(self) -> None:
        self.asked("aa-1", port="passthrough")
        for number in (1, 2, 12):
            self.asked(f"bb-{number}")
        for id, found in {"bb-2": "bb-2", "2": "bb-2", "12": "bb-12", "1": "bb-1"}.items():
            self.assertEqual(choose(read_log(self.lines()), id).id, found)

    def test_one_of_many_has_to_be_named(self) -> None:
        for number in range(SHOWN + 3):
            self.asked(f"bb-{number}")
        problem = self.problem(None)
        self.assertIn(f"it has {SHOWN + 3} exchanges; say which with --exchange", problem)
        self.assertIn(f"bb-{SHOWN + 2} (", problem)
        self.assertNotIn("bb-0", problem)

    def test_none_to_choose_from(self) -> None:
        self.asked("aa-1", port="passthrough")
        self.assertEqual(self.problem(None), "no bridge port translated any of its exchanges")

    def test_one_that_is_not_there(self) -> None:
        self.asked("bb-1")
        self.assertEqual(self.problem("7"), "it has no exchange called '7'")

    def test_one_that_was_passed_on(self) -> None:
        self.asked("aa-1", port="passthrough")
        self.assertIn("exchange aa-1 was not translated", self.problem("aa-1"))

    def test_two_of_one_number(self) -> None:
        self.asked("aa-1")
        self.asked("bb-1")
        self.assertEqual(self.problem("1"), "it has several exchanges called '1'")
