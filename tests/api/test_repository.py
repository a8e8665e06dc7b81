"""The repository of the Open Inference Protocol: index, load and unload while the server serves."""

import gc
import shutil
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import networks
import pytest
import torch
from errors_on_the_wire import assert_failed
from held import Held
from protocol import INFER, ROWS, body, outputs
from repositories import Repository
from safetensors.torch import save_model
from servers import Serve
from starlette.testclient import TestClient

from service.predictor.catalogue import Catalogue
from service.predictor.loading import Loader, without_paths
from service.predictor.served_model import ServedModel

INDEX = "/v2/repository/index"
LOAD = "/v2/repository/models/small/load"
UNLOAD = "/v2/repository/models/small/unload"


def line(name: str, version: str, state: str, reason: str = "") -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def ready_series(client: TestClient) -> list[str]:
    """Tell what the metrics say of versions: "version value"."""
    lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith('unsure_model_ready{model="small"')]
    return sorted(line.split('version="')[1].replace('"}', "") for line in found)


def break_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"garbage")


def test_the_index_lists_what_answers_and_what_does_not(repository: Repository, serve: Serve) -> None:
    repository.add(version=1)
    break_weights(repository.add(version=2))
    repository.add("other")
    client = serve()
    repository.add("new")
    listed = client.post(INDEX).json()
    reason = "small/2/weights.safetensors is not a safetensors file"
    assert [(one["name"], one["version"], one["state"]) for one in listed] == [
        ("new", "", "UNAVAILABLE"),
        ("other", "1", "READY"),
        ("small", "1", "READY"),
        ("small", "2", "UNAVAILABLE"),
    ]
    assert listed[0]["reason"] == "is not loaded yet"
    assert listed[3]["reason"].startswith(reason)
    answering = [line("other", "1", "READY"), line("small", "1", "READY")]
    assert client.post(INDEX, json={"ready": True}).json() == answering
    assert client.post(INDEX, json={"ready": False}).json() == listed == client.post(INDEX, json={}).json()
    assert_failed(client.post(INDEX, json={"ready": "yes"}), 400, "invalid_input", "expected `bool`")


