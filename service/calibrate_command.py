"""`unsure calibrate`: a promise from labelled rows."""

from pathlib import Path
from typing import Any

import click

from service.options import Finite, logged, of_images, told, watched, with_settings
from service.settings import Settings


@click.command(
    epilog="Example: unsure calibrate digits --data heldout.npz --target-error 0.02 --confidence 0.95"
)
@click.argument("model")
@click.option("--version", type=click.IntRange(1), help="Which version; the highest if left out.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labelled rows that the model has not seen: .npz, .csv, .parquet or .jsonl, or a folder that has a "
    "folder of images or texts for each label. Left out: those that `unsure train` has kept.",
)
@click.option(
    "--from-reviews",
    is_flag=True,
    help="Take the audit rows of the review queue that are resolved. The threshold that serves is kept, "
    "or made stricter.",
)
@click.option(
    "--target-error",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.02,
    show_default=True,
    help="Share of rows that may be wrong.",
)
@click.option(
    "--confidence",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the promise, for selective_risk.",
)
@click.option(
    "--contract",
    type=click.Choice(["selective_risk", "joint_risk"]),
    default="selective_risk",
    show_default=True,
    help="What is promised: few errors among the rows that are not flagged, or, on average, few rows of all "
    "that are wrong and not flagged.",
)
@click.option(
    "--tolerance",
    "tolerances",
    type=Finite(0, min_open=True),
    multiple=True,
    help="For values: how far off is wrong, in their unit. Of a model with several, once for each, in their "
    "order; given once, it is that of all.",
)
@click.option(
    "--temperature",
    is_flag=True,
    help="Scale the probabilities of samples: one number for all, fitted to the rows that choose the score.",
)
@click.option("--measure", help="The score; left out, the best of all on some of the rows.")
@click.option(
    "--samples",
    type=click.IntRange(2),
    help="Of each row; left out, as many as a request gets that does not say. The promise is about requests "
    "that get as many.",
)
@click.option(
    "--labels-are",
    type=click.Choice(["names", "indices"]),
    help="What labels are: of whole numbers that name one class and are the class index of another. Left "
    "out, such are refused.",
)
@of_images
@with_settings("repository", "factories", "device", "plan", "precision", "review_url", "log_level")
def calibrate(
    model: str,
    version: int | None,
    data: Path | None,
    from_reviews: bool,
    target_error: float,
    confidence: float,
    contract: Any,
    tolerances: tuple[float, ...],
    measure: str | None,
    temperature: bool,
    samples: int | None,
    labels_are: Any,
    resize: bool,
    span: tuple[float, float] | None,
    **given: Any,
) -> None:
    """Find a threshold that keeps a promise, on labelled rows.

    MODEL is the name of a folder of the repository. Writes calibration.json beside the weights, and a report
    to look at; a server takes the calibration with its next start, or when the model is loaded anew.
    """
    if from_reviews and data is not None:
        raise click.UsageError("--from-reviews takes the rows of the review queue: leave out --data")
    from service.calibration.calibrating import Asked  # as above
    from service.calibration.from_reviews import calibrate_from_reviews
    from service.calibration.report import write_report
    from service.calibration.run import Wish
    from service.calibration.run import calibrate as calibrated
    from service.calibration.words import made_in_words
    from service.data.images import Images

    settings = logged(Settings(**given))
    asked = Asked(contract, target_error, confidence, measure, temperature=temperature)
    with told():
        wish = Wish(model, version, data, asked, tolerances, samples, Images(resize, span), labels_are)
        made = (calibrate_from_reviews if from_reviews else calibrated)(settings, wish, watched("sampling"))
        report = write_report(made)
    click.echo(made_in_words(made))
    click.echo(f"Written to {made.path}, and a report to look at to {report}.", err=True)
