"""What the service manager is told of the process: that it is ready, and that it ends (sd_notify(3)).

systemd waits for that with ``Type=notify``: who starts a second instance, to end the first one then, knows when clients
are answered, and a start that fails fails for whoever asked for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from twisted.logger import Logger

#: Where messages go; taken out of the environment, so that no child speaks in the name of the service.
VARIABLE = "NOTIFY_SOCKET"


class ServiceManager:
    """Tells the manager of services how far the process is; nobody, where there is none that wants to know."""

    _log = Logger()

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        """@param environ: where the manager says how it is reached."""
        self._where = environ.pop(VARIABLE, "")

    def ready(self, status: str) -> None:
        """Requests are answered from now on.

        @param status: what the service does, for people.
        """
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The service ends.

        @param status: what it still does, for people.
        """
        self._tell("STOPPING=1", f"STATUS={status}")

    def _tell(self, *lines: str) -> None:
        if not self._where.startswith(("/", "@")):
            # empty, or of a kind that only virtual machines have
            return
        # "@" stands for the zero byte of an address that is in no file system (unix(7))
        address = "\0" + self._where[1:] if self._where[0] == "@" else self._where
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                # a manager that does not listen must not hold up the service
                speaker.setblocking(False)
                speaker.sendto("\n".join(lines).encode(), address)
        except OSError as e:
            self._log.warn("the service manager cannot be told {line}: {reason}", line=lines[0], reason=e.strerror)
