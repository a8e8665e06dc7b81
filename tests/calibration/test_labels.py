"""Labels and values of rows, from every kind of file."""

import csv
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tomlkit
from click.testing import CliRunner, Result
from decided import decided
from own_files import train
from pyarrow import parquet
from repositories import Repository

from models.training.own_data import read_data
from service.calibration.data import read_labelled
from service.calibration.labels import single_labels, values
from service.cli import main
from service.data.files import Files
from service.errors import CalibrationError
from service.labels import Labels
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.calibration import Calibration, read_calibration
from service.repository.folder import ModelFolder

ROWS = 60
INPUTS = np.random.default_rng(1).normal(size=(ROWS, 6)).astype(np.float32)
KINDS = np.arange(ROWS) % 3


def loaded(repository: Repository, labels: Any) -> ServedModel:
    repository.add(output={"labels": list(labels)}, network=decided())
    folder = ModelFolder(repository.path / "small")
    return prepare(
        folder.read(folder.manifest(), 1, ("networks",)), Execution(plan="vmap", precision="float32")
    )


def as_csv(path: Path, inputs: Any, labels: Any) -> Path:
    with (path := path.with_suffix(".csv")).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"f{place}" for place in range(6)), "label"])
        writer.writerows([*map(float, row), label] for row, label in zip(inputs, labels, strict=True))
    return path


def as_parquet(path: Path, inputs: Any, labels: Any) -> Path:
    columns = {f"f{place}": inputs[:, place] for place in range(6)}
    parquet.write_table(pa.table(columns | {"label": labels}), path := path.with_suffix(".parquet"))
    return path


def as_categories(path: Path, inputs: Any, labels: Any) -> Path:
    return as_parquet(path, inputs, pa.array(labels).dictionary_encode())


def as_lines(path: Path, inputs: Any, labels: Any) -> Path:
    rows = [
        json.dumps(
            {"features": row.tolist(), "label": label if isinstance(label, int | float) else str(label)}
        )
        for row, label in zip(inputs, labels, strict=True)
    ]
    (path := path.with_suffix(".jsonl")).write_text("\n".join(rows))
    return path


def as_archive(path: Path, inputs: Any, labels: Any) -> Path:
    dates = {datetime: "M8[s]", date: "M8[D]"}.get(type(labels[0]))
    np.savez(path := path.with_suffix(".npz"), inputs=inputs, targets=np.array(labels, dates))
    return path


WRITERS: list[Callable[[Path, Any, Any], Path]] = [as_csv, as_parquet, as_categories, as_lines, as_archive]
OF_TYPES: dict[str, list[Any]] = {
    "texts": ["b", "a", "é"],
    "numbers": [1, 2, 3],
    "from zero": [0, 1, 2],
    "negative": [-1, 0, 1],
    "large": [2**53, 2**53 + 1, 2**60],
    "floats": [1.0, 2.0, 3.0],
    "truth": [True, False, True],
    "digits": ["1", "2", "3"],
    "padded": ["01", "02", "03"],
    "dates": [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)],
    "moments": [datetime(2024, 1, 1), datetime(2024, 1, 2, 3), datetime(2024, 1, 3, 4, 5)],
}


@pytest.mark.parametrize("kind", OF_TYPES)
def test_labels_of_a_type_are_the_same_in_every_kind_of_file(
    repository: Repository, tmp_path: Path, kind: str
) -> None:
    """What training names, from a table; and what a calibration finds again, in each kind of file."""
    labels = [OF_TYPES[kind][one] for one in KINDS]
    for table in (as_csv, as_parquet):
        learnt = read_data(table(tmp_path / "learnt", INPUTS, labels), "label", "classification")
        expected = [learnt.labels[one] for one in learnt.rows.targets.tolist()]
        given = Labels(learnt.labels)
        for write in WRITERS:
            path = write(tmp_path / "heldout", INPUTS, labels)
            name = "targets" if path.suffix == ".npz" else "label"
            held = single_labels(Files(path).whole().held[name], str(path))
            found = [learnt.labels[one] for one in given.classes(held, None, str)]
            assert found == expected, (table.__name__, write.__name__)


CHANGES: list[tuple[list[str], list[Any], list[int]]] = [
    (["1", "2", "3"], [1, 2, 3], [0, 1, 2]),
    (["1", "2", "3"], [3.0, 2.0, 1.0], [2, 1, 0]),
    (["3", "1", "2"], ["1", "2", "3"], [1, 2, 0]),
    (["a", "b", "c"], [2, 1, 0], [2, 1, 0]),
    (["a", "b", "c"], [np.bytes_(b"b"), np.bytes_(b"a"), np.bytes_(b"c")], [1, 0, 2]),
]


@pytest.mark.parametrize(("names", "kinds", "truth"), CHANGES)
def test_a_class_is_found_by_its_name_or_else_its_number(
    repository: Repository, tmp_path: Path, names: list[str], kinds: list[Any], truth: list[int]
) -> None:
    model = loaded(repository, names)
    labels = [kinds[one] for one in KINDS]
    for write in (as_parquet, as_archive):
        found = read_labelled(write(tmp_path / "heldout", INPUTS, labels), model)
        assert found.truth.tolist() == [truth[one] for one in KINDS]


def calibrate(repository: Repository, *arguments: Any, name: str = "small") -> Result:
    base = ["calibrate", name, "--repository", repository.path, "--factories", "networks,models.zoo"]
    usual = ["--plan", "vmap", "--precision", "float32", "--target-error", "0.4"]
    return CliRunner().invoke(main, [str(one) for one in (*base, *usual, *arguments)])


def certified(repository: Repository, name: str = "small") -> Calibration:
    found = read_calibration(repository.path / name / "1")
    assert found is not None
    return found


