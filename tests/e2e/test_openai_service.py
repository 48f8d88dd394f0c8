"""The service around the answers, with the openai SDK for Python: keys, the list of models, many clients, the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import openai
from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import KEY, Answer, ServiceTestCase, heard
from tests.process import Service

#: Header fields that keys come in.
CREDENTIALS = ("authorization", "x-api-key", "api-key")

_MESSAGE = {"role": "assistant", "content": "Welcome", "refusal": None}
WELCOME: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    },
    "/v1/responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-4.1",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Welcome", "annotations": []}],
            }
        ],
    },
}


class Doorkeeper(BaseHTTPRequestHandler):
    """Serves as an upstream that wants `KEY` as OpenAI wants it, and answers all else with 401."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        credentials = [(name.lower(), value) for name, value in self.headers.items() if name.lower() in CREDENTIALS]
        status, answer = 200, WELCOME[self.path]
        if credentials != [("authorization", f"Bearer {KEY}")]:
            status, answer = 401, {"error": {"message": "No.", "type": "invalid_request_error"}}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class KeyTests(ServiceTestCase):
    """The proxy has no key: the client's goes upstream as it should be sent there, and nothing else does."""

    @classmethod
    def start(cls) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Doorkeeper)
        Thread(target=server.serve_forever, daemon=True).start()
        cls.at_end(server.server_close)
        cls.at_end(server.shutdown)
        cls.service = cls.started(Service("--upstream", f"http://127.0.0.1:{server.server_port}"))

    def answers(self, key: str, **headers: str | openai.Omit) -> list[str | int | None]:
        """What a client with a key and these header fields is told on each of the ports: the text, or an error's
        status."""
        told: list[str | int | None] = []
        for port in ("passthrough", "bridge"):
            chat = self.client(port, api_key=key).chat.completions
            try:
                answer = chat.create(
                    model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}], extra_headers=headers
                )
                told.append(answer.choices[0].message.content)
            except openai.AuthenticationError as e:
                told.append(e.status_code)
        return told

    def test_the_clients_own_key_goes_upstream(self) -> None:
        self.assertEqual(self.answers(KEY), ["Welcome", "Welcome"])

    def test_another_key_is_for_upstream_to_refuse(self) -> None:
        self.assertEqual(self.answers("sk-another"), [401, 401])

    def test_without_a_key_none_is_made_up(self) -> None:
        self.assertEqual(self.answers(KEY, Authorization=openai.Omit()), [401, 401])

    def test_a_key_in_x_api_key_will_do(self) -> None:
        headers: dict[str, Any] = {"Authorization": openai.Omit(), "X-Api-Key": KEY}
        self.assertEqual(self.answers("unused", **headers), ["Welcome", "Welcome"])

    def test_a_key_in_api_key_will_do(self) -> None:
        headers: dict[str, Any] = {"Authorization": openai.Omit(), "api-key": f"Bearer {KEY}"}
        self.assertEqual(self.answers("unused", **headers), ["Welcome", "Welcome"])


class ModelTests(ServiceTestCase):
    def test_the_list_needs_no_key(self) -> None:
        for port in ("passthrough", "bridge"):
            models = self.client(port, api_key="none of yours").models.list().data
            self.assertIn("gpt-5.1", [model.id for model in models])
            self.assertEqual({(m.object, type(m.created), m.owned_by) for m in models}, {("model", int, "openai")})

    def test_the_bridge_lists_aliases_and_the_other_port_none(self) -> None:
        bridge = [model.id for model in self.client("bridge").models.list()]
        passthrough = [model.id for model in self.client("passthrough").models.list()]
        self.assertIn("gpt-5.1:res-high:sum-auto", bridge)
        self.assertEqual([model for model in passthrough if ":" in model], [])
        self.assertIn("gpt-4o", passthrough)

    def test_every_alias_that_is_listed_is_answered(self) -> None:
        client = self.client("bridge")
        for model in client.models.list():
            if model.id.startswith("gpt-5.1"):
                answer = client.chat.completions.create(model=model.id, messages=[{"role": "user", "content": "Hi"}])
                self.assertEqual(answer.model, model.id.partition(":")[0])

    def test_one_model_can_be_looked_up(self) -> None:
        client = self.client("bridge")
        self.assertEqual(client.models.retrieve("gpt-5.1:res-low:sum-auto").id, "gpt-5.1:res-low:sum-auto")
        with self.assertRaises(openai.NotFoundError) as caught:
            client.models.retrieve("no-such-model")
        self.assertEqual(caught.exception.code, "model_not_found")

    def test_an_own_list_is_served(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            json.dump({"models": ["my-model", {"id": "my-thinker", "ports": ["bridge"], "reasoning": True}]}, file)
        service = Service("--upstream", "demo", "--models", path)
        self.addCleanup(service.stop)
        client = openai.OpenAI(base_url=service.bridge, api_key=KEY)
        self.addCleanup(client.close)
        self.assertEqual([m.id for m in client.models.list()][:2], ["my-model", "my-thinker"])
        answer = client.chat.completions.create(model="my-thinker", messages=[{"role": "user", "content": "Hi"}])
        self.assertEqual(list(answer.choices[0].message.model_extra or ()), ["reasoning_content"])


class CrowdTests(ServiceTestCase):
    """Many at once."""

    CLIENTS = 60

    def ask_all(self, port: str) -> list[tuple[str, Answer]]:
        """What each of many clients said at the same time, and what it was told."""

        async def ask(client: Any, number: int) -> tuple[str, Answer]:
            # each a little longer than the one before it, so that they end at different times
            text = f"Client {number} says:{' word' * number}."
            stream = await client.chat.completions.create(
                model="gpt-5.1" if number % 2 else "gpt-4.1",
                messages=[{"role": "user", "content": text}],
                stream=True,
                stream_options={"include_usage": True},
            )
            return text, heard([chunk async for chunk in stream])

        async def ask_together() -> list[tuple[str, Answer]]:
            http = openai.DefaultAsyncHttpxClient(trust_env=False)
            base = self.base(port)
            async with openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0, http_client=http) as client:
                return await asyncio.gather(*(ask(client, n) for n in range(self.CLIENTS)))

        return asyncio.run(ask_together())

    def each_is_whole_and_its_own(self, answers: list[tuple[str, Answer]]) -> None:
        for text, answer in answers:
            self.assertIn(f"You said: “{text}”", answer.content)
            self.assertEqual((answer.finish, answer.usage is None), ("stop", False))
        self.assertEqual(len({answer.id for _, answer in answers}), self.CLIENTS)

    def test_each_of_many_streams_on_the_passthrough_port_is_whole_and_its_own(self) -> None:
        self.each_is_whole_and_its_own(self.ask_all("passthrough"))

    def test_each_of_many_streams_on_the_bridge_port_is_whole_and_its_own(self) -> None:
        self.each_is_whole_and_its_own(self.ask_all("bridge"))

    def test_a_client_that_leaves_early_does_not_disturb_the_others(self) -> None:
        client = self.client()
        request: dict[str, Any] = {"model": "gpt-5.1", "stream": True}
        for _ in range(5):
            stream = client.chat.completions.create(
                messages=[{"role": "user", "content": "demo:tokens=100000"}], **request
            )
            next(iter(stream))
            stream.close()
        self.assertEqual(self.ask("demo:tokens=3", model="gpt-4.1").content, "demo1 demo2 demo3")


