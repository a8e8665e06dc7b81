"""Training: objectives against their formulas, early stopping, entries that appear whole or not at all."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from models.layers.scaling import NormalHead, Standardize
from models.training import entry
from models.training.data import Rows, split
from models.training.demos import DEMOS
from models.training.entry import check_entry, write_version
from models.training.fit import Schedule, TrainingError, fit
from models.training.fitting import Epoch
from models.training.objectives import OBJECTIVES, accuracy, normal_nll, r_squared
from models.training.run import manifest_of
from models.zoo import cnn, mlp
from service.calibration.data import fingerprints
from service.cli import main
from service.repository.folder import ModelFolder


def test_the_normal_likelihood_is_torchs() -> None:
    torch.manual_seed(0)
    mean, log_variance, targets = torch.randn(3, 50, 2)
    expected = -torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(targets).mean()
    given = normal_nll(torch.cat([mean, log_variance], -1), targets) + 0.5 * math.log(2 * math.pi)
    assert given.item() == pytest.approx(expected.item(), rel=1e-5)


def test_r_squared_is_scikit_learns() -> None:
    from sklearn.metrics import r2_score

    torch.manual_seed(0)
    targets, noise = torch.randn(2, 50, 1)
    outputs = torch.cat([targets + 0.3 * noise, torch.zeros(50, 1)], -1)
    assert r_squared(outputs, targets) == pytest.approx(r2_score(targets, outputs[:, :1]))


def test_accuracy() -> None:
    assert accuracy(
        torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0, 0])
    ) == pytest.approx(2 / 3)


def test_standardised_features_have_no_mean_and_unit_deviation() -> None:
    values = torch.randn(100, 3) * torch.tensor([1.0, 50.0, 0.0]) + 7
    layer = Standardize(3)
    layer.fit(values)
    standardised = layer(values)
    assert torch.allclose(standardised.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(standardised.std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)


def test_a_normal_head_speaks_in_the_targets_units() -> None:
    """With a linear layer of zeros, it predicts the targets' mean and variance."""
    targets = torch.randn(1000, 2) * torch.tensor([3.0, 40.0]) + torch.tensor([5.0, -100.0])
    head = NormalHead(4, 2)
    head.fit(targets)
    nn.init.zeros_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    mean, log_variance = head(torch.randn(1, 4)).chunk(2, -1)
    assert torch.allclose(mean, targets.mean(0))
    assert torch.allclose(log_variance.exp(), targets.var(0), rtol=1e-4)


def test_networks_have_the_dropout_they_say() -> None:
    classifier = cnn.classifier(
        image=[1, 8, 8], classes=10, channels=[4, 8], spatial_dropout=0.1, head_dropout=0.4
    )
    kinds = [(type(module).__name__, module.p) for module in classifier.modules() if hasattr(module, "p")]
    assert kinds == [("Dropout2d", 0.1), ("Dropout", 0.4)]
    regressor = mlp.regressor(features=5, targets=2, hidden=[8, 8], dropout=0.3)
    assert regressor(torch.zeros(3, 5)).shape == (3, 4)


def toy(rows: int = 300) -> Rows:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, 4, generator=generator)
    return Rows(inputs, (inputs[:, 0] > 0).long())


def trained(patience: int = 5, rate: float = 0.05, epochs: int = 60) -> tuple[nn.Module, list[Epoch], Any]:
    torch.manual_seed(0)
    splits = split(toy(), "classification", torch.Generator().manual_seed(0))
    model = mlp.classifier(features=4, classes=2, hidden=[16], dropout=0.1)
    schedule = Schedule(epochs, patience, batch_rows=32, learning_rate=rate, weight_decay=0.0)
    return model, list(fit(model, splits, OBJECTIVES["classification"], schedule)), splits


def test_training_learns_stops_early_and_keeps_its_best() -> None:
    model, epochs, splits = trained()
    best = min(epochs, key=lambda epoch: epoch.validation.loss)
    assert best.best
    assert len(epochs) < 60
    assert len(epochs) - best.number == 5
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(splits.validation.inputs), splits.validation.targets)
    assert loss.item() == pytest.approx(best.validation.loss)
    assert not model.training
    assert best.validation.figure > 0.9


