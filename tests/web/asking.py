"""Requests with every header field as the test says, the Host too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support import SocketTestCase, unchunk


@dataclass(frozen=True)
class Answer:
    """An answer as the client has it.

    @ivar fields: lower-case names; what came several times joined with commas.
    """

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class AskingTestCase(SocketTestCase):
    """A test that says each header field itself."""

    async def asks(
        self, port: int, line: str, *fields: str, body: bytes = b"", host: str | None = "localhost:5101"
    ) -> Answer:
        """Make one request.

        @param line: method and path.
        @param host: the Host field; None for none.
        """
        client = await self.client(port)
        head = [f"{line} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), "Connection: close", *fields]
        if body:
            head.append(f"Content-Length: {len(body)}")
        client.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await client.closed
        top, _, content = client.received.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        found: dict[str, str] = {}
        for name, _, value in (field.partition(":") for field in lines):
            known = found.get(name.lower())
            found[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        if found.get("transfer-encoding") == "chunked":
            content = unchunk(content)
        return Answer(int(status.split(" ")[1]), found, content)
