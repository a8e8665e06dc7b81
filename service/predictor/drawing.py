"""Which samples a request takes, and with which policy: the same wherever rows are sampled."""

import secrets
from dataclasses import dataclass

from service.errors import InvalidInput, NoDropout
from service.flagging.policy import Policy
from service.predictor.answers import EXACT, Exact, UncertaintyQuestion
from service.predictor.served_model import ServedModel
from service.predictor.together import Draw
from service.repository.calibration import Conformal
from service.uncertainty.sequential import Rounds

MIN_SAMPLES = 2  # a variance takes two
_EXACT_BITS = 53  # of an integer that every client's JSON brings back as it was told
MIN_ERROR, MAX_ERROR = 1e-6, 0.25  # of a settled flag


@dataclass(frozen=True)
class Decision:
    """What a request comes to, before a row of it has run.

    Args:
        policy: that decides its rows; certified only where the request departs in nothing.
        seed: which thinned networks.
        draw: which samples; exact where none are drawn.
        conformal: of what sets or intervals are made, where rows like these were calibrated.
    """

    policy: Policy
    seed: int
    draw: Draw | Exact
    conformal: Conformal | None

    @property
    def rounds(self) -> Rounds | Exact:
        """How many samples a row may take."""
        return self.draw if self.draw == EXACT else self.draw.rounds


def decide(question: UncertaintyQuestion, model: ServedModel) -> Decision:
    """Decide which samples to run, and with which policy.

    Raises:
        RequestError: the model cannot be sampled, or not like this.
    """
    policy = model.policy if question.threshold is None else model.policy.overridden(question.threshold)
    seed = _seed(question, model.manifest.sampling.seed)
    draw = _draw(question, model, policy.threshold)
    rounds = draw if draw == EXACT else draw.rounds
    departures = model.certificate.departures(rounds, seed)
    conformal = None if departures else model.certificate.conformal
    return Decision(policy.uncertified_by(departures), seed, draw, conformal)


def _draw(question: UncertaintyQuestion, model: ServedModel, threshold: float) -> Draw | Exact:
    if not model.engine.report.can_sample:
        raise NoDropout(f"model {question.model} has no dropout to sample; ask it to predict instead")
    samples = model.default_samples if question.samples is None else question.samples
    if samples == EXACT:
        _check_exact(question, model)
        return EXACT
    if model.manifest.per_token and (question.include_samples or question.include_quantiles):
        raise InvalidInput(
            f"include: model {question.model} labels tokens, whose raw samples are not kept; leave it out"
        )
    rounds = _rounds(samples)
    check_rounds(rounds, model.manifest.sampling.max_samples)
    return Draw(rounds, threshold, outputs=question.include_samples, quantiles=question.include_quantiles)


def _check_exact(question: UncertaintyQuestion, model: ServedModel) -> None:
    """Refuse what has no closed form.

    Raises:
        InvalidInput: the text says what to ask instead.
    """
    if model.inexact:
        raise InvalidInput(f'samples "exact": model {question.model} {model.inexact}; ask for a number')
    if question.include_samples or question.include_quantiles:
        raise InvalidInput('include: samples "exact" draws none; ask for a number of samples')


def check_rounds(rounds: Rounds, max_samples: int) -> None:
    """Refuse what cannot be sampled.

    Raises:
        InvalidInput: the text names the field, its limits and its value.
    """
    fixed = rounds.minimum == rounds.maximum
    first, last = ("samples", "samples") if fixed else ("samples.min", "samples.max")
    if not MIN_SAMPLES <= rounds.maximum <= max_samples:
        raise InvalidInput(f"{last} must be from {MIN_SAMPLES} to {max_samples}, and is {rounds.maximum}")
    if not MIN_SAMPLES <= rounds.minimum <= rounds.maximum:
        raise InvalidInput(
            f"{first} must be from {MIN_SAMPLES} to {last}, {rounds.maximum}, and is {rounds.minimum}"
        )
    if not MIN_ERROR <= rounds.error <= MAX_ERROR:
        raise InvalidInput(
            f"samples.error must be from {MIN_ERROR:g} to {MAX_ERROR}, and is {rounds.error:g}"
        )


def _rounds(samples: int | Rounds) -> Rounds:
    return samples if isinstance(samples, Rounds) else Rounds(samples, samples)


def _seed(question: UncertaintyQuestion, default: int) -> int:
    if question.seed == "fresh":
        return secrets.randbits(_EXACT_BITS)
    seed = default if question.seed is None else question.seed
    if not 0 <= seed < 2**64:
        raise InvalidInput(f"seed must be from 0 to 2**64 - 1, and is {seed}")
    return seed
