"""Figures of several runs, and the lines of tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """A mean over runs, and its standard error; NaN for one run alone."""

    mean: float
    error: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Summary":
        """Summarise one figure a run."""
        values = np.asarray(figures, float)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        return cls(float(values.mean()), float(error))

    def words(self, digits: int) -> str:
        """Write it, with so many digits after the point."""
        return f"{self.mean:.{digits}f} ± {self.error:.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    return "\n".join([_line(head), "|" + "---|" * len(head), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
