"""Writing an entry of a model repository: all of it, or nothing."""

import hashlib
import json
import os
import shutil
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn

from models.training.data import Rows
from models.training.fit import TrainingError

MANIFEST = "model.toml"
WEIGHTS = "weights.safetensors"
CALIBRATION_ROWS = "calibration.npz"
TRAINING_ROWS = "training_rows.txt"
FIGURES = "training.json"
CURVES = "learning_curves.svg"
TOKENIZER = "tokenizer.json"

_READABLE = 0o644  # mkdtemp and safetensors write for their user alone, and the server may be another
_DECIDES_THE_WEIGHTS = ("task", "source", "tokenizer", "input", "output")


def write_version(
    repository: Path,
    manifest: Mapping[str, Any],
    model: nn.Module,
    seen: Iterable[Rows],
    calibration: Rows,
    figures: Mapping[str, Any],
    texts: Mapping[str, str] = MappingProxyType({}),
    sent: NDArray[Any] | None = None,
) -> Path:
    """Add a version to a repository, after the highest that is there.

    Args:
        repository: its folder; made if it is missing.
        manifest: model.toml. Where one is there already it stays, since its owner may have changed it.
        model: has the weights.
        seen: rows that the weights have learnt from, or were chosen by.
        calibration: rows that nothing has learnt from.
        figures: of the training, kept beside the weights.
        texts: of other files beside the weights, by their names.
        sent: the calibration rows as clients send them, where the network takes something else.

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
        inputs = calibration.inputs.numpy() if sent is None else sent
        np.savez_compressed(hidden / CALIBRATION_ROWS, inputs=inputs, targets=calibration.targets.numpy())
        marks = "".join(f"{mark}\n" for rows in seen for mark in fingerprints(rows))
        written = {FIGURES: json.dumps(figures, indent=2) + "\n", TRAINING_ROWS: marks, **texts}
        for name, text in written.items():
            (hidden / name).write_text(text, "utf-8")
    _write_manifest(folder / MANIFEST, manifest)  # last: what has a manifest has weights
    return version


def fingerprints(rows: Rows) -> list[str]:
    """Hash each row's inputs: a calibration refuses the rows that it finds here."""
    return [hashlib.sha256(row.tobytes()).hexdigest()[:32] for row in rows.inputs.numpy()]


def text_fingerprint(text: str) -> str:
    """Hash a row that is a text, as above."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_entry(repository: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse, before any training, to write where another model is."""
    path = repository / manifest["name"] / MANIFEST
    existing = next(folder for folder in path.parents if folder.exists())
    if not os.access(existing, os.W_OK):
        raise TrainingError(f"{existing} cannot be written to; name another folder with --repository")
    if not path.exists():
        return
    present = _read(path)
    different = [key for key in _DECIDES_THE_WEIGHTS if present.get(key) != manifest.get(key)]
    # The owner's file stays, and may have no names; rows of an NPZ have none.
    columns = present.get("columns"), manifest.get("columns")
    if not different and None not in columns and columns[0] != columns[1]:
        different = ["columns"]
    if different:
        raise TrainingError(
            f"{path} is of another model: {', '.join(different)} differ; remove its folder, or train into "
            "another with --repository"
        )


def columns_order(repository: Path, name: str, tensor: str, columns: Sequence[str]) -> list[int] | None:
    """Give where the columns of an entry that is there stand among those of a file.

    Args:
        repository: folder of the models.
        name: of the model.
        tensor: whose columns they are.
        columns: of the file.

    Returns:
        None where there is no entry, or it has other columns, or none.
    """
    path = repository / name / MANIFEST
    if not path.exists():
        return None
    named = _read(path).get("columns")
    present = named.get(tensor) if isinstance(named, Mapping) else None
    if not isinstance(present, list) or Counter(map(str, present)) != Counter(columns):
        return None
    places = {column: place for place, column in enumerate(columns)}
    return [places[column] for column in present]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise TrainingError(f"{path} cannot be read ({cause}); mend or remove it") from cause


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
