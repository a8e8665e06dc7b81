"""`make serve`, as somebody types it: trains, serves a real process, answers the README's calls, stops."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import Shell, blocks, shell
from make_serve import TRAINING_SECONDS, Served
from readme import ROOT, Call, calls
from shown import assert_alike, assert_text_alike

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("serve"))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def test_the_demo_models_are_as_good_as_they_should_be(served: Served) -> None:
    """Figures on test rows that training never saw."""
    least = {"digits": 0.97, "breast-cancer": 0.95, "diabetes": 0.4}
    for name, figure in least.items():
        record = json.loads((served.repository / name / "1" / "training.json").read_text())
        assert record["figures"]["test"]["figure"] >= figure, (name, record["figures"])


def test_no_bar_is_drawn_where_nobody_watches(served: Served) -> None:
    log = served.log.read_text()
    assert "\r" not in log
    assert re.search(r"^test +359 +0\.\d{4} +0\.9\d{3}$", log, re.MULTILINE)


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.command.split("/v1/models/")[1].split()[0])
def test_the_readmes_calls_give_the_readmes_answers(served: Served, call: Call) -> None:
    """The same fields, labels and flags; numbers as near as another processor's training may leave them."""
    if shutil.which("curl") is None:
        if "CI" in os.environ:
            pytest.fail("curl is missing")
        pytest.skip("curl is not installed")
    command = call.command.replace("127.0.0.1:8000", f"127.0.0.1:{served.port}")
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert_alike(json.loads(printed), json.loads(call.answer))