def test_the_index_tells_of_loading(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add()
    held = Held(monkeypatch, Loader, "load")
    client = serve(wait=False)
    assert held.begun.wait(30)
    try:
        assert client.post(INDEX).json()[0]["state"] == "LOADING"
        for path in (LOAD, UNLOAD):
            assert_failed(client.post(path), 503, "unavailable", "the models are still loading")
    finally:
        held.open.set()


def test_a_new_model_is_loaded(repository: Repository, serve: Serve) -> None:
    client = serve()
    assert_failed(client.post(LOAD), 404, "not_found", "the repository has no folder 'small'")
    repository.add()
    assert_failed(client.post(INFER, json=body()), 404, "not_found", "there is no model 'small'")
    answer = client.post(LOAD)
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert outputs(client.post(INFER, json=body()))["output"].shape == (2, 3)
    assert ready_series(client) == ["1 1.0"]


@pytest.mark.parametrize("name", ["..", "%2e%2e", ".hidden", "a b", "small%00"])
def test_only_folders_of_models_are_loaded(repository: Repository, serve: Serve, name: str) -> None:
    (repository.path / ".hidden").mkdir()
    client = serve()
    for verb in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/{name}/{verb}")
        assert_failed(answer, 404, "not_found", "no ")


def test_a_new_version_becomes_the_default_and_an_old_one_goes(repository: Repository, serve: Serve) -> None:
    first = repository.add(version=1)
    client = serve()
    before = outputs(client.post(INFER, json=body()))["output"]
    repository.add(version=2)
    assert client.post(INFER, json=body()).json()["model_version"] == "1"
    assert client.post(LOAD).status_code == 200
    assert client.post(INFER, json=body()).json()["model_version"] == "2"
    assert (outputs(client.post("/v2/models/small/versions/1/infer", json=body()))["output"] == before).all()
    shutil.rmtree(first)
    assert client.post(LOAD).status_code == 200
    gone = client.post("/v2/models/small/versions/1/infer", json=body())
    assert_failed(gone, 404, "not_found", "has no version 1; it has 2")
    assert ready_series(client) == ["2 1.0"]


def test_a_load_reads_weights_and_manifest_anew(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    before = outputs(client.post(INFER, json=body()))["output"]
    repository.add(factory="pair", output={"labels": ["a", "b"]})
    assert client.post(LOAD).json() == {}
    after = outputs(client.post(INFER, json=body()))["output"]
    assert (before.shape, after.shape) == ((2, 3), (2, 2))


BROKEN = {
    "weights": "small/2/weights.safetensors is not a safetensors file",
    "manifest": "small/model.toml: unknown key policy.thresold",
    "factory": "source.factory networks:reading_a_file with source.arguments {} raised FileNotFoundError",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_load_that_fails_changes_nothing(repository: Repository, serve: Serve, case: str) -> None:
    """Version 1 has new weights, and keeps its old ones: an error means that all is as it was."""
    first = repository.add(version=1)
    client = serve()
    before = outputs(client.post(INFER, json=body()))["output"]
    save_model(networks.mlp(), str(first / "weights.safetensors"))
    _break(repository, case)
    answer = client.post(LOAD)
    assert_failed(answer, 400, "invalid_input", BROKEN[case])
    assert "model small could not be loaded, and is as it was before" in answer.json()["error"]
    assert str(repository.path) not in answer.text
    assert "/secret" not in answer.text
    now = client.post(INFER, json=body())
    assert now.json()["model_version"] == "1"
    assert (outputs(now)["output"] == before).all()
    assert client.post(INDEX, json={"ready": True}).json()[0]["version"] == "1"
    assert "unavailable" not in client.get("/v1/models").text
    assert len(ready_series(client)) == 2
    assert "1 1.0" in ready_series(client)
    repository.add(version=2)
    assert client.post(LOAD).json() == {}
    assert ready_series(client) == ["1 1.0", "2 1.0"]
    assert all(one["reason"] == "" for one in client.post(INDEX).json())


def _break(repository: Repository, case: str) -> None:
    folder = repository.add(version=2)
    manifest = folder.parent / "model.toml"
    if case == "weights":
        break_weights(folder)
    elif case == "manifest":
        manifest.write_text(manifest.read_text().replace("threshold", "thresold"))
    else:
        manifest.write_text(manifest.read_text().replace("networks:mlp", "networks:reading_a_file"))


def test_what_failed_at_the_start_is_forgotten_by_a_load(repository: Repository, serve: Serve) -> None:
    manifest = repository.add().parent / "model.toml"
    good = manifest.read_text()
    manifest.write_text("name = small")
    client = serve()
    assert ready_series(client) == ["unknown 0.0"]
    assert client.post(INDEX).json()[0]["reason"].startswith("small/model.toml is not valid TOML")
    manifest.write_text(good)
    assert client.post(LOAD).json() == {}
    assert ready_series(client) == ["1 1.0"]
    assert client.get("/v2/models/small/ready").status_code == 200


def test_a_fault_of_the_server_is_500_and_changes_nothing(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    repository.add()
    client = serve()

    def fail(*_given: Any) -> None:
        raise MemoryError("a secret of the server")

    monkeypatch.setattr(ServedModel, "__init__", fail)
    answer = client.post(LOAD)
    assert_failed(answer, 500, "model_error", "by a fault of the server; its log says more")
    assert "secret" not in answer.text
    assert "a secret of the server" in caplog.text
    assert client.post(INFER, json=body()).status_code == 200


def test_an_unloaded_model_is_503_until_it_is_loaded(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    for _ in range(2):
        assert client.post(UNLOAD, json={"parameters": {"unload_dependents": False}}).json() == {}
    for answer in (
        client.post(INFER, json=body()),
        client.post("/v2/models/small/versions/1/infer", json=body()),
        client.get("/v2/models/small/ready"),
        client.post("/v1/models/small/predict", json={"inputs": ROWS.tolist()}),
    ):
        assert_failed(answer, 503, "unavailable", "is unloaded; load it again to ask it")
    assert client.post(INDEX).json() == [
        line("small", "", "UNAVAILABLE", "is unloaded; load it again to ask it")
    ]
    assert client.get("/v2/health/ready").status_code == 200
    assert ready_series(client) == []
    assert client.post(LOAD).json() == {}
    assert client.post(INFER, json=body()).status_code == 200


def test_what_there_is_not_cannot_be_unloaded(serve: Serve) -> None:
    assert_failed(serve().post(UNLOAD), 404, "not_found", "there is no model 'small'")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"config": "{}"}, "parameters.config: a model is loaded as it lies in the repository"),
        ({"file:1/model.pt": "eA=="}, "parameters.file:1/model.pt: a model is loaded as it lies"),
        ({"x": [1]}, "got `array`"),
    ],
)
def test_a_load_takes_what_lies_in_the_repository(
    repository: Repository, serve: Serve, parameters: dict[str, Any], message: str
) -> None:
    repository.add()
    answer = serve().post(LOAD, json={"parameters": parameters})
    assert_failed(answer, 400, "invalid_input", message)


def test_a_stopping_server_loads_nothing(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    client.app.state.close()  # type: ignore[attr-defined]
    for path in (LOAD, UNLOAD):
        assert_failed(client.post(path), 503, "unavailable", "the server is stopping")


def test_a_request_in_flight_is_answered_by_the_model_that_began_it(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add()
    client = serve()
    before = outputs(client.post(INFER, json=body()))["output"]
    held = Held(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, INFER, json=body())
        assert held.begun.wait(30)
        assert client.post(UNLOAD).status_code == 200
        held.open.set()
        assert (outputs(waiting.result())["output"] == before).all()


def test_no_request_is_lost_while_models_are_loaded_anew(repository: Repository, serve: Serve) -> None:
    """Twenty loads, every other one broken, under two threads that ask and one that samples."""
    folder = repository.add()
    weights = (folder / "weights.safetensors").read_bytes()
    client = serve()
    expected = outputs(client.post(INFER, json=body()))["output"]
    done = threading.Event()

    def ask(more: dict[str, Any], name: str) -> list[int]:
        statuses = []
        while not done.is_set():
            answer = client.post(INFER, json=body(**more))
            statuses.append(answer.status_code)
            if name == "output":
                assert abs(outputs(answer)[name] - expected).max() < 1e-6
        return statuses

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, {}, "output") for _ in range(2)]
        asking.append(pool.submit(ask, {"parameters": {"samples": 10}}, "mean"))
        for number in range(20):
            (folder / "weights.safetensors").write_bytes(b"garbage" if number % 2 else weights)
            assert client.post(LOAD).status_code == (400 if number % 2 else 200)
        done.set()
        statuses = [status for one in asking for status in one.result()]
    assert set(statuses) == {200}
    assert len(statuses) > 20


def test_loads_at_once_take_their_turns(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: client.post(path), [LOAD, UNLOAD] * 4))
    assert {answer.status_code for answer in answers} == {200}
    assert client.post(LOAD).status_code == 200
    assert client.post(INFER, json=body()).status_code == 200


