"""Rows as objects, by the names of the model's columns."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.predictor.column_names import mismatch
from service.predictor.inputs import InputReader
from service.repository.manifest import InputSpec

NAMES = ("age", "mean radius", "größe", "a:b")
SPEC = InputSpec("features", "float32", (4,))
NAMED = InputReader([SPEC], {"features": NAMES})
UNNAMED = InputReader([SPEC])
COUNTS = InputReader([InputSpec("counts", "int64", (2,))], {"counts": ("x", "y")})
TWO = InputReader(
    [InputSpec("left", "float32", (2,)), InputSpec("right", "float32", (1,))], {"left": ("x", "y")}
)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(2**31), 2**31)


def numbers(reader: InputReader, inputs: Any) -> np.ndarray:
    text = inputs if isinstance(inputs, str) else json.dumps(inputs)
    (group,) = reader.read(text.encode()).groups
    return group.inputs[0].numpy()


def by_name(row: list[Any], order: list[int]) -> dict[str, Any]:
    return {NAMES[place]: row[place] for place in order}


@given(st.data(), st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=1, max_size=5), st.booleans())
def test_each_row_may_have_an_order_of_its_own(
    data: st.DataObject, rows: list[list[Any]], mixed: bool
) -> None:
    """Bit by bit what the rows are as arrays; some may be arrays."""
    sent: list[Any] = [by_name(row, data.draw(st.permutations(range(4)))) for row in rows]
    if mixed:
        sent[data.draw(st.integers(0, len(rows) - 1))] = rows[0]
        rows = [rows[0] if isinstance(one, list) else row for one, row in zip(sent, rows, strict=True)]
    escaped = json.dumps(sent, ensure_ascii=data.draw(st.booleans()))
    assert numbers(NAMED, escaped).tobytes() == numbers(NAMED, rows).tobytes()


def test_integers_by_name_are_kept_exactly() -> None:
    assert numbers(COUNTS, '[{"y": 9007199254740993, "x": 1}, [2, 3]]').tolist() == [[1, 2**53 + 1], [2, 3]]
    assert numbers(COUNTS, '[{"y": 9007199254740993, "x": 1}]').tolist() == [[1, 2**53 + 1]]


GOOD = dict(zip(NAMES, [1, 2, 3, 4], strict=True))


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names} | more


def doubled(row: dict[str, Any], name: str) -> str:
    return f"[{json.dumps(GOOD)}, {json.dumps(row)[:-1]}, {json.dumps(name)}: 2}}]"


WRONG: list[tuple[Any, str]] = [
    ([GOOD, without("age")], "row 1 lacks the column 'age'. The model's columns are 'age', 'mean radius',"),
    ([without("age", "a:b")], "row 0 lacks the columns 'age', 'a:b'"),
    ([GOOD, GOOD | {"id": 7}], "row 1 has 'id', unknown to the model"),
    ([[1, 2, 3, 4], without("age", Age=1)], "row 1 has 'Age' (did you mean 'age'?)"),
    ([without("mean radius", mean_radius=1)], "row 0 has 'mean_radius' (did you mean 'mean radius'?)"),
    ([without("age") | {" age": 1}], "row 0 has ' age' (did you mean 'age'?)"),
    ([without("age", Age=1, id=2)], "row 0 has 'Age' (did you mean 'age'?); has 'id', unknown"),
    (doubled(GOOD, "age"), "row 1 has 'age' more than once"),
    (doubled(without("age", other=3), "other"), "'other' more than once; lacks the column 'age'; has"),
    (doubled(without("age"), "a:b"), "row 1 has 'a:b' more than once; lacks the column 'age'"),
    ('[{"age": 1, "\\u0061ge": 1, "mean radius": 1, "größe": 1, "a:b": 1}]', "has 'age' more than once"),
    ([{}], "row 0 lacks the columns 'age', 'mean radius', 'größe', 'a:b'. The"),
    ([GOOD, GOOD | {"age": "x"}], "row 1, column 'age': expected `float`, got `str`"),
    ([GOOD | {"a:b": None}], "row 0, column 'a:b': expected `float`, got `null`"),
    ([GOOD | {"age": {"age": 1}}], "row 0, column 'age': expected `float`, got `object`"),
    ([GOOD, {**GOOD, "age": 1e39}], "row 1 holds a number too large for float32"),
    ([GOOD, [1, 2, 3]], "rows must have shape [4]; row 1 has [3]"),
    ([GOOD, "age"], "row 1 has no array but a string"),
    ([[1, 2, 3, GOOD]], "row 0, column 'a:b': expected `float`, got `object`"),
    (GOOD, "a row by the names of its columns stands in an array: [{…}]"),
    ([without("age") | {f"x{place}" * 90: 1 for place in range(9)}], "and 4 more, unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_row_with_other_names_is_refused_by_them(inputs: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        numbers(NAMED, inputs)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("rows", [[GOOD], [{}], [[1, 2, 3, 4], {}]])
def test_a_model_without_names_says_how_it_would_have_some(rows: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"no names: send an array, or name them in model.toml, as \[columns\]"
    ):
        numbers(UNNAMED, rows)


def test_the_array_of_one_of_several_inputs_may_have_objects() -> None:
    (group,) = TWO.read(b'{"right": [[5], [6]], "left": [{"y": 2, "x": 1}, [3, 4]]}').groups
    assert [tensor.tolist() for tensor in group.inputs] == [[[1, 2], [3, 4]], [[5], [6]]]
    with pytest.raises(InvalidInput, match=r"inputs right: rows must have shape \[1\]; row 0 is an object"):
        TWO.read(b'{"right": [{"z": 5}], "left": [{"y": 2, "x": 1}]}')


@pytest.mark.parametrize("space", ["", " ", "\n    "])
def test_an_input_that_stands_twice_is_told(space: str) -> None:
    once = f'"left":{space}[[1,2]],{space}"right":{space}[[3]]'
    assert len(TWO.read(f"{{{space}{once}{space}}}".encode())) == 1
    for more in ('"right":[[4]]', '"left": [{"x": 1, "y": 2}]', '"l\\u0065ft":[[5,6]]'):
        with pytest.raises(InvalidInput, match=r"inputs has '(left|right)' more than once"):
            TWO.read(f"{{{space}{once},{space}{more}{space}}}".encode())
    with pytest.raises(InvalidInput, match="inputs has 'features' more than once"):
        NAMED.read(f'{{"features":{space}[[1,2,3,4]],"features":[[5,6,7,8]]}}'.encode())


def test_rows_are_given_back_as_they_were_sent() -> None:
    sent = b'[{"y": 1, "x": 2.0}, [3, 4]]'
    assert COUNTS.rows_as_sent(sent, [0, 1]) == [b'{"y": 1, "x": 2.0}', b"[3, 4]"]


@given(st.permutations(NAMES), st.lists(st.text(max_size=3)))
def test_names_match_in_any_order_and_among_others(order: list[str], more: list[str]) -> None:
    others = [name for name in dict.fromkeys(more) if name not in NAMES]
    assert mismatch(NAMES, [*others, *order], others=True) is None
    assert (mismatch(NAMES, [*order, *others]) is None) == (not others)
    assert mismatch(NAMES, [*order[1:], *others], others=True) is not None
    assert mismatch(NAMES, [*order, order[0]], others=True) == f"has {order[0]!r} more than once"
