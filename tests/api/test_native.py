"""The native face: what it answers, against the model asked directly."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import networks
import numpy as np
import pytest
import torch
from alike import assert_alike
from repositories import Repository
from safetensors.torch import load_file
from servers import Serve

from service.sampling.names import PLANS

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
ROWS = [ROW, [2 * value for value in ROW], [value - 1 for value in ROW]]


def plain_model(folder: Any, factory: str = "mlp") -> torch.nn.Module:
    model: torch.nn.Module = getattr(networks, factory)()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model.eval()


def test_a_prediction_is_the_plain_models(repository: Repository, serve: Serve) -> None:
    folder = repository.add()
    answer = serve().post("/v1/models/small/predict", json={"inputs": ROWS}).json()
    with torch.no_grad():
        expected = plain_model(folder)(torch.tensor(ROWS)).double().softmax(-1)
    assert (answer["model"], answer["version"], answer["mode"]) == ("small", "1", "deterministic")
    assert len(answer["request_id"]) == 32
    for row, p in zip(answer["predictions"], expected, strict=True):
        assert row["probabilities"] == pytest.approx(p.tolist(), rel=1e-6)
        assert row["class_index"] == int(p.argmax())
        assert row["label"] == "abc"[row["class_index"]]
        assert row["confidence"] == max(row["probabilities"])


def test_uncertainty_is_what_the_raw_samples_say(repository: Repository, serve: Serve) -> None:
    repository.add()
    body = {"inputs": ROWS, "samples": 40, "seed": 5, "include": ["samples", "quantiles"]}
    answer = serve().post("/v1/models/small/uncertainty", json=body).json()
    assert (answer["mode"], answer["seed"]) == ("mc_dropout", 5)
    for row in answer["results"]:
        p = np.array(row["sample_outputs"])
        mean = p.mean(0)
        assert p.shape == (40, 3)
        assert row["samples"] == 40
        assert row["mean"] == pytest.approx(mean)
        assert row["variance"] == pytest.approx(p.var(0, ddof=1))
        assert row["standard_error"] == pytest.approx(p.std(0, ddof=1) / np.sqrt(40))
        entropy = -(mean * np.log(mean)).sum()
        expected = -(p * np.log(p)).sum(-1).mean()
        assert row["predictive_entropy"] == pytest.approx(entropy)
        assert row["expected_entropy"] == pytest.approx(expected)
        assert row["mutual_information"] == pytest.approx(entropy - expected)
        assert row["variation_ratio"] == pytest.approx(1 - np.bincount(p.argmax(-1)).max() / 40)
        assert row["label"] == "abc"[int(mean.argmax())]
        assert row["quantiles"].keys() == {"0.05", "0.5", "0.95"}
        assert row["quantiles"]["0.95"] == pytest.approx(np.quantile(p, 0.95, axis=0))


def test_the_policy_decides_and_says_why(repository: Repository, serve: Serve) -> None:
    repository.add(policy={"measure": "predictive_entropy", "threshold": 0.5})
    answer = serve().post("/v1/models/small/uncertainty", json={"inputs": ROWS}).json()
    assert answer["policy"] | {"id": ""} == {
        "id": "",
        "measure": "predictive_entropy",
        "threshold": 0.5,
        "source": "configured",
        "certified": False,
        "uncertified_reasons": [
            "the model has no calibration; `unsure calibrate small` makes one of labelled rows"
        ],
        "guarantee": None,
    }
    for row in answer["results"]:
        assert row["score"] == row["predictive_entropy"]
        assert row["low_confidence"] is (row["score"] > 0.5)
        assert [reason["code"] for reason in row["reasons"]] == ["score_above_threshold"] * row[
            "low_confidence"
        ]
        assert row["review_id"] is None


@pytest.mark.parametrize(("threshold", "flagged"), [(-1, True), (10, False)])
def test_a_request_may_bring_its_own_threshold(
    repository: Repository, serve: Serve, threshold: float, flagged: bool
) -> None:
    repository.add()
    body = {"inputs": ROWS, "threshold": threshold, "review": True}
    answer = serve().post("/v1/models/small/uncertainty", json=body).json()
    assert (answer["policy"]["source"], answer["policy"]["threshold"]) == ("request", threshold)
    assert not answer["policy"]["certified"]
    assert [row["low_confidence"] for row in answer["results"]] == [flagged] * 3


def test_the_default_seed_repeats_itself_and_null_does_not(repository: Repository, serve: Serve) -> None:
    repository.add(sampling={"seed": 77, "samples": 10})
    client = serve()

    def ask(**more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = client.post(
            "/v1/models/small/uncertainty", json={"inputs": ROWS} | more
        ).json()
        return answer

    first, again = ask(), ask()
    assert first["seed"] == 77
    assert first["results"] == again["results"]
    assert first["results"][0]["samples"] == 10
    fresh = [ask(seed=None) for _ in range(3)]
    assert len({answer["seed"] for answer in fresh}) == 3
    assert ask(seed=fresh[0]["seed"])["results"] == fresh[0]["results"]


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**64 - 1])
def test_every_seed_comes_back_as_it_was(repository: Repository, serve: Serve, seed: int) -> None:
    repository.add()
    body = {"inputs": [ROW], "samples": 2, "seed": seed}
    assert serve().post("/v1/models/small/uncertainty", json=body).json()["seed"] == seed


def test_a_longer_request_begins_like_a_shorter_one(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    short, long = (
        client.post(
            "/v1/models/small/uncertainty", json={"inputs": [ROW], "samples": count, "include": ["samples"]}
        ).json()["results"][0]["sample_outputs"]
        for count in (7, 90)
    )
    assert np.allclose(short, long[:7], rtol=1e-6)


def test_answers_are_the_same_while_others_ask_with_other_seeds(repository: Repository, serve: Serve) -> None:
    """Eight clients at once mix predictions, seeds and numbers of samples: each gets what it gets alone.

    They share batches, so all but rounding is the same; other seeds, or one sample more, would be far off.
    """
    repository.add()
    client = serve()

    def ask(number: int) -> Any:
        if number % 2:
            return client.post("/v1/models/small/predict", json={"inputs": [ROW]}).json()["predictions"]
        body = {"inputs": ROWS[: 1 + number % 3], "samples": 5 + number % 7, "seed": number % 4}
        return client.post("/v1/models/small/uncertainty", json=body).json()["results"]

    alone = [ask(number) for number in range(84)]
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(ask, [number % 84 for number in range(504)]))
    for index, answer in enumerate(together):
        assert_alike(answer, alone[index % 84])


def test_regression(repository: Repository, serve: Serve) -> None:
    folder = repository.add(
        factory="values",
        task="regression",
        output={"variance_head": True},
        policy={"measure": "standard_deviation", "threshold": 0.1},
    )
    client = serve()
    prediction = client.post("/v1/models/small/predict", json={"inputs": [ROW]}).json()["predictions"][0]
    with torch.no_grad():
        mean, log_variance = plain_model(folder, "values")(torch.tensor([ROW]))[0].double().chunk(2)
    assert prediction["value"] == pytest.approx(mean.tolist(), rel=1e-6)
    assert prediction["aleatoric_variance"] == pytest.approx(log_variance.exp().tolist(), rel=1e-5)
    body = {"inputs": [ROW], "include": ["samples"]}
    row = client.post("/v1/models/small/uncertainty", json=body).json()["results"][0]
    values = np.array(row["sample_outputs"])
    assert values.shape == (50, 2)
    assert row["mean"] == pytest.approx(values.mean(0))
    assert row["variance"] == pytest.approx(values.var(0, ddof=1))
    assert row["total_variance"] == pytest.approx(np.add(row["variance"], row["aleatoric_variance"]))
    half = 1.959963984540054 * np.sqrt(row["total_variance"])
    assert (row["interval"]["level"], row["interval"]["method"]) == (0.95, "normal")
    assert row["interval"]["lower"] == pytest.approx(np.subtract(row["mean"], half))
    assert row["interval"]["upper"] == pytest.approx(np.add(row["mean"], half))
    assert row["score"] == pytest.approx(np.sqrt(row["total_variance"]).max())
    assert row["low_confidence"]


def test_regression_without_a_variance_head(repository: Repository, serve: Serve) -> None:
    repository.add(
        task="regression", output={}, policy={"measure": "relative_standard_deviation", "threshold": 1e9}
    )
    client = serve()
    prediction = client.post("/v1/models/small/predict", json={"inputs": [ROW]}).json()["predictions"][0]
    assert prediction.keys() == {"value"}
    row = client.post("/v1/models/small/uncertainty", json={"inputs": [ROW]}).json()["results"][0]
    assert row["aleatoric_variance"] is None
    assert row["interval"]["method"] == "normal_epistemic"
    assert row["total_variance"] == row["variance"]
    assert not row["low_confidence"]


def test_a_model_that_gives_probabilities(repository: Repository, serve: Serve) -> None:
    repository.add(factory="softened", output={"labels": ["a", "b", "c"], "activation": "none"})
    client = serve()
    p = client.post("/v1/models/small/predict", json={"inputs": [ROW]}).json()["predictions"][0][
        "probabilities"
    ]
    assert sum(p) == pytest.approx(1, abs=1e-6)


def test_several_inputs(repository: Repository, serve: Serve) -> None:
    tensors = [
        {"name": "left", "dtype": "float32", "shape": [3]},
        {"name": "right", "dtype": "int64", "shape": [2]},
    ]
    repository.add(factory="two_inputs", input=tensors)
    inputs = {"left": [[1, 2, 3]], "right": [[4, 5]]}
    answer = serve().post("/v1/models/small/uncertainty", json={"inputs": inputs})
    assert answer.status_code == 200


def test_rows_of_any_length(repository: Repository, serve: Serve) -> None:
    repository.add(factory="any_length", input=[{"name": "x", "dtype": "float32", "shape": [-1, 6]}])
    client = serve()
    for length in (1, 3, 50):
        answer = client.post("/v1/models/small/uncertainty", json={"inputs": [[ROW] * length] * 2})
        assert answer.status_code == 200, answer.text


def test_the_highest_version_serves_and_the_others_by_number(repository: Repository, serve: Serve) -> None:
    for version in (1, 2, 10):
        repository.add(version=version)
    client = serve()

    def probabilities(path: str) -> list[float]:
        answer = client.post(path, json={"inputs": [ROW]}).json()
        assert answer["version"] == (path.split("/")[5] if "versions" in path else "10")
        p: list[float] = answer["predictions"][0]["probabilities"]
        return p

    default = probabilities("/v1/models/small/predict")
    by_number = [probabilities(f"/v1/models/small/versions/{version}/predict") for version in (1, 2, 10)]
    assert default == by_number[2]
    assert len({tuple(p) for p in by_number}) == 3
    answer = client.post("/v1/models/small/versions/2/uncertainty", json={"inputs": [ROW]}).json()
    assert answer["version"] == "2"


def test_models_are_described(repository: Repository, serve: Serve) -> None:
    repository.add("one", version=3)
    repository.add("two", policy={"measure": "nothing", "threshold": 1})
    client = serve(plan="auto")
    assert client.get("/v1/models").json() == {
        "models": [
            {"name": "one", "state": "ready", "versions": ["3"], "task": "classification"},
            {"name": "two", "state": "unavailable", "versions": [], "task": None},
        ]
    }
    model = client.get("/v1/models/one").json()
    assert model["inputs"] == [{"name": "features", "dtype": "float32", "shape": [6]}]
    assert model["output"] == {"width": 3, "labels": ["a", "b", "c"], "variance_head": False}
    assert model["sampling"] == {"samples": 50, "max_samples": 1000, "seed": 0, "exact": False}
    assert model["policy"]["threshold"] == 0.9
    assert set(model["plan"]["by_rows"].values()) <= set(PLANS)
    assert {(time["plan"], time["rows"]) for time in model["plan"]["measured"]} >= {("loop", 1), ("vmap", 1)}
    assert model["sites"] == [
        {"path": path, "kind": "dropout", "rate": 0.5, "sampled": True} for path in ("2", "5")
    ]
    assert len(model["weights_sha256"]) == 64


def test_the_dropout_report(repository: Repository, serve: Serve) -> None:
    repository.add(sampling={"sites": ["5"]})
    report = serve().get("/v1/models/small/dropout").json()
    assert report["can_sample"]
    assert [
        (site["path"], site["sampled"], site["fired"], site["mask_shape"]) for site in report["sites"]
    ] == [
        ("2", False, True, [1, 32]),
        ("5", True, True, [1, 32]),
    ]
    assert [finding["code"] for finding in report["findings"]] == ["not_sampled"]


def test_an_identifier_of_the_clients_own_is_kept(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    for sent, kept in (("order-17", True), ("a b\tc", False), ("x" * 200, False)):
        answer = client.post(
            "/v1/models/small/predict", json={"inputs": [ROW]}, headers={"X-Request-ID": sent}
        )
        assert (answer.json()["request_id"] == sent) is kept
        assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_body_needs_no_content_type(repository: Repository, serve: Serve) -> None:
    repository.add()
    answer = serve().post("/v1/models/small/predict", content=b'{"inputs": [[1,2,3,4,5,6]]}')
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
