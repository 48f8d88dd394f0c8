"""Sources become settings."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.config import values
from oaiproxy.config.reach import is_private
from oaiproxy.config.sources import ConfigError, ConfigFile, FilePort, Layer, Said
from oaiproxy.config.table import BY_KEY, MAKE_A_KEY, STORE_KEY_LENGTH
from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.rules.tables import ModelTable
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import (
    DEFAULT_PORTS,
    Access,
    AuthMode,
    Concurrency,
    Limits,
    Port,
    Rates,
    ServiceSettings,
    Settings,
    StoreSettings,
    TargetApi,
    Timeouts,
    ToolSettings,
    port_at,
)
from oaiproxy.storeplace import StoreHome

#: The model list that is read where none is named and the working directory has one.
DEFAULT_MODELS = Path("models.json")

#: Where ports are asked for: kind, place, and where that is said.
Place = tuple[PortKind, str, str]


def build(
    options: Layer, environ: Layer, file: ConfigFile, places: Sequence[Place] = (), interface: str | None = None
) -> ServiceSettings:
    """Settings of all that is said, what comes first winning.

    @param options: what the command line says.
    @param environ: what the environment says.
    @param file: what the file says.
    @param places: the ports of the command line or the environment; they take the place of the file's.
    @param interface: the address for bare port numbers.
    @raise ConfigError: something of it is wrong.
    """
    service = _Said(options, environ, file.common)
    common = _settings(service)
    if places or not file.ports:
        _check_access(service, common.access)
    if places:
        ports = [_port(kind, [place], where, interface, common) for kind, place, where in places]
    elif file.ports:
        ports = [_file_port(port, interface, _Said(options, environ, port.said, file.common)) for port in file.ports]
    else:
        ports = [_port(kind, [place], "default", interface, common) for kind, place in DEFAULT_PORTS.items()]
    for port in (port for several in ports for port in several):
        _refuse_to_lend(port)
    return ServiceSettings(
        ports=tuple(port for several in ports for port in several),
        common=common,
        remarks=tuple(_remarks(service, ports)),
        log_file=service.get("log"),
        drain=service.get("drain", ServiceSettings().drain),
        drain_delay=service.get("drain_delay", ServiceSettings().drain_delay),
        debug=service.get("debug", False),
        workers=service.get("workers", ServiceSettings().workers),
        store=_store(service),
    )


class _Said:
    """What is said of each setting by the first source that says anything."""

    def __init__(self, *layers: Layer) -> None:
        self._said: Mapping[str, Said] = ChainMap(*map(dict, layers))

    def get(self, key: str, default: Any = None) -> Any:
        """A setting's value.

        @raise ConfigError: it is wrong.
        """
        said = self._said.get(key)
        if said is None:
            return default
        try:
            return BY_KEY[key].parse(said.value)
        except ValueError as e:
            raise ConfigError(f"{said.where}: {e}") from None

    def where(self, key: str) -> str:
        """Where it stands, or nothing."""
        said = self._said.get(key)
        return "" if said is None else said.where


def _port(kind: PortKind, places: Sequence[str], where: str, interface: str | None, settings: Settings) -> list[Port]:
    ports = []
    for place in places:
        try:
            ports.append(port_at(kind, place, interface, settings))
        except ValueError as e:
            raise ConfigError(f"{where}: {e}") from None
    return ports


def _remarks(said: _Said, ports: Sequence[Sequence[Port]]) -> Iterator[str]:
    """What is said and has no effect, though somebody may count on it."""
    used = any(port.settings.access.mode is AuthMode.REPLACE for several in ports for port in several)
    if (where := said.where("proxy_keys")) and not used:
        yield (
            f"{where} is not used: clients are asked for a proxy key only with --auth replace (or "
            "PROXY_REQUIRE_API_KEY=true)"
        )
    place = said.get("store")
    if (where := said.where("store_key")) and (place is None or place.home is StoreHome.MEMORY):
        yield f"{where} is not used: nothing is kept anywhere but in memory (--store)"


def _file_port(port: FilePort, interface: str | None, told: _Said) -> list[Port]:
    settings = _settings(told)
    _check_access(told, settings.access)

    def said(key: str, parse: Any, default: Any = None) -> Any:
        if key not in port.listen:
            return default
        try:
            return parse(port.listen[key].value)
        except ValueError as e:
            raise ConfigError(f"{port.listen[key].where}: {e}") from None

    kind = said("kind", values.one_of(PortKind))
    if kind is None:
        raise ConfigError(f"{port.where}.kind: is missing; there are {', '.join(kind.value for kind in PortKind)}")
    places = said("listen", _places, (DEFAULT_PORTS[kind],))
    own = said("interface", values.text, interface)
    return _port(kind, places, f"{port.where}.listen", own, settings)


def _places(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    if not found:
        raise ValueError("must not be empty")
    return tuple(str(place) if type(place) is int else values.text(place) for place in found)


def _settings(said: _Said) -> Settings:
    models = said.get("models") or (DEFAULT_MODELS if DEFAULT_MODELS.is_file() else None)
    tables = (*said.get("llm_params", ()), *said.get("model", ()))
    target = Settings()
    return Settings(
        upstream=said.get("upstream", target.upstream),
        models_file=models,
        auto_web_search=not said.get("disable_auto_web_search", False),
        reasoning_field=said.get("reasoning_field"),
        reasoning_continuity=said.get("reasoning_continuity", target.reasoning_continuity),
        strict=said.get("strict", False),
        keepalive=said.get("keepalive", target.keepalive),
        profile=said.get("profile"),
        timeouts=_timeouts(said),
        limits=_limits(said),
        retries=said.get("max_retries", target.retries),
        concurrency=Concurrency(said.get("max_exchanges", 0), said.get("max_exchanges_per_client", 0)),
        rates=Rates(said.get("requests_per_minute", 0), said.get("tokens_per_minute", 0)),
        access=_access(said),
        rules=_rules(said, tables),
        think=_think(said, tables),
        tools=_tools(said),
        target_api=said.get("target_api", TargetApi.RESPONSES),
        # whose users know it as the address that is checked
        health_asks_upstream=said.get("health_upstream", said.where("upstream") == "TARGET_BASE_URL"),
        upstream_ca=said.get("upstream_ca"),
        upstream_said=said.where("upstream") or target.upstream_said,
    )


def _store(said: _Said) -> StoreSettings:
    """What outlives an exchange, and where.

    @raise ConfigError: others could read it.
    """
    default = StoreSettings()
    place, keys = said.get("store"), said.get("store_key", default.keys)
    if place is not None and place.home is not StoreHome.MEMORY:
        if not keys:
            raise ConfigError(
                f"{said.where('store')}: what is kept there is encrypted, and there is no key: set OAIPROXY_STORE_KEY "
                f"(or store_key, or store_key_file) to {STORE_KEY_LENGTH} characters or more that you keep; "
                f"{MAKE_A_KEY} makes them"
            )
        place = replace(place, password=place.password or said.get("store_password"), authorities=said.get("store_ca"))
    return StoreSettings(
        place=place,
        keys=keys,
        bytes=said.get("store_bytes", default.bytes),
        seconds=said.get("store_ttl", default.seconds),
    )


def _timeouts(said: _Said) -> Timeouts:
    default = Timeouts()
    both = said.get("timeout")
    return Timeouts(
        connect=said.get("connect_timeout", default.connect),
        first_byte=said.get("first_byte_timeout", both or default.first_byte),
        idle=said.get("idle_timeout", both or default.idle),
    )


def _limits(said: _Said) -> Limits:
    default = Limits()
    return Limits(
        json_body=said.get("max_json_body", default.json_body),
        upload=said.get("max_upload") or None,
        head_seconds=said.get("header_timeout", default.head_seconds),
        body_seconds=said.get("body_timeout", default.body_seconds),
        idle_seconds=said.get("client_idle_timeout", default.idle_seconds),
    )


def _refuse_to_lend(port: Port) -> None:
    """See to it that the upstream key is not there for anyone who can reach a port.

    @raise ConfigError: it is.
    """
    if not port.settings.access.lends_to_all:
        return
    for endpoint in port.endpoints:
        if not is_private(endpoint):
            raise ConfigError(
                f"{endpoint}: whoever reaches this address could use the upstream key: set PROXY_API_KEYS (or "
                "proxy_keys, or proxy_keys_file) to keys that clients have to show, or listen on a loopback address"
            )


def _access(said: _Said) -> Access:
    mode = said.get("auth", AuthMode.REPLACE if said.get("require_api_key", False) else AuthMode.FORWARD)
    return Access(
        mode=mode,
        proxy_keys=said.get("proxy_keys", ()) if mode is AuthMode.REPLACE else (),
        upstream_key=said.get("upstream_key") if mode is AuthMode.REPLACE else None,
        organization=said.get("organization") if mode is AuthMode.REPLACE else None,
        project=said.get("project") if mode is AuthMode.REPLACE else None,
        forward_header=said.get("forward_auth_header", False),
        open_health=said.get("unauthenticated_health", True),
        cors_origins=said.get("cors_origin", ()),
    )


def _check_access(said: _Said, access: Access) -> None:
    """See to it that what is said of keys and browsers fits together.

    @raise ConfigError: it does not.
    """
    required, replaced = said.get("require_api_key", False), access.mode is AuthMode.REPLACE
    where = said.where("auth") or said.where("require_api_key")
    if required and not replaced:
        raise ConfigError(
            f"{said.where('require_api_key')}: goes with auth = replace, but {where} says forward: with that no client "
            "is asked for a key of the proxy's"
        )
    if replaced and access.upstream_key is None and not access.forward_header:
        raise ConfigError(
            f"{where}: there is no upstream key to lend: set OPENAI_API_KEY, or upstream_key or upstream_key_file"
        )
    if replaced and not access.proxy_keys and (required or access.upstream_key is None):
        raise ConfigError(
            f"{said.where('require_api_key') or where}: there is no proxy key that clients could show: set "
            "PROXY_API_KEYS, or proxy_keys or proxy_keys_file"
        )
    if replaced and "*" in access.cors_origins:
        raise ConfigError(
            f"{said.where('cors_origin')}: '*' would let any web page use the upstream key; name the origins"
        )


def _rules(said: _Said, tables: Sequence[ModelTable]) -> RuleBook:
    everywhere = ParameterRules(
        rename=said.get("param_rename", {}),
        drop=said.get("param_drop", ()),
        defaults=said.get("param_defaults", {}),
        overrides=said.get("param_overrides", {}),
        append=said.get("append_to_last_user_message"),
    )
    named = [table for table in tables if table.pattern is not None]
    unnamed = [table for table in tables if table.pattern is None]
    return RuleBook(
        everywhere=everywhere,
        models=tuple(ModelRules(table.pattern or "", table.rules, table.upstream_model) for table in named),
        unnamed=unnamed[0].rules if unnamed else ParameterRules(),
        model_map=said.get("model_map", {}),
        default_model=said.get("default_model", unnamed[0].upstream_model if unnamed else None),
        limit_field=said.get("limit_field"),
    )


def _think(said: _Said, tables: Sequence[ModelTable]) -> ThinkBook:
    everywhere = ThinkRules(
        mode=said.get("think", ThinkMode.OFF),
        start=said.get("think_tag", ThinkRules().start),
        end=said.get("think_end_tag", ThinkRules().end),
        opened=said.get("think_opened", False),
    )
    models, unnamed = [], None
    for table in tables:
        if (table.think, table.think_tag, table.think_end_tag, table.think_opened) == (None,) * 4:
            continue
        rules = ThinkRules(
            mode=everywhere.mode if table.think is None else table.think,
            start=table.think_tag or everywhere.start,
            end=table.think_end_tag or everywhere.end,
            opened=everywhere.opened if table.think_opened is None else table.think_opened,
        )
        if table.pattern is not None:
            models.append((table.pattern, rules))
        else:
            unnamed = unnamed or rules
    return ThinkBook(everywhere, tuple(models), unnamed)


def _tools(said: _Said) -> ToolSettings:
    default = ToolSettings()
    return ToolSettings(
        enabled=said.get("tool_execution", False),
        names=said.get("tools"),
        offer=said.get("tool_offer", default.offer),
        rounds=said.get("tool_rounds", default.rounds),
        seconds=said.get("tool_timeout", default.seconds),
        bytes=said.get("tool_result_limit", default.bytes),
    )
