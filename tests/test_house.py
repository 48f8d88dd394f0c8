"""Who may import whom: the house keeps its shape."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = Path(__file__).resolve().parent.parent / "oaiproxy"

#: Each room, and the rooms it may import beside itself.  A top-level module is a room of its own.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "api": set(),
    "models": {"api"},
    "rates": {"api"},
    "rules": {"api"},
    "bridge": {"api", "models", "rules"},
    "clients": {"api"},
    "config": {"api", "clients", "rules", "settings", "storeplace"},
    "settings": {"api", "rules", "storeplace"},
    "storeplace": {"api"},
    # for annotations only
    "interfaces": {"api", "models", "settings"},
    "plugins": {"interfaces", "api", "bridge", "models", "rules", "settings", "tools"},
    # the folder in which it looks
    "discovery": {"plugins"},
    "tools": {"api", "discovery", "interfaces", "plugins", "settings"},
    "transforms": {"api", "discovery", "interfaces", "models", "plugins", "settings"},
    "relay": {"api", "interfaces", "settings"},
    "observe": {"api", "interfaces", "settings"},
    "store": {"api", "interfaces", "settings", "storeplace"},
    "demo": {"api"},
    "web": {
        "api",
        "bridge",
        "clients",
        "interfaces",
        "models",
        "observe",
        "rates",
        "relay",
        "rules",
        "settings",
        "store",
        "tools",
        "transforms",
    },
    "options": {"__init__", "api", "clients", "config", "settings"},
    "service": {
        "__init__",
        "demo",
        "discovery",
        "garbage",
        "handedover",
        "interfaces",
        "observe",
        "relay",
        "settings",
        "stopping",
        "store",
        "tools",
        "transforms",
        "upstreams",
        "web",
    },
    "garbage": set(),
    "handedover": set(),
    "servicemanager": set(),
    "stopping": {"servicemanager"},
    "reactor": set(),
    "upstreams": {"bridge", "models", "relay", "settings", "stopping"},
    "maker": {"discovery", "options", "reactor", "service", "settings", "stopping", "tools", "transforms", "workers"},
    # the supervisor is made by `maker`, and a worker makes its service with it
    "workers": {
        "api",
        "discovery",
        "maker",
        "service",
        "settings",
        "stopping",
        "storeplace",
        "tools",
        "transforms",
    },
    # commands that start no service; what they show is what a port does, so they ask its parts
    "cli": {
        "__init__",
        "api",
        "bridge",
        "clients",
        "config",
        "models",
        "observe",
        "options",
        "settings",
        "tools",
        "transforms",
        "web",
    },
    "__main__": {
        "__init__",
        "api",
        "bridge",
        "cli",
        "clients",
        "maker",
        "models",
        "options",
        "service",
        "settings",
        "transforms",
    },
}

#: Rooms without I/O: nothing of Twisted's in them but what needs no reactor.
NO_REACTOR = {"api", "bridge", "clients", "config", "models", "rates", "rules", "tools"}


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Each module's dotted name, its room, and its code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(("oaiproxy", *parts)).removesuffix(".__init__"), parts[0], ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class HouseTests(SynchronousTestCase):
    def test_each_room_imports_only_those_it_may(self) -> None:
        wrong = []
        for name, room, tree in modules():
            for imported in imports(tree):
                if not (imported + ".").startswith("oaiproxy."):
                    continue
                other = imported.split(".")[1]
                if not ((PACKAGE / other).is_dir() or (PACKAGE / f"{other}.py").is_file()):
                    other = "__init__"
                if other != room and other not in MAY_IMPORT[room]:
                    wrong.append(f"{name} imports {imported}")
        self.assertEqual(wrong, [])

    def test_every_room_is_in_the_table_and_the_table_has_no_other(self) -> None:
        rooms = {room for _, room, _ in modules()}
        self.assertEqual(rooms - set(MAY_IMPORT), set())
        self.assertEqual(set(MAY_IMPORT) - rooms - {"rules"}, set())

    def test_rooms_without_io_import_nothing_of_twisted(self) -> None:
        wrong = [
            f"{name} imports {imported}"
            for name, room, tree in modules()
            if room in NO_REACTOR
            for imported in imports(tree)
            if imported.startswith("twisted")
        ]
        self.assertEqual(wrong, [])

    def test_there_is_no_import_circle(self) -> None:
        known = {name: set[str]() for name, _, _ in modules()}
        for name, _, tree in modules():
            body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
            for imported in imports(ast.Module(body, [])):
                target = imported if imported in known else imported.rpartition(".")[0]
                if target in known and target != name:
                    known[name].add(target)
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            self.assertNotIn(name, path, f"a circle: {' -> '.join((*path, name))}")
            if name not in done:
                for target in sorted(known[name]):
                    visit(target, (*path, name))
                done.add(name)

        for name in known:
            visit(name, ())
