"""What goes wrong with a store."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """A store cannot be reached, or does not answer in time; its message names the store and the reason, no secret."""


class StoreRefused(Exception):
    """A store cannot be opened, and will not be later either; its message is one line for the operator."""
