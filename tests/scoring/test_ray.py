"""Ray Data gives what this process gives, in the same order, and its refusals in the same words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_folders import grey, pixels, write_images
from pyarrow import parquet
from rays import started
from repositories import Repository
from scored import SAMPLING, broken_after, columns, inputs, unwatched, write_parquet

from service.errors import ScoringError
from service.scoring import run as scoring
from service.scoring.asked import Asked
from service.scoring.on_ray import on_ray
from service.scoring.workspace import Workspace
from service.settings import Settings

ROWS = 1000


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_scores_as_this_process_does_from_wherever_a_run_goes_on(
    repository: Repository, tmp_path: Path
) -> None:
    with started(1):
        compare(repository, tmp_path)
        compare_folders(repository, tmp_path)


def compare(repository: Repository, tmp_path: Path) -> None:
    repository.add(factory="giving_nan", sampling=SAMPLING)
    values = inputs(ROWS)
    values[700] = 1e6
    source = write_parquet(tmp_path / "rows.parquet", columns(values, id=range(ROWS)))
    settings = Settings(repository=repository.path, factories="networks", plan="vmap")
    asked = Asked("small", None, source, tmp_path / "out.parquet", ("id",))
    with pytest.raises(ScoringError, match="a fault"):
        scoring.score(settings, asked, unwatched, broken_after(1), part_seconds=0.0)
    with pytest.raises(ScoringError, match="the model gave NaN for row 700; correct it"):
        scoring.score(settings, asked, unwatched, on_ray(settings, asked), part_seconds=0.0)
    assert Workspace(asked.output).done == 512
    skipping = replace(asked, skip_bad=True)
    scoring.score(settings, skipping, unwatched)
    local = replace(skipping, output=tmp_path / "local.parquet")
    scoring.score(settings, local, unwatched)
    found, expected = parquet.read_table(asked.output), parquet.read_table(local.output)
    for name in ("row", "id", "label", "low_confidence", "samples", "error"):
        assert found.column(name).equals(expected.column(name))
    scores = [table.column("score").to_numpy() for table in (found, expected)]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def compare_folders(repository: Repository, tmp_path: Path) -> None:
    grey(repository, "grey")
    named = {f"{row}.png": image for row, image in enumerate(pixels(300))}
    source = write_images(tmp_path / "photos", named)
    (source / "270.png").write_bytes(b"")
    settings = Settings(repository=repository.path, factories="networks", plan="vmap")
    asked = Asked("grey", None, source, tmp_path / "grey.parquet", skip_bad=True)
    scoring.score(settings, asked, unwatched, on_ray(settings, asked))
    local = replace(asked, output=tmp_path / "grey_local.parquet")
    scoring.score(settings, local, unwatched)
    found, expected = parquet.read_table(asked.output), parquet.read_table(local.output)
    assert [row for row, error in enumerate(found.column("error").to_pylist()) if error] == [270]
    for name in ("row", "file", "label", "error"):
        assert found.column(name).equals(expected.column(name))
