"""The sources of settings, each as what it says and where it says it."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from oaiproxy.config.table import BY_KEY, SETTINGS, Setting


class ConfigError(ValueError):
    """A setting cannot be used; the message is one line and says which one, and where it stands."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one source says of a setting.

    @ivar value: text, or a TOML value.
    @ivar where: where it stands, for people: ``--keepalive``, ``OPENAI_TIMEOUT``, ``oaiproxy.toml: ports[1].upstream``.
    """

    value: object
    where: str


#: Keys of settings -> what is said of them.
Layer = Mapping[str, Said]

#: The keys of a port in the file that say where it listens.
LISTEN_KEYS = ("kind", "listen", "interface")


def environment(environ: Mapping[str, str], dotenv: Path | None = None) -> dict[str, str]:
    """The environment, and beneath it what the ``.env`` file says.

    @param dotenv: that file, or None for none.
    @raise ConfigError: it cannot be read.
    """
    if dotenv is None or not dotenv.is_file():
        return dict(environ)
    try:
        found = dotenv_values(dotenv, interpolate=False)
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{dotenv}: it cannot be read: {_reason(e)}") from None
    return {**{name: value for name, value in found.items() if value is not None}, **environ}


def from_environment(environ: Mapping[str, str]) -> Layer:
    """What the variables say; an empty one says nothing.

    @raise ConfigError: a file that a variable names cannot be read.
    """
    said: dict[str, Said] = {}
    for setting in SETTINGS:
        for name in setting.variables:
            if value := environ.get(name):
                said.setdefault(setting.key, Said(value, name))
            elif setting.file and (place := environ.get(name + "_FILE")):
                said.setdefault(setting.key, _from_file(name + "_FILE", place))
    return said


def from_options(options: Mapping[str, Any]) -> Layer:
    """What the command line says.

    @param options: option names without dashes -> values; None, and 0 for a flag, for what was not given.
    @raise ConfigError: a file that an option names cannot be read.
    """
    said: dict[str, Said] = {}
    for setting in SETTINGS:
        name = option_of(setting)
        if name is None:
            continue
        value = options.get(name)
        if value is None or (setting.is_flag and not value) or (setting.repeat and not value):
            continue
        if setting.file:
            said[setting.key] = _from_file(f"--{name}", str(value))
        else:
            said[setting.key] = Said(bool(value) if setting.is_flag else value, f"--{name}")
    return said


def option_of(setting: Setting) -> str | None:
    """The option of a setting, or None; of a secret, which does not belong on a command line, that of its file."""
    if setting.option:
        return setting.option
    return setting.key.replace("_", "-") + "-file" if setting.file else None


@dataclass(frozen=True, slots=True)
class FilePort:
    """A port in the file.

    @ivar where: its place: ``oaiproxy.toml: ports[0]``.
    @ivar listen: what it says of where it listens, by `LISTEN_KEYS`.
    @ivar said: what else it says.
    """

    where: str
    listen: Layer
    said: Layer


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What the file says.

    @ivar common: of all ports.
    @ivar ports: of each.
    """

    common: Layer
    ports: tuple[FilePort, ...] = ()


def read_file(path: Path) -> ConfigFile:
    """Read a TOML file.

    @raise ConfigError: it cannot be read, is no TOML, or has a key that is none.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: it cannot be read: {_reason(e)}") from None
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{path}: it is no TOML: {e}") from None
    ports = document.pop("ports", [])
    if not isinstance(ports, list) or not all(isinstance(port, dict) for port in ports):
        raise ConfigError(f"{path}: ports: must be tables: [[ports]]")
    return ConfigFile(
        common=_layer(document, f"{path}: ", path.parent, BY_KEY),
        ports=tuple(_file_port(port, f"{path}: ports[{n}]", path.parent) for n, port in enumerate(ports)),
    )


def _file_port(table: Mapping[str, Any], where: str, folder: Path) -> FilePort:
    listen = {key: Said(table[key], f"{where}.{key}") for key in LISTEN_KEYS if key in table}
    rest = {key: value for key, value in table.items() if key not in listen}
    own = {key: setting for key, setting in BY_KEY.items() if not setting.common}
    return FilePort(where, listen, _layer(rest, where + ".", folder, own))


def _layer(table: Mapping[str, Any], where: str, folder: Path, known: Mapping[str, Setting]) -> Layer:
    return dict(_said(table, where, folder, known))


def _said(
    table: Mapping[str, Any], where: str, folder: Path, known: Mapping[str, Setting]
) -> Iterator[tuple[str, Said]]:
    files = {key + "_file": key for key, setting in known.items() if setting.file}
    for key, value in table.items():
        if key in known:
            yield key, Said(value, where + key)
        elif key in files:
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{where}{key}: must be the name of a file")
            yield files[key], _from_file(where + key, str(folder / value))
        else:
            near = difflib.get_close_matches(key, [*known, *files], 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(f"{where}{key}: there is no such setting{hint}")


def _from_file(where: str, place: str) -> Said:
    """A secret that stands in a file of its own."""
    try:
        return Said(Path(place).read_text("utf-8").strip(), f"{where} ({place})")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{where}: {place} cannot be read: {_reason(e)}") from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is no UTF-8"
