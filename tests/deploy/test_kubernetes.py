"""Manifests for Kubernetes and KServe: against their schemas, and against the server that they run."""

import copy
import json
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from manifests import KSERVE, KUBERNETES, Manifest, built, kserve_schema, only
from readme import ROOT

from service import __version__
from service.server import _LEAVING_SECONDS
from service.settings import Settings, settings_table

MONITORED = list(built(KUBERNETES / "monitored"))
CORE = [one for one in MONITORED if one["kind"] != "ServiceMonitor"]
DEPLOYMENT = only("Deployment", CORE)
POD = DEPLOYMENT["spec"]["template"]["spec"]
RUNTIME, INFERENCE = (
    yaml.safe_load((KSERVE / f"{name}.yaml").read_text("utf-8"))
    for name in ("servingruntime", "inferenceservice")
)
CONTAINERS = {"kubernetes": POD["containers"][0], "kserve": RUNTIME["spec"]["containers"][0]}
VERSIONS = ("1.30", "1.37")
PAGE = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
SNIPPETS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
LABELS = {"app.kubernetes.io/name": "unsure"}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
USER, GROUP = map(int, re.findall(r"^USER (\d+):(\d+)", DOCKERFILE, re.MULTILINE)[0])
NODE_MODULES = ROOT / ".schemas" / "node_modules"

VALIDATE_MONITOR = """
import { ServiceMonitor } from
  "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
new ServiceMonitor(JSON.parse(process.argv[1])).validate();
"""


