"""What the supervisor and a worker tell each other; see the package's docstring.

Nothing of Twisted's or ours is imported with this but msgspec: a worker reads from here where to import the rest from.
"""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from oaiproxy.settings import ServiceSettings
    from oaiproxy.workers.sockets import OpenSocket

#: The supervisor's commands.
END = b"end"
HURRY = b"hurry"

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class HandOver:
    """All that a worker needs to know.

    @ivar settings: what it is told; with secrets in it, and so never on a command line or in a log.
    @ivar sockets: the open ports.
    @ivar shares: the descriptor of the memory for `Shares`.
    @ivar places: how many places there are in it.
    @ivar place: the worker's own.
    @ivar log: the descriptor of the traffic log, or None.
    @ivar demo: base URL of the embedded upstream, which runs in the supervisor; or nothing.
    """

    settings: ServiceSettings
    sockets: tuple[OpenSocket, ...]
    shares: int
    places: int
    place: int
    log: int | None
    demo: str


@dataclass(frozen=True, slots=True)
class Imports:
    """How a worker's Python finds what the supervisor's has found.

    @ivar path: C{sys.path}.
    @ivar reactor: the module of the reactor.
    @ivar adopts: whether it gets sockets of systemd's.
    """

    path: list[str]
    reactor: str
    adopts: bool


def hand_over(imports: Imports, told: HandOver) -> bytes:
    """Both as bytes, for a worker's standard input; the second is not read before the first has its effect."""
    return b"".join(
        _LENGTH.pack(len(data)) + data
        for data in (pickle.dumps((imports.path, imports.reactor, imports.adopts)), pickle.dumps(told))
    )


def read_imports(fd: int) -> Imports:
    """The first part of what `hand_over` has written.

    @raise EOFError: the supervisor has ended.
    """
    path, reactor, adopts = _read(fd)
    return Imports(path, reactor, adopts)


def read_hand_over(fd: int) -> HandOver:
    """The second part.

    @raise EOFError: the supervisor has ended.
    """
    told = _read(fd)
    assert isinstance(told, HandOver)
    return told


def _read(fd: int) -> Any:
    # it comes from the process that has started this one, and nobody else can write there
    return pickle.loads(_exactly(fd, _LENGTH.unpack(_exactly(fd, _LENGTH.size))[0]))  # noqa: S301


def _exactly(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = os.read(fd, length - len(data))
        if not piece:
            raise EOFError("the supervisor has ended")
        data += piece
    return data


class Logged(msgspec.Struct, tag="log", array_like=True):
    """A line of a worker's log."""

    time: float
    level: str
    namespace: str
    system: str | None
    text: str


class Ready(msgspec.Struct, tag="ready", array_like=True):
    """A worker takes connections."""


class Closed(msgspec.Struct, tag="closed", array_like=True):
    """A worker takes connections no longer, and ends."""


Message = Logged | Ready | Closed

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


def encode(message: Message) -> bytes:
    """A message of a worker's as a line."""
    return _encode(message) + b"\n"


def decode(line: bytes) -> Message | None:
    """The message in a line; None where it is none."""
    try:
        message: Message = _decode(line)
    except msgspec.DecodeError:
        return None
    return message


class Lines:
    """Lines of bytes that come in pieces."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def end(self) -> list[bytes]:
        """What is left at the end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []
