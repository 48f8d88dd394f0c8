"""Where a state store is: what ``--store`` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from oaiproxy.api.secrets import Secret


class StoreHome(str, Enum):
    """What a state store is made of."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a state store is; as text without what is secret.

    @ivar home: what it is made of.
    @ivar path: the SQLite file, or the socket of a Redis server that has no host.
    @ivar host: the host of a Redis server.
    @ivar port: its port.
    @ivar tls: whether it is spoken to with TLS.
    @ivar database: the number of its database.
    @ivar user: in whose name; empty for the server's default.
    @ivar password: the password, where it wants one.
    @ivar authorities: a file of authorities that are trusted in place of the platform's, or None.
    """

    home: StoreHome = StoreHome.MEMORY
    path: Path | None = None
    host: str = ""
    port: int = 6379
    tls: bool = False
    database: int = 0
    user: str = ""
    password: Secret | None = None
    authorities: Path | None = None

    def __str__(self) -> str:
        if self.home is StoreHome.MEMORY:
            return StoreHome.MEMORY.value
        database = f"/{self.database}" if self.database else ""
        if self.path is not None:
            query = f"?db={self.database}" if self.database else ""
            return f"{'unix' if self.home is StoreHome.REDIS else 'sqlite'}:{self.path}{query}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}{database}"


def store_place(text: str) -> StorePlace:
    """What ``--store`` says.

    @raise ValueError: it is none of the forms; the message quotes nothing of what may be secret.
    """
    scheme, _, rest = text.partition(":")
    if text == StoreHome.MEMORY:
        return StorePlace()
    if scheme == "sqlite" and rest:
        return StorePlace(StoreHome.SQLITE, Path(rest))
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must be memory, sqlite:PATH, redis://HOST, rediss://HOST or unix:PATH")
    try:
        return _redis_place(_split(text))
    except ValueError as e:
        raise ValueError(f"is no such URL as redis://USER:PASSWORD@HOST:6379/0 or unix:PATH?db=0: {e}") from None


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        # which may quote the password
        raise ValueError("its host is none") from None


def _redis_place(url: SplitResult) -> StorePlace:
    local = url.scheme == "unix"
    if url.fragment or (url.query and not local):
        raise ValueError("it has more than these (is a character of the password not written as %23 or %3F?)")
    try:
        port = url.port
    except ValueError:
        raise ValueError("its port is no port number") from None
    number = _database(url.query) if local else url.path.removeprefix("/")
    if number and not (number.isascii() and number.isdigit() and len(number) <= 5):
        raise ValueError("its database is no number")
    if local and not url.path:
        raise ValueError("it has no path")
    if not local and not url.hostname:
        raise ValueError("it has no host")
    password = unquote(url.password or "")
    return StorePlace(
        home=StoreHome.REDIS,
        path=Path(unquote(url.path)) if local else None,
        host="" if local else url.hostname or "",
        port=port or 6379,
        tls=url.scheme == "rediss",
        database=int(number or 0),
        user=unquote(url.username or ""),
        password=Secret(password) if password else None,
    )


def _database(query: str) -> str:
    name, _, number = query.partition("=")
    if query and name != "db":
        raise ValueError("it has more than these")
    return number
