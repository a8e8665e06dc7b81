"""The whole network against averages: the curves of all splits together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reproduction.summaries import table

Array = NDArray[np.float64]

HEAD = ("prediction", "test error, %", "negative log-likelihood")
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Curves:
    """Figures of the rows of all splits, by the number of samples averaged.

    Args:
        whole_error: share that the whole networks get wrong.
        whole_loss: their mean negative log-likelihood.
        errors: the mean over repeats, [samples].
        deviations: over repeats, [samples]; NaN of one repeat alone.
        losses: mean negative log-likelihood, [samples].
    """

    whole_error: float
    whole_loss: float
    errors: Array
    deviations: Array
    losses: Array

    @classmethod
    def of(cls, splits: Sequence[Mapping[str, Any]]) -> "Curves":
        """Join the results of splits."""
        rows = sum(split["rows"] for split in splits)
        shares = sum(np.array(split["wrong"], float) for split in splits) / rows
        weights = [split["rows"] / rows for split in splits]
        return cls(
            sum(split["whole_wrong"] for split in splits) / rows,
            float(np.dot(weights, [split["whole_loss"] for split in splits])),
            shares.mean(0),
            shares.std(0, ddof=1) if len(shares) > 1 else np.full(shares.shape[1], np.nan),
            np.array(weights) @ np.array([split["loss"] for split in splits]),
        )

    @property
    def meeting(self) -> int | None:
        """The fewest samples whose average is no worse than the whole network, by errors; None if none is."""
        enough = np.flatnonzero(self.errors <= self.whole_error)
        return int(enough[0]) + 1 if len(enough) else None

    @property
    def near(self) -> int | None:
        """The fewest samples whose average is at most one deviation worse."""
        enough = np.flatnonzero(self.errors - self.deviations <= self.whole_error)
        return int(enough[0]) + 1 if len(enough) else None


def curves_table(curves: Curves) -> str:
    """Write some points of the curves."""
    whole = ["whole network", f"{100 * curves.whole_error:.2f}", f"{curves.whole_loss:.4f}"]
    shown = [count for count in SHOWN if count <= len(curves.errors)]
    return table(HEAD, [whole, *(_average(curves, count) for count in shown)])


def meeting_words(curves: Curves) -> str:
    """Tell where the curves meet."""
    near, meeting = ("none" if count is None else str(count) for count in (curves.near, curves.meeting))
    return f"Fewest samples within a deviation of the whole networks' error: {near}; no worse: {meeting}."


def _average(curves: Curves, count: int) -> list[str]:
    error, deviation = (100 * values[count - 1] for values in (curves.errors, curves.deviations))
    return [f"mean of {count}", f"{error:.2f} ± {deviation:.2f}", f"{curves.losses[count - 1]:.4f}"]
