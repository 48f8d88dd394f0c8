"""An upstream for load: it answers as the model's name says, each piece of text with its number and the time.

The name is ``soak`` and settings: ``soak|chunks=20|every=0.5|fault=reset|at=7``.  A piece of text is ``<7:123456789>``:
its number, from 0, and when it was written, in nanoseconds of the clock that all processes of a machine share.
A process of its own: ``python -m tests.soak.upstream`` prints its port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from functools import partial
from typing import Any

#: A non-streamed answer's text: with what is around it about 1 kB.
TEXT = "All work and no play. " * 30

FAULTS = ("close", "reset", "garbage", "error", "refuse", "vanish")


def model(**settings: object) -> str:
    """The model's name that says these settings."""
    return "|".join(["soak", *(f"{key}={value}" for key, value in settings.items())])


def said(name: str) -> dict[str, str]:
    """The settings in a model's name."""
    return dict(part.partition("=")[::2] for part in name.split("|")[1:])


def _event(value: Any, named: bool) -> bytes:
    data = b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
    return b"event: " + value["type"].encode() + b"\n" + data if named else data


class _Chat:
    """Chat Completions."""

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, text: str) -> bytes:
        # by hand: it is what is made thousands of times a second
        return (
            b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"soak","choices":[{"index":0,'
            b'"delta":{"content":"%b"},"finish_reason":null}]}\n\n' % text.encode()
        )

    def end(self) -> bytes:
        return self._chunk({}, "stop") + b"data: [DONE]\n\n"

    def error(self) -> bytes:
        return _event({"error": {"message": "It broke.", "type": "server_error", "param": None, "code": None}}, False)

    def whole(self) -> bytes:
        message = {"role": "assistant", "content": TEXT, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 180, "total_tokens": 189}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": "soak"}
        return json.dumps({**head, "choices": [choice], "usage": usage}).encode()

    def _chunk(self, delta: Any, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "soak"}
        return _event({**head, "choices": [choice]}, False)


class _Responses:
    """Responses, in the order of api.openai.com's events."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def begin(self) -> bytes:
        item = {"id": "m", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        part = {"type": "output_text", "text": "", "annotations": []}
        at = {"item_id": "m", "output_index": 0}
        return (
            _event({"type": "response.created", "response": self._response("in_progress", [])}, True)
            + _event({"type": "response.output_item.added", "output_index": 0, "item": item}, True)
            + _event({"type": "response.content_part.added", **at, "content_index": 0, "part": part}, True)
        )

    def text(self, text: str) -> bytes:
        self._text.append(text)
        return (
            b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
            b'"item_id":"m","output_index":0,"content_index":0,"delta":"%b","logprobs":[]}\n\n' % text.encode()
        )

    def end(self) -> bytes:
        text = "".join(self._text)
        at = {"item_id": "m", "output_index": 0}
        item = self._item(text)
        return (
            _event({"type": "response.output_text.done", **at, "content_index": 0, "text": text}, True)
            + _event({"type": "response.output_item.done", "output_index": 0, "item": item}, True)
            + _event({"type": "response.completed", "response": self._response("completed", [item])}, True)
        )

    def error(self) -> bytes:
        error = {"code": "server_error", "message": "It broke."}
        return _event({"type": "response.failed", "response": {**self._response("failed", []), "error": error}}, True)

    def whole(self) -> bytes:
        return json.dumps(self._response("completed", [self._item(TEXT)])).encode()

    def _item(self, text: str) -> Any:
        part = {"type": "output_text", "text": text, "annotations": []}
        return {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}

    def _response(self, status: str, output: list[Any]) -> Any:
        usage = {"input_tokens": 9, "output_tokens": 180, "total_tokens": 189}
        head = {"id": "r", "object": "response", "created_at": 1, "model": "soak", "status": status, "output": output}
        return {**head, "usage": usage if output else None, "error": None}


class Connection(asyncio.Protocol):
    """One connection to the upstream."""

    def __init__(self) -> None:
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._resumed: Any = None
        self._paused = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._resumed is not None:
            go_on, self._resumed = self._resumed, None
            go_on()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._answer(head, body[:length])

    def _answer(self, head: bytes, body: bytes) -> None:
        request = json.loads(body) if body else {}
        how = said(str(request.get("model", "")))
        form = _Responses() if b" /v1/responses" in head.split(b"\r\n", 1)[0] else _Chat()
        fault = how.get("fault", "")
        if fault == "vanish":
            self._transport.abort()
        elif fault == "refuse":
            self._whole(b'{"error":{"message":"No.","type":"x","param":null,"code":null}}', b"400 Bad Request")
        elif not request.get("stream"):
            self._whole(form.whole())
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self._write(form.begin())
            chunks, every = int(how.get("chunks", 10)), float(how.get("every", 0))
            self._next(form, 0, chunks, every, fault, int(how.get("at", chunks // 2)))

    def _next(self, form: Any, number: int, chunks: int, every: float, fault: str, at: int) -> None:
        loop = asyncio.get_running_loop()
        while number < chunks:
            if fault and number == at:
                self._break(fault, form)
                return
            self._write(form.text(f"<{number}:{time.monotonic_ns()}>"))
            number += 1
            if self._paused:
                self._resumed = partial(self._next, form, number, chunks, every, fault, at)
                return
            if every:
                self._timer = loop.call_later(every, self._next, form, number, chunks, every, fault, at)
                return
        self._write(form.end())
        self._transport.write(b"0\r\n\r\n")

    def _break(self, fault: str, form: Any) -> None:
        if fault == "close":
            self._transport.close()
        elif fault == "reset":
            # closed with no time to linger: the other side gets a reset
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        elif fault == "garbage":
            self._transport.write(b"zz\r\nno chunk\r\n")
        else:
            self._write(form.error())
            self._transport.write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _whole(self, body: bytes, status: bytes = b"200 OK") -> None:
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
        )


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
