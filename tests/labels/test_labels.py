"""One reading of labels: by name, by class index, and what may be either."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unsure_client.writing import label_text as clients_text

from models.training.fit import TrainingError
from models.training.targets import read_targets
from service.labels import Labels, Reading, label_text


def classes(names: str, values: Any, reading: Reading | None = None) -> list[int]:
    return Labels(names.split()).classes(values, reading, "row {}".format)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("cat", "cat"),
        (" cat ", " cat "),
        (b"ca\xc3\xa9", "ca\u00e9"),
        (True, "true"),
        (np.bool_(False), "false"),
        (7, "7"),
        (-7, "-7"),
        (2**70, str(2**70)),
        (np.uint64(2**64 - 1), str(2**64 - 1)),
        (1.0, "1"),
        (-0.0, "0"),
        (np.float32(3), "3"),
        (1e22, "10000000000000000000000"),
        (0.5, "0.5"),
        (Decimal("4.00"), "4"),
        (np.str_("x"), "x"),
        (np.bytes_(b"x"), "x"),
        (date(2024, 2, 29), "2024-02-29"),
        (np.datetime64("2024-02-29"), "2024-02-29"),
        (datetime(2024, 2, 29, 12, 30), "2024-02-29 12:30:00"),
    ],
)
def test_a_value_has_one_text_as_a_label(value: Any, text: str) -> None:
    assert label_text(value) == text
    if not isinstance(value, Decimal):
        assert clients_text(value) == text


@pytest.mark.parametrize(
    ("names", "values", "found"),
    [
        ("1 2 3", [3, 1, 2], [2, 0, 1]),
        ("1 2 3", ["1", "2", "1"], [0, 1, 0]),
        ("1 2 3", ["01", " 2 ", "3.0", "1e0", "+2"], [0, 1, 2, 0, 1]),
        ("0 1 2", [0, 1, 2], [0, 1, 2]),
        ("0 1 2", [0.0, 1.0, -0.0], [0, 1, 0]),
        ("0 1 x", [0, 1, 2], [0, 1, 2]),
        ("cat dog", [0, 1], [0, 1]),
        ("cat dog", [1.0, 0.0], [1, 0]),
        ("cat dog", ["0", "1"], [0, 1]),
        ("cat dog", ["dog", " cat", b"dog"], [1, 0, 1]),
        ("cat 5", ["cat", 5], [0, 1]),
        ("cat dog", ["dog", 0], [1, 0]),
        ("false true", [True, "TRUE", "False", "true "], [1, 1, 0, 1]),
        ("False True", [True, "true", "False"], [1, 1, 0]),
        ("false true", [1, "0"], [1, 0]),
        ("caf\u00e9 cafe", ["cafe\u0301", "cafe"], [0, 1]),
        ("1 01", ["1", "01"], [0, 1]),
        ("-1 1", [-1, 1.0], [0, 1]),
        ("10 20 30", [10, 20], [0, 1]),
        ("9007199254740993 9007199254740992", [2**53 + 1, 2**53], [0, 1]),
        ("0.5 1.5", [0.5, "1.50"], [0, 1]),
        ("2024-01-01 2024-01-02", ["2024-01-01 00:00:00", date(2024, 1, 2)], [0, 1]),
        ("2024-01-01 2024-01-02", [datetime(2024, 1, 1), "2024-01-02T00:00:00"], [0, 1]),
    ],
)
def test_a_reading_that_fits_all_is_taken(names: str, values: Any, found: list[int]) -> None:
    assert classes(names, values) == found


@pytest.mark.parametrize(
    ("names", "values", "place", "name", "index"),
    [
        ("1 2", [0, 1], "row 1 is '1'", "1", "2"),
        ("1 2", ["0", "1"], "row 1 is '1'", "1", "2"),
        ("1 2 3", [1, 2], "row 0 is '1'", "1", "2"),
        ("0 2 1", [0, 1, 2], "row 1 is '1'", "1", "2"),
        ("1 2 3", [0.0, 2.0], "row 1 is '2'", "2", "3"),
        ("3 a b c", [3], "row 0 is '3'", "3", "c"),
        ("True False", [0, 1], "row 0 is '0'", "False", "True"),
    ],
)
def test_what_is_a_name_and_another_index_is_refused_until_somebody_says(
    names: str, values: Any, place: str, name: str, index: str
) -> None:
    with pytest.raises(ValueError, match="--labels-are names or --labels-are indices") as refused:
        classes(names, values)
    assert place in str(refused.value)
    assert f"as a name that is the label {name!r}, and as a class index {index!r}" in str(refused.value)
    assert classes(names, values, "indices") == [int(value) for value in values]


@pytest.mark.parametrize(
    ("names", "values", "reading", "problem"),
    [
        ("a b", ["a", "q"], None, "row 1 is 'q'; the model's are: a, b"),
        ("a b", [0, 2], None, "row 1 is 2, and class indices are 0 to 1"),
        ("a b", ["0", "a"], None, "row 0 is '0'; the model's are"),
        ("a b", ["a", 7], None, "row 1 is 7, and class indices are 0 to 1"),
        ("a b", ["0", "7"], None, "row 1 is 7, and class indices are 0 to 1"),
        ("a b", [-1, 0], None, "row 0 is '-1'; the model's are"),
        ("1 2 3", [1, 4], None, "row 1 is '4'; the model's are"),
        ("a b", ["a", None], None, "row 1 is empty"),
        ("a b", [0.0, float("nan")], None, "row 1 is empty"),
        ("a b", ["a", " "], None, "row 1 is empty"),
        ("0 1", [True, False], None, "row 0 is 'true'; the model's are"),
        ("a b", [True, False], "indices", "row 0 is 'true', and no class index"),
        ("a b", ["a", "b"], "indices", "row 0 is 'a', and no class index"),
        ("a b", [0, 1], "names", "row 0 is '0'; the model's are"),
        ("a b", [0.5, 1.0], None, "row 0 is '0.5'; the model's are"),
        ("1 01", ["1.0"], None, "row 0 is '1.0', which may be '1' or '01'; write it as one of these"),
        ("a b", ["²", "1"], None, "row 0 is '²'; the model's are"),
    ],
)
def test_what_fits_no_reading_is_named(
    names: str, values: Any, reading: Reading | None, problem: str
) -> None:
    with pytest.raises(ValueError) as refused:
        classes(names, values, reading)
    assert problem in str(refused.value)


ANY = st.one_of(
    st.lists(st.integers(-5, 30), min_size=2, max_size=8, unique=True),
    st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=8, unique=True),
    st.lists(st.integers(-5, 30).map(float), min_size=2, max_size=8, unique=True),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=2, unique=True
    ),
    st.just([True, False]),
)


@given(ANY, st.data())
def test_what_training_names_is_found_again(kinds: list[Any], data: Any) -> None:
    """From the type that was learnt from, and from text, as a CSV has it."""
    values = kinds * 6
    try:
        found = read_targets(np.array(values), "classification")
    except TrainingError:
        return
    truth = found.values.tolist()
    labels = Labels(found.labels)
    assert found.labels == tuple(label_text(kind) for kind in np.unique(np.array(kinds)))
    assert [labels.find(value) for value in np.array(values)] == truth
    assert [labels.find(label_text(value)) for value in values] == truth
    assert labels.classes(np.array(values).tolist(), "names", str) == truth
    try:
        read = labels.classes(np.array(values).tolist(), None, str)
    except ValueError as refused:
        assert isinstance(kinds[0], int | float), refused  # noqa: PT017  # a whole number may be an index
    else:
        assert read == truth
