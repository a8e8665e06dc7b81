"""The image and its neighbours, as far as can be told without building them."""

import fnmatch
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import make_url

from service import cli
from service.api.guard import Guard
from service.api.inference_protocol import ProtocolFace
from service.api.operational import OperationalFace
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.settings import Settings, settings_table
from service.telemetry.metrics import Telemetry

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
READY = "/v2/health/ready"
TAG = re.compile(r"[a-z0-9/_-]+:v?\d+\.\d+[\w.-]*")  # no host before the name, and a version after it


@dataclass(frozen=True)
class Instruction:
    word: str
    arguments: str

    def listed(self) -> list[str]:
        """Give what an instruction in JSON lists."""
        items: list[str] = json.loads(self.arguments[self.arguments.index("[") :])
        return items


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", "", text).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def stages() -> list[list[Instruction]]:
    divided: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.word == "FROM":
            divided.append([])
        divided[-1].append(instruction)
    return divided


BUILD, FINAL = stages()


def only(word: str, stage: list[Instruction]) -> Instruction:
    (found,) = (instruction for instruction in stage if instruction.word == word)
    return found


def environment(stage: list[Instruction]) -> dict[str, str]:
    pairs = only("ENV", stage).arguments.split()
    return dict(pair.split("=", 1) for pair in pairs)


def copied() -> list[str]:
    """Name what the build takes from the repository."""
    return [
        source
        for one in instructions()
        if one.word == "COPY" and not one.arguments.startswith("--from=")
        for source in one.arguments.split()[:-1]
    ]


def bind_mounts() -> list[tuple[str, str, list[str]]]:
    """Give each folder or file of the repository that a container sees: source, target, options."""
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    return [(source, target, options) for source, target, *options in mounts if source.startswith(".")]


def paths() -> set[str]:
    telemetry = Telemetry()
    catalogue = Catalogue(ROOT, (), Execution(), telemetry)
    nobody: Any = None  # answers no question: only paths are asked for
    face = ProtocolFace(nobody, catalogue, nobody, 0)
    operations = [*face.operations(), *OperationalFace(telemetry, [], Guard(None, telemetry)).operations()]
    return {operation.path for operation in operations if operation.method == "GET"}


class Answers(BaseHTTPRequestHandler):
    def __init__(self, status: int, asked: list[str], *given: Any) -> None:
        self._status = status
        self._asked = asked
        super().__init__(*given)

    def do_GET(self) -> None:
        self._asked.append(self.path)
        self.send_response(self._status)
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        """Stay silent."""


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """Answer everything with one status; gives the port, and the paths that were asked for."""
    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), partial(Answers, status, asked)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def health_check(port: int) -> int:
    """Run the image's health check here; gives its exit status."""
    program, *arguments = only("HEALTHCHECK", FINAL).listed()
    assert program == "python"
    # A proxy that nobody listens at: the check must not ask it.
    surroundings = {**os.environ, "UNSURE_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, *arguments], env=surroundings, capture_output=True, check=False)
    return done.returncode


def test_both_stages_have_the_same_python() -> None:
    build, final = (only("FROM", stage).arguments.split()[0] for stage in (BUILD, FINAL))
    assert build == final
    version = tuple(map(int, re.match(r"python:(\d+)\.(\d+)-slim", final).groups()))
    assert version >= tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))


def test_container_runs_as_nobody_in_particular() -> None:
    user, group = only("USER", FINAL).arguments.split(":")
    assert int(user) > 0
    assert int(group) > 0
    accounts = only("RUN", FINAL).arguments
    assert f"--gid {group} unsure" in accounts
    assert f"--uid {user} --gid {group}" in accounts
    assert FINAL.index(only("USER", FINAL)) > FINAL.index(only("RUN", FINAL))


def test_image_holds_the_environment_alone() -> None:
    assert only("COPY", FINAL).arguments.startswith("--from=build ")
    assert re.search(r"apt|pip|gcc|curl", only("RUN", FINAL).arguments) is None


