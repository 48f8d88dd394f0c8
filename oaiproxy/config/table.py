"""The table of settings: each with the names under which it is known, what it takes, and what it is when nobody says.

Options, variables, keys of the file, the help, `docs/configuration.md` and `.env.example` all come from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from oaiproxy.api.chat import ReasoningField
from oaiproxy.api.secrets import Secret
from oaiproxy.clients import find_profile, profile_names
from oaiproxy.config import values
from oaiproxy.config.models import model_tables
from oaiproxy.rules.llmparams import parse_llm_params
from oaiproxy.rules.think import ThinkMode
from oaiproxy.settings import AuthMode, ReasoningContinuity, TargetApi, upstream_url
from oaiproxy.storeplace import store_place


class Job(str, Enum):
    """What a setting is for; they are shown in this order."""

    UPSTREAM = "Where requests go"
    BRIDGE = "The bridge"
    MODELS = "Models and parameters"
    THINK = "Think tags"
    ACCESS = "Keys and browsers"
    TIMES = "Limits and retries"
    TOOLS = "Tools that the proxy runs"
    STORE = "What outlives a request"
    SERVICE = "The service itself"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    @ivar key: its key in the file; ``timeouts.connect`` is ``connect`` in the table ``timeouts``.
    @ivar parse: makes its value of text or of a TOML value.
    @ivar meaning: what it is for, in one line.
    @ivar job: what it is grouped with.
    @ivar option: its option without the dashes; empty for what does not belong on a command line.
    @ivar variables: its variables in the environment; the first that is there counts.
    @ivar takes: what people write for its value (``SECONDS``); empty for a flag.
    @ivar default: its default as people read it; empty where there is none.
    @ivar file: it may also be in a file, named by ``KEY_file``, ``--OPTION-file`` or ``VARIABLE_FILE``.
    @ivar repeat: the option may be given several times.
    @ivar common: it is the whole service's, and no port's alone.
    """

    key: str
    parse: Callable[[object], Any]
    meaning: str
    job: Job
    option: str = ""
    variables: tuple[str, ...] = ()
    takes: str = ""
    default: str = ""
    file: bool = False
    repeat: bool = False
    common: bool = False

    @property
    def is_flag(self) -> bool:
        return not self.takes


def _setting(
    key: str,
    parse: Callable[[object], Any],
    meaning: str,
    job: Job,
    *foreign: str,
    takes: str = "",
    default: str = "",
    option: str | None = None,
    file: bool = False,
    repeat: bool = False,
    common: bool = False,
) -> Setting:
    """A setting with our usual names: ``param_drop``, ``--param-drop``, ``OAIPROXY_PARAM_DROP``.

    @param foreign: what other proxies and the SDKs call it in the environment.
    """
    name = key.replace(".", "_")
    return Setting(
        key=key,
        parse=parse,
        meaning=meaning,
        job=job,
        option=name.replace("_", "-") if option is None else option,
        variables=("OAIPROXY_" + name.upper(), *foreign),
        takes=takes,
        default=default,
        file=file,
        repeat=repeat,
        common=common,
    )


def _profile(value: object) -> str:
    return find_profile("", values.text(value)).name


def _upstream(value: object) -> str:
    return upstream_url(values.text(value))


def _origins(value: object) -> tuple[str, ...]:
    return tuple(map(_origin, values.words(value)))


#: As browsers write one (RFC 6454 section 6.2); apps that are browsers inside have schemes of their own.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")
_USUAL_PORTS = {("http", ":80"), ("https", ":443")}


def _origin(text: str) -> str:
    if text == "*":
        return text
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        raise ValueError(f"{text!r} is no origin such as https://chat.example.com, without a path (or *, for any)")
    scheme, host, port = found.groups(default="")
    return f"{scheme}://{host}" if (scheme, port) in _USUAL_PORTS else found[0]


def _store_keys(value: object) -> tuple[Secret, ...]:
    keys = values.secrets(value)
    if not keys or any(len(key.reveal()) < STORE_KEY_LENGTH for key in keys):
        raise ValueError(f"each key must have {STORE_KEY_LENGTH} characters or more; {MAKE_A_KEY} makes one")
    return keys


#: How many characters a key for the store must have, and how people make one.
STORE_KEY_LENGTH = 32
MAKE_A_KEY = "openssl rand -hex 32"


def _limit_field(value: object) -> str:
    name = values.text(value)
    if name not in LIMIT_FIELDS:
        raise ValueError(f"{name!r} is none of {', '.join(LIMIT_FIELDS)}")
    return name


