"""What training minimises, and the figure that people read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from models.training.data import Task


@dataclass(frozen=True)
class Objective:
    """A loss and a figure.

    Args:
        loss: (outputs, targets) → a scalar.
        figure_name: of the figure.
        figure: (outputs, targets) → a number, the higher the better.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    figure_name: str
    figure: Callable[[Tensor, Tensor], float]


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Compute the share of rows whose class is right: logits [rows, classes], labels [rows]."""
    return (logits.argmax(-1) == labels).double().mean().item()


def normal_nll(outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute ½ (log σ² + (y - μ)² / σ²), averaged: outputs (μ, log σ²) [rows, 2·targets].

    The negative log-likelihood of a normal distribution without its constant (Nix & Weigend 1994).
    """
    mean, log_variance = outputs.chunk(2, -1)
    return 0.5 * (log_variance + (targets - mean).square() / log_variance.exp()).mean()


def r_squared(outputs: Tensor, targets: Tensor) -> float:
    """Compute 1 - Σ(y - μ)² / Σ(y - ȳ)² over [rows, targets]; 1 is perfect, 0 is the mean's.

    Where all targets are one, it is 0: nothing is left to explain.
    """
    mean, _ = outputs.double().chunk(2, -1)
    residual = (targets - mean).square().sum()
    total = (targets - targets.double().mean(0)).square().sum()
    return (1 - residual / total).item() if total > 0 else 0.0


def balanced_cross_entropy(labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Give a cross-entropy in which each class weighs alike: a row of class c, rows / (classes · rows of c).

    Args:
        labels: of the training rows; each class has one.
    """
    counts = labels.bincount().float()
    return partial(F.cross_entropy, weight=len(labels) / (len(counts) * counts))


OBJECTIVES: dict[Task, Objective] = {
    "classification": Objective(F.cross_entropy, "accuracy", accuracy),
    "regression": Objective(normal_nll, "R²", r_squared),
}
