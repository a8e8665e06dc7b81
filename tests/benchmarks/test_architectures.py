"""The comparison of architectures: images made of real ones, and figures of the scores that they are of."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from reproductions import BENCHMARKS, PAGE, cells, heads, reproduce

from models.training.data import Rows

sys.path.append(str(BENCHMARKS))  # last: it has names that fixtures have too

from reproduction.architectures import SAMPLED, WHOLE, WHOLE_SCORES, Answered, figures_of
from reproduction.architectures_tables import accuracy, calibration_error
from reproduction.shifted_images import blurred, rotated, shuffled

IMAGES = torch.arange(2 * 9.0).reshape(2, 1, 3, 3)
PROBABILITIES = {
    WHOLE: np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]),
    SAMPLED: np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]),
}


def answered(whole: list[float], sampled: list[float]) -> Answered:
    return Answered(PROBABILITIES, {f"{WHOLE} a": np.array(whole), f"{SAMPLED} b": np.array(sampled)})


def test_images_are_turned_and_blurred() -> None:
    assert rotated(IMAGES)[0, 0].tolist() == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert blurred(IMAGES)[0, 0, 1, 1] == pytest.approx(4)
    assert blurred(IMAGES)[0, 0, 0, 0] == pytest.approx((0 + 1 + 3 + 4) / 9)


def test_shuffled_images_have_their_own_pixels_in_orders_of_their_own() -> None:
    first, second = shuffled(IMAGES)
    assert sorted(first.flatten().tolist()) == list(range(9))
    assert (second - first).unique().numel() > 1
    assert torch.equal(shuffled(IMAGES), shuffled(IMAGES))


def test_figures_go_with_the_labels_of_their_scores() -> None:
    rows = Rows(torch.zeros(3, 1), torch.tensor([0, 1, 0]))
    shifted = {"moved": answered([4, 5, 6], [1, 2, 0])}
    found = figures_of(answered([1, 3, 2], [1, 2, 3]), rows, shifted)
    assert found["right"] == {WHOLE: [1, 0, 1], SAMPLED: [1, 1, 1]}
    assert found["confidence"] == {WHOLE: [0.9, 0.6, 0.7], SAMPLED: [0.8, 0.6, 0.7]}
    assert found["loss"][WHOLE] == pytest.approx(-np.log([0.9, 0.4, 0.7]).mean())
    assert found["loss"][SAMPLED] == pytest.approx(-np.log([0.8, 0.6, 0.7]).mean())
    # The one wrong row of three has the highest score: the curve rises from 0 to 1/3 over its last third.
    assert found["augrc"] == {f"{WHOLE} a": pytest.approx(1 / 18), f"{SAMPLED} b": 0}
    # Pairs in which the moved row has the higher score: all; and 2 > 1, with a tie at 1 and one at 2.
    assert found["auroc"] == {"moved": {f"{WHOLE} a": 1, f"{SAMPLED} b": pytest.approx(2 / 9)}}


def test_the_scores_of_a_whole_network_are_of_its_probabilities() -> None:
    p = PROBABILITIES[WHOLE]
    assert WHOLE_SCORES["max_probability"](p) == pytest.approx([0.1, 0.4, 0.3])
    assert WHOLE_SCORES["entropy"](p) == pytest.approx(-(p * np.log(p)).sum(-1))


def test_accuracy_is_averaged_and_the_calibration_error_is_of_all_rows_together() -> None:
    runs = [{"right": {WHOLE: right}, "confidence": {WHOLE: [0.8, 0.8]}} for right in ([1, 1], [1, 0])]
    assert accuracy(runs, WHOLE).words(1) == "75.0 ± 25.0"
    assert calibration_error(runs, WHOLE) == pytest.approx(0.8 - 0.75)


def test_the_short_mode_draws_the_picture_and_its_tables_are_those_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = reproduce(capsys, "architectures", tmp_path)
    assert len(heads(lines)) == 3
    assert all(f"\n{head}\n" in PAGE for head in heads(lines))
    assert cells(lines[2])[0] == "drop_connect"
    picture = tmp_path / "pictures" / "architectures.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - our own
    assert "(pictures/architectures.svg)" in PAGE
