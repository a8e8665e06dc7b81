"""Splits that share no row, and augmentation that keeps what it must."""

import torch

from models.training.augmentation import shift_images
from models.training.data import Rows, split


def numbered(rows: int, classes: int) -> Rows:
    numbers = torch.arange(rows)
    return Rows(numbers.float()[:, None], numbers % classes)


def test_every_row_is_in_exactly_one_part() -> None:
    splits = split(numbered(1000, 7), "classification", torch.Generator().manual_seed(0))
    parts = [splits.train, splits.validation, splits.calibration, splits.test]
    assert torch.cat([part.inputs for part in parts]).flatten().sort().values.tolist() == list(range(1000))
    assert [round(len(part) / 1000, 2) for part in parts] == [0.55, 0.1, 0.15, 0.2]


def test_every_part_has_its_share_of_every_class() -> None:
    splits = split(numbered(700, 7), "classification", torch.Generator().manual_seed(0))
    for part, share in (
        (splits.train, 55),
        (splits.validation, 10),
        (splits.calibration, 15),
        (splits.test, 20),
    ):
        assert part.targets.bincount().tolist() == [share] * 7


def test_a_seed_repeats_a_split_and_another_does_not() -> None:
    def calibration(seed: int) -> list[float]:
        rows = split(numbered(200, 2), "regression", torch.Generator().manual_seed(seed)).calibration
        flat: list[float] = rows.inputs.flatten().tolist()
        return flat

    assert calibration(3) == calibration(3)
    assert calibration(3) != calibration(4)


def test_shifted_images_are_the_same_images_moved_by_at_most_a_pixel() -> None:
    torch.manual_seed(0)
    images = torch.randn(200, 2, 5, 6)
    shifted = shift_images(images)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    moves = {
        (down, right): padded[:, :, down : down + 5, right : right + 6]
        for down in range(3)
        for right in range(3)
    }
    seen = set()
    for index in range(len(images)):
        fits = [move for move, moved in moves.items() if torch.equal(shifted[index], moved[index])]
        assert len(fits) == 1
        seen.add(fits[0])
    assert seen == set(moves)
