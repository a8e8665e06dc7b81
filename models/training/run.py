"""One training from its data to its repository entry."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models.training.capabilities import FitsUnits
from models.training.data import split
from models.training.demos import Demo
from models.training.entry import check_entry, write_version
from models.training.families import demo_of, entry_name
from models.training.fit import Epoch, Figures, evaluate, fit
from models.training.objectives import OBJECTIVES

SAMPLES, MAX_SAMPLES = 50, 1000


@dataclass(frozen=True)
class Report:
    """What a training has come to.

    Args:
        folder: of the version.
        epochs: how many it ran.
        best_epoch: whose weights were kept.
        figure_name: what `figures` hold besides the loss.
        figures: by the name of the split: train, validation, test.
        rows: by the name of the split.
    """

    folder: Path
    epochs: int
    best_epoch: int
    figure_name: str
    figures: dict[str, Figures]
    rows: dict[str, int]


def train_demo(
    name: str,
    repository: Path,
    seed: int,
    watch: Callable[[Iterable[Epoch], int], Iterable[Epoch]],
    family: str | None = None,
) -> Report:
    """Train a demo model and write its entry.

    Args:
        name: one of `DEMOS`.
        repository: folder of the models.
        seed: of the splits, the first weights, the batches and the dropout.
        watch: is given the epochs and the most there can be, and passes them on.
        family: of the network, where it is not the demo's own.

    Raises:
        TrainingError: it cannot be trained, or not written there.
    """
    demo = demo_of(name, family)
    objective = OBJECTIVES[demo.task]
    rows = demo.load()
    manifest = manifest_of(entry_name(name, family), demo, rows.inputs.shape[1:])
    check_entry(repository, manifest)
    with _seeded(seed):
        splits = split(rows, demo.task, torch.Generator().manual_seed(seed))
        model = demo.factory(**demo.arguments)
        if isinstance(model, FitsUnits):
            model.fit_units(splits.train.inputs, splits.train.targets)
        epochs = list(watch(fit(model, splits, objective, demo.schedule), demo.schedule.epochs))
    parts = {part: getattr(splits, part) for part in ("train", "validation", "test")}
    figures = {part: evaluate(model, rows, objective) for part, rows in parts.items()}
    best = max(epoch.number for epoch in epochs if epoch.best)
    counts = {part: len(rows) for part, rows in parts.items()} | {"calibration": len(splits.calibration)}
    record = _record(seed, epochs, best, figures, counts)
    folder = write_version(
        repository, manifest, model, (splits.train, splits.validation), splits.calibration, record
    )
    return Report(folder, len(epochs), best, objective.figure_name, figures, counts)


def manifest_of(name: str, demo: Demo, row_shape: Sequence[int]) -> dict[str, Any]:
    """Write model.toml for a demo model."""
    output: dict[str, Any] = (
        {"labels": list(demo.labels), "activation": "softmax"}
        if demo.task == "classification"
        else {"activation": "none", "variance_head": True}
    )
    return {
        "name": name,
        "task": demo.task,
        "source": {"kind": "factory", "factory": demo.factory_name, "arguments": dict(demo.arguments)},
        "input": [{"name": demo.input_name, "dtype": "float32", "shape": list(row_shape)}],
        "output": output,
        "sampling": {"samples": SAMPLES, "max_samples": MAX_SAMPLES, "seed": 0, "sites": "all"},
        "policy": dict(demo.policy),
    }


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's one generator, from which layers and dropout draw, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _record(
    seed: int, epochs: Sequence[Epoch], best: int, figures: dict[str, Figures], rows: dict[str, int]
) -> dict[str, Any]:
    return {
        "seed": seed,
        "best_epoch": best,
        "rows": rows,
        "figures": {part: asdict(found) for part, found in figures.items()},
        "epochs": [asdict(epoch) for epoch in epochs],
    }
