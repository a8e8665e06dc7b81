"""Every architecture of `models/zoo` on digits: the whole network against samples of thinned ones.

Each is trained as `unsure train` does, served as the server does, and asked about the test rows: as they are,
turned, blurred and with their pixels shuffled.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.data import Rows, split
from models.training.demos import DEMOS
from models.training.families import demo_of
from models.training.run import train_demo
from reproduction.parallel import Results, Watch, finished
from reproduction.record import Record
from reproduction.shifted_images import SHIFTS
from service.certification.probabilities import negative_log_likelihood
from service.certification.ranking import auroc
from service.certification.selective import augrc
from service.predictor.answers import ClassPrediction
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.predictor.together import Asked, Draw
from service.repository.folder import model_folders
from service.uncertainty.classification import ClassificationMeasures, entropy
from service.uncertainty.scores import CLASSIFICATION_SCORES
from service.uncertainty.sequential import Rounds

Array = NDArray[np.float64]
Scores = Mapping[str, Array]

WHOLE, SAMPLED = "whole", "sampled"
"""The prefixes of the scores: of the whole network, and of samples."""

_SAMPLES_SEED = 0
_PLAN = "vmap"  # pinned: measuring the plans takes longer than these few samples


@dataclass(frozen=True)
class Answered:
    """What a model says of rows.

    Args:
        probabilities: by `WHOLE` and `SAMPLED`, [rows, classes].
        scores: by both and the score's name, [rows].
    """

    probabilities: Mapping[str, Array]
    scores: Scores


@dataclass(frozen=True)
class ArchitectureJob:
    """One training.

    Args:
        family: of the network.
        seed: of the split and of the training.
        samples: thinned networks of each answer.
    """

    family: str
    seed: int
    samples: int

    @property
    def key(self) -> str:
        """Names it among results."""
        return f"{self.family} {self.seed}"

    @property
    def steps(self) -> int:
        """Count what `watch` is called for."""
        return 1

    def run(self, watch: Watch) -> Results:
        """Train, and ask."""
        with tempfile.TemporaryDirectory() as folder:
            model = _trained(self.family, self.seed, Path(folder))
        demo = demo_of("digits", self.family)
        rows = split(DEMOS["digits"].load(), demo.task, torch.Generator().manual_seed(self.seed)).test
        shape = demo.load().inputs.shape[1:]

        def ask(images: Tensor) -> Answered:
            return answered(model, images.reshape(-1, *shape), self.samples)

        figures = figures_of(
            ask(rows.inputs), rows, {name: ask(of(rows.inputs)) for name, of in SHIFTS.items()}
        )
        watch()
        return [{"key": self.key, "family": self.family, "seed": self.seed, **figures}]


def _trained(family: str, seed: int, repository: Path) -> ServedModel:
    train_demo("digits", repository, seed, lambda epochs, _: epochs, family)
    (folder,) = model_folders(repository)
    execution = Execution(plan=_PLAN, precision="float32", keep_findings=False)
    return prepare(folder.read(folder.manifest(), 1, ("models.zoo",)), execution)


def answered(model: ServedModel, inputs: Tensor, samples: int) -> Answered:
    """Ask a model about rows, [rows, …], by both endpoints."""
    whole = model.predict((inputs,))
    asked = Asked((inputs,), Draw(Rounds(samples, samples), model.policy.threshold))
    (sampled,) = model.sample([asked], _SAMPLES_SEED, lambda: None)
    measures = sampled.measures
    assert isinstance(whole, ClassPrediction)
    assert isinstance(measures, ClassificationMeasures)
    probabilities = {WHOLE: whole.probabilities, SAMPLED: measures.mean}
    of_whole = {name: of(whole.probabilities) for name, of in WHOLE_SCORES.items()}
    of_samples = {name: of(measures) for name, of in CLASSIFICATION_SCORES.items()}
    return Answered(probabilities, {**_named(WHOLE, of_whole), **_named(SAMPLED, of_samples)})


WHOLE_SCORES: Mapping[str, Callable[[Array], Array]] = {
    "max_probability": lambda p: 1 - p.max(-1),
    "entropy": lambda p: entropy(torch.from_numpy(p)).numpy(),
}


def _named(prefix: str, scores: Scores) -> Scores:
    return {f"{prefix} {name}": values for name, values in scores.items()}


def figures_of(real: Answered, rows: Rows, shifted: Mapping[str, Answered]) -> dict[str, Any]:
    """Compute what the tables are made of.

    Args:
        real: about the rows.
        rows: with their classes.
        shifted: about the rows, changed.

    Returns:
        By `WHOLE` and `SAMPLED`: confidence and truth of each row's label, and the negative log-likelihood.
        By score: AUGRC, of the labels that go with the score, and AUROC of each kind of shifted rows.
    """
    classes = rows.targets.numpy()
    right = {way: p.argmax(-1) == classes for way, p in real.probabilities.items()}
    return {
        "confidence": {way: p.max(-1).round(6).tolist() for way, p in real.probabilities.items()},
        "right": {way: those.astype(int).tolist() for way, those in right.items()},
        "loss": {way: negative_log_likelihood(p, classes) for way, p in real.probabilities.items()},
        "augrc": {name: augrc(values, 1.0 - right[name.split()[0]]) for name, values in real.scores.items()},
        "auroc": {
            kind: {name: _told_apart(real.scores[name], of.scores[name]) for name in real.scores}
            for kind, of in shifted.items()
        },
    }


def _told_apart(real: Array, shifted: Array) -> float:
    positive = np.arange(len(real) + len(shifted)) >= len(real)
    return auroc(np.concatenate([real, shifted]), positive)


def run_missing(families: list[str], seeds: int, samples: int, folder: Path, workers: int) -> Results:
    """Run what no earlier run has, and give the results of all.

    Args:
        families: of the networks.
        seeds: how many trainings of each.
        samples: of each answer.
        folder: of the results.
        workers: processes, of one thread each.
    """
    record = Record(folder / "architectures.jsonl", {"samples": samples})
    wanted = {
        job.key: job
        for job in (ArchitectureJob(family, seed, samples) for family in families for seed in range(seeds))
    }
    jobs = [wanted[key] for key in record.missing("key", wanted)]
    for _, results in finished(jobs, workers, "architectures"):
        record.add(results)
    return record.ordered("key", wanted)
