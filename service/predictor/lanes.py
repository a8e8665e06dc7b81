"""Work on the device: what rows of different requests run together, and how."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, cast

import torch

from service.errors import InvalidInput, ModelError
from service.predictor.answers import DETERMINISTIC, MC_DROPOUT, Prediction, Sampled
from service.predictor.rows import Group, Rows, parted
from service.predictor.served_model import ServedModel
from service.predictor.together import Asked, Draw, joined
from service.scheduling.lots import Lot, Part
from service.telemetry.metrics import Telemetry
from service.tracing.trace import Trace, Turn, current_trace
from service.tracing.turns import batch

_ORDINARY = 1e6
"""A network that gives no number for a row whose numbers are no larger has a fault of its own."""

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
            InvalidInput: the network overflows with what a row of a lone part holds.
        """
        lane = cast(Lane, parts[0].lot.key)
        start = perf_counter()
        groups = [part.lot.content.group.part(part.start, part.stop) for part in parts]
        try:
            with _traced(lane, parts, groups) as turns:
                results = _run(lane, parts, groups)
                _tell_samples(turns, results)
        except ModelError as cause:
            if len(parts) > 1:
                raise
            if cause.row is not None and _overflowed(lane, parts, groups[0].part(cause.row, cause.row + 1)):
                raise _out_of_range(groups[0].part(cause.row, cause.row + 1), lane.model) from cause
            raise cause.renumbered(groups[0].numbers) from cause
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


def _overflowed(lane: Lane, parts: Sequence[Part], row: Group) -> bool:
    """Tell whether the network fails with a row because of the size of its numbers: cut down, it does not."""
    cut = tuple(one.clamp(-_ORDINARY, _ORDINARY) if one.is_floating_point() else one for one in row.inputs)
    if all(torch.equal(one, other) for one, other in zip(cut, row.inputs, strict=True)):
        return False
    try:
        _run(lane, parts, [Group(row.numbers, cut)])
    except ModelError:
        return False
    return True


def _out_of_range(row: Group, model: ServedModel) -> InvalidInput:
    floats = [number for number, one in enumerate(row.inputs) if one.is_floating_point()]
    largest = max(floats, key=lambda number: row.inputs[number].abs().max().item())
    values = row.inputs[largest].flatten()
    value, name = values[values.abs().argmax()].item(), model.manifest.input[largest].name
    return InvalidInput(
        f"row {row.numbers[0]} is out of the network's range: with numbers as large as {value:.6g} in {name} "
        f"it overflows, and within ±{_ORDINARY:g} it does not; send numbers like those it was trained on"
    )


def _proceed(parts: Sequence[Part]) -> Callable[[], None]:
    def proceed() -> None:
        if all(part.caller.left for part in parts):
            raise Abandoned

    return proceed


class Abandoned(Exception):
    """Work was broken off because nobody waits for it; nobody sees this."""
