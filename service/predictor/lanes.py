"""Work on the device: what rows of different requests run together, and how."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, cast

from service.errors import ModelError
from service.predictor.answers import DETERMINISTIC, MC_DROPOUT, Prediction, Sampled
from service.predictor.rows import Group, Rows, parted
from service.predictor.served_model import ServedModel
from service.predictor.together import Asked, Draw, joined
from service.scheduling.lots import Lot, Part
from service.telemetry.metrics import Telemetry
from service.tracing.trace import Trace, Turn, current_trace
from service.tracing.turns import batch

Shapes = tuple[tuple[int, ...], ...]
Result = Prediction | Sampled


@dataclass(frozen=True)
class Lane:
    """What rows must have in common to run together.

    Args:
        model: that they run on.
        mode: whether it predicts or is sampled.
        shapes: of a row, per input.
        seed: which networks; None where none are drawn.
    """

    model: ServedModel
    mode: str
    shapes: Shapes
    seed: int | None = None

    @property
    def kind(self) -> "Lane":
        """The lane that stands for all that is as fast: other networks of the model take as long."""
        return self if self.seed is None else replace(self, seed=0)


@dataclass(frozen=True)
class Content:
    """The rows of a lot.

    Args:
        group: of them.
        draw: which samples; None where none are drawn.
        trace: of its request, if that is traced.
    """

    group: Group
    draw: Draw | None = None
    trace: Trace | None = None


def prediction_lots(model: ServedModel, rows: Rows) -> list[Lot]:
    """Give rows to run through the whole network."""
    return _lots(model, DETERMINISTIC, rows)


def exact_lots(model: ServedModel, rows: Rows) -> list[Lot]:
    """Give rows whose moments have a closed form."""
    return _lots(model, MC_DROPOUT, rows)


def sampling_lots(model: ServedModel, rows: Rows, seed: int, draw: Draw) -> list[Lot]:
    """Give rows to run through thinned networks."""
    return _lots(model, MC_DROPOUT, rows, seed, draw)


def _lots(
    model: ServedModel, mode: str, rows: Rows, seed: int | None = None, draw: Draw | None = None
) -> list[Lot]:
    cost, trace = draw.rounds.maximum if draw else 1, current_trace()
    lanes = [Lane(model, mode, group.shapes, seed) for group in rows.groups]
    return [
        Lot(lane, Content(group, draw, trace), len(group), cost, lane.kind)
        for lane, group in zip(lanes, rows.groups, strict=True)
    ]


class LaneRunner:
    """Runs parts of one lane together.

    Args:
        telemetry: counts.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def __call__(self, parts: Sequence[Part]) -> Sequence[Result]:
        """Run them; gives a result for each.

        Raises:
            ModelError: the model failed; of a lone part it names the row by its number in the request.
        """
        lane = cast(Lane, parts[0].lot.key)
        start = perf_counter()
        groups = [part.lot.content.group.part(part.start, part.stop) for part in parts]
        try:
            with _traced(lane, parts, groups) as turns:
                results = _run(lane, parts, groups)
                _tell_samples(turns, results)
        except ModelError as cause:
            raise cause.renumbered(groups[0].numbers) if len(parts) == 1 else cause from cause
        self._telemetry.ran_together(
            *lane.model.identity.key, lane.mode, sum(map(len, groups)), perf_counter() - start
        )
        return results


def _traced(
    lane: Lane, parts: Sequence[Part], groups: Sequence[Group]
) -> AbstractContextManager[Sequence[Turn | None]]:
    name = "predict" if lane.mode == DETERMINISTIC else "sample"
    return batch(name, [part.lot.content.trace for part in parts], [len(group) for group in groups])


def _tell_samples(turns: Sequence[Turn | None], results: Sequence[Result]) -> None:
    for turn, result in zip(turns, results, strict=False):  # no turns where nobody traces
        if turn is not None and isinstance(result, Sampled):
            turn.facts["samples"] = int(result.measures.samples.sum())


def _run(lane: Lane, parts: Sequence[Part], groups: Sequence[Group]) -> Sequence[Result]:
    if lane.seed is not None:
        draws = [part.lot.content.draw for part in parts]
        asked = [Asked(group.inputs, draw) for group, draw in zip(groups, draws, strict=True)]
        return lane.model.sample(asked, lane.seed, _proceed(parts))
    run: Callable[[Any], Result] = lane.model.predict if lane.mode == DETERMINISTIC else lane.model.exactly
    return parted(run(joined([group.inputs for group in groups])), [len(group) for group in groups])


def _proceed(parts: Sequence[Part]) -> Callable[[], None]:
    def proceed() -> None:
        if all(part.caller.left for part in parts):
            raise Abandoned

    return proceed


class Abandoned(Exception):
    """Work was broken off because nobody waits for it; nobody sees this."""
