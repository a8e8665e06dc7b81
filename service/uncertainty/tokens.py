"""What samples say about the tokens of texts: a text is as uncertain as its worst token."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.uncertainty.classification import ClassificationMeasures, ClassificationMoments

Array = NDArray[Any]


@dataclass(frozen=True)
class TokenMeasures:
    """Measures of texts, which have different numbers of tokens.

    Args:
        tokens: of each text those of its tokens, in place of rows, [rows] of ClassificationMeasures.
        samples: T of each text, [rows].
    """

    tokens: NDArray[np.object_]
    samples: NDArray[np.int64]


class TokenMoments:
    """Accumulates samples of a model that labels tokens.

    Args:
        counted: which tokens have an answer, [rows, tokens].
        logits: whether the model gives logits, or probabilities.
        temperature: that the logits are divided by.

    Attributes:
        kind: of the measures.
        tokens: moments of those that have an answer, of all rows one after another, in place of rows.
    """

    kind = TokenMeasures

    def __init__(self, counted: Tensor, *, logits: bool, temperature: float = 1.0) -> None:
        self.tokens = ClassificationMoments(logits=logits, temperature=temperature)
        self._counted = counted

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many tokens of each row have an answer, [rows]."""
        return np.asarray(self._counted.sum(1).cpu().numpy())

    def update(self, outputs: Tensor) -> None:
        """Take in a chunk of samples, [samples, rows, tokens · classes]."""
        rows, places = self._counted.nonzero(as_tuple=True)
        each = outputs.reshape(*outputs.shape[:-1], self._counted.shape[1], -1)
        self.tokens.update(each[:, rows, places])

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but those of these indices, which ascend."""
        kept = torch.zeros(len(self._counted), dtype=torch.bool)
        kept[rows] = True
        self.tokens.keep(kept[self._counted.nonzero(as_tuple=True)[0]].nonzero()[:, 0])
        self._counted = self._counted[rows]

    def measures(self) -> TokenMeasures:
        """Give the measures of all samples taken in, of which there are at least 2."""
        measures = self.tokens.measures()
        columns = {field.name: self.of_rows(getattr(measures, field.name)) for field in fields(measures)}
        rows = zip(*columns.values(), strict=True)
        each = [ClassificationMeasures(**dict(zip(columns, row, strict=True))) for row in rows]
        return TokenMeasures(objects(each), np.full(len(each), self.tokens.groups.count))

    def of_rows(self, values: Array) -> list[Array]:
        """Give each row its part of what all tokens have, [tokens, …]."""
        return np.split(values, self.counts.cumsum()[:-1])

    def of_tokens(self, values: Array | float) -> Array:
        """Give each token what its row has, [rows] or one for all, as [tokens]."""
        return np.repeat(np.broadcast_to(values, len(self.counts)), self.counts)


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """Give an array of things that numpy would otherwise look into, [rows]."""
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array
