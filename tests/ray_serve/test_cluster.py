"""The server on a real cluster of Ray: replicas answer alike, change together, and outlive each other."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import postgres
import pytest
from ray import kill, serve
from rays import APPLICATION, SECONDS, cluster, deploy, replicas, running, until
from repositories import Repository
from servers import wait_until_ready
from starlette.testclient import TestClient

from service.access.issue import issue
from service.app import build
from service.ray_serve.application import FRONT
from service.ray_serve.exchange import Asked
from service.settings import Settings

pytestmark = [
    pytest.mark.end_to_end,
    # Ray leaves files and sockets to the garbage collector, in the process that starts a cluster.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
UNCERTAIN = "/v1/models/small/uncertainty"
QUESTIONS = {
    "/v1/models/small/predict": {"inputs": [ROW]},
    UNCERTAIN: {"inputs": [ROW, ROW[::-1]], "samples": 40, "seed": 7, "review": False},
    "/v2/models/small/infer": {
        "id": "1",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": ROW}],
        "outputs": [{"name": "mean"}, {"name": "score"}],
    },
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    found = Repository(tmp_path_factory.mktemp("ray") / "repository")
    for name in ("small", "other"):
        found.add(name, policy={"measure": "predictive_entropy", "threshold": 0.0})
    return found


@pytest.fixture(scope="module")
def reviews() -> Iterator[str]:
    with postgres.cluster() as queue:
        yield queue.url


@pytest.fixture(scope="module")
def arguments(repository: Repository, reviews: str) -> dict[str, Any]:
    return {
        "repository": str(repository.path),
        "factories": "networks",
        "plan": "vmap",
        "review_url": reviews,
        "api_keys_file": str(repository.path.parent / "keys.toml"),
        "drain_seconds": 5,
    }


@pytest.fixture(scope="module")
def client(arguments: dict[str, Any]) -> Iterator[httpx.Client]:
    key = issue(Path(arguments["api_keys_file"]), "all", ("predict", "review", "admin"), None)
    scaling = {
        "min_replicas": 1,
        "max_replicas": 2,
        "upscale_delay_s": 0,
        "look_back_period_s": 11,
        "policy": {
            "policy_function": "service.ray_serve.autoscaling:QueueCost",
            "policy_kwargs": {"samples_per_replica": 1000},
        },
    }
    with cluster() as address:
        little = {"ray_actor_options": {"num_cpus": 0.1}}
        deploy(
            arguments,
            [
                little | {"name": FRONT},
                little | {"name": "small", "num_replicas": 2},
                little | {"name": "other", "autoscaling_config": scaling},
            ],
        )
        with httpx.Client(
            base_url=address, timeout=SECONDS, headers={"Authorization": f"Bearer {key}"}
        ) as asking:
            wait_until_ready(asking, SECONDS)
            yield asking


def of_each(model: str, method: str, *given: Any) -> list[Any]:
    """Call a method of every replica of a model; of one that is dead by now it gives the error."""
    handle = serve.get_deployment_handle(model, APPLICATION)
    outcomes: list[Any] = handle.broadcast(method, *given).results(timeout_s=SECONDS, return_exceptions=True)
    return outcomes


def statuses(client: httpx.Client) -> list[int | None]:
    """Tell what every replica answers a question about the small model with."""
    question = asked(client, "/v1/models/small/predict", {"inputs": [ROW]})
    return [getattr(one, "status", None) for one in of_each("small", "answer", question)]


def asked(client: httpx.Client, path: str, body: Any) -> Asked:
    request = client.build_request("POST", path, json=body, headers={"X-Request-ID": "same"})
    headers = tuple((name.lower(), value) for name, value in request.headers.raw)
    return Asked("POST", path, b"", headers, request.content)


def test_replicas_answer_as_one_process_does(client: httpx.Client, arguments: dict[str, Any]) -> None:
    settings = Settings(
        repository=Path(arguments["repository"]), factories="networks", plan="vmap", review_url="off"
    )
    with TestClient(build(settings)) as alone:
        wait_until_ready(alone)
        for path, body in QUESTIONS.items():
            wanted = alone.post(path, json=body, headers={"X-Request-ID": "same"})
            assert wanted.status_code == 200
            answers = of_each("small", "answer", asked(client, path, body))
            assert [(one.status, one.body) for one in answers] == [(200, wanted.content)] * 2
            through = client.post(path, json=body, headers={"X-Request-ID": "same"})
            assert (through.status_code, through.content) == (200, wanted.content)
            assert through.headers.get_list("X-Request-ID") == ["same"]


def test_lists_are_of_all_models(client: httpx.Client) -> None:
    assert [one["name"] for one in client.get("/v1/models").json()["models"]] == ["other", "small"]
    index = client.post("/v2/repository/index").json()
    assert [(one["name"], one["state"]) for one in index] == [("other", "READY"), ("small", "READY")]
    missing = client.post("/v1/models/none/predict", json={"inputs": [ROW]})
    assert missing.status_code == 404
    assert missing.json()["error"] == "there is no model 'none'; there are: other, small"


def test_without_a_key_nothing_is_told(client: httpx.Client) -> None:
    for method, path in [("GET", "/v1/models"), ("POST", UNCERTAIN), ("POST", "/v1/reviews/1/resolve")]:
        answer = client.request(method, path, headers={"Authorization": ""})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_metrics_are_of_every_replica(client: httpx.Client) -> None:
    for _ in range(20):
        assert client.post("/v1/models/small/predict", json={"inputs": [ROW]}).status_code == 200
    text = client.get("/metrics").text
    found = re.findall(r'^unsure_model_ready\{model="(\w+)",replica="(\w+)",version="1"\} 1.0$', text, re.M)
    assert Counter(model for model, _ in found) == {"small": 2, "other": 1}
    assert len({replica for _, replica in found}) == 3
    assert text.count("# TYPE unsure_rows_total counter") == 1


def test_rows_of_every_replica_are_in_one_queue(client: httpx.Client) -> None:
    body = {"inputs": [ROW], "samples": 10, "seed": 3}
    answers = of_each("small", "answer", asked(client, UNCERTAIN, body))
    assert [one.status for one in answers] == [200, 200]
    (item, *_) = client.get("/v1/reviews?limit=1").json()["reviews"]
    at = f"/v1/reviews/{item['id']}"
    assert client.post(f"{at}/claim", json={"reviewer": "ann"}).status_code == 200
    wrong = client.post(f"{at}/resolve", json={"reviewer": "ann", "label": "z"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "label must be one of a, b, c, and is 'z'")
    assert client.post(f"{at}/resolve", json={"reviewer": "ann", "label": "b"}).status_code == 200


def test_a_killed_replica_costs_no_wrong_answer_and_the_next_knows_what_has_changed(
    client: httpx.Client,
) -> None:
    wanted = client.post(UNCERTAIN, json=QUESTIONS[UNCERTAIN]).json()["results"]
    outcomes: list[httpx.Response] = []
    with asking(lambda: outcomes.append(client.post(UNCERTAIN, json=QUESTIONS[UNCERTAIN])), threads=8):
        until(lambda: len(outcomes) > 50)
        kill(next(iter(replicas("small").values())))
        count = len(outcomes)
        until(lambda: len(outcomes) > count + 100)
    for one in outcomes:
        if one.status_code == 200:
            assert_alike(one.json()["results"], wanted)
        else:
            assert (one.status_code, one.json()["code"]) == (503, "unavailable")
    assert outcomes[-1].status_code == 200

    # Meanwhile another starts: it must hear of this, whether it has loaded by now or not.
    assert client.post("/v2/repository/models/small/unload").status_code == 200
    until(lambda: statuses(client) == [503, 503])
    assert client.get("/v2/health/ready").status_code == 200
    assert client.post("/v2/repository/models/small/load").status_code == 200
    assert statuses(client) == [200, 200]


@contextmanager
def asking(ask: Callable[[], Any], threads: int) -> Iterator[None]:
    """Ask again and again, from several threads."""
    stop = threading.Event()

    def on_and_on() -> None:
        while not stop.is_set():
            ask()

    started = [threading.Thread(target=on_and_on) for _ in range(threads)]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in started:
            thread.join()


def assert_alike(results: Any, wanted: Any) -> None:
    """Rows that ran beside others may differ in the last digits."""
    for found, expected in zip(results, wanted, strict=True):
        for name in ("mean", "variance"):
            assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)


def test_what_waits_brings_another_replica(client: httpx.Client) -> None:
    assert running("other") == 1
    body = {"inputs": [ROW] * 100, "samples": 1000, "review": False}
    with asking(lambda: client.post("/v1/models/other/uncertainty", json=body), threads=2):
        until(lambda: running("other") == 2)
