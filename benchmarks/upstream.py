"""An upstream that costs next to nothing: bytes that are made before, and one ``send`` for each piece of text.

It answers ``POST /v1/chat/completions`` and ``POST /v1/responses`` as the model's name says, in the grammar of
`tests.soak.upstream`: ``soak|chunks=200|every=0.02``.  With ``every`` the pieces are numbered and say when they
were written, as there.  With ``together=1`` a whole stream is written at once.  Whatever is no stream is a chat
completion or a response of 1 kB.  A process of its own: ``python -m benchmarks.upstream`` prints its port and
serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

#: A whole answer's text: with what is around it about 1 kB.
TEXT = "All work and no play. " * 30

#: Pieces of text in turn, as long as tokens are: LiteLLM ends a stream that says the same all the time.
WORDS = (" work", " play")

_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding:\s*chunked")
_CONTINUE = re.compile(rb"(?i)\r\nexpect:\s*100-continue")

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nx-request-id: req_1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)

#: How much of a body is kept to be searched for the model and for ``stream``: its beginning, and its end.
_KEPT = 65536


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _framed(data: bytes) -> bytes:
    """One chunk of an HTTP body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Api:
    """The answers of an API."""

    def begin(self) -> bytes:
        """What comes before the text."""
        raise NotImplementedError

    def piece(self, text: str) -> bytes:
        """A piece of text."""
        raise NotImplementedError

    def end(self, chunks: int) -> bytes:
        """What comes after the text, of so many pieces."""
        raise NotImplementedError

    def whole(self) -> bytes:
        """An answer that is no stream."""
        raise NotImplementedError


