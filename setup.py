"""How oaiproxy is built; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
found = re.search(r'__version__ = "(.+)"', (here / "oaiproxy" / "__init__.py").read_text(encoding="utf-8"))
assert found is not None

setup(
    name="oaiproxy",
    version=found.group(1),
    description="A reverse proxy for the OpenAI API: chat clients on one side, the Responses API on the other.",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # Written out, so that an editable install is a path entry: Twisted finds plugins by walking sys.path, which the
    # import hooks that setuptools would use otherwise are no part of.
    package_dir={"": "."},
    packages=find_packages(include=["oaiproxy", "oaiproxy.*"]),
    # One module, and no __init__.py: twisted.plugins is Twisted's own package.
    py_modules=["twisted.plugins.oaiproxy_plugin"],
    package_data={"oaiproxy": ["py.typed"], "oaiproxy.clients": ["*.json"], "oaiproxy.models": ["*.json"]},
    install_requires=[
        "twisted[tls]>=26.10",
        "treq>=26.7",
        "httptools>=0.9",
        "zope.interface>=7",
        "pyopenssl>=25",
        "cryptography>=44",
        "hiredis>=3.2",
        "service-identity>=24.2",
        "msgspec>=0.20",
        "python-dotenv>=1",
    ],
    entry_points={"console_scripts": ["oaiproxy = oaiproxy.__main__:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
        "Typing :: Typed",
    ],
)