def test_a_loss_that_is_no_number_stops_training() -> None:
    with pytest.raises(
        TrainingError, match="the validation loss is nan after epoch 1; lower the learning rate"
    ):
        trained(rate=float("inf"))


def manifest(name: str = "digits") -> dict[str, Any]:
    return manifest_of(name, DEMOS[name], [1, 8, 8])


def network() -> nn.Module:
    return DEMOS["digits"].factory(**DEMOS["digits"].arguments)


def test_an_entry_can_be_served_and_holds_what_it_should(tmp_path: Path) -> None:
    rows = Rows(torch.randn(5, 1, 8, 8), torch.arange(5))
    version = write_version(tmp_path, manifest(), network(), (rows,), rows, {"seed": 3})
    folder = ModelFolder(tmp_path / "digits")
    read = folder.read(folder.manifest(), 1, ("models.zoo",))
    assert read.manifest.source.arguments["channels"] == [16, 32]
    kept = np.load(version / "calibration.npz")
    assert np.array_equal(kept["inputs"], rows.inputs.numpy())
    assert kept["targets"].tolist() == [0, 1, 2, 3, 4]
    marks = (version / "training_rows.txt").read_text().split()
    assert marks == fingerprints([rows.inputs.numpy().tobytes()], 5)  # as `unsure calibrate` makes them
    assert json.loads((version / "training.json").read_text()) == {"seed": 3}
    assert oct((version / "weights.safetensors").stat().st_mode)[-3:] == "644"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(entry, "save_model", fail)
    with pytest.raises(OSError, match="no space"):
        write_version(tmp_path, manifest(), network(), (), Rows(torch.zeros(1), torch.zeros(1)), {})
    assert not list((tmp_path / "digits").iterdir())


def test_another_models_folder_is_refused_before_training(tmp_path: Path) -> None:
    rows = Rows(torch.zeros(1), torch.zeros(1))
    write_version(tmp_path, manifest(), network(), (rows,), rows, {})
    check_entry(tmp_path, manifest())
    check_entry(tmp_path, manifest() | {"policy": {"measure": "variation_ratio", "threshold": 1}})
    with pytest.raises(TrainingError, match="is of another model: output differ; remove its folder"):
        check_entry(tmp_path, manifest() | {"output": {"labels": ["x", "y"]}})
    (tmp_path / "digits" / "model.toml").write_text("name = ")
    with pytest.raises(TrainingError, match="cannot be read"):
        check_entry(tmp_path, manifest())


@pytest.mark.parametrize("name", sorted(DEMOS))
def test_the_demos_describe_what_they_build(name: str) -> None:
    demo = DEMOS[name]
    rows = demo.load()
    outputs = demo.factory(**demo.arguments).eval()(rows.inputs[:3])
    width = len(demo.labels) if demo.task == "classification" else 2
    assert outputs.shape == (3, width)
    assert tomllib.loads(
        __import__("tomlkit").dumps(manifest_of(name, demo, rows.inputs.shape[1:]))
    )["policy"] == demo.policy  # fmt: skip


def test_training_says_in_one_sentence_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "diabetes").mkdir()
    (tmp_path / "diabetes" / "model.toml").write_text("name = ")
    result = CliRunner().invoke(main, ["train", "diabetes", "--repository", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "cannot be read" in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_written_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry.os, "access", lambda *_: False)
    with pytest.raises(TrainingError, match=f"{tmp_path} cannot be written to"):
        check_entry(tmp_path / "not" / "yet", manifest())


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise entry.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(entry, "save_model", full)
    with pytest.raises(
        TrainingError, match=r"weights.safetensors cannot be written: I/O error: No space left"
    ):
        write_version(tmp_path, manifest(), network(), (), Rows(torch.zeros(1), torch.zeros(1)), {})
