"""The real Prometheus watches a real server: data is behind every query of the dashboard and the alerts."""

import math
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import networks
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from processes import Process, served
from prometheus import Prometheus, watching
from repositories import Repository
from servers import wait_until_ready
from starlette.testclient import TestClient
from watching_queries import ALERTING, PANELS, SHOWN, Query

from service.app import build
from service.cli import main
from service.settings import Settings

pytestmark = pytest.mark.end_to_end

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
FAR = [1000.0, *ROW[1:]]  # raises in one of the models
QUEUE_ROWS = 64
DRIFT_ROWS = 500
SECONDS = 240  # on a machine that is busy
PERCENT = {panel["title"] for panel in PANELS if panel["fieldConfig"]["defaults"]["unit"] == "percentunit"}
FIRING = 'ALERTS{alertname="UnsureModelLoadFailed", model="broken", alertstate="firing"}'
UNSURE = "/v1/models/small/uncertainty"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Watches two processes that have answered and refused whatever they can."""
    if shutil.which("prometheus") is None:
        reason = "prometheus is not installed; it is Debian's package of that name"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("watched")
    repository = repository_in(folder)
    url = f"sqlite:///{folder}/reviews.db"
    audit(repository, url)
    given: dict[str, object] = {
        "MAX_PENDING_ROWS": QUEUE_ROWS,
        "REVIEW_URL": url,
        "REVIEW_AUDIT_SHARE": 1,
        "WORKERS": 2,
    }
    with served(repository.path, **given) as server, watching(server.address, folder / "prom") as prometheus:
        end = time.monotonic() + SECONDS
        missing = ["everything"]
        while missing:
            assert time.monotonic() < end, f"no data behind {', '.join(missing)}"
            ask_everything(server)
            prometheus.moment = time.time()
            missing = without_data(prometheus)
        yield prometheus


def without_data(prometheus: Prometheus) -> list[str]:
    """Name what a moment has nothing of; where a scrape came too late, that is everything."""
    missing = [str(query) for query in SHOWN if not finite(prometheus, query)]
    selectors = {selector for query in ALERTING for selector in query.selectors()} | {FIRING}
    return missing + [selector for selector in sorted(selectors) if not prometheus.query(selector)]


def repository_in(folder: Path) -> Repository:
    """One model that is calibrated, one that raises, and one that cannot be loaded."""
    repository = Repository(folder / "repository")
    torch.manual_seed(1)
    network = networks.mlp()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(4 if parameter.dim() > 1 else 0)
    repository.add(sampling={"samples": 10, "seed": 3}, network=network)
    repository.add("raising", factory="raising")
    (repository.add("broken") / "weights.safetensors").write_bytes(b"torn")
    inputs = np.random.default_rng(1).normal(size=(400, 6)).astype(np.float32)
    targets = network.eval()(torch.from_numpy(inputs)).argmax(-1).numpy()
    np.savez(folder / "heldout.npz", inputs=inputs, targets=targets)
    arguments = ["calibrate", "small", "--repository", str(repository.path), "--factories", "networks"]
    arguments += ["--data", str(folder / "heldout.npz"), "--plan", "vmap", "--target-error", "0.15"]
    arguments += ["--precision", "float32"]  # as the server that is started
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return repository


def audit(repository: Repository, url: str) -> None:
    """Have rows audited and labelled before the server starts, which counts them then, and twice a minute."""
    settings = Settings(
        repository.path, "networks", plan="vmap", review_url=url, review_audit_share=1, precision="float32"
    )
    with TestClient(build(settings)) as client:
        wait_until_ready(client)
        client.post(UNSURE, json={"inputs": np.random.default_rng(2).normal(size=(40, 6)).tolist()})
        for item in client.get("/v1/reviews?limit=20&status=pending").json()["reviews"]:
            resolve(client, item["id"], "a")


def resolve(client: Any, identifier: str, label: str) -> None:
    for step, given in (("claim", {}), ("resolve", {"label": label})):
        answer = client.post(f"/v1/reviews/{identifier}/{step}", json={"reviewer": "ann"} | given)
        assert answer.status_code == 200, answer.text


def ask_everything(server: Process) -> None:
    """Ask what is answered, what is refused, and what fails; enough rows for a figure of drift."""
    ask = server.client.post
    rows = np.random.default_rng(time.monotonic_ns()).normal(size=(DRIFT_ROWS, 6)).tolist()
    statuses = [
        ask("/v1/models/small/predict", json={"inputs": [ROW]}).status_code,
        ask(UNSURE, json={"inputs": [ROW], "threshold": -1}).status_code,
        ask(UNSURE, json={"inputs": "none"}).status_code,
        ask(UNSURE, json={"inputs": [ROW] * (QUEUE_ROWS + 1)}).status_code,
        ask("/v1/models/broken/predict", json={"inputs": [ROW]}).status_code,
        ask("/v1/models/raising/predict", json={"inputs": [FAR]}).status_code,
    ]
    assert statuses == [200, 200, 400, 413, 503, 500]
    for start in range(0, DRIFT_ROWS, QUEUE_ROWS):
        assert ask(UNSURE, json={"inputs": rows[start : start + QUEUE_ROWS]}).status_code == 200
    crowd(server)
    waiting = server.client.get("/v1/reviews?limit=1&status=pending").json()["reviews"]
    resolve(server.client, waiting[0]["id"], "b")


def crowd(server: Process) -> None:
    """Ask for more at one time than the queue takes."""

    def ask(_number: int) -> int:
        body = {"inputs": [ROW] * QUEUE_ROWS, "samples": 500}
        return httpx.post(f"http://{server.address}{UNSURE}", json=body, timeout=SECONDS).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(ask, range(6))) <= {200, 429}


def finite(prometheus: Prometheus, query: Query) -> list[float]:
    """Evaluate a query as Grafana does with all models chosen; gives its numbers."""
    return [value for value in values(prometheus, query) if math.isfinite(value)]


def values(prometheus: Prometheus, query: Query) -> list[float]:
    return [float(one["value"][1]) for one in prometheus.query(as_asked(query))]


def as_asked(query: Query) -> str:
    return query.expression.replace("$__rate_interval", "1m").replace("$model", ".*")


@pytest.mark.parametrize("query", SHOWN, ids=str)
def test_a_query_shows_what_its_panel_says(prometheus: Prometheus, query: Query) -> None:
    """There is data; every label that the legend names is there; a share is one."""
    assert finite(prometheus, query)
    for series in prometheus.query(as_asked(query)):
        assert query.named <= series["metric"].keys()
    if any(query.where.startswith(f"panel {title} ") for title in PERCENT):
        assert all(0 <= value <= 1 for value in finite(prometheus, query))


@pytest.mark.parametrize("query", ALERTING, ids=str)
def test_an_alert_looks_at_series_that_are_there(prometheus: Prometheus, query: Query) -> None:
    for selector in query.selectors():
        assert prometheus.query(selector), selector


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {query.where.removeprefix("alert ") for query in ALERTING}
    assert [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")] == []


def test_a_model_that_cannot_be_loaded_raises_the_alarm(prometheus: Prometheus) -> None:
    """At once that it failed, and after a minute that it does not answer."""
    raised = [series["metric"] for series in prometheus.query('ALERTS{model="broken"}')]
    states = {alert["alertname"]: alert["alertstate"] for alert in raised}
    assert states.pop("UnsureModelLoadFailed") == "firing"
    assert states.pop("UnsureModelNotReady") in ("pending", "firing")


def test_processes_are_watched_as_one_server(prometheus: Prometheus) -> None:
    """Of both that serve, Prometheus sees one target, and no series of either's own."""
    for name in ("unsure_queue_fill_ratio", "unsure_pending_rows"):
        (series,) = prometheus.query(name)
        assert series["metric"].keys() == {"__name__", "instance", "job"}
