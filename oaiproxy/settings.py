"""The settings of the service: one typed, immutable value, whatever source they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from twisted.internet.endpoints import quoteStringArgument

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind

#: `Settings.upstream` for the embedded upstream.
DEMO = "demo"

#: Where the ports are when nothing is said.
DEFAULT_PORTS = {PortKind.PASSTHROUGH: "5101", PortKind.BRIDGE: "5102"}

#: Bare port numbers listen on both loopback addresses: clients that look up "localhost" may try either first.
_LOOPBACK = ("127.0.0.1", "::1")

#: Connections that the kernel keeps ready; Twisted's default of 50 refuses some when many clients come at once.
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Port:
    """A listening port.

    @ivar kind: what it does with requests.
    @ivar endpoints: Twisted server endpoint descriptions; more than one where a bare port number means both loopback
        addresses.
    @ivar optional: those of them that are left out in silence where the machine has no such address.
    @ivar profile: the client profile that this port's clients get, or None for what `Settings.profile` says.
    """

    kind: PortKind
    endpoints: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an upstream may take, in seconds.

    A reasoning model was measured to be silent for twelve minutes and still answer, hence the long one in the middle of
    an answer; the SDKs themselves wait ten minutes for the first byte.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 900.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the service can be told.

    @ivar ports: where to listen.
    @ivar upstream: the base URL of the upstream with its path (``https://api.openai.com/v1``), or `DEMO`.
    @ivar models_file: the model list, or None for the built-in one.
    @ivar log_file: the traffic log, or None for none.
    @ivar auto_web_search: whether the bridge adds the ``web_search`` tool where a request names no tools.
    @ivar reasoning_field: where reasoning summaries go in chat answers, or None for where the client's profile says.
    @ivar strict: whether a request is refused where something of it would be dropped with a warning.
    @ivar keepalive: after how many seconds of silence a stream is kept alive; 0 for never.
    @ivar profile: the client profile that all clients get, or None for the one that fits the User-Agent.
    @ivar timeouts: how long an upstream may take.
    """

    ports: tuple[Port, ...] = ()
    upstream: str = "https://api.openai.com/v1"
    models_file: Path | None = None
    log_file: Path | None = None
    auto_web_search: bool = True
    reasoning_field: ReasoningField | None = None
    strict: bool = False
    keepalive: float = 15.0
    profile: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


def port_at(kind: PortKind, where: str, interface: str | None = None) -> Port:
    """What ``--passthrough`` and ``--bridge`` say.

    @param where: a port number, or a Twisted server endpoint description, which is taken as it is.
    @param interface: the address for a bare port number; both loopback addresses where it is None.
    @raise ValueError: it is neither.
    """
    if not where.isascii() or not where.isdigit():
        if ":" not in where:
            raise ValueError(f"{where!r} is neither a port number nor a Twisted endpoint such as tcp:{where}")
        return Port(kind, (where,))
    if int(where) > 65535:
        raise ValueError(f"{where} is no port number: they end at 65535")
    # of port 0 the kernel chooses another number for each address, which is of no use to a client
    addresses = (interface,) if interface else _LOOPBACK[:1] if int(where) == 0 else _LOOPBACK
    endpoints = tuple(
        f"tcp:{int(where)}:interface={quoteStringArgument(address)}:backlog={_BACKLOG}" for address in addresses
    )
    return Port(kind, endpoints, optional=frozenset(endpoints[1:]))


def upstream_url(text: str) -> str:
    """What ``--upstream`` says, as a base URL: ``/v1`` is added where the URL has no path.

    @return: the URL without a slash at its end, or `DEMO`.
    @raise ValueError: it is no URL of an HTTP server.
    """
    if text == DEMO:
        return DEMO
    url = urlsplit(text)
    try:
        _ = url.port
    except ValueError as e:
        raise ValueError(f"{text!r} is no URL: {e}") from None
    if url.scheme not in ("http", "https") or not url.hostname or not text.isascii():
        raise ValueError(f"{text!r} is no URL such as https://api.openai.com/v1 (or the word demo)")
    if url.username is not None or url.password is not None:
        # not quoted: what is in it is a secret
        raise ValueError("the URL must not hold a user name or password: clients send their own keys")
    if url.query or url.fragment:
        raise ValueError(f"{text!r} must not have a query or a fragment: what follows the path comes from the client")
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/') or '/v1'}"
