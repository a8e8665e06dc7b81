"""Fitting a network, with early stopping."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.training.capabilities import LearnsRates
from models.training.data import Rows, Splits
from models.training.objectives import Objective

_EVALUATED_ROWS = 1024  # at a time: what a network makes of all rows at once may not fit in memory


class TrainingError(Exception):
    """Training cannot go on; the text says why."""


@dataclass(frozen=True)
class Schedule:
    """How to fit.

    Args:
        epochs: at most.
        patience: epochs without a better validation loss until it stops.
        batch_rows: rows of a step.
        learning_rate: of AdamW, at the start; it falls along a cosine over `epochs`.
        weight_decay: of AdamW (Loshchilov & Hutter 2019).
        augment: changes the inputs of a batch, [rows, …], at random.
    """

    epochs: int
    patience: int
    batch_rows: int
    learning_rate: float
    weight_decay: float
    augment: Callable[[Tensor], Tensor] | None = None


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


def fit(model: nn.Module, splits: Splits, objective: Objective, schedule: Schedule) -> Iterator[Epoch]:
    """Train a model in place, an epoch at each step of the iterator; at its end the best weights are back.

    Rates that can be learned are, and are fixed at the end.

    Args:
        model: learns.
        splits: of which the training and validation parts are used, and no other.
        objective: to minimise.
        schedule: how.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    if isinstance(model, LearnsRates):
        model.learn_rates()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.epochs)
    best_loss, best_weights, best_epoch = math.inf, copy.deepcopy(model.state_dict()), 0
    for number in range(1, schedule.epochs + 1):
        _train(model, splits.train, objective, schedule, optimizer)
        decay.step()
        validation = evaluate(model, splits.validation, objective)
        if not math.isfinite(validation.loss):
            raise TrainingError(
                f"the validation loss is {validation.loss} after epoch {number}; lower the learning rate"
            )
        better = validation.loss < best_loss
        if better:
            best_loss, best_epoch = validation.loss, number
            best_weights = copy.deepcopy(model.state_dict())
        yield Epoch(number, evaluate(model, splits.train, objective), validation, better)
        if number - best_epoch >= schedule.patience:
            break
    model.load_state_dict(best_weights)
    if isinstance(model, LearnsRates):
        model.fix_rates()
    model.eval()


@torch.no_grad()
def evaluate(model: nn.Module, rows: Rows, objective: Objective) -> Figures:
    """Compute the figures of a model in eval mode."""
    model.eval()
    outputs = torch.cat([model(inputs) for inputs in rows.inputs.split(_EVALUATED_ROWS)])
    return Figures(objective.loss(outputs, rows.targets).item(), objective.figure(outputs, rows.targets))


def _train(
    model: nn.Module, rows: Rows, objective: Objective, schedule: Schedule, optimizer: torch.optim.Optimizer
) -> None:
    model.train()
    for indices in torch.randperm(len(rows)).split(schedule.batch_rows):
        if len(indices) == 1:
            continue  # batch norm has no variance of one row
        batch = rows.taken(indices)
        inputs = schedule.augment(batch.inputs) if schedule.augment else batch.inputs
        optimizer.zero_grad()
        loss = objective.loss(model(inputs), batch.targets)
        if isinstance(model, LearnsRates):
            loss = loss + model.regulariser() / len(rows)
        loss.backward()
        optimizer.step()
