"""The audio APIs of the demo: uploads that are transcribed into what is known of them, and speech that is a tone."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import decode_object
from oaiproxy.demo import directives, tokens
from oaiproxy.demo.answers import NAME
from oaiproxy.demo.checks import anything, fields, nullable, number, one_of, string, wrong_value
from oaiproxy.demo.directives import Directives
from oaiproxy.demo.files import field
from oaiproxy.demo.multipart import Part
from oaiproxy.demo.reply import Reply, stream, typed_event, whole
from oaiproxy.demo.world import World

_FORMATS = ("json", "text", "verbose_json", "srt", "vtt")


def transcribe(parts: Sequence[Part], world: World) -> Reply:
    """Answer ``POST /v1/audio/transcriptions``: the text names the file, its size and its checksum.

    The form's ``prompt`` may hold directives.

    @raise ApiError: a field is missing or wrong, or the prompt asks for an error.
    """
    upload = field(parts, "file")
    field(parts, "model")
    given = {part.name: part.text for part in parts if part.filename is None}
    form = given.get("response_format", "json")
    if form not in _FORMATS:
        raise wrong_value("response_format", form, _FORMATS)
    asked = directives.parse(given.get("prompt", ""), "prompt")
    if asked.error is not None:
        raise directives.error(asked.error)
    text = (
        f"This is {NAME}, which does not listen. It got {upload.filename or 'a file without a name'}: "
        f"{upload.size} bytes of {upload.content_type}, sha256 {upload.sha256}."
    )
    if given.get("stream") == "true":
        return stream(_transcript_events(text), asked)
    return _transcript(text, form, asked)


def _transcript(text: str, form: str, asked: Directives) -> Reply:
    if form == "text":
        return whole(f"{text}\n".encode(), asked, content_type="text/plain; charset=utf-8")
    if form == "srt":
        body = f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n"
        return whole(body.encode(), asked, content_type="text/plain; charset=utf-8")
    if form == "vtt":
        body = f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n"
        return whole(body.encode(), asked, content_type="text/plain; charset=utf-8")
    if form == "verbose_json":
        value: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": 1.0, "text": text}
        return whole({**value, "segments": [], "words": []}, asked)
    return whole({"text": text}, asked)


def _transcript_events(text: str) -> Iterator[bytes]:
    for token in tokens.split(text):
        yield typed_event({"type": "transcript.text.delta", "delta": token})
    yield typed_event({"type": "transcript.text.done", "text": text})


_SPEECH_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")

_check_speech = fields(
    {
        "model": string(least=1),
        "input": string(least=1, most=4096),
        "voice": anything,
        "instructions": nullable(string()),
        "response_format": nullable(one_of(*_SPEECH_FORMATS)),
        "speed": nullable(number(0.25, 4)),
        "stream_format": nullable(one_of("audio", "sse")),
    },
    "model",
    "input",
    "voice",
)

#: Samples per second, as the API has them in its ``pcm`` format.
_RATE = 24000

#: The samples that a token sounds for: a twentieth of a second.
_SAMPLES = _RATE // 20

#: A tone of 440 Hz, 16 bits a sample, for one token; a whole number of waves, so that tones join.
_TONE = struct.pack(
    f"<{_SAMPLES}h", *(int(8000 * math.sin(2 * math.pi * 440 * sample / _RATE)) for sample in range(_SAMPLES))
)


def speak(body: bytes, world: World) -> Reply:
    """Answer ``POST /v1/audio/speech``: a tone as long as the text, as WAV, or as bare samples for ``pcm``.

    The demo has no encoder: for the other formats it sends WAV as well, and says so in ``Content-Type``.

    @raise ApiError: the API does not take the request, or its text asks for an error.
    """
    request = decode_object(body)
    _check_speech(request, "")
    if request.get("stream_format") == "sse":
        raise BadRequest("oaiproxy's demo upstream sends speech as audio only.", param="stream_format")
    asked = directives.parse(request["input"], "input")
    if asked.error is not None:
        raise directives.error(asked.error)
    length = tokens.count([request["input"]])
    if asked.tokens is not None:
        length = asked.tokens
    pieces: Iterator[bytes] = (_TONE for _ in range(length))
    size = length * len(_TONE)
    if request.get("response_format") == "pcm":
        return _sound(pieces, size, "audio/pcm", asked)
    return _sound(_with_header(pieces, size), size + 44, "audio/wav", asked)


def _sound(pieces: Iterator[bytes], size: int, content_type: str, asked: Directives) -> Reply:
    return Reply(pieces, content_type=content_type, length=size, silence=asked.silence, slow=asked.slow)


def _with_header(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The sound as a RIFF WAVE file: one channel, 16 bits."""
    yield struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, _RATE, _RATE * 2, 2, 16, b"data", size
    )
    yield from pieces
