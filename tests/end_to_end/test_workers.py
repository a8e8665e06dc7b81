"""Several processes on one port: they answer alike, count and change together, and outlive each other."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from processes import Process, served
from repositories import Repository

from service.cli import main

pytestmark = pytest.mark.end_to_end

WORKERS = 2
ASKED = 40  # connections: that none of them meets one of two processes is less likely than 1 in 10¹¹
FAR = [1000.0, -1.0, 2.0, 0.0, 1.5, -0.5]
ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
READY = r'unsure_model_ready\{model="small",version="1"\}'
SECONDS = 60  # for a process to start, on a machine that is busy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    repository = Repository(tmp_path_factory.mktemp("workers") / "repository")
    repository.add()
    calibrated(repository)
    url = f"sqlite:///{repository.path.parent}/reviews.db"
    with served(repository.path, WORKERS=WORKERS, REVIEW_URL=url) as process:
        wait_until(lambda: len(listening(process)) == WORKERS)
        yield process


def calibrated(repository: Repository) -> None:
    """Add a model with a calibration."""
    repository.add("measured", sampling={"samples": 10})
    data = repository.path.parent / "rows.npz"
    inputs = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    np.savez(data, inputs=inputs, targets=np.arange(60) % 3)
    asked = ["calibrate", "measured", "--data", str(data), "--target-error", "0.99"]
    where = ["--repository", str(repository.path), "--factories", "networks", "--plan", "vmap"]
    where += ["--precision", "float32"]  # as the server that is started
    told = CliRunner().invoke(main, [*asked, *where])
    assert told.exit_code == 0, told.output


def wait_until(true: Any) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def listening(server: Process) -> list[str]:
    """Lines of the log that tell that a process has loaded."""
    return re.findall(r"process \d of \d has loaded", server.log.read_text())


def ask(server: Process, path: str, body: Any) -> httpx.Response:
    """Ask on a connection of its own, which the system gives to any of the processes."""
    with httpx.Client(base_url=f"http://{server.address}", timeout=SECONDS) as client:
        return client.post(path, json=body)


def total(server: Process, name: str) -> float:
    with httpx.Client(base_url=f"http://{server.address}", timeout=SECONDS) as client:
        text = client.get("/metrics").text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (.*)$", text, re.MULTILINE))


def load(server: Process) -> httpx.Response:
    return ask(server, "/v2/repository/models/small/load", {})


def statuses(server: Process) -> set[int]:
    return {ask(server, "/v1/models/small/predict", {"inputs": [ROW]}).status_code for _ in range(ASKED)}


def test_all_answer_alike_and_count_together(server: Process) -> None:
    before = total(server, "unsure_requests_total")
    body = {"inputs": [ROW], "seed": 7, "review": False}  # which would name each answer
    answers = [ask(server, "/v1/models/small/uncertainty", body).json()["results"] for _ in range(ASKED)]
    assert all(one == answers[0] for one in answers)
    # Whichever process is asked, it tells of all.
    assert [total(server, "unsure_requests_total") - before for _ in range(10)] == [ASKED] * 10
    assert total(server, "unsure_pending_rows") == 0
    assert total(server, "unsure_build_info") == 1


def test_all_tell_the_same_of_scores_that_drift_until_the_model_is_loaded_anew(server: Process) -> None:
    def drifts() -> set[float | None]:
        url = f"http://{server.address}/v1/reviews/stats"
        answers = [httpx.get(url, timeout=SECONDS).json()["watched"] for _ in range(ASKED // 2)]
        return {watched["score_drift"] for answer in answers for watched in answer}

    assert drifts() == {None}
    for _ in range(WORKERS + 1):  # of as many processes one has seen a thousand rows
        rows = {"inputs": [ROW] * 500}
        assert ask(server, "/v1/models/measured/uncertainty", rows).status_code == 200
    (drift,) = drifts()
    assert drift is not None
    assert drift > 0.25
    assert ask(server, "/v2/repository/models/measured/load", {}).status_code == 200
    assert drifts() == {None}


def test_a_model_is_unloaded_and_loaded_in_all(server: Process) -> None:
    assert total(server, READY) == 1
    assert ask(server, "/v2/repository/models/small/unload", {}).status_code == 200
    assert statuses(server) == {503}
    assert total(server, READY) == 0
    assert load(server).status_code == 200
    assert statuses(server) == {200}
    assert total(server, READY) == 1


def test_a_load_that_fails_is_told_and_changes_nothing_anywhere(server: Process) -> None:
    manifest = Path(server.repository / "small" / "model.toml")
    text = manifest.read_text()
    manifest.write_text("what = ")
    try:
        assert load(server).status_code == 400
        assert statuses(server) == {200}
    finally:
        manifest.write_text(text)
        assert load(server).status_code == 200


def test_another_takes_the_place_of_one_that_is_killed(server: Process) -> None:
    """No count is lost, and what was unloaded stays so."""
    assert ask(server, "/v2/repository/models/small/unload", {}).status_code == 200
    before, told = total(server, "unsure_requests_total"), len(listening(server))
    (killed, kept) = server.members()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(listening(server)) > told)
    assert len(server.members()) == WORKERS
    assert kept in server.members()
    assert statuses(server) == {503}
    assert total(server, "unsure_requests_total") == before + ASKED
    assert load(server).status_code == 200
    assert statuses(server) == {200}


def test_all_end_when_told_to(server: Process) -> None:
    pids = server.members()
    server.tell(signal.SIGTERM)
    assert server.ended() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert server.log.read_text().count("Application shutdown complete") >= WORKERS


def test_one_whose_model_never_comes_back_is_replaced(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.add()
    repository.add("hanging", factory="hanging")
    with served(repository.path, WORKERS=WORKERS, DEADLINE_SECONDS=1, DRAIN_SECONDS=1) as process:
        wait_until(lambda: len(listening(process)) == WORKERS)
        before = process.members()
        body = {"inputs": [FAR]}
        assert ask(process, "/v1/models/hanging/predict", body).status_code == 504
        wait_until(lambda: len(listening(process)) > WORKERS)
        assert len({*process.members()} - {*before}) == 1
        assert statuses(process) == {200}
