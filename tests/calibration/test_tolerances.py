"""How far off is wrong, of a model with several values: one for each."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from repositories import Repository
from servers import Serve

from service.calibration.observing import observe
from service.calibration.words import wrong_in_words
from service.cli import main
from service.flagging.policy import Guarantee, Policy
from service.repository.calibration import Calibration, Promise, read_calibration

SAMPLING = {"samples": 10, "seed": 3}
REGRESSION: dict[str, Any] = {
    "factory": "linear",
    "task": "regression",
    "output": {},
    "policy": {"measure": "standard_deviation", "threshold": -1},
    "sampling": SAMPLING,
}
ROWS = 300
EACH = (0.5, 2.0, 30.0)
OFF = np.random.default_rng(2).normal(size=(ROWS, 3)) * [0.2, 0.8, 12.0]


@pytest.fixture
def model(repository: Repository) -> Repository:
    repository.add(**REGRESSION)
    return repository


def calibrate(repository: Repository, targets: Any, *tolerances: float) -> Result:
    data = repository.path.parent / "heldout.npz"
    np.savez(data, inputs=inputs(), targets=targets)
    given = ["calibrate", "small", "--repository", str(repository.path), "--factories", "networks"]
    given += ["--plan", "vmap", "--precision", "float32", "--data", str(data), "--target-error", "0.3"]
    return CliRunner().invoke(
        main, given + [word for one in tolerances for word in ("--tolerance", str(one))]
    )


def inputs() -> Any:
    return np.random.default_rng(1).normal(size=(ROWS, 6)).astype(np.float32)


def answers(client: Any) -> Any:
    body = {"inputs": inputs().tolist(), "review": False}
    return client.post("/v1/models/small/uncertainty", json=body).json()


def calibration(repository: Repository) -> Calibration:
    found = read_calibration(repository.path / "small" / "1")
    assert found is not None
    return found


def test_each_value_has_a_tolerance_of_its_own(
    model: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(precision="float32", review_url=f"sqlite:///{model.path.parent}/reviews.db")
    truth = np.array([row["mean"] for row in answers(client)["results"]]) + OFF
    observed = []
    monkeypatch.setattr(
        "service.calibration.run.observe", lambda *given: observed.append(observe(*given)) or observed[-1]
    )
    told = calibrate(model, truth, *EACH)
    assert told.exit_code == 0, told.output
    wrong = [any(abs(off) > most for off, most in zip(row, EACH, strict=True)) for row in OFF.tolist()]
    assert 0.01 < np.mean(wrong) < 0.2
    assert observed[0].wrong.tolist() == wrong
    words = "off by more than 0.5 in value 1, 2 in value 2 or 30 in value 3"
    assert f"at most 30 % are {words} (95 % confidence)" in told.stdout
    assert f"<dd>{words}</dd>" in (model.path / "small" / "1" / "calibration.html").read_text()
    assert (calibration(model).promise.tolerance, calibration(model).promise.tolerances) == (None, EACH)
    assert client.post("/v2/repository/models/small/load").status_code == 200
    guarantee = answers(client)["policy"]["guarantee"]
    assert guarantee["tolerances"] == list(EACH)
    assert "tolerance" not in guarantee
    shown = client.get("/v1/models/small").json()["calibration"]
    assert (shown["tolerance"], shown["tolerances"]) == (None, list(EACH))
    for off, agreed in [((0.4, -1.9, 29), True), ((0.6, 0, 0), False), ((0, 0, -31), False)]:
        row = (np.array([0.1] * 6) + off[0]).tolist()
        body = {"inputs": [row], "threshold": -1, "review": True}
        result = client.post("/v1/models/small/uncertainty", json=body).json()["results"][0]
        review = f"/v1/reviews/{result['review_id']}"
        assert client.get(review).json()["prediction"]["tolerances"] == list(EACH)
        client.post(f"{review}/claim", json={"reviewer": "ann"})
        said = (np.array(result["mean"]) + off).tolist()
        answer = client.post(f"{review}/resolve", json={"reviewer": "ann", "value": said}).json()
        assert answer["resolution"]["agreed"] is agreed, off


def test_one_is_that_of_all_values(model: Repository, serve: Serve) -> None:
    truth = np.array([row["mean"] for row in answers(serve(precision="float32"))["results"]]) + OFF
    figures = []
    for tolerances in ((3.5,), (3.5, 3.5, 3.5)):
        assert (told := calibrate(model, truth, *tolerances)).exit_code == 0, told.output
        figures.append(calibration(model))
        assert (
            "at most 30 % are more than 3.5 off" in told.stdout or "Nothing can be certified" in told.stdout
        )
    assert figures[0] == figures[1]
    assert (figures[0].promise.tolerance, figures[0].promise.tolerances) == (3.5, None)


@pytest.mark.parametrize("tolerances", [(0.5, 0.2), (1, 1, 1, 1)])
def test_as_many_as_there_are_values_or_one(model: Repository, tolerances: tuple[float, ...]) -> None:
    told = calibrate(model, np.zeros((ROWS, 3)), *tolerances)
    assert told.exit_code == 1
    text = f"--tolerance is given {len(tolerances)} times, and model small gives 3 values a row: give it once"
    assert text in told.stderr
    assert not (model.path / "small" / "1" / "calibration.json").exists()


def test_what_earlier_versions_wrote_is_read_and_keeps_its_policy() -> None:
    written = b'{"contract": "selective_risk", "target_error": 0.1, "confidence": 0.95, "tolerance": 25.0}'
    promise = msgspec.json.decode(written, type=Promise)
    assert (promise.tolerance, promise.tolerances, promise.of_values) == (25.0, None, True)
    assert wrong_in_words(promise) == "more than 25 off"
    guarantee = Guarantee("selective_risk", 0.1, 0.95, 25.0)
    # By this the audits of a policy are known, in queues that are there already.
    assert repr(guarantee) == (
        "Guarantee(contract='selective_risk', target_error=0.1, confidence=0.95, tolerance=25.0)"
    )
    each = [Guarantee("selective_risk", 0.1, 0.95, None, one) for one in ((1.0, 2.0), (2.0, 1.0))]
    ids = {Policy("m", 1, "interval_width", 0.5, "calibrated", one).id for one in (guarantee, *each)}
    assert len(ids) == 3
    assert json.loads(msgspec.json.encode(promise))["tolerance"] == 25
