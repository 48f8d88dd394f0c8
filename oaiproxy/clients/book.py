"""The client profiles that there are, read from a data file, and which of them fits a client."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files

import msgspec

from oaiproxy.api.chat import ReasoningField
from oaiproxy.clients.profile import DEFAULT, ClientProfile, ErrorForm, KeepaliveForm, ModelListForm, OddBody

#: The built-in data, beside this module.
BUILTIN = "profiles.json"

#: Of a User-Agent no more than this is looked at, in characters: names stand near its beginning.
_LOOKED_AT = 512

#: So many User-Agents are remembered with their profiles.
_REMEMBERED = 256

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


class ProfileError(ValueError):
    """The profiles cannot be used; the message says where the mistake is."""


class UnknownProfile(ValueError):
    """There is no profile of that name; the message names those that there are."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """A profile in the data file: what it leaves out is as in `DEFAULT`."""

    name: str
    title: str
    sends: str
    evidence: tuple[str, ...]
    user_agents: tuple[str, ...] = ()
    reasoning_field: ReasoningField = DEFAULT.reasoning_field
    keepalive: KeepaliveForm = DEFAULT.keepalive
    model_list: ModelListForm = DEFAULT.model_list
    errors: ErrorForm = DEFAULT.errors
    accepts: frozenset[OddBody] = DEFAULT.accepts
    notes: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    profiles: tuple[_Entry, ...]


class ProfileBook:
    """Profiles by their names and by the User-Agents that they fit.  Immutable; `DEFAULT` is always among them.

    @ivar profiles: all of them, `DEFAULT` first.
    """

    def __init__(self, profiles: Iterable[ClientProfile]) -> None:
        """
        @param profiles: in the order in which they are tried on a User-Agent.
        @raise ProfileError: two have one name, a name is none, a pattern is no regular expression, or one is without
            evidence.
        """
        self.profiles = (DEFAULT, *profiles)
        self._by_name: dict[str, ClientProfile] = {}
        self._patterns: list[tuple[re.Pattern[str], ClientProfile]] = []
        for profile in self.profiles:
            self._enter(profile)
        # bound to this object: two books do not share what they remember
        self._remembering = lru_cache(maxsize=_REMEMBERED)(self._matching)

    def _enter(self, profile: ClientProfile) -> None:
        name = profile.name
        if not _NAME.fullmatch(name):
            raise ProfileError(f"{name!r} is no name for a profile: use small letters, digits and dashes")
        if name in self._by_name:
            raise ProfileError(f"there are two profiles named {name!r}")
        if profile is not DEFAULT and not any(text.strip() for text in profile.evidence):
            raise ProfileError(f"profile {name!r} has no evidence: name a thread or a document")
        self._by_name[name] = profile
        for pattern in profile.user_agents:
            try:
                compiled = re.compile(pattern, re.IGNORECASE | re.ASCII)
            except re.error as e:
                raise ProfileError(
                    f"profile {name!r}: user_agents: {pattern!r} is no regular expression: {e}"
                ) from None
            if compiled.search(""):
                raise ProfileError(f"profile {name!r}: user_agents: {pattern!r} fits every client")
            self._patterns.append((compiled, profile))

    @classmethod
    def parse(cls, raw: bytes, where: str = BUILTIN) -> ProfileBook:
        """Read profiles from the bytes of a data file.

        @param where: what an error calls the file.
        @raise ProfileError: they are not what they have to be; the message says where.
        """
        try:
            file = msgspec.json.decode(raw, type=_File)
            return cls(ClientProfile(**msgspec.structs.asdict(entry)) for entry in file.profiles)
        except (msgspec.DecodeError, ProfileError) as e:
            raise ProfileError(f"{where}: {e}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles' names, in order."""
        return tuple(self._by_name)

    def named(self, name: str) -> ClientProfile:
        """The profile of that name, written in small or capital letters.

        @raise UnknownProfile: there is none.
        """
        found = self._by_name.get(name.strip().lower())
        if found is None:
            shown = name if len(name) <= 64 else name[:64] + "..."
            raise UnknownProfile(f"{shown!r} is none of the client profiles {', '.join(self.names)}")
        return found

    def fitting(self, user_agent: str) -> ClientProfile:
        """The first profile that fits a User-Agent; `DEFAULT` where none does."""
        return self._remembering(user_agent[:_LOOKED_AT])

    def _matching(self, user_agent: str) -> ClientProfile:
        for pattern, profile in self._patterns:
            if pattern.search(user_agent):
                return profile
        return DEFAULT


@cache
def builtin() -> ProfileBook:
    """The profiles that come with the proxy."""
    return ProfileBook.parse(files("oaiproxy.clients").joinpath(BUILTIN).read_bytes())


def profile_names() -> tuple[str, ...]:
    """The names that ``--profile`` takes."""
    return builtin().names


def find_profile(user_agent: str, name: str | None = None) -> ClientProfile:
    """How to speak to a client.

    @param user_agent: the value of its User-Agent field; empty where it sends none.
    @param name: the profile that was chosen for it, or None for the one that fits the User-Agent.
    @raise UnknownProfile: there is no profile of that name.
    """
    book = builtin()
    return book.fitting(user_agent) if name is None else book.named(name)
