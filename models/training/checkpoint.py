"""A checkpoint: a training goes on where a kill has ended it, to the same weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.training.data import Splits
from models.training.fit import TrainingError
from models.training.fitting import Epoch, Figures, Fitting

EVERY_EPOCHS = 5

_MODEL, _BEST, _OPTIMIZER, _GENERATOR = "model.", "best.", "optimizer.", "generator"


class Checkpoint:
    """One file, tensors and JSON, that is there whole or not at all.

    Args:
        path: of the file.
        training: digest of all that decides what is learned: a checkpoint of another is not taken up.
    """

    def __init__(self, path: Path, training: str) -> None:
        self.path = path
        self._training = training
        self.resumed = 0
        """After how many epochs the training was taken up; 0 where it began anew."""

    def restore(self, fitting: Fitting) -> None:
        """Put a training, and torch's generator, to where they were kept, if they were."""
        if not self.path.exists():
            return
        try:
            tensors, state = _read(self.path)
        except (SafetensorError, OSError, ValueError, KeyError):
            return  # no checkpoint of ours: the training begins anew, and writes over it
        if state.get("training") == self._training:
            _restore(fitting, tensors, state)
            self.resumed = len(fitting.epochs)

    def keep(self, fitting: Fitting) -> None:
        """Write what a training is at, after every few epochs."""
        if len(fitting.epochs) % EVERY_EPOCHS == 0:
            self._write(*_kept(fitting))

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def _write(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        hidden = self.path.with_name(f"{self.path.name}.new")
        text = json.dumps({**state, "training": self._training})
        try:
            save_file(dict(tensors), str(hidden), {"state": text})
            hidden.replace(self.path)
        except SafetensorError as cause:
            raise TrainingError(f"{self.path} cannot be written: {cause}") from cause
        finally:
            hidden.unlink(missing_ok=True)


def checkpoint_path(repository: Path, name: str) -> Path:
    """Say where the checkpoint of a model lies: hidden, and beside its folder, where all is finished."""
    return repository / f".{name}.checkpoint"


def training_digest(decides: Mapping[str, Any], splits: Splits) -> str:
    """Give a digest of all that decides what is learned.

    Args:
        decides: what is no tensor, as JSON takes it.
        splits: the rows.
    """
    digest = hashlib.sha256(json.dumps([decides, torch.__version__], sort_keys=True).encode())
    for part in (splits.train, splits.validation):
        for tensor in (part.inputs, part.targets):
            digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _kept(fitting: Fitting) -> tuple[dict[str, Tensor], dict[str, Any]]:
    optimizer = fitting.optimizer.state_dict()
    tensors = {_GENERATOR: torch.get_rng_state()}
    tensors |= {_MODEL + key: value for key, value in fitting.model.state_dict().items()}
    tensors |= {_BEST + key: value for key, value in fitting.best_weights.items()}
    for index, values in optimizer["state"].items():
        tensors |= {f"{_OPTIMIZER}{index}.{key}": value for key, value in values.items()}
    state = {
        "groups": optimizer["param_groups"],
        "decay": fitting.decay.state_dict(),
        "epochs": [asdict(epoch) for epoch in fitting.epochs],
    }
    return {key: value.contiguous() for key, value in tensors.items()}, state


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(str(path), framework="pt") as file:
        state: dict[str, Any] = json.loads((file.metadata() or {})["state"])
        return {key: file.get_tensor(key) for key in file.keys()}, state  # noqa: SIM118 - no mapping


def _restore(fitting: Fitting, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    fitting.model.load_state_dict(_of(tensors, _MODEL))
    fitting.best_weights = _of(tensors, _BEST)
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _of(tensors, _OPTIMIZER).items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    fitting.optimizer.load_state_dict({"state": moments, "param_groups": state["groups"]})
    fitting.decay.load_state_dict(state["decay"])
    fitting.epochs = [_epoch(**given) for given in state["epochs"]]
    torch.set_rng_state(tensors[_GENERATOR])


def _of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _epoch(number: int, train: dict[str, float], validation: dict[str, float], best: bool) -> Epoch:
    return Epoch(number, Figures(**train), Figures(**validation), best)
