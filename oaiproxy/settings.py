"""The settings of the service: one typed, immutable value, whatever source they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from twisted.internet.endpoints import quoteStringArgument

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.request import PortKind
from oaiproxy.api.secrets import Secret
from oaiproxy.rules.params import RuleBook
from oaiproxy.rules.think import ThinkBook
from oaiproxy.storeplace import StorePlace

#: `Settings.upstream` for the embedded upstream.
DEMO = "demo"

#: Where the ports are when nothing is said.
DEFAULT_PORTS = {PortKind.PASSTHROUGH: "5101", PortKind.BRIDGE: "5102"}

#: Bare port numbers listen on both loopback addresses: clients that look up "localhost" may try either first.
_LOOPBACK = ("127.0.0.1", "::1")

#: Connections that the kernel keeps ready; Twisted's default of 50 refuses some when many clients come at once.
_BACKLOG = 1024


class AuthMode(str, Enum):
    """Whose key goes upstream."""

    FORWARD = "forward"  # the client's own; the proxy has none
    REPLACE = "replace"  # the proxy's, for clients that show one of the proxy's own keys


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a port, and in whose name.

    @ivar mode: whose key goes upstream.
    @ivar proxy_keys: the keys that clients may show; with none nobody is asked for one.
    @ivar upstream_key: what goes upstream in place of them.
    @ivar organization: the upstream's organization that is billed (``OpenAI-Organization``).
    @ivar project: the upstream's project that is billed (``OpenAI-Project``).
    @ivar forward_header: an Authorization header that holds no proxy key goes upstream as it is; the proxy key then
        comes in ``X-API-KEY``.
    @ivar open_health: the health check asks for no key.
    @ivar cors_origins: the origins whose browser pages may use the port; ``*`` for any.
    """

    mode: AuthMode = AuthMode.FORWARD
    proxy_keys: tuple[Secret, ...] = ()
    upstream_key: Secret | None = None
    organization: str | None = None
    project: str | None = None
    forward_header: bool = False
    open_health: bool = True
    cors_origins: tuple[str, ...] = ()

    @property
    def lends_to_all(self) -> bool:
        """Whether whoever reaches the port may use the upstream key."""
        return self.mode is AuthMode.REPLACE and self.upstream_key is not None and not self.proxy_keys


class ReasoningContinuity(str, Enum):
    """Who keeps a model's reasoning for the next request of a conversation."""

    OFF = "off"  # nobody
    CACHE = "cache"  # the proxy
    CARRIER = "carrier"  # the client too, in a field of the assistant's message


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an upstream may take, in seconds.

    @ivar connect: until the connection stands, TLS included.
    @ivar first_byte: until the head of the answer; the SDKs themselves wait ten minutes.
    @ivar idle: between two pieces of the answer: reasoning models are silent for minutes, and answer.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 600.0


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many exchanges may run at the same time; 0 for any number.

    @ivar port: on the port.
    @ivar client: of one client, on the port.
    """

    port: int = 0
    client: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """How much a minute may have, for each proxy key, or for a port that asks for none; 0 for any number.

    @ivar requests: requests that go upstream.
    @ivar tokens: tokens, as upstream counts them.
    """

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of a port.

    @ivar json_body: the largest body that the proxy has to read, in bytes.
    @ivar upload: the largest body that is passed on as it comes, in bytes; None for any.
    @ivar head_seconds: how long the head of a request may take from its first byte on.
    @ivar body_seconds: for how long the body of a request may come slower than a trickle.
    @ivar idle_seconds: how long a connection is kept on which there is no request.
    """

    json_body: int = 64 * 2**20
    upload: int | None = None
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """Tools that the proxy itself runs.

    @ivar enabled: whether any are.
    @ivar names: those that may be run; None for all that were found.
    @ivar offer: whether their schemas are offered to the model, or only calls of them answered.
    @ivar rounds: how often a model may call tools for one answer.
    @ivar seconds: how long one call may take.
    @ivar bytes: how large its result may be; the rest is cut off, which the model is told.
    """

    enabled: bool = False
    names: tuple[str, ...] | None = None
    offer: bool = True
    rounds: int = 8
    seconds: float = 30.0
    bytes: int = 65536


