"""The results on UCI sets beside published ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reproduction.summaries import Summary, table

HEAD = (
    "set",
    "splits",
    "RMSE",
    "2018",
    "2016",
    "log-likelihood",
    "2018",
    "2016",
    "deterministic RMSE",
)
CHOICE_HEAD = ("set", "rate: splits that chose it", "precision τ: splits that chose it")

Results = Mapping[str, Sequence[Mapping[str, Any]]]

# (RMSE, log-likelihood), each with its standard error over 20 splits.
PUBLISHED_2016 = {
    "concrete": (Summary(5.23, 0.12), Summary(-3.04, 0.02)),
    "energy": (Summary(1.66, 0.04), Summary(-1.99, 0.02)),
    "wine-red": (Summary(0.62, 0.01), Summary(-0.93, 0.01)),
}
PUBLISHED_2018 = {
    "concrete": (Summary(4.826, 0.161), Summary(-2.937, 0.025)),
    "energy": (Summary(0.539, 0.014), Summary(-1.212, 0.005)),
    "wine-red": (Summary(0.622, 0.008), Summary(-0.928, 0.013)),
}


def figures_table(results: Results) -> str:
    """Write the figures of each set."""
    return table(HEAD, (_figures(name, splits) for name, splits in results.items()))


def choices_table(results: Results) -> str:
    """Write what the grid has chosen."""
    return table(
        CHOICE_HEAD,
        (
            [name, *(_counted([split[key] for split in splits]) for key in ("rate", "precision"))]
            for name, splits in results.items()
        ),
    )


def _figures(name: str, splits: Sequence[Mapping[str, Any]]) -> list[str]:
    rmse, likelihood, deterministic = (
        Summary.of([split[key] for split in splits]).words(3)
        for key in ("rmse", "log_likelihood", "deterministic_rmse")
    )
    published = zip(PUBLISHED_2018[name], PUBLISHED_2016[name], strict=True)
    of_rmse, of_likelihood = ([newer.words(3), older.words(2)] for newer, older in published)
    return [name, str(len(splits)), rmse, *of_rmse, likelihood, *of_likelihood, deterministic]


def _counted(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}: {count}" for value, count in sorted(Counter(values).items()))
