"""Which plan is tried first, by what was measured."""

import pytest

from service.sampling.planner import PlanChoice

SECONDS = {
    ("loop", 1): 50.0,
    ("vmap", 1): 1.0,
    ("thinned", 1): 9.0,
    ("loop", 8): 80.0,
    ("vmap", 8): 8.0,
    ("thinned", 8): 11.0,
    ("loop", 32): 120.0,
    ("vmap", 32): 24.0,
    ("thinned", 32): 12.0,
}
CHOICE = PlanChoice(
    by_rows={
        1: ("vmap", "thinned", "loop"),
        8: ("vmap", "thinned", "loop"),
        32: ("thinned", "vmap", "loop"),
    },
    seconds=SECONDS,
    refused={},
    samples=50,
)


@pytest.mark.parametrize(
    ("rows", "first"),
    # The lines cross where 8 + (24 - 8) s = 11 + (12 - 11) s: at s = 0.2, which is 12.8 rows.
    [(0, "vmap"), (1, "vmap"), (8, "vmap"), (12, "vmap"), (13, "thinned"), (32, "thinned"), (900, "thinned")],
)
def test_between_measured_rows_the_line_tells(rows: int, first: str) -> None:
    ranked = CHOICE.ranking(rows)
    assert ranked[0] == first
    assert sorted(ranked) == ["loop", "thinned", "vmap"]


def test_what_was_too_slow_to_be_measured_comes_last() -> None:
    seconds = {key: taken for key, taken in SECONDS.items() if key != ("vmap", 32)}
    choice = PlanChoice(CHOICE.by_rows, seconds, {}, 50)
    assert choice.ranking(8) == ("vmap", "thinned", "loop")
    assert choice.ranking(9) == ("thinned", "loop", "vmap")


def test_a_pinned_plan_goes_first_everywhere() -> None:
    choice = PlanChoice({1: ("fold", "loop")}, {}, {}, 50)
    assert {choice.ranking(rows) for rows in (1, 5, 64)} == {("fold", "loop")}
