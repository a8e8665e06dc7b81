"""What audits say of a promise."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.certification.monitoring import lower_bound
from service.flagging.policy import Guarantee, Policy
from service.predictor.auditing import AuditFigures, audit_figures
from service.review.store import Audit

PROMISE = Guarantee("selective_risk", 0.02, 0.9)


def model(guarantee: Guarantee | None = PROMISE, task: str = "classification") -> Any:
    policy = Policy("digits", 1, "predictive_entropy", 0.5, guarantee=guarantee)
    identity = SimpleNamespace(key=("digits", "1"))
    return SimpleNamespace(policy=policy, identity=identity, manifest=SimpleNamespace(task=task))


def figures(served: Any, labelled: int, wrong: int) -> list[AuditFigures]:
    others = Audit("digits-1-ffffffff", 1000, 1000)  # of a policy that served before
    return list(audit_figures([served], [others, Audit(served.policy.id, labelled, wrong)]))


def test_labels_are_held_against_the_promise() -> None:
    (one,) = figures(model(), labelled=50, wrong=5)
    assert one == AuditFigures("digits", "1", 50, 0.1, lower_bound(5, 50, 0.9), 0.02)


@pytest.mark.parametrize("guarantee", [None, Guarantee("joint_risk", 0.02, None)])
def test_without_a_promise_about_these_rows_the_bound_is_of_95_percent(guarantee: Guarantee | None) -> None:
    (one,) = figures(model(guarantee), labelled=50, wrong=5)
    assert (one.lower_bound, one.promised) == (lower_bound(5, 50, 0.95), None)


def test_a_promise_is_told_before_anybody_has_looked() -> None:
    assert list(audit_figures([model()], [])) == [AuditFigures("digits", "1", 0, 0.0, 0.0, 0.02)]


def test_nothing_is_told_of_what_has_neither_promise_nor_audits_nor_of_regression() -> None:
    assert list(audit_figures([model(None)], [])) == []
    assert figures(model(task="regression"), labelled=50, wrong=5) == []
