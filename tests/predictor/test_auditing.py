"""What audits say of a promise."""

from dataclasses import replace
from math import sqrt
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reviewed import VALUED

from service.certification.monitoring import lower_bound
from service.flagging.policy import Guarantee, Policy
from service.predictor.auditing import AuditFigures, audit_figures
from service.review.items import Claim, Item
from service.review.steps import Verdict, resolved
from service.review.store import Audit

PROMISE = Guarantee("selective_risk", 0.02, 0.9)

TOLERANCE = 2.5
SHARE = 1 - (2 * NormalDist().cdf(TOLERANCE) - 1) ** 2
"""Of rows of two values with normal errors, how many have one that is farther off."""

WITHIN = Guarantee("selective_risk", SHARE, 0.9, TOLERANCE)
STREAMS, LABELS = 400, 300


def model(guarantee: Guarantee | None = PROMISE, task: str = "classification") -> Any:
    policy = Policy("digits", 1, "predictive_entropy", 0.5, guarantee=guarantee)
    identity = SimpleNamespace(key=("digits", "1"))
    return SimpleNamespace(policy=policy, identity=identity, manifest=SimpleNamespace(task=task))


def figures(served: Any, labelled: int, wrong: int) -> list[AuditFigures]:
    others = Audit("digits-1-ffffffff", 1000, 1000)  # of a policy that served before
    return list(audit_figures([served], [others, Audit(served.policy.id, labelled, wrong)]))


TOLERANT = model(WITHIN, "regression")


def test_labels_are_held_against_the_promise() -> None:
    (one,) = figures(model(), labelled=50, wrong=5)
    assert one == AuditFigures("digits", "1", 50, 0.1, lower_bound(5, 50, 0.9), 0.02)


@pytest.mark.parametrize("guarantee", [None, Guarantee("joint_risk", 0.02, None)])
def test_without_a_promise_about_these_rows_the_bound_is_of_95_percent(guarantee: Guarantee | None) -> None:
    (one,) = figures(model(guarantee), labelled=50, wrong=5)
    assert (one.lower_bound, one.promised) == (lower_bound(5, 50, 0.95), None)


def test_a_promise_is_told_before_anybody_has_looked() -> None:
    assert list(audit_figures([model()], [])) == [AuditFigures("digits", "1", 0, 0.0, 0.0, 0.02)]


def test_nothing_is_told_of_what_has_neither_promise_nor_audits() -> None:
    assert list(audit_figures([model(None)], [])) == []


def test_values_are_held_against_a_promise_that_says_how_far_off_is_wrong() -> None:
    (one,) = figures(model(WITHIN, "regression"), labelled=50, wrong=5)
    assert one == AuditFigures("digits", "1", 50, 0.1, lower_bound(5, 50, 0.9), SHARE)
    for unsaid in (None, PROMISE):
        assert figures(model(unsaid, "regression"), labelled=50, wrong=5) == []


def test_another_tolerance_is_another_policy_whose_audits_are_its_own() -> None:
    decided = [
        Policy("diabetes", 1, "standard_deviation", 0.5, "calibrated", replace(WITHIN, tolerance=one)).id
        for one in (2.5, 2.6)
    ]
    assert decided[0] != decided[1]


def verdicts(generator: np.random.Generator) -> NDArray[np.bool_]:
    """Resolve items of two normal values; tells which the model had wrong, [streams, labels]."""
    prediction = dict(VALUED.prediction) | {"value": [1.0, -2.0], "tolerance": TOLERANCE}
    item = Item("id", 1.0, replace(VALUED, prediction=prediction), claim=Claim("ann", 3.0))
    said = np.array([1.0, -2.0]) + generator.normal(size=(STREAMS * LABELS, 2))
    done = [resolved(item, "ann", Verdict(value=value), 2.0).resolution for value in said.tolist()]
    return np.array([one is not None and not one.agreed for one in done]).reshape(STREAMS, LABELS)


def test_a_promise_about_values_that_is_just_kept_is_rarely_ever_refuted() -> None:
    """Looked at after each of 300 labels; 400 streams of seed 1, within 3 standard errors."""
    wrong = verdicts(np.random.default_rng(1))
    assert wrong.mean() == pytest.approx(SHARE, abs=3 * sqrt(SHARE * (1 - SHARE) / wrong.size))
    rows = np.arange(1, LABELS + 1)
    counts = zip(wrong, wrong.cumsum(1), strict=True)  # a bound rises with wrong ones alone
    seen = [set(zip(rows[one].tolist(), count[one].tolist(), strict=True)) for one, count in counts]
    bounds = {one: bound(*one) for one in set().union(*seen)}
    ever = np.mean([any(bounds[one] > SHARE for one in stream) for stream in seen])
    assert 0 < ever <= 0.1 + 3 * sqrt(0.1 * 0.9 / STREAMS)


def bound(labelled: int, wrong: int) -> float:
    (one,) = audit_figures([TOLERANT], [Audit(TOLERANT.policy.id, labelled, wrong)])
    return one.lower_bound
