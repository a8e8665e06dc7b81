"""Texts: a tokenizer from the training rows alone, a model of its tokens, served as texts."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_files import reports, train, written
from repositories import Repository
from servers import Serve
from tokenizers import Tokenizer

from models.training.augmentation import trim_padding
from models.training.fit import TrainingError
from models.training.text_recipe import text_recipe
from models.training.tokenizer import encoded, places_for, tokenizer_of

OPTIONS = ["--text", "report", "--target", "topic"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data") / "reports.csv", reports())


def test_a_model_of_texts_is_served_texts_and_answers_right(
    repository: Repository, serve: Serve, data: Path
) -> None:
    result = train(repository.path, "reports", "--data", data, *OPTIONS, "--epochs", 12)
    assert result.exit_code == 0, result.output
    client = serve(factories="models.zoo")
    texts = ["The referee was in the stadium.", "After the storm, again snow and FOG!", "goal", "WIND ☂ rain"]
    rows = client.post("/v1/models/reports/uncertainty", json={"inputs": texts}).json()["results"]
    assert [row["label"] for row in rows] == ["sport", "weather", "sport", "weather"]
    refused = client.post("/v1/models/reports/predict", json={"inputs": ["  "]})
    assert refused.status_code == 400


@pytest.mark.parametrize("family", ["lstm", "gru"])
def test_a_recurrent_model_learns_texts(tmp_path: Path, data: Path, family: str) -> None:
    result = train(
        tmp_path,
        "reports",
        "--data",
        data,
        *OPTIONS,
        "--model",
        family,
        "--epochs",
        15,
        "--learning-rate",
        0.005,
    )
    assert result.exit_code == 0, result.output
    version = tmp_path / "reports" / "1"
    record = json.loads((version / "training.json").read_text())
    assert record["figures"]["test"]["figure"] > 0.9
    assert (record["family"], record["text"]) == (family, "report")
    with np.load(version / "calibration.npz") as file:
        held = dict(file)
    assert set(held["inputs"]) <= set(reports()["report"])
    manifest = tomllib.loads((tmp_path / "reports" / "model.toml").read_text())
    labels = manifest["output"]["labels"]
    truth = dict(zip(reports()["report"], reports()["topic"].tolist(), strict=True))
    assert [labels[kind] for kind in held["targets"]] == [truth[text] for text in held["inputs"].tolist()]
    marks = set((version / "training_rows.txt").read_text().split())
    hashed = {hashlib.sha256(text.encode()).hexdigest()[:32] for text in reports()["report"]}
    assert marks < hashed
    assert len(marks) == record["rows"]["train"] + record["rows"]["validation"]
    tokenizer = Tokenizer.from_file(str(version / "tokenizer.json"))
    assert manifest["source"]["arguments"]["vocabulary"] == tokenizer.get_vocab_size()


def test_the_tokenizer_knows_nothing_of_the_other_rows(tmp_path: Path) -> None:
    """A word of its own in each text: those that became one token are those of the training rows."""
    columns = reports()
    names = [f"zq{chr(97 + row // 26)}{chr(97 + row % 26)}x" for row in range(120)]
    columns["report"] = [f"{name} {name} {name} goal" for name in names]
    path = written(tmp_path / "reports.csv", columns)
    recipe = text_recipe(path, "report", "topic", None, 0, {})
    assert recipe.texts is not None
    tokenizer = Tokenizer.from_str(recipe.texts.tokenizer)
    whole = [name for name in names if len(tokenizer.encode(name).ids) == 1]
    assert len(whole) == 66
    assert not {text.split()[0] for text in recipe.texts.calibration} & set(whole)


def test_the_same_texts_in_any_order_give_the_same_tokenizer() -> None:
    texts = reports()["report"]
    assert tokenizer_of(texts).to_str() == tokenizer_of(texts[::-1]).to_str()


def test_padding_is_behind_and_no_text_has_it_else() -> None:
    tokenizer = tokenizer_of(reports()["report"])
    tokens = encoded(tokenizer, ["goal", "☂ goal goal ñ"])
    length = len(tokenizer.encode("goal").ids)
    assert tokens[0, length:].eq(0).all()
    assert tokens[0, :length].ne(0).all()
    assert tokens[1].ne(0).all()


def test_a_batch_is_trimmed_to_its_longest_row() -> None:
    tokens = torch.tensor([[5, 0, 0, 0], [7, 8, 0, 0]])
    assert torch.equal(trim_padding(tokens), tokens[:, :2])
    assert torch.equal(trim_padding(tokens[:, :2]), tokens[:, :2])


@pytest.mark.parametrize(("longest", "places"), [(1, 64), (64, 64), (65, 128), (512, 512)])
def test_there_is_room_for_texts_a_little_longer(longest: int, places: int) -> None:
    assert places_for(torch.zeros(2, longest)) == places


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, [*OPTIONS, "--model", "mlp"], "mlp does not learn texts; choose one of lstm, gru, transformer"),
        ({}, ["--text", "number", "--target", "topic"], "--text 'number' has no texts but int64"),
        ({}, ["--text", "words", "--target", "topic"], "--text 'words' is no column; there are: 'number', "),
        ({}, ["--text", "report"], "--text names a column of a CSV or Parquet file and needs --target"),
        ({}, [*OPTIONS, "--task", "regression"], "no --task but classification"),
        ({}, ["--text", "topic", "--target", "topic"], "--text and --target are both 'topic'"),
        ({"report": ["goal", " "] * 60}, OPTIONS, "the text of row 2 is empty"),
        (
            {},
            ["--target", "topic", "--ignore", "report", "--model", "transformer"],
            "transformer learns texts",
        ),
    ],
)
def test_texts_that_cannot_be_learned_are_refused(
    tmp_path: Path, change: dict[str, Any], options: list[str], words: str
) -> None:
    path = written(tmp_path / "reports.csv", reports() | change)
    result = train(tmp_path / "repository", "reports", "--data", path, *options)
    assert result.exit_code == 1
    assert words in result.output
    assert not (tmp_path / "repository").exists()


def test_a_text_that_is_too_long_is_refused_with_its_row() -> None:
    with pytest.raises(TrainingError, match=r"the text of row 2 has \d+ tokens, and 512 are the most"):
        encoded(tokenizer_of(["goal"]), ["goal", "☂" * 600])
