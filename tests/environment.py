"""Fresh virtual environments with this project installed in them by pip, as a user would.

Nothing is downloaded: what it depends on is borrowed from the Python that runs the tests, by a path file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

from twisted.trial.unittest import SkipTest

ROOT = Path(__file__).parents[1]
#: What building and running need from the Python that runs the tests.
BORROWED = ("pip", "setuptools", "twisted", "zope.interface", "msgspec", "treq", "OpenSSL", "service_identity")

#: What is no part of a source tree.
UNWANTED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "node_modules", "_trial_temp*", "dropin.cache"
)


class Environment:
    """A fresh virtual environment.

    @ivar python: its interpreter.
    @ivar folder: where it is; processes in it start in a folder without Python code.
    @ivar site: its site-packages.
    """

    def __init__(self, name: str) -> None:
        """
        @param name: the folder's name, below the one that the tests run in.
        @raise SkipTest: the Python that runs the tests has not what it takes to make one.
        """
        _check()
        self.folder = folder = Path(name).absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        self.site = Path(self.output("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (self.site / "borrowed.pth").write_text("\n".join(sorted(_folders(BORROWED))) + "\n", encoding="utf-8")

    def source(self, original: Path) -> Path:
        """A copy of a source tree to build from, as a build leaves its traces beside the sources."""
        copy = self.folder / "sources" / original.name
        shutil.copytree(original, copy, ignore=UNWANTED, dirs_exist_ok=True)
        return copy

    def pip(self, *arguments: str) -> str:
        """Run its pip."""
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def install(self, *sources: str | Path) -> None:
        """Install source trees (after ``-e``: editable), and nothing that they depend on."""
        # --ignore-installed: what is there already, in the borrowed folders, is not ours to look at
        offline = ("--no-index", "--no-deps", "--ignore-installed", "--no-build-isolation", "--no-cache-dir")
        self.pip("install", "--quiet", *offline, *map(str, sources))

    def command(self, *arguments: str) -> list[str]:
        """The command ``twistd -n oaiproxy ...`` in it."""
        start = "from twisted.scripts.twistd import run; run()"
        return [str(self.python), "-I", "-c", start, "-n", "--pidfile=", "oaiproxy", *arguments]

    def run(self, *arguments: str) -> str:
        """Run its interpreter and return what it prints.

        @raise AssertionError: it fails; the message is what it printed.
        """
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env={key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(arguments)[:200]}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def output(self, code: str) -> str:
        """Run a piece of Python and return what it prints."""
        return self.run("-c", code)


def _folders(modules: tuple[str, ...]) -> set[str]:
    # the folders on the path that hold those modules
    found = set()
    for module in modules:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        found.add(str(Path(spec.origin).parents[module.count(".") + (Path(spec.origin).stem == "__init__")]))
    return found


def _check() -> None:
    missing = [module for module in BORROWED if not _is_there(module)]
    if missing:
        raise SkipTest(f"building an environment needs {', '.join(missing)} in the Python that runs the tests")
    major = int(version("setuptools").split(".")[0])
    if major < 71 and not _is_there("wheel"):
        raise SkipTest(f"setuptools {version('setuptools')} cannot build wheels by itself: install 77 or later")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
