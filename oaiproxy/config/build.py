"""Sources become settings."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oaiproxy.api.request import PortKind
from oaiproxy.config import values
from oaiproxy.config.sources import ConfigError, ConfigFile, FilePort, Layer, Said
from oaiproxy.config.table import BY_KEY
from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.rules.tables import ModelTable
from oaiproxy.rules.think import ThinkBook, ThinkMode, ThinkRules
from oaiproxy.settings import (
    DEFAULT_PORTS,
    Access,
    AuthMode,
    Port,
    ServiceSettings,
    Settings,
    TargetApi,
    Timeouts,
    ToolSettings,
    port_at,
)

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
    common = _settings(_Said(options, environ, file.common))
    service = _Said(options, environ, file.common)
    if places:
        ports = [_port(kind, [place], where, interface, common) for kind, place, where in places]
    elif file.ports:
        ports = [
            _file_port(port, interface, _settings(_Said(options, environ, port.said, file.common)))
            for port in file.ports
        ]
    else:
        ports = [_port(kind, [place], "default", interface, common) for kind, place in DEFAULT_PORTS.items()]
    return ServiceSettings(
        ports=tuple(port for several in ports for port in several),
        common=common,
        log_file=service.get("log"),
        debug=service.get("debug", False),
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


def _file_port(port: FilePort, interface: str | None, settings: Settings) -> list[Port]:
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
        strict=said.get("strict", False),
        keepalive=said.get("keepalive", target.keepalive),
        profile=said.get("profile"),
        timeouts=_timeouts(said),
        retries=said.get("max_retries", target.retries),
        access=_access(said),
        rules=_rules(said, tables),
        think=_think(said, tables),
        tools=_tools(said),
        target_api=said.get("target_api", TargetApi.RESPONSES),
        # whose users know it as the address that is checked
        health_asks_upstream=said.get("health_upstream", said.where("upstream") == "TARGET_BASE_URL"),
    )


def _timeouts(said: _Said) -> Timeouts:
    default = Timeouts()
    both = said.get("timeout")
    return Timeouts(
        connect=said.get("connect_timeout", default.connect),
        first_byte=said.get("first_byte_timeout", both or default.first_byte),
        idle=said.get("idle_timeout", both or default.idle),
    )


def _access(said: _Said) -> Access:
    mode = said.get("auth", AuthMode.REPLACE if said.get("require_api_key", False) else AuthMode.FORWARD)
    access = Access(
        mode=mode,
        proxy_keys=said.get("proxy_keys", ()) if mode is AuthMode.REPLACE else (),
        upstream_key=said.get("upstream_key") if mode is AuthMode.REPLACE else None,
        organization=said.get("organization") if mode is AuthMode.REPLACE else None,
        project=said.get("project") if mode is AuthMode.REPLACE else None,
        forward_header=said.get("forward_auth_header", False),
        open_health=said.get("unauthenticated_health", True),
        cors_origins=said.get("cors_origin", ()),
    )
    if mode is AuthMode.REPLACE and access.upstream_key is None and not access.forward_header:
        where = said.where("auth") or said.where("require_api_key")
        raise ConfigError(
            f"{where}: there is no upstream key to lend: set OPENAI_API_KEY, or upstream_key or upstream_key_file"
        )
    if mode is AuthMode.REPLACE and "*" in access.cors_origins:
        raise ConfigError(
            f"{said.where('cors_origin')}: '*' would let any web page use the upstream key; name the origins"
        )
    return access


def _rules(said: _Said, tables: Sequence[ModelTable]) -> RuleBook:
    everywhere = ParameterRules(
        rename=said.get("param_rename", {}),
        drop=said.get("param_drop", ()),
        defaults=said.get("param_defaults", {}),
        overrides=said.get("param_overrides", {}),
        append=said.get("append_to_last_user_message"),
    )
    named = [table for table in tables if table.pattern is not None]
    unnamed = [table.rules for table in tables if table.pattern is None]
    return RuleBook(
        everywhere=everywhere,
        models=tuple(ModelRules(table.pattern or "", table.rules, table.upstream_model) for table in named),
        unnamed=unnamed[0] if unnamed else ParameterRules(),
        model_map=said.get("model_map", {}),
        default_model=said.get("default_model"),
        limit_field=said.get("limit_field"),
    )


def _think(said: _Said, tables: Sequence[ModelTable]) -> ThinkBook:
    everywhere = ThinkRules(
        mode=said.get("think", ThinkMode.OFF),
        start=said.get("think_tag", ThinkRules().start),
        end=said.get("think_end_tag", ThinkRules().end),
    )
    models = []
    for table in tables:
        told = (table.think, table.think_tag, table.think_end_tag)
        if table.pattern is not None and told != (None, None, None):
            rules = ThinkRules(
                mode=everywhere.mode if table.think is None else table.think,
                start=table.think_tag or everywhere.start,
                end=table.think_end_tag or everywhere.end,
            )
            models.append((table.pattern, rules))
    return ThinkBook(everywhere, tuple(models))


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
