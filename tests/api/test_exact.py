"""`samples: "exact"` over HTTP: what endless samples would say, where that has a closed form."""

from typing import Any

import numpy as np
import pytest
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

from service.errors import ManifestError
from service.predictor.execution import Execution
from service.predictor.served_model import prepare
from service.repository.folder import ModelFolder

PATH = "/v1/models/small"
ROWS = [[0.5, -1.0, 2.0, 0.0, 1.5, -0.5], [0.0] * 6, [1.0] * 6]
REGRESSION: dict[str, Any] = {
    "factory": "linear",
    "task": "regression",
    "output": {},
    "policy": {"measure": "standard_deviation", "threshold": 0.4},
}


def asked(client: TestClient, status: int = 200, **more: Any) -> dict[str, Any]:
    answer = client.post(f"{PATH}/uncertainty", json={"inputs": ROWS} | more)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_exact_answer_is_the_limit_of_samples(repository: Repository, serve: Serve) -> None:
    """1000 samples of the model's seed: means within 5 standard errors."""
    repository.add(**REGRESSION)
    client = serve()
    exact, sampled = asked(client, samples="exact"), asked(client, samples=1000)
    assert exact["samples"] == "exact"
    predicted = client.post(f"{PATH}/predict", json={"inputs": ROWS}).json()["predictions"]
    for row, other, prediction in zip(exact["results"], sampled["results"], predicted, strict=True):
        assert (row["samples"], row["settled"], row["score_standard_error"]) == (0, True, 0.0)
        assert row["standard_error"] == [0.0] * 3
        assert np.allclose(row["mean"], prediction["value"])
        apart = np.abs(np.subtract(row["mean"], other["mean"]))
        assert (apart <= 5 * np.array(other["standard_error"]) + 1e-6).all()
        assert np.allclose(row["variance"], other["variance"], rtol=5 * (2 / 1000) ** 0.5)
        assert row["score"] == pytest.approx(max(row["variance"]) ** 0.5)
        assert row["low_confidence"] == (row["score"] > 0.4)


def test_a_manifest_can_make_it_the_default(repository: Repository, serve: Serve) -> None:
    repository.add(**REGRESSION, sampling={"samples": "exact"})
    client = serve()
    assert client.get(PATH).json()["sampling"] == {
        "samples": "exact",
        "max_samples": 1000,
        "seed": 0,
        "exact": True,
    }
    assert asked(client) | {"request_id": ""} == asked(client, samples="exact") | {"request_id": ""}
    assert asked(client, samples=20)["results"][0]["samples"] == 20
    counted = client.get("/metrics").text
    assert 'unsure_samples_total{model="small",version="1"} 60.0' in counted


def test_what_has_no_closed_form_is_refused(repository: Repository, serve: Serve) -> None:
    repository.add(factory="linear")
    repository.add("deep", **REGRESSION | {"factory": "mlp"})
    client = serve()
    assert not client.get(PATH).json()["sampling"]["exact"]
    reasons = []
    for refused in (
        asked(client, 400, samples="exact"),
        client.post("/v1/models/deep/uncertainty", json={"inputs": ROWS, "samples": "exact"}).json(),
    ):
        assert refused["code"] == "invalid_input"
        reasons.append(refused["error"].split(": ", 1)[1])
    assert reasons == [
        "model small is a classifier, and averages probabilities; ask for a number",
        "model deep drops at 2, 5; it must drop nowhere but at the input of its last linear layer; "
        "ask for a number",
    ]


def test_raw_samples_cannot_be_exact(repository: Repository, serve: Serve) -> None:
    repository.add(**REGRESSION)
    refused = asked(serve(), 400, samples="exact", include=["quantiles"])
    assert refused["error"] == 'include: samples "exact" draws none; ask for a number of samples'


def test_a_manifest_that_asks_for_it_in_vain_is_refused(repository: Repository) -> None:
    repository.add(**REGRESSION | {"factory": "mlp"}, sampling={"samples": "exact"})
    folder = ModelFolder(repository.path / "small")
    with pytest.raises(ManifestError, match=r'sampling.samples is "exact", but the model drops at 2, 5'):
        prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution())
