"""Monte Carlo dropout on UCI regression sets, in the protocol of Gal & Ghahramani (2016).

One hidden layer of 50 ReLU units, dropout before both layers; inputs and target standardised by what the
network learns from; mean squared error, Adam, batches of 128 rows; weight decay λ = l² (1 - p) / (2 N τ) on
the weights and not on the biases, N the rows learned from. The rate p and the precision τ are chosen from a
grid by the log likelihood of the last fifth of the training rows, and a network with the chosen ones learns
from all training rows (as in the re-run that Mukhoti, Stenetorp & Gal 2018 report). τ is in the target's own
units, in the decay as in the likelihood

    log p(y) = ln (1/T) Σ_t exp(-½ τ (y - ŷ_t)²) - ½ ln 2π + ½ ln τ

where sample t is one thinned network for all rows: a row's samples are distributed as with masks of its own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reproduction.regression_data import Fold, Table, Units, published_folds, validation_fold
from reproduction.stacked import Lesson, train
from service.sampling.engine import Engine
from service.sampling.executor import Pinned, Usual

Array = NDArray[np.float64]

RATES = (0.005, 0.01, 0.05, 0.1)
PRECISIONS: Mapping[str, tuple[float, ...]] = {
    "concrete": (0.025, 0.05, 0.075),
    "energy": (0.25, 0.5, 0.75),
    "wine-red": (2.5, 3.0, 3.5),
}

_UNITS = 50
_LENGTH_SCALE = 1e-2
_SAMPLES_SEED = 0
_PLAN = (
    "fold"  # of small networks like these: pinned, since a thousand of them are loaded, and measured by none
)


@dataclass(frozen=True)
class Setting:
    """What the grid is of: the rate of dropout, and the precision of the noise in the target's own units."""

    rate: float
    precision: float

    def decay(self, rows: int) -> float:
        """Give λ for so many rows to learn from."""
        return _LENGTH_SCALE**2 * (1 - self.rate) / (2 * rows * self.precision)


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Args:
        epochs: of each training.
        samples: thinned networks of a test figure.
        validation_samples: of a figure that settings are chosen by.
    """

    epochs: int
    samples: int
    validation_samples: int


@dataclass(frozen=True)
class Figures:
    """What a network's answers come to.

    Args:
        rmse: of the mean over samples, in the target's units.
        log_likelihood: of a row, on average.
        deterministic_rmse: of the whole network.
    """

    rmse: float
    log_likelihood: float
    deterministic_rmse: float


def run_splits(
    name: str, table: Table, splits: Sequence[int], effort: Effort, watch: Callable[[], object]
) -> list[dict[str, float]]:
    """Run the protocol on some of a set's splits.

    Args:
        name: of the set, for its grid.
        table: its rows.
        splits: their numbers.
        effort: how much to compute.
        watch: called after each epoch; there are twice as many as of one training.

    Returns:
        For each split its number, the chosen setting, and the figures of the test rows.
    """
    folds = [published_folds(table, max(splits) + 1)[split] for split in splits]
    grid = [[Setting(*pair) for pair in product(RATES, PRECISIONS[name])]] * len(splits)
    inner = [validation_fold(fold) for fold in folds]
    validated = _trained(inner, grid, splits, effort.epochs, effort.validation_samples, watch)
    chosen = [[_best(row)] for row in validated]
    final = _trained(folds, chosen, splits, effort.epochs, effort.samples, watch)
    return [
        {"split": split, **asdict(setting), **asdict(figures)}
        for split, row in zip(splits, final, strict=True)
        for setting, figures in row.items()
    ]


def _best(validated: Mapping[Setting, Figures]) -> Setting:
    return max(validated, key=lambda setting: validated[setting].log_likelihood)


def _trained(
    folds: Sequence[Fold],
    settings: Sequence[Sequence[Setting]],
    seeds: Sequence[int],
    epochs: int,
    samples: int,
    watch: Callable[[], object],
) -> list[dict[Setting, Figures]]:
    """Train a network for each fold and setting, all at once; gives the figures of each fold's settings."""
    units = [Units.of(fold.learn) for fold in folds]
    lesson = _lesson(folds, units, settings, seeds, epochs)
    weights = train(lesson, watch)
    precisions = lesson.decays.shape[2]
    return [
        {
            setting: figures(
                weights.network((place, *divmod(number, precisions)), setting.rate),
                folds[place].ask,
                units[place],
                setting.precision,
                samples,
            )
            for number, setting in enumerate(row)
        }
        for place, row in enumerate(settings)
    ]


def _lesson(
    folds: Sequence[Fold],
    units: Sequence[Units],
    settings: Sequence[Sequence[Setting]],
    seeds: Sequence[int],
    epochs: int,
) -> Lesson:
    """Stack what folds' networks learn; each has as many settings, rate by rate."""
    tables = [unit.standardised(fold.learn) for unit, fold in zip(units, folds, strict=True)]
    rows = len(tables[0])
    rates = [list(dict.fromkeys(setting.rate for setting in row)) for row in settings]
    decays = [[setting.decay(rows) for setting in row] for row in settings]
    return Lesson(
        torch.tensor(np.stack([table.inputs for table in tables])).float(),
        torch.tensor(np.stack([table.targets for table in tables])).float(),
        torch.tensor(rates),
        torch.tensor(decays).reshape(len(folds), len(rates[0]), -1),
        seeds,
        _UNITS,
        epochs,
    )


def figures(network: nn.Module, table: Table, units: Units, precision: float, samples: int) -> Figures:
    """Ask a network about rows, by the engine that serves models.

    Args:
        network: of standardised inputs and target.
        table: the rows, in their own units.
        units: of what the network learned from.
        precision: τ.
        samples: how many.
    """
    inputs = torch.tensor(units.standardised(table).inputs).float()
    engine = Engine(
        network,
        [inputs.shape[1:]],
        [torch.float32],
        usual=Usual(_SAMPLES_SEED, samples),
        pinned=Pinned(plan=_PLAN, float32=True),
    )
    drawn = torch.cat(list(engine.samples((inputs,), _SAMPLES_SEED, range(samples))))
    values, whole = (
        outputs[..., 0].double().numpy() * units.target_scale + units.target_mean
        for outputs in (drawn, engine.predict((inputs,)))
    )
    likelihood = log_likelihood(values, table.targets, precision)
    return Figures(_rmse(values.mean(0), table.targets), likelihood, _rmse(whole, table.targets))


def log_likelihood(values: Array, targets: Array, precision: float) -> float:
    """Compute the mean over rows of the log density of the targets.

    Args:
        values: of samples, [samples, rows]; each is the mean of a normal distribution of the mixture.
        targets: [rows].
        precision: τ, of each of the normal distributions.
    """
    exponents = -0.5 * precision * (targets - values) ** 2
    mixed = np.logaddexp.reduce(exponents, axis=0) - math.log(len(values))
    return float(mixed.mean() + 0.5 * math.log(precision / (2 * math.pi)))


def _rmse(values: Array, targets: Array) -> float:
    return float(np.sqrt(np.mean((targets - values) ** 2)))
