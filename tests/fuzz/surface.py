"""Fuzzed: a port of the proxy, in memory: a client's bytes, an upstream's bytes, and time.

Nothing of the proxy is replaced: its HTTP server and its HTTP client run on transports that end in lists.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import LogLevel, globalLogPublisher

from oaiproxy.api.request import PortKind
from oaiproxy.models import Catalogue
from oaiproxy.relay import Retry, UpstreamClient
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import Settings
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext, ProxySite, resource_tree
from tests.fuzz.answers import event_bytes, some_events
from tests.fuzz.draw import Draw
from tests.fuzz.requests import FIELDS, MESSAGES
from tests.memory import CLIENT, MemoryReactor, MemoryTransport

_SERVER = IPv4Address("TCP", "127.0.0.1", 5101)

_TOO_LONG = 100_000.0


_log: list[Any] = []


def _errors(event: Any) -> None:
    if event.get("log_failure") is not None or event["log_level"] in (LogLevel.error, LogLevel.critical):
        _log.append(event)


_HEADS = (
    b"POST /v1/chat/completions HTTP/1.1\r\n",
    b"POST /v1/chat/completions?x=1 HTTP/1.0\r\n",
    b"POST /v1/completions HTTP/1.1\r\n",
    b"POST /v1/responses HTTP/1.1\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\n",
    b"POST /v1/files HTTP/1.1\r\n",
    b"POST /proxy HTTP/1.1\r\n",
    b"GET /v1/models HTTP/1.1\r\n",
    b"GET /v1/realtime HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    b"GET /v1/models/gpt-5.1 HTTP/1.1\r\n",
    b"GET /health?upstream=1 HTTP/1.1\r\n",
    b"GET /v1/chat/completions/chatcmpl-1 HTTP/1.1\r\n",
    b"DELETE /v1/files/f HTTP/1.1\r\n",
    b"OPTIONS /v1/chat/completions HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT x:443 HTTP/1.1\r\n",
    b"GET http://evil/v1/models HTTP/1.1\r\n",
    b"GET /v1/../x HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\n",
)

_FIELDS = (
    b"Host: proxy\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Type: multipart/form-data; boundary=x\r\n",
    b"Connection: close\r\n",
    b"Connection: x-api-key, keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Authorization: Bearer sk-abcdefgh\r\n",
    b"X-Oaiproxy-Profile: xcode\r\n",
    b"X-Oaiproxy-Strict: true\r\n",
    b"X-Oaiproxy-Strict: maybe\r\n",
    b"User-Agent: Xcode/26\r\n",
    b"Accept-Encoding: gzip\r\n",
    b"Origin: http://evil\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-x\r\n",
    b"X: \xff\r\n",
    b"Content-Encoding: gzip\r\n",
)

_ODD_FIELDS = (
    b"Host: other\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"X: a\r\n b\r\n",
    b"X : a\r\n",
    b"X: \x00\r\n",
    b"X: a\n",
    b"X" * 5000 + b": a\r\n",
)


def _request(draw: Draw) -> bytes:
    """The bytes of a client's request, in order or not."""
    head = draw.choice(_HEADS)
    fields = [_FIELDS[0], *(draw.choice(_ODD_FIELDS if draw.rarely() else _FIELDS) for _ in draw.some(5))]
    body: Any = b""
    if head.startswith(b"POST"):
        value: Any = {"model": "gpt-5.1", "messages": [draw.choice(MESSAGES)], "prompt": "Say", "input": "x"}
        value.update((name, FIELDS[name]) for name in (draw.choice(list(FIELDS)) for _ in draw.some(3)))
        value["stream"] = draw.flag()
        body = json.dumps(draw.changed(value) if draw.flag() else value).encode()
        if draw.rarely():
            body = draw.choice((b"", b"[" * 3000, b"{", b"\xff", b'{"a": 1' + b"0" * 400 + b"}"))
        if draw.rarely():
            fields.append(b"Transfer-Encoding: chunked\r\n")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            fields.append(b"Content-Length: %d\r\n" % len(body))
    raw: bytes = head + b"".join(fields) + b"\r\n" + body
    return draw.spoilt(raw) if draw.below(6) == 5 else raw


def _answer(draw: Draw) -> bytes:
    """The bytes of an upstream's answer, in order or not."""
    status = draw.choice((200, 200, 200, 201, 204, 304, 400, 401, 404, 429, 500, 503, 101, 999))
    events = draw.flag()
    body = event_bytes(draw, some_events(draw)) if events else json.dumps(draw.json()).encode()
    kind = b"text/event-stream" if events else draw.choice((b"application/json", b"text/html", b"x/\xff"))
    fields = [b"Content-Type: %b\r\n" % kind]
    if status == 101:
        fields.append(b"Upgrade: websocket\r\nConnection: Upgrade\r\n")
    if draw.flag():
        fields.append(b"Transfer-Encoding: chunked\r\n")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in draw.pieces(body) if piece) + b"0\r\n\r\n"
    elif not draw.rarely():
        fields.append(b"Content-Length: %d\r\n" % len(body))
    fields += [
        draw.choice((b"Connection: close\r\n", b"Content-Encoding: gzip\r\n", b"Set-Cookie: a=b\r\n", b"X: \xff\r\n"))
        for _ in draw.some(2)
    ]
    raw = b"HTTP/1.1 %d Said\r\n%b\r\n%b" % (status, b"".join(fields), body)
    return draw.spoilt(raw) if draw.below(4) == 3 else raw


def http_passthrough(draw: Draw) -> None:
    """Any bytes at a passthrough port."""
    _port(draw, PortKind.PASSTHROUGH)


def http_bridge(draw: Draw) -> None:
    """Any bytes at a bridge port."""
    _port(draw, PortKind.BRIDGE)


