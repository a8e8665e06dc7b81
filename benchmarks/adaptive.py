"""Adaptive sampling on the demo models: how many samples their test rows take, and which flags they get.

The models are trained as `unsure train` does, into a folder that is thrown away. Each threshold is a question
of its own to every test row: 16 to 400 samples with the rule, 400 fixed ones, and 2000 for the flag that both
are held against.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.training.data import split
from models.training.demos import DEMOS
from models.training.run import train_demo
from service.predictor.answers import Sampled
from service.predictor.sampled_rows import Draw
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import model_folders
from service.uncertainty.sequential import DEFAULT_ERROR, Rounds

SEED = 0  # of the training, and so of the split; the samples have one of their own
MODELS = ("digits", "breast-cancer")
FIXED, REFERENCE = 400, 2000
FACTORS = (0.5, 1.0, 1.5)  # of the policy's threshold
HEAD = (
    "| model | measure | threshold | samples a row | × fewer than 400 | flagged | flags as of 2000 "
    "| of 400 fixed | not settled |"
)


@dataclass(frozen=True)
class Question:
    """One score and threshold.

    Args:
        measure: the score.
        threshold: which it is held against.
    """

    measure: str
    threshold: float


def trained(name: str, repository: Path) -> tuple[ServedModel, torch.Tensor]:
    """Train a demo model; gives it with its test rows, which it has not learnt from."""
    train_demo(name, repository, SEED, lambda epochs, _: epochs)
    demo = DEMOS[name]
    rows = split(demo.load(), demo.task, torch.Generator().manual_seed(SEED)).test
    (folder,) = (folder for folder in model_folders(repository) if folder.name == name)
    return prepare(folder.read(folder.manifest(), 1, ("models.zoo",)), "cpu"), rows.inputs


def questions(model: ServedModel) -> Iterator[Question]:
    """Ask at the policy's own threshold, below it and above it."""
    policy = model.policy
    for factor in FACTORS:
        yield Question(policy.measure, factor * policy.threshold)


def sampled(model: ServedModel, rows: torch.Tensor, question: Question, rounds: Rounds, seed: int) -> Sampled:
    """Sample all rows in one batch."""
    model.policy = replace(model.policy, measure=question.measure)
    draw = Draw(seed, rounds, question.threshold, outputs=False, quantiles=False)
    return model.sample((rows,), draw, lambda: None)


def line(name: str, model: ServedModel, rows: torch.Tensor, question: Question, seed: int) -> str:
    """Measure one question; gives its line of the table."""
    adaptive, fixed, reference = (
        sampled(model, rows, question, rounds, seed)
        for rounds in (Rounds(16, FIXED), Rounds(FIXED, FIXED), Rounds(REFERENCE, REFERENCE))
    )
    flags, of_fixed, of_reference = (
        found.scores > question.threshold for found in (adaptive, fixed, reference)
    )
    mean = adaptive.measures.samples.mean()
    cells = [
        name,
        question.measure,
        f"{question.threshold:.3g}",
        f"{mean:.1f}",
        f"{FIXED / mean:.1f}",
        f"{of_reference.sum()} of {len(rows)}",
        _share(flags == of_reference),
        _share(of_fixed == of_reference),
        str((~adaptive.settled).sum()),
    ]
    return f"| {' | '.join(cells)} |"


def _share(equal: NDArray[np.bool_]) -> str:
    return f"{100 * equal.mean():.2f} %"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int, default=0, help="of the samples")
    given = options.parse_args()
    print(f"error {DEFAULT_ERROR}, samples of seed {given.seed}", file=sys.stderr)
    print(HEAD)
    print("|" + "---|" * HEAD.count(" | ") + "---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            model, rows = trained(name, Path(folder))
            for question in questions(model):
                print(line(name, model, rows, question, given.seed), flush=True)


if __name__ == "__main__":
    main()
