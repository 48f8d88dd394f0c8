"""What outlives an exchange: the homes of `oaiproxy.interfaces.IStateStore`."""

from oaiproxy.store.errors import StoreRefused, StoreUnavailable
from oaiproxy.store.memory import MemoryStore
from oaiproxy.store.opening import open_store

__all__ = ["MemoryStore", "StoreRefused", "StoreUnavailable", "open_store"]
