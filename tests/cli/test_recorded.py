"""What people have in files, as it was on the wire."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.cli.recorded import EVENTS, JSON, Recorded, events_of, read_recorded

CREATED = {"type": "response.created", "response": {"object": "response", "status": "in_progress"}}
DELTA = {"type": "response.output_text.delta", "delta": "Hi\u2028"}
VALUES = [CREATED, DELTA]

LINES = [json.dumps(value).encode() for value in VALUES]
SSE = b"".join(
    b"event: %s\ndata: %s\n\n" % (value["type"].encode(), line) for value, line in zip(VALUES, LINES, strict=True)
)

#: The same two events, in whatever form somebody kept them.
FORMS: dict[str, bytes] = {
    "as it is": SSE,
    "with CRLF": SSE.replace(b"\n", b"\r\n"),
    "with a byte order mark": b"\xef\xbb\xbf" + SSE,
    "data before event": b"".join(b"data: %s\nevent: x\n\n" % line for line in LINES),
    "with comments": b": OPENROUTER PROCESSING\n\n" + SSE,
    "without the last blank line": SSE.rstrip(),
    "with an end mark": SSE + b"data: [DONE]\n\n",
    "without blank lines": SSE.replace(b"\n\n", b"\n"),
    "without blank lines and event names": b"".join(b"data:%s\n" % line for line in LINES) + b"data: [DONE]\n",
    "as an array": b"[" + b",".join(LINES) + b"]",
    "one to a line": b"\n".join(LINES) + b"\n",
    "with names beside it": b"\n".join(b'{"event": "x", "data": %s}' % line for line in LINES),
    "as texts with names beside it": b"\n".join(
        json.dumps({"event": "x", "data": line.decode()}).encode() for line in LINES
    ),
    "with a head": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + SSE,
    "with a head of HTTP/2": b"HTTP/2 200 \r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n" + SSE,
    "with two heads": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + SSE,
    "with bare line feeds in the head": b"HTTP/1.1 200 OK\nContent-Type: text/event-stream\n\n" + SSE,
    "in chunks": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%s\r\n%X;x=y\r\n%s\r\n0\r\n\r\n" % (7, SSE[:7], len(SSE) - 7, SSE[7:]),
    "in chunks that were put together": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + SSE,
}

OBJECT = b'{"object": "response", "status": "completed", "output": []}'


class RecordedTests(SynchronousTestCase):
    def test_every_form_holds_the_same_events(self) -> None:
        for name, raw in FORMS.items():
            with self.subTest(form=name):
                answer = read_recorded(raw)
                self.assertEqual(events_of(answer), VALUES)
                self.assertTrue(answer.content_type.startswith(EVENTS))
                self.assertEqual(answer.status, 200)

    def test_what_is_as_it_was_on_the_wire_is_not_touched(self) -> None:
        for name in ("as it is", "with CRLF", "data before event", "with comments", "without the last blank line"):
            self.assertEqual(read_recorded(FORMS[name]), Recorded(FORMS[name], EVENTS), name)

    def test_what_was_done_to_it_is_said(self) -> None:
        for name, remark in {
            "without blank lines": "blank lines between the events were put in",
            "as an array": "read as an array of events",
            "one to a line": "read as one event to a line",
        }.items():
            self.assertEqual(read_recorded(FORMS[name]).remark, remark)

    def test_an_event_of_several_data_lines_stays_one(self) -> None:
        raw = b'data: {"type":\ndata: "x"}\n\n'
        self.assertEqual(read_recorded(raw), Recorded(raw, EVENTS))
        self.assertEqual(events_of(read_recorded(raw)), [{"type": "x"}])

    def test_an_object(self) -> None:
        self.assertEqual(read_recorded(OBJECT), Recorded(OBJECT, JSON))
        self.assertEqual(events_of(read_recorded(OBJECT)), [json.loads(OBJECT)])

    def test_the_status_is_what_is_said_or_what_the_head_says(self) -> None:
        head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n\r\n"
        self.assertEqual(read_recorded(head + OBJECT), Recorded(OBJECT, JSON, 429))
        self.assertEqual(read_recorded(head + OBJECT, 503).status, 503)
        self.assertEqual(read_recorded(OBJECT, 503).status, 503)

    def test_the_type_is_what_the_head_says(self) -> None:
        raw = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>"
        self.assertEqual(read_recorded(raw), Recorded(b"<html>", "text/html", 502))

    def test_a_head_without_a_body(self) -> None:
        for raw in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\nServer: x\r\n"):
            answer = read_recorded(raw)
            self.assertEqual((answer.status, answer.body), (204, b""))

    def test_what_is_nothing_of_all_that_is_left_to_the_translator(self) -> None:
        for raw, kind in {
            b"": EVENTS,
            b"hello": EVENTS,
            b'{"object": "resp': JSON,
            b"[1, 2]": JSON,
            b'{"a": 1}\n{"b": 2}': JSON,
            b'{"type": "x"}\n{"type": ': JSON,
            b"\xff\xfe": EVENTS,
        }.items():
            self.assertEqual(read_recorded(raw), Recorded(raw, kind))
