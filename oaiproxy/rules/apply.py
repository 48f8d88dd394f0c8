"""What the parameter rules make of a request's body.

The rules for all models come first, then those for requests that name none, then those of the model.  In each of them
fields are renamed, then taken out, then filled in (defaults), then set (overrides); at last text is appended.  What
comes later has the last word: a model's default wins over a default for all, and a model's drop over everything before.

A field that is null says nothing.  A field that goes by several names counts as one: see `oaiproxy.rules.synonyms`.
``model`` is no parameter here, but for being renamed or taken out: see `oaiproxy.rules.route`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oaiproxy.rules.append import CONVERSATION, append_text
from oaiproxy.rules.params import ParameterRules
from oaiproxy.rules.route import MODEL
from oaiproxy.rules.synonyms import (
    EFFORT,
    EFFORT_KEYS,
    LIMIT_AT,
    LIMITS,
    REASONING,
    SUMMARY_KEYS,
    SYNONYMS,
    says_effort,
    without,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request's body after the rules.

    @ivar body: the body; the very one that was given, where nothing had to be done.
    @ivar set: the fields whose value is the operator's.
    @ivar changed: the client's fields that have another value now, in its words -> that value.
    @ivar dropped: the client's fields that are gone, in its words.
    @ivar appended: whether text was appended.
    """

    body: Mapping[str, Any]
    set: frozenset[str] = frozenset()
    changed: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    appended: bool = False


def apply_rules(
    body: Mapping[str, Any],
    rules: Sequence[ParameterRules],
    path: str,
    *,
    limit_field: str | None = None,
    aliased: Collection[str] = (),
) -> Outcome:
    """Do to a request what the rules say.

    @param body: its body; not changed.
    @param rules: in the order in which they hold.
    @param path: the path below ``/v1``.
    @param limit_field: what the limit on tokens becomes in a chat completion; at other paths, where one is given, it
        becomes what the path has.  None for the names as they are.
    @param aliased: what the model's name said of reasoning: ``effort``, ``summary``; no default comes before it.
    """
    draft = _Draft(body, path, aliased)
    for each in rules:
        draft.rename(each.rename)
        draft.drop(each.drop)
        for name, value in each.defaults.items():
            draft.default(name, value)
        for name, value in each.overrides.items():
            draft.override(name, value)
        if each.append:
            draft.append(each.append)
    if limit_field is not None:
        draft.one_limit(LIMIT_AT.get(path, limit_field))
    draft.one_effort()
    return draft.outcome()


