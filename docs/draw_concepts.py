"""Draws the pictures of docs/concepts.md, and prints the figures that the page names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from concept_runs import (
    ANGLES,
    COUNTS,
    Array,
    Learned,
    Shifted,
    Spread,
    each_sample,
    learned,
    measured,
    risks,
    shifted,
    spread,
    three_kinds,
    whole,
)
from matplotlib.figure import Figure
from selective_methods import TARGET

FOLDER = Path(__file__).parent / "pictures"
STYLE: Any = {
    "svg.hashsalt": "unsure",  # else names within the file are random
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
OWN, DISAGREEMENT, WHOLE = "#b45309", "#1d4ed8", "#0f766e"


def draw_kinds(model: Learned, name: str) -> None:
    """Draw three rows: the image, what each sample says of it, and of what its entropy is made."""
    kinds = three_kinds(model)
    figure = Figure((7, 5.2), layout="constrained")
    panels = figure.subplots(3, 3, width_ratios=(1, 3, 2))
    for (title, image), (picture, classes, parts) in zip(kinds.items(), panels, strict=True):
        measures, samples = measured(model, image[None]), each_sample(model, image)
        picture.imshow(image, cmap="gray_r")
        picture.set_title(title)
        picture.set_axis_off()
        scatter = np.random.default_rng(0).uniform(-0.25, 0.25, samples.shape)
        classes.plot(np.arange(10) + scatter, samples, ".", color=DISAGREEMENT, alpha=0.35, markersize=4)
        classes.plot(measures.mean[0], "_", color="black", markersize=14)
        classes.set(xticks=range(10), ylim=(-0.04, 1.04), ylabel="probability")
        own, between = measures.expected_entropy[0], measures.mutual_information[0]
        parts.barh(0, own, color=OWN, label="expected entropy")
        parts.barh(0, between, left=own, color=DISAGREEMENT, label="mutual information")
        parts.set(
            xlim=(0, np.log(10)), yticks=[], title=f"{own:.2f} + {between:.2f} = {own + between:.2f} nats"
        )
        print(f"{title}: variance {measures.variance[0].max():.3f}, {own:.3f} + {between:.3f}")
    panels[0, 1].set_title("each dot is a sample, each line a mean")
    panels[2, 1].set_xlabel("class")
    panels[0, 2].legend(loc="center right", frameon=False, fontsize=8)
    _save(figure, name)


def draw_spread(found: Spread, name: str) -> None:
    """Draw what T samples give and cost."""
    figure = Figure((7, 2.9), layout="constrained")
    error, cost = figure.subplots(1, 2)
    error.loglog(COUNTS, found.told, color=DISAGREEMENT, label="√(variance / T)")
    error.loglog(COUNTS, found.observed, "o", color="black", markersize=4, label="deviation over 100 seeds")
    error.set(title="how far the mean may be off", ylabel="probability")
    error.legend(frameon=False)
    cost.loglog(COUNTS, found.milliseconds, "o-", color=DISAGREEMENT, markersize=4, label="T samples")
    cost.axhline(found.one, color=WHOLE, linestyle="--", label="one prediction")
    cost.set(title="what they cost", ylabel="ms of one core, one row", ylim=(0.02, None))
    cost.legend(frameon=False)
    for axes in (error, cost):
        axes.set_xlabel("T")
        axes.set_xticks(COUNTS[::2], [str(count) for count in COUNTS[::2]])
        axes.minorticks_off()
    for count, told, seen, time in zip(COUNTS, found.told, found.observed, found.milliseconds, strict=True):
        print(f"T {count}: told {told:.4f}, seen {seen:.4f}, {time:.3f} ms")
    print(f"one prediction {found.one:.3f} ms")
    _save(figure, name)


def draw_means(model: Learned, name: str) -> None:
    """Draw the probability of the likeliest class, by the whole network and by the mean of samples."""
    measures = measured(model, model.images, 400)
    predicted = whole(model, model.images)
    best = predicted.argmax(1)
    rows = np.arange(len(best))
    of_whole, of_mean = predicted[rows, best], measures.mean[rows, best]
    right = best == model.labels
    figure = Figure((4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for shown, colour, label in ((right, DISAGREEMENT, "right"), (~right, OWN, "wrong")):
        axes.plot(of_whole[shown], of_mean[shown], ".", color=colour, alpha=0.6, label=label)
    axes.set(xlabel="of the whole network", ylabel="mean of 400 thinned networks", xlim=(0.2, 1.02))
    axes.set(ylim=(0.2, 1.02), title="probability of the class that the whole network predicts")
    axes.legend(frameon=False)
    below = (of_mean < of_whole).mean()
    other = (measures.class_index != best).sum()
    print(f"mean {of_whole.mean():.4f} and {of_mean.mean():.4f}; {below:.3f} below; {other} other classes")
    _save(figure, name)


def draw_shift(found: Shifted, name: str) -> None:
    """Draw what a promise is worth for rows that are turned."""
    figure = Figure((5.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(ANGLES, 100 * found.flagged, "s--", color=WHOLE, markersize=4, label="flagged, of all rows")
    axes.plot(
        ANGLES, 100 * found.wrong, "o-", color=OWN, markersize=4, label="wrong, of the rows not flagged"
    )
    axes.axhline(100 * TARGET, color="black", linewidth=0.8)
    axes.text(90, 100 * TARGET + 1.5, "promised: 2 %", ha="right")
    axes.set(xlabel="rows turned by, °", ylabel="%", ylim=(0, 100))
    axes.legend(frameon=False)
    for angle, wrong, flagged in zip(ANGLES, found.wrong, found.flagged, strict=True):
        print(f"{angle}°: wrong {wrong:.3f} of unflagged, flagged {flagged:.3f} at {found.threshold:.3f}")
    _save(figure, name)


def draw_risks(found: Mapping[str, Array], name: str) -> None:
    """Draw the true risk of a thousand thresholds of each method."""
    figure = Figure((5.4, 3.2), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 4, 61)
    for (method, values), colour in zip(found.items(), (OWN, DISAGREEMENT), strict=True):
        broken = (values > TARGET).mean()
        label = f"{method}: broken in {100 * broken:.1f} %"
        axes.hist(100 * values, bins, color=colour, alpha=0.6, label=label)
        print(f"{method}: {broken:.3f} broken")
    axes.axvline(100 * TARGET, color="black", linewidth=0.8)
    axes.text(1.97, axes.get_ylim()[1], "promised: 2 %", ha="right")
    axes.set(
        xlabel="true share of errors among unflagged rows, %", ylabel="calibrations of 1000", xlim=(0, 4)
    )
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper right", fontsize=8)
    _save(figure, name)


def _save(figure: Figure, name: str) -> None:
    figure.savefig(FOLDER / f"concepts-{name}.svg", metadata={"Date": None})


def main() -> None:
    """Draw every picture."""
    torch.set_num_threads(1)
    model = learned()
    with mpl.rc_context(STYLE):
        draw_kinds(model, "kinds")
        draw_spread(spread(model, three_kinds(model)["between classes"]), "samples")
        draw_means(model, "means")
        draw_shift(shifted(model), "shift")
        draw_risks(risks(), "risks")


if __name__ == "__main__":
    main()
