"""`unsure calibrate` of models that label tokens: a text is right where all of its tokens are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import taggers
from click.testing import CliRunner, Result
from pyarrow import parquet
from repositories import Repository
from servers import Serve

from service.calibration.observing import to_fit
from service.calibration.token_labels import token_indices
from service.cli import main
from service.errors import CalibrationError
from service.predictor.execution import Execution
from service.predictor.served_model import prepare
from service.predictor.tokenized import TokenizedText
from service.repository.folder import ModelFolder
from service.uncertainty.tokens import objects

TEXTS = 150
WORDS = ("a", "good", "bad", "film", "films", "not", "very", ",")
SAMPLING = {"samples": 20, "seed": 3}


@pytest.fixture
def labelled(repository: Repository) -> list[dict[str, Any]]:
    """Texts of random words, labelled as the whole network does: only what it is unsure of is wrong."""
    taggers.add(repository, sampling=SAMPLING)
    folder = ModelFolder(repository.path / "tags")
    model = prepare(folder.read(folder.manifest(), 1, ()), Execution(plan="vmap"))
    random = np.random.default_rng(5)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(TEXTS)]
    rows = model.inputs.read(json.dumps(texts).encode())
    found: Any = rows.in_order([model.predict(group.inputs) for group in rows.groups])
    classes = [tokens.argmax(-1).tolist() for tokens in found.probabilities]
    return [
        {"text": text, "labels": [taggers.LABELS[one] for one in of]}
        for text, of in zip(texts, classes, strict=True)
    ]


def calibrate(repository: Repository, data: Path, *more: str) -> Result:
    given = ["calibrate", "tags", "--repository", str(repository.path), "--plan", "vmap"]
    return CliRunner().invoke(main, [*given, "--data", str(data), *(more or ("--target-error", "0.3"))])


def test_a_threshold_for_texts_reaches_the_answers(
    repository: Repository, serve: Serve, labelled: list[dict[str, Any]], tmp_path: Path
) -> None:
    data = tmp_path / "labelled.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in labelled))
    told = calibrate(repository, data)
    assert told.exit_code == 0, (told.output, told.exception)
    assert "Of the rows not flagged at most 30 % are wrong (95 % confidence)" in told.output
    reply = serve().post("/v1/models/tags/uncertainty", json={"inputs": ["a good film", "bad"]}).json()
    assert reply["policy"]["certified"]
    calibration = serve().get("/v1/models/tags").json()["calibration"]
    assert calibration is not None
    report = (repository.path / "tags" / "1" / "calibration.html").read_text()
    assert "How often tokens of a confidence are right" in report
    table = pa.table({name: [row[name] for row in labelled] for name in ("text", "labels")})
    parquet.write_table(table, tmp_path / "labelled.parquet")
    assert calibrate(repository, tmp_path / "labelled.parquet").output == told.output.replace(
        "labelled.jsonl", "labelled.parquet"
    )


def test_a_temperature_is_fitted_to_tokens(
    repository: Repository, labelled: list[dict[str, Any]], tmp_path: Path
) -> None:
    for row in labelled[::4]:
        row["labels"][0] = "B-WORD"  # what nobody could foresee
    data = tmp_path / "labelled.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in labelled))
    told = calibrate(repository, data, "--temperature", "--target-error", "0.5")
    assert told.exit_code == 0, (told.output, told.exception)
    made = json.loads((repository.path / "tags" / "1" / "calibration.json").read_text())
    assert 0.1 < made["temperature"] < 10
    assert made["temperature"] != 1
    refused = calibrate(repository, data, "--tolerance", "1")
    assert "predicts classes, which are right or wrong: leave out --tolerance" in refused.stderr


TEXT = TokenizedText("a film", ((0, 1), (2, 6)))


@pytest.mark.parametrize(
    "column",
    [
        np.array([["O", "B"], ["B", "B"]]),
        np.array([["O", "B"], ["B", "B"]], object),
        np.array(["[0, 1]", '["B", "B"]'], object),
        np.array([[0, 1], [1, 1]]),
    ],
)
def test_labels_are_names_or_indices_in_a_list(column: Any) -> None:
    found = token_indices(column, ("O", "B"), [TEXT, TEXT], "file: labels")
    assert [of.tolist() for of in found] == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["O"], "row 1 are 1 labels, and its text has 2 tokens with an answer: 'a', 'film'; give one"),
        (["O", "C"], "labels of row 1 of token 1 is 'C'; the model's are: O, B"),
        ("O B", "labels of row 1 must be a list of labels, one for each token"),
        ([0, 7], "is 7, and class indices are 0 to 1"),
    ],
)
def test_wrong_labels_are_told_by_their_row(given: Any, sentence: str) -> None:
    column = np.empty(2, object)
    column[:] = [["O", "B"], given]
    with pytest.raises(CalibrationError, match=sentence):
        token_indices(column, ("O", "B"), [TEXT, TEXT], "file: labels")


def test_a_temperature_is_fitted_to_the_first_texts_whatever_their_length() -> None:
    """Rows run by their lengths; those that run first are not those that came first."""
    truth = objects([np.zeros(tokens, int) for tokens in (3, 1, 3, 2, 3)])
    assert to_fit(np.array([0, 1, 3, 4]), truth, 4) == {0, 1}
    assert to_fit(np.array([4, 3, 1, 0]), truth, 4) == {4, 3}
    assert to_fit(np.array([0, 1, 3, 4]), truth, 100) == {0, 1, 3, 4}
    assert to_fit(np.arange(5), np.array([0, 1, 0, 1, 0]), 2) == {0, 1}
