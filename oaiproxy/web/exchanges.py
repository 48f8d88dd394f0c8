"""The exchanges of a port that run at the moment: how many there may be, and how all of them are ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from oaiproxy.api.errors import ApiError


class TooManyExchanges(ApiError):
    """There are as many exchanges as may run at the same time; the SDKs send such a request again by themselves."""

    default_status = 429
    default_type = "requests"
    default_code = "too_many_concurrent_requests"

    def __init__(self, message: str) -> None:
        # nobody knows how long the others will take; one of many ends soon
        super().__init__(message, headers={"Retry-After": "1"})


class ShuttingDown(ApiError):
    """The proxy ends, and an exchange with it."""

    default_status = 503
    default_code = "shutting_down"

    def __init__(self) -> None:
        super().__init__(
            "The proxy is shutting down and could not wait for this answer any longer. Send the request again.",
            headers={"Retry-After": "1"},
        )


class Running(Protocol):
    """An exchange, to those who only count and end them."""

    def end(self, error: ApiError) -> None:
        """End it; the client is told why as far as that is possible still."""


class Exchanges:
    """Knows every running exchange of a port.

    @ivar draining: whether the service is about to end.
    @ivar clients: how many of each client run, where that is limited.
    """

    def __init__(self, limit: int = 0, per_client: int = 0) -> None:
        """
        @param limit: how many may run at the same time; 0 for any number.
        @param per_client: how many of one client may; 0 for any number.
        """
        self.draining = False
        self._limit = limit
        self._per_client = per_client
        self._running: dict[Running, bytes] = {}
        self.clients: dict[bytes, int] = {}
        self._ended = False

    def __len__(self) -> int:
        """How many run."""
        return len(self._running)

    def enter(self, exchange: Running, client: Callable[[], bytes]) -> None:
        """Let an exchange begin.

        @param exchange: it has to `leave` when it is over.
        @param client: says whose it is; it is asked only where that matters.
        @raise ApiError: it may not begin: 429, or 503 where the service has ended all others.
        """
        if self._ended:
            raise ShuttingDown
        if self._limit and len(self._running) >= self._limit:
            raise TooManyExchanges(
                f"This proxy already handles {self._limit} requests at the same time, which is as many as it may. "
                "Send the request again in a moment."
            )
        name = b""
        if self._per_client:
            name = client()
            running = self.clients.get(name, 0)
            if running >= self._per_client:
                raise TooManyExchanges(
                    f"{running} requests of yours run at the same time, which is as many as this proxy allows one "
                    "client. Send the request again when one of them has ended."
                )
            self.clients[name] = running + 1
        self._running[exchange] = name

    def leave(self, exchange: Running) -> None:
        """An exchange is over."""
        name = self._running.pop(exchange)
        if self._per_client:
            left = self.clients[name] - 1
            if left:
                self.clients[name] = left
            else:
                del self.clients[name]

    def end(self) -> int:
        """End all that run, and let no other begin.

        @return: how many there were.
        """
        self._ended = True
        running = list(self._running)
        for exchange in running:
            exchange.end(ShuttingDown())
        return len(running)
