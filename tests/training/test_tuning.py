"""The rule for a rate: where it goes, where it ends, and what is reported."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from own_files import customers, train, written

from models.training.command import DEMO_NAMES
from models.training.families import demo_of, families_of
from models.training.fit import TrainingError
from models.training.fitting import Epoch, Figures
from models.training.tuning import TRIAL_EPOCHS, range_of, tune

MLP = demo_of("diabetes", None)


def epochs(train_loss: float, validation_loss: float) -> list[Epoch]:
    """Ten epochs that tell the contrary, and the five that count."""
    told = Figures(train_loss, 0), Figures(validation_loss, 0)
    begun = [Epoch(number, told[1], told[0], best=False) for number in range(1, TRIAL_EPOCHS - 4)]
    return begun + [Epoch(number, *told, best=False) for number in range(TRIAL_EPOCHS - 4, TRIAL_EPOCHS + 1)]


@pytest.mark.parametrize(
    ("losses", "path", "taken", "gain"),
    [
        ({0.2: (1.0, 1.05)}, [0.2], 0.2, 0),  # neither wide nor narrow
        ({0.2: (0.5, 1.0), 0.3: (0.6, 0.9), 0.4: (0.8, 0.85)}, [0.2, 0.3, 0.4], 0.4, 0.15),
        ({0.2: (0.5, 1.0), 0.3: (0.6, 1.1)}, [0.2, 0.3], 0.2, 0),  # it got worse
        ({0.2: (1.0, 1.0), 0.1: (0.9, 0.9)}, [0.2, 0.1], 0.1, 0.1),  # 0 is out of range
        ({0.2: (0.5, 1.0), 0.3: (0.9, 0.9)}, [0.2, 0.3], 0.3, 0.1),  # back would be in a circle
        (
            {0.2: (0.1, 1.0), 0.3: (0.1, 0.9), 0.4: (0.1, 0.8), 0.5: (0.1, 0.7)},
            [0.2, 0.3, 0.4, 0.5],
            0.5,
            0.3,
        ),
    ],
)
def test_the_rule_goes_where_the_gap_tells(
    losses: dict[float, tuple[float, float]], path: list[float], taken: float, gain: float
) -> None:
    def run(rate: float) -> Sequence[Epoch]:
        return epochs(*losses[rate])

    tuning = tune(MLP, run)
    assert [trial.rate for trial in tuning.path] == path
    assert tuning.rate == taken
    assert tuning.gain == pytest.approx(gain)


@pytest.mark.parametrize(
    "pair", [(name, family) for name in DEMO_NAMES for family in families_of(name)], ids="-".join
)
def test_every_family_has_a_range_or_learns_its_rates(pair: tuple[str, str]) -> None:
    if pair[1] == "concrete":
        with pytest.raises(TrainingError, match="concrete learns its rates in training"):
            range_of(demo_of(*pair))
    else:
        low, high = range_of(demo_of(*pair))
        assert 0 < low <= 0.2 <= high <= 0.5


def test_the_path_and_the_gain_are_told_and_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "customers.csv", customers())
    options = ["--data", path, "--target", "spent", "--ignore", "left", "--epochs", 20]
    result = train(tmp_path, "spending", *options, "--tune-dropout")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "spending" / "1" / "training.json").read_text())["dropout_tuning"]
    assert record["epochs"] == TRIAL_EPOCHS
    assert record["path"][0]["rate"] == 0.2
    assert f"dropout = {record['rate']}" in (tmp_path / "spending" / "model.toml").read_text()
    for trial in record["path"]:
        assert f"dropout {trial['rate']:g}: loss {trial['train_loss']:.4f} on train" in result.output
    assert f"dropout {record['rate']:g} is taken: {record['gain']:.4f} lower" in result.output


def test_a_trial_is_the_beginning_of_the_training_that_follows(tmp_path: Path) -> None:
    """The rate that is taken has been seen with the very weights that it is trained to."""
    path = written(tmp_path / "customers.csv", customers())
    options = ["--data", path, "--target", "spent", "--ignore", "left", "--epochs", TRIAL_EPOCHS]
    train(tmp_path, "spending", *options, "--tune-dropout")
    record = json.loads((tmp_path / "spending" / "1" / "training.json").read_text())
    tuning = record["dropout_tuning"]
    (trial,) = (trial for trial in tuning["path"] if trial["rate"] == tuning["rate"])
    last = [epoch["train"]["loss"] for epoch in record["epochs"][-5:]]
    assert trial["train_loss"] == pytest.approx(sum(last) / 5, rel=1e-12)


def test_a_rate_that_is_named_is_not_looked_for(tmp_path: Path) -> None:
    result = train(tmp_path, "digits", "--dropout", "0.3", "--tune-dropout")
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_rates_that_are_learned_are_not_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="leave --tune-dropout out"):
        tune(demo_of("digits", "concrete"), lambda _rate: [])
