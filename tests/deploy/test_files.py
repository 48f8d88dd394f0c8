"""The files in `deploy`: that they are what their programs take, and that they agree with the proxy and each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oaiproxy.config.table import SETTINGS
from oaiproxy.options import Options
from oaiproxy.settings import DEFAULT_PORTS, ServiceSettings
from oaiproxy.stopping import EXIT_ENDED
from oaiproxy.web.health import HEALTH_TARGETS
from oaiproxy.workers.supervisor import GRACE
from tests.deploy.machines import CONFIGURATION
from tests.process import ROOT

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]
try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None

DEPLOY = ROOT / "deploy"

#: All variables that the proxy heeds.
KNOWN = {
    "OAIPROXY_CONFIG",
    "OAIPROXY_INTERFACE",
    "OAIPROXY_BRIDGE",
    "OAIPROXY_PASSTHROUGH",
    *(name + end for setting in SETTINGS for name in setting.variables for end in ("", "_FILE")[: 1 + setting.file]),
}

#: The kinds of the proxy's ports and their numbers.
PORTS = {kind.value: int(number) for kind, number in DEFAULT_PORTS.items()}

#: The user of the image.
(USER,) = map(int, re.findall(r"--uid (\d+)", (ROOT / "Dockerfile").read_text()))

NO_YAML = "" if yaml is not None else "PyYAML is not installed"
KUBECTL = shutil.which("kubectl")
SYSTEMD = shutil.which("systemd-analyze")


def seconds(text: str) -> float:
    """What ``75s`` or ``10m`` says."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