def test_no_extras_are_installed_but_those_that_are_asked_for() -> None:
    installed = [one.arguments for one in BUILD if one.word == "RUN" and "pip install" in one.arguments]
    assert installed
    assert [one for one in installed if re.search(r"\[\w+\]|-e |--editable", one)] == []
    assert [one for one in installed if "--constraint constraints.txt" not in one] == []
    package = installed[-1].split()[-1]
    for extras, asked in (("", "."), ("text,postgresql", ".[text,postgresql]")):
        printed = subprocess.run(
            ["bash", "-c", f"printf %s {package}"],
            env={"EXTRAS": extras},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed == asked
    needed = " ".join(PROJECT["project"]["dependencies"])
    assert re.search(r"scikit|pytest|mypy|ruff|hypothesis", needed) is None


def test_source_is_copied_after_torch_is_installed() -> None:
    copies = [place for place, one in enumerate(BUILD) if one.word == "COPY"]
    packages = [place for place in copies if {"service", "models"} & set(BUILD[place].arguments.split())]
    installs = [place for place, one in enumerate(BUILD) if "pip install" in one.arguments]
    assert "--requirement" in BUILD[installs[0]].arguments
    assert installs[0] < min(packages)
    assert max(packages) < installs[-1]


def test_everything_copied_exists() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_everything_the_package_is_built_from_is_copied() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    project = PROJECT["project"]
    needed = {*wheel, project["readme"], "LICENSE", "pyproject.toml", "constraints.txt"}
    assert needed == set(copied())


def test_only_what_is_copied_reaches_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert allowed == set(copied())
    excluded = [pattern.removeprefix("**/") for pattern in patterns[1:] if not pattern.startswith("!")]
    assert [name for name in allowed if any(fnmatch.fnmatch(name, pattern) for pattern in excluded)] == []


def test_settings_exist() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8") + "".join(
        path.read_text("utf-8") for path in DEPLOY.rglob("*") if path.is_file()
    )
    named = set(re.findall(r"UNSURE_\w+", text))
    assert {"UNSURE_REPOSITORY", "UNSURE_HOST", "UNSURE_PORT"} <= named
    assert named - {setting.variable for setting in settings_table()} == set()


def test_command_exists() -> None:
    entry, command = only("ENTRYPOINT", FINAL).listed(), only("CMD", FINAL).listed()
    assert set(entry) <= set(PROJECT["project"]["scripts"])
    assert set(command) <= set(cli.main.commands)


def test_server_listens_where_the_image_says() -> None:
    variables = environment(FINAL)
    assert variables["UNSURE_HOST"] == "0.0.0.0"  # noqa: S104 - inside a container, 127.0.0.1 is out of reach
    assert only("EXPOSE", FINAL).arguments == variables["UNSURE_PORT"] == str(Settings().port)
    models, reviews = only("VOLUME", FINAL).arguments.split()
    assert models == variables["UNSURE_REPOSITORY"]
    assert Path(str(make_url(variables["UNSURE_REVIEW_URL"]).database)).parent == Path(reviews)


def test_reviews_outlive_the_container() -> None:
    """Its user may write there, and compose keeps the folder."""
    reviews = only("VOLUME", FINAL).arguments.split()[1]
    owner = only("USER", FINAL).arguments.replace(":", " --group=")
    made = f"install --directory --owner={owner} --mode=0700 {reviews}"
    assert any(made in one.arguments for one in FINAL if one.word == "RUN")
    assert f"reviews:{reviews}" in SERVICES["unsure"]["volumes"]


