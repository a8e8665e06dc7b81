"""Which plan runs a model: those that agree with the loop, fastest first, as measured at load."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter

from torch import Tensor

from service.errors import ModelError
from service.sampling.comparison import same_samples
from service.sampling.names import LOOP, LOW
from service.sampling.precision import affordable, shares

Run = Callable[[str, int, int], Tensor]  # plan, rows, samples → outputs of the example rows

MEASURED_ROWS = (1, 8, 32, 128)

_COMPARED_ROWS = 8
_VERIFIED_ROWS = 3
_VERIFIED_SAMPLES = 8
_TRIED_SAMPLES = 4
_REPEATS = 3
_HOPELESS = 10.0  # times slower than the best for fewer rows: not measured for more


@dataclass(frozen=True)
class PlanChoice:
    """What was found at load.

    Args:
        by_rows: a measured number of rows to the plans that may run, fastest first.
        seconds: (plan, rows) to the time of a request of `samples`.
        refused: a plan to why it is not used.
        samples: how many were measured.
        shares: a plan in lower precision to how far it moves the mean, as shares of the Monte Carlo standard
            error: on average and at most.
    """

    by_rows: Mapping[int, tuple[str, ...]]
    seconds: Mapping[tuple[str, int], float]
    refused: Mapping[str, str]
    samples: int
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def ranking(self, rows: int) -> tuple[str, ...]:
        """Give the plans for a number of rows, fastest first: between measured ones by a line."""
        below = max(measured for measured in self.by_rows if measured <= max(rows, 1))
        above = min((measured for measured in self.by_rows if measured > rows), default=below)
        ranked = self.by_rows[below]
        if rows <= below or above == below:
            return ranked
        share = (rows - below) / (above - below)
        return tuple(sorted(ranked, key=lambda plan: self._between(plan, below, above, share)))

    def _between(self, plan: str, below: int, above: int, share: float) -> float:
        """Give the time at a share of the way between two numbers of rows; infinite if not measured."""
        first, last = (self.seconds.get((plan, rows), inf) for rows in (below, above))
        return first + share * (last - first) if last < inf else inf


def choose_plans(
    plans: Sequence[str],
    run: Run,
    samples: int,
    budget_seconds: float,
    pinned: str | None,
    known: PlanChoice | None = None,
) -> PlanChoice:
    """Verify and measure.

    Args:
        plans: by name, the loop first.
        run: runs example rows with a plan; raises ModelError where that cannot.
        samples: of a usual request.
        budget_seconds: about how long measuring may take; what is too slow to measure keeps the order found
            for fewer rows.
        pinned: a plan that goes before all others without measuring, if it can run the model.
        known: times that were measured earlier. Plans are verified all the same.
    """
    refused = differences(plans, run, _VERIFIED_ROWS, _VERIFIED_SAMPLES)
    moved, too_far = moves(plans, run, _COMPARED_ROWS, samples)
    refused |= too_far
    left = [plan for plan in plans if plan not in refused]
    if left == [LOOP]:
        return PlanChoice({1: (LOOP,)}, {}, refused, samples, moved)
    if pinned in left:
        order = sorted(left, key=lambda plan: (plan != pinned, plan == LOOP))
        return PlanChoice({1: tuple(order)}, {}, refused, samples, moved)
    if known and set(known.by_rows[1]) == set(left):
        return replace(known, refused=refused, shares=moved)
    by_rows, seconds = _measured(left, _Clock(run, samples, budget_seconds))
    return PlanChoice(by_rows, seconds, refused, samples, moved)


def _measured(
    plans: Sequence[str], clock: "_Clock"
) -> tuple[dict[int, tuple[str, ...]], dict[tuple[str, int], float]]:
    """Rank plans by number of rows; each that takes so many is there, the loop always."""
    seconds: dict[tuple[str, int], float] = {}
    by_rows: dict[int, tuple[str, ...]] = {}
    for rows in MEASURED_ROWS:
        if by_rows and clock.spent:
            break
        times = {plan: clock.measure(plan, rows) for plan in plans}
        seconds |= {(plan, rows): taken for plan, taken in times.items() if taken < inf}
        best = min(times.values())
        by_rows[rows] = tuple(sorted(plans, key=times.__getitem__))
        plans = [plan for plan in by_rows[rows] if plan == LOOP or times[plan] <= _HOPELESS * best]
    return by_rows, seconds


def differences(plans: Sequence[str], run: Run, rows: int, samples: int) -> dict[str, str]:
    """Hold plans in the model's own precision against the loop; gives why one is not to be used."""
    expected = run(LOOP, rows, samples)
    own = [plan for plan in plans if plan != LOOP and not plan.endswith(LOW)]
    reasons = {plan: _difference(expected, plan, run, rows) for plan in own}
    return {plan: reason for plan, reason in reasons.items() if reason}


def _difference(expected: Tensor, plan: str, run: Run, rows: int) -> str | None:
    try:
        given = run(plan, rows, len(expected))
    except ModelError as cause:  # some operation has no batching rule
        return _cannot(cause)
    if same_samples(expected, given):
        return None
    return f"it differs from the loop by {(expected - given).abs().max().item():.2g}"


def moves(
    plans: Sequence[str], run: Run, rows: int, samples: int
) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Compare plans in lower precision with the loop; gives their shares, and why some are not to be used."""
    moved: dict[str, tuple[float, float]] = {}
    refused: dict[str, str] = {}
    low = [plan for plan in plans if plan.endswith(LOW)]
    if not low:
        return moved, refused
    expected = run(LOOP, rows, samples)
    for plan in low:
        try:
            moved[plan] = mean, most = shares(expected, run(plan, rows, samples))
        except ModelError as cause:  # some operation has no rule for this precision
            refused[plan] = _cannot(cause)
            continue
        if not affordable(mean, most):
            refused[plan] = (
                f"it moves means or deviations by {mean:.0%} of their standard errors on average, and by "
                f"{most:.0%} at most"
            )
    return moved, refused


def _cannot(cause: ModelError) -> str:
    return f"it cannot run this model: {cause.detail or cause}"


class _Clock:
    """Measures within a budget."""

    def __init__(self, run: Run, samples: int, budget_seconds: float) -> None:
        self._run = run
        self._samples = samples
        self._left = budget_seconds

    @property
    def spent(self) -> bool:
        """Whether the budget is."""
        return self._left <= 0

    def measure(self, plan: str, rows: int) -> float:
        """Time a usual request; where that takes too long, a line through two shorter ones stands for it.

        Infinite for a plan that does not take so many rows.
        """
        few = min(self._samples, _TRIED_SAMPLES)
        try:
            first = self._time(plan, rows, few)
        except ModelError:  # a plan may take a few rows, and not many
            return inf
        if first * self._samples / few * _REPEATS <= self._left / 2:
            return min(self._time(plan, rows, self._samples) for _ in range(_REPEATS))
        more = min(self._samples, 4 * few)
        if first * 4 > self._left or more == few:
            return first * self._samples / few
        each = max(0.0, self._time(plan, rows, more) - first) / (more - few)
        return first + each * (self._samples - few)

    def _time(self, plan: str, rows: int, samples: int) -> float:
        start = perf_counter()
        self._run(plan, rows, samples)
        taken = perf_counter() - start
        self._left -= taken
        return taken
