"""What a user may change of a training, and that nothing else changes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from own_files import customers, train, written

from models.training.command import DEMO_NAMES
from models.training.data import Rows, Splits
from models.training.families import demo_of, families_of
from models.training.fit import TrainingError
from models.training.objectives import balanced_cross_entropy
from models.training.options import Options, rates_of, with_options
from models.training.run import objective_of

PAIRS = [(name, family) for name in DEMO_NAMES for family in families_of(name)]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_nothing_changes_where_nothing_is_asked_for(pair: tuple[str, str]) -> None:
    changed, plain = with_options(demo_of(*pair), Options()), demo_of(*pair)
    assert (changed.arguments, changed.schedule, changed.balanced) == (plain.arguments, plain.schedule, False)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_family_takes_a_rate(pair: tuple[str, str]) -> None:
    recipe = with_options(demo_of(*pair), Options(dropout=0.35))
    changed = {
        name for name, value in recipe.arguments.items() if demo_of(*pair).arguments.get(name) != value
    }
    assert changed == set(rates_of(recipe))
    assert changed
    assert {recipe.arguments[name] for name in changed} == {0.35}
    recipe.factory(**recipe.arguments)


def test_the_schedule_is_what_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "customers.csv", customers())
    options = ["--epochs", 2, "--batch-rows", 16, "--learning-rate", 0.01, "--weight-decay", 0.5]
    given = ["--target", "left", "--ignore", "spent", "--dropout", 0.45, "--class-weights", "balanced"]
    assert train(tmp_path, "customers", "--data", path, *given, *options).exit_code == 0
    record = json.loads((tmp_path / "customers" / "1" / "training.json").read_text())
    expected = {"epochs": 2, "batch_rows": 16, "learning_rate": 0.01, "weight_decay": 0.5}
    assert record["schedule"].items() >= (expected | {"class_weights": "balanced"}).items()
    assert len(record["epochs"]) == 2
    assert "dropout = 0.45" in (tmp_path / "customers" / "model.toml").read_text()


@pytest.mark.parametrize(
    "option",
    [["--dropout", 1], ["--dropout", 0], ["--epochs", 0], ["--batch-rows", 1], ["--learning-rate", 0]],
    ids=str,
)
def test_options_out_of_range_are_refused(tmp_path: Path, option: list[Any]) -> None:
    assert train(tmp_path, "digits", *option).exit_code == 2


def test_balanced_classes_weigh_alike() -> None:
    """Nine rows of one class and three of another: the loss is the mean of the two classes' mean losses."""
    torch.manual_seed(0)
    logits, labels = torch.randn(12, 2), torch.tensor([0] * 9 + [1] * 3)
    expected = (F.cross_entropy(logits[:9], labels[:9]) + F.cross_entropy(logits[9:], labels[9:])) / 2
    assert balanced_cross_entropy(labels)(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_weights_are_those_of_the_training_rows() -> None:
    def rows(labels: list[int]) -> Rows:
        return Rows(torch.zeros(len(labels), 1), torch.tensor(labels))

    splits = Splits(train=rows([0, 0, 0, 1]), validation=rows([0, 1]), calibration=rows([1]), test=rows([1]))
    recipe = with_options(demo_of("breast-cancer", None), Options(balanced=True))
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    losses = F.cross_entropy(logits, labels, reduction="none")
    expected = (losses[0] * (4 / 6) + losses[1] * 2) / (4 / 6 + 2)
    assert objective_of(recipe, splits).loss(logits, labels).item() == pytest.approx(expected.item())


def test_a_regression_has_no_classes_to_weigh() -> None:
    with pytest.raises(TrainingError, match="--class-weights is for classification"):
        with_options(demo_of("diabetes", None), Options(balanced=True))
