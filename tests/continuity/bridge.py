"""A bridge port in front of an upstream, all of it in memory: real HTTP on both sides, and time that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address

from oaiproxy.api.request import PortKind
from oaiproxy.interfaces import IRequestTransform, IStateStore
from oaiproxy.models import Catalogue
from oaiproxy.plugins.model_alias import model_alias
from oaiproxy.plugins.prompt_cache_default import prompt_cache_default
from oaiproxy.plugins.reasoning_default import reasoning_default
from oaiproxy.plugins.web_search_default import web_search_default
from oaiproxy.relay import Retry, UpstreamClient
from oaiproxy.settings import Settings
from oaiproxy.store import MemoryStore
from oaiproxy.transforms import Pipeline
from oaiproxy.web import PortContext, ProxySite, resource_tree
from tests.continuity.chatclient import ChatClient
from tests.continuity.site import Answers, strict_site
from tests.memory import MemoryReactor, MemoryTransport
from tests.support import unchunk

_HERE = IPv4Address("TCP", "127.0.0.1", 5102)
_THERE = IPv4Address("TCP", "127.0.0.1", 50000)

#: As often as this the two sides may take turns for one answer; nothing takes more than a few.
_ROUNDS = 500

#: What a service adds to requests where nothing is said.
DEFAULTS: Sequence[IRequestTransform] = (model_alias, reasoning_default, web_search_default, prompt_cache_default)

#: The key of a client that says none.
KEY = "sk-one"


@dataclass(frozen=True)
class Heard:
    """What a client got.

    @ivar fields: the header's fields, lower-case names.
    @ivar whole: the answer came to its proper end.
    """

    status: int
    fields: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def json(self) -> Any:
        """The body as a JSON value."""
        return json.loads(self.body)


class Bridge:
    """A bridge port, its upstream, and its state."""

    def __init__(
        self,
        upstream: Answers,
        settings: Settings | None = None,
        *,
        accounts: Mapping[str, str] | None = None,
        store: IStateStore | None = None,
        transforms: Sequence[IRequestTransform] = DEFAULTS,
        **parts: Any,
    ) -> None:
        """
        @param upstream: what answers its requests.
        @param accounts: key -> whose it is upstream; where None each key is an account of its own.
        @param store: where turns are kept; a memory of its own where None.
        @param parts: further parts of the port's context.
        """
        settings = settings or Settings()
        self._reactor = MemoryReactor()
        self._upstream_site = strict_site(upstream, accounts, self._reactor)
        client = UpstreamClient(self._reactor, "http://127.0.0.1:1/v1", settings.timeouts, Retry(0, random=lambda: 0.0))
        context = PortContext(
            PortKind.BRIDGE,
            settings,
            Catalogue.builtin(),
            Pipeline(tuple(transforms)),
            client,
            self._reactor,
            store=MemoryStore(self._reactor.seconds) if store is None else store,
            **parts,
        )
        site = ProxySite(resource_tree(context), PortKind.BRIDGE.value, reactor=self._reactor, timeout=60)
        self._site = site
        self._upstreams: list[tuple[Any, MemoryTransport, Any, MemoryTransport]] = []
        self._client: MemoryTransport | None = None
        #: seconds that pass each time that the two sides take turns
        self.pace = 0.0

    @property
    def later(self) -> Callable[..., Any]:
        """Calls something later, in the time of the bridge."""
        later: Callable[..., Any] = self._reactor.callLater
        return later

    @property
    def told(self) -> bytes:
        """What the client that asks was told so far."""
        return b"" if self._client is None else self._client.value()

    def chat(self, request: Mapping[str, Any], key: str = KEY, *fields: str) -> Heard:
        """Make a chat request, and wait for the whole answer.

        @param key: the client's key.
        @param fields: further header fields.
        """
        body = json.dumps(request).encode()
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            "Host: localhost:5102",
            f"Authorization: Bearer {key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *fields,
        ]
        return self._ask("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def tell(self, client: ChatClient, key: str = KEY, *, choice: int = 0, **fields: Any) -> ChatClient:
        """Let a chat client ask, and hear the answer.

        @param fields: fields of its request.
        @return: the client with the answer in its history.
        @raise AssertionError: it was refused.
        """
        heard = self.chat(client.request(**fields), key)
        assert heard.status == 200 and heard.whole, heard
        return client.hears(heard.body, choice)

    def _ask(self, data: bytes) -> Heard:
        protocol: Any = self._site.buildProtocol(_THERE)
        transport = self._client = MemoryTransport(protocol, _HERE, _THERE)
        protocol.dataReceived(data)
        for _ in range(_ROUNDS):
            if transport.over:
                break
            self._turn()
        assert transport.over, f"no answer, but {transport.value()!r}"
        transport.tell()
        return _heard(transport.value())

    def _turn(self) -> None:
        """Carry everything that was written to where it goes, and let what is due happen."""
        for protocol, transport in self._reactor.upstream[len(self._upstreams) :]:
            other: Any = self._upstream_site.buildProtocol(_THERE)
            self._upstreams.append((protocol, transport, other, MemoryTransport(other, _HERE, _THERE)))
        for near, near_end, far, far_end in self._upstreams:
            _carry(near_end, far, far_end)
            _carry(far_end, near, near_end)
        self._reactor.advance(self.pace)


def _carry(end: MemoryTransport, other: Any, other_end: MemoryTransport) -> None:
    """Bring what one end wrote to the other, and then its end."""
    data = end.value()
    if data and not other_end.told:
        end.clear()
        other.dataReceived(data)
    if end.over and not other_end.told:
        end.tell()
        other_end.tell()


def _heard(data: bytes) -> Heard:
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in lines)}
    whole = True
    if fields.get("transfer-encoding") == "chunked":
        whole = body.endswith(b"0\r\n\r\n")
        body = unchunk(body if whole else body + b"0\r\n\r\n")
    elif "content-length" in fields:
        whole = len(body) == int(fields["content-length"])
    return Heard(int(line.split(" ")[1]), fields, body, whole)
