"""The demo over HTTP, with memory for a network."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed

from oaiproxy.demo import DemoSite, demo_site
from oaiproxy.demo.resources import ROUTES


class _Transport(StringTransport):
    aborted = False
    producer: Any

    def abortConnection(self) -> None:
        self.aborted = True


class _Client:
    """A client that sends bytes and looks at the bytes it gets."""

    def __init__(self, site: DemoSite) -> None:
        self.transport = _Transport()
        self.channel: Any = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.channel.makeConnection(self.transport)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.channel.dataReceived("\r\n".join([*head, "", ""]).encode() + body)

    def got(self) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields (their names in lower case) and body as sent."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return int(status.split()[1]), fields, body

    def leave(self) -> None:
        self.channel.connectionLost(Failure(ConnectionLost()))


def _body(text: str, **more: Any) -> bytes:
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}).encode()


class SiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.site = demo_site(self.clock)
        self.client = _Client(self.site)

    def test_an_object_has_the_headers_of_the_real_api(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:tokens=2"), Authorization="Bearer sk-secret")
        self.clock.advance(0)
        status, headers, body = self.client.got()
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body)["choices"][0]["message"]["content"], "demo1 demo2")
        for name, value in (
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("x-oaiproxy-demo", "1"),
            ("x-request-id", "req_demo00000001"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-tokens", "1999900"),
            ("x-ratelimit-reset-tokens", "3ms"),
        ):
            self.assertEqual(headers[name], value, name)
        self.assertTrue(headers["openai-processing-ms"].isdigit())

    def test_each_event_of_a_stream_is_one_chunk_of_the_body(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:tokens=2 demo:slow=1000", stream=True))
        status, headers, body = self.client.got()
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(headers["transfer-encoding"], "chunked")
        self.clock.advance(0)
        size, _, event = self.client.got()[2].partition(b"\r\n")
        self.assertEqual(int(size, 16), len(event) - 2)
        self.assertTrue(event.startswith(b'data: {"id"') and event.endswith(b"\n\n\r\n"))
        self.clock.pump([1.0] * 5)
        self.assertTrue(self.client.got()[2].endswith(b"\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"))
        self.assertEqual(self.site.running, 0)

    def test_one_connection_serves_many_requests(self) -> None:
        for _ in range(2):
            self.client.transport.clear()
            self.client.send("GET", "/v1/models?")
            self.clock.advance(0)
            self.assertEqual(self.client.got()[0], 200)

    def test_head_is_get_without_a_body(self) -> None:
        self.client.send("HEAD", "/v1/models")
        self.clock.advance(0)
        status, headers, body = self.client.got()
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(headers["content-length"]), 0)

    def test_an_unknown_path_is_an_error_in_the_apis_shape(self) -> None:
        for path in ("/", "/v1", "/v1/nope", "/v1/chat/completions/x", "/v2/models", "/v1//models"):
            client = _Client(self.site)
            client.send("GET", path)
            self.clock.advance(0)
            status, headers, body = client.got()
            self.assertEqual((status, headers["x-oaiproxy-demo"]), (404, "1"), path)
            self.assertEqual(
                json.loads(body),
                {
                    "error": {
                        "message": f"Invalid URL (GET {path})",
                        "type": "invalid_request_error",
                        "param": None,
                        "code": None,
                    }
                },
            )

    def test_a_wrong_method_is_told_the_right_ones(self) -> None:
        for path, methods in ROUTES.items():
            client = _Client(self.site)
            client.send("PATCH", path.replace("*", "x"))
            self.clock.advance(0)
            status, headers, body = client.got()
            self.assertEqual((status, json.loads(body)["error"]["code"]), (405, "method_not_allowed"))
            self.assertEqual(set(headers["allow"].split(", ")) - {"head"}, {method.lower() for method in methods})

    def test_a_model_is_found_by_name_and_an_unknown_one_is_not(self) -> None:
        self.client.send("GET", "/v1/models/gpt-4o/")
        self.clock.advance(0)
        self.assertEqual(json.loads(self.client.got()[2])["id"], "gpt-4o")
        self.client.transport.clear()
        self.client.send("GET", "/v1/models/nope")
        self.clock.advance(0)
        status, _, body = self.client.got()
        self.assertEqual((status, json.loads(body)["error"]["code"]), (404, "model_not_found"))

    def test_an_error_asked_for_has_its_headers(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:error=429", stream=True))
        self.clock.advance(0)
        status, headers, body = self.client.got()
        self.assertEqual((status, headers["retry-after"]), (429, "1"))
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(json.loads(body)["error"]["code"], "rate_limit_exceeded")

    def test_silence_comes_before_an_objects_head(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:silence=5"))
        self.clock.advance(4.9)
        self.assertEqual(self.client.transport.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(self.client.got()[0], 200)

    def test_a_cut_aborts_the_connection_in_the_middle(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:tokens=50 demo:cut"))
        self.clock.pump([0, 1])
        _, headers, body = self.client.got()
        self.assertTrue(0 < len(body) < int(headers["content-length"]))
        self.assertTrue(self.client.transport.aborted)
        self.assertEqual(self.site.running, 0)

    def test_a_body_that_ends_too_early_looks_complete(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:tokens=50 demo:eof"))
        self.clock.advance(1)
        _, headers, body = self.client.got()
        self.assertEqual(headers["transfer-encoding"], "chunked")
        self.assertTrue(body.endswith(b"\r\n0\r\n\r\n"))
        self.assertFalse(self.client.transport.aborted)

    def test_a_client_that_leaves_ends_its_answer(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:tokens=50 demo:slow=1000", stream=True))
        self.clock.advance(3)
        self.assertEqual(self.site.running, 1)
        self.client.leave()
        self.assertEqual(self.site.running, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_does_not_read_holds_the_answer_up(self) -> None:
        self.client.send("POST", "/v1/chat/completions", _body("demo:tokens=50", stream=True))
        self.client.transport.producer.pauseProducing()
        self.clock.advance(60)
        self.assertEqual(self.client.got()[2], b"")
        self.client.transport.producer.resumeProducing()
        self.clock.advance(0)
        self.assertTrue(self.client.got()[2].endswith(b"0\r\n\r\n"))

    def test_a_form_is_read_as_it_comes(self) -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nx\r\n'
        head += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        size = len(head) + 4 * 65536 + len(b"\r\n--b--")
        self.client.channel.dataReceived(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            + head
        )
        for _ in range(4):
            self.client.channel.dataReceived(b"\xff" * 65536)
        self.client.channel.dataReceived(b"\r\n--b--")
        self.clock.advance(0)
        self.assertEqual(json.loads(self.client.got()[2])["bytes"], 4 * 65536)

    def test_a_form_where_json_is_wanted_is_refused(self) -> None:
        self.client.send("POST", "/v1/responses", b"--b--", Content_Type="multipart/form-data; boundary=b")
        self.clock.advance(0)
        self.assertEqual(self.client.got()[0], 400)

    def test_a_broken_answer_is_a_500_and_logged_without_the_request(self) -> None:
        def broken(incoming: Any, world: Any) -> Any:
            raise ValueError("broken")

        methods: Any = ROUTES["/v1/models"]
        original = methods["GET"]
        methods["GET"] = broken
        self.addCleanup(methods.__setitem__, "GET", original)
        self.client.send("GET", "/v1/models", Authorization="Bearer sk-secret")
        self.clock.advance(0)
        status, _, body = self.client.got()
        self.assertEqual((status, json.loads(body)["error"]["type"]), (500, "server_error"))
        (logged,) = self.flushLoggedErrors(ValueError)
        self.assertNotIn("sk-secret", logged.getTraceback())


class AgentTests(SynchronousTestCase):
    """With Twisted's own HTTP client, and a plain site around the resource."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.http: Any = StubTreq(demo_site(self.clock).demo)

    def _flush(self) -> None:
        for _ in range(3):
            self.http.flush()
            self.clock.advance(0.1)
        self.http.flush()

    def test_a_response(self) -> None:
        body = b'{"model":"gpt-4o","input":"Hello"}'
        asked = self.http.post("http://demo/v1/responses", data=body)
        self._flush()
        response = self.successResultOf(asked)
        self.assertEqual(response.code, 200)
        self.assertEqual(self.successResultOf(response.json())["object"], "response")

    def test_an_upload(self) -> None:
        form = (
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nx\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\0\1\2\r\n--b--\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        asked = self.http.post("http://demo/v1/files", data=form, headers=headers)
        self._flush()
        file = self.successResultOf(self.successResultOf(asked).json())
        self.assertEqual((file["bytes"], file["filename"], file["purpose"]), (3, "a", "x"))

    def test_a_stream_that_is_cut_fails_for_the_client(self) -> None:
        body = b'{"model":"gpt-4o","input":"demo:cut","stream":true}'
        asked = self.http.post("http://demo/v1/responses", data=body, unbuffered=True)
        self.http.flush()
        response = self.successResultOf(asked)
        content = response.content()
        self._flush()
        self.failureResultOf(content, ResponseFailed)
