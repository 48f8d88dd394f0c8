"""The SQLite file of a store: its tables, and what is done with them.  Everything here blocks."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oaiproxy.store.errors import StoreRefused

#: What the file's C{application_id} is: "oaip".
APPLICATION = 0x6F616970

#: What its C{user_version} is: which tables it has.
VERSION = 1

#: How long a lock of another process is waited for, in seconds; less than who asks waits for an answer.
BUSY = 0.8

#: When a value was used is noted no more often than every so many seconds, or each look would be a write.
USED_EVERY = 60.0

#: So many rows are let go of in one go, so that no other process waits for long.
BATCH = 500

#: When there is no more room, so much of it is made at once, as a part of the whole.
ROOM = 100

#: Where more of the file than this part is not used, some of that is given back to the disk at each sweep.
UNUSED = 4

#: Larger files are not looked through at the start, which would take too long.
CHECKED = 128 * 2**20

#: So many bytes of what was not moved into the file yet may stay beside it.
WAL_LIMIT = 4 * 2**20

#: At the start: how often, and for how long, another process that is just doing the same is waited for.
_TRIES, _WAIT = 50, 0.05

_TABLES = """
CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, over REAL NOT NULL, used REAL NOT NULL);
CREATE INDEX entries_over ON entries (over);
CREATE INDEX entries_used ON entries (used);
CREATE TABLE counts (key BLOB PRIMARY KEY, count INTEGER NOT NULL, over REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX counts_over ON counts (over);
"""


def connect(path: Path, *, durable: bool = True, check: bool = True) -> sqlite3.Connection:
    """Open the file, or make it, for its owner alone.

    @param durable: whether it has to be whole after the machine lost its power.
    @param check: look through it for damage.
    @return: a connection that any one thread may use.
    @raise StoreRefused: it cannot be used.
    """
    try:
        _own(path)
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    except OSError as e:
        raise StoreRefused(f"{path} cannot be opened: {e.strerror}") from None
    except sqlite3.Error as e:
        raise StoreRefused(f"{path} cannot be opened: {e}") from None
    try:
        _prepare(connection, path, durable=durable, check=check)
    except sqlite3.DatabaseError as e:
        connection.close()
        raise StoreRefused(_said(path, e)) from None
    except StoreRefused:
        connection.close()
        raise
    return connection


def _own(path: Path) -> None:
    """See to it that the file is there, and for its owner alone: those that SQLite puts beside it are as it is."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(PermissionError):
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def _said(path: Path, error: sqlite3.DatabaseError) -> str:
    if isinstance(error, sqlite3.OperationalError):
        return f"{path} cannot be used: {error}"
    return f"{path} is damaged, or no SQLite file ({error}): move it away, and a new one is made"


def _prepare(connection: sqlite3.Connection, path: Path, *, durable: bool, check: bool) -> None:
    # of one moment: another process may be just making it
    connection.execute("BEGIN")
    application, version, tables = (
        _number(connection, name) for name in ("application_id", "user_version", "schema_version")
    )
    connection.execute("COMMIT")
    if not (application or version or tables):
        # of use only before anything is in it
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif application != APPLICATION:
        raise StoreRefused(f"{path} is the database of another program")
    if version > VERSION:
        raise StoreRefused(f"{path} was made by a newer oaiproxy: move it away, and a new one is made")
    _patiently(connection, "PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if durable else 'OFF'}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    if check and path.stat().st_size <= CHECKED:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError("its pages do not fit together")
    with _transaction(connection):
        # another process may have been first
        if _number(connection, "user_version") == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
        # written in any case, which shows that it can be
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what SQLite does not wait with for a lock, whatever its timeout is."""
    for _ in range(_TRIES):
        try:
            connection.execute(statement).fetchall()
            return
        except sqlite3.OperationalError as e:
            if "locked" not in str(e):
                raise
        time.sleep(_WAIT)
    connection.execute(statement).fetchall()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write, all of it or nothing; no other process writes meanwhile."""
    # one that began with reading could not wait for its turn to write
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    @ivar values: the values, in the order of the keys.
    @ivar stale: the keys of those that were used, which is not noted yet.
    """

    values: list[bytes | None]
    stale: list[bytes]


def get(connection: sqlite3.Connection, keys: Sequence[bytes], now: float) -> Found:
    """The values of some keys."""
    rows: dict[bytes, bytes] = {}
    stale: list[bytes] = []
    # SQLite takes no more than some thousand keys in one statement
    for at in range(0, len(keys), BATCH):
        some = keys[at : at + BATCH]
        marks = ",".join("?" * len(some))
        which = f"SELECT key, value, used FROM entries WHERE over > ? AND key IN ({marks})"  # noqa: S608
        for key, value, used in connection.execute(which, (now, *some)):
            rows[key] = value
            if used < now - USED_EVERY:
                stale.append(key)
    return Found([rows.get(key) for key in keys], stale)


def use(connection: sqlite3.Connection, keys: Sequence[bytes], now: float) -> None:
    """Note that some values were used."""
    with _transaction(connection):
        connection.executemany("UPDATE entries SET used = ? WHERE key = ?", [(now, key) for key in keys])


_PUT = """
INSERT INTO entries (key, value, over, used) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, over = excluded.over, used = excluded.used
"""


def put(connection: sqlite3.Connection, entries: Mapping[bytes, bytes], now: float, over: float, limit: int) -> None:
    """Keep some values, in place of those that were used the longest ago where there is no room.

    @param over: until when.
    @param limit: how many bytes the file may have.
    """
    with _transaction(connection):
        connection.executemany(
            _PUT,
            [(key, value, over, now) for key, value in entries.items()],
        )
        _make_room(connection, now, limit)


def _make_room(connection: sqlite3.Connection, now: float, limit: int) -> None:
    """Let go of values until the file has no more bytes than it may, and for some time will not have."""
    excess = _used(connection) - limit
    if excess <= 0:
        return
    enough = limit - limit // ROOM
    # those that are over count for nothing
    while _delete_over(connection, "entries", now) == BATCH:
        pass
    while (excess := _used(connection) - enough) > 0:
        if not _delete_oldest(connection, excess):
            # values are not what takes the room
            connection.execute(
                "DELETE FROM counts WHERE key IN (SELECT key FROM counts ORDER BY over LIMIT ?)", (BATCH,)
            )
            return


def _used(connection: sqlite3.Connection) -> int:
    """How many bytes of the file are in use."""
    pages = _number(connection, "page_count") - _number(connection, "freelist_count")
    return pages * _number(connection, "page_size")


def _delete_oldest(connection: sqlite3.Connection, size: int) -> int:
    """Let go of values that take so many bytes, or of some of them; how many there were."""
    rows = connection.execute("SELECT key, length(value) FROM entries ORDER BY used LIMIT ?", (BATCH,))
    gone: list[tuple[bytes]] = []
    for key, length in rows.fetchall():
        if size <= 0:
            break
        gone.append((key,))
        size -= length
    connection.executemany("DELETE FROM entries WHERE key = ?", gone)
    return len(gone)


def _delete_over(connection: sqlite3.Connection, table: str, now: float) -> int:
    """Let go of some rows that are over; how many there were."""
    which = f"SELECT key FROM {table} WHERE over <= ? ORDER BY over LIMIT ?"  # noqa: S608
    return connection.execute(f"DELETE FROM {table} WHERE key IN ({which})", (now, BATCH)).rowcount  # noqa: S608


def forget(connection: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    """Let go of some values."""
    with _transaction(connection):
        connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])


_ADD = """
INSERT INTO counts (key, count, over) VALUES (:key, :amount, :over)
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN over > :now THEN count + :amount ELSE :amount END,
    over = CASE WHEN over > :now THEN over ELSE :over END
"""


def add(connection: sqlite3.Connection, amounts: Mapping[bytes, int], now: float, over: float) -> list[int]:
    """Add to some counts.

    @param over: until when a count is kept that begins now.
    """
    with _transaction(connection):
        return [_add(connection, key, amount, now, over) for key, amount in amounts.items()]


def _add(connection: sqlite3.Connection, key: bytes, amount: int, now: float, over: float) -> int:
    if amount:
        # with 0 a count is looked at, and does not begin
        connection.execute(_ADD, {"key": key, "amount": amount, "now": now, "over": over})
    row = connection.execute(
        "SELECT count FROM counts WHERE key = ? AND (? OR over > ?)", (key, amount, now)
    ).fetchone()
    return 0 if row is None else int(row[0])


def sweep(connection: sqlite3.Connection, now: float, limit: int) -> bool:
    """Let go of some of what is over, and give room that is not used any more back to the disk.

    @return: whether there is more of it.
    """
    with _transaction(connection):
        gone = [_delete_over(connection, table, now) for table in ("entries", "counts")]
        _make_room(connection, now, limit)
    if _number(connection, "freelist_count") > _number(connection, "page_count") // UNUSED:
        # one step of it frees one page, and `execute` takes but one where there are no rows
        connection.executescript(f"PRAGMA incremental_vacuum({BATCH})")
    return BATCH in gone
