"""`unsure train`: joins the command `unsure` as an entry point."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from models.training.fit import Epoch
    from models.training.run import Report

NAMES = ("digits", "breast-cancer", "diabetes")
FAMILIES = ("cnn", "concrete", "drop_connect", "gru", "lstm", "mlp", "resnet", "vision_transformer")


@click.command(epilog="Example: unsure train digits --repository model_repository")
@click.argument("name", type=click.Choice(NAMES))
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("model_repository"),
    envvar="UNSURE_REPOSITORY",
    show_default=True,
    show_envvar=True,
    help="Folder of the models.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Of the splits, the first weights, the batches and the dropout.",
)
@click.option(
    "--model",
    "family",
    type=click.Choice(FAMILIES),
    help="Architecture, where it is not the demo's own; all learn digits, and concrete, drop_connect and mlp "
    "the others. The model is named after both, such as digits-resnet.",
)
def train(name: str, repository: Path, seed: int, family: str | None) -> None:
    """Train a demo model, and add it to a model repository.

    The data sets come with scikit-learn. Prints loss and figure on the training, validation and test rows.
    The calibration rows, which nothing here learns from or looks at, are kept beside the weights.
    """
    try:
        from models.training.fit import TrainingError
        from models.training.run import train_demo
    except ModuleNotFoundError as cause:
        raise click.ClickException(f"training needs {cause.name}: pip install 'unsure[train]'") from cause

    try:
        report = train_demo(name, repository, seed, lambda epochs, most: _watched(name, epochs, most), family)
    except (TrainingError, OSError) as cause:
        raise click.ClickException(str(cause)) from cause
    _print(name, report)


def _watched(name: str, epochs: "Iterable[Epoch]", most: int) -> "Iterable[Epoch]":
    """Show a bar on a terminal, and nothing where nobody watches."""
    from tqdm import tqdm

    with tqdm(total=most, desc=f"training {name}", unit="epoch", disable=None, leave=False) as bar:
        for epoch in epochs:
            bar.update()
            bar.set_postfix_str(f"train {epoch.train.figure:.3f}, validation {epoch.validation.figure:.3f}")
            yield epoch


def _print(name: str, report: "Report") -> None:
    click.echo(
        f"{name}: the best of {report.epochs} epochs was {report.best_epoch}; written to {report.folder}"
    )
    click.echo(f"{'':12}{'rows':>6}{'loss':>9}{report.figure_name:>10}")
    for part, figures in report.figures.items():
        click.echo(f"{part:12}{report.rows[part]:6}{figures.loss:9.4f}{figures.figure:10.4f}")
    click.echo(f"{'calibration':12}{report.rows['calibration']:6}   kept for calibration, not looked at")
