"""What outlives an exchange: the homes of `oaiproxy.interfaces.IStateStore`."""

from oaiproxy.store.errors import StoreUnavailable

__all__ = ["StoreUnavailable"]
