"""What a training is at, between two epochs."""

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Figures:
    """Loss and figure of a model in eval mode on some rows."""

    loss: float
    figure: float


@dataclass(frozen=True)
class Epoch:
    """What an epoch has come to."""

    number: int
    train: Figures
    validation: Figures
    best: bool


@dataclass
class Fitting:
    """A network that learns, and all that decides how it goes on, but torch's generator.

    Args:
        model: learns.
        optimizer: of its parameters.
        decay: of the learning rate.
        epochs: that ran.
        best_weights: of the epoch with the lowest validation loss.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    decay: torch.optim.lr_scheduler.LRScheduler
    epochs: list[Epoch] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """Number of the best epoch; 0 before the first."""
        return max((epoch.number for epoch in self.epochs if epoch.best), default=0)

    @property
    def best_loss(self) -> float:
        """Validation loss of the best epoch; infinite before the first."""
        return min((epoch.validation.loss for epoch in self.epochs), default=math.inf)

    def add(self, train: Figures, validation: Figures) -> Epoch:
        """Count an epoch, and keep its weights where it is the best."""
        better = validation.loss < self.best_loss
        if better:
            self.best_weights = copy.deepcopy(self.model.state_dict())
        epoch = Epoch(len(self.epochs) + 1, train, validation, better)
        self.epochs.append(epoch)
        return epoch

    def is_over(self, most: int, patience: int) -> bool:
        """Tell whether there were as many epochs as there may be, or too many since the best."""
        return len(self.epochs) >= most or len(self.epochs) - self.best_epoch >= patience
