"""Keys and cookies of clients, of ours and of the upstream's appear nowhere, whatever goes wrong and however much is
logged: every byte that a service writes is searched for them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from tests.faults.exchanges import CHAT_JSON, CHAT_STREAM, RESPONSE_JSON, RESPONSE_STREAM
from tests.faults.support import Listener
from tests.process import Service
from tests.support import Received, SocketTestCase, UpstreamConnection, http_answer

#: What nobody may ever see again, by where it is.  Slashes and the like make several spellings of one.
OURS = {"upstream": "canary/upstream+3f1c9b7a", "proxy": "canary-proxy-77aa01bc"}
THEIRS = {
    "bearer": "canary/bearer+5b1e77d0",
    "password": "canary-password-19c4",
    "x-api-key": "sk-canary-xapikey-0a1b2c3d4e5f",
    "api-key": "canary-apikey-66b0d1",
    "cookie": "canary-cookie-8d2f10",
    "proxy-authorization": "canary-proxyauth-4cc1",
    "query": "canary/query+2e90ab",
    "body": "canary-body-5d8e21ff",
    "prose": "sk-canary-prose-9f8e7d6c5b4a3f2e",
    "set-cookie": "canary-setcookie-c01d",
}

#: A part of the proxy that fails, and says all that it knows.
FAILING = """
from oaiproxy.web.exchange import Exchange

pass_on = Exchange._pass_on

async def failing(exchange):
    if b"how=inside" in exchange._request.uri:
        raise RuntimeError(f"{exchange._incoming.headers} {exchange._request.uri}")
    await pass_on(exchange)