class TargetApi(str, Enum):
    """What ``POST /proxy`` makes of a request."""

    RESPONSES = "responses"
    COMPLETIONS = "completions"  # chat completions


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a port can be told.

    @ivar upstream: the base URL of the upstream with its path (``https://api.openai.com/v1``), or `DEMO`.
    @ivar models_file: the model list, or None for the built-in one.
    @ivar auto_web_search: whether the bridge adds the ``web_search`` tool where a request names no tools.
    @ivar reasoning_continuity: who keeps a model's reasoning for the next request of a conversation.
    @ivar reasoning_field: where reasoning summaries go in chat answers, or None for where the client's profile says.
    @ivar strict: whether a request is refused where something of it would be dropped with a warning.
    @ivar keepalive: after how many seconds of silence a stream is kept alive; 0 for never.
    @ivar profile: the client profile that all clients get, or None for the one that fits the User-Agent.
    @ivar timeouts: how long an upstream may take.
    @ivar limits: what a client may ask of the port.
    @ivar retries: how often a request is sent again where that is safe.
    @ivar concurrency: how many exchanges may run at the same time.
    @ivar rates: how much a minute may have.
    @ivar access: who may use it, and in whose name.
    @ivar rules: what is demanded of requests.
    @ivar think: what is done with thoughts in answers.
    @ivar tools: which tools the proxy runs itself.
    @ivar target_api: what ``POST /proxy`` makes of a request.
    @ivar health_asks_upstream: a plain ``/health`` asks the upstream too.
    @ivar upstream_ca: a file of authorities that are trusted beside the platform's, or None.
    @ivar upstream_said: where the upstream is named, for people: ``--upstream``, ``OPENAI_BASE_URL``.
    """

    upstream: str = "https://api.openai.com/v1"
    models_file: Path | None = None
    auto_web_search: bool = True
    reasoning_field: ReasoningField | None = None
    reasoning_continuity: ReasoningContinuity = ReasoningContinuity.CACHE
    strict: bool = False
    keepalive: float = 15.0
    profile: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retries: int = 2
    concurrency: Concurrency = field(default_factory=Concurrency)
    rates: Rates = field(default_factory=Rates)
    access: Access = field(default_factory=Access)
    rules: RuleBook = field(default_factory=RuleBook)
    think: ThinkBook = field(default_factory=ThinkBook)
    tools: ToolSettings = field(default_factory=ToolSettings)
    target_api: TargetApi = TargetApi.RESPONSES
    health_asks_upstream: bool = False
    upstream_ca: Path | None = None
    upstream_said: str = field(default="--upstream", compare=False)


@dataclass(frozen=True, slots=True)
class Port:
    """A listening port.

    @ivar kind: what it does with requests.
    @ivar endpoints: Twisted server endpoint descriptions; more than one where a bare port number means both loopback
        addresses.
    @ivar optional: those of them that are left out in silence where the machine has no such address.
    @ivar settings: what it is told.
    """

    kind: PortKind
    endpoints: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What outlives an exchange, and where.

    @ivar place: where it is kept; None where nothing is said: in the memory of the process, or in what the processes of
        a service share.
    @ivar keys: what values are encrypted with where others could read them; the first for new ones.
    @ivar bytes: how large the store may be, where it is not a server of its own.
    @ivar seconds: for how long a finished turn is kept.
    @ivar durable: whether an SQLite file has to be whole after the machine lost its power.
    """

    place: StorePlace | None = None
    keys: tuple[Secret, ...] = ()
    bytes: int = 64 * 2**20
    seconds: float = 24 * 3600.0
    durable: bool = True


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """All that the service can be told.

    @ivar ports: where to listen, and what each port is told.
    @ivar common: what holds for every port that is told nothing else.
    @ivar remarks: what the operator should know of what was said; it goes to the log.
    @ivar log_file: the traffic log, or None for none.
    @ivar drain: how long running exchanges may go on when the service ends, in seconds.
    @ivar drain_delay: for how long before that connections are still taken, while the health check says 503.
    @ivar debug: whether the service's own log has details.
    @ivar workers: how many processes serve; 0 for as many as there are processors.
    @ivar store: what outlives an exchange, and where.
    """

    ports: tuple[Port, ...] = ()
    common: Settings = field(default_factory=Settings)
    remarks: tuple[str, ...] = ()
    log_file: Path | None = None
    drain: float = 30.0
    drain_delay: float = 0.0
    debug: bool = False
    workers: int = 1
    store: StoreSettings = field(default_factory=StoreSettings)


def port_at(kind: PortKind, where: str, interface: str | None = None, settings: Settings | None = None) -> Port:
    """What ``--passthrough`` and ``--bridge`` say.

    @param where: a port number, or a Twisted server endpoint description, which is taken as it is.
    @param interface: the address for a bare port number; both loopback addresses where it is None.
    @param settings: what the port is told; the defaults where None.
    @raise ValueError: it is neither.
    """
    settings = settings or Settings()
    if not where.isascii() or not where.isdigit():
        if ":" not in where:
            raise ValueError(f"{where!r} is neither a port number nor a Twisted endpoint such as tcp:{where}")
        return Port(kind, (where,), settings=settings)
    if int(where) > 65535:
        raise ValueError(f"{where} is no port number: they end at 65535")
    # of port 0 the kernel chooses another number for each address, which is of no use to a client
    addresses = (interface,) if interface else _LOOPBACK[:1] if int(where) == 0 else _LOOPBACK
    endpoints = tuple(
        f"tcp:{int(where)}:interface={quoteStringArgument(address)}:backlog={_BACKLOG}" for address in addresses
    )
    return Port(kind, endpoints, frozenset(endpoints[1:]), settings)


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
