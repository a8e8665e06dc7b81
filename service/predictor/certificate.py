"""What a calibration promises of a model, and where the promise ends."""

import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from service.errors import CalibrationError
from service.flagging.policy import Guarantee, Policy
from service.predictor.answers import EXACT, Exact
from service.repository.calibration import Calibration, Conformal, Setting, read_calibration
from service.repository.folder import ReadModel
from service.uncertainty.scores import Task, score_names
from service.uncertainty.sequential import Rounds

log = logging.getLogger("unsure")

_BELOW_EVERY_SCORE = -1.0

_PARTS = {
    "weights_sha256": "the weights are others",
    "entry_sha256": "source, input or output of model.toml, or a file beside the weights, is another",
    "sites": "other sites are sampled",
    "precision": "the server runs in another precision",
}


@dataclass(frozen=True)
class Certificate:
    """The calibration of a model as it is served.

    Args:
        policy: that decides rows.
        calibration: that holds; None where there is none.
    """

    policy: Policy
    calibration: Calibration | None

    @property
    def conformal(self) -> Conformal | None:
        """Of what sets or intervals are made, of requests that depart in nothing."""
        return None if self.calibration is None else self.calibration.conformal

    @property
    def tolerance(self) -> float | tuple[float, ...] | None:
        """How far off values of a row may be that are not wrong, all or each; None where nobody has said."""
        promise = None if self.calibration is None else self.calibration.promise
        return None if promise is None else promise.tolerance or promise.tolerances

    @property
    def temperature(self) -> float:
        """What the logits of samples are divided by."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def departures(self, rounds: Rounds | Exact, seed: int) -> tuple[str, ...]:
        """Say where a request leaves what was calibrated; nothing without a calibration."""
        if self.calibration is None:
            return ()
        draws = self.calibration.draws
        reasons = []
        if _samples(rounds) != draws.samples:
            kept = _shown(draws.samples)
            reasons.append(f"the calibration is of samples {kept}, not {_told(rounds)}: ask for {kept}")
        if rounds != EXACT and seed != draws.seed:
            reasons.append(f"the calibration is of seed {draws.seed}, not {seed}: ask for {draws.seed}")
        return tuple(reasons)


def certificate(read: ReadModel, configured: Policy, setting: Setting, width: int) -> Certificate:
    """Find out what is promised of a model.

    Args:
        read: the model.
        configured: its policy without a calibration.
        setting: how it is served.
        width: how many probabilities or values it gives.
    """
    name = f"{read.manifest.name}/{read.version}"
    advice = f"unsure calibrate {read.manifest.name}"
    try:
        calibration = read_calibration(read.folder)
        if calibration is not None:
            _check(calibration, read.manifest.task, width)
    except CalibrationError as cause:
        log.warning("model %s is not certified: %s; `%s` makes another", name, cause, advice)
        return Certificate(configured.uncertified_by(("calibration.json cannot be read",)), None)
    if calibration is None:
        why = f"the model has no calibration; `{advice}` makes one of labelled rows"
        return Certificate(configured.uncertified_by((why,)), None)
    changed = differences(calibration.setting, setting)
    if changed:
        log.warning("model %s is not certified: since it was calibrated, %s; `%s` makes another calibration",
                    name, "; ".join(changed), advice)  # fmt: skip
        why = f"since the model was calibrated, {'; '.join(changed)}"
        return Certificate(configured.uncertified_by((why,)), None)
    return Certificate(_policy(configured, calibration), calibration)


def _check(calibration: Calibration, task: Task, width: int) -> None:
    """Refuse what an edited file could say, and no answer could be made with.

    Raises:
        CalibrationError: the text names the key.
    """
    if calibration.measure not in score_names(task):
        raise CalibrationError(f"calibration.json: measure {calibration.measure!r} is no score of {task}")
    quantiles = calibration.conformal.quantiles if calibration.conformal else None
    if quantiles is not None and len(quantiles) != (width if task == "regression" else 1):
        raise CalibrationError(f"calibration.json: conformal.quantiles are {len(quantiles)}")


def differences(calibrated: Setting, present: Setting) -> list[str]:
    """Name what is not as it was."""
    return [text for part, text in _PARTS.items() if getattr(calibrated, part) != getattr(present, part)]


def entry_sha256(read: ReadModel) -> str:
    """Hash what an entry says of how outputs come about, its weights aside."""
    manifest = read.manifest
    parts: list[Any] = [manifest.task, manifest.source, manifest.input, manifest.output]
    others = sorted(read.others_sha256.items())
    if others:
        parts += [manifest.tokenizer, others]
    if manifest.tokens is not None:
        parts.append(manifest.tokens)
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def _policy(configured: Policy, calibration: Calibration) -> Policy:
    found, promise = calibration.found, calibration.promise
    own: dict[str, Any] = {
        "model": configured.model,
        "version": configured.version,
        "measure": calibration.measure,
        "source": "calibrated",
    }
    if found.threshold is None:
        why = nothing_certified(calibration)
        return Policy(threshold=_BELOW_EVERY_SCORE, uncertified=(why,), flags_every_row=why, **own)
    guarantee = Guarantee(
        promise.contract, promise.target_error, promise.confidence, promise.tolerance, promise.tolerances
    )
    return Policy(threshold=found.threshold, guarantee=guarantee, **own)


def nothing_certified(calibration: Calibration) -> str:
    """Say that no threshold keeps the promise, and how many rows might."""
    found, promise = calibration.found, calibration.promise
    text = f"of {found.rows} labelled rows no threshold keeps the errors at {promise.target_error:.3g}"
    if promise.confidence is not None:
        text += f" with confidence {promise.confidence:.3g}"
    if found.rows_needed is not None:
        text += f"; about {found.rows_needed} are needed"
    return text


def _samples(rounds: Rounds | Exact) -> int | Exact | Rounds:
    """Give the number of a fixed request."""
    if rounds == EXACT or rounds.minimum != rounds.maximum:
        return rounds
    return rounds.maximum


def _told(rounds: Rounds | Exact) -> str:
    if rounds == EXACT:
        return '"exact"'
    if rounds.minimum == rounds.maximum:
        return str(rounds.maximum)
    return f"{rounds.minimum} to {rounds.maximum}"


def _shown(samples: int | str) -> str:
    return str(samples) if isinstance(samples, int) else f'"{samples}"'