Exchange._pass_on = failing
"""

PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/files/f",
    "/proxy",
    "/other",
)
FAULTS = ("fine", "echo", "refused", "reset", "nonsense", "half", "inside")


def spellings(secret: str) -> set[bytes]:
    """The ways in which a secret may be written."""
    found = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.replace("/", "\\/")}
    return {text.encode() for text in found} | {base64.b64encode(f"user:{secret}".encode())}


def fields(authorization: str) -> list[str]:
    """Header fields with a key in each place where one may be."""
    return [
        f"Authorization: {authorization}",
        f"X-API-Key: {THEIRS['x-api-key']}",
        f"api-key: {THEIRS['api-key']}",
        f"Cookie: session={THEIRS['cookie']}; theme=dark",
        f"Proxy-Authorization: Bearer {THEIRS['proxy-authorization']}",
    ]


def body(stream: bool, key: str) -> bytes:
    """A request whose text has the key that goes with it, another that looks like one, and one in a field."""
    text = f"my key is {THEIRS['prose']}, and I sent {key}"
    return json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user", "content": text}],
            "prompt": text,
            "input": text,
            "stream": stream,
            "api_key": THEIRS["body"],
            "tools": [{"type": "mcp", "server_label": "s", "authorization": THEIRS["body"]}],
        }
    ).encode()


class SecretTests(SocketTestCase):
    timeout = 60

    def setUp(self) -> None:
        self.scripted = self.upstream()
        self.scripted.script = self.answer
        self.folder = Path(self.mktemp()).resolve()
        plugins = self.folder / "path/oaiproxy/plugins"
        plugins.mkdir(parents=True)
        (plugins / "failing.py").write_text(FAILING)
        self.answers = bytearray()  # all that clients were told

    def answer(self, connection: UpstreamConnection, request: Received) -> None:
        how = request.line.partition("how=")[2].partition(" ")[0].partition("&")[0]
        cookie = f"Set-Cookie: upstream={THEIRS['set-cookie']}; Path=/"
        stream = b'"stream": true' in request.body or b'"stream":true' in request.body
        if how == "echo":
            # as some servers do: everything that they were sent, in the error that refuses it
            told = f"Incorrect API key provided: {request.fields} {request.line}"
            error = json.dumps({"error": {"message": told, "code": "invalid_api_key"}}).encode()
            connection.write(http_answer(error, "401 Unauthorized", "Content-Type: application/json", cookie))
        elif how == "refused":
            connection.write(http_answer(request.field("authorization").encode(), "403 Forbidden", cookie))  # type: ignore[union-attr]
        elif how == "reset":
            connection.reset()
        elif how == "nonsense":
            connection.write(f"HTTP/9 {request.fields}\r\n\r\n".encode("latin-1"))
            connection.close()
        else:
            chat = "chat" in request.line
            answer = (CHAT_STREAM if chat else RESPONSE_STREAM) if stream else CHAT_JSON if chat else RESPONSE_JSON
            answer = answer.replace(b"\r\n", b"\r\n" + cookie.encode() + b"\r\n", 1)
            connection.write(answer[:-9] if how == "half" else answer)
            if how == "half":
                connection.close()

    async def say(self, port: int, data: bytes) -> bytes:
        """Send bytes to the service on a connection of their own; what comes back until it ends."""
        listener = Listener(data)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), listener)
        return await listener.closed

    def request(self, target: str, authorization: str, content: bytes, *more: str) -> bytes:
        head = [
            f"POST {target} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *fields(authorization),
            *more,
        ]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + content

    async def everything(self, port: int, authorization: str, sent: str) -> None:
        """Make requests that go well, that fail in each way, and that are none."""
        key, plain = quote(THEIRS["query"], safe=""), body(False, sent)
        for path in PATHS:
            for fault in FAULTS:
                for content in (plain, body(True, sent)):
                    target = f"{path}?api_key={key}&token={key}&how={fault}"
                    self.answers += await self.say(port, self.request(target, authorization, content))
        target = f"/v1/chat/completions?api_key={key}"
        good = self.request(target, authorization, plain)
        for bad in (
            good.replace(b"HTTP/1.1", b"HTTP/9.9", 1),
            good.replace(b"POST", b"PO ST", 1),
            good.replace(b"Authorization:", b"Authorization :", 1),
            good.replace(b"Authorization:", b"Authorization", 1),
            good.replace(b"Authorization:", b"Auth\x00orization:", 1),
            good.replace(b"api-key:", b" folded:", 1),
            good.replace(b"Content-Length:", b"Transfer-Encoding: chunked\r\nContent-Length:", 1),
            good.replace(b"Content-Length: ", b"Content-Length: x", 1),
            good.replace(b"Host: localhost", b"Host: a\r\nHost: " + THEIRS["query"].encode(), 1),
            good.replace(b"POST /v1", f"POST http://user:{THEIRS['password']}@elsewhere.example/v1".encode(), 1),
            good.replace(b"POST /v1", b"CONNECT /v1", 1),
            self.request(target, authorization, plain[:-20]),
            self.request(target, authorization, b"[" * 5000 + plain),
            self.request(target, authorization, plain, "Content-Encoding: gzip"),
            self.request(target, authorization, plain, "X-Long: " + THEIRS["api-key"] * 3000),
            self.request(f"/v1/%zz/../{key}?api_key={key}", authorization, b""),
            self.request(target, authorization + "\r\nAuthorization: Bearer " + THEIRS["bearer"], plain),
        ):
            self.answers += await self.say(port, bad)

    async def service(self, *options: str, **environ: Any) -> Service:
        log = self.folder / "traffic.jsonl"
        service = Service(
            "--upstream",
            f"http://127.0.0.1:{self.upstream_port}/v1",
            "--log",
            str(log),
            "--debug",
            "--max-retries=0",
            *options,
            cwd=str(self.folder),
            PYTHONPATH=str(self.folder / "path"),
            **environ,
        )
        self.addCleanup(service.stop)
        return service

    def search(self, service: Service, *expected: str) -> None:
        """Search all that the service has written.

        @param expected: what has to be in it, to see that there is something to be searched.
        """
        service.stop()
        written = {"stdout and stderr": service.output.encode()}
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix != ".py":
                written[path.name] = path.read_bytes()
        whole = b"".join(written.values())
        for text in expected:
            self.assertIn(text.encode(), whole)
        for name, secret in {**OURS, **THEIRS}.items():
            for form in spellings(secret):
                for where, data in written.items():
                    at = data.find(form)
                    self.assertEqual(at, -1, f"{name} in {where}: {data[max(0, at - 300) : at + 60]!r}")

    def ports(self, service: Service) -> list[int]:
        return [int(base.rpartition(":")[2].partition("/")[0]) for base in (service.passthrough, service.bridge)]

    async def test_of_clients_whose_own_keys_go_upstream(self) -> None:
        service = await self.service()
        for port in self.ports(service):
            await self.everything(port, f"Bearer {THEIRS['bearer']}", THEIRS["bearer"])
            basic = base64.b64encode(f"user:{THEIRS['password']}".encode()).decode()
            await self.everything(port, f"Basic {basic}", THEIRS["password"])
        self.all_faults_were_made()
        self.search(service, "Incorrect API key provided", "failed inside the proxy", "RuntimeError", "***")

    async def test_of_clients_that_show_a_key_of_ours(self) -> None:
        service = await self.service(
            OAIPROXY_AUTH="replace",
            OPENAI_API_KEY=OURS["upstream"],
            PROXY_API_KEYS=f"{OURS['proxy']},another-proxy-key",
        )
        for port in self.ports(service):
            await self.everything(port, f"Bearer {OURS['proxy']}", OURS["proxy"])
            await self.everything(port, f"Bearer {THEIRS['bearer']}", THEIRS["bearer"])
        sent = {value for request in self.scripted.requests for _, value in request.fields}
        self.assertIn(f"Bearer {OURS['upstream']}", sent)
        # not even the client hears of the key that is lent to it
        for form in spellings(OURS["upstream"]):
            self.assertNotIn(form, self.answers)
        self.search(service, "Incorrect API key provided", "failed inside the proxy", "RuntimeError", "***")

    async def test_what_the_proxy_itself_says_to_clients_holds_no_key(self) -> None:
        service = await self.service()
        for port in self.ports(service):
            key = quote(THEIRS["query"], safe="")
            for path in PATHS:
                for fault in ("reset", "nonsense", "inside"):
                    target = f"{path}?api_key={key}&how={fault}"
                    self.answers += await self.say(
                        port, self.request(target, f"Bearer {THEIRS['bearer']}", body(False, THEIRS["bearer"]))
                    )
        for secret in THEIRS.values():
            for form in spellings(secret):
                self.assertNotIn(form, self.answers)

    def all_faults_were_made(self) -> None:
        """Every one of the faults was made."""
        said = " ".join(request.line for request in self.scripted.requests)
        for fault in FAULTS[:-1]:
            self.assertIn(f"how={fault}", said)
