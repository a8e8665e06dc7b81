"""Whatever a model's own code raises while it is loaded is that model's error, in one sentence."""

import logging
from contextlib import nullcontext
from math import inf
from pathlib import Path

import pytest
import raising_networks
import torch
from click.testing import CliRunner
from raising_networks import RAISING
from repositories import Repository
from torch import nn

from service.cli import main
from service.errors import LoadError
from service.predictor.execution import Execution
from service.predictor.loading import Failed, Loader
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder
from service.telemetry.metrics import Telemetry

FACTORIES = ("networks", "raising_networks")
QUICK = Execution(plan="loop", precision="float32", keep_findings=False)


def entry(repository: Repository, factory: str) -> ModelFolder:
    """Write weights as the network has them whose code raises: they are right, and it is not."""
    source = {"kind": "factory", "factory": f"raising_networks:{factory}", "arguments": {}}
    return ModelFolder(repository.add(network=saved(), source=source).parent)


def saved() -> nn.Module:
    return nn.ModuleDict({"net": nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 3))})


@pytest.mark.parametrize("factory", RAISING)
def test_what_a_model_raises_is_its_own_error(
    repository: Repository, factory: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = entry(repository, factory)
    with pytest.raises(LoadError, match=RAISING[factory]) as caught:
        prepare(folder.read(folder.manifest(), 1, FACTORIES), QUICK)
    assert str(caught.value).startswith(str(folder.path / "1"))
    assert "\n" not in str(caught.value)
    with caplog.at_level(logging.ERROR, "unsure"):
        ((version, outcome),) = Loader(FACTORIES, QUICK, Telemetry(), inf, lambda: False).load(folder)
    assert version == "1"
    assert isinstance(outcome, Failed)
    assert not outcome.by_server
    assert str(repository.path) not in outcome.reason
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("command", [["inspect"], ["bench", "--rows", "1"]])
def test_commands_end_with_that_sentence(repository: Repository, command: list[str]) -> None:
    entry(repository, "InLoading")
    options = ("--repository", str(repository.path), "--factories", ",".join(FACTORIES))
    told = CliRunner().invoke(main, [*command, "small", *options])
    assert told.exit_code == 1
    assert isinstance(told.exception, SystemExit)
    assert "the model raised KeyError: 'a key of its own'" in told.output


@pytest.mark.parametrize("factory", ["asking", "in_words", "in_attributes"])
def test_what_only_sounds_like_trouble_is_served(repository: Repository, factory: str) -> None:
    """One that asks for the version of its weights, and ones whose own words or attributes fail."""
    source = {"kind": "factory", "factory": f"raising_networks:{factory}", "arguments": {}}
    folder = ModelFolder(repository.add(network=saved(), source=source).parent)
    model = prepare(folder.read(folder.manifest(), 1, FACTORIES), QUICK)
    assert isinstance(model, ServedModel)
    assert [site.name for site in model.engine.report.sites] == ["net.1"]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_an_old_weight_norm_is_added(repository: Repository) -> None:
    folder = repository.add(
        name="other",
        factory="mlp",
        network=raising_networks.normed(),
        source={"kind": "factory", "factory": "raising_networks:normed", "arguments": {}},
    )
    told = CliRunner().invoke(
        main,
        [
            *("add", "small", "--factory", "raising_networks:normed", "--input", "features:float32:6"),
            *("--task", "classification", "--labels", "a,b,c", "--plan", "loop", "--precision", "float32"),
            *("--weights", str(folder / "weights.safetensors"), "--repository", str(repository.path)),
            *("--factories", "raising_networks"),
        ],
    )
    assert told.exit_code == 0, told.output
    assert "small, version 1: classification" in told.stdout


@pytest.mark.parametrize(
    ("factory", "refused"),
    [("in_float64", True), ("on_meta", True), ("threaded", False), ("elsewhere", False)],
)
def test_what_a_factory_sets_for_all_models_is_set_back(
    repository: Repository, factory: str, refused: bool
) -> None:
    """It is refused where its network may rest on it."""
    before = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(), Path.cwd()
    folder = entry(repository, factory)
    words = "1: the model's code sets what all models of a process share: torch"
    with pytest.raises(LoadError, match=words) if refused else nullcontext():
        folder.read(folder.manifest(), 1, FACTORIES)
    after = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(), Path.cwd()
    assert after == before
