"""Rows that a model takes, and how a wrong one is told."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from service.errors import InvalidInput
from service.predictor.inputs import InputReader
from service.repository.manifest import InputSpec

IMAGE = InputReader([InputSpec("image", "float32", (2, 3))])
TOKENS = InputReader([InputSpec("tokens", "int64", (-1,))])
GRID = InputReader([InputSpec("grid", "float32", (-1, -1))])
NUMBER = InputReader([InputSpec("x", "float64", ())])
TWO = InputReader([InputSpec("left", "float32", (2,)), InputSpec("right", "int32", (1,))])


def read(reader: InputReader, inputs: bytes) -> tuple[Tensor, ...]:
    """Read rows that are all of one shape."""
    (group,) = reader.read(inputs).groups
    assert list(group.numbers) == list(range(len(group.inputs[0])))
    return group.inputs


FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(2), st.just(3)), elements=FLOATS))
def test_numbers_arrive_as_they_were_sent(rows: np.ndarray) -> None:
    (tensor,) = read(IMAGE, json.dumps(rows.tolist()).encode())
    assert tensor.dtype == torch.float32
    assert np.array_equal(tensor.numpy(), rows)


def test_integers_are_kept_exactly() -> None:
    (tensor,) = read(TOKENS, b"[[1, 9007199254740993], [2, -3]]")
    assert tensor.dtype == torch.int64
    assert tensor.tolist() == [[1, 9007199254740993], [2, -3]]


def test_a_row_may_be_a_number() -> None:
    assert read(NUMBER, b"[1, 2.5]")[0].tolist() == [1, 2.5]


def test_whole_numbers_are_floats_too() -> None:
    assert read(IMAGE, b"[[[1,2,3],[4,5,6]]]")[0].dtype == torch.float32


def test_several_inputs_come_by_name_in_any_order() -> None:
    left, right = read(TWO, b'{"right": [[7]], "left": [[1, 2]]}')
    assert (left.tolist(), right.tolist(), right.dtype) == ([[1, 2]], [[7]], torch.int32)


def test_one_input_may_come_by_name() -> None:
    assert read(TOKENS, b' {"tokens": [[1]]}')[0].tolist() == [[1]]


WRONG: list[tuple[InputReader, Any, str]] = [
    (IMAGE, [[[1, 2, 3], [4, 5, 6]], [[1, 2, 3]]], r"rows must have shape [2, 3]; row 1 has [1, 3]"),
    (IMAGE, [[[1, 2, 3], [4, 5]]], "row 0 has [2] with parts of unequal length"),
    (IMAGE, [[1, 2, 3]], "row 0 has [3]"),
    (IMAGE, [5], "row 0 has no array but a number"),
    (IMAGE, [None], "row 0 has no array but null"),
    (IMAGE, [], "must be an array of at least one row"),
    (IMAGE, "rows", "must be an array of at least one row"),
    (IMAGE, [[[1, 2, 3], [4, 5, 6]], [[1, 2, "3"], [4, 5, 6]]], "row 1: expected `float`, got `str`"),
    (IMAGE, [[[1, 2, True], [4, 5, 6]]], "row 0: expected `float`, got `bool`"),
    (IMAGE, [[[1, 2, None], [4, 5, 6]]], "row 0: expected `float`, got `null`"),
    (IMAGE, [[[1, 2, {}], [4, 5, 6]]], "row 0: expected `float`, got `object`"),
    (IMAGE, [[[1, 2, 1e39], [4, 5, 6]]], "row 0 holds a number too large for float32"),
    (TOKENS, [[1, 2.5]], "row 0: expected `int`, got `float`"),
    (TOKENS, [[1, 2**63]], "a number does not fit int64"),
    (
        GRID,
        [[[1], [2]], [[1, 2], [3]]],
        "rows must have shape [1 or more, 1 or more]; row 1 has [2] with parts of unequal length",
    ),
    (TOKENS, [[1], [2, 2**63]], "a number does not fit int64"),
    (GRID, [[[1, 2]], [[1e39]]], "row 1 holds a number too large for float32"),
    (TOKENS, [[]], "rows must have shape [1 or more]; row 0 has [0]"),
    (TOKENS, {"words": [[1]]}, "inputs must have the tensors tokens, and has words"),
    (TWO, [[1, 2]], "inputs must be an object with the tensors left, right"),
    (TWO, {"left": [[1, 2]]}, "inputs must have the tensors left, right, and has left"),
    (
        TWO,
        {"left": [[1, 2]], "right": [[1], [2]]},
        "the same number of rows, and have {'left': 1, 'right': 2}",
    ),
    (TWO, {"left": [[1, 2]], "right": [[2**31]]}, "inputs right: a number does not fit int32"),
]


@pytest.mark.parametrize(("reader", "inputs", "message"), WRONG)
def test_a_wrong_row_is_told_with_its_number(reader: InputReader, inputs: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        reader.read(json.dumps(inputs).encode())
    assert message in str(refused.value)


@given(
    st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=20)
)
def test_no_json_breaks_the_reader(inputs: Any) -> None:
    """Whatever the JSON, the answer is a tensor of the right shape, or a complaint."""
    try:
        (tensor,) = read(IMAGE, json.dumps(inputs).replace("Infinity", "1e400").encode())
    except InvalidInput:
        return
    assert tensor.shape[1:] == (2, 3)
