"""A real llama.cpp server as the upstream: a stranger whose Responses streams leave out half of the schema."""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import openai

from tests.e2e.support import Answer, ServiceTestCase, answer_of, heard
from tests.e2e.tinymodel import KEY, LETTERS
from tests.process import ROOT, Process, Service

MISSING = [name for name in ("xllamacpp", "gguf", "numpy") if find_spec(name) is None]

HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


class LlamaTestCase(ServiceTestCase):
    """Tests with a llama.cpp server behind the service.

    @cvar upstream: its base URL.
    """

    skip = f"not installed: {', '.join(MISSING)} (tox -e e2e has them)" if MISSING else None
    upstream: ClassVar[str]

    @classmethod
    def start(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.at_end(folder.cleanup)
        command = [sys.executable, "-m", "tests.e2e.tinymodel", str(Path(folder.name, "tiny.gguf"))]
        server = cls.started(Process(command, r"llama.cpp is ready: http\S+$", cwd=str(ROOT)))
        cls.upstream = server.found(r"llama.cpp is ready: (http\S+)") + "/v1"
        cls.service = cls.started(Service("--upstream", cls.upstream))

    def base(self, port: str | None = None) -> str:
        return self.upstream if port == "upstream" else super().base(port)

    def client(self, port: str | None = None, **settings: Any) -> Any:
        return super().client(port, **{"api_key": KEY, **settings})

    def said(self, **request: Any) -> str:
        """What the server itself says to a Responses request, with no proxy between: the same every time, as it always
        takes the likeliest token."""
        text = self.client("upstream").responses.create(model="tiny", temperature=0, **request).output_text
        self.assertEqual(set(text) - set(LETTERS), set())
        self.assertGreater(len(text), 10)
        return str(text)


class LlamaPassthroughTests(LlamaTestCase):
    port = "passthrough"

    def test_a_chat_is_answered_as_without_the_proxy(self) -> None:
        request: dict[str, Any] = {"model": "tiny", "messages": HELLO, "temperature": 0}
        direct = answer_of(self.client("upstream").chat.completions.create(**request))
        self.assertEqual((direct.finish, len(direct.content)), ("length", 24))
        self.assertEqual(self.ask(**request), direct)

    def test_paths_of_its_own_are_passed_on(self) -> None:
        client = self.client()
        health: Any = client.get("/health", cast_to=object)
        self.assertEqual(health, {"status": "ok"})
        message: Any = client.post(
            "/messages", body={"model": "tiny", "max_tokens": 5, "messages": HELLO}, cast_to=object
        )
        self.assertEqual(
            (message["type"], message["role"], message["stop_reason"]), ("message", "assistant", "max_tokens")
        )

    def test_legacy_completions_pass(self) -> None:
        answer = self.client().completions.create(model="tiny", prompt="Once", max_tokens=5, temperature=0)
        self.assertEqual(len(answer.choices[0].text), 5)

    def test_its_responses_pass_as_they_are(self) -> None:
        responses = self.client().responses
        whole = responses.create(model="tiny", input="Hello there", temperature=0)
        self.assertEqual(whole.output_text, self.said(input="Hello there"))
        events = list(responses.create(model="tiny", input="Hello there", temperature=0, stream=True))
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(text, whole.output_text)
        self.assertEqual(events[-1].type, "response.completed")


class LlamaBridgeTests(LlamaTestCase):
    port = "bridge"

    def asked(self, **request: Any) -> Answer:
        return self.ask(**{"model": "tiny", "messages": HELLO, "temperature": 0, **request})

    def test_a_chat_over_its_responses_says_what_it_says(self) -> None:
        answer = self.asked()
        self.assertEqual(answer.content, self.said(input="Hello there"))
        self.assertEqual((answer.finish, answer.model, answer.reasoning, answer.calls), ("stop", "tiny", "", []))

    def test_the_usage_is_counted(self) -> None:
        direct = self.client("upstream").responses.create(model="tiny", input="Hello there", temperature=0).usage
        assert direct is not None
        self.assertEqual(self.asked().usage, (direct.input_tokens, direct.output_tokens, 0, direct.total_tokens))

    def test_text_arrives_piece_by_piece(self) -> None:
        chunks = list(self.client().chat.completions.create(model="tiny", messages=HELLO, stream=True))
        pieces = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
        self.assertGreater(len(pieces), 5)
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason], ["stop"])

    def test_a_limit_is_kept(self) -> None:
        answer = self.asked(max_tokens=20)
        assert answer.usage is not None
        self.assertEqual((len(answer.content), answer.usage[1]), (20, 20))

    def test_a_whole_history_with_a_tool_arrives(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
        tool = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
        answer = self.asked(
            messages=[
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "text", "text": "at it"}]},
                {"role": "assistant", "content": "Yes.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "It is red."},
                {"role": "assistant", "content": "Red."},
                {"role": "user", "content": "And now?"},
            ],
            tools=[{"type": "function", "function": tool}],
        )
        words = [
            {"type": "input_text", "text": "Look"},
            {"type": "input_text", "text": "at it"},
        ]
        self.assertEqual(
            answer.content,
            self.said(
                input=[
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": words},
                    {"type": "message", "role": "assistant", "content": "Yes."},
                    {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": "it"}'},
                    {"type": "function_call_output", "call_id": "call_1", "output": "It is red."},
                    {"type": "message", "role": "assistant", "content": "Red."},
                    {"role": "user", "content": "And now?"},
                ],
                tools=[{"type": "function", **tool, "strict": False}],
            ),
        )

    def test_the_stream_helper_takes_it(self) -> None:
        with self.client().chat.completions.stream(model="tiny", messages=HELLO, temperature=0) as stream:
            final = stream.get_final_completion()
        self.assertEqual(final.choices[0].message.content, self.said(input="Hello there"))

    def test_a_wrong_key_is_refused_in_openais_words(self) -> None:
        for port in ("passthrough", "bridge"):
            for stream in (False, True):
                with self.assertRaises(openai.AuthenticationError) as caught:
                    self.client(port, api_key="sk-wrong").chat.completions.create(
                        model="tiny", messages=HELLO, stream=stream
                    )
                self.assertIn("Invalid API Key", caught.exception.message)

    def test_several_streams_at_once_stay_apart(self) -> None:
        chat = self.client().chat.completions
        request: dict[str, Any] = {"model": "tiny", "temperature": 0, "stream": True}
        texts = ["Hello there", "Something else"]
        streams = [chat.create(messages=[{"role": "user", "content": text}], **request) for text in texts]
        answers = [heard(stream) for stream in streams]
        self.assertEqual([a.content for a in answers], [self.said(input=text) for text in texts])