@pytest.fixture
def session(served: Served, tmp_path: Path) -> Iterator[Shell]:
    """A shell in a folder with the models, where `unsure` is installed and `docker` stands for an engine."""
    commands = tmp_path / "bin"
    commands.mkdir()
    docker = commands / "docker"
    docker.write_text(
        f"#!{sys.executable}\n{(ROOT / 'tests/fixtures/docker_stand_in.py').read_text('utf-8')}"
    )
    docker.chmod(0o755)
    (tmp_path / "model_repository").symlink_to(served.repository)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    paths = [str(commands), str(ROOT / ".venv/bin"), os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNSURE_")}
    environment = kept | {"PATH": os.pathsep.join(paths), "UNSURE_REVIEW_URL": "off"}
    with shell(tmp_path, environment, TRAINING_SECONDS) as started:
        yield started


BLOCKS = [block.text for block in blocks(ROOT / "README.md") if block.language == "sh"]
REVIEWS, KEYS, CONTAINER, CALIBRATION = BLOCKS[1:]


def test_the_readme_has_no_other_blocks() -> None:
    """The first is how this server was started, and these tests."""
    assert re.findall(r"^\S+ \S+", BLOCKS[0], re.MULTILINE) == ["make serve", "make test"]
    assert {block.language for block in blocks(ROOT / "README.md")} == {"sh", "console"}


def test_the_readmes_review_is_claimed_and_resolved(served: Served, session: Shell) -> None:
    """The row that the README's second call has flagged."""
    asked = next(call.command for call in calls() if "breast-cancer/uncertainty" in call.command)
    session.run(asked.replace(":8000", f":{served.port}"))
    printed = session.run(REVIEWS.replace("curl -s", "curl -s --fail").replace(":8000", f":{served.port}"))
    assert '"status":"resolved"' in printed
    assert '"reviewer":"ann"' in printed


@pytest.mark.parametrize("block", [KEYS, CONTAINER], ids=["keys", "container"])
def test_the_readmes_servers_with_keys_let_nobody_else_in(
    block: str, served: Served, session: Shell, tmp_path: Path
) -> None:
    models = tmp_path / "model_repository"
    models.unlink()
    shutil.copytree(served.repository / "diabetes", models / "diabetes")  # the quickest to load
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    session.run(f"export UNSURE_PORT={port} UNSURE_PLAN=vmap")
    for command in re.split(
        r"(?<!\\)\n", block.strip().replace(":8000:", f":{port}:").replace(":8000", f":{port}")
    ):
        serves = "unsure serve" in command or "--publish" in command
        printed = session.run(f"{{ {command}\n}} > log 2>&1 &" if serves else command)
        if serves:
            session.run(
                f"curl -s --fail --retry 120 --retry-delay 1 --retry-all-errors {url}/v2/health/ready"
            )
    assert session.run(f"curl -s {url}/v1/models").count("unauthorized") == 1
    if block is KEYS:
        assert '"name":"diabetes"' in printed


def test_the_readmes_calibration_certifies_the_readmes_call(served: Served, session: Shell) -> None:
    printed = session.run(CALIBRATION.replace("127.0.0.1:8000", f"127.0.0.1:{served.port}"))
    (promised,) = re.findall(r"^# (.*)$", CALIBRATION, re.MULTILINE)
    assert_text_alike(printed, f"{promised}\n…")
    asked = next(call.command for call in calls() if "breast-cancer/uncertainty" in call.command)
    answer = json.loads(session.run(asked.replace("127.0.0.1:8000", f"127.0.0.1:{served.port}")))
    assert answer["policy"]["certified"]


def test_a_second_training_adds_a_version_and_keeps_the_first(served: Served, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(served.repository / "diabetes", repository / "diabetes")
    manifest = repository / "diabetes" / "model.toml"
    manifest.write_text(manifest.read_text().replace("threshold = 65", "threshold = 70"))
    first = (repository / "diabetes" / "1" / "weights.safetensors").read_bytes()
    command = [
        str(ROOT / ".venv/bin/unsure"),
        "train",
        "diabetes",
        "--seed",
        "1",
        "--repository",
        str(repository),
    ]
    subprocess.run(command, check=True, capture_output=True)
    second = (repository / "diabetes" / "2" / "weights.safetensors").read_bytes()
    assert first == (repository / "diabetes" / "1" / "weights.safetensors").read_bytes()
    assert first != second
    assert "threshold = 70" in manifest.read_text()


def test_serving_again_trains_nothing(served: Served) -> None:
    """What make would do, without doing it: the folder has models."""
    environment = os.environ | {"UNSURE_REPOSITORY": str(served.repository)}
    subprocess.run(["make", "train-demos"], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert sorted(path.name for path in (served.repository / "digits").iterdir()) == ["1", "model.toml"]


def test_an_interrupted_set_of_demos_is_finished(served: Served, tmp_path: Path) -> None:
    """Two models, the third missing, and the marker of a set that was begun; without it nothing is added."""
    repository = tmp_path / "models"
    for name in ("digits", "breast-cancer"):
        shutil.copytree(served.repository / name, repository / name)
    environment = os.environ | {"UNSURE_REPOSITORY": str(repository)}

    def train() -> set[str]:
        subprocess.run(["make", "train-demos"], cwd=ROOT, env=environment, check=True, capture_output=True)
        return {path.name for path in repository.iterdir()}

    assert train() == {"digits", "breast-cancer"}
    (repository / ".training-demos").touch()
    assert train() == {"digits", "breast-cancer", "diabetes"}


def test_an_address_that_is_taken_is_told_in_one_sentence(served: Served) -> None:
    command = [str(ROOT / ".venv/bin/unsure"), "serve", "--port", str(served.port)]
    environment = os.environ | {"UNSURE_REPOSITORY": str(served.repository)}
    failed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr == (
        f"Error: cannot listen on 127.0.0.1:{served.port} (Address already in use); "
        "choose another with --host and --port\n"
    )


def test_it_stops_when_told_and_answers_what_it_had_accepted(served: Served) -> None:
    """SIGTERM while a long request runs: it is answered, new ones are not, the exit status is 0."""
    command = ["pgrep", "-g", str(served.process.pid), "-f", "unsure serve"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    server = int(found.stdout.split()[-1])
    rows = [[[[float(pixel % 17) for pixel in range(column, column + 8)] for column in range(8)]]] * 150
    body = json.dumps({"inputs": rows, "samples": 1000}).encode()
    answers: list[Any] = []

    def ask() -> None:
        url = f"http://127.0.0.1:{served.port}/v1/models/digits/uncertainty"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=150) as answer:
            answers.append(json.loads(answer.read()))

    client = threading.Thread(target=ask)
    client.start()
    while served.pending_rows() < 150:
        time.sleep(0.01)
    os.kill(server, signal.SIGTERM)
    assert served.process.wait(150) == 0
    client.join(150)
    assert len(answers[0]["results"]) == 150
    assert "Application shutdown complete" in served.log.read_text()
