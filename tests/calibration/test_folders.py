"""`unsure calibrate` with a folder of images for each label."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from image_folders import grey, pixels, write_images, write_texts
from repositories import Repository

from service.cli import main
from service.repository.calibration import Calibration, read_calibration

ROWS = 60
LABELS = ("a", "b", "c")


@pytest.fixture
def images(repository: Repository) -> np.ndarray:
    grey(repository)
    return pixels(ROWS)


def calibrate(repository: Repository, data: Path, *more: str) -> Result:
    where = ["--repository", str(repository.path), "--factories", "networks", "--plan", "vmap"]
    return CliRunner().invoke(
        main, ["calibrate", "small", "--data", str(data), "--target-error", "0.9", *where, *more]
    )


def made(repository: Repository, data: Path, *more: str) -> Calibration:
    told = calibrate(repository, data, *more)
    assert told.exit_code == 0, told.output
    found = read_calibration(repository.path / "small" / "1")
    assert found is not None
    return found


def test_a_folder_for_each_label_gives_what_an_archive_gives(
    repository: Repository, images: np.ndarray, tmp_path: Path
) -> None:
    targets = np.arange(ROWS) // (ROWS // len(LABELS))
    np.savez(tmp_path / "heldout.npz", inputs=images.astype(np.float32), targets=targets)
    named = {f"{LABELS[target]}/{row}.png": images[row] for row, target in enumerate(targets)}
    archive = made(repository, tmp_path / "heldout.npz")
    again = made(repository, write_images(tmp_path / "heldout", named))
    assert (again.found, again.scores, again.conformal) == (archive.found, archive.scores, archive.conformal)
    # Half of each pixel is another model's pixel, and so another calibration.
    halved = made(repository, tmp_path / "heldout", "--pixels", "0..127.5")
    assert halved.scores != archive.scores


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("{row}.png",),
            "has no column of labels; name it targets or label, or put images or texts into a folder",
        ),
        (("a/{row}.png", "q/{row}.png"), "label of row 1 is 'q'; the model's are: a, b, c"),
    ],
)
def test_a_folder_without_labels_of_the_model_is_refused(
    repository: Repository, images: np.ndarray, tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    named = {name.format(row=row): images[row] for row, name in enumerate(names)}
    told = calibrate(repository, write_images(tmp_path / "heldout", named))
    assert told.exit_code == 1
    assert words in told.stderr


def test_an_image_that_is_none_is_told_with_its_file(
    repository: Repository, images: np.ndarray, tmp_path: Path
) -> None:
    data = write_images(tmp_path / "heldout", {f"a/{row}.png": images[row] for row in (2, 10)})
    write_texts(data, {"b/1.png": "no image"})
    told = calibrate(repository, data)
    assert told.exit_code == 1
    assert "heldout: input image: row 2, b/1.png, cannot be read: it is no image of " in told.stderr


def test_parts_of_a_table_are_refused(repository: Repository, images: np.ndarray, tmp_path: Path) -> None:
    data = write_texts(tmp_path / "heldout", {"1.csv": "f0,label\n1,a\n", "2.csv": "f0,label\n1,a\n"})
    assert "heldout has 2 files of rows; name one, or join them" in calibrate(repository, data).stderr
