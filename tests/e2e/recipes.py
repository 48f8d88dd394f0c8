"""Recipes as they are written: files to copy, services to start, commands to run with what they print."""

from __future__ import annotations

import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.process import ROOT, Service, run

FOLDER = ROOT / "docs" / "recipes"

_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: Stands for any text in what a command prints.
ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A block of a page.

    @ivar kind: ``sh`` starts a service, ``console`` has commands and what they print; others are files.
    @ivar name: the name of the file.
    @ivar text: what is in it.
    """

    kind: str
    name: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return [Block(kind, name or "", text) for kind, name, text in _BLOCK.findall(page.read_text("utf-8"))]


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


def moved(text: str, ports: Mapping[str, int]) -> str:
    """A text with other port numbers, so that what else runs on this machine does not matter."""
    return re.sub(r"(?<!\d)\d{4}(?!\d)", lambda match: str(ports.get(match[0], match[0])), text)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a ``console`` block, each with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def as_written(printed: str, written: str) -> bool:
    """Whether a command printed what the page says."""
    lines = (".*".join(map(re.escape, line.split(ANYTHING))) for line in written.strip().splitlines())
    return re.fullmatch(r"\r?\n".join(lines), printed.strip(), re.DOTALL) is not None


class Kitchen:
    """A folder in which a recipe is followed."""

    def __init__(self, folder: str, ports: Mapping[str, int]) -> None:
        self._folder = folder
        self._ports = ports
        self._services: list[Service] = []
        programs = Path(folder, "bin")
        programs.mkdir()
        for name, module in (("oaiproxy", "oaiproxy"), ("twistd", "twisted")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
            program.chmod(0o755)
        self._path = str(programs)

    def follow(self, block: Block) -> Iterator[tuple[str, str, str]]:
        """Do what a block says.

        @return: each command with what it printed and what the page says.
        """
        text = moved(block.text, self._ports)
        if block.kind == "sh":
            program, *arguments = shlex.split(text)
            assert program == "twistd" and arguments[:2] == ["-n", "oaiproxy"], text
            self._services.append(Service(*arguments[2:], cwd=self._folder, places=False))
        elif block.kind == "console":
            for command, written in commands(text):
                ran = run("sh", "-c", f'PATH="{self._path}:$PATH"; {command}', cwd=self._folder)
                yield command, ran.stdout + ran.stderr, written
        else:
            Path(self._folder, block.name).write_text(text)

    def close(self) -> None:
        """End what was started."""
        for service in self._services:
            service.stop()
