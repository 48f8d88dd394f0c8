"""What is measured: the proxy's two ports, and what it is compared with."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import PATIENCE, descendants, processors, start, stop
from tests.process import twistd
from tests.soak.upstream import model

#: The models that LiteLLM has to be told of.
_MODELS = (
    model(chunks=1),
    model(chunks=200),
    model(chunks=200, together=1),
    model(chunks=100, every=0.02),
)

#: What LiteLLM's proxy needs to be there.
_LITELLM = ("litellm", "orjson", "apscheduler")

#: Whose versions are told.
_DISTRIBUTIONS = (
    "Twisted",
    "treq",
    "httptools",
    "msgspec",
    "aiohttp",
    "uvloop",
    "fastapi",
    "httpx",
    "uvicorn",
    "litellm",
)


@dataclass(frozen=True)
class Started:
    """How a contender is started.

    @ivar command: the command line.
    @ivar environ: variables for it.
    """

    command: Sequence[str]
    environ: dict[str, str]


@dataclass(frozen=True)
class Contender:
    """Something that passes requests on.

    @ivar name: what it is called on the command line.
    @ivar title: and in tables.
    @ivar needs: what has to be installed for it: modules of Python, or programs (with a slash before the name).
    @ivar command: its command line, for a port, the upstream's port and a folder of its own.
    @ivar path: where chat completions are asked for.
    @ivar slow: whether it needs longer for as many requests.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    command: Callable[[int, int, Path], Started]
    path: str = "/v1/chat/completions"
    slow: bool = False

    def missing(self) -> str:
        """What of its needs is not there, or ""."""
        return next((need.lstrip("/") for need in self.needs if not _there(need)), "")


def _there(need: str) -> bool:
    if need.startswith("/"):
        return program(need[1:]) is not None
    return importlib.util.find_spec(need) is not None


def program(name: str) -> str | None:
    """Where a program is; Debian puts servers where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def _proxy(kind: str, *, log: bool = False) -> Callable[[int, int, Path], Started]:
    def command(port: int, upstream: int, folder: Path) -> Started:
        other = {"passthrough": "--bridge", "bridge": "--passthrough"}[kind]
        more = ("--log", str(folder / "traffic.jsonl")) if log else ()
        target = ("--upstream", f"http://127.0.0.1:{upstream}/v1")
        return Started(twistd(f"--{kind}", str(port), other, "0", *target, *more), {})

    return command


def _module(name: str) -> Callable[[int, int, Path], Started]:
    def command(port: int, upstream: int, folder: Path) -> Started:
        return Started([sys.executable, "-m", name, str(port), f"http://127.0.0.1:{upstream}"], {})

    return command


_NGINX = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile %(files)d;
pid %(folder)s/nginx.pid;
error_log stderr error;
events { worker_connections %(files)d; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    client_max_body_size 0;
    keepalive_requests 100000000;
    upstream model { server 127.0.0.1:%(upstream)d; keepalive 256; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location / {
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1d;
        }
    }
}
"""


def _nginx(port: int, upstream: int, folder: Path) -> Started:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX % {"port": port, "upstream": upstream, "folder": folder, "files": files})
    return Started([program("nginx") or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(settings)], {})


def _litellm(bridge: bool) -> Callable[[int, int, Path], Started]:
    def command(port: int, upstream: int, folder: Path) -> Started:
        kind = "openai/responses/" if bridge else "openai/"
        listed = [
            {
                "model_name": name,
                "litellm_params": {
                    "model": kind + name,
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                    "api_key": "sk-benchmark",
                },
            }
            for name in _MODELS
        ]
        # JSON is YAML as well
        (folder / "litellm.yaml").write_text(json.dumps({"model_list": listed}))
        begin = "from litellm import run_server; run_server()"
        options = ("--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port))
        return Started(
            [sys.executable, "-c", begin, *options, "--num_workers", "1", "--telemetry", "False"],
            {
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            },
        )

    return command


CONTENDERS: tuple[Contender, ...] = (
    Contender("passthrough", "oaiproxy, passthrough", (), _proxy("passthrough")),
    Contender("bridge", "oaiproxy, bridge", (), _proxy("bridge")),
    Contender("passthrough-log", "passthrough, traffic log on", (), _proxy("passthrough", log=True)),
    Contender("bridge-log", "bridge, traffic log on", (), _proxy("bridge", log=True)),
    Contender("nginx", "nginx, proxy_pass", ("/nginx",), _nginx),
    Contender("aiohttp", "aiohttp, bare relay", ("aiohttp", "uvloop"), _module("benchmarks.peers.aiohttp_relay")),
    Contender(
        "fastapi",
        "FastAPI + httpx relay",
        ("fastapi", "httpx", "uvicorn", "uvloop", "httptools"),
        _module("benchmarks.peers.fastapi_relay"),
    ),
    Contender("litellm", "LiteLLM proxy", _LITELLM, _litellm(False), slow=True),
    Contender("litellm-bridge", "LiteLLM proxy, bridge", _LITELLM, _litellm(True), slow=True),
)

BY_NAME = {each.name: each for each in CONTENDERS}


@dataclass
class Running:
    """A contender that runs.

    @ivar port: where it listens.
    @ivar started: how many seconds after its start it gave its first answer.
    """

    contender: Contender
    process: subprocess.Popen[str]
    port: int
    started: float

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return descendants(self.process.pid)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def _first_answer(process: subprocess.Popen[str], port: int, log: Path, path: str) -> None:
    """Ask until there is an answer."""
    body = json.dumps({"model": model(chunks=1), "messages": [{"role": "user", "content": "Hi."}]}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                if re.match(rb"HTTP/1.1 200 ", connection.recv(65536)):
                    return
        except OSError:
            pass
        time.sleep(0.005)
    raise AssertionError(f"it does not answer:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def running(contender: Contender, upstream: int, folder: Path, where: set[int] | None = None) -> Iterator[Running]:
    """A contender that has given its first answer.

    @param upstream: the upstream's port.
    @param folder: where it may write.
    @param where: the processors that it may use; otherwise the first one.
    """
    own = folder / contender.name
    own.mkdir(exist_ok=True)
    port = free_port()
    begun = contender.command(port, upstream, own)
    log = own / "log"
    with log.open("w") as output:
        began = time.perf_counter()
        process = start(begun.command, where or processors()[0], output=output, environ=begun.environ)
        try:
            _first_answer(process, port, log, contender.path)
            yield Running(contender, process, port, time.perf_counter() - began)
        finally:
            stop(process)


def chosen(names: Sequence[str]) -> tuple[list[Contender], list[str]]:
    """Contenders by name, all where there is none: those that can run, and a line for each that cannot.

    @raise ValueError: there is none of a name.
    """
    if unknown := [name for name in names if name not in BY_NAME]:
        raise ValueError(f"there is no {', '.join(unknown)}, only {', '.join(BY_NAME)}")
    wanted = [BY_NAME[name] for name in names] if names else list(CONTENDERS)
    out = [f"left out: {each.title} ({each.missing()} is not installed)" for each in wanted if each.missing()]
    return [each for each in wanted if not each.missing()], out


def versions() -> dict[str, str]:
    """What is installed of all that is measured."""
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if nginx := program("nginx"):
        said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
        if match := re.search(r"nginx/(\S+)", said):
            found["nginx"] = match[1]
    return found