def pod_of(spec: Manifest) -> Manifest:
    """Give what KServe makes a pod of, as one."""
    own = {key: spec[key] for key in ("containers", "volumes")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": own}


def environment(container: Manifest) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def probes(container: Manifest) -> dict[str, Manifest]:
    return {name: value for name, value in container.items() if name.endswith("Probe")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", [*CORE, pod_of(RUNTIME["spec"])], ids=lambda one: one["kind"])
def test_manifests_are_kubernetes(manifest: Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_seen() -> None:
    wrong = copy.deepcopy(DEPLOYMENT)
    wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 3
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGraceSeconds"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("manifest", "model"),
    [(RUNTIME, "V1alpha1ServingRuntime"), (INFERENCE, "V1beta1InferenceService")],
    ids=["runtime", "service"],
)
def test_manifests_are_kserves(manifest: Manifest, model: str) -> None:
    schema = kserve_schema(model)
    jsonschema.validate(manifest, schema)
    wrong = copy.deepcopy(manifest)
    wrong["spec"]["modelFormats"] = []
    with pytest.raises(jsonschema.ValidationError, match="modelFormats"):
        jsonschema.validate(wrong, schema)


@pytest.mark.skipif(
    not NODE_MODULES.exists(), reason="`make schemas` fetches the schema, where npm is installed"
)
def test_the_monitor_is_prometheus_operators() -> None:
    def told(manifest: Manifest) -> str:
        command = ["node", "--input-type=module", "--eval", VALIDATE_MONITOR, json.dumps(manifest)]
        done = subprocess.run(command, cwd=NODE_MODULES.parent, capture_output=True, text=True, check=False)
        return done.stderr

    monitor = only("ServiceMonitor", MONITORED)
    assert told(monitor) == ""
    wrong = copy.deepcopy(monitor)
    wrong["spec"]["endpoints"][0]["port"] = 8000
    assert "port must be string" in told(wrong)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("name", ["base", "monitored"])
def test_kustomize_builds_what_is_tested_here(name: str) -> None:
    command = ["kubectl", "kustomize", str(KUBERNETES / name)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    by_kind = {one["kind"]: one for one in built(KUBERNETES / name)}
    assert {one["kind"]: one for one in yaml.safe_load_all(printed)} == by_kind


def test_every_manifest_is_in_a_kustomization() -> None:
    listed = {
        path.resolve()
        for folder in (KUBERNETES / "base", KUBERNETES / "monitored")
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
        if (path := folder / name).is_file()
    }
    assert listed == {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_image_is_this_version(name: str) -> None:
    assert CONTAINERS[name]["image"] == f"unsure:{__version__}"
    assert CONTAINERS[name]["args"] == re.findall(r'^CMD \["(\w+)"\]', DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("name", CONTAINERS)
def test_settings_exist_and_ports_are_the_images(name: str) -> None:
    container = CONTAINERS[name]
    assert set(environment(container)) <= {setting.variable for setting in settings_table()}
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().port
    assert f"UNSURE_PORT={Settings().port}" in DOCKERFILE


@pytest.mark.parametrize("name", CONTAINERS)
def test_probes_ask_whether_the_server_takes_requests(name: str) -> None:
    container = CONTAINERS[name]
    asked = probes(container)
    assert "readinessProbe" in asked
    for probe in asked.values():
        assert probe["httpGet"]["path"] == "/v2/health/ready"
        assert probe["httpGet"]["port"] in (container["ports"][0]["name"], Settings().port)
        assert probe["timeoutSeconds"] < probe["periodSeconds"]


def test_a_start_may_take_long_and_a_restart_is_no_hasty_remedy() -> None:
    asked = probes(CONTAINERS["kubernetes"])
    lasts = {name: probe["periodSeconds"] * probe["failureThreshold"] for name, probe in asked.items()}
    assert (
        lasts["readinessProbe"] < Settings().deadline_seconds < lasts["livenessProbe"] < lasts["startupProbe"]
    )


def test_what_was_accepted_has_the_time_to_be_answered() -> None:
    """The wait before SIGTERM, draining, and the seconds in which the process ends whatever runs."""
    before = CONTAINERS["kubernetes"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    for spec, wait, container in (
        (POD, before, CONTAINERS["kubernetes"]),
        (INFERENCE["spec"]["predictor"], 0, CONTAINERS["kserve"]),
    ):
        drain = int(environment(container)["UNSURE_DRAIN_SECONDS"])
        assert drain == Settings().drain_seconds
        assert spec["terminationGracePeriodSeconds"] >= wait + drain + _LEAVING_SECONDS + 5


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_may_do_little(name: str) -> None:
    may = CONTAINERS[name]["securityContext"]
    assert may["readOnlyRootFilesystem"] is True
    assert may["allowPrivilegeEscalation"] is False
    assert may["capabilities"] == {"drop": ["ALL"]}
    whole = POD["securityContext"] | may if name == "kubernetes" else may
    assert whole["runAsNonRoot"] is True
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_user_is_the_images() -> None:
    may = POD["securityContext"]
    assert (may["runAsUser"], may["runAsGroup"], may["fsGroup"]) == (USER, GROUP, GROUP)
    assert POD["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", CONTAINERS)
def test_there_is_a_limit_on_what_is_used(name: str) -> None:
    limits = CONTAINERS[name]["resources"]["limits"]
    assert {"cpu", "memory"} == set(limits) == set(CONTAINERS[name]["resources"]["requests"])
    threads = environment(CONTAINERS[name])["UNSURE_THREADS"]
    reference = {"resourceFieldRef": {"containerName": "unsure", "resource": "limits.cpu"}}
    assert threads == (reference if name == "kubernetes" else limits["cpu"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_keys_come_from_a_secret_whose_folder_is_mounted(name: str) -> None:
    container, volumes = CONTAINERS[name], (POD if name == "kubernetes" else RUNTIME["spec"])["volumes"]
    path = Path(environment(container)["UNSURE_API_KEYS_FILE"])
    assert "UNSURE_WITHOUT_KEYS" not in environment(container)
    (mount,) = (one for one in container["volumeMounts"] if one["mountPath"] == str(path.parent))
    assert mount.keys() == {"name", "mountPath", "readOnly"}
    (volume,) = (one for one in volumes if one["name"] == mount["name"])
    secret = volume["secret"]["secretName"]
    assert f"kubectl create secret generic {secret} --from-file={path.name}=keys/{path.name}" in PAGE


@pytest.mark.parametrize("name", CONTAINERS)
def test_there_is_no_queue_where_none_could_be_written(name: str) -> None:
    assert environment(CONTAINERS[name])["UNSURE_REVIEW_URL"] == "off"
    assert CONTAINERS[name]["securityContext"]["readOnlyRootFilesystem"]
    assert "/reviews" not in {one["mountPath"] for one in CONTAINERS[name]["volumeMounts"]}


def test_models_are_where_the_server_looks() -> None:
    mounts = {one["name"]: one for one in CONTAINERS["kubernetes"]["volumeMounts"]}
    assert f"UNSURE_REPOSITORY={mounts['models']['mountPath']}" in DOCKERFILE
    assert mounts["models"]["readOnly"] is True
    (volume,) = (one for one in POD["volumes"] if one["name"] == "models")
    claim = only("PersistentVolumeClaim", CORE)["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    assert INFERENCE["spec"]["predictor"]["model"]["storageUri"] == f"pvc://{claim}/"
    assert environment(CONTAINERS["kserve"])["UNSURE_REPOSITORY"] == "/mnt/models"


@pytest.mark.parametrize("spec", [POD, RUNTIME["spec"]], ids=["kubernetes", "kserve"])
def test_what_is_mounted_is_declared_and_temporary_files_have_a_place(spec: Manifest) -> None:
    mounts = [one for container in spec["containers"] for one in container["volumeMounts"]]
    assert {one["name"] for one in mounts} == {one["name"] for one in spec["volumes"]}
    (tmp,) = (one for one in mounts if one["mountPath"] == "/tmp")  # noqa: S108 - the container's own
    (volume,) = (one for one in spec["volumes"] if one["name"] == tmp["name"])
    assert volume["emptyDir"]["sizeLimit"]


def test_selectors_find_the_pods() -> None:
    assert DEPLOYMENT["spec"]["template"]["metadata"]["labels"] == LABELS
    service, budget, monitor = (
        only(kind, MONITORED) for kind in ("Service", "PodDisruptionBudget", "ServiceMonitor")
    )
    assert service["spec"]["selector"] == service["metadata"]["labels"] == LABELS
    for selector in (DEPLOYMENT["spec"]["selector"], budget["spec"]["selector"], monitor["spec"]["selector"]):
        assert selector == {"matchLabels": LABELS}
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == CONTAINERS["kubernetes"]["ports"][0]["name"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")


def test_nodes_are_emptied_without_a_gap() -> None:
    replicas = DEPLOYMENT["spec"]["replicas"]
    assert replicas > only("PodDisruptionBudget", CORE)["spec"]["maxUnavailable"] >= 1
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_rules_ask_for_the_services_job() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8")
    assert set(re.findall(r'job="(\w+)"', rules)) == {only("Service", CORE)["metadata"]["name"]}


def test_the_service_of_kserve_runs_the_runtime() -> None:
    asked = INFERENCE["spec"]["predictor"]["model"]
    (found,) = RUNTIME["spec"]["supportedModelFormats"]
    assert asked["runtime"] == RUNTIME["metadata"]["name"]
    assert asked["modelFormat"]["name"] == found["name"]
    assert asked["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
    metrics = RUNTIME["spec"]["annotations"]
    assert metrics["prometheus.kserve.io/port"] == str(Settings().port)
    assert metrics["prometheus.kserve.io/path"] == "/metrics"


def test_patches_of_the_page_are_kubernetes() -> None:
    """Each replaces volumes of the pod by their names."""
    assert SNIPPETS
    for snippet in SNIPPETS:
        patched = copy.deepcopy(DEPLOYMENT)
        volumes = {one["name"]: one for one in chain(POD["volumes"], snippet["volumes"])}
        assert volumes.keys() == {one["name"] for one in POD["volumes"]}
        patched["spec"]["template"]["spec"]["volumes"] = list(volumes.values())
        kubernetes_validate.validate(patched, VERSIONS[-1], strict=True)
