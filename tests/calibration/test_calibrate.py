"""`unsure calibrate`, from labelled rows to answers that say what is promised."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from decided import decided
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient
from wires import until

from models.training.data import Rows
from models.training.entry import fingerprints
from service.cli import main
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.calibration import read_calibration
from service.repository.folder import ModelFolder

ROWS = 400
LABELS = ("a", "b", "c")
SAMPLING = {"samples": 10, "seed": 3}
REGRESSION: dict[str, Any] = {
    "factory": "linear",
    "task": "regression",
    "output": {},
    "policy": {"measure": "standard_deviation", "threshold": 0.4},
}
PATH = "/v1/models/small"


def loaded(repository: Repository) -> ServedModel:
    folder = ModelFolder(repository.path / "small")
    return prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution(plan="vmap"))


def drawn(repository: Repository, rows: int = ROWS) -> dict[str, Any]:
    """Draw rows, and label them as the whole network does: only rows that it is unsure of are wrong."""
    inputs = np.random.default_rng(1).normal(size=(rows, 6)).astype(np.float32)
    model = loaded(repository)
    given: Any = model.predict(
        model.inputs.read(json.dumps({"features": inputs.tolist()}).encode()).groups[0].inputs
    )
    classifies = model.manifest.task == "classification"
    return {"inputs": inputs, "targets": given.class_index if classifies else given.value}


def calibrate(repository: Repository, data: Mapping[str, Any] | Path | None, *more: str) -> Result:
    path = data
    if isinstance(data, Mapping):
        path = repository.path.parent / "heldout.npz"
        np.savez(path, **data)
    arguments = ["calibrate", "small", "--repository", str(repository.path), "--factories", "networks"]
    if path is not None:
        arguments += ["--data", str(path)]
    return CliRunner().invoke(main, [*arguments, "--plan", "vmap", *more])


@pytest.fixture
def classifier(repository: Repository) -> Repository:
    """A model that gives every class, and is mostly sure."""
    repository.add(sampling=SAMPLING, network=decided())
    return repository


def asked(client: TestClient, **more: Any) -> dict[str, Any]:
    answer = client.post(f"{PATH}/uncertainty", json={"inputs": [[0.5, -1, 2, 0, 1.5, -0.5], [0] * 6]} | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_promise_reaches_the_answers_and_ends_where_a_request_leaves_it(
    classifier: Repository, serve: Serve
) -> None:
    told = calibrate(classifier, drawn(classifier), "--target-error", "0.15")
    assert told.exit_code == 0, told.output
    assert "Of the rows not flagged at most 15 % are wrong (95 % confidence); expect" in told.stdout
    assert "None of these rows is wrong" not in told.stdout
    client = serve()
    found = asked(client)
    calibration = read_calibration(classifier.path / "small" / "1")
    assert calibration is not None
    assert found["policy"] | {"id": ""} == {
        "id": "",
        "measure": calibration.measure,
        "threshold": calibration.found.threshold,
        "source": "calibrated",
        "certified": True,
        "guarantee": {"contract": "selective_risk", "target_error": 0.15, "confidence": 0.95},
        "uncertified_reasons": [],
    }
    for row in found["results"]:
        assert row["low_confidence"] == (row["score"] > calibration.found.threshold)
        assert row["label"] in row["prediction_set"]["labels"]
        assert row["prediction_set"]["level"] == 0.95
    for more, reason in (
        ({"samples": 20}, "the calibration is of samples 10, not 20: ask for 10"),
        ({"samples": {"min": 5, "max": 10}}, "the calibration is of samples 10, not 5 to 10: ask for 10"),
        ({"seed": 4}, "the calibration is of seed 3, not 4: ask for 3"),
        ({"threshold": 0.9}, "the threshold is the request's own, and nobody has certified it"),
    ):
        policy = asked(client, **more)["policy"]
        assert (policy["certified"], policy["guarantee"]) == (False, None)
        assert policy["uncertified_reasons"] == [reason]
    assert asked(client, samples=10, seed=3)["policy"]["certified"]
    assert "prediction_set" not in asked(client, samples=20)["results"][0]
    shown = client.get(PATH).json()["calibration"]
    assert shown["threshold"] == calibration.found.threshold
    assert 0 <= shown["flagged_share"] < 1


def test_the_other_face_says_the_same(classifier: Repository, serve: Serve) -> None:
    assert calibrate(classifier, drawn(classifier), "--target-error", "0.15").exit_code == 0
    client = serve()
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}

    def certified(**parameters: int) -> bool:
        body = {"inputs": [tensor], "outputs": [{"name": "mean"}], "parameters": parameters}
        answer = client.post("/v2/models/small/infer", json=body).json()
        flag: bool = answer["parameters"]["certified"]
        return flag

    assert certified()
    assert not certified(samples=20)
    assert not certified(seed=4)


def test_a_running_server_takes_a_calibration_when_the_model_is_loaded_anew(
    classifier: Repository, serve: Serve
) -> None:
    client = serve()
    before = asked(client)["policy"]
    assert (before["source"], before["certified"]) == ("configured", False)
    assert "has no calibration; `unsure calibrate small`" in before["uncertified_reasons"][0]
    assert client.get(PATH).json()["calibration"] is None
    assert calibrate(classifier, drawn(classifier), "--target-error", "0.15").exit_code == 0
    assert not asked(client)["policy"]["certified"]
    assert client.post("/v2/repository/models/small/load").status_code == 200
    assert asked(client)["policy"]["certified"]


def test_where_nothing_can_be_certified_every_row_is_flagged(classifier: Repository, serve: Serve) -> None:
    told = calibrate(classifier, drawn(classifier, 100))
    assert told.exit_code == 0, told.output
    assert "Nothing can be certified: on 85 rows no threshold keeps the errors at 2 %" in told.stdout
    assert "Until then the server flags every row;" in told.stdout
    client = serve()
    found = asked(client)
    assert (found["policy"]["source"], found["policy"]["certified"]) == ("calibrated", False)
    for row in found["results"]:
        assert row["low_confidence"]
        assert [reason["code"] for reason in row["reasons"]] == ["not_certified"]
        assert "85 labelled rows no threshold keeps the errors at 0.02" in row["reasons"][0]["message"]
        assert "are needed" in row["reasons"][0]["message"]
    assert [row["low_confidence"] for row in asked(client, threshold=99.0)["results"]] == [False, False]


@pytest.mark.parametrize(
    ("changes", "version", "reason"),
    [
        ({"sampling": {"samples": 10, "seed": 3, "sites": "head"}}, 1, "other sites are sampled"),
        ({"output": {"labels": ["x", "y", "z"]}}, 1, "source, input or output of model.toml"),
        ({"sampling": SAMPLING}, 2, "the weights are others"),
    ],
)
def test_a_calibration_of_something_else_promises_nothing(
    classifier: Repository, serve: Serve, changes: dict[str, Any], version: int, reason: str
) -> None:
    assert calibrate(classifier, drawn(classifier), "--target-error", "0.15").exit_code == 0
    calibration = classifier.path / "small" / "1" / "calibration.json"
    folder = classifier.add(version=version, network=decided() if version == 1 else None, **changes)
    (folder / "calibration.json").write_bytes(calibration.read_bytes())
    policy = asked(serve())["policy"]
    assert (policy["source"], policy["threshold"], policy["certified"]) == ("configured", 0.9, False)
    assert reason in policy["uncertified_reasons"][0]


def test_another_precision_promises_nothing(classifier: Repository, serve: Serve) -> None:
    assert calibrate(classifier, drawn(classifier), "--target-error", "0.15").exit_code == 0
    policy = asked(serve(precision="float32"))["policy"]
    assert policy["uncertified_reasons"] == [
        "since the model was calibrated, the server runs in another precision"
    ]


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"measure": 1}', b"\xff"])
def test_a_broken_calibration_stops_no_model(classifier: Repository, serve: Serve, content: bytes) -> None:
    (classifier.path / "small" / "1" / "calibration.json").write_bytes(content)
    assert asked(serve())["policy"]["uncertified_reasons"] == ["calibration.json cannot be read"]


@pytest.mark.parametrize(
    "change", [{"measure": "standard_deviation"}, {"conformal": {"level": 0.9, "quantiles": []}}]
)
def test_an_edited_calibration_stops_no_answer(
    classifier: Repository, serve: Serve, change: dict[str, Any]
) -> None:
    assert calibrate(classifier, drawn(classifier), "--target-error", "0.15").exit_code == 0
    path = classifier.path / "small" / "1" / "calibration.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert asked(serve())["policy"]["uncertified_reasons"] == ["calibration.json cannot be read"]


def test_values_are_wrong_beyond_a_tolerance_and_get_calibrated_intervals(
    repository: Repository, serve: Serve
) -> None:
    repository.add(**REGRESSION, sampling=SAMPLING)
    data = drawn(repository)
    data["targets"] = data["targets"] + np.random.default_rng(2).normal(size=data["targets"].shape)
    told = calibrate(repository, data, "--tolerance", "3.5", "--target-error", "0.1")
    assert "at most 10 % are more than 3.5 off (95 % confidence)" in told.stdout, told.output
    client = serve()
    (row, _) = asked(client)["results"]
    assert row["interval"]["method"] == "split_conformal"
    answers = client.post(f"{PATH}/uncertainty", json={"inputs": data["inputs"][:300].tolist()}).json()[
        "results"
    ]
    bounds = [[answer["interval"][side] for answer in answers] for side in ("lower", "upper")]
    truth = data["targets"][:300]
    inside = (np.array(bounds[0]) <= truth) & (truth <= np.array(bounds[1]))
    assert inside.mean(0) == pytest.approx([0.95] * 3, abs=0.04)
    assert asked(client, samples=20)["results"][0]["interval"]["method"] == "normal_epistemic"


def test_a_reviewer_judges_values_by_the_tolerance_of_the_promise(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.review.watching._SECONDS", 0.05)
    repository.add(**REGRESSION, sampling=SAMPLING)
    told = calibrate(repository, drawn(repository), "--tolerance", "25", "--target-error", "0.1")
    assert "None of these rows is wrong, so that they tell no score from another" in told.stdout
    report = (repository.path / "small" / "1" / "calibration.html").read_text("utf-8")
    assert "None of these rows is wrong" in report
    assert "<dt>wrong is</dt><dd>more than 25 off</dd>" in report
    assert "deterministic one" not in report
    assert told.exit_code == 0, told.output
    client = serve(review_url=f"sqlite:///{repository.path.parent}/reviews.db", review_audit_share=1.0)
    answer = asked(client)
    policy, given = answer["policy"], {row["score"]: row["interval"] for row in answer["results"]}
    assert policy["guarantee"]["tolerance"] == 25
    audits = client.get("/v1/reviews").json()["reviews"]
    for audit, off in zip(audits, (25, 26), strict=True):  # outside of the interval, both
        said = [audit["prediction"]["value"][0] + off, *audit["prediction"]["value"][1:]]
        for verb, more in (("claim", {}), ("resolve", {"value": said})):
            step = client.post(f"/v1/reviews/{audit['id']}/{verb}", json={"reviewer": "ann"} | more)
            assert step.status_code == 200, step.text
        resolved = step.json()
        assert resolved["resolution"]["agreed"] is (off == 25)
        assert (resolved["audit"], resolved["policy_id"]) == (True, policy["id"])
        assert resolved["prediction"]["interval"] == given[resolved["score"]]
        assert resolved["prediction"]["interval"]["upper"][0] < said[0]
    until(lambda: 'unsure_audit_rows{model="small",version="1"} 2.0' in client.get("/metrics").text)
    metrics = client.get("/metrics").text
    assert 'unsure_audit_error{model="small",version="1"} 0.5' in metrics
    assert 'unsure_promised_error{model="small",version="1"} 0.1' in metrics


def test_a_temperature_scales_samples_and_no_predictions(classifier: Repository, serve: Serve) -> None:
    data, client = drawn(classifier), serve()
    body = {"inputs": data["inputs"].tolist()}

    def probabilities(question: str, field: str, rows: str) -> Any:
        found = client.post(f"{PATH}/{question}", json=body).json()[rows]
        return np.array([row[field] for row in found])

    before = probabilities("uncertainty", "mean", "results")
    plain = probabilities("predict", "probabilities", "predictions")
    flat = before**0.8 / (before**0.8).sum(-1, keepdims=True)  # the truth is less sure than the model
    data["targets"] = (flat.cumsum(-1) < np.random.default_rng(6).random((ROWS, 1))).sum(-1)
    told = calibrate(classifier, data, "--temperature")
    assert told.exit_code == 0, told.output
    assert client.post("/v2/repository/models/small/load").status_code == 200
    scale = client.get(PATH).json()["calibration"]["temperature"]
    assert f"The logits of samples are divided by {scale:.4g} before the softmax." in told.stdout
    assert scale > 1.2
    assert probabilities("uncertainty", "confidence", "results").mean() < before.max(-1).mean() - 0.01
    assert np.array_equal(probabilities("predict", "probabilities", "predictions"), plain)
    assert calibrate(classifier, data, "--temperature").stdout == told.stdout  # and not scaled twice


def test_rows_that_show_no_temperature_are_refused(classifier: Repository) -> None:
    told = calibrate(classifier, drawn(classifier), "--temperature")
    assert "leave out --temperature" in told.stderr


def test_of_adaptive_sampling_a_fixed_number_is_certified(classifier: Repository, serve: Serve) -> None:
    data = drawn(classifier)
    assert calibrate(classifier, data, "--target-error", "0.15").exit_code == 0
    fixed = read_calibration(classifier.path / "small" / "1")
    classifier.add(sampling=SAMPLING | {"samples": {"min": 5, "max": 40}}, network=decided())
    refused = calibrate(classifier, data, "--target-error", "0.15")
    assert "certify a fixed number, such as --samples 40, for requests that ask for it" in refused.stderr
    assert (
        "requests to model small get 1000 at the most"
        in calibrate(classifier, data, "--samples", "1001").stderr
    )
    told = calibrate(classifier, data, "--target-error", "0.15", "--samples", "10")
    assert 'The promise is about requests with "samples": 10' in told.stdout, told.output
    assert read_calibration(classifier.path / "small" / "1") == fixed
    client = serve()
    policy = asked(client)["policy"]
    assert policy["uncertified_reasons"] == ["the calibration is of samples 10, not 5 to 40: ask for 10"]
    assert asked(client, samples=10)["policy"]["certified"]
    assert asked(client, samples={"min": 10, "max": 10})["policy"]["certified"]


def test_joint_risk_has_no_confidence(classifier: Repository, serve: Serve) -> None:
    told = calibrate(classifier, drawn(classifier), "--contract", "joint_risk")
    assert "Of all rows at most 2 % are wrong and not flagged (on average); expect" in told.stdout
    assert asked(serve())["policy"]["guarantee"] == {
        "contract": "joint_risk",
        "target_error": 0.02,
        "confidence": None,
    }


def test_the_report_stands_alone(classifier: Repository) -> None:
    assert calibrate(classifier, drawn(classifier), "--target-error", "0.15").exit_code == 0
    page = (classifier.path / "small" / "1" / "calibration.html").read_text("utf-8")
    assert page.count("<svg") == 3
    for title in ("Risk and coverage", "Reliability", "Scores of right and wrong rows", "mutual_information"):
        assert title in page
    for outside in ("http", "<script", "url(", "@import", "src="):
        assert outside not in page
    assert "Of the rows not flagged at most 15&nbsp;% are wrong (95&nbsp;% confidence)" in page


def test_a_table_gives_what_an_archive_gives(classifier: Repository) -> None:
    data = drawn(classifier)
    calibrate(classifier, data)
    folder = classifier.path / "small" / "1"
    archive = read_calibration(folder)
    table = classifier.path.parent / "heldout.csv"
    lines = [
        ",".join([*map(repr, map(float, row)), LABELS[target]])
        for row, target in zip(data["inputs"], data["targets"], strict=True)
    ]
    table.write_text("\n".join(["f0,f1,f2,f3,f4,f5,label", *lines]) + "\n")
    told = calibrate(classifier, table)
    assert told.exit_code == 0, told.output
    again = read_calibration(folder)
    assert archive is not None
    assert again is not None
    assert (again.found, again.scores, again.conformal) == (archive.found, archive.scores, archive.conformal)


def test_parquet_gives_what_an_archive_gives(classifier: Repository) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    data = drawn(classifier)
    calibrate(classifier, data)
    folder = classifier.path / "small" / "1"
    archive = read_calibration(folder)
    path = classifier.path.parent / "heldout.parquet"
    columns = {f"f{number}": data["inputs"][:, number] for number in range(6)}
    parquet.write_table(pyarrow.table(columns | {"label": [LABELS[one] for one in data["targets"]]}), path)
    told = calibrate(classifier, path)
    assert told.exit_code == 0, told.output
    again = read_calibration(folder)
    assert archive is not None
    assert again is not None
    assert (again.found, again.conformal) == (archive.found, archive.conformal)


def _without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


REFUSALS: list[tuple[Any, tuple[str, ...], str]] = [
    (lambda data: _without(data, "targets"), (), "has no column of labels; name it targets or label"),
    (lambda data: _without(data, "inputs"), (), "has no input features"),
    (
        lambda data: data | {"targets": np.array(["a", "q"] * (ROWS // 2))},
        (),
        "targets of row 1 is 'q'; the model's are: a, b, c",
    ),
    (lambda data: data | {"targets": data["targets"] + 1}, (), "and class indices are 0 to 2"),
    (lambda data: data | {"targets": data["targets"][1:]}, (), "has 400 rows and 399 targets"),
    (lambda data: data | {"inputs": data["inputs"][:, :5]}, (), "must have shape [rows, 6]"),
    (
        lambda data: data | {"inputs": np.where(np.arange(ROWS)[:, None] == 7, np.nan, data["inputs"])},
        (),
        "row 7 holds NaN",
    ),
    (lambda data: {key: value[:39] for key, value in data.items()}, (), "has 39 rows, and 40 are the least"),
    (lambda data: data | {"targets": np.zeros(ROWS, int)}, (), "are of one class"),
    (lambda data: data, ("--tolerance", "1"), "leave out --tolerance"),
    (lambda data: data, ("--measure", "entropy"), "--measure 'entropy' is none of predictive_entropy"),
    (lambda data: data, ("--target-error", "0"), "0.0 is not in the range 0<x<1"),
]


@pytest.mark.parametrize(("change", "more", "message"), REFUSALS, ids=[message for *_, message in REFUSALS])
def test_rows_that_promise_nothing_are_refused(
    classifier: Repository, change: Any, more: tuple[str, ...], message: str
) -> None:
    told = calibrate(classifier, change(drawn(classifier)), *more)
    assert told.exit_code != 0
    assert message in told.stderr.replace("\n", " "), told.stderr
    assert not (classifier.path / "small" / "1" / "calibration.json").exists()


def test_rows_that_were_trained_on_are_refused(classifier: Repository) -> None:
    data = drawn(classifier)
    seen = fingerprints(Rows(torch.from_numpy(data["inputs"][5:8]), torch.zeros(3)))
    (classifier.path / "small" / "1" / "training_rows.txt").write_text("\n".join(seen))
    told = calibrate(classifier, data)
    assert "3 rows of" in told.stderr
    assert "were trained on, row 5 the first" in told.stderr


def test_values_need_a_tolerance_and_data_must_be_somewhere(repository: Repository) -> None:
    repository.add(**REGRESSION, sampling=SAMPLING)
    assert "say with --tolerance how far off is wrong" in calibrate(repository, drawn(repository)).stderr
    told = calibrate(repository, None, "--tolerance", "1")
    assert "calibration.npz; name a file of labelled rows with --data" in told.stderr.replace("\n", "")