_THINK = Settings(think=ThinkBook(ThinkRules(ThinkMode.MOVE)))
_PLAIN = Settings()


def _port(draw: Draw, kind: PortKind) -> None:
    _log.clear()
    globalLogPublisher.addObserver(_errors)  # type: ignore[arg-type]
    try:
        said, asked, sent, transport = _conversation(draw, kind)
    finally:
        globalLogPublisher.removeObserver(_errors)  # type: ignore[arg-type]
    assert not _log, _log[0].get("log_failure") or _log[0]
    _check(said, asked, sent, transport)


def _conversation(draw: Draw, kind: PortKind) -> tuple[bytes, bytes, list[bytes], MemoryTransport]:
    """Let a client and an upstream talk to the port: what the client got, what it sent, what upstream was sent."""
    reactor = MemoryReactor()
    settings = _THINK if draw.rarely() else _PLAIN
    upstream = UpstreamClient(reactor, "http://127.0.0.1:1/v1", settings.timeouts, Retry(1, random=lambda: 0.0))
    context = PortContext(kind, settings, Catalogue.builtin(), Pipeline(()), upstream, reactor)
    site = ProxySite(resource_tree(context), kind.value, reactor=reactor, timeout=60)
    protocol: Any = site.buildProtocol(CLIENT)
    transport = MemoryTransport(protocol, _SERVER, CLIENT)
    asked = b"".join(_request(draw) for _ in range(draw.below(2) + 1))
    for piece in draw.pieces(asked):
        if transport.over:
            break
        protocol.dataReceived(piece)
        if draw.rarely():
            _serve(draw, reactor)
    for _ in range(4):
        _serve(draw, reactor)
        reactor.advance(draw.choice((0.0, 0.0, 1.0, 16.0)))
    if draw.rarely():
        transport.tell(ConnectionLost)
    # whatever is under way now comes to its end by time
    for _ in range(12):
        for _, connection in reactor.upstream:
            if connection.over:
                connection.tell()
        reactor.advance(_TOO_LONG)
    if transport.over:
        transport.tell()
    for _, connection in reactor.upstream:
        connection.tell()
    if _switched(transport.value()):
        # no time ends it, but what either side does
        reactor.advance(_TOO_LONG)
        transport.tell()
    sent = [connection.value() for _, connection in reactor.upstream]
    left = [call for call in reactor.getDelayedCalls() if call.active()]
    assert transport.told, "the connection stays for ever"
    assert not left, left
    return transport.value(), asked, sent, transport


def _switched(said: bytes) -> bool:
    return b"HTTP/1.1 101 " in said


def _serve(draw: Draw, reactor: MemoryReactor) -> None:
    """Let the upstream answer what it was sent."""
    for protocol, transport in reactor.upstream:
        if transport.over:
            transport.tell()
        elif transport.value() and not transport.told and not draw.rarely():
            for piece in draw.pieces(_answer(draw)):
                if transport.over:
                    break
                protocol.dataReceived(piece)
            if draw.rarely() or transport.over:
                transport.tell(ConnectionLost if draw.flag() else ConnectionDone)


_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9]) [^\r\n\x00]*\Z")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[^\r\n\x00]*\Z")


def _check(said: bytes, asked: bytes, sent: list[bytes], transport: MemoryTransport) -> None:
    """What the client got is HTTP, and where the proxy itself answered its errors are the API's."""
    rest = said
    upper = asked.upper()
    while rest:
        head, found, rest = rest.partition(b"\r\n\r\n")
        assert found, said
        line, *lines = head.split(b"\r\n")
        status_line = _STATUS.match(line)
        assert status_line, line
        status = int(status_line[1])
        fields: list[tuple[bytes, bytes]] = []
        for field in lines:
            assert _FIELD.match(field), field
            name, _, value = field.partition(b":")
            fields.append((name.lower(), value.strip()))
        names = [name for name, _ in fields]
        assert not (b"content-length" in names and b"transfer-encoding" in names), head
        assert names.count(b"content-length") <= 1, head
        if status == 101:
            assert b"WEBSOCKET" in upper, asked
            assert b"upgrade" in names, head
            assert not {b"content-length", b"transfer-encoding"} & set(names), head
            return  # what follows is no HTTP
        if status < 200:
            continue
        if b"HEAD" in upper or b"CONNECT" in upper:
            return  # the head alone does not say whether there is a body
        body, rest, whole = _body(status, dict(fields), rest)
        assert whole or transport.over or transport.half_closed, said
        if status >= 400 and not any(sent) and whole:
            assert names.count(b"content-type") == 1, head
            _is_api_error(body, said)


def _body(status: int, fields: dict[bytes, bytes], rest: bytes) -> tuple[bytes, bytes, bool]:
    """The body of an answer, what follows it, and whether it is whole."""
    if status in (204, 304):
        return b"", rest, True
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while True:
            size, found, rest = rest.partition(b"\r\n")
            if not found:
                assert not size.strip(b"0123456789abcdefABCDEF"), size
                return body, b"", False
            length = int(size, 16)
            if len(rest) < length + 2:
                return body + rest[:length], b"", False
            assert rest[length : length + 2] == b"\r\n", rest
            body, rest = body + rest[:length], rest[length + 2 :]
            if length == 0:
                return body, rest, True
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        return rest[:length], rest[length:], len(rest) >= length
    return rest, b"", True


def _is_api_error(body: bytes, said: bytes) -> None:
    try:
        value = json.loads(body)
    except ValueError:
        raise AssertionError(f"no JSON: {said!r}") from None
    if "choices" in value:
        return  # a client profile that shows errors as answers
    error = value["error"]
    assert {"message", "type", "param", "code"} <= error.keys(), value
