"""Where an item may go from where it stands."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from reviewed import CLASSIFIED, VALUED

from service.errors import Conflict, InvalidInput
from service.review.items import Claim, Item, Resolution, Row
from service.review.steps import Verdict, claimed, released, resolved

NOW, LEASE = 100.0, 10.0
RESOLUTION = Resolution("ann", "3", None, "", agreed=True, time=90.0)

TOLERANT, STRICT = (
    replace(VALUED, prediction=dict(VALUED.prediction) | {"tolerance": tolerance}) for tolerance in (2.0, 0.4)
)


def item(row: Row = CLASSIFIED, **changes: Any) -> Item:
    return Item("id", 1.0, row, **changes)


STATES = {
    "pending": item(),
    "lapsed": item(claim=Claim("ann", NOW)),
    "ann's": item(claim=Claim("ann", NOW + 1)),
    "resolved": item(claim=Claim("ann", NOW + 1), resolution=RESOLUTION),
}
STATUSES = {"pending": "pending", "lapsed": "pending", "ann's": "claimed", "resolved": "resolved"}

STEPS: dict[str, Callable[[Item], Item]] = {
    "ann claims": lambda one: claimed(one, "ann", NOW, LEASE),
    "bob claims": lambda one: claimed(one, "bob", NOW, LEASE),
    "ann releases": lambda one: released(one, "ann", NOW),
    "bob releases": lambda one: released(one, "bob", NOW),
    "anybody releases": lambda one: released(one, None, NOW),
    "ann resolves": lambda one: resolved(one, "ann", Verdict("3"), NOW),
    "bob resolves": lambda one: resolved(one, "bob", Verdict("3"), NOW),
}

ALLOWED = {
    ("pending", "ann claims"): "claimed",
    ("pending", "bob claims"): "claimed",
    ("lapsed", "ann claims"): "claimed",
    ("lapsed", "bob claims"): "claimed",
    ("ann's", "ann claims"): "claimed",
    ("ann's", "ann releases"): "pending",
    ("ann's", "anybody releases"): "pending",
    ("ann's", "ann resolves"): "resolved",
}
"""What every allowed step leads to; all others are conflicts."""


@pytest.mark.parametrize("state", STATES)
def test_an_item_knows_where_it_stands(state: str) -> None:
    assert STATES[state].status(NOW) == STATUSES[state]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", STATES)
def test_a_step_is_taken_or_a_conflict(state: str, step: str) -> None:
    leads_to = ALLOWED.get((state, step))
    if leads_to is None:
        with pytest.raises(Conflict, match="review id is"):
            STEPS[step](STATES[state])
    else:
        assert STEPS[step](STATES[state]).status(NOW) == leads_to


def test_a_claim_holds_for_the_lease_and_is_renewed_by_its_reviewer() -> None:
    first = claimed(item(), "ann", NOW, LEASE)
    assert [first.status(NOW + later) for later in (0, LEASE - 0.1, LEASE)] == [
        "claimed",
        "claimed",
        "pending",
    ]
    assert claimed(first, "ann", NOW + 5, LEASE).claim == Claim("ann", NOW + 5 + LEASE)


@pytest.mark.parametrize(
    ("row", "verdict", "agreed"),
    [
        (CLASSIFIED, Verdict("3"), True),
        (CLASSIFIED, Verdict("4"), False),
        (VALUED, Verdict(value=[0.0, 3.0]), True),
        (VALUED, Verdict(value=[0.5, 3.1]), False),
        (TOLERANT, Verdict(value=[-1.0, 4.0]), True),  # outside of the interval
        (TOLERANT, Verdict(value=[1.0, 4.1]), False),
        (TOLERANT, Verdict(value=[-1.1, 2.0]), False),
        (STRICT, Verdict(value=[1.5, 2.0]), False),  # inside of it
    ],
)
def test_a_reviewer_agrees_by_the_label_or_within_the_tolerance_or_else_the_interval(
    row: Row, verdict: Verdict, agreed: bool
) -> None:
    done = resolved(item(row, claim=Claim("ann", NOW + 1)), "ann", verdict, NOW)
    assert done.resolution is not None
    assert done.resolution.agreed is agreed


@pytest.mark.parametrize(
    ("row", "verdict", "message"),
    [
        (CLASSIFIED, Verdict(), "give a label, and no value"),
        (CLASSIFIED, Verdict(value=1.0), "give a label, and no value"),
        (CLASSIFIED, Verdict("3", 1.0), "give a label, and no value"),
        (VALUED, Verdict("3"), "give a value, and no label"),
        (VALUED, Verdict(value=1.0), "2 numbers, as the prediction has, and has 1"),
    ],
)
def test_a_verdict_is_of_the_models_kind(row: Row, verdict: Verdict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        resolved(item(row, claim=Claim("ann", NOW + 1)), "ann", verdict, NOW)
