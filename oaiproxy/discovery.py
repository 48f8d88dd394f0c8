"""How plugins are found, whatever they provide: those that can be used, and by name those that cannot.

What `getPlugins` cannot load it passes over with no more than a traceback in the log, and it believes its cache,
``dropin.cache``, which a file with an old date makes wrong.  So each module is looked through as well: what is wrong is
told by name, and a plugin that the cache does not know is found all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.plugin import getPlugins
from twisted.python.modules import getModule
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import oaiproxy.plugins


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that was found and cannot be used.

    @ivar name: the module, or the module and what is bound in it: ``oaiproxy.plugins.shout.shout``.
    @ivar reason: what is wrong with it, in one line.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """The plugins of one kind.

    @ivar usable: in no order.
    @ivar broken: the others, and the modules that nobody can look into, by name.
    """

    usable: tuple[Any, ...]
    broken: tuple[BrokenPlugin, ...]


def find(interface: Any, fault: Callable[[Any], str | None], package: ModuleType = oaiproxy.plugins) -> Found:
    """Find every plugin that provides an interface.

    @param interface: the interface; it extends `twisted.plugin.IPlugin`.
    @param fault: what keeps an object that says it provides it from being one, in one line, or None.
    @param package: where to look.
    """
    modules, broken = _load_modules(package)
    broken += _hidden_modules(package)
    # id -> (where it is, the plugin): an object that two modules name is one plugin
    found: dict[int, tuple[str, Any]] = {}
    for module in modules:
        bound = [(f"{module.__name__}.{name}", value) for name, value in sorted(vars(module).items())]
        offered = [(name, value) for name, value in bound if _provides(interface, value)]
        for name, value in offered:
            found.setdefault(id(value), (name, value))
        if not offered:
            broken += [
                BrokenPlugin(name, "it is a class; bind an instance of it to a name, such as shout = Shout()")
                for name, value in bound
                if _is_class_of(interface, value, module)
            ]
    try:
        for plugin in getPlugins(interface, package):
            found.setdefault(id(plugin), (f"{module_of(plugin)}.{type(plugin).__name__}", plugin))
    except Exception as e:
        # Twisted asks every object of a module whether it is a plugin, and some cannot be asked
        broken.append(BrokenPlugin(package.__name__, f"Twisted could not look through it: {brief(e)}"))
    usable = []
    for name, plugin in found.values():
        if (reason := fault(plugin)) is None:
            usable.append(plugin)
        else:
            broken.append(BrokenPlugin(name, reason))
    return Found(tuple(usable), tuple(broken))


def _load_modules(package: ModuleType) -> tuple[list[ModuleType], list[BrokenPlugin]]:
    modules: list[ModuleType] = []
    broken: list[BrokenPlugin] = []
    for name in sorted(module.name for module in getModule(package.__name__).iterModules()):
        try:
            modules.append(import_module(name))
        except (Exception, SystemExit) as e:
            broken.append(BrokenPlugin(name, f"it cannot be imported: {brief(e)}"))
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


def _provides(interface: Any, value: object) -> bool:
    try:
        return bool(interface.providedBy(value))
    except Exception:
        # whatever it is that cannot be asked, it is no plugin of ours
        return False


def _is_class_of(interface: Any, value: object, module: ModuleType) -> bool:
    # a private one, or one from elsewhere, is there to be used by others
    if not isinstance(value, type) or value.__module__ != module.__name__ or value.__name__.startswith("_"):
        return False
    return bool(interface.implementedBy(value))


def fault_of(plugin: Any, interface: Any, wrong: Callable[[Any], str | None]) -> str | None:
    """What keeps an object from being what it says it is, or None.

    @param interface: what it has to provide: all attributes, and methods that take what they are called with.
    @param wrong: looks at the values of its attributes.
    """
    try:
        verifyObject(interface, plugin)
        return wrong(plugin)
    except Invalid as e:
        return "; ".join(_unmet(problem, interface) for problem in getattr(e, "exceptions", (e,)))
    except Exception as e:
        return f"it cannot be looked at: {brief(e)}"


def _unmet(problem: Exception, interface: Any) -> str:
    # zope's words, without the repr of the object, which may be long: "...: The transform attribute was not provided."
    said = str(problem).rpartition(": ")[2]
    for each in interface.__iro__:
        said = said.replace(f"{each.__module__}.{each.__name__}.", "")
    return one_line(said)


def brief(error: BaseException) -> str:
    """An error in one line."""
    return one_line(f"{type(error).__name__}: {error}")


def one_line(text: str) -> str:
    """A text in one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."


def module_of(plugin: object) -> str:
    """The name of the module that a plugin comes from: the plugin module that binds it, or that of its class."""
    prefix = oaiproxy.plugins.__name__ + "."
    for name, module in sorted(sys.modules.items()):
        if name.startswith(prefix) and any(value is plugin for value in vars(module).values()):
            return name
    return str(getattr(plugin, "__module__", type(plugin).__module__))
