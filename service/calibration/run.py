"""One calibration, from a model and a file to calibration.json and a report."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from service import __version__, inspection
from service.calibration.calibrating import Asked, Outcome, calibrated, split_rows
from service.calibration.checks import check_model, check_rows
from service.calibration.data import USUAL_FILE, LabelledRows, read_labelled
from service.calibration.observing import Observed, Watch, fit_temperature, observe
from service.certification.temperature import HIGHEST, LOWEST
from service.data.images import AS_THEY_ARE, Images
from service.errors import CalibrationError
from service.labels import Reading
from service.predictor.served_model import ServedModel
from service.repository.calibration import Calibration, Draws, Promise, write_calibration
from service.repository.manifest import Manifest
from service.settings import Settings
from service.uncertainty.scores import score_names


@dataclass(frozen=True)
class Wish:
    """What is to be calibrated, and with what.

    Args:
        model: its name.
        version: the highest if None.
        data: labelled rows; what training has kept if None.
        asked: the promise.
        tolerances: in regression, how far off is wrong: one for each value, or one for all.
        samples: how many; those of a request that leaves them to the model if None.
        images: how files of images become rows.
        reading: what labels are; None to find out.
    """

    model: str
    version: int | None
    data: Path | None
    asked: Asked
    tolerances: tuple[float, ...]
    samples: int | None = None
    images: Images = AS_THEY_ARE
    reading: Reading | None = None


@dataclass(frozen=True)
class Made:
    """A calibration, and what it was made of.

    Args:
        model: that was calibrated.
        path: of calibration.json.
        data: where rows come from.
        labelled: rows.
        observed: of these.
        outcome: of the method.
        calibration: that was written.
        note: what else to tell; may be empty.
    """

    model: ServedModel
    path: Path
    data: str
    labelled: LabelledRows
    observed: Observed
    outcome: Outcome
    calibration: Calibration
    note: str = ""


def calibrate(settings: Settings, wish: Wish, watch: Watch) -> Made:
    """Calibrate a model, and write calibration.json beside its weights.

    Raises:
        UnsureError: it cannot be done; nothing is written then.
    """
    model = inspection.load(settings, wish.model, wish.version)
    check_model(model, wish.tolerances, wish.samples, temperature=wish.asked.temperature)
    _check_measure(wish.asked.measure, model.manifest)
    folder = settings.repository / model.identity.model / model.identity.version
    data = wish.data or folder / USUAL_FILE
    if not data.exists():
        raise CalibrationError(f"there is no {data}; name a file of labelled rows with --data")
    usual = folder / USUAL_FILE
    of_training = usual.exists() and data.samefile(usual)
    labelled = read_labelled(data, model, wish.images, wish.reading, of_training=of_training)
    check_rows(labelled, data, folder, model.manifest.task)
    draws = draws_of(model.manifest, wish.samples)
    model.temperature = _temperature(model, labelled, draws) if wish.asked.temperature else 1.0
    observed = observe(model, labelled, draws, wish.tolerances, watch)
    outcome = calibrated(observed, wish.asked, model.manifest.policy.measure)
    calibration = calibration_of(model, wish, draws, outcome, labelled)
    path = write_calibration(folder, calibration)
    return Made(model, path, str(data), labelled, observed, outcome, calibration)


def _temperature(model: ServedModel, labelled: LabelledRows, draws: Draws) -> float:
    model.temperature = 1.0  # an earlier calibration may have set another
    choosing = split_rows(len(labelled.rows)).choosing
    found = fit_temperature(model, labelled, choosing, draws)
    if found is None:
        raise CalibrationError(
            f"the {len(choosing)} rows that choose show no temperature from {LOWEST:g} to {HIGHEST:g}, as "
            "where all of them are right; bring more rows, or leave out --temperature"
        )
    return found


def draws_of(manifest: Manifest, wanted: int | None) -> Draws:
    """Give the samples that are wanted, or else those of a request that leaves them to the model."""
    samples = wanted or manifest.sampling.samples
    return Draws(samples if samples == "exact" else cast(int, samples), manifest.sampling.seed)


def _check_measure(measure: str | None, manifest: Manifest) -> None:
    names = score_names(manifest.task)
    if measure is not None and measure not in names:
        raise CalibrationError(f"--measure {measure!r} is none of {', '.join(names)}")


def calibration_of(
    model: ServedModel, wish: Wish, draws: Draws, outcome: Outcome, labelled: LabelledRows
) -> Calibration:
    """Write down what came of a wish."""
    asked = wish.asked
    confidence = asked.confidence if asked.contract == "selective_risk" else None
    return Calibration(
        measure=outcome.measure,
        promise=Promise(asked.contract, asked.target_error, confidence, *_tolerances(wish.tolerances)),
        found=outcome.found,
        setting=model.setting,
        draws=draws,
        scores=outcome.figures,
        histogram=outcome.histogram,
        conformal=outcome.conformal,
        unsure=__version__,
        data_sha256=labelled.sha256,
        temperature=model.temperature,
        curves=outcome.curves,
    )


def _tolerances(given: tuple[float, ...]) -> tuple[float | None, tuple[float, ...] | None]:
    """Give the tolerance of all values, or those of each where they differ."""
    if len(set(given)) > 1:
        return None, given
    return next(iter(given), None), None
