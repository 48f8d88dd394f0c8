"""The demo as the OpenAI SDK for Python sees it, without a network."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.demo.support import WEATHER, Demo, chat_function, function

try:
    import httpx2 as httpx
    import openai
except ImportError:
    openai = None  # type: ignore[assignment]


class SdkTests(SynchronousTestCase):
    def setUp(self) -> None:
        if openai is None:
            raise SkipTest("the openai package is not installed")
        demo = Demo()

        def handle(request: Any) -> Any:
            reply = demo.reply(
                request.method, request.url.path, request.read(), request.headers.get("content-type", "")
            )
            headers = {"content-type": reply.content_type, **reply.headers}
            content = b"".join(step for step in reply.steps if isinstance(step, bytes))
            return httpx.Response(reply.status, headers=headers, content=content)

        transport = httpx.Client(transport=httpx.MockTransport(handle))
        self.client = openai.OpenAI(api_key="any", base_url="http://demo/v1", http_client=transport, max_retries=0)

    def test_chat(self) -> None:
        messages: Any = [{"role": "user", "content": "demo:tokens=3"}]
        completion = self.client.chat.completions.create(model="gpt-4o", messages=messages)
        self.assertEqual(completion.choices[0].message.content, "demo1 demo2 demo3")

    def test_a_chat_stream_put_together_by_the_sdk(self) -> None:
        tools: Any = [chat_function("sky", WEATHER), chat_function("sea")]
        messages: Any = [{"role": "user", "content": "parallel demo:preamble"}]
        with self.client.chat.completions.stream(model="gpt-4o", messages=messages, tools=tools) as stream:
            for _ in stream:
                pass
            completion = stream.get_final_completion()
        message = completion.choices[0].message
        self.assertEqual([call.function.name for call in message.tool_calls or ()], ["sky", "sea"])
        self.assertIn("It calls sky now.", message.content or "")

    def test_a_response_stream_put_together_by_the_sdk(self) -> None:
        tools: Any = [function("sky", WEATHER, strict=False)]
        with self.client.responses.stream(
            model="gpt-5.1", input="call it", tools=tools, reasoning={"effort": "low", "summary": "auto"}
        ) as stream:
            for _ in stream:
                pass
            response = stream.get_final_response()
        self.assertEqual([item.type for item in response.output], ["reasoning", "function_call"])

    def test_output_text(self) -> None:
        response = self.client.responses.create(model="gpt-4o", input="demo:tokens=2")
        self.assertEqual(response.output_text, "demo1 demo2")
        again = self.client.responses.retrieve(response.id)
        self.assertEqual(again.output_text, "demo1 demo2")

    def test_structured_outputs_are_parsed(self) -> None:
        import pydantic

        class Answer(pydantic.BaseModel):
            city: str
            degrees: float

        parsed = self.client.responses.parse(model="gpt-4o", input="Hello", text_format=Answer)
        self.assertEqual(parsed.output_parsed, Answer(city="demo city", degrees=1))
        messages: Any = [{"role": "user", "content": "Hello"}]
        completion = self.client.chat.completions.parse(model="gpt-4o", messages=messages, response_format=Answer)
        self.assertEqual(completion.choices[0].message.parsed, Answer(city="demo city", degrees=1))

    def test_embeddings_come_in_base64_and_are_unpacked(self) -> None:
        answer = self.client.embeddings.create(model="text-embedding-3-small", input=["owl", "cat"], dimensions=64)
        self.assertEqual([len(item.embedding) for item in answer.data], [64, 64])
        self.assertIsInstance(answer.data[0].embedding[0], float)

    def test_models_files_and_audio(self) -> None:
        self.assertIn("gpt-4o", [model.id for model in self.client.models.list()])
        file = self.client.files.create(file=("a.bin", b"\0\xff"), purpose="user_data")
        self.assertEqual((file.bytes, file.filename), (2, "a.bin"))
        self.assertEqual(self.client.files.content(file.id).read(), b"\0\xff")
        heard = self.client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))
        self.assertIn("a.wav: 4 bytes", heard.text)
        spoken = self.client.audio.speech.create(model="tts-1", input="Hello", voice="alloy")
        self.assertEqual(spoken.read()[:4], b"RIFF")

    def test_errors_are_raised_as_what_they_are(self) -> None:
        for status, kind in (
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (404, openai.NotFoundError),
            (429, openai.RateLimitError),
            (503, openai.InternalServerError),
        ):
            with self.assertRaises(kind):
                self.client.responses.create(model="gpt-4o", input=f"demo:error={status}")

    def test_a_failure_in_the_middle_of_a_chat_stream_is_raised(self) -> None:
        messages: Any = [{"role": "user", "content": "demo:fail-midstream"}]
        stream = self.client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        with self.assertRaises(openai.APIError):
            list(stream)
