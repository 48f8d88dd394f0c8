"""What outlives one request: the counter that ids come from, the clock, and what was stored."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by id; the oldest go when all of them together weigh too much.

    @ivar limit: how much may be kept, in the unit of the weights (bytes).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._weight = 0
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def put(self, key: str, value: T, weight: int) -> None:
        """Keep a value; one that alone weighs too much is not kept."""
        self.drop(key)
        if weight > self.limit:
            return
        self._values[key] = value, weight
        self._weight += weight
        while self._weight > self.limit:
            _, (_, gone) = self._values.popitem(last=False)
            self._weight -= gone

    def get(self, key: str) -> T | None:
        """The value of that id, or None."""
        found = self._values.get(key)
        return found[0] if found else None

    def drop(self, key: str) -> bool:
        """Forget a value.

        @return: whether there was one.
        """
        found = self._values.pop(key, None)
        if found:
            self._weight -= found[1]
        return found is not None

    def values(self) -> list[T]:
        """All values, the oldest first."""
        return [value for value, _ in self._values.values()]


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response that ``previous_response_id`` and ``GET /v1/responses/{id}`` can name.

    @ivar items: the whole conversation up to and with its output, as input items.
    """

    response: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded file.

    @ivar file: its file object.
    @ivar content: its bytes, or None where it was too large to keep them.
    """

    file: Mapping[str, Any]
    content: bytes | None


class World:
    """What the answers share.

    @ivar responses: the stored responses, by id.
    @ivar files: the uploaded files, by id.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the time, in seconds since the epoch.
        """
        self._seconds = seconds
        self._counts: Counter[str] = Counter()
        self.responses: Kept[StoredResponse] = Kept(64 * 1024 * 1024)
        self.files: Kept[StoredFile] = Kept(64 * 1024 * 1024)

    def now(self) -> int:
        """The time, in whole seconds since the epoch."""
        return int(self._seconds())

    def new_id(self, prefix: str) -> str:
        """The next id of its kind: the same requests in the same order always get the same ids."""
        self._counts[prefix] += 1
        return f"{prefix}demo{self._counts[prefix]:08d}"
