"""Columns of files are found by their names: every order gives the answers of the reference's."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from repositories import CLASSIFIER, Repository
from scored import SAMPLING, columns, inputs, score, scored, write_parquet

from service.data.files import Files
from service.data.inputs import input_columns
from service.errors import DataError
from service.predictor.inputs import InputReader
from service.repository.manifest import Manifest

NAMES = [f"f{place}" for place in range(6)]
NAMED = msgspec.convert({"name": "small"} | CLASSIFIER | {"columns": {"features": NAMES}}, Manifest)
UNNAMED = msgspec.convert({"name": "small"} | CLASSIFIER, Manifest)


def read(path: Path, manifest: Manifest = NAMED, others: Sequence[str] = ()) -> np.ndarray:
    files = Files(path)
    found = input_columns(manifest, files.names, others)
    reader = InputReader(manifest.input, manifest.columns)
    parts = [found.read(part.columns, reader).groups[0].inputs[0].numpy() for part in files.parts(0, 4)]
    return np.concatenate(parts)


def write(path: Path, table: Mapping[str, Any]) -> Path:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    match path.suffix:
        case ".csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(table))
                writer.writeheader()
                writer.writerows(rows)
        case ".parquet":
            parquet.write_table(pa.table(dict(table)), path)
        case ".npz":
            np.savez(path, **{name: np.asarray(column) for name, column in table.items()})
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row, default=float) for row in rows))
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz", ".jsonl"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations([*NAMES, "id", "label"]), st.integers(0, 2**32 - 1))
def test_columns_in_any_order_are_the_same_rows(
    tmp_path: Path, ending: str, order: list[str], seed: int
) -> None:
    values = inputs(7, seed)
    table = columns(values, id=np.arange(7), label=list("abcabca"))
    path = write(tmp_path / f"rows{ending}", {name: table[name] for name in order})
    assert read(path).tobytes() == values.tobytes()


def table(**renamed: str) -> dict[str, Any]:
    held = columns(inputs(5))
    return {renamed.get(name, name): column for name, column in held.items()}


WRONG: list[tuple[Mapping[str, Any], str]] = [
    (table(f3="F3"), "it has 'F3' (did you mean 'f3'?). Columns are found by the names that model.toml"),
    (table(f3="f3 "), "it has 'f3 ' (did you mean 'f3'?)"),
    (table(f3="age"), "it lacks the column 'f3'. Columns"),
    (table(f3="age", f5="Ｆ5"), "it has 'Ｆ5' (did you mean 'f5'?); lacks the column 'f3'"),
    ({name: column for name, column in table().items() if name != "f0"}, "it lacks the column 'f0'"),
    (table(**{name: str(place / 2) for place, name in enumerate(NAMES)}), "first line holds numbers"),
]  # fmt: skip


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize(("held", "words"), WRONG, ids=[words for _, words in WRONG])
def test_other_columns_are_refused_by_name(
    tmp_path: Path, held: Mapping[str, Any], words: str, ending: str
) -> None:
    """Six columns for six numbers: without names they would be taken by place."""
    path = write(tmp_path / f"rows{ending}", held)
    with pytest.raises(DataError) as refusal:
        read(path)
    assert words in str(refusal.value)


def test_a_model_without_names_takes_columns_by_place(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", dict(reversed(table().items())))
    assert np.array_equal(read(path, UNNAMED), inputs(5)[:, ::-1])


def test_whole_rows_in_one_column_have_no_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", inputs=inputs(5), targets=[0] * 5)
    assert np.array_equal(read(tmp_path / "rows.npz"), inputs(5))


def test_objects_in_a_cell_are_rows_by_name(tmp_path: Path) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in inputs(5).tolist()]
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps({"id": 1, "inputs": dict(reversed(row.items()))}) for row in rows)
    )
    write_parquet(tmp_path / "rows.parquet", {"inputs": [dict(reversed(row.items())) for row in rows]})
    for name in ("rows.jsonl", "rows.parquet"):
        assert np.array_equal(read(tmp_path / name), inputs(5))


def test_names_of_the_model_come_before_names_of_cells(tmp_path: Path) -> None:
    """A number among others may be called as an input is, or as labels are."""
    names = ["inputs", "features", "y", "label", "text", "z"]
    manifest = msgspec.structs.replace(NAMED, columns={"features": tuple(names)})
    held = dict(zip(reversed(names), inputs(5).T[::-1], strict=True))
    path = write(tmp_path / "rows.parquet", held)
    assert np.array_equal(read(path, manifest), inputs(5))
    without_z = write(tmp_path / "less.parquet", {name: held[name] for name in names[:5]})
    with pytest.raises(DataError, match="it lacks the column 'z'"):
        read(without_z, manifest)


def test_files_of_a_folder_may_have_orders_of_their_own(tmp_path: Path) -> None:
    """Of a model without names the first file's order is that of all."""
    (tmp_path / "rows").mkdir()
    first, second = inputs(5), inputs(3, seed=2)
    write(tmp_path / "rows" / "a.csv", columns(first))
    write(tmp_path / "rows" / "b.csv", dict(reversed(columns(second).items())))
    for manifest in (NAMED, UNNAMED):
        assert np.array_equal(read(tmp_path / "rows", manifest), np.concatenate([first, second]))
    write(tmp_path / "rows" / "c.csv", table(f0="F0"))
    with pytest.raises(DataError, match="all files of a folder need the same"):
        Files(tmp_path / "rows")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("rows.csv", "f0,f1,f0\n1,2,3\n", "two columns have one name: 'f0'"),
        ("rows.jsonl", '{"f0": 1, "f1": 2}\n{"f0": 1, "f1": 2, "f0": 3}\n', "two columns have one name"),
        ("rows.jsonl", '{"inputs": {"f0": 1, "f1": 2, "f0": 3}}\n', "row 0: two columns have one name: 'f0'"),
    ],
)  # fmt: skip
def test_a_name_that_stands_twice_is_told(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as refusal:
        list(Files(tmp_path / name).parts(0, 9))
    assert words in str(refusal.value)


def test_the_command_scores_by_name_and_refuses_by_name(repository: Repository, tmp_path: Path) -> None:
    repository.add(sampling=SAMPLING, columns={"features": NAMES})
    plain = scored(repository, write_parquet(tmp_path / "plain.parquet", columns(inputs(5))))
    turned = write(tmp_path / "turned.csv", dict(reversed(table().items())) | {"label": list("abcab")})
    # A column that is an input may be carried through as well.
    table_of_turned = scored(repository, turned, "--keep", "f0")
    assert table_of_turned.drop_columns(["f0"]).equals(plain)
    told = score(repository, write(tmp_path / "other.csv", table(f3="F3")), tmp_path / "out.parquet")
    assert told.exit_code == 1
    assert "other.csv: it has 'F3' (did you mean 'f3'?)" in told.stderr
    assert "--keep" not in told.stderr
    assert len(told.stderr.splitlines()) == 1
