"""Runs that are killed wherever they are: the next goes on, and the output is the same to the last byte."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from image_folders import grey, pixels, write_images
from pyarrow import parquet
from readme import ROOT
from repositories import Repository
from scored import SAMPLING, broken_after, columns, inputs, score, unwatched, write_parquet

from service.data.images import Images
from service.errors import ScoringError
from service.scoring import run as scoring
from service.scoring.asked import Asked
from service.scoring.workspace import Workspace
from service.settings import Settings

ROWS = 2100  # nine parts
PROGRAM = ROOT / "tests" / "fixtures" / "killed_scorers.py"


def table(repository: Repository, path: Path) -> Path:
    repository.add(sampling=SAMPLING)
    return write_parquet(path / "rows.parquet", columns(inputs(ROWS)))


@pytest.fixture
def source(repository: Repository, tmp_path: Path) -> Path:
    return table(repository, tmp_path)


def settings(repository: Repository) -> Settings:
    return Settings(repository=repository.path, factories="networks", plan="vmap")


def folder(repository: Repository, path: Path) -> Path:
    grey(repository)
    named = {f"{row % 7}/{row}.png": image for row, image in enumerate(pixels(ROWS))}
    return write_images(path / "photos", named)


@pytest.mark.parametrize("write", [table, folder])
def test_killed_anywhere_a_run_goes_on_and_the_output_is_the_same(
    repository: Repository, tmp_path: Path, write: Callable[[Repository, Path], Path]
) -> None:
    source = write(repository, tmp_path)
    whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    paths = os.pathsep.join([str(ROOT), str(PROGRAM.parent)])
    told = subprocess.run(
        [sys.executable, str(PROGRAM), str(repository.path), str(source), str(whole), str(output), "5"],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["kills"] == [True] * 9 + [False]
    assert output.read_bytes() == whole.read_bytes()
    assert not Workspace(output).path.exists()
    # What was put in its place is not scored again: but for its last part, a run is behind those before it.
    done = 0
    for parts in found["parts"]:
        assert all(first >= done for first in parts)
        done = max([done, *parts[:-1]])


def test_the_next_run_scores_the_rest_alone(repository: Repository, source: Path, tmp_path: Path) -> None:
    asked = Asked("small", None, source, tmp_path / "out.parquet")
    with pytest.raises(ScoringError, match="a fault"):
        scoring.score(settings(repository), asked, unwatched, broken_after(4), part_seconds=0.0)
    assert Workspace(asked.output).done == 4 * 256
    made = scoring.score(settings(repository), asked, unwatched)
    assert (made.rows, made.scored) == (ROWS, ROWS - 4 * 256)
    assert parquet.read_table(asked.output).column("row").to_pylist() == list(range(ROWS))


@pytest.fixture
def unfinished(repository: Repository, source: Path, tmp_path: Path) -> Asked:
    asked = Asked("small", None, source, tmp_path / "out.parquet")
    with pytest.raises(ScoringError, match="a fault"):
        scoring.score(settings(repository), asked, unwatched, broken_after(2), part_seconds=0.0)
    return asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 11}, "samples was 10 samples and is 11 samples"),
        ({"seed": 4}, "the seed was 3 and is 4"),
        ({"threshold": 0.5}, "the threshold was 0.9 and is 0.5"),
    ],
)
def test_a_run_of_something_else_does_not_go_on(
    repository: Repository, unfinished: Asked, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ScoringError) as refusal:
        scoring.score(settings(repository), replace(unfinished, **change), unwatched)
    assert words in str(refusal.value)
    assert "has scored 512 rows" in str(refusal.value)
    assert str(refusal.value).endswith("go on with what it was, or begin anew with --restart")


def test_other_rows_or_other_weights_do_not_go_on_but_begin_anew_where_that_is_said(
    repository: Repository, unfinished: Asked
) -> None:
    write_parquet(unfinished.input, columns(inputs(ROWS, seed=2)))
    with pytest.raises(ScoringError, match="since then the input was"):
        scoring.score(settings(repository), unfinished, unwatched)
    made = scoring.score(settings(repository), replace(unfinished, restart=True), unwatched)
    assert made.scored == ROWS


def test_other_weights_do_not_go_on(repository: Repository, unfinished: Asked) -> None:
    repository.add(version=2, sampling=SAMPLING)
    with pytest.raises(ScoringError, match="the model was small/1 and is small/2; the weights was"):
        scoring.score(settings(repository), unfinished, unwatched)


def test_two_runs_do_not_write_to_one_output(repository: Repository, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    with Workspace(output).locked():
        told = score(repository, source, output)
    assert told.exit_code == 1
    assert "another run writes to" in told.stderr
    assert not output.exists()


def test_a_file_more_or_another_or_another_size_does_not_go_on(
    repository: Repository, tmp_path: Path
) -> None:
    asked = Asked("small", None, folder(repository, tmp_path), tmp_path / "out.parquet")
    with pytest.raises(ScoringError, match="a fault"):
        scoring.score(settings(repository), asked, unwatched, broken_after(2), part_seconds=0.0)
    with pytest.raises(ScoringError, match="--resize was False and is True; go on"):
        scoring.score(settings(repository), replace(asked, images=Images(resize=True)), unwatched)
    (asked.input / "0" / "0.png").rename(asked.input / "0" / "9999.png")
    with pytest.raises(ScoringError, match="since then the input was"):
        scoring.score(settings(repository), asked, unwatched)
