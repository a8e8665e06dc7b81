"""`unsure train`: joins the command `unsure` as an entry point."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from models.training.fitting import Epoch
    from models.training.recipe import Recipe
    from models.training.run import Report
    from models.training.tuning import Tuning

DEMO_NAMES = ("digits", "breast-cancer", "diabetes")
FAMILIES = (
    "cnn",
    "concrete",
    "drop_connect",
    "gru",
    "lstm",
    "mlp",
    "resnet",
    "transformer",
    "vision_transformer",
)
TASKS = ("classification", "regression")

_OF_DATA = ("target", "task", "ignored", "text")


@click.command(epilog="Example: unsure train churn --data customers.csv --target left --ignore customer_id")
@click.argument("name")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File to learn from: .csv (commas, semicolons or tabs), .parquet, or .npz with the arrays inputs "
    "and targets.",
)
@click.option(
    "--target", help="Column of --data to learn; all others are features. Several at once: an .npz."
)
@click.option(
    "--text",
    metavar="COLUMN",
    help="Column of --data with texts: the model learns from these and nothing else.",
)
@click.option(
    "--task",
    type=click.Choice(TASKS),
    help="What to learn. Left out, numbers with a fraction, and whole numbers of more than 20 kinds, are a "
    "regression; all else is a classification.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="COLUMN",
    help="Column of --data that is no feature; give it once for each.",
)
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
    help="Architecture. Left out: a demo's own; of --data, mlp for features, lstm for rows of [steps, "
    "features], cnn for images, transformer for texts. A demo's entry is named after both: "
    "digits-resnet.",
)
@click.option("--epochs", type=click.IntRange(1), help="The most there may be; it stops early.")
@click.option("--batch-rows", type=click.IntRange(2), help="Rows of a step.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="At the start, of AdamW.")
@click.option("--weight-decay", type=click.FloatRange(0), help="Of AdamW.")
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The rate wherever the family drops, but of a cnn's feature maps; of concrete, where it starts.",
)
@click.option(
    "--class-weights",
    type=click.Choice(["balanced"]),
    help="balanced: in the loss each class counts alike, however few rows it has.",
)
@click.option(
    "--tune-dropout",
    "tuned",
    is_flag=True,
    help="Look for the rate first: 15 epochs at 0.2, then up or down by 0.1, as the gap between training and "
    "validation tells.",
)
def train(name: str, repository: Path, seed: int, *, tuned: bool, **given: Any) -> None:
    """Train a model, and add it to a model repository.

    NAME is a demo, digits, breast-cancer or diabetes, whose data come with scikit-learn; with --data, the
    name of a model of your own. Prints loss and figure on the training, validation and test rows. The
    calibration rows, which nothing here learns from or looks at, are kept beside the weights. More:
    docs/training.md.
    """
    if tuned and given["dropout"] is not None:
        raise click.UsageError("--tune-dropout looks for the rate that --dropout names; give one of them")
    try:
        from models.training.fit import TrainingError
        from models.training.run import train as train_
    except ModuleNotFoundError as cause:
        raise click.ClickException(f"training needs {cause.name}: pip install 'unsure[train]'") from cause

    try:
        entry, recipe = _recipe(name, seed=seed, **given)
        report = train_(entry, recipe, repository, seed, _watched(entry), tuned=tuned)
    except (TrainingError, OSError) as cause:
        raise click.ClickException(str(cause)) from cause
    _print(entry, report)


def _recipe(
    name: str, data: Path | None, family: str | None, seed: int, **given: Any
) -> tuple[str, "Recipe"]:
    """Give the entry's name, and what to do."""
    from models.training.families import demo_of, entry_name
    from models.training.options import Options, with_options
    from models.training.own_recipe import recipe_from

    of_data = {option: given.pop(option) for option in _OF_DATA}
    options = Options(balanced=given.pop("class_weights") is not None, **given)
    if data is not None:
        return name, with_options(recipe_from(name, data, family=family, seed=seed, **of_data), options)
    if name not in DEMO_NAMES:
        raise click.UsageError(
            f"{name!r} is no demo ({', '.join(DEMO_NAMES)}); name a file of yours with --data"
        )
    if any(of_data.values()):
        raise click.UsageError(
            "--target, --task, --ignore and --text are for a file of yours: name it with --data"
        )
    return entry_name(name, family), with_options(demo_of(name, family), options)


def _watched(name: str) -> "Callable[[Iterable[Epoch], int], Iterable[Epoch]]":
    """Show a bar on a terminal, and nothing where nobody watches."""
    from tqdm import tqdm

    def watched(epochs: "Iterable[Epoch]", most: int) -> "Iterable[Epoch]":
        with tqdm(total=most, desc=f"training {name}", unit="epoch", disable=None, leave=False) as bar:
            for epoch in epochs:
                bar.update()
                bar.set_postfix_str(
                    f"train {epoch.train.figure:.3f}, validation {epoch.validation.figure:.3f}"
                )
                yield epoch

    return watched


def _print_tuning(tuning: "Tuning") -> None:
    for trial in tuning.path:
        losses = f"loss {trial.train_loss:.4f} on train, {trial.validation_loss:.4f} on validation"
        click.echo(f"dropout {trial.rate:g}: {losses}, gap {trial.gap:.4f}: {trial.direction}")
    click.echo(f"dropout {tuning.rate:g} is taken: {tuning.gain:.4f} lower on validation than the first")


def _print(name: str, report: "Report") -> None:
    if report.tuning:
        _print_tuning(report.tuning)
    if report.resumed:
        click.echo(f"taken up after epoch {report.resumed} of a training that did not end")
    click.echo(
        f"{name}: the best of {report.epochs} epochs was {report.best_epoch}; written to {report.folder}"
    )
    click.echo(f"{'':12}{'rows':>6}{'loss':>9}{report.figure_name:>10}")
    for part, figures in report.figures.items():
        click.echo(f"{part:12}{report.rows[part]:6}{figures.loss:9.4f}{figures.figure:10.4f}")
    click.echo(f"{'calibration':12}{report.rows['calibration']:6}   kept for calibration, not looked at")
