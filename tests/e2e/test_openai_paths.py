"""All other paths of the API with the openai SDK for Python: what is no chat completion passes through both ports."""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any

import openai
from pydantic import BaseModel

from tests.e2e.support import ServiceTestCase, ServiceTests


class City(BaseModel):
    name: str


class _PathTests(ServiceTests):
    """What holds on either port."""

    def test_embeddings(self) -> None:
        answer = self.client().embeddings.create(
            model="text-embedding-3-small", input=["sun and moon", "sun and moon"], dimensions=8
        )
        self.assertEqual([len(e.embedding) for e in answer.data], [8, 8])
        self.assertEqual(answer.data[0].embedding, answer.data[1].embedding)
        self.assertEqual(answer.usage.prompt_tokens, 6)

    def test_a_file_goes_up_and_comes_down_byte_for_byte(self) -> None:
        # more than is kept in memory on the way, and all bytes that text cannot have
        content = bytes(range(256)) * 2000 + os.urandom(100_001)
        files = self.client().files
        stored = files.create(file=("all bytes.bin", content, "application/octet-stream"), purpose="user_data")
        self.assertEqual((stored.bytes, stored.filename), (len(content), "all bytes.bin"))
        self.assertEqual(files.content(stored.id).content, content)
        self.assertIn(stored.id, [file.id for file in files.list()])
        self.assertTrue(files.delete(stored.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            files.content(stored.id)

    def test_a_large_file_can_be_read_as_it_comes(self) -> None:
        digest, size = hashlib.sha256(), 0
        with self.client().files.with_streaming_response.content("file-demo-5000000") as answer:
            self.assertEqual(answer.headers["content-length"], "5000000")
            for piece in answer.iter_bytes():
                digest.update(piece)
                size += len(piece)
        self.assertEqual(size, 5_000_000)
        whole = (bytes(range(256)) * (5_000_000 // 256 + 1))[:5_000_000]
        self.assertEqual(digest.hexdigest(), hashlib.sha256(whole).hexdigest())

    def test_audio_is_uploaded_and_transcribed(self) -> None:
        sound = os.urandom(200_000)
        audio = io.BytesIO(sound)
        audio.name = "speech.mp3"
        text = self.client().audio.transcriptions.create(model="whisper-1", file=audio).text
        self.assertIn(f"speech.mp3: {len(sound)} bytes", text)
        self.assertIn(hashlib.sha256(sound).hexdigest(), text)

    def test_a_transcription_streams(self) -> None:
        events = list(
            self.client().audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"RIFF"), stream=True)
        )
        self.assertEqual(events[-1].type, "transcript.text.done")
        self.assertEqual("".join(e.delta for e in events[:-1]), events[-1].text)

    def test_speech_is_binary(self) -> None:
        with self.client().audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="One two three", response_format="wav"
        ) as answer:
            sound = answer.read()
        self.assertEqual((sound[:4], sound[8:12]), (b"RIFF", b"WAVE"))
        self.assertEqual(int.from_bytes(sound[4:8], "little") + 8, len(sound))

    def test_legacy_completions(self) -> None:
        request: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "demo:tokens=4", "max_tokens": 50}
        client = self.client()
        whole = client.completions.create(**request).choices[0].text
        streamed = "".join(c.text for chunk in client.completions.create(**request, stream=True) for c in chunk.choices)
        self.assertEqual(streamed, whole)
        self.assertEqual(whole.split(), ["demo1", "demo2", "demo3", "demo4"])

    def test_a_path_that_nobody_knows_is_for_upstream_to_refuse(self) -> None:
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client().get("/no/such/thing", cast_to=object)
        self.assertEqual(caught.exception.message, "Error code: 404 - Invalid URL (GET /v1/no/such/thing)")

    def test_what_upstream_says_of_itself_arrives(self) -> None:
        raw = self.client().embeddings.with_raw_response.create(model="text-embedding-3-small", input="a")
        self.assertEqual(raw.headers["x-oaiproxy-demo"], "1")
        self.assertEqual(raw.headers["openai-version"], "2020-10-01")
        self.assertRegex(raw.headers["x-request-id"], "^req_demo")

    # the Responses API

    def test_a_response(self) -> None:
        response = self.client().responses.create(
            model="gpt-5.1", input="Hi", reasoning={"effort": "low", "summary": "auto"}
        )
        self.assertEqual([item.type for item in response.output], ["reasoning", "message"])
        self.assertIn("You said: “Hi”", response.output_text)
        self.assertIn("0 tools; reasoning effort low", response.output_text)

    def test_a_stream_of_a_response(self) -> None:
        events = list(self.client().responses.create(model="gpt-4.1", input="demo:tokens=3", stream=True))
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual(
            [e.delta for e in events if e.type == "response.output_text.delta"], ["demo1", " demo2", " demo3"]
        )
        self.assertEqual(events[-1].type, "response.completed")

    def test_the_stream_helper_of_the_responses_api(self) -> None:
        with self.client().responses.stream(model="gpt-5.1", input="Where?", text_format=City) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_response()
        self.assertIn("response.output_text.done", kinds)
        self.assertEqual(final.output_parsed, City.model_validate_json(final.output_text))

    def test_a_stored_response_is_gone_on_from_fetched_and_deleted(self) -> None:
        responses = self.client().responses
        first = responses.create(model="gpt-4.1", input="One")
        second = responses.create(model="gpt-4.1", input="Two", previous_response_id=first.id)
        self.assertIn("3 messages", second.output_text)
        self.assertEqual(responses.retrieve(second.id).output_text, second.output_text)
        responses.delete(second.id)
        with self.assertRaises(openai.NotFoundError):
            responses.retrieve(second.id)

    def test_tools_of_the_responses_api(self) -> None:
        tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
        response = self.client().responses.create(model="gpt-4.1", input="Call f", tools=[tool])
        (call,) = response.output
        self.assertEqual((call.type, call.name), ("function_call", "f"))
        items = [{"role": "user", "content": "Call f"}, call.to_dict()]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "done"})
        answer = self.client().responses.create(model="gpt-4.1", input=items, tools=[tool], store=False)
        self.assertIn("“done”", answer.output_text)


class PassthroughPathTests(_PathTests, ServiceTestCase):
    port = "passthrough"


class BridgePathTests(_PathTests, ServiceTestCase):
    port = "bridge"
