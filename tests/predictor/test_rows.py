"""Rows of different lengths: each has the answer that it has alone, in the order of the request."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from answers import predicted, sampled
from hypothesis import given
from hypothesis import strategies as st
from repositories import Repository
from servers import Serve

from service.predictor.execution import Execution
from service.predictor.inputs import InputReader
from service.predictor.rows import Rows, parted
from service.predictor.served_model import ServedModel
from service.predictor.together import Draw
from service.repository.folder import ModelFolder
from service.repository.manifest import InputSpec
from service.uncertainty.sequential import Rounds

ROUNDING = 1e-6
LENGTHS = [5, 2, 7, 2, 5, 5]
SEQUENCE = [{"name": "values", "dtype": "float32", "shape": [-1, 6]}]
TWO = InputReader([InputSpec("left", "int64", (-1,)), InputSpec("right", "float32", (-1,))])


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=12))
def test_rows_of_one_shape_are_together_and_answers_come_back_in_order(
    lengths: list[tuple[int, int]],
) -> None:
    """Each row holds its own number: so do the answers, wherever the rows are in an array or a structure."""
    left = [[number] * length for number, (length, _) in enumerate(lengths)]
    right = [[number + 0.5] * length for number, (_, length) in enumerate(lengths)]
    rows = TWO.read(json.dumps({"left": left, "right": right}).encode())
    assert len(rows) == len(lengths)
    assert len(rows.groups) == len(set(lengths))
    for group in rows.groups:
        assert [tensor[:, 0].tolist() for tensor in group.inputs] == [
            list(group.numbers),
            [number + 0.5 for number in group.numbers],
        ]
    parts = [
        {"a": tensor.numpy()[:, 0], "samples": 5} for tensor, _ in (group.inputs for group in rows.groups)
    ]
    given = rows.in_order(parts)
    assert given["a"].tolist() == list(range(len(lengths)))
    assert given["samples"] == 5
    listed = rows.in_order([[int(number) for number in part["a"]] for part in parts])  # type: ignore[attr-defined]
    assert listed == list(range(len(lengths)))


def test_what_is_cut_into_parts_can_be_joined_again() -> None:
    whole = {"a": np.arange(12).reshape(6, 2), "b": [*"uvwxyz"], "samples": 5}
    first, second = parted(whole, [2, 4])
    assert first["a"].tolist() == [[0, 1], [2, 3]]
    assert (second["b"], second["samples"]) == ([*"wxyz"], 5)
    assert parted(whole, [6]) == [whole]


def served(repository: Repository, factory: str, **changes: Any) -> ServedModel:
    repository.add(factory=factory, input=SEQUENCE, **changes)
    folder = ModelFolder(repository.path / "small")
    return ServedModel(folder.read(folder.manifest(), 1, ("networks",)), Execution())


def values(lengths: Sequence[int]) -> list[Any]:
    torch.manual_seed(1)
    return [torch.randn(length, 6).tolist() for length in lengths]


REGRESSION = {
    "task": "regression",
    "output": {},
    "policy": {"measure": "standard_deviation", "threshold": 1.0},
}


@pytest.mark.parametrize("changes", [{}, REGRESSION], ids=["classification", "regression"])
@pytest.mark.parametrize("factory", ["encoder_of_any_length", "lstm_of_any_length"])
def test_a_row_has_the_same_answer_whatever_the_lengths_of_its_mates(
    repository: Repository, factory: str, changes: dict[str, Any]
) -> None:
    model = served(repository, factory, **changes)
    draw = Draw(rounds=Rounds(12, 12), threshold=0.5, outputs=True, quantiles=True)
    rows = values(LENGTHS)

    def read(some: list[Any]) -> Rows:
        return model.inputs.read(json.dumps(some).encode())

    together = sampled(model, read(rows), 4, draw)
    whole = vars(predicted(model, read(rows)))
    assert together.outputs is not None
    assert together.quantiles is not None
    assert [kept.shape for kept in together.outputs] == [(12, 3)] * len(LENGTHS)
    assert set(together.measures.samples) == {12}
    for number, row in enumerate(rows):
        alone = sampled(model, read([row]), 4, draw)
        assert alone.outputs is not None
        assert alone.quantiles is not None
        assert np.allclose(alone.outputs[0], together.outputs[number], atol=ROUNDING)
        assert np.allclose(alone.scores[0], together.scores[number], atol=ROUNDING)
        for quantile, limits in alone.quantiles.items():
            assert np.allclose(limits[0], together.quantiles[quantile][number], atol=ROUNDING)
        for name, measure in vars(alone.measures).items():
            if isinstance(measure, np.ndarray):
                assert np.allclose(measure[0], getattr(together.measures, name)[number], atol=ROUNDING)
        for name, prediction in vars(predicted(model, read([row]))).items():
            if prediction is not None:
                assert np.allclose(prediction[0], whole[name][number], atol=ROUNDING)


def test_rows_of_different_lengths_are_answered_over_http(repository: Repository, serve: Serve) -> None:
    repository.add(factory="encoder_of_any_length", input=SEQUENCE)
    client = serve()
    rows = values([4, 2, 4])

    def ask(path: str, some: list[Any], key: str) -> list[Any]:
        answered = client.post(f"/v1/models/small/{path}", json={"inputs": some})
        assert answered.status_code == 200, answered.text
        return list(answered.json()[key])

    for path, key, field in (("uncertainty", "results", "mean"), ("predict", "predictions", "probabilities")):
        together = ask(path, rows, key)
        for number, row in enumerate(rows):
            (alone,) = ask(path, [row], key)
            assert alone[field] == pytest.approx(together[number][field], abs=ROUNDING)
