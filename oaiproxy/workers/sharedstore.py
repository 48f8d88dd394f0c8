"""What the workers of one service share where no store is named: a turn that one has kept, another may be asked for."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from oaiproxy.api.secrets import Secret
from oaiproxy.settings import StoreSettings
from oaiproxy.storeplace import StoreHome, StorePlace


class SharedStore:
    """A store in a folder of its own, which lives no longer than the service: like memory, but for all its processes.

    What is in it is sealed with a key that nobody but they has, and that is nowhere but in their memory.
    """

    def __init__(self) -> None:
        """Make the folder, for this user alone.

        @raise OSError: there is no place for it.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="oaiproxy-"))
        self._key = Secret(secrets.token_hex(32))

    def settings(self, said: StoreSettings) -> StoreSettings:
        """What a worker is told.

        @param said: what the service is told.
        """
        place = StorePlace(StoreHome.SQLITE, self._folder / "store")
        return replace(said, place=place, keys=(self._key,), durable=False)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
