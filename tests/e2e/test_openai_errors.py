"""What goes wrong upstream goes wrong for the openai SDK too: no answer that broke off ever looks like a whole one."""

from __future__ import annotations

import signal
from typing import Any

import openai

from tests.e2e.support import BROKEN, ServiceTestCase, ServiceTests, heard
from tests.process import Process, Service, twistd

#: What an SDK may raise for an answer that broke off.
BROKEN_OFF = (openai.APIError, *BROKEN)


class _ErrorTests(ServiceTests):
    """What holds on either port."""

    model = "gpt-5.1"
    # each error once: that some are waited for is for tests/web/test_retries.py
    options = ("--upstream", "demo", "--max-retries", "0")

    def create(self, text: str, **request: Any) -> Any:
        """Ask for a completion, or for all chunks of one."""
        made = self.client().chat.completions.create(
            model=self.model, messages=[{"role": "user", "content": text}], **request
        )
        return list(made) if request.get("stream") else made

    def test_a_rate_limit_is_raised_with_its_headers(self) -> None:
        for stream in (False, True):
            with self.assertRaises(openai.RateLimitError) as caught:
                self.create("demo:error=429", stream=stream)
            error = caught.exception
            self.assertRegex(error.request_id or "", "^req_demo")
            self.assertEqual(error.response.headers["retry-after"], "1")
            self.assertEqual(error.response.headers["x-ratelimit-remaining-requests"], "9999")
            self.assertEqual((error.code, error.type), ("rate_limit_exceeded", "requests"))
            self.assertIn("Please try again in 1s", error.message)

    def test_each_status_is_raised_as_its_class(self) -> None:
        for status, kind in (
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (409, openai.ConflictError),
            (422, openai.UnprocessableEntityError),
            (500, openai.InternalServerError),
            (503, openai.InternalServerError),
        ):
            for stream in (False, True):
                with self.assertRaises(kind) as caught:
                    self.create(f"demo:error={status}", stream=stream)
                self.assertEqual(caught.exception.status_code, status)

    def test_a_failure_before_the_answer_is_an_http_error(self) -> None:
        with self.assertRaises(openai.InternalServerError) as caught:
            self.create("demo:fail-midstream")
        self.assertIn("was asked to fail", caught.exception.message)

    def test_a_failure_in_the_middle_of_a_stream_is_raised_there(self) -> None:
        heard_so_far = []
        with self.assertRaises(openai.APIError) as caught:
            for chunk in self.client().chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": "demo:fail-midstream"}], stream=True
            ):
                heard_so_far.append(chunk)
        self.assertIn("was asked to fail", caught.exception.message)
        self.assertGreater(len(heard_so_far), 5)
        self.assertEqual([c.choices[0].finish_reason for c in heard_so_far if c.choices[0].finish_reason], [])

    def test_a_cut_answer_is_never_taken_for_a_whole_one(self) -> None:
        with self.assertRaises(BROKEN_OFF):
            self.create("demo:cut demo:tokens=100")

    def test_a_cut_stream_is_never_taken_for_a_whole_one(self) -> None:
        heard_so_far = []
        with self.assertRaises(BROKEN_OFF):
            for chunk in self.client().chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": "demo:cut demo:tokens=100"}], stream=True
            ):
                heard_so_far.append(chunk)
        self.assertIn("demo1 demo2", "".join(c.choices[0].delta.content or "" for c in heard_so_far))
        self.assertEqual([c.choices[0].finish_reason for c in heard_so_far if c.choices[0].finish_reason], [])

    def test_a_cut_in_the_stream_helper_is_raised(self) -> None:
        with (
            self.assertRaises(BROKEN_OFF),
            self.client().chat.completions.stream(
                model=self.model, messages=[{"role": "user", "content": "demo:cut demo:tokens=100"}]
            ) as stream,
        ):
            stream.until_done()

    def test_after_a_cut_the_next_request_is_answered(self) -> None:
        client = self.client()
        for _ in range(2):
            with self.assertRaises(BROKEN_OFF):
                list(
                    client.chat.completions.create(
                        model=self.model, messages=[{"role": "user", "content": "demo:cut"}], stream=True
                    )
                )
            answer = heard(
                client.chat.completions.create(
                    model=self.model, messages=[{"role": "user", "content": "demo:tokens=3"}], stream=True
                )
            )
            self.assertEqual(answer.content, "demo1 demo2 demo3")

    def test_a_cut_answer_of_the_responses_api_is_raised(self) -> None:
        responses = self.client().responses
        with self.assertRaises(BROKEN_OFF):
            responses.create(model=self.model, input="demo:cut demo:tokens=100")
        with self.assertRaises(BROKEN_OFF):
            list(responses.create(model=self.model, input="demo:cut demo:tokens=100", stream=True))

    def test_a_request_without_messages_is_refused_before_anything_is_sent(self) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client().post("/chat/completions", body={"model": self.model}, cast_to=object)
        self.assertEqual((caught.exception.param, caught.exception.code), ("messages", "missing_required_parameter"))


