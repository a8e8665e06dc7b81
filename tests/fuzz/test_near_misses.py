"""JSON that is nearly what /v1 takes: refused, or answered where it is after all good."""

import json
from collections.abc import Iterator

import httpx
import pytest
from fuzzing import Fuzzed, cases
from hypothesis import given, note, settings
from hypothesis import strategies as st

ROW = ["0.5", "-1", "2e0", "0", "1.5", "-5E-1"]
FINE = ["0", "-0.0", "1e5", "1E-400", "123456789012345678", "1" * 30]
LARGE = ["3.4e38", "-3.4e38"]  # which float32 holds, and of which the network may make more than that
WRONG = [
    *("1e400", "-1e400", "3.5e38", "1" * 400, "-" + "9" * 5000, "1e99999", "0x10", "01", "1.", ".5", "+1"),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "true",
        "null",
        '"1"',
        "{}",
        "[]",
        "[1]",
        "",
        "1 2",
        "--1",
        "1e",
    ),
    *("\u0661", "\uff11", "'1'", "1_000", "1/*one*/", '"\\ud800"', '"\\x41"', "undefined", "\x00", "\ufeff1"),
]
NESTED = [
    "{row}",
    "[[{row}]]",
    "[[[{row}]]]",
    "{{}}",
    "[]",
    "[[]]",
    "[{row}, []]",
    "[{row}, 1]",
    "[[{row}], {row}]",
]
NESTED += [
    '"{row}"',
    "null",
    "[null]",
    '[{{"0": 1}}]',
    "[{row},]",
    "[,{row}]",
    "[{row}",
    "{row}]",
    "[{row}]]",
    "[{row}}}",
]
FIELDS = [
    '"inputs": [[1]]',
    '"seed": -1',
    '"seed": 1e3',
    f'"seed": {2**64}',
    '"samples": 1',
    '"samples": 1e2',
]
FIELDS += [
    '"samples": "EXACT"',
    '"threshold": 1e999',
    '"threshold": "0"',
    '"x": 1',
    '"Inputs": 1',
    '"": 0',
    '"\\ud83d": 1',
]
FIELDS += [
    '"include": "samples"',
    '"include": [null]',
    '"review": 0',
    "seed: 1",
    "'seed': 1",
    '"seed" 1',
    '"seed": 1,',
]
UNCERTAINTY, PREDICT = "/v1/models/small/uncertainty", "/v1/models/small/predict"


@pytest.fixture(scope="module")
def client(fuzzed: Fuzzed) -> Iterator[httpx.Client]:
    with fuzzed.client() as client:
        yield client


def refused(fuzzed: Fuzzed, client: httpx.Client, path: str, body: bytes, statuses: set[int]) -> None:
    answer = client.post(path, content=body)
    fuzzed.check(answer.status_code, answer.headers, answer.content)
    assert answer.status_code in statuses, answer.text


@settings(max_examples=cases(300))
@given(
    path=st.sampled_from([UNCERTAINTY, PREDICT]),
    numbers=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(FINE + LARGE + WRONG)), max_size=3),
)
def test_a_row_is_refused_for_a_number_that_is_none(
    fuzzed: Fuzzed, client: httpx.Client, path: str, numbers: list[tuple[int, str]]
) -> None:
    places = dict(numbers)
    flat = [places.get(index, number) for index, number in enumerate(ROW * 2)]
    text = f'{{"inputs": [[{",".join(flat[:6])}], [{",".join(flat[6:])}]]}}'
    note(text)
    given = set(places.values())
    statuses = {200} if given <= {*FINE} else {200, 400} if given <= {*FINE, *LARGE} else {400}
    refused(fuzzed, client, path, text.encode(), statuses)


@pytest.mark.parametrize("path", [UNCERTAINTY, PREDICT])
@pytest.mark.parametrize("nested", NESTED)
def test_rows_of_another_depth_are_refused(
    fuzzed: Fuzzed, client: httpx.Client, nested: str, path: str
) -> None:
    text = '{"inputs": ' + nested.format(row=f"[{','.join(ROW)}]") + "}"
    refused(fuzzed, client, path, text.encode(), {400})


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("before", [True, False])
def test_a_field_that_is_none_is_refused(
    fuzzed: Fuzzed, client: httpx.Client, field: str, before: bool
) -> None:
    """A key twice is refused too: readers of JSON differ in which they take."""
    parts = [f'"inputs": [[{",".join(ROW)}]]', field]
    text = "{" + ", ".join(parts[::-1] if before else parts) + "}"
    refused(fuzzed, client, UNCERTAINTY, text.encode(), {400})


@settings(max_examples=cases(300))
@given(
    body=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    ).map(lambda value: json.dumps({"inputs": value}).encode()),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-32", "latin-1", "utf-7", "cp037"]),
)
def test_whatever_is_sent_is_refused(
    fuzzed: Fuzzed, client: httpx.Client, body: bytes, encoding: str
) -> None:
    refused(fuzzed, client, PREDICT, body.decode("latin-1").encode(encoding), {400})


HUGE = {
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "digits": b"9" * 15_900_000,
    "an exponent": b"[[1e" + b"9" * 15_900_000 + b",1,1,1,1,1]]",
    "text": b'"' + b"\\u0041" * 2_600_000 + b'"',
    "empty rows": b"[" + b"[]," * 5_000_000 + b"[]]",
    "numbers for rows": b"[" + b"1," * 7_900_000 + b"1]",
    "spaces": b" " * 15_900_000,
    "too much": b"9" * 16_000_001,
}


@pytest.mark.parametrize("path", [UNCERTAINTY, PREDICT])
@pytest.mark.parametrize("huge", HUGE)
def test_what_is_huge_is_refused(fuzzed: Fuzzed, client: httpx.Client, huge: str, path: str) -> None:
    statuses = {413} if huge == "too much" else {400}
    refused(fuzzed, client, path, b'{"inputs":' + HUGE[huge] + b"}", statuses)
    refused(fuzzed, client, path, HUGE[huge], statuses)
