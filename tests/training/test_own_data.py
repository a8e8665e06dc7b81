"""A user's own files: what is read from them, what is refused, and that raw values are served."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from damaged_archives import WRITERS
from own_files import ROWS, customers, images, train, written
from repositories import Repository
from safetensors.torch import load_file
from servers import Serve

from models.training.data import Rows, split
from models.training.fit import TrainingError
from models.training.own_data import read_data
from models.training.row_shapes import usual_family
from models.training.targets import FEWEST_OF_A_CLASS, read_targets
from service.repository.folder import ModelFolder


def manifest(repository: Path, name: str) -> Any:
    return tomllib.loads((repository / name / "model.toml").read_text())


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_is_read_by_its_columns(tmp_path: Path, ending: str) -> None:
    columns = customers()
    data = read_data(written(tmp_path / f"customers{ending}", columns), "left", None, ["spent"])
    assert (data.task, data.labels) == ("classification", ("leaves", "stays"))
    assert data.columns == ("age", "income", "member")
    expected = np.column_stack([columns[name] for name in data.columns]).astype(np.float32)
    assert np.array_equal(data.rows.inputs.numpy(), expected)
    assert [data.labels[kind] for kind in data.rows.targets.tolist()] == columns["left"].tolist()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_first_line_tells_what_separates(tmp_path: Path, separator: str) -> None:
    lines = ["width;kind", *(f"{row};{row % 2}" for row in range(20))]
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(lines).replace(";", separator))
    assert read_data(path, "kind", None).rows.inputs.flatten().tolist() == list(range(20))


def test_the_rows_that_pandas_numbers_are_no_feature(tmp_path: Path) -> None:
    path = written(tmp_path / "customers.parquet", customers() | {"__index_level_0__": np.arange(ROWS)})
    assert "__index_level_0__" not in read_data(path, "left", None).columns


def test_types_are_those_of_the_whole_file_and_not_of_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("x,kind\n" + "".join(f"{row},{row % 2}\n" for row in range(200_000)) + "1.5,1\n")
    assert read_data(path, "kind", None).rows.inputs[-1].item() == 1.5


@pytest.mark.parametrize(
    ("values", "task", "labels"),
    [
        (["b", "a"] * 6, "classification", ("a", "b")),
        ([3, -1, 10] * 6, "classification", ("-1", "3", "10")),
        ([True, False] * 6, "classification", ("false", "true")),
        ([0.0, 1.0] * 6, "classification", ("0", "1")),
        ([0.5, 1.0] * 12, "regression", ()),
        (list(range(21)) * 6, "regression", ()),
        (list(range(20)) * 6, "classification", tuple(map(str, range(20)))),
        ([[1, 0], [0, 1]] * 12, "regression", ()),
    ],
)
def test_the_task_is_taken_from_the_targets(values: Any, task: str, labels: Any) -> None:
    found = read_targets(np.array(values), None)
    assert (found.task, found.labels) == (task, labels)
    if labels:
        assert [labels[kind] for kind in found.values.tolist()] == [
            str(value).lower().removesuffix(".0") for value in values
        ]


def test_a_task_that_is_named_is_not_guessed() -> None:
    found = read_targets(np.arange(40) % 2, "regression")
    assert (found.task, found.values.shape, found.values.dtype) == ("regression", (40, 1), torch.float32)


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        (["a"] * 20 + ["b"], None, r"a class needs 6 rows, .*: 'b' has 1; add rows"),
        (["a"] * 20, None, "every row's target is a: there is nothing to learn"),
        ([1.5] * 20, None, "every row's target is 1.5: there is nothing to learn"),
        ([1.5, 2.0] * 9, None, "there are 18 rows; a regression needs 20"),
        (["a", "b"] * 20, "regression", "a target is 'a', and values are numbers; say --task classification"),
        ([0.5, 1.0] * 20, "classification", "a target is 0.5, and classes are text or whole numbers"),
        ([[0, 1]] * 20, "classification", r"are \[rows\], not \[20, 2\]"),
        (["a", ""] * 20, None, "the target of row 2 is an empty text"),
        ([1e300, 2.5] * 20, None, "more than a float32 can hold"),
        ([1j, 2j] * 20, None, "the targets are complex128; they must be text, whole numbers or numbers"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(values: Any, task: Any, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        read_targets(np.array(values), task)


def test_the_fewest_rows_of_a_class_are_in_all_splits() -> None:
    targets = torch.arange(2).repeat(FEWEST_OF_A_CLASS)
    splits = split(
        Rows(targets[:, None].float(), targets), "classification", torch.Generator().manual_seed(0)
    )
    parts = (splits.train, splits.validation, splits.calibration, splits.test)
    assert all(part.targets.unique().tolist() == [0, 1] for part in parts)


def blank(columns: dict[str, Any]) -> dict[str, Any]:
    return columns | {"age": [None if row == 2 else row for row in range(ROWS)]}


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (
            dict,
            ["--target", "lefft"],
            "--target 'lefft' is no column; there are: 'age', 'income', 'member', ",
        ),
        (dict, ["--target", "left", "--ignore", "id"], "--ignore 'id' is no column; there are: 'age', "),
        (dict, [], "needs --target: the column to learn"),
        (
            blank,
            ["--target", "left"],
            "column 'age' is empty, or NaN, in 1 of 120 rows, first in row 3; fill",
        ),
        (
            dict,
            ["--target", "spent"],
            "column 'left' has no numbers but string, such as 'stays'; --ignore left",
        ),
        (
            dict,
            ["--target", "left", "--model", "cnn"],
            r"cnn does not learn rows of \[4\]: it takes rows of \[",
        ),
        (dict, ["--target", "left", "--model", "lstm"], r"lstm does not learn rows of \[4\]"),
        (
            dict,
            ["--target", "spent", "--ignore", "left", "--model", "gru"],
            "gru learns classes, not values; for a regression choose one of concrete, drop_connect, mlp",
        ),
        (
            dict,
            ["--target", "spent", "--ignore", "left", "--class-weights", "balanced"],
            "--class-weights is for classification",
        ),
    ],
)
def test_a_table_that_cannot_be_learned_is_refused_and_nothing_written(
    tmp_path: Path, change: Any, options: list[str], words: str
) -> None:
    path = written(tmp_path / "customers.csv", change(customers()))
    result = train(tmp_path / "repository", "customers", "--data", path, *options)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert re.search(words, result.output), result.output
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "a.csv cannot be read: "),
        ("a.csv", b"", "a.csv cannot be read: Empty CSV file"),
        ("a.csv", b"x,y\n", "a.csv has no rows"),
        ("a.csv", b"x,y\n1,2\n3\n", "Expected 2 columns, got 1: 3"),
        ("a.csv", b"x,x,y\n1,2,3\n", "has more than one column 'x'"),
        ("a.csv", b"y\n" + b"0\n1\n" * 9, "has no column besides 'y'"),
        ("a.parquet", b"x,y\n1,2\n", "a.parquet cannot be read: "),
        ("a.xlsx", b"", r"is of no known kind; its ending must be one of \.csv, "),
        ("a.npz", b"PK", "a.npz cannot be read as an NPZ of numbers and texts"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=words):
        read_data(path, None if name.endswith("npz") else "y", None)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": np.zeros((12, 2))}, "must have the arrays inputs and targets; it has inputs"),
        (
            {"inputs": np.zeros((12, 2)), "targets": np.zeros(11)},
            r"inputs \[12, 2\] and targets \[11\]: rows differ",
        ),
        ({"inputs": np.array(["a"] * 12), "targets": np.zeros(12)}, "must be rows of numbers"),
        (
            {"inputs": np.full((12, 2), np.nan), "targets": np.arange(12) % 2},
            "counted from 1, at 1, 1: the value",
        ),
        ({"inputs": np.zeros((12, 2)), "targets": np.full(12, np.nan)}, "NaN or infinite in row 1"),
        ({"inputs": np.array([{}] * 12), "targets": np.zeros(12)}, "Object arrays cannot be loaded"),
    ],
)
def test_an_archive_that_cannot_be_learned_is_refused(tmp_path: Path, arrays: Any, words: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(TrainingError, match=words):
        read_data(path, None, None)


def test_raw_values_are_served_and_the_labels_are_the_files(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    path = written(tmp_path / "customers.csv", customers())
    result = train(
        repository.path, "customers", "--data", path, "--target", "left", "--ignore", "spent", "--epochs", 40
    )
    assert result.exit_code == 0, result.output
    record = json.loads((repository.path / "customers" / "1" / "training.json").read_text())
    assert (record["columns"], record["target"]) == (["age", "income", "member"], "left")
    assert manifest(repository.path, "customers")["output"]["labels"] == ["leaves", "stays"]
    client = serve(factories="models.zoo")
    rows = [[40, 70_000, 1], [40, 30_000, 1]]
    answers = client.post("/v1/models/customers/uncertainty", json={"inputs": rows}).json()["results"]
    assert [row["label"] for row in answers] == ["stays", "leaves"]


def test_values_are_learned_in_their_own_units(tmp_path: Path) -> None:
    path = written(tmp_path / "customers.parquet", customers())
    options = ["--data", path, "--target", "spent", "--ignore", "left", "--epochs", 60]
    assert train(tmp_path, "spending", *options).exit_code == 0
    folder = ModelFolder(tmp_path / "spending")
    network = folder.read(folder.manifest(), 1, ("models.zoo",)).module
    with torch.no_grad():
        low, high = network.eval()(torch.tensor([[40.0, 45_000, 0], [40, 55_000, 0]]))[:, 0].tolist()
    assert 3500 < low < 4900 < 5100 < high < 6500


@pytest.mark.parametrize("family", ["cnn", "resnet", "vision_transformer", "mlp"])
def test_images_are_learned_in_their_own_units(tmp_path: Path, family: str) -> None:
    result = train(
        tmp_path, "pictures", "--data", images(tmp_path / "a.npz"), "--model", family, "--epochs", 10
    )
    assert result.exit_code == 0, result.output
    folder = ModelFolder(tmp_path / "pictures")
    read = folder.read(folder.manifest(), 1, ("models.zoo",))
    bright = torch.full((2, 3, 8, 6), 180.0)
    bright[1, :, :, :3] = 40.0
    with torch.no_grad():
        classes = read.module.eval()(bright.reshape(2, *read.manifest.input[0].shape)).argmax(-1)
    assert [read.manifest.output.labels[kind] for kind in classes] == ["light", "dark"]


def test_the_family_is_that_of_the_rows_shape() -> None:
    given = [([4], "mlp"), ([5, 4], "lstm"), ([3, 8, 6], "cnn"), ([3, 7, 7], "mlp"), ([2, 2, 2, 2], "mlp")]
    assert [usual_family(shape, "classification") for shape, _ in given] == [family for _, family in given]
    assert usual_family([3, 8, 6], "regression") == "mlp"


def test_another_models_name_is_refused_and_its_weights_stay(tmp_path: Path) -> None:
    path = written(tmp_path / "customers.csv", customers())
    first = ["--data", path, "--target", "left", "--ignore", "spent", "--epochs", 1]
    assert train(tmp_path, "customers", *first).exit_code == 0
    second = train(tmp_path, "customers", "--data", path, "--target", "left", "--epochs", 1)
    assert second.exit_code == 1
    assert "is of another model: source, input differ" in second.output
    assert train(tmp_path, "customers", *first).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "customers").iterdir()) == ["1", "2", "model.toml"]


@pytest.mark.parametrize("name", ["../up", ".hidden", "a b", "a/b"])
def test_a_name_that_is_no_models_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "customers.csv", customers())
    result = train(tmp_path / "repository", name, "--data", path, "--target", "left")
    assert result.exit_code == 1
    assert "is no name for a model" in result.output
    assert not (tmp_path / "repository").exists()


def test_what_is_neither_demo_nor_data_is_refused(tmp_path: Path) -> None:
    assert "is no demo (digits, breast-cancer, diabetes)" in train(tmp_path, "flowers").output
    assert "name it with --data" in train(tmp_path, "digits", "--target", "left").output


@pytest.mark.parametrize("write", WRITERS)
def test_a_damaged_archive_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "rows.npz"
    write(path)
    with pytest.raises(TrainingError, match=r"rows\.npz cannot be read"):
        read_data(path, None, None)


def test_columns_in_another_order_are_learned_in_that_of_the_entry(tmp_path: Path) -> None:
    """The second version's weights are those of the first, and not of columns that changed places."""
    held = customers()
    options = ["--target", "left", "--ignore", "spent", "--epochs", 1]
    for ending, table in ((".csv", held), (".parquet", dict(reversed(held.items())))):
        path = written(tmp_path / f"customers{ending}", table)
        assert train(tmp_path, "customers", "--data", path, *options).exit_code == 0
    assert manifest(tmp_path, "customers")["columns"] == {"features": ["age", "income", "member"]}
    first, second = (
        load_file(tmp_path / "customers" / version / "weights.safetensors") for version in ("1", "2")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    record = json.loads((tmp_path / "customers" / "2" / "training.json").read_text())
    assert record["columns"] == ["age", "income", "member"]


def test_other_columns_are_not_of_the_entry(tmp_path: Path) -> None:
    held = customers()
    options = ["--target", "left", "--ignore", "spent", "--epochs", 1]
    path = written(tmp_path / "customers.csv", held)
    assert train(tmp_path, "customers", "--data", path, *options).exit_code == 0
    renamed = {"Age" if name == "age" else name: column for name, column in held.items()}
    path = written(tmp_path / "renamed.csv", renamed)
    result = train(tmp_path, "customers", "--data", path, *options)
    assert result.exit_code == 1
    assert "is of another model: columns differ" in result.output


def test_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    """pandas writes row numbers so, which would be learned from."""
    pd.DataFrame(customers()).to_csv(tmp_path / "a.csv")
    with pytest.raises(TrainingError, match="column 1 has no name; give it one"):
        read_data(tmp_path / "a.csv", "left", None, ["spent"])
