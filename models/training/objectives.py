"""What training minimises, and the figure that people read."""

from collections.abc import Callable
from dataclasses import dataclass

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
    """Compute 1 - Σ(y - μ)² / Σ(y - ȳ)² over [rows, targets]; 1 is perfect, 0 is the mean's."""
    mean, _ = outputs.double().chunk(2, -1)
    residual = (targets - mean).square().sum()
    return (1 - residual / (targets - targets.double().mean(0)).square().sum()).item()


OBJECTIVES: dict[Task, Objective] = {
    "classification": Objective(F.cross_entropy, "accuracy", accuracy),
    "regression": Objective(normal_nll, "R²", r_squared),
}