#: What the limit on an answer's tokens is called: of old, in chat completions, in responses.
LIMIT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

_FIELDS = ", ".join(field.value for field in ReasoningField)

SETTINGS: tuple[Setting, ...] = (
    _setting(
        "upstream",
        _upstream,
        "base URL of the upstream, or: demo",
        Job.UPSTREAM,
        "TARGET_BASE_URL",
        "OPENAI_BASE_URL",
        takes="URL",
        default="https://api.openai.com/v1",
    ),
    _setting(
        "upstream_ca",
        values.path,
        "certificates, in PEM, that are trusted for the upstream beside the platform's",
        Job.UPSTREAM,
        takes="FILE",
    ),
    _setting(
        "health_upstream",
        values.flag,
        "GET /health asks the upstream too, without ?upstream=1 (as where TARGET_BASE_URL names the upstream)",
        Job.UPSTREAM,
    ),
    _setting(
        "target_api",
        values.one_of(TargetApi),
        "what POST /proxy makes of a request: responses or completions",
        Job.UPSTREAM,
        "TARGET_API",
        takes="NAME",
        default="responses",
    ),
    _setting(
        "disable_auto_web_search",
        values.flag,
        "the bridge adds no web_search tool to requests that name no tools",
        Job.BRIDGE,
    ),
    _setting("strict", values.flag, "refuse what would be dropped with a warning", Job.BRIDGE),
    _setting(
        "keepalive",
        values.seconds,
        "seconds of silence after which a stream is kept alive; 0 never",
        Job.BRIDGE,
        takes="SECONDS",
        default="15",
    ),
    _setting(
        "reasoning_field",
        values.one_of(ReasoningField),
        f"where reasoning summaries go in chat answers: {_FIELDS}",
        Job.BRIDGE,
        takes="NAME",
        default="as the client's profile says",
    ),
    _setting(
        "reasoning_continuity",
        values.one_of(ReasoningContinuity),
        "who keeps a model's reasoning for the next turn: cache (the proxy), carrier (the client as well), off",
        Job.BRIDGE,
        takes="HOW",
        default="cache",
    ),
    _setting(
        "profile",
        _profile,
        f"speak to all clients as to one: {', '.join(profile_names())}",
        Job.BRIDGE,
        takes="NAME",
        default="by their User-Agent",
    ),
    _setting(
        "models",
        values.path,
        "model list to serve",
        Job.MODELS,
        takes="FILE",
        default="models.json here, else the built-in list",
    ),
    _setting(
        "model_map",
        values.string_table,
        "models that are meant by other names: gpt-4o=gpt-5,o1=gpt-5.1",
        Job.MODELS,
        "MODEL_MAP",
        takes="NAME=NAME,...",
    ),
    _setting(
        "default_model",
        values.text,
        "the model of a request that names none",
        Job.MODELS,
        "DEFAULT_MODEL",
        takes="NAME",
    ),
    _setting(
        "param_defaults",
        values.parameters,
        "parameters for requests that do not say",
        Job.MODELS,
        "OPENAI_PARAM_DEFAULTS",
        takes="JSON",
    ),
    _setting(
        "param_overrides",
        values.parameters,
        "parameters for all requests, whatever they say",
        Job.MODELS,
        "OPENAI_PARAM_OVERRIDES",
        takes="JSON",
    ),
    _setting(
        "param_drop",
        values.words,
        "parameters that are taken out",
        Job.MODELS,
        "OPENAI_PARAM_DROP",
        takes="NAME,...",
    ),
    _setting(
        "param_rename",
        values.string_table,
        "parameters that are called otherwise upstream",
        Job.MODELS,
        takes="OLD=NEW,...",
    ),
    _setting(
        "limit_field",
        _limit_field,
        f"what upstream calls the limit on tokens: {', '.join(LIMIT_FIELDS)}",
        Job.MODELS,
        takes="NAME",
        default="as the client calls it",
    ),
    _setting(
        "append_to_last_user_message",
        values.appended,
        "text that follows the last user message",
        Job.MODELS,
        takes="TEXT",
    ),
    _setting(
        "llm_params",
        parse_llm_params,
        "parameters by model: model=NAME,key=value,...;model=NAME2,...",
        Job.MODELS,
        "LLM_PARAMS",
        takes="RULES",
    ),
    Setting("model", model_tables, 'a table for each model: [model."gpt-5*"]', Job.MODELS, takes="TABLES"),
    _setting(
        "think",
        values.one_of(ThinkMode),
        "what is done with <think> blocks in answers: off, remove, move (into reasoning_content)",
        Job.THINK,
        takes="MODE",
        default="off",
    ),
    _setting(
        "think_tag", values.text, "the tag that begins a block", Job.THINK, "THINK_TAG", takes="TAG", default="<think>"
    ),
    _setting(
        "think_end_tag",
        values.text,
        "the tag that ends it",
        Job.THINK,
        "THINK_END_TAG",
        takes="TAG",
        default="</think>",
    ),
    _setting(
        "think_opened",
        values.flag,
        "prompts end with the tag that begins a block, so that answers begin inside one (DeepSeek-R1, QwQ)",
        Job.THINK,
    ),
    _setting(
        "auth",
        values.one_of(AuthMode),
        "whose key goes upstream: forward (the client's own) or replace (ours, for clients that show a proxy key)",
        Job.ACCESS,
        takes="MODE",
        default="forward",
    ),
    _setting(
        "require_api_key",
        values.flag,
        "clients have to show a proxy key; the same as --auth replace",
        Job.ACCESS,
        "PROXY_REQUIRE_API_KEY",
    ),
    _setting(
        "upstream_key",
        values.secret,
        "the key that goes upstream with --auth replace",
        Job.ACCESS,
        "OPENAI_API_KEY",
        takes="KEY",
        option="",
        file=True,
    ),
    _setting(
        "proxy_keys",
        values.secrets,
        "the keys that clients may show, with commas between",
        Job.ACCESS,
        "PROXY_API_KEYS",
        "PROXY_API_KEY",
        takes="KEYS",
        option="",
        file=True,
    ),
    _setting(
        "organization",
        values.text,
        "the OpenAI organization that is billed, with --auth replace",
        Job.ACCESS,
        "OPENAI_ORGANIZATION",
        "OPENAI_ORG_ID",
        takes="ID",
    ),
    _setting(
        "project",
        values.text,
        "the OpenAI project that is billed, with --auth replace",
        Job.ACCESS,
        "OPENAI_PROJECT",
        "OPENAI_PROJECT_ID",
        takes="ID",
    ),
    _setting(
        "forward_auth_header",
        values.flag,
        "with --auth replace: an Authorization header without a proxy key goes upstream as it is",
        Job.ACCESS,
        "PROXY_FORWARD_AUTH_HEADER",
    ),
    _setting(
        "unauthenticated_health",
        values.flag,
        "whether the health check asks for no key",
        Job.ACCESS,
        "ALLOW_UNAUTHENTICATED_HEALTH",
        takes="true|false",
        default="true",
    ),
    _setting(
        "cors_origin",
        _origins,
        "an origin whose browser pages may use the proxy, or *",
        Job.ACCESS,
        takes="ORIGIN",
        repeat=True,
    ),
    _setting(
        "timeout",
        values.positive_seconds,
        "seconds until the first byte of an answer, and between two",
        Job.TIMES,
        "OPENAI_TIMEOUT",
        "API_REQUEST_TIMEOUT",
        takes="SECONDS",
        default="600",
    ),
    _setting(
        "connect_timeout",
        values.positive_seconds,
        "seconds until the connection to the upstream stands",
        Job.TIMES,
        takes="SECONDS",
        default="10",
    ),
    _setting(
        "first_byte_timeout",
        values.positive_seconds,
        "seconds until the head of the answer",
        Job.TIMES,
        takes="SECONDS",
        default="as --timeout",
    ),
    _setting(
        "idle_timeout",
        values.positive_seconds,
        "seconds between two pieces of an answer",
        Job.TIMES,
        takes="SECONDS",
        default="as --timeout",
    ),
    _setting(
        "max_retries",
        values.count,
        "how often a request is sent again where that cannot make two answers of it",
        Job.TIMES,
        "OPENAI_MAX_RETRIES",
        takes="NUMBER",
        default="2",
    ),
    _setting(
        "max_json_body",
        values.size,
        "the largest body of a request that the proxy has to read",
        Job.TIMES,
        takes="BYTES",
        default="64 MB",
    ),
    _setting(
        "max_upload",
        values.size,
        "the largest body of a request that is passed on as it comes; 0 any size",
        Job.TIMES,
        takes="BYTES",
        default="0",
    ),
    _setting(
        "header_timeout",
        values.positive_seconds,
        "seconds that the head of a client's request may take",
        Job.TIMES,
        takes="SECONDS",
        default="10",
    ),
    _setting(
        "body_timeout",
        values.positive_seconds,
        "seconds for which the body of a client's request may stand still, or only trickle",
        Job.TIMES,
        takes="SECONDS",
        default="30",
    ),
    _setting(
        "client_idle_timeout",
        values.positive_seconds,
        "seconds for which a client's connection is kept without a request",
        Job.TIMES,
        takes="SECONDS",
        default="75",
    ),
    _setting(
        "max_exchanges",
        values.count,
        "clients' requests for the upstream that a port handles at the same time; 0 any number",
        Job.TIMES,
        takes="NUMBER",
        default="0",
    ),
    _setting(
        "max_exchanges_per_client",
        values.count,
        "those of one client (by its key, or else its address) at the same time; 0 any number",
        Job.TIMES,
        takes="NUMBER",
        default="0",
    ),
    _setting(
        "requests_per_minute",
        values.count,
        "requests for the upstream that a proxy key (or a port without any) may make in a minute; 0 any number",
        Job.TIMES,
        takes="NUMBER",
        default="0",
    ),
    _setting(
        "tokens_per_minute",
        values.count,
        "tokens, as upstream counts them, that its answers may cost in a minute; 0 any number",
        Job.TIMES,
        takes="NUMBER",
        default="0",
    ),
    _setting(
        "tool_execution", values.flag, "run calls of the proxy's own tools here", Job.TOOLS, "ENABLE_TOOL_EXECUTION"
    ),
    _setting("tools", values.words, "the tools that may be run", Job.TOOLS, takes="NAME,...", default="all found"),
    _setting(
        "tool_offer",
        values.flag,
        "whether the tools' schemas are offered to the model",
        Job.TOOLS,
        takes="true|false",
        default="true",
    ),
    _setting(
        "tool_rounds",
        values.positive,
        "how often a model may call tools for one answer",
        Job.TOOLS,
        takes="NUMBER",
        default="8",
    ),
    _setting(
        "tool_timeout",
        values.positive_seconds,
        "seconds that one call may take",
        Job.TOOLS,
        takes="SECONDS",
        default="30",
    ),
    _setting(
        "tool_result_limit",
        values.positive,
        "bytes that the result of a call may have",
        Job.TOOLS,
        takes="BYTES",
        default="65536",
    ),
    _setting(
        "store",
        lambda value: store_place(values.text(value)),
        "where turns and counts are kept: memory, sqlite:PATH, redis://HOST, rediss://HOST, unix:PATH (docs/store.md)",
        Job.STORE,
        takes="PLACE",
        default="memory, which the workers of one service share",
        common=True,
    ),
    _setting(
        "store_key",
        _store_keys,
        "the keys that a store is encrypted with, the newest first; memory needs none",
        Job.STORE,
        takes="KEYS",
        option="",
        file=True,
        common=True,
    ),
    _setting(
        "store_password",
        values.secret,
        "the password for a Redis server, where the place has none",
        Job.STORE,
        takes="PASSWORD",
        option="",
        file=True,
        common=True,
    ),
    _setting(
        "store_ca",
        values.path,
        "certificates, in PEM, that are trusted for rediss:// in place of the platform's",
        Job.STORE,
        takes="FILE",
        common=True,
    ),
    _setting(
        "store_bytes",
        values.size,
        "how large the store may be in memory, or the SQLite file",
        Job.STORE,
        takes="BYTES",
        default="64 MB",
        common=True,
    ),
    _setting(
        "store_ttl",
        values.positive_seconds,
        "seconds for which a finished turn is kept",
        Job.STORE,
        takes="SECONDS",
        default="86400",
        common=True,
    ),
    _setting(
        "log",
        values.path,
        "write all traffic to this file, keys masked; begun anew at each start",
        Job.SERVICE,
        takes="FILE",
        common=True,
    ),
    _setting(
        "drain",
        values.seconds,
        "seconds that running exchanges may go on when the service is told to end",
        Job.SERVICE,
        takes="SECONDS",
        default="30",
        common=True,
    ),
    _setting(
        "drain_delay",
        values.seconds,
        "seconds for which connections are still taken before that, while the health check says 503 to balancers",
        Job.SERVICE,
        takes="SECONDS",
        default="0",
        common=True,
    ),
    _setting(
        "workers",
        values.workers,
        "processes that serve on the same ports; 0 or auto: one for each processor",
        Job.SERVICE,
        takes="NUMBER",
        default="1",
        common=True,
    ),
    _setting(
        "debug",
        values.flag,
        "more of what the service does is logged; never bodies or keys",
        Job.SERVICE,
        "DEBUG",
        common=True,
    ),
)

#: Key -> setting.
BY_KEY = {setting.key: setting for setting in SETTINGS}
