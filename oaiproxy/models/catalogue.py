"""The catalogue: which models each kind of port lists, and what any model can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from oaiproxy.api.errors import BadRequest
from oaiproxy.api.request import PortKind
from oaiproxy.models.alias import aliases_of, parse_alias
from oaiproxy.models.capabilities import GENERIC_REASONING, Capabilities
from oaiproxy.models.modelfile import CatalogueError, ModelEntry, decode_file, parse_models, read_models

__all__ = ["Capabilities", "Catalogue", "CatalogueError"]

#: The built-in data, beside this module.
BUILTIN = "catalogue.json"

#: The time of a model's making where nobody knows it: strict clients want a number, and some take 0 for a missing one.
UNKNOWN_CREATED = 1735689600  # 2025-01-01

#: The owner where nobody is named: some clients show only models whose owner looks like OpenAI's.
DEFAULT_OWNER = "openai"


#: Of how many models it is remembered what they can do, and how long such a name may be; clients can name any model.
_MOST_ASKED, _LONGEST_ASKED = 256, 200


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the built-in data holds: the models it lists, and families by the prefix of their ids."""

    models: Mapping[str, ModelEntry]
    families: Mapping[str, Capabilities]


class Catalogue:
    """Models by their ids.  Immutable; made with `builtin` or `load`."""

    def __init__(self, models: Iterable[ModelEntry], families: Mapping[str, Capabilities]) -> None:
        """
        @param models: the models to list, in this order, each with its `ports` set.
        @param families: what a model can do, by the prefix of its id.
        """
        self._families = families
        self._asked: dict[str, Capabilities] = {}  # a request asks several times, and most name the same few models
        models = tuple(models)
        self._exact = {model.id: self._stated(model) for model in models}
        for model in models:
            # what is said of an alias is said of its model, as that is what a request ends up with
            self._exact.setdefault(_base(model.id), self._exact[model.id])
        self._listed: dict[PortKind, dict[str, dict[str, Any]]] = {
            kind: dict(self._listing(kind, [m for m in models if kind in (m.ports or ())])) for kind in PortKind
        }

    @classmethod
    def builtin(cls) -> Catalogue:
        """The models of OpenAI's published API description.

        A passthrough port lists those that Chat Completions serves, a bridge port those that reason on Responses.
        """
        return _builtin()

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """The models that a file names; see `oaiproxy.models.modelfile` for what it may hold.

        Both kinds of port list a model, unless its entry says otherwise or it is an alias, which only a bridge port
        understands.

        @raise CatalogueError: the file cannot be used.
        """
        facts = _facts()

        def complete(entry: ModelEntry) -> ModelEntry:
            base = _base(entry.id)
            known = facts.models.get(base, entry)
            ports = frozenset(PortKind) if base == entry.id else frozenset({PortKind.BRIDGE})
            return replace(
                entry,
                created=known.created if entry.created is None else entry.created,
                ports=ports if entry.ports is None else entry.ports,
            )

        return cls([complete(entry) for entry in read_models(path)], facts.families)

    def with_models(self, own: Mapping[str, str]) -> Catalogue:
        """The same, with more models on every kind of port: those that are others by a name of their own.

        They are listed last, without aliases; one that is listed already stays as it is.

        @param own: their names -> the models that they are.
        """
        if not own:
            return self
        more = copy(self)
        more._asked = {}
        # a name that another one stands for goes upstream, and is that model itself
        meant = {_base(model) for model in own.values()}
        can = {name: self.capabilities(model) for name, model in own.items() if name not in meant}
        more._exact = {**self._exact, **can}
        entries = {name: {**self._known_entry(_base(model)), "id": name} for name, model in own.items()}
        more._listed = {
            kind: {**listed, **{name: entry for name, entry in entries.items() if name not in listed}}
            for kind, listed in self._listed.items()
        }
        return more

    def _known_entry(self, model: str) -> dict[str, Any]:
        found = (listed[model] for listed in self._listed.values() if model in listed)
        return next(found, None) or _entry(model)

    def listed(self, kind: PortKind) -> list[dict[str, Any]]:
        """The models that a kind of port lists, as the API's model objects (schema ``Model``): exactly ``id``,
        ``object``, ``created`` and ``owned_by``, as strict clients want them.  On a bridge port a model that reasons is
        followed by its aliases."""
        return [dict(entry) for entry in self._listed[kind].values()]

    def get(self, kind: PortKind, id: str) -> dict[str, Any] | None:
        """The model object of a model that a kind of port lists, or None; on a bridge port also of any alias of one."""
        entry = self._listed[kind].get(id)
        if entry is None and kind is PortKind.BRIDGE:
            entry = self._listed[kind].get(_base(id))
        return None if entry is None else {**entry, "id": id}

    def capabilities(self, model: str | None) -> Capabilities:
        """What a model can do; of one that is not known, that it only chats.

        Dated snapshots are as their family, fine-tuned models as their base, aliases as their model, and a vendor's
        prefix (``openai/gpt-5.1``) says nothing.
        """
        if model is None:
            return Capabilities()
        known = self._asked.get(model)
        if known is None:
            known = self._found(model)
            if len(model) <= _LONGEST_ASKED:
                if len(self._asked) >= _MOST_ASKED:
                    self._asked.clear()
                self._asked[model] = known
        return known

    def _found(self, model: str) -> Capabilities:
        name = model
        for name in _names(model):
            if name in self._exact:
                return self._exact[name]
        return self._family(name)

    def _family(self, name: str) -> Capabilities:
        # the longest prefix that ends where the name does or before a dash
        while name:
            found = self._families.get(name)
            if found is not None:
                return found
            name = name.rpartition("-")[0]
        return Capabilities()

    def _stated(self, model: ModelEntry) -> Capabilities:
        # what the family can do, corrected by what the entry says
        can = self._family(tuple(_names(model.id))[-1])
        if model.reasoning is True and not can.reasoning:
            can = replace(GENERIC_REASONING, web_search=can.web_search, known=can.known)
        elif model.reasoning is False:
            can = Capabilities(web_search=can.web_search, known=can.known)
        return can if model.web_search is None else replace(can, web_search=model.web_search)

    def _listing(self, kind: PortKind, models: list[ModelEntry]) -> Iterator[tuple[str, dict[str, Any]]]:
        own = {model.id for model in models}
        for model in models:
            entry = _entry(model.id, model.created, model.owned_by)
            yield model.id, entry
            if kind is PortKind.BRIDGE and _base(model.id) == model.id:
                for alias in aliases_of(model.id, self._exact[model.id].efforts):
                    if alias not in own:
                        yield alias, {**entry, "id": alias}


