"""A training that was killed goes on to the very weights that it would have come to."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_files import images, train
from safetensors.torch import load_file, save_file

from models.training.checkpoint import EVERY_EPOCHS, checkpoint_path

EPOCHS = EVERY_EPOCHS + 4
KILLED_AT = EVERY_EPOCHS + 2
OPTIONS: dict[str, list[Any]] = {
    "cnn": ["--epochs", EPOCHS],  # batch norm, dropout, augmentation
    "concrete": ["--epochs", EPOCHS, "--class-weights", "balanced"],  # rates that are parameters meanwhile
}

# The command itself, but for a bar that kills it.
KILLED = f"""
import os, signal, sys
from models.training import command

def watched(name):
    def watch(epochs, most):
        for epoch in epochs:
            if epoch.number == {KILLED_AT}:
                os.kill(os.getpid(), signal.SIGKILL)
            yield epoch
    return watch

command._watched = watched
command.train(sys.argv[1:])
"""


def arguments(data: Path, family: str) -> list[Any]:
    return ["--data", data, "--model", family, *OPTIONS[family]]


def weights(repository: Path) -> bytes:
    return (repository / "pictures" / "1" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("data") / "a.npz")


@pytest.fixture
def killed(tmp_path: Path, data: Path) -> Path:
    """A repository in which a training was killed."""
    command = [sys.executable, "-c", KILLED, "pictures", "--repository", tmp_path / "killed"]
    ended = subprocess.run([*command, *map(str, arguments(data, "cnn"))], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [".pictures.checkpoint"]
    return tmp_path / "killed"


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(
    killed: Path, tmp_path: Path, data: Path
) -> None:
    assert_goes_on(killed, tmp_path, data, "cnn")


def test_rates_go_on_to_be_learned(begun: Path, tmp_path: Path, data: Path) -> None:
    assert_goes_on(begun, tmp_path, data, "concrete")


def assert_goes_on(repository: Path, tmp_path: Path, data: Path, family: str) -> None:
    result = train(repository, "pictures", *arguments(data, family))
    assert f"taken up after epoch {EVERY_EPOCHS}" in result.output
    whole = train(tmp_path / "whole", "pictures", *arguments(data, family))
    assert "taken up" not in whole.output
    assert weights(repository) == weights(tmp_path / "whole")
    for name in ("training.json", "learning_curves.svg"):
        assert (repository / "pictures" / "1" / name).read_bytes() == (
            tmp_path / "whole" / "pictures" / "1" / name
        ).read_bytes()
    assert not checkpoint_path(repository, "pictures").exists()


class Killed(BaseException):
    pass


@pytest.fixture
def begun(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a checkpoint, made without another process."""
    repository = tmp_path / "begun"

    def watched(_name: str) -> Any:
        def watch(epochs: Any, _most: int) -> Iterator[Any]:
            for epoch in epochs:
                if epoch.number == KILLED_AT:
                    raise Killed
                yield epoch

        return watch

    with monkeypatch.context() as patched:
        patched.setattr("models.training.command._watched", watched)
        with pytest.raises(Killed):
            train(repository, "pictures", *arguments(data, "concrete"))
    assert checkpoint_path(repository, "pictures").exists()
    return repository


@pytest.mark.parametrize(
    "change", [["--seed", 1], ["--weight-decay", 0.5], ["--dropout", 0.3], ["--epochs", 8]]
)
def test_other_options_begin_anew(begun: Path, data: Path, change: list[Any]) -> None:
    options = arguments(data, "concrete")
    if change[0] in options:
        place = options.index(change[0])
        options[place : place + 2] = []
    result = train(begun, "pictures", *options, *change)
    assert result.exit_code == 0, result.output
    assert "taken up" not in result.output
    assert not checkpoint_path(begun, "pictures").exists()


def test_other_data_begin_anew(begun: Path, tmp_path: Path, data: Path) -> None:
    with np.load(data) as file:
        held = dict(file)
    held["inputs"][0] += 1
    np.savez(tmp_path / "other.npz", **held)
    assert "taken up" not in train(begun, "pictures", *arguments(tmp_path / "other.npz", "concrete")).output


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_what_is_no_checkpoint_is_written_over(begun: Path, data: Path, damage: str) -> None:
    path = checkpoint_path(begun, "pictures")
    if damage == "foreign":
        save_file({"x": torch.zeros(1)}, str(path))
    else:
        path.write_bytes(path.read_bytes()[: 1000 if damage == "cut" else 0])
    result = train(begun, "pictures", *arguments(data, "concrete"))
    assert result.exit_code == 0, result.output
    assert "taken up" not in result.output
    assert not path.exists()


def test_a_checkpoint_is_tensors_and_text(begun: Path) -> None:
    kinds = {key.partition(".")[0] for key in load_file(checkpoint_path(begun, "pictures"))}
    assert kinds == {"model", "best", "optimizer", "generator"}


def test_a_training_in_vain_leaves_nothing(begun: Path, data: Path) -> None:
    """Not even the checkpoint: it would end there again."""
    result = train(begun, "pictures", *arguments(data, "cnn"), "--learning-rate", "1e30")
    assert result.exit_code == 1
    assert "lower the learning rate" in result.output
    assert list(begun.iterdir()) == []
