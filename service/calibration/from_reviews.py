"""A calibration from what reviewers say of audit rows: no looser than the threshold that serves."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from service import inspection
from service.calibration.audited_rows import labelled_rows
from service.calibration.audits import Audits, Serving, fair_sample, in_words
from service.calibration.calibrating import Asked, calibrated
from service.calibration.checks import FEWEST_ROWS, check_model, trained_rows
from service.calibration.data import LabelledRows
from service.calibration.observing import Observed, Watch, observe
from service.calibration.run import Made, Wish, calibration_of, draws_of
from service.errors import CalibrationError, StartError
from service.flagging.policy import Policy
from service.predictor.answers import EXACT
from service.predictor.served_model import ServedModel
from service.repository.calibration import Calibration, Draws, Found, write_calibration
from service.review.listing import all_items
from service.review.opening import opened
from service.review.paging import Filter
from service.settings import NO_REVIEWS, Settings
from service.uncertainty.sequential import Rounds

SOURCE = "the review queue"

_RELATIVE, _ABSOLUTE = 1e-3, 1e-5  # plans and machines round differently, by far less


def calibrate_from_reviews(settings: Settings, wish: Wish, watch: Watch) -> Made:
    """Certify with resolved audit rows, and write calibration.json beside the weights.

    Raises:
        UnsureError: it cannot be done, or nothing can be certified; nothing is written then.
    """
    model = inspection.load(settings, wish.model, wish.version)
    check_model(model, wish.tolerances, wish.samples)
    if model.manifest.per_token:
        raise CalibrationError(
            f"model {wish.model} labels tokens, and reviewers say only whether all of a text are right: "
            "bring labelled rows with --data"
        )
    draws = draws_of(model.manifest, wish.samples)
    policy = _deciding(model, draws)
    asked = _checked(wish.asked, policy)
    folder = settings.repository / model.identity.model / model.identity.version
    audits = _audits(settings.review_url, Serving(*_identity(model), policy.id, draws))
    marks = labelled_rows(audits.items, model).fingerprints
    audits = audits.without(trained_rows(marks, folder), "audit rows that were trained on")
    _check_enough(audits)
    audits, labelled, observed = _observed(model, audits, draws, policy, wish.tolerances, watch)
    outcome = calibrated(observed, asked, policy.measure)
    certified = _certified(outcome.found, asked)
    outcome = replace(outcome, found=_kept(outcome.found, certified, policy.threshold))
    made = calibration_of(model, replace(wish, asked=asked), draws, outcome, labelled)
    calibration = _of_unflagged(made, model)
    path = write_calibration(folder, calibration)
    return Made(model, path, SOURCE, labelled, observed, outcome, calibration, note=in_words(audits.left_out))


def _identity(model: ServedModel) -> tuple[str, str]:
    return model.identity.model, model.identity.version


def _deciding(model: ServedModel, draws: Draws) -> Policy:
    """Give the policy as requests meet it that leave samples and seed to the model."""
    rounds = EXACT if draws.samples == "exact" else Rounds(draws.samples, draws.samples)
    policy = model.policy.uncertified_by(model.certificate.departures(rounds, draws.seed))
    if policy.flags_every_row is not None:
        raise CalibrationError(
            f"model {policy.model} flags every row, since {policy.flags_every_row}: there are no "
            "audit rows then; bring labelled rows with --data"
        )
    return policy


def _checked(asked: Asked, policy: Policy) -> Asked:
    """Refuse what rows below one threshold of one score cannot show."""
    if asked.contract == "joint_risk":
        raise CalibrationError(
            "joint_risk is about the share of all rows, and audit rows do not show how many are flagged; "
            "selective_risk with the same --target-error promises as much and more"
        )
    if asked.temperature:
        raise CalibrationError(
            "--temperature changes the scores by which audit rows were chosen; leave it out, or bring "
            "labelled rows with --data"
        )
    if asked.measure not in (None, policy.measure):
        raise CalibrationError(
            f"--measure {asked.measure}: audit rows are those with a low {policy.measure}, and are no fair "
            "sample of those low by another score; leave it out, or bring labelled rows with --data"
        )
    return replace(asked, measure=policy.measure)


def _audits(url: str, serving: Serving) -> Audits:
    try:
        with opened(None if url == NO_REVIEWS else url, "--review-url") as store:
            return fair_sample(all_items(store, Filter(model=serving.model)), serving)
    except StartError as cause:
        raise CalibrationError(str(cause)) from cause


def _check_enough(audits: Audits) -> None:
    if len(audits.items) < FEWEST_ROWS:
        told = in_words(audits.left_out)
        raise CalibrationError(
            f"{len(audits.items)} resolved audit rows can be used, and {FEWEST_ROWS} are the least; let more "
            f"be reviewed. {told}".rstrip(". ")
        )


def _observed(
    model: ServedModel,
    audits: Audits,
    draws: Draws,
    policy: Policy,
    tolerances: Sequence[float],
    watch: Watch,
) -> tuple[Audits, LabelledRows, Observed]:
    """Sample rows as the server does, of those that entered since scores are what they are today."""
    labelled = labelled_rows(audits.items, model)
    observed = observe(model, labelled, draws, tolerances, watch)
    stored = [item.row.score for item in audits.items]
    same = np.isclose(observed.scores[policy.measure], stored, rtol=_RELATIVE, atol=_ABSOLUTE)
    if same.all():
        return audits, labelled, observed
    older = int(np.flatnonzero(~same)[-1]) + 1
    later = audits.without(range(older), "audit rows older than a change of the model's scores")
    if len(later.items) < FEWEST_ROWS:
        raise CalibrationError(
            f"the scores of {int((~same).sum())} of {len(same)} audit rows are not what they were, that of "
            f"review {audits.items[older - 1].id} the last: the weights or the setting have changed since; "
            f"{len(later.items)} rows are newer, where {FEWEST_ROWS} are the least; let more be reviewed"
        )
    return _observed(model, later, draws, policy, tolerances, watch)


def _certified(found: Found, asked: Asked) -> float:
    """Give the threshold that is certified.

    Raises:
        CalibrationError: none is. What serves stays, rather than flag every row and see no audit row more.
    """
    if found.threshold is not None:
        return found.threshold
    needed = (
        "no threshold has so few errors even on these rows"
        if found.rows_needed is None
        else f"about {found.rows_needed} resolved audit rows are needed, if further ones are like these"
    )
    raise CalibrationError(
        f"nothing can be certified: on {found.rows} audit rows no threshold keeps the errors at "
        f"{asked.target_error:.3g} with confidence {asked.confidence:.3g}; {needed}. Nothing was "
        "written: the threshold that serves is what it was"
    )


def _kept(found: Found, certified: float, serving: float) -> Found:
    """Take the threshold that serves where no row speaks for a stricter one, and never a looser."""
    threshold = serving if found.accepted == found.rows else min(certified, serving)
    return msgspec.structs.replace(found, threshold=threshold)


def _of_unflagged(made: Calibration, model: ServedModel) -> Calibration:
    """Say that flagged rows were not seen, and keep what is about all rows from the calibration before."""
    before = model.certificate.calibration
    of_all = before is not None and before.draws == made.draws
    histogram = before.histogram if before and of_all and before.measure == made.measure else made.histogram
    return msgspec.structs.replace(
        made,
        rows_of="unflagged",
        conformal=before.conformal if before and of_all else None,
        histogram=histogram,
    )
