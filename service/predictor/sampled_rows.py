"""Rows while they are sampled, in rounds: each leaves when its flag is settled, with what it has by then."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.errors import ModelError
from service.predictor.answers import QUANTILES, Sampled
from service.predictor.outputs import AnyMoments
from service.uncertainty.scores import score
from service.uncertainty.sequential import Rounds, score_standard_error, settled

Array = NDArray[Any]
Columns = dict[str, Array]


class SampledRows:
    """Rows that take samples in the same rounds, of one request or several.

    Args:
        thresholds: which each row's score is held against, [rows].
        moments: accumulates their samples.
        measure: the score.
        rounds: how many samples.
        outputs: whether to keep every sample's output.
        quantiles: whether to compute quantiles over the samples.

    Attributes:
        pending: the indices of the rows that take more samples.
    """

    def __init__(
        self,
        thresholds: Array,
        moments: AnyMoments,
        measure: str,
        rounds: Rounds,
        *,
        outputs: bool,
        quantiles: bool,
    ) -> None:
        self.pending = torch.arange(len(thresholds))
        self.rounds = rounds
        self._thresholds = thresholds
        self._moments = moments
        self._measure = measure
        self._keep_outputs = outputs
        self._keep_quantiles = quantiles
        self._kept: list[Tensor] = []
        self._columns: list[Columns] = []  # of the rows that have left
        self._outputs: dict[int, Array] = {}

    def update(self, outputs: Tensor, shown: Callable[[Tensor], Tensor]) -> None:
        """Take in a chunk of samples of the pending rows, [samples, pending rows, width].

        Args:
            outputs: of the model.
            shown: turns outputs into what an answer shows of them.
        """
        self._moments.update(outputs)
        if self._keep_outputs or self._keep_quantiles:
            self._kept.append(shown(outputs).cpu())

    def end_round(self, start: int, end: int) -> None:
        """Let go the rows that are settled, or all after the last round: samples `start` to `end` are in."""
        columns = self._state(self.rounds.spent(start, end))
        leaves = columns["settled"] | (end == self.rounds.maximum)
        gone, rest = np.flatnonzero(leaves), torch.from_numpy(np.flatnonzero(~leaves))
        if len(gone):
            self._columns.append({name: values[gone] for name, values in columns.items()})
            self._let_go(torch.from_numpy(gone))
            self._moments.keep(rest)
            self._kept = [chunk[:, rest] for chunk in self._kept]
            self.pending = self.pending[rest]

    def sampled(self) -> Sampled:
        """Join what all rows left with, in the order in which they came."""
        order = np.concatenate([columns["row"] for columns in self._columns]).argsort()
        joined = {
            name: np.concatenate([columns[name] for columns in self._columns])[order]
            for name in self._columns[0]
        }
        kind = self._moments.kind
        measures: dict[str, Any] = {field.name: joined.get(field.name) for field in fields(kind)}
        return Sampled(
            measures=kind(**measures),
            scores=joined["score"],
            standard_errors=joined["score_standard_error"],
            settled=joined["settled"],
            outputs=[self._outputs[row] for row in range(len(order))] if self._keep_outputs else None,
            quantiles=_by_probability(joined["quantiles"]) if self._keep_quantiles else None,
        )

    def _state(self, error: float) -> Columns:
        """Give what is known of the pending rows by now, and whether a look that may so err settles them."""
        measures = self._moments.measures()
        scores = score(measures, self._measure)
        columns = {name: values for name, values in vars(measures).items() if values is not None}
        columns |= {"row": self.pending.numpy(), "score": scores}
        for values in columns.values():
            self._check_finite(values)
        columns["score_standard_error"] = score_standard_error(self._moments, self._measure)
        thresholds = self._thresholds[self.pending.numpy()]
        columns["settled"] = settled(self._moments, self._measure, thresholds, error)
        return columns

    def _let_go(self, gone: Tensor) -> None:
        """Keep the raw samples, and quantiles over them, of rows that leave."""
        if not self._kept:
            return
        every = torch.cat([chunk[:, gone] for chunk in self._kept]).numpy()
        if self._keep_quantiles:
            self._columns[-1]["quantiles"] = np.moveaxis(np.quantile(every, QUANTILES, axis=0), 0, 1)
        if self._keep_outputs:
            rows = self.pending[gone].tolist()
            self._outputs |= {row: every[:, index] for index, row in enumerate(rows)}

    def _check_finite(self, values: Array) -> None:
        finite = _finite_texts(values) if values.dtype == object else np.isfinite(values)
        if not finite.all():
            row = int(self.pending[np.argwhere(~finite)[0][0]])
            raise ModelError("the model gave NaN or infinity", row=row)


def _finite_texts(measures: Array) -> Array:
    """Tell of measures of tokens, [rows], whether all numbers of a row are finite."""
    return np.array([all(np.isfinite(values).all() for values in vars(of).values()) for of in measures])


def _by_probability(quantiles: Array) -> dict[float, Array]:
    return {probability: quantiles[:, index] for index, probability in enumerate(QUANTILES)}
