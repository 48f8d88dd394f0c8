"""Names that upstream takes: tools' names and calls' ids, by hash where the client's own do not fit.

All of it is a function of the name alone: a map that counted the tools of a request would give another name to the same
tool once the client removes one, and the conversation so far would no longer match.
"""

from __future__ import annotations

import hashlib
import re

#: What Responses takes as a tool's name (schema ``FunctionToolParam``); Chat has the same characters and at most 64.
LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

#: The longest ``call_id`` (schema ``FunctionCallOutputItemParam``), ``user`` and ``safety_identifier``.
MAX_ID = 64

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)


def digest(*parts: str) -> str:
    """64 hexadecimal digits that stand for `parts`."""
    found = hashlib.sha256()
    for part in parts:
        # a part may be large: none is copied more than once, and one at a time
        data = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.hexdigest()


def short_id(client_id: str) -> str:
    """A call's id as upstream takes it: the client's own unless it is longer than `MAX_ID`.

    Cutting it off instead would make one id of two with the same beginning.
    """
    return client_id if len(client_id) <= MAX_ID else "call_" + digest(client_id)[:40]


class ToolNames:
    """The tool names of one request, each as upstream takes it.

    @ivar reverse: upstream's name -> the client's, for the names that had to be changed.
    """

    def __init__(self) -> None:
        self.reverse: dict[str, str] = {}
        self._legal: set[str] = set()  # those that are known to be; a history repeats them

    def upstream(self, name: str) -> str:
        """The name under which upstream knows the client's tool `name`: itself if that is legal, else what is legal of
        it and a hash (MCP clients put dots and slashes into names)."""
        if name in self._legal:
            return name
        if LEGAL_NAME.fullmatch(name):
            self._legal.add(name)
            return name
        mapped = f"{_ILLEGAL.sub('_', name)[:100]}_{digest(name)[:12]}"
        self.reverse[mapped] = name
        return mapped
