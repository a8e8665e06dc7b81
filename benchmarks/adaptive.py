"""Adaptive sampling on the demo models: how many samples their test rows take, and which flags they get.

The models are trained as `unsure train` does, into a folder that is thrown away. Each threshold is a question
of its own to every test row: 16 to 400 samples with the rule, 400 fixed ones, and 2000 for the flag that both
are held against.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
from service.predictor.execution import Execution
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel, prepare
from service.predictor.together import Asked, Draw
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


def trained(name: str, repository: Path) -> tuple[ServedModel, Rows]:
    """Train a demo model; gives it with its test rows, which it has not learnt from."""
    train_demo(name, repository, SEED, lambda epochs, _: epochs)
    demo = DEMOS[name]
    rows = split(demo.load(), demo.task, torch.Generator().manual_seed(SEED)).test
    (folder,) = (folder for folder in model_folders(repository) if folder.name == name)
    return prepare(folder.read(folder.manifest(), 1, ("models.zoo",)), Execution()), Rows.of(
        [rows.inputs.numpy()]
    )


def questions(model: ServedModel, factors: Sequence[float]) -> Iterator[Question]:
    """Ask at the policy's own threshold times these factors."""
    policy = model.policy
    for factor in factors:
        yield Question(policy.measure, factor * policy.threshold)


def sampled(model: ServedModel, rows: Rows, question: Question, rounds: Rounds, seed: int) -> Sampled:
    """Sample all rows in one batch."""
    model.policy = replace(model.policy, measure=question.measure)
    asked = Asked(rows.groups[0].inputs, Draw(rounds, question.threshold))
    (found,) = model.sample([asked], seed, lambda: None)
    return found


def line(name: str, model: ServedModel, rows: Rows, question: Question, seed: int) -> str:
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
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seed", type=int, default=0, help="of the samples")
    options.add_argument("--quick", action="store_true", help="one model at its own threshold")
    given = options.parse_args()
    models, factors = (MODELS[-1:], (1.0,)) if given.quick else (MODELS, FACTORS)
    print(f"error {DEFAULT_ERROR}, samples of seed {given.seed}", end="\n\n")
    print(HEAD)
    print("|" + "---|" * HEAD.count(" | ") + "---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            model, rows = trained(name, Path(folder))
            for question in questions(model, factors):
                print(line(name, model, rows, question, given.seed), flush=True)


if __name__ == "__main__":
    main()
