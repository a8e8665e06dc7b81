"""Writing an entry of a model repository: all of it, or nothing."""

import hashlib
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tomlkit
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn

from models.training.data import Rows
from models.training.fit import TrainingError

MANIFEST = "model.toml"
WEIGHTS = "weights.safetensors"
CALIBRATION_ROWS = "calibration.npz"
FIGURES = "training.json"
CURVES = "learning_curves.svg"

_READABLE = 0o644  # mkdtemp and safetensors write for their user alone, and the server may be another
_DECIDES_THE_WEIGHTS = ("task", "source", "input", "output")


def write_version(
    repository: Path,
    manifest: Mapping[str, Any],
    model: nn.Module,
    calibration: Rows,
    figures: Mapping[str, Any],
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Add a version to a repository, after the highest that is there.

    Args:
        repository: its folder; made if it is missing.
        manifest: model.toml. Where one is there already it stays, since its owner may have changed it.
        model: has the weights.
        calibration: rows that nothing has learnt from.
        figures: of the training, kept beside the weights.
        texts: of other files beside the weights, by their names.

    Returns:
        The version's folder.

    Raises:
        TrainingError: the repository has a model of that name to which the weights do not belong.
    """
    folder = repository / manifest["name"]
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / str(max(_versions(folder), default=0) + 1)
    with _appearing(version) as hidden:
        _save(model, hidden / WEIGHTS)
        (hidden / WEIGHTS).chmod(_READABLE)
        digest = hashlib.sha256((hidden / WEIGHTS).read_bytes()).hexdigest()
        (hidden / f"{WEIGHTS}.sha256").write_text(f"{digest}  {WEIGHTS}\n")
        np.savez_compressed(
            hidden / CALIBRATION_ROWS, inputs=calibration.inputs.numpy(), targets=calibration.targets.numpy()
        )
        for name, text in {FIGURES: json.dumps(figures, indent=2) + "\n", **texts}.items():
            (hidden / name).write_text(text, "utf-8")
    _write_manifest(folder / MANIFEST, manifest)  # last: what has a manifest has weights
    return version


def check_entry(repository: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse, before any training, to write where another model is."""
    path = repository / manifest["name"] / MANIFEST
    existing = next(folder for folder in path.parents if folder.exists())
    if not os.access(existing, os.W_OK):
        raise TrainingError(f"{existing} cannot be written to; name another folder with --repository")
    if not path.exists():
        return
    try:
        present = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise TrainingError(f"{path} cannot be read ({cause}); mend or remove it") from cause
    different = [key for key in _DECIDES_THE_WEIGHTS if present.get(key) != manifest.get(key)]
    if different:
        raise TrainingError(
            f"{path} is of another model: {', '.join(different)} differ; remove its folder, or train into "
            "another with --repository"
        )


def _save(model: nn.Module, path: Path) -> None:
    try:
        save_model(model, str(path))
    except SafetensorError as cause:
        raise TrainingError(f"{path} cannot be written: {cause}") from cause


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    if not path.exists():
        hidden = path.with_name(f".{path.name}.{os.getpid()}")
        hidden.write_text(tomlkit.dumps(manifest), "utf-8")
        hidden.replace(path)


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Give a hidden folder that takes its name only when everything is in it."""
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        hidden.chmod(_READABLE | 0o111)
        yield hidden
        hidden.rename(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
