"""The policy: which rows are not to be trusted without a person, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

Source = Literal["calibrated", "configured", "request"]

_SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Reason:
    """Why a row is flagged.

    Args:
        code: for programs.
        message: for people, with the values.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Flag:
    """The decision about one row. `low_confidence` is true exactly where there are reasons."""

    score: float
    reasons: tuple[Reason, ...]

    @property
    def low_confidence(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class Guarantee:
    """What is promised of the rows that are not flagged.

    Args:
        contract: "selective_risk" or "joint_risk".
        target_error: the share of rows that may be wrong.
        confidence: of the promise; None where it holds on average.
        tolerance: in regression, how far off a value of a row may be that is not wrong; else None.
        tolerances: one for each value, where these differ; else None.
    """

    contract: Literal["selective_risk", "joint_risk"]
    target_error: float
    confidence: float | None
    tolerance: float | None = None
    # Not in its text, by which policies are known: those that say nothing of it stay what they are.
    tolerances: tuple[float, ...] | None = field(default=None, repr=False)

    @property
    def of_values(self) -> bool:
        """Whether it says how far off is wrong."""
        return self.tolerance is not None or self.tolerances is not None


@dataclass(frozen=True)
class Policy:
    """Rows whose score is above the threshold are flagged.

    Args:
        model: whose policy it is.
        version: of the model.
        measure: which score is compared.
        threshold: in the score's unit; a score that equals it is not flagged.
        source: where the threshold comes from.
        guarantee: what a calibration promises; None without one.
        uncertified: why nothing is promised, sentence by sentence.
        flags_every_row: why, where a calibration found no threshold that keeps its promise.
    """

    model: str
    version: int
    measure: str
    threshold: float
    source: Source = "configured"
    guarantee: Guarantee | None = None
    uncertified: tuple[str, ...] = ()
    flags_every_row: str | None = None

    @property
    def id(self) -> str:
        """A name that changes whenever the policy decides differently."""
        content = f"{self.measure} {self.threshold!r} {self.source}"
        if self.source == "calibrated":
            content += f" {self.guarantee} {self.flags_every_row}"
            if self.guarantee is not None and self.guarantee.tolerances is not None:
                content += f" {self.guarantee.tolerances}"
        return f"{self.model}-{self.version}-{blake2b(content.encode(), digest_size=4).hexdigest()}"

    @property
    def certified(self) -> bool:
        """Whether a statistical promise stands behind the threshold."""
        return self.guarantee is not None

    def overridden(self, threshold: float) -> "Policy":
        """Give the policy with a threshold of the request's own."""
        own = replace(self, threshold=threshold, source="request", flags_every_row=None)
        return own.uncertified_by(("the threshold is the request's own, and nobody has certified it",))

    def uncertified_by(self, reasons: tuple[str, ...]) -> "Policy":
        """Give the policy without its promise, where there are reasons."""
        if not reasons:
            return self
        return replace(self, guarantee=None, uncertified=(*self.uncertified, *reasons))

    def decide(self, scores: Sequence[float], places: Sequence[str] = ()) -> list[Flag]:
        """Decide each row by its score.

        Args:
            scores: of rows.
            places: where in each row the score comes from, in words; empty where it is of the row as a whole.
        """
        named = places or [""] * len(scores)
        return [Flag(score, self._reasons(score, at)) for score, at in zip(scores, named, strict=True)]

    def _reasons(self, score: float, place: str) -> tuple[Reason, ...]:
        if self.flags_every_row is not None:
            return (Reason("not_certified", self.flags_every_row),)
        if score <= self.threshold:
            return ()
        above, limit = (f"{value:.{_SIGNIFICANT_DIGITS}g}" for value in (score, self.threshold))
        if above == limit:  # a hair above: rounding must not hide it
            above, limit = repr(score), repr(self.threshold)
        at = f" at {place}" if place else ""
        name = "1 - max_probability" if self.measure == "max_probability" else self.measure
        return (Reason("score_above_threshold", f"{name} {above} > {limit}{at}"),)