class _Chat(Api):
    """The Chat Completions API's answers."""

    _HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.1"}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _framed(b"data: %b\n\n" % _dumped({**self._HEAD, "choices": [choice]}))

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def end(self, chunks: int) -> bytes:
        return self._chunk({}, "stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def whole(self) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 60, "total_tokens": 65}
        return _dumped({**self._HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})


class _Responses(Api):
    """The Responses API's answers."""

    def _event(self, kind: str, number: int, **fields: Any) -> bytes:
        data = _dumped({"type": kind, "sequence_number": number, **fields})
        return _framed(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def _response(self, text: str, status: str) -> dict[str, Any]:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        item = {"id": "msg_1", "type": "message", "status": "completed", "content": [part], "role": "assistant"}
        usage = {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 60,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 65,
        }
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": "gpt-5.1",
            "output": [item] if text else [],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": usage if text else None,
        }

    def begin(self) -> bytes:
        item = {"id": "msg_1", "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        return b"".join(
            (
                self._event("response.created", 0, response=self._response("", "in_progress")),
                self._event("response.in_progress", 1, response=self._response("", "in_progress")),
                self._event("response.output_item.added", 2, output_index=0, item=item),
                self._event(
                    "response.content_part.added", 3, item_id="msg_1", output_index=0, content_index=0, part=part
                ),
            )
        )

    def piece(self, text: str) -> bytes:
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        return self._event("response.output_text.delta", 4, **place, delta=text, logprobs=[], obfuscation="x" * 10)

    def end(self, chunks: int) -> bytes:
        text = ("".join(WORDS) * (chunks // 2 + 1))[: len(WORDS[0]) * chunks]
        response = self._response(text, "completed")
        item = response["output"][0] if text else {}
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        part = item["content"][0] if item else {}
        return b"".join(
            (
                self._event("response.output_text.done", 5, **place, text=text, logprobs=[]),
                self._event("response.content_part.done", 6, **place, part=part),
                self._event("response.output_item.done", 7, output_index=0, item=item),
                self._event("response.completed", 8, response=response),
                b"0\r\n\r\n",
            )
        )

    def whole(self) -> bytes:
        return _dumped(self._response(TEXT, "completed"))


_CHAT, _RESPONSES = _Chat(), _Responses()


@cache
def _begin(api: Api) -> bytes:
    return _STREAM_HEAD + api.begin()


@cache
def _piece(api: Api, number: int) -> bytes:
    return api.piece(WORDS[number])


@cache
def _end(api: Api, chunks: int) -> bytes:
    return api.end(chunks)


@cache
def _together(api: Api, chunks: int) -> bytes:
    return b"".join((_begin(api), *(_piece(api, number % 2) for number in range(chunks)), _end(api, chunks)))


@cache
def _timed(api: Api) -> tuple[bytes, bytes]:
    """What is around a piece ``<123456:123456789012345678>``; all of these have the same length."""
    before, _, after = api.piece("<123456:123456789012345678>").partition(b"<123456:123456789012345678>")
    return before, after


@cache
def _whole(api: Api) -> bytes:
    body = api.whole()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_1\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )


class Upstream(asyncio.Protocol):
    """One connection: a request after the other."""

    _WAITING, _READING, _ANSWERING = range(3)

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._state = self._WAITING
        self._data = bytearray()
        self._paused = self._gone = False
        # what is to be sent once the transport takes something again
        self._later: Any = None

    def data_received(self, data: bytes) -> None:
        """Something of a request."""
        if self._state == self._READING:
            self._body(data)
            return
        self._data += data
        if self._state == self._WAITING:
            self._head()

    def _head(self) -> None:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._data[:end])
        rest = bytes(self._data[end + 4 :])
        self._data.clear()
        self._api: Api = _RESPONSES if head.startswith(b"POST /v1/responses") else _CHAT
        length = _LENGTH.search(head)
        self._chunked = length is None and _CHUNKED.search(head) is not None
        self._left = int(length[1]) if length else 0
        self._first, self._last = bytearray(), b""
        self._state = self._READING
        if _CONTINUE.search(head):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._body(rest)

    def _body(self, data: bytes) -> None:
        self._left -= len(data)
        room = _KEPT - len(self._first)
        self._first += data[:room]
        if data := data[room:]:
            self._last = (self._last + data[-_KEPT:])[-_KEPT:]
        if (self._last or self._first).endswith(b"0\r\n\r\n") if self._chunked else self._left <= 0:
            self._answer(bytes(self._first) + self._last)

    def _answer(self, body: bytes) -> None:
        if not _STREAM.search(body):
            self._transport.write(_whole(self._api))
            self._wait()
            return
        found = _MODEL.search(body)
        settings = dict(part.partition("=")[::2] for part in found[1].decode().split("|")[1:]) if found else {}
        self._chunks = int(settings.get("chunks", "200"))
        every = float(settings.get("every", "0"))
        self._sent = 0
        self._state = self._ANSWERING
        if "together" in settings:
            self._transport.write(_together(self._api, self._chunks))
            self._wait()
            return
        self._transport.write(_begin(self._api))
        if every:
            self._paced(self._loop.time() + every, every)
        else:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """One piece of each stream a turn, so that a stream's pieces pile up as little as they can."""
        if self._gone:
            return
        if self._paused:
            self._later = self._next
            return
        if self._sent < self._chunks:
            self._send_piece()
            self._loop.call_soon(self._next)
            return
        self._finish()

    def _send_piece(self) -> None:
        self._sent += 1
        self._transport.write(_piece(self._api, self._sent % 2))

    def _paced(self, due: float, every: float) -> None:
        if self._gone:
            return
        if self._paused:
            self._later = partial(self._paced, due, every)
            return
        if self._sent < self._chunks:
            self._loop.call_at(due, self._write_paced, due, every)
            return
        self._finish()

    def _write_paced(self, due: float, every: float) -> None:
        if self._gone:
            return
        before, after = _timed(self._api)
        data = b"%b<%06d:%018d>%b" % (before, self._sent, time.monotonic_ns(), after)
        self._sent += 1
        self._transport.write(data)
        self._paced(due + every, every)

    def _finish(self) -> None:
        self._transport.write(_end(self._api, self._chunks))
        self._wait()

    def _wait(self) -> None:
        self._state = self._WAITING
        if self._data:
            self._head()

    def pause_writing(self) -> None:
        """The other side does not read."""
        self._paused = True

    def resume_writing(self) -> None:
        """It reads on."""
        self._paused = False
        later, self._later = self._later, None
        if later is not None:
            later()

    def connection_lost(self, exc: BaseException | None) -> None:
        """No more is sent."""
        self._gone = True


async def serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    """Say where, and serve until the process is killed."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    # asyncio's own loop and not uvloop, which would gather what is written in one turn into one send
    asyncio.run(serve(Upstream))