@contextmanager
def surroundings(**variables: str) -> Iterator[None]:
    """Have the image's environment, and these variables."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("UNSURE_")]:
            patched.delenv(name)
        for name, value in (environment(FINAL) | variables).items():
            if name.startswith("UNSURE_"):
                patched.setenv(name, value)
        yield


def served(repository: Path, **variables: str) -> tuple[int, str]:
    """Run the image's command here up to where it would listen; gives its exit status and what it says."""
    asked: list[Any] = []
    server = SimpleNamespace(run=lambda **_given: asked.append(1))
    with (
        surroundings(
            UNSURE_REPOSITORY=str(repository), UNSURE_PORT="0", UNSURE_REVIEW_URL="off", **variables
        ),
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr("service.server.Server", lambda *_given: server)
        done = CliRunner().invoke(cli.main, only("CMD", FINAL).listed())
    assert bool(asked) == (done.exit_code == 0)
    return done.exit_code, done.output


def test_image_serves_nobody_without_keys_unless_told_to(tmp_path: Path) -> None:
    status, told = served(tmp_path)
    assert status == 1
    assert "name a file of keys" in told
    assert served(tmp_path, UNSURE_WITHOUT_KEYS="true")[0] == 0


def test_compose_has_keys_that_can_be_replaced(tmp_path: Path) -> None:
    """A file that is mounted alone stays what it was; in a folder that is mounted, it is another."""
    variables = SERVICES["unsure"]["environment"]
    assert "UNSURE_WITHOUT_KEYS" not in variables
    path = Path(variables["UNSURE_API_KEYS_FILE"])
    (source,) = [source for source, target, _ in bind_mounts() if target == str(path.parent)]
    page = (DEPLOY / "compose.yaml").read_text("utf-8")
    (command,) = re.findall(r"# +unsure (keys create .*) && chmod 0644", page)
    assert command.endswith(f" --file {source.removeprefix('../')}/{path.name}")
    *arguments, _ = command.split()
    keys = tmp_path / path.name
    assert CliRunner().invoke(cli.main, [*arguments, str(keys)]).exit_code == 0
    assert served(tmp_path, UNSURE_API_KEYS_FILE=str(keys))[0] == 0


def test_output_is_not_held_back() -> None:
    assert environment(FINAL)["PYTHONUNBUFFERED"] == "1"
    assert only("STOPSIGNAL", FINAL).arguments == "SIGTERM"


def test_health_check_asks_a_path_that_exists() -> None:
    with answering(200) as (port, asked):
        assert health_check(port) == 0
    assert asked == [READY]
    assert READY in paths()


@pytest.mark.parametrize("status", [500, 503])
def test_health_check_fails_where_the_server_is_not_ready(status: int) -> None:
    with answering(status) as (port, asked):
        assert health_check(port) != 0
    assert asked == [READY]


def test_health_check_fails_where_no_server_is() -> None:
    with answering(200) as (port, _):
        pass
    assert health_check(port) != 0


def test_images_are_pinned() -> None:
    images = [only("FROM", stage).arguments.split()[0] for stage in (BUILD, FINAL)]
    images += [service["image"] for service in SERVICES.values() if "build" not in service]
    assert len(images) == len(SERVICES) + 1
    assert [image for image in images if not TAG.fullmatch(image)] == []


def test_nothing_is_downloaded_by_address() -> None:
    """Addresses of this machine and of the neighbours are all there is."""
    files = [ROOT / "Dockerfile", *(path for path in DEPLOY.rglob("*") if path.is_file())]
    hosts = {host for path in files for host in re.findall(r"https?://([\w.-]+)", path.read_text("utf-8"))}
    assert hosts <= {"127.0.0.1", *SERVICES}


def test_mounted_files_exist() -> None:
    mounts = bind_mounts()
    assert len(mounts) >= len(SERVICES)
    missing = [source for source, _, _ in mounts if not (DEPLOY / source).exists()]
    assert set(missing) <= {"../model_repository", "../keys"}
    assert [source for source, _, options in mounts if options != ["ro"]] == []


def test_models_are_mounted_where_the_server_looks() -> None:
    targets = {source: target for source, target, _ in bind_mounts()}
    assert targets["../model_repository"] == environment(FINAL)["UNSURE_REPOSITORY"]


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(SERVICES)
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert SERVICES["unsure"]["ports"][0].endswith(f":{environment(FINAL)['UNSURE_PORT']}")


@pytest.mark.parametrize("name", SERVICES)
def test_services_may_do_little(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_server_cannot_write_and_may_finish() -> None:
    unsure = SERVICES["unsure"]
    assert unsure["read_only"] is True
    assert "/tmp" in unsure["tmpfs"]  # noqa: S108 - the container's own
    assert int(unsure["stop_grace_period"].removesuffix("s")) > Settings().drain_seconds


def test_dependencies_can_become_what_is_waited_for() -> None:
    waits = [
        (name, condition["condition"])
        for service in SERVICES.values()
        for name, condition in service.get("depends_on", {}).items()
    ]
    assert waits
    assert [name for name, _ in waits if name not in SERVICES] == []
    assert {condition for _, condition in waits} <= {"service_started", "service_healthy"}
    healthy = [name for name, condition in waits if condition == "service_healthy"]
    assert [name for name in healthy if "healthcheck" not in SERVICES[name]] == []


def test_named_volumes_are_declared() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {source for source in mounts if not source.startswith(".")} == set(COMPOSE["volumes"])


def test_prometheus_scrapes_the_server() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8"))
    (scrape,) = config["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"unsure:{environment(FINAL)['UNSURE_PORT']}"]}]
    assert scrape.get("metrics_path", "/metrics") in paths()
    assert "--config.file=/etc/prometheus/prometheus.yaml" in SERVICES["prometheus"]["command"]
    assert ("./prometheus", "/etc/prometheus", ["ro"]) in bind_mounts()


def test_grafana_asks_prometheus() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    port = SERVICES["prometheus"]["ports"][0].rsplit(":", 1)[1]
    assert source["url"] == f"http://prometheus:{port}"
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8"))
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_grafana_finds_the_dashboard() -> None:
    targets = {source: target for source, target, _ in bind_mounts()}
    provisioning = DEPLOY / "grafana" / "provisioning"
    for kind in ("datasources", "dashboards"):
        assert targets[f"./grafana/provisioning/{kind}"] == f"/etc/grafana/provisioning/{kind}"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "unsure.yaml").read_text("utf-8"))[
        "providers"
    ]
    folder = provider["options"]["path"]
    assert targets["./grafana/dashboards"] == folder
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{folder}/")
    assert (DEPLOY / "grafana" / "dashboards" / Path(home).name).exists()


def test_the_proof_reads_the_dockerfile_right() -> None:
    script = (DEPLOY / "container" / "prove.sh").read_text("utf-8")
    first = re.search(r"^base=\$\((.*)\)$", script, re.MULTILINE)[1]
    base = subprocess.run(["bash", "-c", first], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert base.strip() == only("FROM", FINAL).arguments
    reading = re.search(r"<<'PYTHON'\n(.*?)^PYTHON$", script, re.DOTALL | re.MULTILINE)[1]
    told = subprocess.run(
        [sys.executable, "-c", reading], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.rstrip("\n") == only("HEALTHCHECK", FINAL).listed()[-1]


def test_the_proof_starts_what_the_image_starts() -> None:
    script = (DEPLOY / "container" / "prove.sh").read_text("utf-8")
    subprocess.run(["bash", "-n", "-c", script], check=True)
    command = [*only("ENTRYPOINT", FINAL).listed(), *only("CMD", FINAL).listed()]
    assert f"inside {' '.join(command)} >" in script
    given = set(re.findall(r"--env (UNSURE_\w+)=", script))
    assert given
    assert given <= {f"UNSURE_{setting.name.upper()}" for setting in fields(Settings)}


def test_build_arguments_that_are_documented_are_taken() -> None:
    page = (ROOT / "docs" / "container.md").read_text("utf-8")
    documented = set(re.findall(r"^\| [^|]+ \| `([A-Z_]+)`:", page, re.MULTILINE))
    assert documented == {one.arguments for one in BUILD if one.word == "ARG"}