def said(text: str) -> str:
    """What ``${NAME:-default}`` is where nobody says anything."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


class VariableTests(SynchronousTestCase):
    def test_every_variable_is_one_that_the_proxy_heeds(self) -> None:
        found = {}
        for path in DEPLOY.rglob("*"):
            if path.is_file() and path.suffix in (".yaml", ".service", ".conf"):
                names = re.findall(r"\b((?:OAIPROXY|OPENAI|PROXY)_[A-Z_]+)\b", path.read_text())
                found.update({name: path.name for name in names if name not in KNOWN and name != "OAIPROXY_REPLICAS"})
        self.assertEqual(found, {})

    def test_every_variable_of_the_balancer_is_in_its_configuration(self) -> None:
        configuration = CONFIGURATION.read_text()
        known = set(re.findall(r"\$\{(BALANCER_[A-Z_]+)-", configuration))
        told = set(re.findall(r"\b(BALANCER_[A-Z_]+)\b", configuration))
        self.assertEqual(told, known)
        self.assertLessEqual(
            set(re.findall(r"\bBALANCER_[A-Z_]+\b", (DEPLOY / "compose/compose.yaml").read_text())), known
        )

    def test_the_balancer_s_ports_are_the_proxy_s(self) -> None:
        configuration = CONFIGURATION.read_text()
        for kind, number in PORTS.items():
            name = f"BALANCER_{kind.upper()}-*:{number}"
            self.assertIn(f'bind "${{{name}}}"', configuration)
            self.assertIn(f"${{BALANCER_PROXY_{kind.upper()}-{number}}}", configuration)


class ComposeTests(SynchronousTestCase):
    """`deploy/compose`."""

    if NO_YAML:
        skip = NO_YAML

    def setUp(self) -> None:
        self.folder = DEPLOY / "compose"
        self.file: Mapping[str, Any] = yaml.safe_load((self.folder / "compose.yaml").read_text())
        self.services: Mapping[str, Any] = self.file["services"]

    def test_nothing_is_killed_before_it_has_drained(self) -> None:
        proxy, balancer = self.services["oaiproxy"], self.services["balancer"]
        drains = sum(
            float(said(str(proxy["environment"][name]))) for name in ("OAIPROXY_DRAIN", "OAIPROXY_DRAIN_DELAY")
        )
        self.assertGreater(seconds(proxy["stop_grace_period"]), drains + GRACE)
        stops = seconds(balancer["environment"]["BALANCER_HARD_STOP"])
        self.assertGreater(seconds(balancer["stop_grace_period"]), stops)

    def test_the_balancer_sees_that_a_proxy_ends_before_its_ports_are_closed(self) -> None:
        (checks,) = re.findall(r"check inter (\d+)s fastinter (\d+)ms .* fall (\d+)", CONFIGURATION.read_text())
        worst = int(checks[0]) + (int(checks[2]) - 1) * int(checks[1]) / 1000
        self.assertGreater(float(self.services["oaiproxy"]["environment"]["OAIPROXY_DRAIN_DELAY"]), worst + 1)

    def test_every_file_and_secret_is_there_or_to_be_made(self) -> None:
        for service in self.services.values():
            for volume in service.get("volumes", ()):
                self.assertTrue((self.folder / volume.split(":")[0]).is_file(), volume)
            self.assertLessEqual(set(service.get("secrets", ())), set(self.file["secrets"]))
            self.assertLessEqual(set(service["networks"]), set(self.file["networks"]))
        keys = yaml.safe_load((self.folder / "keys.yaml").read_text())
        of_both = {**self.file["secrets"], **keys["secrets"]}
        self.assertEqual(set(keys["services"]["oaiproxy"]["secrets"]), set(of_both))
        self.assertTrue(all(secret["file"].startswith("./secrets/") for secret in of_both.values()))
        self.assertIn("secrets/", (self.folder / ".gitignore").read_text())

    def test_who_reads_the_secrets_is_who_they_are_for(self) -> None:
        self.assertEqual(self.services["redis"]["user"], f"{USER}:{USER}")
        self.assertIn(f"chown {USER} secrets/", (self.folder / "compose.yaml").read_text())

    def test_only_this_machine_reaches_the_ports(self) -> None:
        published = {name: service["ports"] for name, service in self.services.items() if "ports" in service}
        self.assertEqual(published, {"balancer": [f"127.0.0.1:{port}:{port}" for port in sorted(PORTS.values())]})

    def test_all_run_without_rights_on_a_file_system_that_is_read_only(self) -> None:
        for service in self.services.values():
            self.assertEqual((service["read_only"], service["cap_drop"]), (True, ["ALL"]))
            self.assertEqual(service["security_opt"], ["no-new-privileges:true"])


@cache
def built(folder: str, *components: str) -> list[dict[str, Any]]:
    """What kustomize makes of a folder, with components."""
    assert KUBECTL is not None
    where = DEPLOY / "kubernetes"
    if components:
        # a kustomization may only name what is below or beside it
        trial = Path("kustomized") / "-".join((folder, *components))
        shutil.copytree(where, trial, dirs_exist_ok=True)
        (trial / "all").mkdir(exist_ok=True)
        listed = "".join(f"  - ../{component}\n" for component in components)
        (trial / "all" / "kustomization.yaml").write_text(f"resources:\n  - ../{folder}\ncomponents:\n{listed}")
        where, folder = trial, "all"
    made = subprocess.run([KUBECTL, "kustomize", str(where / folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def of_kind(resources: list[dict[str, Any]], kind: str, name: str = "oaiproxy") -> dict[str, Any]:
    """One resource; a generated name may end with a digest."""
    (found,) = [
        r for r in resources if r["kind"] == kind and re.fullmatch(f"{name}(-[a-z0-9]{{10}})?", r["metadata"]["name"])
    ]
    return found


class KubernetesTests(SynchronousTestCase):
    """`deploy/kubernetes`."""

    if NO_YAML or KUBECTL is None:
        skip = NO_YAML or "kubectl is not installed"

    def setUp(self) -> None:
        self.resources = built("example")
        self.deployment = of_kind(self.resources, "Deployment")["spec"]
        self.pod: dict[str, Any] = self.deployment["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.told: dict[str, str] = of_kind(self.resources, "ConfigMap")["data"]

    def all_resources(self) -> Iterator[dict[str, Any]]:
        yield from self.resources
        yield from built("base")
        yield from built("base", "redis", "keda-autoscaling")

    def test_they_are_what_the_published_schemas_say(self) -> None:
        if kubernetes_validate is None:
            raise SkipTest("kubernetes-validate is not installed")
        count = 0
        for resource in self.all_resources():
            if resource["apiVersion"].startswith("keda.sh/"):
                continue
            for version in ("1.29", "1.34"):
                kubernetes_validate.validate(resource, version, strict=True)
                count += 1
        self.assertGreater(count, 40)

    def test_a_pod_has_the_time_to_drain(self) -> None:
        command, wait = self.container["lifecycle"]["preStop"]["exec"]["command"]
        self.assertEqual(command, "sleep")
        drains = float(wait) + float(self.told["OAIPROXY_DRAIN"]) + GRACE
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], drains)

    def test_ports_and_probes_are_the_proxy_s(self) -> None:
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        self.assertEqual(ports, PORTS)
        for name in ("oaiproxy", "oaiproxy-pods"):
            service = of_kind(self.resources, "Service", name)["spec"]
            self.assertEqual({port["targetPort"]: port["port"] for port in service["ports"]}, PORTS)
            self.assertEqual(service["selector"].items() - self.labels.items(), set())
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = self.container[probe]["httpGet"]["path"]
            self.assertIn(path.partition("?")[0].encode(), HEALTH_TARGETS)
            self.assertEqual(parse_qs(urlsplit(path).query), {"upstream": ["0"]})

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.deployment["template"]["metadata"]["labels"]
        return found

    def test_everything_selects_the_pods_of_the_proxy_and_no_others(self) -> None:
        budget = of_kind(self.resources, "PodDisruptionBudget")["spec"]
        selectors = [self.deployment["selector"], budget["selector"]]
        selectors += [spread["labelSelector"] for spread in self.pod["topologySpreadConstraints"]]
        redis = of_kind(self.resources, "StatefulSet", "oaiproxy-redis")["spec"]["template"]["metadata"]["labels"]
        for selector in selectors:
            wanted = selector["matchLabels"].items()
            self.assertLessEqual(wanted, self.labels.items())
            self.assertFalse(wanted <= redis.items())

    def test_it_runs_as_the_image_s_user_and_writes_only_where_it_has_to(self) -> None:
        self.assertEqual(self.pod["securityContext"]["runAsUser"], USER)
        self.assertTrue(self.pod["securityContext"]["runAsNonRoot"])
        self.assertTrue(self.container["securityContext"]["readOnlyRootFilesystem"])
        self.assertEqual(self.container["securityContext"]["capabilities"], {"drop": ["ALL"]})
        (work,) = re.findall(r"^WORKDIR (/var\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        writable = {mount["mountPath"] for mount in self.container["volumeMounts"] if not mount.get("readOnly")}
        self.assertEqual(writable, {work, "/tmp"})

    def test_what_is_told_of_the_store_is_there(self) -> None:
        service = of_kind(self.resources, "Service", "oaiproxy-redis")
        self.assertEqual(self.told["OAIPROXY_STORE"], f"redis://{service['metadata']['name']}:6379/0")
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        for name in ("OAIPROXY_STORE_KEY_FILE", "OAIPROXY_STORE_PASSWORD_FILE"):
            self.assertTrue(self.told[name].startswith(mounts["store"] + "/"))

    def test_keda_asks_every_pod_what_the_health_check_tells(self) -> None:
        resources = built("base", "redis", "keda-autoscaling")
        scaled = of_kind(resources, "ScaledObject")["spec"]
        self.assertEqual([r["kind"] for r in resources if r["kind"] == "HorizontalPodAutoscaler"], [])
        asked = scaled["triggers"][0]["metadata"]
        url = urlsplit(asked["url"])
        self.assertEqual(url.hostname.split(".")[0], of_kind(resources, "Service", "oaiproxy-pods")["metadata"]["name"])
        # of a headless service, the port is the pods'
        self.assertEqual(url.port, PORTS["bridge"])
        self.assertIn(url.path.encode(), HEALTH_TARGETS)
        # see tests/web/test_health.py
        self.assertEqual(parse_qs(url.query), {"upstream": ["0"], asked["valueLocation"]: ["1"]})
        self.assertEqual((asked["aggregateFromKubeServiceEndpoints"], asked["aggregationType"]), ("true", "sum"))


class SystemdTests(SynchronousTestCase):
    """`deploy/systemd`."""

    def setUp(self) -> None:
        self.folder = DEPLOY / "systemd"
        self.unit = (self.folder / "oaiproxy@.service").read_text()

    def values(self, name: str, text: str | None = None) -> list[str]:
        lines = (self.unit if text is None else text).splitlines()
        return [line.partition("=")[2] for line in lines if line.startswith(name + "=")]

    def options(self) -> ServiceSettings:
        (command,) = self.values("ExecStart")
        options = Options({})
        options.parseOptions(command.partition(" oaiproxy ")[2].split())
        return options.settings

    def test_the_command_listens_on_the_sockets_that_the_socket_units_open(self) -> None:
        units = {path.name: path.read_text() for path in self.folder.glob("*.socket")}
        self.assertEqual(self.values("Sockets"), self.values("Requires"))
        self.assertEqual(sorted(self.values("Sockets")[0].split()), sorted(units))
        opened = {}
        for text in units.values():
            (name,), (where,) = self.values("FileDescriptorName", text), self.values("ListenStream", text)
            opened[name] = where
        self.assertEqual(opened, {kind: f"127.0.0.1:{number}" for kind, number in PORTS.items()})
        endpoints = {port.kind.value: port.endpoints for port in self.options().ports}
        self.assertEqual(endpoints, {name: (f"systemd:domain=INET:name={name}",) for name in opened})

    def test_nothing_is_killed_before_it_has_drained(self) -> None:
        settings = self.options()
        (patience,) = map(int, self.values("TimeoutStopSec"))
        self.assertGreater(patience, settings.drain + settings.drain_delay + GRACE)
        self.assertEqual(self.values("SuccessExitStatus"), [str(EXIT_ENDED)])

    def test_the_drop_ins_name_variables_that_read_the_credentials(self) -> None:
        for path in self.folder.glob("*.conf"):
            text = path.read_text()
            loaded = {value.partition(":")[0] for value in self.values("LoadCredential", text)}
            told = dict(value.partition("=")[::2] for value in self.values("Environment", text))
            read = {value.partition("/")[2] for name, value in told.items() if name.endswith("_FILE")}
            self.assertEqual(read, loaded, path.name)
            self.assertTrue(all(value.startswith("%d/") for name, value in told.items() if name.endswith("_FILE")))

    def test_systemd_finds_nothing_wrong_with_them(self) -> None:
        if SYSTEMD is None:
            raise SkipTest("systemd is not installed")
        folder = Path(self.mktemp())
        drop_ins = folder / "oaiproxy@.service.d"
        drop_ins.mkdir(parents=True)
        for path in self.folder.iterdir():
            place = drop_ins if path.suffix == ".conf" else folder
            # which has to be there
            (place / path.name).write_text(path.read_text().replace("/opt/oaiproxy/bin/twistd", sys.executable))
        units = [str(folder.resolve() / name) for name in ("oaiproxy@.service", "oaiproxy-bridge.socket")]
        done = subprocess.run([SYSTEMD, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
