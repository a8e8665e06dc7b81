"""Labelled rows by the names of their columns: from files, and from the review queue."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from repositories import Repository
from reviewed import CLASSIFIED

from service import inspection
from service.calibration.audited_rows import labelled_rows
from service.calibration.data import read_labelled
from service.errors import CalibrationError
from service.predictor.served_model import ServedModel
from service.review.items import Item, Resolution
from service.settings import Settings

NAMES = ["age", "mean radius", "y", "bmi", "s1", "s2"]  # one is called as labels are
ROWS = np.random.default_rng(3).normal(size=(8, 6)).astype(np.float32)
LABELS = list("abcabcab")
ORDER = [3, 0, 5, 1, 2, 4]


@pytest.fixture
def model(repository: Repository) -> ServedModel:
    repository.add(columns={"features": NAMES})
    settings = Settings(repository=repository.path, factories="networks", plan="vmap")
    return inspection.load(settings, "small", None)


def tables(held: np.ndarray, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(held, columns=names)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_file_in_another_order_has_the_rows_of_the_reference(
    model: ServedModel, tmp_path: Path, ending: str
) -> None:
    np.savez(tmp_path / "rows.npz", inputs=ROWS, targets=LABELS)
    plain = read_labelled(tmp_path / "rows.npz", model)
    table = tables(ROWS[:, ORDER], [NAMES[place] for place in ORDER])
    table.insert(2, "label", LABELS)
    table.insert(0, "id", range(8))
    path = tmp_path / f"rows{ending}"
    match ending:
        case ".csv":
            table.to_csv(path, index=False)
        case ".parquet":
            table.to_parquet(path, index=False)
        case _:
            table.to_json(path, orient="records", lines=True, double_precision=15)
    turned = read_labelled(path, model)
    assert np.array_equal(turned.rows.groups[0].inputs[0].numpy(), ROWS)
    assert turned.truth.tolist() == plain.truth.tolist()
    assert turned.fingerprints == plain.fingerprints  # so that rows trained on are found, in any order
    table.rename(columns={"age": "Age"}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(CalibrationError, match=r"other.csv: it has 'Age' \(did you mean 'age'\?\)"):
        read_labelled(tmp_path / "other.csv", model)


def test_rows_of_the_queue_may_be_arrays_and_objects(model: ServedModel) -> None:
    held = [
        dict(reversed(list(zip(NAMES, row, strict=True)))) if number % 2 else row
        for number, row in enumerate(ROWS.tolist())
    ]
    items = [
        Item(
            f"id-{number}",
            0.0,
            replace(CLASSIFIED, input=msgspec.json.encode(row)),
            resolution=Resolution("ann", label, None, "", agreed=True, time=1.0),
        )
        for number, (row, label) in enumerate(zip(held, LABELS, strict=True))
    ]
    labelled = labelled_rows(items, model)
    assert np.array_equal(labelled.rows.groups[0].inputs[0].numpy(), ROWS)
    assert labelled.truth.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
