"""Requests that run together: each has exactly its own numbers, and its own misfortune."""

import json
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from answers import sampled
from repositories import Repository

from service.errors import ModelError
from service.predictor.execution import Execution
from service.predictor.lanes import Abandoned, LaneRunner, prediction_lots, sampling_lots
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.predictor.together import Draw
from service.repository.folder import ModelFolder
from service.scheduling.lots import Caller, Lot, Part
from service.telemetry.metrics import Telemetry
from service.uncertainty.sequential import Rounds

SEED = 5
REGRESSION = {
    "factory": "values",
    "task": "regression",
    "output": {"variance_head": True},
    "policy": {"measure": "standard_deviation", "threshold": 0.1},
}
DRAWS = [
    Draw(Rounds(50, 50), 0.9),
    Draw(Rounds(20, 20), 0.9, outputs=True),
    Draw(Rounds(50, 50), 0.1, quantiles=True),
    Draw(Rounds(4, 300, 0.2), 0.6),
    Draw(Rounds(7, 7), 0.9),
    Draw(Rounds(4, 300, 0.2), 0.2, outputs=True, quantiles=True),
]


def served(repository: Repository, **changes: Any) -> ServedModel:
    repository.add(**changes)
    folder = ModelFolder(repository.path / "small")
    return ServedModel(folder.read(folder.manifest(), 1, ("networks",)), Execution(plan="vmap"))


def rows_of(model: ServedModel, count: int, seed: int) -> Rows:
    values = np.random.default_rng(seed).normal(size=(count, 6)).tolist()
    return model.inputs.read(json.dumps(values).encode())


def whole(lots: list[Lot]) -> list[Part]:
    return [Part(lot, 0, lot.rows, Caller()) for lot in lots]


def columns(found: Any) -> dict[str, Any]:
    """Give what was sampled as plain numbers."""
    lists = {name: value.tolist() for name, value in vars(found.measures).items() if value is not None}
    return lists | {
        "score": found.scores.tolist(),
        "settled": found.settled.tolist(),
        "outputs": None if found.outputs is None else [row.tolist() for row in found.outputs],
        "quantiles": None
        if found.quantiles is None
        else [value.tolist() for value in found.quantiles.values()],
    }


@pytest.mark.parametrize("changes", [{}, REGRESSION], ids=["classification", "regression"])
def test_each_request_has_the_numbers_that_it_has_alone(
    repository: Repository, changes: dict[str, Any]
) -> None:
    """Six requests of different samples, thresholds and wishes, of one to six rows, in one batch."""
    model = served(repository, **changes)
    asked = [rows_of(model, number + 1, seed=number) for number in range(len(DRAWS))]
    lots = [sampling_lots(model, rows, SEED, draw) for rows, draw in zip(asked, DRAWS, strict=True)]
    together = LaneRunner(Telemetry())(whole([lot for (lot,) in lots]))
    for rows, draw, found in zip(asked, DRAWS, together, strict=True):
        assert_alike(columns(found), columns(sampled(model, rows, SEED, draw)))
    counts = [set(found.measures.samples.tolist()) for found in together]  # type: ignore[union-attr]
    assert [counts[number] for number in (0, 1, 2, 4)] == [{50}, {20}, {50}, {7}]
    assert len(counts[3] | counts[5]) > 1


def test_a_bad_row_is_named_by_its_number_in_the_request(repository: Repository) -> None:
    model = served(repository, factory="giving_nan")
    values = [[0.0] * 6] * 4 + [[200.0] * 6] + [[0.0] * 6]
    (lot,) = prediction_lots(model, model.inputs.read(json.dumps(values).encode()))
    runner = LaneRunner(Telemetry())
    with pytest.raises(ModelError, match=r"^the model gave NaN for row 4$"):
        runner([Part(lot, 3, 6, Caller())])
    runner([Part(lot, 0, 4, Caller())])
    (sampling,) = sampling_lots(model, model.inputs.read(json.dumps(values).encode()), SEED, DRAWS[3])
    with pytest.raises(ModelError, match=r"^the model gave NaN for row 4$"):
        runner([Part(sampling, 2, 6, Caller())])


def test_what_nobody_waits_for_is_broken_off(repository: Repository) -> None:
    model = served(repository)
    (lot,) = sampling_lots(model, rows_of(model, 2, seed=1), SEED, DRAWS[0])
    stays, leaves = Caller(), Caller()
    leaves.leave()
    runner = LaneRunner(Telemetry())
    assert len(runner([Part(lot, 0, 1, leaves), Part(lot, 1, 2, stays)])) == 2
    with pytest.raises(Abandoned):
        runner([Part(lot, 0, 2, leaves)])