class LogTests(SynchronousTestCase):
    """The traffic log has both sides of every exchange, and no key."""

    def records(self, use: Callable[[Service], None]) -> list[dict[str, Any]]:
        """What is in the log of a service that was used."""
        path = self.mktemp()
        service = Service("--upstream", "demo", "--log", path)
        try:
            use(service)
        finally:
            service.stop()
        with open(path) as file:
            text = file.read()
        self.assertNotIn(KEY, text + service.output)
        self.assertNotIn("Traceback", service.output)
        return [json.loads(line) for line in text.splitlines()]

    def client(self, base: str) -> openai.OpenAI:
        client = openai.OpenAI(
            base_url=base, api_key=KEY, max_retries=0, http_client=openai.DefaultHttpxClient(trust_env=False)
        )
        self.addCleanup(client.close)
        return client

    def test_each_step_of_an_exchange_is_there(self) -> None:
        def use(service: Service) -> None:
            for base in (service.passthrough, service.bridge):
                self.client(base).embeddings.create(model="m", input="a")

        records = self.records(use)
        for record in records:
            self.assertEqual(list(record), ["timestamp", "port", "exchange", "direction", "payload"])
        self.assertEqual([record["port"] for record in records], ["passthrough"] * 6 + ["bridge"] * 6)
        for exchange in (records[:6], records[6:]):
            steps = [record["direction"] for record in exchange]
            self.assertEqual(steps[:3], ["downstream-request", "upstream-request", "upstream-response"])
            # upstream's body is there before the answer begins, where both come in one read
            self.assertEqual(sorted(steps[3:5]), ["downstream-response", "upstream-response-chunk"])
            self.assertEqual(steps[5:], ["downstream-response-chunk"])

    def test_both_dialects_of_a_bridged_stream_are_there(self) -> None:
        def use(service: Service) -> None:
            list(
                self.client(service.bridge).chat.completions.create(
                    model="gpt-5.1", messages=[{"role": "user", "content": "Hi"}], stream=True
                )
            )

        sides: dict[str, str] = {}
        for record in self.records(use):
            payload = record["payload"]
            text = payload["text"] if "text" in payload else json.dumps(payload.get("body"))
            sides[record["direction"]] = sides.get(record["direction"], "") + text
        self.assertEqual(json.loads(sides["downstream-request"])["messages"], [{"role": "user", "content": "Hi"}])
        self.assertEqual(json.loads(sides["upstream-request"])["reasoning"], {"effort": "medium", "summary": "auto"})
        self.assertIn('"type":"response.reasoning_summary_text.delta"', sides["upstream-response-chunk"])
        self.assertIn('"reasoning_content":', sides["downstream-response-chunk"])
        self.assertTrue(sides["downstream-response-chunk"].endswith("data: [DONE]\n\n"))

    def test_the_key_is_nowhere_whatever_way_it_came(self) -> None:
        def use(service: Service) -> None:
            for base in (service.passthrough, service.bridge):
                client = self.client(base)
                client.embeddings.create(
                    model="m", input="a", extra_headers={"x-api-key": KEY}, extra_query={"key": KEY}
                )
                client.files.create(file=("key.txt", KEY.encode()), purpose="user_data")
                for text in (f"My key is {KEY}", f"demo:error=401 {KEY}"):
                    for stream in (False, True):
                        with contextlib.suppress(openai.AuthenticationError):
                            made = client.chat.completions.create(
                                model="gpt-5.1", messages=[{"role": "user", "content": text}], stream=stream
                            )
                            list(made) if stream else None

        self.assertEqual(len({record["exchange"] for record in self.records(use)}), 12)
