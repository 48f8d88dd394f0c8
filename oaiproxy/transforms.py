"""Request transforms: how they are found, in which order they run, and how they are run.

`discover` finds them as plugins, `order` puts them in order, and a `Pipeline` runs them::

    found = discover()
    pipeline = Pipeline(order(found.transforms))
    request = pipeline.run(request, TransformContext(settings, models))
"""

from __future__ import annotations

import heapq
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

from twisted.logger import Logger
from twisted.plugin import getPlugins
from twisted.python.modules import getModule
from zope.interface import implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import oaiproxy.plugins
from oaiproxy.api.errors import ApiError
from oaiproxy.api.request import ApiRequest, PortKind
from oaiproxy.interfaces import PHASES, IRequestTransform, ITransformContext
from oaiproxy.models import Catalogue
from oaiproxy.settings import Settings

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class TransformError(ValueError):
    """The transforms that were found cannot be put in order; the message is one line and names them."""


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that was found and cannot be used.

    @ivar name: the module, or the module and what is bound in it: ``oaiproxy.plugins.shout.shout``.
    @ivar reason: what is wrong with it, in one line.
    """

    name: str
    reason: str


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

    `getPlugins` finds them.  It passes over what it cannot load with no more than a traceback in the log, and it
    believes its cache, ``dropin.cache``, which a file with an old date makes wrong.  So each module is looked through
    as well: what is wrong is told by name, and a transform that the cache does not know is found all the same.

    @param package: where to look.
    """
    modules, broken = _load_modules(package)
    broken += _hidden_modules(package)
    # id -> (where it is, the transform): an object that two modules name is one transform
    found: dict[int, tuple[str, IRequestTransform]] = {}
    for module in modules:
        bound = [(f"{module.__name__}.{name}", value) for name, value in sorted(vars(module).items())]
        offered = [(name, value) for name, value in bound if _provides(value)]
        for name, value in offered:
            found.setdefault(id(value), (name, value))
        if not offered:
            broken += [
                BrokenPlugin(name, "it is a class; bind an instance of it to a name, such as shout = Shout()")
                for name, value in bound
                if _is_class_of(value, module)
            ]
    try:
        for transform in getPlugins(IRequestTransform, package):
            found.setdefault(id(transform), (f"{module_of(transform)}.{type(transform).__name__}", transform))
    except Exception as e:
        # Twisted asks every object of a module whether it is a plugin, and some cannot be asked
        broken.append(BrokenPlugin(package.__name__, f"Twisted could not look through it: {_brief(e)}"))
    transforms = []
    for name, transform in found.values():
        if (reason := _fault(transform)) is None:
            transforms.append(transform)
        else:
            broken.append(BrokenPlugin(name, reason))
    return Discovery(tuple(transforms), tuple(broken))


def _load_modules(package: ModuleType) -> tuple[list[ModuleType], list[BrokenPlugin]]:
    modules: list[ModuleType] = []
    broken: list[BrokenPlugin] = []
    for name in sorted(module.name for module in getModule(package.__name__).iterModules()):
        try:
            modules.append(import_module(name))
        except (Exception, SystemExit) as e:
            broken.append(BrokenPlugin(name, f"it cannot be imported: {_brief(e)}"))
    return modules, broken


def _hidden_modules(package: ModuleType) -> list[BrokenPlugin]:
    """Modules that nobody can import, because another folder of the package has one of the same name before them."""
    seen: dict[str, Path] = {}
    broken = []
    for folder in package.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            first = seen.setdefault(path.stem, path)
            if path.stem != "__init__" and first.resolve() != path.resolve():
                broken.append(BrokenPlugin(f"{package.__name__}.{path.stem}", f"{path} is hidden by {first}"))
    return broken


def _provides(value: object) -> bool:
    try:
        return bool(IRequestTransform.providedBy(value))
    except Exception:
        # whatever it is that cannot be asked, it is no transform
        return False


def _is_class_of(value: object, module: ModuleType) -> bool:
    # a private one, or one from elsewhere, is there to be used by others
    if not isinstance(value, type) or value.__module__ != module.__name__ or value.__name__.startswith("_"):
        return False
    return bool(IRequestTransform.implementedBy(value))


def _fault(transform: IRequestTransform) -> str | None:
    """What keeps an object that says it is a request transform from being one, or None."""
    try:
        verifyObject(IRequestTransform, transform)
        return _wrong_attribute(transform)
    except Invalid as e:
        return "; ".join(_unmet(problem) for problem in getattr(e, "exceptions", (e,)))
    except Exception as e:
        return f"it cannot be looked at: {_brief(e)}"


def _unmet(problem: Exception) -> str:
    # zope's words, without the repr of the object, which may be long: "...: The transform attribute was not provided."
    return _one_line(str(problem).rpartition(": ")[2].replace(f"{IRequestTransform.__module__}.IRequestTransform.", ""))


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


def _brief(error: BaseException) -> str:
    return _one_line(f"{type(error).__name__}: {error}")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."


def module_of(transform: IRequestTransform) -> str:
    """The name of the module that a transform comes from: the plugin module that binds it, or that of its class."""
    prefix = oaiproxy.plugins.__name__ + "."
    for name, module in sorted(sys.modules.items()):
        if name.startswith(prefix) and any(value is transform for value in vars(module).values()):
            return name
    return str(getattr(transform, "__module__", type(transform).__module__))


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
                raise self._failed(transform, f"{type(e).__name__} at {_place(e)}") from None
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


def _place(error: Exception) -> str:
    # without this module's own frame, and not all of a recursion without end
    frames = traceback.extract_tb(error.__traceback__)[1:][-4:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames) or "its call"


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
