"""What cannot be scored is refused in a sentence, before any row is; a bad row need not stop the others."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet
from repositories import Repository
from scored import SAMPLING, columns, inputs, score, scored, write_parquet

from service.cli import main
from service.data.files import Files
from service.errors import DataError
from service.scoring.workspace import Workspace

ROWS = 300


@pytest.fixture
def small(repository: Repository) -> Repository:
    repository.add(sampling=SAMPLING)
    return repository


def with_nan(values: np.ndarray, row: int) -> np.ndarray:
    values[row, 2] = np.nan
    return values


def csv(path: Path, values: np.ndarray, **cells: str) -> Path:
    """Write a CSV; `cells` are put in place of others, as r3="x,1,2"."""
    lines = [",".join(map(repr, map(float, row))) for row in values]
    for row, cell in cells.items():
        lines[int(row[1:])] = cell
    path.write_text("\n".join([",".join(f"f{place}" for place in range(values.shape[1])), *lines]) + "\n")
    return path


def truncated(path: Path) -> Path:
    write_parquet(path, columns(inputs(ROWS)))
    path.write_bytes(path.read_bytes()[:-100])
    return path


def corrupt(path: Path) -> Path:
    """Parquet whose end is whole, and whose pages are not."""
    write_parquet(path, columns(inputs(ROWS)))
    content = bytearray(path.read_bytes())
    content[2000:6000] = b"\xff" * 4000
    path.write_bytes(content)
    return path


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        write = csv if name.endswith(".csv") else lambda file, values: write_parquet(file, columns(values))
        write(path / name, inputs(5))
    return path


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


INPUTS: list[tuple[Callable[[Path], Path], str]] = [
    (lambda at: at / "none.csv", "there is no "),
    (lambda at: csv(at / "rows.tsv", inputs(3)), "rows.tsv is none of .npz, .csv, .parquet, .jsonl, .txt"),
    (lambda at: csv(at / "rows.csv", inputs(0)), "rows.csv has no rows"),
    (lambda at: csv(at / "rows.csv", inputs(3), r1="1,2"), "row 1 has 2 cells, and the head 6"),
    (lambda at: csv(at / "rows.csv", inputs(300), r270="1,2,x,4,5,6"), "f2: row 270 is 'x', and no number"),
    (lambda at: csv(at / "rows.csv", inputs(3), r2="1,2,,4,5,6"), "f2: row 2 is '', and no number"),
    (lambda at: csv(at / "rows.csv", inputs(3), r2="1,2,1e999,4,5,6"), "row 2 holds NaN, infinity"),
    (
        lambda at: write_parquet(at / "rows.parquet", columns(with_nan(inputs(ROWS), 277))),
        "rows.parquet: input features: row 277 holds NaN, infinity",
    ),
    (
        lambda at: write_parquet(at / "rows.parquet", columns(inputs(9), g=range(9))),
        "it has no input features: a column of that name, or 6 columns of a number each; there are 7",
    ),
    (
        lambda at: write_parquet(at / "rows.parquet", {"features": [[1.0] * 6, [1.0] * 5]}),
        "row 1: input features must have shape [rows, 6], none of it 0, and has [1, 5]",
    ),
    (
        lambda at: write_parquet(at / "rows.parquet", columns(inputs(9)) | {"f0": [None] + [1.0] * 8}),
        "row 0 holds NaN",
    ),
    (lambda at: truncated(at / "rows.parquet"), "rows.parquet cannot be read"),
    (lambda at: corrupt(at / "rows.parquet"), "rows.parquet cannot be read"),
    (lambda at: folder(at / "rows"), "rows has no files of rows"),
    (lambda at: folder(at / "rows", "a.csv", "b.parquet"), "has files of two kinds, a.csv and b.parquet"),
    (lambda at: lines(at / "rows.jsonl", {"inputs": [0] * 6}, {"x": 1}), "row 1 has x, and the first inputs"),
    (lambda at: lines(at / "rows.jsonl", {"inputs": [0] * 6}, 3), "row 1 is no JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "words"), INPUTS, ids=[words for _, words in INPUTS])
def test_rows_that_are_none_are_refused_before_any_is_scored(
    small: Repository, tmp_path: Path, write: Callable[[Path], Path], words: str
) -> None:
    output = tmp_path / "out.parquet"
    told = score(small, write(tmp_path), output)
    assert told.exit_code == 1, told.output
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert not output.exists()
    assert not Workspace(output).path.exists()


def outputs(at: Path) -> list[tuple[Path, str]]:
    there = at / "there.parquet"
    there.write_text("kept")
    return [
        (there, "there.parquet is there already; move it away"),
        (at / "out.csv", "must end in .parquet"),
        (at / "nowhere" / "out.parquet", "there is no folder"),
    ]


@pytest.mark.parametrize("number", range(3))
def test_an_output_that_cannot_be_written_is_refused(small: Repository, tmp_path: Path, number: int) -> None:
    source = write_parquet(tmp_path / "rows.parquet", columns(inputs(9)))
    output, words = outputs(tmp_path)[number]
    told = score(small, source, output)
    assert told.exit_code == 1
    assert words in told.stderr
    assert (tmp_path / "there.parquet").read_text() == "kept"


def linked(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize(
    ("place", "put"),
    [("", Path.touch), ("", linked)]
    + [(name, Path.mkdir) for name in ("lock", "run.json", "run.json.tmp", "photos")]
    + [("photo.png", Path.touch), ("part-0-9.parquet", linked)],
)
def test_what_is_of_no_run_stays_where_the_work_would_be(
    small: Repository, tmp_path: Path, place: str, put: Callable[[Path], None]
) -> None:
    source = write_parquet(tmp_path / "rows.parquet", columns(inputs(9)))
    workspace = Workspace(tmp_path / "out.parquet").path
    foreign = workspace / place
    foreign.parent.mkdir(exist_ok=True)
    put(foreign)
    for options in ((), ("--restart",)):
        told = score(small, source, tmp_path / "out.parquet", *options)
        assert told.exit_code == 1
        assert f"{foreign} is of no run; move it away, or write elsewhere" in told.stderr
        assert os.path.lexists(foreign)


@pytest.mark.parametrize("place", ["out.parquet", "deep/out.parquet"])
def test_an_output_among_the_rows_is_refused(small: Repository, tmp_path: Path, place: str) -> None:
    """The next run would read it as more of them."""
    rows = tmp_path / "rows"
    (rows / "deep").mkdir(parents=True)
    write_parquet(rows / "a.parquet", columns(inputs(9)))
    told = score(small, rows, rows / place)
    assert told.exit_code == 1
    assert f"{rows / place} would lie in the input's folder, among its rows; write elsewhere" in told.stderr
    assert not (rows / place).exists()


@pytest.mark.parametrize("target", ["elsewhere.parquet", "there.parquet"])
def test_an_output_that_is_a_link_stays_one(small: Repository, tmp_path: Path, target: str) -> None:
    source = write_parquet(tmp_path / "rows.parquet", columns(inputs(9)))
    (tmp_path / "there.parquet").write_text("kept")
    output = tmp_path / "out.parquet"
    output.symlink_to(target)
    told = score(small, source, output)
    assert told.exit_code == 1
    assert f"{output} is a link; move it away, or name what it leads to" in told.stderr
    assert output.is_symlink()


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "No space left on device"), (errno.EACCES, "Permission denied")]
)
def test_where_writing_fails_what_is_done_stays(
    small: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    source = write_parquet(tmp_path / "rows.parquet", columns(inputs(9)))
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patched:

        def full(*_: Any, **__: Any) -> None:
            raise OSError(code, os.strerror(code))

        patched.setattr(parquet.ParquetWriter, "write_table", full)
        told = score(small, source, output)
    assert f"cannot be written to: {words}; once it can, the same command goes on" in told.stderr
    assert not output.exists()
    assert score(small, source, output).exit_code == 0
    assert parquet.read_metadata(output).num_rows == 9


@pytest.mark.parametrize("option", ["1", "0..4", "x", "2..", "5..4"])
def test_samples_that_are_none_are_refused(small: Repository, tmp_path: Path, option: str) -> None:
    source = write_parquet(tmp_path / "rows.parquet", columns(inputs(9)))
    assert score(small, source, tmp_path / "out.parquet", "--samples", option).exit_code in (1, 2)


def test_bad_rows_have_an_error_in_place_of_an_answer(small: Repository, tmp_path: Path) -> None:
    values = inputs(ROWS)
    good = scored(small, write_parquet(tmp_path / "good.parquet", columns(values)))
    values = with_nan(with_nan(values, 3), 277)
    table = scored(small, write_parquet(tmp_path / "rows.parquet", columns(values)), "--skip-bad")
    errors = {row: error for row, error in enumerate(table.column("error").to_pylist()) if error}
    assert errors == {
        row: f"input features: row {row} holds NaN, infinity, or a number too large for FP32"
        for row in (3, 277)
    }
    assert table.column("score").null_count == 2
    assert table.column("row").to_pylist() == list(range(ROWS))
    kept = [row for row in range(ROWS) if row not in errors]
    for name in ("label", "low_confidence", "samples", "reasons"):
        assert table.column(name).take(kept).equals(good.column(name).take(kept))
    scores = [np.array(one.column("score").take(kept)) for one in (table, good)]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_a_row_that_the_model_fails_on_stops_the_run_until_it_may_be_skipped(
    repository: Repository, tmp_path: Path
) -> None:
    repository.add(factory="giving_nan", sampling=SAMPLING)
    values = inputs(ROWS)
    values[299] = 1e6
    source, output = write_parquet(tmp_path / "rows.parquet", columns(values)), tmp_path / "out.parquet"
    told = score(repository, source, output)
    assert told.exit_code == 1
    assert "rows.parquet: the model gave NaN for row 299; correct it" in told.stderr
    table_of = score(repository, source, output, "--skip-bad")
    assert table_of.exit_code == 0, table_of.output
    assert "1 of them have no answer: the column error says why." in table_of.stdout
    assert parquet.read_table(output).column("error").to_pylist()[298:] == [
        None,
        "the model gave NaN for row 299",
    ]


def test_a_folder_is_one_file_after_another(small: Repository, tmp_path: Path) -> None:
    values = inputs(ROWS)
    whole = scored(small, write_parquet(tmp_path / "whole.parquet", columns(values)))
    (tmp_path / "parts").mkdir()
    for name, rows in (("a", values[:10]), ("b", values[10:11]), ("c", values[11:])):
        csv(tmp_path / "parts" / f"{name}.csv", rows)
    (tmp_path / "parts" / "_SUCCESS").touch()
    table = scored(small, tmp_path / "parts")
    assert table.column("row").equals(whole.column("row"))
    assert table.column("label").equals(whole.column("label"))
    files = Files(tmp_path / "parts")
    seen = [(part.first, part.offset, part.path.name, part.columns.rows) for part in files.parts(0, 256)]
    assert seen == [(0, 0, "a.csv", 10), (10, 0, "b.csv", 1), (11, 0, "c.csv", 256), (267, 256, "c.csv", 33)]
    for start in (10, 11, 267, 300):
        again = [
            (part.first, part.offset, part.path.name, part.columns.rows) for part in files.parts(start, 256)
        ]
        assert again == [one for one in seen if one[0] >= start]


@pytest.mark.parametrize("kind", ["parquet", "npz", "fortran", "compressed", "csv", "jsonl"])
def test_every_kind_is_read_in_parts_from_wherever(tmp_path: Path, kind: str) -> None:
    values = inputs(1000)
    ids = np.array([f"r{row}" for row in range(1000)])
    path = tmp_path / f"rows.{'npz' if kind in ('fortran', 'compressed') else kind}"
    if kind == "parquet":
        write_parquet(path, {"features": list(values), "id": ids}, group_rows=170)
    elif kind == "csv":
        path.write_text(
            "id,f\n" + "\n".join(f"{one},{float(row[0])!r}" for one, row in zip(ids, values, strict=True))
        )
    elif kind == "jsonl":
        lines(
            path,
            *({"id": one, "features": row.tolist()} for one, row in zip(ids.tolist(), values, strict=True)),
        )
    else:
        save: Any = np.savez_compressed if kind == "compressed" else np.savez
        save(path, features=np.asfortranarray(values) if kind == "fortran" else values, id=ids)
    whole = Files(path).whole()
    for start in (0, 256, 169, 999):
        parts = list(Files(path).parts(start, 256))
        assert [part.columns.rows for part in parts[:-1]] == [256] * (len(parts) - 1)
        assert [one for part in parts for one in part.columns["id"].tolist()] == ids[start:].tolist()
        name = "f" if kind == "csv" else "features"
        read = np.concatenate([part.columns[name].astype(float) for part in parts])
        expected = values[start:, 0] if kind == "csv" else values[start:]
        assert np.array_equal(read.astype(np.float32), expected)
        assert np.array_equal(whole[name][start:].astype(float), read)


def test_columns_of_other_types_are_kept_as_they_are(small: Repository, tmp_path: Path) -> None:
    held = pa.table(
        columns(inputs(3))
        | {
            "when": pa.array([0, 1, None], pa.timestamp("us")),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "tags": [["x"], [], ["y", "z"]],
        }
    )
    parquet.write_table(held, tmp_path / "rows.parquet")
    keep = ("--keep", "when", "--keep", "kind", "--keep", "tags")
    table = scored(small, tmp_path / "rows.parquet", *keep)
    assert table.column("when").equals(held.column("when"))
    assert table.column("kind").to_pylist() == ["a", "b", "a"]
    assert table.column("tags").to_pylist() == [["x"], [], ["y", "z"]]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read"):
        Files(tmp_path / "rows.csv").whole()


@pytest.mark.parametrize("option", ["--input", "--output", "--repository"])
def test_a_name_that_is_too_long_for_the_system_is_told_in_a_sentence(
    small: Repository, tmp_path: Path, option: str
) -> None:
    paths = {
        "--input": tmp_path / "rows.csv",
        "--output": tmp_path / "out.parquet",
        "--repository": small.path,
    }
    csv(tmp_path / "rows.csv", inputs(2))
    name = f"{'a' * 300}/x.parquet"
    words = [str(word) for pair in (paths | {option: tmp_path / name}).items() for word in pair]
    result = CliRunner().invoke(main, ["score", "small", *words])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "File name too long" in result.output
    assert "Traceback" not in result.output
