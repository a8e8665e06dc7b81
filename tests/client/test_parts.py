"""Rows divided among requests: none lost, none twice, in order."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unsure_client.errors import InvalidInput
from unsure_client.parts import Batching, Part, divided
from unsure_client.rows import Rows

ROWS = st.lists(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3), min_size=1, max_size=40
)


def bodies(parts: Sequence[Part]) -> list[Any]:
    return [json.loads(part.body({})) for part in parts]


@given(ROWS, st.integers(1, 50), st.integers(1, 200))
def test_parts_together_are_the_rows(rows: list[list[float]], most: int, size: int) -> None:
    parts = list(divided(Rows(rows), Batching(rows=most, body_bytes=size)))
    assert [row for body in bodies(parts) for row in body["inputs"]] == rows
    assert [number for part in parts for number in part.numbers] == list(range(len(rows)))
    for part in parts:
        assert 1 <= len(part.rows) <= most
        assert len(part.rows) == 1 or sum(len(text) for (text,) in part.rows) <= size
    assert len({part.suffix for part in parts}) == len(parts)


@given(ROWS)
def test_halves_together_are_the_part(rows: list[list[float]]) -> None:
    (part,) = divided(Rows(rows), Batching(rows=100))
    assert part.suffix == ""
    if len(rows) > 1:
        first, second = part.halves()
        assert first.rows + second.rows == part.rows
        assert [*first.numbers, *second.numbers] == [*part.numbers]
        assert len({first.suffix, second.suffix, part.suffix}) == 3


def test_several_inputs_are_divided_alike() -> None:
    rows = Rows({"left": np.arange(6.0).reshape(3, 2), "right": [[1], [2], [3]]})
    assert bodies(list(divided(rows, Batching(rows=2)))) == [
        {"inputs": {"left": [[0, 1], [2, 3]], "right": [[1], [2]]}},
        {"inputs": {"left": [[4, 5]], "right": [[3]]}},
    ]


def test_what_stands_beside_the_rows_is_in_every_part() -> None:
    parts = list(divided(Rows([[1], [2]]), Batching(rows=1)))
    beside = {"seed": np.uint64(2**64 - 1), "samples": {"min": 2, "max": 4}}
    written = [json.loads(part.body(beside)) for part in parts]
    assert [body["seed"] for body in written] == [2**64 - 1] * 2
    assert [body["samples"] for body in written] == [{"min": 2, "max": 4}] * 2


@pytest.mark.parametrize(
    "given_rows",
    [
        [[1.5, 2.0], [3.0, 4.0]],
        ((1.5, 2.0), (3.0, 4.0)),
        np.array([[1.5, 2], [3, 4]], dtype=np.float32),
        [np.array([1.5, 2]), np.array([3, 4])],
        pd.DataFrame({"a": [1.5, 3.0], "b": [2, 4]}, index=["x", "y"]),
    ],
    ids=["lists", "tuples", "array", "arrays", "DataFrame"],
)
def test_rows_may_be_had_in_many_ways(given_rows: Any) -> None:
    assert bodies(list(divided(Rows(given_rows), Batching()))) == [{"inputs": [[1.5, 2.0], [3.0, 4.0]]}]


def test_texts_and_rows_of_different_lengths_stay_what_they_are() -> None:
    for rows in (["good", "bad"], [[1, 2, 3], [4]]):
        assert bodies(list(divided(Rows(rows), Batching()))) == [{"inputs": rows}]
    assert bodies(list(divided(Rows(pd.Series(["good", "bad"])), Batching()))) == [
        {"inputs": ["good", "bad"]}
    ]


def test_numbers_arrive_as_they_were() -> None:
    rows = np.array([[0.1, 1e-45, 3.4e38, -0.0]], dtype=np.float32)
    (body,) = bodies(list(divided(Rows(rows), Batching())))
    assert np.array(body["inputs"], dtype=np.float32).tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    ("given_rows", "message"),
    [
        ([], "there are no rows"),
        (np.zeros((0, 4)), "there are no rows"),
        ({}, "there are no rows"),
        ([[1.0], [float("nan")]], "row 1 holds NaN"),
        (np.array([[1.0], [2.0], [np.inf]]), "row 2 holds NaN or an infinity"),
        ([[1.0], [object()]], "row 1 holds what is neither a number nor a text: a object"),
        ({"a": [[1]], "b": [[1], [2]]}, r"the same number of rows, and have \{'a': 1, 'b': 2\}"),
        ("one text", "and are a str"),
        (7, "and are a int"),
        (iter([[1.0]]), "and are a list_iterator"),
    ],
)
def test_what_no_model_takes_is_told_before_it_is_sent(given_rows: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        list(divided(Rows(given_rows), Batching()))
    assert (caught.value.code, caught.value.status) == ("invalid_input", None)
    assert isinstance(caught.value, ValueError)


def test_no_more_rows_are_written_than_are_asked_for() -> None:
    rows = [[1.0], [2.0], [float("nan")]]
    assert next(divided(Rows(rows), Batching(rows=2))).numbers == range(2)


@pytest.mark.parametrize("figures", [{"rows": 0}, {"body_bytes": 0}, {"in_flight": 0}])
def test_batching_of_nothing_is_refused(figures: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Batching(**figures)
