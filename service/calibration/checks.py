"""Rows that no promise can be made from are refused, with what to do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.calibration.data import LabelledRows
from service.errors import CalibrationError
from service.files import read_file
from service.predictor.served_model import ServedModel
from service.repository.manifest import AdaptiveSpec

TRAINING_ROWS = "training_rows.txt"
"""Fingerprints of the rows that weights have learnt from, one a line; `unsure train` writes them."""

FEWEST_ROWS = 40


def check_rows(labelled: LabelledRows, path: Path, folder: Path, task: str) -> None:
    """Refuse rows that cannot stand for those to come.

    Args:
        labelled: the rows.
        path: of their file.
        folder: of the version.
        task: of the model.

    Raises:
        CalibrationError: the text says why, and what to do.
    """
    if len(labelled.rows) < FEWEST_ROWS:
        raise CalibrationError(
            f"{path} has {len(labelled.rows)} rows, and {FEWEST_ROWS} are the least; label more of them"
        )
    if task == "classification" and len(np.unique(labelled.truth)) == 1:
        raise CalibrationError(
            f"all {len(labelled.rows)} rows of {path} are of one class; take them as they come, "
            "not sorted or picked"
        )
    seen = trained_rows(labelled.fingerprints, folder)
    if seen:
        raise CalibrationError(
            f"{len(seen)} rows of {path} were trained on, row {seen[0]} the first: a model is surer and "
            "more often right on these than on others; take rows that it has not seen"
        )


def check_model(
    model: ServedModel, tolerances: Sequence[float], samples: int | None, *, temperature: bool = False
) -> None:
    """Refuse a model that cannot be calibrated, or not like this; arguments as of `Wish`.

    Raises:
        CalibrationError: the text says why, and what to do.
    """
    name, manifest = model.identity.model, model.manifest
    if not model.engine.report.can_sample:
        raise CalibrationError(f"model {name} has no dropout to sample, and so no score to calibrate")
    if manifest.task == "regression" and not tolerances:
        raise CalibrationError(
            f"model {name} predicts values: say with --tolerance how far off is wrong, in their unit"
        )
    if manifest.task == "regression" and len(tolerances) not in (1, model.shown_width):
        raise CalibrationError(
            f"--tolerance is given {len(tolerances)} times, and model {name} gives {model.shown_width} "
            f"value{'' if model.shown_width == 1 else 's'} a row: give it once for each, in their order, or "
            "once for all"
        )
    if manifest.classifies and tolerances:
        raise CalibrationError(
            f"model {name} predicts classes, which are right or wrong: leave out --tolerance"
        )
    if temperature and manifest.task == "regression":
        raise CalibrationError(
            f"model {name} predicts values, which have no temperature: leave out --temperature"
        )
    _check_samples(model, samples)


def _check_samples(model: ServedModel, samples: int | None) -> None:
    name, sampling = model.identity.model, model.manifest.sampling
    if samples is not None and samples > sampling.max_samples:
        raise CalibrationError(
            f"--samples {samples}: requests to model {name} get {sampling.max_samples} at the most; say as "
            "many or fewer, or raise sampling.max_samples in model.toml"
        )
    if samples is None and isinstance(sampling.samples, AdaptiveSpec):
        raise CalibrationError(
            f"model {name} takes as many samples as a row needs, which depends on the threshold that is "
            f"sought: certify a fixed number, such as --samples {sampling.samples.max}, for requests that "
            "ask for it, or for all by writing it as sampling.samples into model.toml"
        )


def trained_rows(fingerprints: Sequence[str], folder: Path) -> list[int]:
    """Give the places of the rows that weights have learnt from.

    Raises:
        CalibrationError: the list of these cannot be read.
    """
    known = _trained_on(folder)
    return [row for row, one in enumerate(fingerprints) if one in known]


def _trained_on(folder: Path) -> frozenset[str]:
    path = folder / TRAINING_ROWS
    try:
        return frozenset(read_file(path).decode("ascii").split())
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as cause:
        raise CalibrationError(f"{path} cannot be read: {cause}") from cause