class PassthroughErrorTests(_ErrorTests, ServiceTestCase):
    port = "passthrough"


class BridgeErrorTests(_ErrorTests, ServiceTestCase):
    port = "bridge"

    def test_a_stream_that_ends_too_early_is_an_error(self) -> None:
        for text in ("demo:eof demo:tokens=100", "demo:eof Hi"):
            with self.assertRaises(openai.APIError):
                self.create(text, stream=True)
            with self.assertRaises(openai.APIError):
                self.create(text)

    def test_a_wrong_parameter_is_named_in_the_clients_words(self) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.create("Hi", response_format={"type": "json_schema", "json_schema": {"schema": {}}})
        self.assertRegex(caught.exception.param or "", r"^response_format\.json_schema")


class UnreachableTests(ServiceTestCase):
    """Nothing answers at the upstream's address: it was a service, and is no more."""

    @classmethod
    def start(cls) -> None:
        gone = Service("--upstream", "demo")
        gone.stop()
        cls.service = cls.started(Service("--upstream", gone.bridge, "--max-retries", "0"))

    def test_both_ports_say_so(self) -> None:
        for port in ("passthrough", "bridge"):
            for stream in (False, True):
                with self.assertRaises(openai.InternalServerError) as caught:
                    self.client(port).chat.completions.create(
                        model="gpt-5.1", messages=[{"role": "user", "content": "Hi"}], stream=stream
                    )
                self.assertEqual(caught.exception.status_code, 502)
                self.assertEqual(caught.exception.code, "upstream_unreachable")

    def test_the_models_are_listed_all_the_same(self) -> None:
        self.assertIn("gpt-5.1", [model.id for model in self.client().models.list()])


class KilledUpstreamTests(ServiceTestCase):
    """The upstream, another service, is killed in the middle of an answer."""

    upstream: Process

    @classmethod
    def start(cls) -> None:
        """Nothing: each test has its own processes."""

    def setUp(self) -> None:
        super().setUp()
        upstream = Service(command=twistd("--passthrough=0", "--upstream=demo"))
        self.addCleanup(upstream.stop)
        type(self).service = Service("--upstream", upstream.passthrough)
        self.addCleanup(self.service.stop)
        type(self).upstream = upstream

    def stream_and_kill(self, port: str) -> None:
        stream = self.client(port).chat.completions.create(
            model="gpt-5.1", messages=[{"role": "user", "content": "demo:tokens=100000"}], stream=True
        )
        finishes = []
        with self.assertRaises(BROKEN_OFF):
            for n, chunk in enumerate(stream):
                finishes += [c.finish_reason for c in chunk.choices if c.finish_reason]
                if n == 3:
                    self.upstream.stop(signal.SIGKILL)
        self.assertEqual(finishes, [])

    def test_the_passthrough_port_breaks_off_too(self) -> None:
        self.stream_and_kill("passthrough")

    def test_the_bridge_port_tells_of_it(self) -> None:
        self.stream_and_kill("bridge")
