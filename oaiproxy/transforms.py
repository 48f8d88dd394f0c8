"""Request transforms: how they are found, in which order they run, and how they are run.

`discover` finds them as plugins, `order` puts them in order, and a `Pipeline` runs them::

    found = discover()
    pipeline = Pipeline(order(found.transforms))
    request = pipeline.run(request, TransformContext(settings, models))
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from types import ModuleType

from twisted.logger import Logger
from zope.interface import implementer

import oaiproxy.plugins
from oaiproxy.api.errors import ApiError
from oaiproxy.api.place import place_of
from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.discovery import BrokenPlugin, fault_of, find, module_of
from oaiproxy.interfaces import PHASES, IConditionalTransform, IRequestTransform, ITransformContext
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class TransformError(ValueError):
    """The transforms that were found cannot be put in order; the message is one line and names them."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    @ivar transforms: the usable transforms, in no order.
    @ivar broken: the others, by name.
    """

    transforms: tuple[IRequestTransform, ...]
    broken: tuple[BrokenPlugin, ...]


@implementer(ITransformContext)
@dataclass(frozen=True, slots=True)
class TransformContext:
    """What a transform may know beside the request.

    @ivar settings: the service's settings.
    @ivar models: the models and what each can do.
    """

    settings: Settings
    models: Catalogue


# -- discovery --------------------------------------------------------------------------------------------------------


def discover(package: ModuleType = oaiproxy.plugins) -> Discovery:
    """Find every request transform among the plugins.

    @param package: where to look.
    """
    found = find(IRequestTransform, _fault, package)
    return Discovery(found.usable, found.broken)


def _fault(transform: IRequestTransform) -> str | None:
    """What keeps an object that says it is a request transform from being one, or None."""
    return fault_of(transform, _interface(transform), _wrong_attribute)


def _interface(transform: IRequestTransform) -> type[IRequestTransform]:
    conditional = IConditionalTransform.providedBy(transform)
    return IConditionalTransform if conditional else IRequestTransform


def _wrong_attribute(transform: IRequestTransform) -> str | None:
    name, phase, ports, paths = transform.name, transform.phase, transform.ports, transform.paths
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"name is {name!r}; it has to be lower-case letters, digits and dashes"
    if phase not in PHASES:
        return f"phase is {phase!r}; it has to be one of {', '.join(PHASES)}"
    for attribute in ("before", "after"):
        names = getattr(transform, attribute)
        if not isinstance(names, tuple) or not all(isinstance(other, str) for other in names):
            return f"{attribute} is {names!r}; it has to be a tuple of names, such as ('model-alias',)"
    if not isinstance(ports, frozenset) or not ports or not all(isinstance(kind, PortKind) for kind in ports):
        return f"ports is {ports!r}; it has to be a frozenset of PortKind, such as frozenset({{PortKind.BRIDGE}})"
    if not isinstance(paths, frozenset) or not paths or not all(isinstance(path, str) for path in paths):
        return f"paths is {paths!r}; it has to be a frozenset of paths, such as frozenset({{'/chat/completions'}})"
    for path in sorted(paths):
        if not path.startswith("/") or path.startswith("/v1/") or path.endswith("/"):
            return f"paths has {path!r}; a path is as it is below /v1, such as '/chat/completions'"
    return None


# -- order ------------------------------------------------------------------------------------------------------------


def order(transforms: Iterable[IRequestTransform]) -> tuple[IRequestTransform, ...]:
    """Put transforms in the order in which they run: by phase, then as `before` and `after` say, then by name.

    @raise TransformError: two have one name, or what they say of their order cannot be.
    """
    by_name: dict[str, IRequestTransform] = {}
    for transform in transforms:
        other = by_name.setdefault(transform.name, transform)
        if other is not transform:
            modules = " and ".join(sorted((module_of(other), module_of(transform))))
            raise TransformError(f"two transforms are called {transform.name!r}: those of {modules}")
    # (earlier, later)
    pairs = {
        pair
        for transform in by_name.values()
        for pair in (
            *((transform.name, later) for later in transform.before if later in by_name),
            *((earlier, transform.name) for earlier in transform.after if earlier in by_name),
        )
    }
    for earlier, later in sorted(pairs):
        phases = by_name[earlier].phase, by_name[later].phase
        if PHASES.index(phases[0]) > PHASES.index(phases[1]):
            raise TransformError(
                f"{earlier!r} is to run before {later!r}, but its phase {phases[0]!r} comes after {phases[1]!r}"
            )
    return tuple(
        by_name[name]
        for phase in PHASES
        for name in _sorted({name for name, transform in by_name.items() if transform.phase == phase}, pairs)
    )


def _sorted(names: set[str], pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    # of those whose turn it could be, the first by name
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(names), ()))
    for earlier, later in sorted(pairs):
        if earlier in names and later in names:
            sorter.add(later, earlier)
    try:
        sorter.prepare()
    except CycleError as e:
        raise TransformError(f"transforms run before each other in a circle: {' -> '.join(e.args[1])}") from None
    ready: list[str] = list(sorter.get_ready())
    heapq.heapify(ready)
    while ready:
        name = heapq.heappop(ready)
        yield name
        sorter.done(name)
        for following in sorter.get_ready():
            heapq.heappush(ready, following)


# -- running ----------------------------------------------------------------------------------------------------------


class Pipeline:
    """Transforms, ready to run."""

    _log = Logger()

    def __init__(self, transforms: Iterable[IRequestTransform]) -> None:
        """
        @param transforms: in the order in which they are to run.
        """
        self._transforms = tuple(transforms)
        self._wanted = {
            (kind, path): tuple(t for t in self._transforms if kind in t.ports and path in t.paths)
            for kind in PortKind
            for path in {path for transform in self._transforms for path in transform.paths}
        }

    def for_settings(self, settings: Settings) -> Pipeline:
        """The pipeline of a port that is told this: without the transforms that have nothing to do there.

        One that cannot say whether it is wanted is, as far as anybody knows.
        """
        wanted = [transform for transform in self._transforms if self._is_wanted(transform, settings)]
        return self if len(wanted) == len(self._transforms) else Pipeline(wanted)

    def _is_wanted(self, transform: IRequestTransform, settings: Settings) -> bool:
        if not IConditionalTransform.providedBy(transform):
            return True
        try:
            return bool(transform.wanted(settings))
        except Exception as e:
            self._log.error(
                "request transform {name} of {module} cannot say whether it is wanted: {problem}",
                name=transform.name,
                module=module_of(transform),
                problem=f"{type(e).__name__} at {place_of(e, skip=1)}",
            )
            return True

    def for_port(self, kind: PortKind) -> tuple[IRequestTransform, ...]:
        """The transforms that run on a kind of port, in order."""
        return tuple(transform for transform in self._transforms if kind in transform.ports)

    def for_request(self, kind: PortKind, path: str) -> tuple[IRequestTransform, ...]:
        """The transforms that want to see POST requests for a path below /v1, in order.  Where it is none, such a
        request need not be decoded."""
        return self._wanted.get((kind, path), ())

    def run(self, request: ApiRequest, context: ITransformContext) -> ApiRequest:
        """Run the transforms that want to see a request, one after another.

        @return: the request that should go on; the same one, if nobody wants to see it or to change it.
        @raise ApiError: a transform refused the request, or failed: then its ``code`` is ``transform_failed``.
        """
        if request.method != "POST":
            return request
        for transform in self.for_request(request.port, request.path):
            try:
                result = transform.transform(request, context)
            except ApiError:
                raise
            except Exception as e:
                raise self._failed(transform, f"{type(e).__name__} at {place_of(e, skip=1)}") from None
            if not isinstance(result, ApiRequest):
                raise self._failed(transform, f"it returned {type(result).__name__}, not an ApiRequest")
            request = result
        return request

    def _failed(self, transform: IRequestTransform, problem: str) -> ApiError:
        # only the kind of error and its place in the code: its message may hold a piece of the request
        self._log.error(
            "request transform {name} of {module} failed: {problem}",
            name=transform.name,
            module=module_of(transform),
            problem=problem,
        )
        return ApiError(
            f"The request transform '{transform.name}' of this proxy failed. "
            "Its operator finds the reason in the proxy's log.",
            status=500,
            code="transform_failed",
        )


def listing(pipeline: Pipeline, broken: Sequence[BrokenPlugin] = ()) -> str:
    """What ``--list-transforms`` shows: the transforms of each kind of port in the order in which they run, and the
    plugins that cannot be used.

    @return: lines, without a line end after the last.
    """
    lines: list[str] = []
    for kind in PortKind:
        transforms = pipeline.for_port(kind)
        lines.append(f"{kind.value} ports:" if transforms else f"{kind.value} ports: none")
        rows = [(t.name, t.phase, module_of(t), " ".join(sorted(t.paths))) for t in transforms]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        for number, row in enumerate(rows, 1):
            cells = (cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True))
            lines.append(f"  {number}. {'  '.join(cells)}")
    if broken:
        lines.append("left out:")
        lines += [f"  {plugin.name}: {plugin.reason}" for plugin in broken]
    return "\n".join(lines)
