"""Training any family on the demos: what is learned, what is refused, and where it is written."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from models.layers.concrete import ConcreteDropout
from models.training.capabilities import FitsUnits, LearnsRates
from models.training.command import DEMO_NAMES, FAMILIES
from models.training.data import Rows, split
from models.training.demos import DEMOS
from models.training.families import demo_of, entry_name, families_of
from models.training.fit import Schedule, TrainingError, fit
from models.training.objectives import OBJECTIVES
from models.training.row_shapes import ARCHITECTURES
from models.training.run import manifest_of, train_demo
from models.training.text_recipe import TEXT_FAMILIES
from models.zoo import concrete
from service.cli import main
from service.repository.folder import ModelFolder

PAIRS = [(name, family) for name in DEMO_NAMES for family in families_of(name)]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


def test_the_command_names_what_there_is() -> None:
    assert set(DEMO_NAMES) == set(DEMOS)
    of_demos = {family for name in DEMO_NAMES for family in families_of(name)}
    assert set(FAMILIES) == of_demos | set(TEXT_FAMILIES)
    assert set(ARCHITECTURES) == of_demos


def test_every_family_learns_from_the_demos_rows(pair: tuple[str, str]) -> None:
    """Sixty rows for six epochs: the loss in eval mode falls on those that it learns from."""
    demo = demo_of(*pair)
    torch.manual_seed(0)
    rows = demo.load().taken(torch.arange(60))
    splits = split(rows, "regression", torch.Generator().manual_seed(0))
    model = demo.factory(**demo.arguments)
    if isinstance(model, FitsUnits):
        model.fit_units(splits.train.inputs, splits.train.targets)
    objective = OBJECTIVES[demo.task]
    with torch.no_grad():
        before = objective.loss(model.eval()(splits.train.inputs), splits.train.targets).item()
    schedule = Schedule(6, 6, batch_rows=16, learning_rate=2e-3, weight_decay=0.0)
    epochs = list(fit(model, splits, objective, schedule))
    assert epochs[-1].train.loss < before


def test_the_entry_describes_the_family(pair: tuple[str, str]) -> None:
    demo = demo_of(*pair)
    rows = demo.load()
    manifest = manifest_of(entry_name(*pair), demo, rows.inputs.shape[1:])
    assert manifest["source"]["factory"].startswith("models.zoo.")
    outputs = demo.factory(**demo.arguments).eval()(rows.inputs[:3])
    assert outputs.shape == (3, len(demo.labels) or 2)


def test_a_demos_own_family_is_the_demo() -> None:
    assert demo_of("digits", "cnn") is demo_of("digits", None) is DEMOS["digits"]
    assert entry_name("digits", "cnn") == entry_name("digits", None) == "digits"
    assert entry_name("digits", "vision_transformer") == "digits-vision-transformer"


def test_a_family_that_does_not_take_such_rows_is_refused(tmp_path: Path) -> None:
    words = "resnet does not learn diabetes; choose one of concrete, drop_connect, mlp"
    with pytest.raises(TrainingError, match=words):
        demo_of("diabetes", "resnet")
    result = CliRunner().invoke(
        main, ["train", "diabetes", "--model", "resnet", "--repository", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert words in result.output


def toy() -> Rows:
    inputs = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    return Rows(inputs, (inputs[:, 0] > 0).long())


def test_rates_are_learned_with_their_regulariser_and_fixed() -> None:
    """Weights are decayed towards 0 by nothing else here, and an easy task pays for no dropout: p grows."""
    torch.manual_seed(0)
    model = concrete.classifier(features=4, classes=2, hidden=[16], dropout=0.1)
    splits = split(toy(), "classification", torch.Generator().manual_seed(0))
    schedule = Schedule(20, 20, batch_rows=32, learning_rate=0.02, weight_decay=0.0)
    list(fit(model, splits, OBJECTIVES["classification"], schedule))
    assert isinstance(model, LearnsRates)
    (rate,) = model.rates
    assert rate > 0.15
    (layer,) = (module for module in model.modules() if isinstance(module, ConcreteDropout))
    assert layer.logit is None
    assert not model.training


def test_without_its_regulariser_the_rates_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concrete.ConcreteMlp, "regulariser", lambda _self: torch.zeros(()))
    torch.manual_seed(0)
    model = concrete.classifier(features=4, classes=2, hidden=[16], dropout=0.1)
    splits = split(toy(), "classification", torch.Generator().manual_seed(0))
    schedule = Schedule(20, 20, batch_rows=32, learning_rate=0.02, weight_decay=0.0)
    list(fit(model, splits, OBJECTIVES["classification"], schedule))
    assert model.rates[0] < 0.1


def test_a_learned_entry_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of concrete dropout on breast-cancer, from the data to the server's reading of the entry."""
    schedule = Schedule(2, 2, batch_rows=64, learning_rate=1e-3, weight_decay=0.0)
    monkeypatch.setattr("models.training.run.fit", lambda *given: fit(*given[:3], schedule))
    report = train_demo("breast-cancer", tmp_path, 0, lambda epochs, _most: epochs, "concrete")
    assert report.folder == tmp_path / "breast-cancer-concrete" / "1"
    folder = ModelFolder(tmp_path / "breast-cancer-concrete")
    network = folder.read(folder.manifest(), 1, ("models.zoo",)).module
    assert isinstance(network, concrete.ConcreteMlp)
    assert all(0 < rate < 1 and rate != 0.1 for rate in network.rates)
    assert json.loads((report.folder / "training.json").read_text())["best_epoch"] <= 2
    written = tomllib.loads((tmp_path / "breast-cancer-concrete" / "model.toml").read_text())
    assert written["name"] == "breast-cancer-concrete"


def test_other_networks_are_trained_as_if_no_rate_could_be_learned() -> None:
    assert not isinstance(nn.Linear(2, 2), LearnsRates)
    assert not isinstance(DEMOS["digits"].factory(**DEMOS["digits"].arguments), FitsUnits | LearnsRates)
