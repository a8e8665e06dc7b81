"""One whole network against averages over thinned ones (Srivastava et al. 2014, section 7.5), on digits.

In the paper the error of an average over k samples of a network for MNIST falls with k, and meets that of the
whole network, whose weights are scaled, near k = 50. Here the data are 1797 digits, of which a test part has
359: far too few to tell errors of a percent apart. So there are many splits, each with a network of its own,
and their test errors are added up; and 200 samples are drawn several times of each.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training.data import Rows, Splits, split
from models.training.demos import DEMOS
from models.training.fit import Schedule, fit
from models.training.objectives import OBJECTIVES
from reproduction.parallel import Results, Watch, finished
from reproduction.record import Record
from service.sampling.engine import Engine
from service.sampling.executor import Pinned

Array = NDArray[np.float64]

INPUT_RATE, HIDDEN_RATE = 0.2, 0.5  # the paper's
UNITS = 512
SCHEDULE = Schedule(epochs=100, patience=25, batch_rows=64, learning_rate=2e-3, weight_decay=1e-2)

_LARGEST_PIXEL = 16.0
_PLAN = "vmap"  # pinned: measuring the plans takes longer than these few samples


@dataclass(frozen=True)
class Draws:
    """What is drawn of each network.

    Args:
        most: samples of the longest average.
        repeats: how often so many are drawn.
    """

    most: int
    repeats: int


@dataclass(frozen=True)
class ScalingJob:
    """One split.

    Args:
        seed: of the split, of the network's training, and of its samples.
        draws: of the network.
        schedule: how it learns.
    """

    seed: int
    draws: Draws
    schedule: Schedule

    @property
    def steps(self) -> int:
        """Count what `watch` is called for: the training, and each repeat."""
        return 1 + self.draws.repeats

    def run(self, watch: Watch) -> Results:
        """Train a network, and test it whole and sampled."""
        parts = split(DEMOS["digits"].load(), "classification", torch.Generator().manual_seed(self.seed))
        model = self._trained(parts)
        watch()
        return [{"seed": self.seed, **_tested(model, parts.test, self.seed, self.draws, watch)}]

    def _trained(self, parts: Splits) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = nn.Sequential(_Pixels(), *_layers())
            for _ in fit(model, parts, OBJECTIVES["classification"], self.schedule):
                pass
        return model


class _Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        """Lay out pixels of 0 to 1."""
        return images.flatten(1) / _LARGEST_PIXEL


def _layers() -> list[nn.Module]:
    return [
        nn.Dropout(INPUT_RATE),
        nn.Linear(64, UNITS),
        nn.ReLU(),
        nn.Dropout(HIDDEN_RATE),
        nn.Linear(UNITS, UNITS),
        nn.ReLU(),
        nn.Dropout(HIDDEN_RATE),
        nn.Linear(UNITS, 10),
    ]


def _tested(model: nn.Module, rows: Rows, seed: int, draws: Draws, watch: Watch) -> dict[str, object]:
    """Count errors, and average negative log-likelihoods, of the whole network and of each average."""
    images, labels = rows.inputs, rows.targets
    engine = Engine(model, [images.shape[1:]], [torch.float32], pinned=Pinned(plan=_PLAN, float32=True))
    wrong, loss = averaged(engine.predict((images,)).double().softmax(-1)[None], labels)
    curves = []
    for repeat in range(draws.repeats):
        samples = range(repeat * draws.most, (repeat + 1) * draws.most)
        outputs = torch.cat(list(engine.samples((images,), seed, samples)))
        curves.append(averaged(outputs.double().softmax(-1), labels))
        watch()
    return {
        "rows": len(labels),
        "whole_wrong": int(wrong[0]),
        "whole_loss": float(loss[0]),
        "wrong": [errors.tolist() for errors, _ in curves],
        "loss": np.mean([losses for _, losses in curves], axis=0).tolist(),
    }


def averaged(probabilities: Tensor, labels: Tensor) -> tuple[NDArray[np.int64], Array]:
    """Test the average over the first k samples, for each k.

    Args:
        probabilities: [samples, rows, classes].
        labels: [rows].

    Returns:
        How many rows it gets wrong, [samples], and the mean over rows of -ln p of the right class, [samples].
    """
    counts = torch.arange(1, len(probabilities) + 1)[:, None, None]
    mean = probabilities.cumsum(0) / counts
    wrong = (mean.argmax(-1) != labels).sum(-1)
    right = mean.gather(-1, labels.expand(len(mean), -1)[..., None])
    return wrong.numpy(), -right.log().mean((-2, -1)).numpy()


def run_missing(splits: int, draws: Draws, schedule: Schedule, folder: Path, workers: int) -> Results:
    """Run what no earlier run has, and give the results of all splits.

    Args:
        splits: how many.
        draws: of each network.
        schedule: how networks learn.
        folder: of the results.
        workers: processes, of one thread each.
    """
    record = Record(folder / "weight-scaling.jsonl", {"units": UNITS, **asdict(draws), **asdict(schedule)})
    jobs = [ScalingJob(seed, draws, schedule) for seed in record.missing("seed", range(splits))]
    for _, results in finished(jobs, workers, "weight scaling"):
        record.add(results)
    return record.ordered("seed", range(splits))
