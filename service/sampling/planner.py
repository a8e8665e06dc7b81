"""Which plan runs a model: those that agree with the loop, then the fastest, as measured at load."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

from torch import Tensor

from service.errors import ModelError
from service.sampling.comparison import agree
from service.sampling.plans import LOOP, VMAP, Plan

Run = Callable[[Plan, int, int], Tensor]  # plan, rows, samples → outputs of the example rows

MEASURED_ROWS = (1, 32)

_VERIFIED_ROWS = 3
_VERIFIED_SAMPLES = 8
_MEASURED_SAMPLES = 16
_REPEATS = 3


@dataclass(frozen=True)
class PlanChoice:
    """What was found at load.

    Args:
        by_rows: a measured number of rows to the plan that was fastest there.
        seconds: (plan's name, rows) to the time of a chunk of samples; empty where there was no choice.
        refused: a plan's name to why it is not used.
    """

    by_rows: Mapping[int, Plan]
    seconds: Mapping[tuple[str, int], float]
    refused: Mapping[str, str]

    def plan(self, rows: int) -> Plan:
        """Give the plan for a number of rows: that of the largest measured number not above it."""
        return self.by_rows[max(measured for measured in self.by_rows if measured <= max(rows, 1))]


def choose_plan(run: Run, budget_seconds: float) -> PlanChoice:
    """Verify and measure.

    Args:
        run: runs example rows with a plan.
        budget_seconds: about how long measuring may take; what is too slow to measure keeps the choice
            made for fewer rows.
    """
    reason = _difference(run)
    if reason:
        return PlanChoice({1: LOOP}, {}, {VMAP.name: reason})
    seconds: dict[tuple[str, int], float] = {}
    by_rows: dict[int, Plan] = {}
    for rows in MEASURED_ROWS:
        if by_rows and sum(seconds.values()) * _REPEATS * rows > budget_seconds:
            break
        for plan in (LOOP, VMAP):
            seconds[plan.name, rows] = _fastest(run, plan, rows)
        by_rows[rows] = min((LOOP, VMAP), key=lambda plan: seconds[plan.name, rows])
    return PlanChoice(by_rows, seconds, {})


def _difference(run: Run) -> str | None:
    expected = run(LOOP, _VERIFIED_ROWS, _VERIFIED_SAMPLES)
    try:
        given = run(VMAP, _VERIFIED_ROWS, _VERIFIED_SAMPLES)
    except ModelError as cause:  # some operation has no batching rule
        return f"it cannot run this model: {cause.detail or cause}"
    if agree(expected, given, spread=expected.std(0).mean(0)):
        return None
    return f"it differs from the loop by {(expected - given).abs().max().item():.2g}"


def _fastest(run: Run, plan: Plan, rows: int) -> float:
    times = []
    for _ in range(_REPEATS):
        start = perf_counter()
        run(plan, rows, _MEASURED_SAMPLES)
        times.append(perf_counter() - start)
    return min(times)
