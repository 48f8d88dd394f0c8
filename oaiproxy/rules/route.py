"""Which model a request is for: the one it names, the one that is meant by it, and what that is called upstream.

A request that names no model is for the default one.  The model map says which model is meant by a name.  The table of
rules is then the one of

  1. the very name that the client wrote, where a table has exactly that name;
  2. the model that is meant, where a table has exactly its name;
  3. of the globs that fit the model that is meant, the longest.

Where aliases are understood (``gpt-5:res-high``), a name counts whole first, and then without its settings; the
settings stay with the request unless a name was replaced that held them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from oaiproxy.rules.params import ModelRules, ParameterRules, RuleBook
from oaiproxy.rules.patterns import best_match, is_glob

#: The field of a request that names its model.  Rules that set it choose the model, and are no parameters.
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Route:
    """Which model a request is for.

    @ivar model: what it is called upstream, with its alias's settings if it has any; None where nobody names one.
    @ivar carried: the names whose alias settings hold as well, and before those of `model`; the first counts most.
    @ivar table: the rules of the model, or None where it has none of its own.
    @ivar told: another model is used than the one that the client named, which it does not know.
    """

    model: str | None
    carried: tuple[str, ...] = ()
    table: ModelRules | None = None
    told: bool = False


def _whole(model: str) -> str:
    return model


def find_route(
    book: RuleBook, named: str | None, base_of: Callable[[str], str] = _whole, *, default: bool = True
) -> Route:
    """Find out which model a request is for.

    @param book: the rules.
    @param named: the model as the client wrote it, or None.
    @param base_of: a model's name without an alias's settings.
    @param default: whether a request that names no model is for the default one.
    """
    forced = _text(book.everywhere.overrides.get(MODEL))
    asked = forced or named or (_default(book) if default else None)
    if asked is None:
        return Route(None)
    meant, carried = asked, [asked]
    if not forced:
        for name in _names(asked, base_of):
            if name in book.model_map:
                meant, carried = book.model_map[name], carried if name != asked else []
                break
    wrote = () if forced or named is None else _names(named, base_of)
    table = _table(book, _names(meant, base_of), wrote)
    model = meant
    if table is not None and (upstream := _upstream(table)) is not None:
        model = upstream
        if table.pattern in (named, meant):
            carried = []  # its settings are a part of the name that is replaced
        elif meant not in carried:
            carried.append(meant)
    own = table is not None and table.upstream_model is not None and not is_glob(table.pattern)
    return Route(
        model=model,
        carried=tuple(name for name in carried if name != model),
        table=table,
        told=named is not None and base_of(model) != base_of(named) and not own,
    )


def rules_of(book: RuleBook, named: str | None, route: Route) -> tuple[ParameterRules, ...]:
    """The rules for a request that makes a text: those of all models, of requests that name no model, and of its own.

    What is more special comes later, and has the last word.
    """
    found = [book.everywhere]
    if named is None:
        found.append(book.unnamed)
    if route.table is not None:
        found.append(route.table.rules)
    return tuple(filter(None, found))


def routes_any(book: RuleBook) -> bool:
    """Whether the rules ever make another model of the one that a request names."""
    said = (book.everywhere, book.unnamed)
    return (
        bool(book.model_map or book.default_model)
        or any(_upstream(table) is not None for table in book.models)
        or any(MODEL in fields for rules in said for fields in (rules.defaults, rules.overrides))
    )


def rules_any(book: RuleBook) -> bool:
    """Whether the rules ever do anything to the other parameters of a request."""
    return bool(book.limit_field or book.everywhere or book.unnamed or any(table.rules for table in book.models))


def own_models(book: RuleBook) -> Mapping[str, str]:
    """The models that there are because of the rules: their names -> what they are called upstream."""
    own: dict[str, str] = {}
    for table in book.models:
        if table.upstream_model is not None and not is_glob(table.pattern):
            own.setdefault(table.pattern, table.upstream_model)
    return own


def _table(book: RuleBook, meant: tuple[str, ...], wrote: tuple[str, ...]) -> ModelRules | None:
    if not book.models:
        return None
    found = best_match([table.pattern for table in book.models], meant, wrote)
    return None if found is None else book.models[found]


def _names(model: str, base_of: Callable[[str], str]) -> tuple[str, ...]:
    base = base_of(model)
    return (model,) if base == model else (model, base)


def _upstream(table: ModelRules) -> str | None:
    return table.upstream_model or _text(table.rules.overrides.get(MODEL))


def _default(book: RuleBook) -> str | None:
    return next(_defaults(book), None)


def _defaults(book: RuleBook) -> Iterator[str]:
    for said in (
        book.unnamed.overrides.get(MODEL),
        book.default_model,
        book.unnamed.defaults.get(MODEL),
        book.everywhere.defaults.get(MODEL),
    ):
        if text := _text(said):
            yield text


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