def test_whole_numbers_calibrate_as_their_texts_do(repository: Repository, tmp_path: Path) -> None:
    """The case: labels 1, 2, 3, right as CSV, and every row wrong as Parquet."""
    model = loaded(repository, ["1", "2", "3"])
    group: Any = model.inputs.read(json.dumps({"features": INPUTS.tolist()}).encode()).groups[0]
    predicted: Any = model.predict(group.inputs)
    labels = (predicted.class_index + 1).tolist()
    assert set(labels) == {1, 2, 3}
    seen = []
    for write in (as_csv, as_parquet, as_archive, as_lines):
        told = calibrate(repository, "--data", write(tmp_path / "heldout", INPUTS, labels))
        assert told.exit_code == 0, told.output
        seen.append((certified(repository).found, certified(repository).scores))
    assert all(one == seen[0] for one in seen)
    assert seen[0][0].accepted > 0
    assert seen[0][0].errors < seen[0][0].accepted / 2


def test_what_is_a_name_and_another_number_is_for_the_user_to_say(
    repository: Repository, tmp_path: Path
) -> None:
    model = loaded(repository, ["1", "2", "3"])
    path = as_parquet(tmp_path / "heldout", INPUTS, [int(one) for one in KINDS])
    refused = calibrate(repository, "--data", path)
    assert refused.exit_code == 1
    assert (
        "label of row 1 is '1': as a name that is the label '1', and as a class index '2'" in refused.stderr
    )
    assert not (repository.path / "small" / "1" / "calibration.json").exists()
    assert calibrate(repository, "--data", path, "--labels-are", "indices").exit_code == 0
    assert read_labelled(path, model, reading="indices").truth.tolist() == KINDS.tolist()
    assert "label of row 0 is '0'; the model's are: 1, 2, 3" in (
        calibrate(repository, "--data", path, "--labels-are", "names").stderr
    )


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_lines])
def test_a_row_without_a_label_is_named(repository: Repository, tmp_path: Path, write: Any) -> None:
    model = loaded(repository, ["1", "2", "3"])
    if write is as_lines:
        path = as_lines(tmp_path / "heldout", INPUTS, [1] * ROWS)
        path.write_text(path.read_text().replace('"label": 1', '"label": null', 1))
        row = 0
    else:
        path, row = write(tmp_path / "heldout", INPUTS, [1] * 7 + [None] + [2] * (ROWS - 8)), 7
    with pytest.raises(CalibrationError, match=f"label of row {row} is empty; write what it is, or leave"):
        read_labelled(path, model)


def test_what_is_trained_from_numbers_is_calibrated_with_what_training_has_kept(
    repository: Repository, tmp_path: Path
) -> None:
    """Its rows are class indices, and its labels 1, 2, 3; a file of the user's has these."""
    numbers = np.random.default_rng(2)
    kinds = np.arange(600) % 3 + 1
    inputs = (numbers.normal(size=(600, 6)) / 4 + kinds[:, None]).astype(np.float32)
    data = as_parquet(tmp_path / "learnt", inputs[:400], kinds[:400].tolist())
    assert (
        train(repository.path, "flowers", "--data", data, "--target", "label", "--epochs", 3).exit_code == 0
    )
    manifest = tomlkit.parse((repository.path / "flowers" / "model.toml").read_text())
    assert manifest["output"]["labels"] == ["1", "2", "3"]  # type: ignore[index]
    figures = []
    for rows in ((), ("--data", repository.path / "flowers" / "1" / "calibration.npz")):
        assert (told := calibrate(repository, *rows, name="flowers")).exit_code == 0, told.output
        figures.append(certified(repository, "flowers").found)
    assert figures[0] == figures[1]
    assert figures[0].errors < figures[0].rows / 4
    for other in (as_csv, as_parquet):
        path = other(tmp_path / "heldout", inputs[400:], kinds[400:].tolist())
        assert (told := calibrate(repository, "--data", path, name="flowers")).exit_code == 0, told.output
        figures.append(certified(repository, "flowers").found)
    assert figures[2] == figures[3]
    assert figures[2].errors < figures[2].rows / 4


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (np.array(["1", "2_0"], object), "and of row 1 is '2_0'"),
        (np.array(["1", "x"], object), "and of row 1 is 'x'"),
        (
            np.array(["1", "[1, 2]"], object),
            r"row 1 is '\[1, 2\]'; several values a row stand in an .npz, or as",
        ),
        (np.array(["1", ""], object), "of row 1 is empty, NaN or infinity"),
        (np.array([1.0, None], object), "of row 1 is empty, NaN or infinity"),
        (np.array([1.0, np.inf]), "of row 1 is NaN or infinity"),
        (np.array(["2024-01-01"] * 2, "M8[D]"), r"must be numbers, and are datetime64\[D\]"),
        (np.array([1j, 2]), "must be numbers, and are complex128"),
        (np.array([[1, 2], [3, 4]]), "have 2 values a row, and the model gives 1"),
        (np.array([[1.0], [2.0, 3.0]], object), "differ in how many values a row has"),
    ],
)
def test_values_that_are_no_numbers_are_named(column: Any, problem: str) -> None:
    with pytest.raises(CalibrationError, match=problem):
        values(column, 1, "target")


@pytest.mark.parametrize(
    "column",
    [
        np.array([" 1.5", "-2e1"], object),
        np.array(["1.5", "-20"]),
        np.array([b"1.5", b"-20"]),
        np.array([Decimal("1.5"), -20], object),
        np.array([[1.5], [-20]]),
    ],
)
def test_values_are_numbers_however_they_are_written(column: Any) -> None:
    assert values(column, 1, "target").tolist() == [[1.5], [-20.0]]