class _Draft:
    """A body in the making."""

    def __init__(self, body: Mapping[str, Any], path: str, aliased: Collection[str]) -> None:
        self._given = body
        self._path = path
        self._aliased = aliased
        self._fields: dict[str, Any] = dict(body)
        # the client's fields -> the name under which what they say is to be found now
        self._now = {name: name for name in body}
        self._defaults: set[str] = set()
        self._overrides: set[str] = set()
        self._appended = False

    # what is done

    def rename(self, names: Mapping[str, str]) -> None:
        """All at once, so that two names may change places.  Of two fields that get one name the one that says more
        wins: not null, not a default, and called so already."""
        if not any(old in self._fields for old in names):
            return
        moved = {name: names.get(name, name) for name in self._fields}
        sources: dict[str, str] = {}
        for name in sorted(
            moved, key=lambda old: (self._fields[old] is None, old in self._defaults, moved[old] != old)
        ):
            sources.setdefault(moved[name], name)
        self._now = {client: moved[now] for client, now in self._now.items()}
        for of in (self._defaults, self._overrides):
            now = {new for new, old in sources.items() if old in of}
            of.clear()
            of.update(now)
        self._fields = {new: self._fields[sources[new]] for new in dict.fromkeys(moved.values())}

    def drop(self, names: Sequence[str]) -> None:
        for name in names:
            self._remove(name)

    def default(self, name: str, value: Any) -> None:
        if name == MODEL:
            return
        if name == EFFORT and ("effort" in self._aliased or says_effort(self._said(REASONING))):
            return
        if name == REASONING and (value := self._unsaid(value)) == {}:
            return
        name = self._spelled(name)
        if all(self._said(each) is None for each in (name, *SYNONYMS.get(name, ()))):
            self._set(name, value, self._defaults)

    def override(self, name: str, value: Any) -> None:
        if name == MODEL:
            return
        self._set(self._spelled(name), value, self._overrides)

    def append(self, text: str) -> None:
        if (body := append_text(self._fields, text)) is not None:
            self._fields = dict(body)
            self._appended = True

    def one_limit(self, wanted: str) -> None:
        """The limit on tokens goes by one name."""
        there = [name for name in dict.fromkeys((wanted, *LIMITS)) if name in self._fields]
        if not there or there == [wanted]:
            return
        winner = next((name for name in there if self._fields[name] is not None), there[0])
        for name in there:
            if name != winner:
                self._remove(name, instead=winner)
        self.rename({winner: wanted})

    def one_effort(self) -> None:
        """In responses the effort that a rule sets has its place inside of an object."""
        inside = self._fields.get(REASONING)
        if self._path != "/responses" or not isinstance(inside, dict | None):
            return
        for of in (self._defaults, self._overrides):
            if EFFORT in of:
                value = self._fields[EFFORT]
                self._remove(EFFORT, instead=REASONING)
                self._fields[REASONING] = {**(inside or {}), "effort": value}
                of.add(REASONING)

    def outcome(self) -> Outcome:
        ours = frozenset(self._overrides | self._defaults)
        if self._fields == self._given:
            return Outcome(self._given, ours)
        changed: dict[str, Any] = {}
        dropped = []
        for name, wish in self._given.items():
            if wish is None or (self._appended and name in CONVERSATION):
                continue
            now = self._now.get(name)
            if now is None or now not in self._fields:
                dropped.append(name)
            elif not _heeds(self._fields[now], wish):
                changed[name] = self._fields[now]
        return Outcome(self._fields, ours, changed, tuple(dropped), self._appended)

    # how

    def _said(self, name: str) -> Any:
        """What no default may take the place of: what the client says, or an override."""
        return None if name in self._defaults else self._fields.get(name)

    def _set(self, name: str, value: Any, of: set[str]) -> None:
        for other in SYNONYMS.get(name, ()):
            self._remove(other, instead=name)
        if name == EFFORT and says_effort(self._fields.get(REASONING)):
            if rest := without(self._fields[REASONING], EFFORT_KEYS):
                self._fields[REASONING] = rest
            else:
                self._remove(REASONING, instead=EFFORT)
        elif name == REASONING and says_effort(value):
            self._remove(EFFORT, instead=REASONING)
        self._fields[name] = value
        self._defaults.discard(name)
        self._overrides.discard(name)
        of.add(name)

    def _remove(self, name: str, instead: str | None = None) -> None:
        """Take a field out.

        @param instead: the field that says it in its place.
        """
        if name not in self._fields:
            return
        del self._fields[name]
        self._defaults.discard(name)
        self._overrides.discard(name)
        for client, now in list(self._now.items()):
            if now == name:
                if instead is None:
                    del self._now[client]
                else:
                    self._now[client] = instead

    def _unsaid(self, value: Any) -> Any:
        """Of a default ``reasoning`` object what the client does not say elsewhere."""
        if "effort" in self._aliased or self._said(EFFORT) is not None:
            value = without(value, EFFORT_KEYS)
        return without(value, SUMMARY_KEYS) if "summary" in self._aliased else value

    def _spelled(self, name: str) -> str:
        """The name of a rule's field at the path: rules are said once and hold at all of them."""
        return LIMIT_AT.get(self._path, name) if name in LIMITS else name


def _heeds(value: Any, wish: Any) -> bool:
    """Whether a value is what the client wished, or an object with all of that in it."""
    if isinstance(wish, dict) and isinstance(value, dict):
        return all(each is None or (key in value and value[key] == each) for key, each in wish.items())
    return bool(value == wish)
