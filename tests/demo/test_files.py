from __future__ import annotations

import hashlib
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oaiproxy.demo.multipart import KEEP
from oaiproxy.demo.reply import Reply
from oaiproxy.demo.world import Kept
from tests.demo.support import NOW, Demo, sent, sent_json

_TYPE = "multipart/form-data; boundary=b"


def _form(content: bytes = b"\0\xff\n", filename: str | None = "a.bin", **fields: str) -> bytes:
    form = b""
    for name, value in fields.items():
        form += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    if filename is not None:
        form += f'--b\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'.encode()
        form += content + b"\r\n"
    return form + b"--b--\r\n"


def _upload(demo: Demo, form: bytes, path: str = "/v1/files") -> Reply:
    return demo.reply("POST", path, form, _TYPE)


class FileTests(SynchronousTestCase):
    def test_a_file_is_told_of_by_name_size_and_checksum(self) -> None:
        self.assertEqual(
            sent_json(_upload(Demo(), _form(purpose="user_data"))),
            {
                "id": "file-demo00000001",
                "object": "file",
                "bytes": 3,
                "created_at": NOW,
                "filename": "a.bin",
                "purpose": "user_data",
                "status": "processed",
                "sha256": hashlib.sha256(b"\0\xff\n").hexdigest(),
            },
        )

    def test_the_content_comes_back_byte_for_byte(self) -> None:
        demo = Demo()
        file = sent_json(_upload(demo, _form(filename='x".bin', purpose="x")))
        reply = demo.reply("GET", f"/v1/files/{file['id']}/content")
        self.assertEqual((sent(reply), reply.length), (b"\0\xff\n", 3))
        self.assertEqual(reply.content_type, "application/octet-stream")
        self.assertNotIn('x"', reply.headers["Content-Disposition"])

    def test_files_are_listed_and_deleted(self) -> None:
        demo = Demo()
        first, second = (sent_json(_upload(demo, _form(purpose="x"))) for _ in range(2))
        self.assertEqual(sent_json(demo.reply("GET", "/v1/files"))["data"], [second, first])
        path = f"/v1/files/{first['id']}"
        self.assertEqual(sent_json(demo.reply("GET", path)), first)
        self.assertEqual(sent_json(demo.reply("DELETE", path))["deleted"], True)
        self.assertEqual([demo.reply("GET", path).status, demo.reply("DELETE", path).status], [404, 404])

    def test_a_file_that_nobody_uploaded_has_any_size(self) -> None:
        for size in (0, 1, 16 * 1024, 40_000):
            reply = Demo().reply("GET", f"/v1/files/file-demo-{size}/content")
            self.assertEqual((len(sent(reply)), reply.length), (size, size))
        self.assertEqual(sent(Demo().reply("GET", "/v1/files/file-demo-300/content"))[:257], bytes(range(256)) + b"\0")
        self.assertEqual(sent_json(Demo().reply("GET", "/v1/files/file-demo-300"))["bytes"], 300)

    def test_the_content_of_a_large_file_is_not_kept(self) -> None:
        demo = Demo()
        file = sent_json(_upload(demo, _form(b"x" * (KEEP + 1), purpose="x")))
        reply = demo.reply("GET", f"/v1/files/{file['id']}/content")
        self.assertEqual(reply.status, 404)
        self.assertIn(b"too large", sent(reply))

    def test_both_fields_have_to_be_there(self) -> None:
        for form, param in ((_form(), "purpose"), (_form(filename=None, purpose="x"), "file")):
            reply = _upload(Demo(), form)
            self.assertEqual((reply.status, sent_json(reply)["error"]["param"]), (400, param))

    def test_a_body_that_is_no_form_is_refused(self) -> None:
        reply = Demo().reply("POST", "/v1/files", b"{}", "application/json")
        self.assertEqual(reply.status, 400)
        self.assertIn(b"multipart/form-data", sent(reply))

    def test_the_oldest_go_when_there_is_too_much(self) -> None:
        kept: Kept[str] = Kept(10)
        for key, weight in (("a", 4), ("b", 4), ("a", 5), ("c", 2), ("d", 11)):
            kept.put(key, key.upper(), weight)
        self.assertEqual(kept.values(), ["A", "C"])
        self.assertEqual((kept.get("b"), kept.get("a"), kept.get("d")), (None, "A", None))


class AudioTests(SynchronousTestCase):
    def _transcribe(self, **fields: str) -> Reply:
        return _upload(Demo(), _form(b"RIFF", "a.wav", model="whisper-1", **fields), "/v1/audio/transcriptions")

    def test_a_transcription_tells_of_the_file(self) -> None:
        text = sent_json(self._transcribe())["text"]
        self.assertIn("oaiproxy's demo upstream", text)
        self.assertIn(f"a.wav: 4 bytes of application/octet-stream, sha256 {hashlib.sha256(b'RIFF').hexdigest()}", text)

    def test_its_format_is_the_one_asked_for(self) -> None:
        for form, begins in (
            ("text", b"This is"),
            ("srt", b"1\n00:"),
            ("vtt", b"WEBVTT"),
            ("verbose_json", b'{"task"'),
        ):
            self.assertTrue(sent(self._transcribe(response_format=form)).startswith(begins), form)
        self.assertEqual(sent_json(self._transcribe(response_format="xml"))["error"]["param"], "response_format")

    def test_it_can_be_streamed(self) -> None:
        events = sent(self._transcribe(stream="true", prompt="demo:slow=5")).split(b"\n\n")
        values: list[Any] = [json.loads(event.split(b"data: ")[1]) for event in events if event]
        self.assertEqual("".join(value.get("delta", "") for value in values), values[-1]["text"])
        self.assertEqual(values[-1]["type"], "transcript.text.done")

    def test_its_prompt_can_ask_for_an_error(self) -> None:
        self.assertEqual(self._transcribe(prompt="demo:error=500").status, 500)

    def test_speech_is_a_wave_file_of_the_length_it_says(self) -> None:
        reply = Demo().reply("POST", "/v1/audio/speech", b'{"model":"tts-1","input":"two words","voice":"alloy"}')
        sound = sent(reply)
        self.assertEqual((reply.content_type, reply.length), ("audio/wav", len(sound)))
        self.assertEqual((sound[:4], sound[8:16]), (b"RIFF", b"WAVEfmt "))
        self.assertEqual(int.from_bytes(sound[4:8], "little"), len(sound) - 8)
        self.assertEqual(len(sound), 44 + 2 * 2400)

    def test_bare_samples(self) -> None:
        body = b'{"model":"tts-1","input":"demo:tokens=3","voice":"alloy","response_format":"pcm"}'
        reply = Demo().reply("POST", "/v1/audio/speech", body)
        self.assertEqual((reply.content_type, reply.length, len(sent(reply))), ("audio/pcm", 7200, 7200))

    def test_speech_that_is_refused(self) -> None:
        for wrong, param in (({"input": ""}, "input"), ({"input": "x" * 4097}, "input"), ({"speed": 9}, "speed")):
            error = Demo().error("/v1/audio/speech", **{"model": "tts-1", "input": "x", "voice": "alloy", **wrong})
            self.assertEqual((error["status"], error["param"]), (400, param))
