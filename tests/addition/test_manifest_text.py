"""TOML that is written says what was meant, whatever is in it."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.addition.manifest_text import manifest_text
from service.addition.wanted import input_table
from service.errors import AdditionRefused

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(TEXT, VALUES, max_size=4), st.lists(st.dictionaries(TEXT, VALUES), max_size=2), SCALARS
)
def test_what_is_read_is_what_was_written(table: dict[str, Any], tables: list[Any], plain: Any) -> None:
    values = {"plain": plain, "table": table} | ({"tables": tables} if tables else {})
    assert tomllib.loads(manifest_text(values)) == values


def test_what_toml_does_not_have_is_refused() -> None:
    with pytest.raises(AdditionRefused, match=r"model\.toml cannot hold None"):
        manifest_text({"source": {"arguments": {"dropout": None}}})


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("image:float32:1,8,8", {"name": "image", "dtype": "float32", "shape": [1, 8, 8]}),
        ("x:float64:", {"name": "x", "dtype": "float64", "shape": []}),
        ("ids:int64:-1:0..99", {"name": "ids", "dtype": "int64", "shape": [-1], "range": [0, 99]}),
        ("x:float32:2:-1.5..2e3", {"name": "x", "dtype": "float32", "shape": [2], "range": [-1.5, 2000]}),
    ],
)
def test_an_input_is_told_in_one_word(text: str, table: dict[str, Any]) -> None:
    assert input_table(text) == table


@pytest.mark.parametrize(
    "text", ["", "x", "x:float32", ":float32:1", "x:float32:a", "x:int64:1:0", "x:int64:1:a..b"]
)
def test_another_word_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(AdditionRefused, match="write NAME:DTYPE:SHAPE, such as image:float32:1,8,8"):
        input_table(text)