def _entry(id: str, created: int | None = None, owned_by: str | None = None) -> dict[str, Any]:
    return {
        "id": id,
        "object": "model",
        "created": UNKNOWN_CREATED if created is None else created,
        "owned_by": owned_by or DEFAULT_OWNER,
    }


def _base(model: str) -> str:
    # a name that sets something twice is no alias of anything
    try:
        return parse_alias(model)[0]
    except BadRequest:
        return model


def _names(model: str) -> Iterator[str]:
    """The names under which to look for a model, from the most exact to its base."""
    yield model
    base = _base(model)
    yield base
    if not base.startswith("ft:"):
        base = base.rpartition("/")[2]
        yield base
    if base.startswith("ft:"):
        yield base.split(":")[1]


@lru_cache(maxsize=1)
def _facts() -> _Facts:
    path = Path(BUILTIN)
    document = decode_file(files("oaiproxy.models").joinpath(BUILTIN).read_bytes(), path)
    families = {prefix: _capabilities(**facts) for prefix, facts in document["families"].items()}
    models = parse_models(document["models"], path)
    return _Facts({model.id: model for model in models}, families)


def _capabilities(
    efforts: tuple[str, ...] = (),
    default_effort: str | None = None,
    sampling: str = "always",
    web_search: bool = False,
) -> Capabilities:
    return Capabilities(bool(efforts), frozenset(efforts), default_effort, sampling, web_search, known=True)


@lru_cache(maxsize=1)
def _builtin() -> Catalogue:
    facts = _facts()
    # it needs the families to know which models reason
    probe = Catalogue((), facts.families)

    def with_ports(model: ModelEntry) -> ModelEntry:
        by_rule = frozenset(PortKind) if probe.capabilities(model.id).reasoning else frozenset({PortKind.PASSTHROUGH})
        return replace(model, ports=by_rule if model.ports is None else model.ports)

    return Catalogue([with_ports(model) for model in facts.models.values()], facts.families)
