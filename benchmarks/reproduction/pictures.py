"""The pictures of the page, as SVG: the same results give the same file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reproduction.architectures import SAMPLED, WHOLE
from reproduction.architectures_tables import Results, by_family, calibration_error, loss, risk, told_apart
from reproduction.architectures_tables import accuracy as accuracy_of
from reproduction.shifted_images import SHIFTS
from reproduction.summaries import Summary
from reproduction.weight_scaling_tables import SHOWN, Curves

STYLE: Any = {
    "svg.hashsalt": "unsure",  # else names within the file are random
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
WHOLE_COLOUR, SAMPLED_COLOUR, INFORMATION_COLOUR = "#b45309", "#1d4ed8", "#0f766e"

_APART = 0.2  # marks of one architecture, where two architectures are 1 apart

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One mark for each architecture.

    Args:
        label: for the legend.
        colour: of the mark.
        marker: its shape.
        of: gives the figure of an architecture's runs.
    """

    label: str
    colour: str
    marker: str
    of: Callable[[Results], Summary]


Mark = Callable[[Callable[[Results], Summary]], Series]
_WHOLE: Mark = partial(Series, "whole network", WHOLE_COLOUR, "s")
_SAMPLED: Mark = partial(Series, "Monte Carlo dropout\n(predictive entropy)", SAMPLED_COLOUR, "o")
_INFORMATION: Mark = partial(Series, "Monte Carlo dropout\n(mutual information)", INFORMATION_COLOUR, "^")


@mpl.rc_context(STYLE)
def draw_curves(curves: Curves, path: Path) -> None:
    """Draw error and negative log-likelihood over the number of samples averaged."""
    figure = Figure((8, 3.4), layout="constrained")
    error, likelihood = figure.subplots(1, 2)
    counts = np.arange(1, len(curves.errors) + 1)
    low, high = (100 * (curves.errors + side * curves.deviations) for side in (-1, 1))
    error.fill_between(counts, low, high, color=SAMPLED_COLOUR, alpha=0.2, linewidth=0)
    _curve(error, 100 * curves.errors, 100 * curves.whole_error, "test error, %")
    _curve(likelihood, curves.losses, curves.whole_loss, "negative log-likelihood")
    error.legend(frameon=False)
    _save(figure, path)


def _curve(axes: Axes, sampled: Array, whole: float, name: str) -> None:
    axes.plot(np.arange(1, len(sampled) + 1), sampled, color=SAMPLED_COLOUR, label="mean of k samples")
    axes.axhline(whole, color=WHOLE_COLOUR, linestyle="--", label="whole network")
    axes.set_xscale("log")
    axes.set_xticks(SHOWN, [str(count) for count in SHOWN])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("k")
    axes.set_ylabel(name)


@mpl.rc_context(STYLE)
def draw_architectures(results: Results, path: Path) -> None:
    """Draw all figures of all architectures, the whole network beside samples."""
    figure = Figure((10, 6.4), layout="constrained")
    panels = figure.subplots(2, 4, sharey=True).flatten()
    families = by_family(results)
    for axes, (title, series) in zip(panels, _figures().items(), strict=False):
        _panel(axes, families, title, series)
    for axes in panels[1:4]:
        axes.set_xlim(left=0)
    for axes in panels[4:7]:
        axes.set_xlim(-0.03, 1.03)
        axes.axvline(0.5, color="grey", linewidth=0.8)  # where a score tells nothing
    panels[7].axis("off")
    panels[7].legend(*panels[3].get_legend_handles_labels(), loc="center", frameon=False, labelspacing=1)
    _save(figure, path)


def _figures() -> dict[str, list[Series]]:
    """List what is drawn, by title."""
    both = ((_WHOLE, WHOLE), (_SAMPLED, SAMPLED))
    scores = (
        (_WHOLE, f"{WHOLE} max_probability"),
        (_SAMPLED, f"{SAMPLED} predictive_entropy"),
        (_INFORMATION, f"{SAMPLED} mutual_information"),
    )
    return {
        "accuracy, %": [mark(partial(accuracy_of, way=way)) for mark, way in both],
        "negative log-likelihood": [mark(partial(loss, way=way)) for mark, way in both],
        "ECE, %": [mark(partial(_calibration, way=way)) for mark, way in both],
        "AUGRC × 1000": [mark(partial(risk, score=score)) for mark, score in scores],
        **{
            f"AUROC, {kind}": [mark(partial(told_apart, kind=kind, score=score)) for mark, score in scores]
            for kind in SHIFTS
        },
    }


def _calibration(runs: Results, way: str) -> Summary:
    return Summary(100 * calibration_error(runs, way), 0.0)


def _panel(axes: Axes, families: Mapping[str, Results], title: str, series: Sequence[Series]) -> None:
    """Draw one figure of all architectures, a line each, with standard errors."""
    for number, one in enumerate(series):
        found = [one.of(runs) for runs in families.values()]
        axes.errorbar(
            [summary.mean for summary in found],
            np.arange(len(found)) + (number - (len(series) - 1) / 2) * _APART,
            xerr=[summary.error for summary in found],
            fmt=one.marker,
            color=one.colour,
            label=one.label,
            markersize=4,
            linewidth=1,
        )
    axes.set_yticks(range(len(families)), [name.replace("_", " ") for name in families])
    axes.set_ylim(len(families) - 0.5, -0.5)
    axes.set_title(title)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
