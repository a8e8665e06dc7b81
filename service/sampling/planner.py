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

Pair = tuple[str, int]  # plan, rows
Run = Callable[[str, int, int], Tensor]  # plan, rows, samples → outputs of the example rows

MEASURED_ROWS = (1, 8, 32, 128)

_COMPARED_ROWS = 8
_VERIFIED_ROWS = 3
_VERIFIED_SAMPLES = 8
_TRIED_SAMPLES = 4
_REPEATS = 3
_HOPELESS = 10.0  # times slower than the best for as many rows: not measured for more

# A machine that does other things meanwhile makes single runs slow, some of them 40 times. So runs that are
# to be compared take turns, and the least of a plan's times counts, once it was seen twice.
_STEADY = 1.25  # times the least: a second time that is no more confirms it
_BACKWARDS = 2.0  # times what more rows take: no plan is so much slower for fewer
_MOST_REPEATS = 12
_CHECKED_SHARE = 0.05  # of the budget: what holding known times against a few new ones may take
_CONTRADICTED = 4.0  # times as much as another plan beside what is known of the two


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
        steady: whether times came out the same when they were measured again; if not, the machine did other
            things meanwhile, and which plan is fastest is a guess.
    """

    by_rows: Mapping[int, tuple[str, ...]]
    seconds: Mapping[tuple[str, int], float]
    refused: Mapping[str, str]
    samples: int
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    steady: bool = True

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
        budget_seconds: about how long measuring may take, and as long again where times do not settle; what
            is too slow to measure keeps the order found for fewer rows.
        pinned: a plan that goes before all others without measuring, if it can run the model.
        known: times that were measured earlier. Plans are verified all the same, and times measured anew
            where the known are not steady, or a few new ones contradict them.
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
    same = known is not None and set(known.by_rows[1]) == set(left) and known.samples == samples
    if known and same and known.steady and not _contradicted(known, _Clock(run, budget_seconds)):
        return replace(known, refused=refused, shares=moved)
    before = known.seconds if known and same and not known.steady else {}
    found = replace(
        _measured(left, samples, _Clock(run, budget_seconds), before), refused=refused, shares=moved
    )
    if known and same and known.steady and not found.steady:
        return replace(known, refused=refused, shares=moved)  # of an hour that was quieter
    return found


def _measured(
    plans: Sequence[str], samples: int, clock: "_Clock", before: Mapping[Pair, float]
) -> PlanChoice:
    """Rank plans by number of rows; each that takes so many is there, the loop always.

    Args:
        plans: by name, the loop among them.
        samples: of a usual request.
        clock: measures within a budget.
        before: times that were measured earlier and were not steady: one more of each.
    """
    few = min(samples, _TRIED_SAMPLES)
    tried = _tried(plans, few, clock)
    runs = {pair: seconds for pair, seconds in tried.items() if seconds < inf}
    if sum(runs.values()) <= clock.left / 4:
        # By the second run a plan has made what it keeps; and a slow moment that met the first is over.
        tried |= {pair: min(seconds, clock.time(*pair, few)) for pair, seconds in runs.items()}
    sizes = _affordable({pair: tried[pair] for pair in runs}, samples, few, clock.left)
    timed = {
        pair: [before[pair]] if size == samples and pair in before else [] for pair, size in sizes.items()
    }
    if not sizes:  # too slow for all of that; or the machine is, and a second time tells
        sizes = {pair: few for pair in runs if pair[1] == MEASURED_ROWS[0]}
        timed = {pair: [tried[pair]] for pair in sizes}
        best = min(sizes, key=tried.__getitem__)
        timed[best].append(clock.time(*best, few))  # or nothing would be known of how steady it is
    _take_turns(timed, sizes, clock)
    judged = any(len(times) > 1 for times in timed.values())
    found: dict[Pair, float] = {}
    for pair, first in tried.items():
        least, whole = min(timed.get(pair) or [first]), bool(timed.get(pair)) and sizes[pair] == samples
        found[pair] = least if whole else clock.prolonged(*pair, least, few, samples)
    by_rows: dict[int, tuple[str, ...]] = {}
    for rows in dict.fromkeys(rows for _, rows in tried):
        here = [plan for plan, many in tried if many == rows]
        by_rows[rows] = tuple(sorted(here, key=lambda plan: found[plan, rows]))
    finite = {pair: seconds for pair, seconds in found.items() if seconds < inf}
    steady = judged and not _unsteady(timed, sizes) and not _backwards(finite)
    return PlanChoice(by_rows, finite, {}, samples, steady=steady)


def _affordable(tried: Mapping[Pair, float], samples: int, few: int, left: float) -> dict[Pair, int]:
    """Give how many samples of which pairs can be timed several times: of cheap ones all, of others a few."""
    sizes: dict[Pair, int] = {}
    spent = 0.0
    for pair, seconds in sorted(tried.items(), key=lambda item: item[1]):
        whole = _REPEATS * seconds * samples / few
        size, cost = (samples, whole) if spent + whole <= left / 2 else (few, _REPEATS * seconds)
        if spent + cost <= left:
            sizes[pair] = size
            spent += cost
    return sizes


def _take_turns(timed: Mapping[Pair, list[float]], sizes: Mapping[Pair, int], clock: "_Clock") -> None:
    """Time all pairs in turns, and go on with those that are not steady, while there is time."""
    repeated: Sequence[Pair] = tuple(sizes)
    for repeat in range(_MOST_REPEATS):
        for pair in repeated:
            if clock.overdrawn:
                return
            timed[pair].append(clock.time(*pair, sizes[pair]))
        if repeat + 1 >= _REPEATS:
            repeated = _unsteady(timed, sizes)


def _tried(plans: Sequence[str], few: int, clock: "_Clock") -> dict[Pair, float]:
    """Run each plan once with a few samples, for more and more rows; infinite where it does not take them."""
    tried: dict[Pair, float] = {}
    here: dict[str, float] = {}
    for rows in MEASURED_ROWS:
        if clock.left <= sum(seconds for seconds in here.values() if seconds < inf) and tried:
            break
        here = {plan: clock.time(plan, rows, few) for plan in plans}
        tried |= {(plan, rows): seconds for plan, seconds in here.items()}
        best = min(plans, key=here.__getitem__)
        plans = [plan for plan in plans if plan == LOOP or not _hopeless(plan, best, rows, here, few, clock)]
    return tried


def _hopeless(plan: str, best: str, rows: int, here: Mapping[str, float], few: int, clock: "_Clock") -> bool:
    """Tell whether a plan is far slower than the best, and also side by side: a slow moment meets both."""
    if here[plan] == inf or here[plan] <= _HOPELESS * here[best]:
        return here[plan] == inf
    return all(
        clock.left > 0 and clock.time(plan, rows, few) > _HOPELESS * clock.time(best, rows, few)
        for _ in range(_REPEATS)
    )


def _unsteady(timed: Mapping[Pair, Sequence[float]], sizes: Mapping[Pair, int]) -> list[Pair]:
    """Give what has to be measured again: the least time came once, or is more than what more rows took."""
    least = {pair: min(times) for pair, times in timed.items() if times}
    once = [
        pair for pair, times in timed.items() if len(times) > 1 and sorted(times)[1] > _STEADY * least[pair]
    ]
    alike = [{pair: least[pair] for pair in least if sizes[pair] == size} for size in {*sizes.values()}]
    return [*dict.fromkeys((*once, *(pair for seconds in alike for pair in _backwards(seconds))))]


def _backwards(seconds: Mapping[Pair, float]) -> list[Pair]:
    """Give the pairs that took much longer than the same plan took for more rows."""
    return [
        (plan, rows)
        for (plan, rows), one in seconds.items()
        if any(one > _BACKWARDS * seconds.get((plan, more), inf) for more in MEASURED_ROWS if more > rows)
    ]


def _contradicted(known: PlanChoice, clock: "_Clock") -> bool:
    """Tell whether some plan's times, measured anew, are out of all proportion to another's.

    A machine that is slower than it was, by the same for all, changes no ranking.
    """
    least, ratios = (1 - _CHECKED_SHARE) * clock.left, []
    for (plan, rows), seconds in sorted(known.seconds.items(), key=lambda item: (item[0][1], item[1])):
        if clock.left - 2 * seconds >= least:
            ratios.append(min(clock.time(plan, rows, known.samples) for _ in range(2)) / max(seconds, 1e-9))
    return bool(ratios) and max(ratios) > _CONTRADICTED * min(ratios)


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
    """Measures within a budget.

    Args:
        run: runs example rows with a plan.
        budget_seconds: for all that is measured.

    Attributes:
        left: seconds of the budget; negative when more was taken.
    """

    def __init__(self, run: Run, budget_seconds: float) -> None:
        self._run = run
        self._budget_seconds = budget_seconds
        self.left = budget_seconds

    @property
    def overdrawn(self) -> bool:
        """Whether as much again as the budget is spent."""
        return self.left <= -self._budget_seconds

    def time(self, plan: str, rows: int, samples: int) -> float:
        """Time one run; infinite for a plan that does not take so many rows."""
        start = perf_counter()
        try:
            self._run(plan, rows, samples)
        except ModelError:  # a plan may take a few rows, and not many
            return inf
        finally:
            seconds = perf_counter() - start
            self.left -= seconds
        return seconds

    def prolonged(self, plan: str, rows: int, seconds: float, few: int, samples: int) -> float:
        """Estimate what so many samples take where a few took some seconds, by a line through two times."""
        more = min(samples, 4 * few)
        if seconds == inf or seconds * 4 > self.left or more == few:
            return seconds * samples / few
        each = max(0.0, self.time(plan, rows, more) - seconds) / (more - few)
        return seconds + each * (samples - few)
