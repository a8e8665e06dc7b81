"""What every Monte Carlo answer has, whatever the model's task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unsure_client.columns import Columns, Flags, Floats, Integers
from unsure_client.models import AdaptiveSamples, Policy
from unsure_client.predictions import Reply
from unsure_client.reading import read


@dataclass(frozen=True)
class Reason:
    """Why a row is flagged."""

    code: str
    message: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampled(Reply):
    """What all tasks have.

    Args:
        seed: that chose the networks; give it again for the same answer.
        policy: that flagged.
        sampling: how many samples each row could take.
        samples: that each row took, [rows].
        score: that the policy compares with its threshold, [rows].
        score_standard_error: of `score`, [rows].
        settled: whether endless samples would flag the row alike, [rows].
        low_confidence: the flag, [rows].
        reasons: of each row's flag; none where it is down.
        review_id: of each row's review; None for rows that nobody is asked to review.
    """

    seed: int
    policy: Policy
    sampling: AdaptiveSamples | Literal["exact"]
    samples: Integers
    score: Floats
    score_standard_error: Floats
    settled: Flags
    low_confidence: Flags
    reasons: tuple[tuple[Reason, ...], ...]
    review_id: tuple[str | None, ...]

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.score)

    def _flag_columns(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "score": self.score,
            "score_standard_error": self.score_standard_error,
            "settled": self.settled,
            "low_confidence": self.low_confidence,
            "reasons": [", ".join(reason.code for reason in reasons) for reasons in self.reasons],
            "review_id": list(self.review_id),
        }


def sampled_fields(columns: Columns) -> dict[str, Any]:
    """Give the fields of `Sampled` but those of `Reply`."""
    return {
        "seed": columns.head["seed"],
        "policy": read(Policy, columns.head["policy"]),
        "sampling": _sampling(columns.head["samples"]),
        "samples": columns.integers("samples"),
        "score": columns.floats("score"),
        "score_standard_error": columns.floats("score_standard_error"),
        "settled": columns.flags("settled"),
        "low_confidence": columns.flags("low_confidence"),
        "reasons": tuple(map(_reasons, columns.values("reasons"))),
        "review_id": tuple(columns.values("review_id")),
    }


def _reasons(of_row: Sequence[Any]) -> tuple[Reason, ...]:
    return tuple(read(Reason, reason) for reason in of_row)


def _sampling(given: Any) -> AdaptiveSamples | Literal["exact"]:
    return "exact" if given == "exact" else read(AdaptiveSamples, given)
