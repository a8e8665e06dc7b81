"""The policy: which rows are not to be trusted without a person, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
class Policy:
    """Rows whose score is above the threshold are flagged.

    Args:
        model: whose policy it is.
        version: of the model.
        measure: which score is compared.
        threshold: in the score's unit; a score that equals it is not flagged.
        source: where the threshold comes from. None of these is certified: that takes a calibration.
    """

    model: str
    version: int
    measure: str
    threshold: float
    source: Source = "configured"

    @property
    def id(self) -> str:
        """A name that changes whenever the policy decides differently."""
        content = f"{self.measure} {self.threshold!r} {self.source}"
        return f"{self.model}-{self.version}-{blake2b(content.encode(), digest_size=4).hexdigest()}"

    @property
    def certified(self) -> bool:
        """Whether a statistical promise stands behind the threshold."""
        return False

    def overridden(self, threshold: float) -> "Policy":
        """Give the policy with a threshold of the request's own."""
        return replace(self, threshold=threshold, source="request")

    def decide(self, scores: Sequence[float]) -> list[Flag]:
        """Decide each row by its score."""
        return [Flag(score, self._reasons(score)) for score in scores]

    def _reasons(self, score: float) -> tuple[Reason, ...]:
        if score <= self.threshold:
            return ()
        above, limit = (f"{value:.{_SIGNIFICANT_DIGITS}g}" for value in (score, self.threshold))
        if above == limit:  # a hair above: rounding must not hide it
            above, limit = repr(score), repr(self.threshold)
        name = "1 - max_probability" if self.measure == "max_probability" else self.measure
        return (Reason("score_above_threshold", f"{name} {above} > {limit}"),)
