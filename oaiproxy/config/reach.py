"""Who can reach a port: whether an endpoint to listen on is this machine's alone."""

from __future__ import annotations

from oaiproxy.api.hosts import is_loopback

#: Endpoints that listen on the address that ``interface`` names, and on every one of the machine where none is named.
_WITH_INTERFACE = frozenset(("ssl", "tcp", "tcp6"))


def is_private(endpoint: str) -> bool:
    """Whether only programs of this machine can reach an endpoint, as far as its description says.

    A socket that somebody else opened (``systemd:``) may be anything, as may an endpoint of a kind that is not known.

    @param endpoint: a description as `twisted.internet.endpoints.serverFromString` takes it.
    """
    arguments = _arguments(endpoint)
    kind = arguments[0][0]
    if kind == "unix":
        return True
    named = {argument[0]: argument[1] for argument in arguments if len(argument) == 2}
    return kind in _WITH_INTERFACE and is_loopback(named.get("interface", ""))


def _arguments(endpoint: str) -> list[list[str]]:
    """The arguments of a description, each its value, or its name and its value.

    Colons are between them; a backslash takes its meaning from whatever follows.
    """
    arguments, letters = [[""]], iter(endpoint)
    for letter in letters:
        last = arguments[-1]
        if letter == ":":
            arguments.append([""])
        elif letter == "=" and len(last) == 1:
            last.append("")
        else:
            last[-1] += next(letters, "") if letter == "\\" else letter
    return arguments
