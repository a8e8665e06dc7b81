"""The picture of the learning curves: well-formed, to scale, and the best epoch marked."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from own_files import customers, train, written
from readme import ROOT

from models.training.curves import learning_curves, ticks
from models.training.fitting import Epoch, Figures

SVG = "{http://www.w3.org/2000/svg}"


def epochs(losses: list[float]) -> list[Epoch]:
    return [
        Epoch(number, Figures(loss / 2, 1 - loss / 4), Figures(loss, 1 - loss / 2), best=False)
        for number, loss in enumerate(losses, 1)
    ]


def drawn(losses: list[float], best: int, name: str = "digits") -> ET.Element:
    return ET.fromstring(learning_curves(name, "R²", epochs(losses), best))  # noqa: S314 - our own


def points(picture: ET.Element) -> list[list[tuple[float, float]]]:
    curves = picture.iter(f"{SVG}polyline")
    return [
        [tuple(map(float, pair.split(","))) for pair in curve.attrib["points"].split()] for curve in curves
    ]  # type: ignore[misc]


def test_curves_are_to_scale_and_the_best_epoch_is_marked() -> None:
    losses = [1.0, 0.5, 0.25, 0.5]
    picture = drawn(losses, best=3)
    train_loss, validation_loss, *_ = points(picture)
    across = [x for x, _ in validation_loss]
    assert across == pytest.approx(
        [across[0] + step * (across[-1] - across[0]) / 3 for step in range(4)], abs=0.1
    )
    heights = [y for _, y in validation_loss]
    assert heights[0] < heights[1] < heights[2]
    assert (heights[1] - heights[0]) / (heights[2] - heights[1]) == pytest.approx(2, abs=0.02)
    assert train_loss[0][1] == pytest.approx(heights[1], abs=0.11)
    marks = [
        (float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in picture.iter(f"{SVG}circle")
    ]
    assert marks[0] == validation_loss[2]
    assert "best epoch, 3" in [text.text for text in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "losses", [[1.0], [1.0, 1.0], [1e9] + [1.0, 0.5] * 20, [1e-9, 2e-9], [-3.0, -4.0, 1e6]]
)
def test_odd_curves_can_be_drawn(losses: list[float]) -> None:
    picture = drawn(losses, best=1)
    assert len(points(picture)) == 4
    assert all(abs(value) < float("inf") for curve in points(picture) for point in curve for value in point)


def test_one_wild_loss_does_not_flatten_the_others() -> None:
    _, validation, *_ = points(drawn([1e6] + [1.0, 0.5] * 20, best=3))
    assert validation[2][1] - validation[1][1] > 20


def test_a_name_is_text_and_no_markup() -> None:
    assert drawn([1.0, 0.5], 2, "a<b>&c").find(f"{SVG}title").text == "Learning curves of a<b>&c"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 64, [20, 40, 60]),
        (-0.31, 0.3, [-0.2, 0, 0.2]),
        (7, 7.001, None),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: Any) -> None:
    found = ticks(low, high)
    assert found == expected or (expected is None and 3 <= len(found) <= 11)


def test_they_lie_beside_the_weights_with_the_figures_that_are_documented(tmp_path: Path) -> None:
    path = written(tmp_path / "customers.csv", customers())
    options = ["--target", "left", "--ignore", "spent", "--epochs", 2]
    assert train(tmp_path, "customers", "--data", path, *options).exit_code == 0
    folder = tmp_path / "customers" / "1"
    assert "best epoch" in (folder / "learning_curves.svg").read_text("utf-8")
    page = (ROOT / "docs" / "training.md").read_text("utf-8").split("`training.json` has")[1].split("\n\n")[1]
    named = {
        key
        for cell in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for key in re.findall(r"`(\w+)`", cell)
    }
    record = json.loads((folder / "training.json").read_text("utf-8"))
    assert set(record) <= named
    assert set(record["schedule"]) <= set(re.findall(r"`(\w+)`", page))
