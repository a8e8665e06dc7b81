"""Which rows are flagged, and what is said of it."""

import pytest

from service.flagging.policy import Policy

POLICY = Policy("digits", 3, "predictive_entropy", 0.41)


@pytest.mark.parametrize(
    ("score", "flagged", "message"),
    [
        (0.0, False, None),
        (0.41, False, None),
        (0.52, True, "predictive_entropy 0.52 > 0.41"),
        (0.410001, True, "predictive_entropy 0.410001 > 0.41"),
        (2.30258509299, True, "predictive_entropy 2.303 > 0.41"),
    ],
)
def test_a_row_is_flagged_above_the_threshold(score: float, flagged: bool, message: str | None) -> None:
    (flag,) = POLICY.decide([score])
    assert flag.low_confidence is flagged
    assert flag.score == score
    assert [(reason.code, reason.message) for reason in flag.reasons] == (
        [("score_above_threshold", message)] if message else []
    )


def test_a_score_that_turns_a_measure_round_says_so() -> None:
    (flag,) = Policy("m", 1, "max_probability", 0.1).decide([0.3])
    assert flag.reasons[0].message == "1 - max_probability 0.3 > 0.1"


def test_a_request_can_override_the_threshold() -> None:
    overridden = POLICY.overridden(0.9)
    assert (overridden.threshold, overridden.source) == (0.9, "request")
    assert [flag.low_confidence for flag in overridden.decide([0.8, 0.95])] == [False, True]
    assert POLICY.threshold == 0.41


def test_a_policy_is_known_by_what_it_decides() -> None:
    assert POLICY.id == Policy("digits", 3, "predictive_entropy", 0.41).id
    assert POLICY.id.startswith("digits-3-")
    others = [
        Policy("digits", 3, "predictive_entropy", 0.42),
        Policy("digits", 3, "variation_ratio", 0.41),
        Policy("digits", 4, "predictive_entropy", 0.41),
        POLICY.overridden(0.41),
    ]
    assert len({POLICY.id, *(other.id for other in others)}) == 5


def test_nothing_is_certified_without_a_calibration() -> None:
    assert not POLICY.certified
    assert not POLICY.overridden(0.1).certified
