"""The comparison of a whole network with averages over thinned ones."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from reproductions import BENCHMARKS, PAGE, cells, heads, reproduce

sys.path.append(str(BENCHMARKS))  # last: it has names that fixtures have too

from reproduction.weight_scaling import averaged
from reproduction.weight_scaling_tables import Curves


def test_averages_are_those_of_the_first_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(6, 20, 3, generator=generator).double().softmax(-1)
    labels = torch.randint(0, 3, (20,), generator=generator)
    wrong, losses = averaged(probabilities, labels)
    for count in range(1, 7):
        mean = sum(probabilities[:count]) / count
        expected = sum(int(row.argmax() != label) for row, label in zip(mean, labels, strict=True))
        assert wrong[count - 1] == expected
        loss = torch.nn.functional.nll_loss(mean.log(), labels).item()
        assert losses[count - 1] == pytest.approx(loss, rel=1e-12)


def curves(whole_wrong: int) -> Curves:
    first = {"rows": 10, "whole_wrong": whole_wrong, "whole_loss": 0.1, "loss": [0.4, 0.2, 0.2]}
    second = {"rows": 30, "whole_wrong": 0, "whole_loss": 0.3, "loss": [0.8, 0.6, 0.2]}
    return Curves.of(
        [{**first, "wrong": [[4, 1, 1], [6, 3, 1]]}, {**second, "wrong": [[4, 2, 0], [2, 2, 0]]}]
    )


def test_curves_are_of_the_rows_of_all_splits() -> None:
    found = curves(2)
    assert found.whole_error == pytest.approx(2 / 40)
    assert found.whole_loss == pytest.approx((10 * 0.1 + 30 * 0.3) / 40)
    assert found.errors == pytest.approx([8 / 40, 4 / 40, 1 / 40])
    assert found.deviations == pytest.approx([0, 2**0.5 / 40, 0])
    assert found.losses == pytest.approx([0.7, 0.5, 0.2])


@pytest.mark.parametrize(
    ("whole_wrong", "near", "meeting"), [(2, 3, 3), (3, 2, 3), (4, 2, 2), (0, None, None)]
)
def test_the_curves_meet_where_averages_are_no_worse(
    whole_wrong: int, near: int | None, meeting: int | None
) -> None:
    found = curves(whole_wrong)
    assert (found.near, found.meeting) == (near, meeting)


def test_the_short_mode_draws_the_picture_and_its_table_is_that_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = reproduce(capsys, "weight-scaling", tmp_path)
    assert f"\n{heads(lines)[0]}\n" in PAGE
    assert [cells(line)[0] for line in lines[2:6]] == ["whole network", "mean of 1", "mean of 2", "mean of 5"]
    picture = tmp_path / "pictures" / "weight-scaling.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - our own
    assert "(pictures/weight-scaling.svg)" in PAGE
    drawn = picture.read_bytes()
    assert reproduce(capsys, "weight-scaling", tmp_path) == lines
    assert picture.read_bytes() == drawn