def test_an_unload_waits_for_the_load_before_it(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the load would bring back what was unloaded meanwhile."""
    repository.add()
    catalogue = _catalogue(serve())
    held = Held(monkeypatch, Loader, "load")
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(catalogue.reload, "small")
        assert held.begun.wait(30)
        unloading = pool.submit(catalogue.unload, "small")
        assert unloading not in wait([unloading], timeout=0.2).done
        held.open.set()
        loading.result()
        unloading.result()
    assert catalogue.entry("small").unloaded


def _catalogue(client: TestClient) -> Catalogue:
    routes = client.app.routes  # type: ignore[attr-defined]
    found = next(route.endpoint.__self__._catalogue for route in routes if route.path == INDEX)
    assert isinstance(found, Catalogue)
    return found


def test_two_hundred_failed_loads_leave_nothing_behind(repository: Repository, serve: Serve) -> None:
    folder = repository.add()
    manifest = folder.parent / "model.toml"
    client = serve()
    # Found out last: network, weights and engine are there by then.
    manifest.write_text(manifest.read_text().replace('"c"]', '"c", "d"]'))
    for _ in range(20):  # what is made once is made
        assert client.post(LOAD).status_code == 400
    before = _held()
    for _ in range(180):
        assert client.post(LOAD).status_code == 400
    after = _held()
    assert after["tensors"] <= before["tensors"]
    assert after["threads"] <= before["threads"] + 2
    assert after["kibibytes"] < before["kibibytes"] + 30_000


def _held() -> dict[str, int]:
    gc.collect()
    tensors = sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"tensors": tensors, "threads": threading.active_count(), "kibibytes": pages * 4}


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
def test_a_model_that_was_replaced_is_let_go(repository: Repository, serve: Serve, path: str) -> None:
    """Neither the queue's memory of its speed nor the thread that ran it holds its weights."""
    repository.add()
    client = serve()
    catalogue = _catalogue(client)
    for more in ({}, {"parameters": {"samples": 10, "seed": 3}}):
        assert client.post(INFER, json=body(**more)).status_code == 200
    model = weakref.ref(catalogue.find("small", None))
    assert client.post(path).status_code == 200
    gc.collect()
    assert model() is None


def test_both_kinds_of_outputs_come_from_one_model(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load between the two runs of one request changes neither."""
    repository.add(version=1)
    client = serve()
    found: list[str] = []
    find = Catalogue.find

    def told(catalogue: Catalogue, name: str, version: int | None) -> ServedModel:
        found.append(name)
        return find(catalogue, name, version)

    monkeypatch.setattr(Catalogue, "find", told)
    both = body(outputs=[{"name": "output"}, {"name": "mean"}])
    assert client.post(INFER, json=both).status_code == 200
    assert found == ["small"]


def test_no_path_of_the_server_is_told(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    text = (
        f"{repository}/m/1: importing raised OSError('/etc/secret/key', \"/root\") at http://a/b, and/or 1/2"
    )
    assert without_paths(text, repository) == (
        "m/1: importing raised OSError('…', \"…\") at http://a/b, and/or 1/2"
    )
