"""Names that stand twice in JSON."""

import json
from typing import Any

import pytest
from errors_on_the_wire import assert_failed
from hypothesis import given
from hypothesis import strategies as st
from repositories import Repository
from servers import Serve

from service.json_names import doubled_name

ROW = "[0.5, -1, 2, 0, 1.5, -0.5]"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"a": 1, "\\u0061": 2}', "a"),
        (' \n{"é": [], "b": {}, "é": 2}', "é"),
        ('{"a": {"b": 1, "b": 2}}', "b"),
        ('[{"a": 1}, {"a": 1, "c": 2, "a": 3}]', "a"),
        ('{"a": [[{"b": 1, "b": 2}]]}', "b"),
        ('{"": 1, "": 2}', ""),
        ('{"a": 1, "b": 2}', None),
        ('{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}', None),
        ('{"a": "{\\"b\\": 1, \\"b\\": 2}"}', None),
        ('["a", "a"]', None),
        ('"a"', None),
    ],
)
def test_a_name_is_found_that_stands_twice(text: str, name: str | None) -> None:
    assert doubled_name(text.encode()) == name


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(VALUES, st.data())
def test_what_was_written_from_mappings_has_none_until_one_is_doubled(value: Any, data: Any) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    assert doubled_name(text.encode()) is None
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        assert doubled_name(f"{text[:-1]}, {json.dumps(name)}: 0}}".encode()) == name


BODIES = [
    ("/v1/models/small/predict", f'{{"inputs": [{ROW}], "inputs": [{ROW}]}}', "inputs"),
    ("/v1/models/small/predict", f'{{"inputs": {{"features": [{ROW}], "features": [{ROW}]}}}}', "features"),
    ("/v1/models/small/uncertainty", f'{{"inputs": [{ROW}], "seed": 1, "seed": 2}}', "seed"),
    (
        "/v1/models/small/uncertainty",
        f'{{"inputs": [{ROW}], "samples": {{"min": 2, "max": 9, "min": 3}}}}',
        "min",
    ),
    (
        "/v2/models/small/infer",
        '{"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], '
        f'"data": {ROW}, "data": {ROW}}}]}}',
        "data",
    ),
    (
        "/v2/models/small/infer",
        '{"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], '
        f'"data": {ROW}}}], "parameters": {{"seed": 1, "seed": 2}}}}',
        "seed",
    ),
    ("/v2/repository/models/small/load", '{"parameters": {}, "parameters": {}}', "parameters"),
    ("/v1/reviews/x/claim", '{"reviewer": "ann", "reviewer": "bob"}', "reviewer"),
    ("/v1/reviews/x/resolve", '{"reviewer": "ann", "label": "a", "label": "b"}', "label"),
]


def test_no_body_of_a_request_is_read_by_half(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve(review_url=f"sqlite:///{repository.path.parent}/reviews.db")
    for path, body, name in BODIES:
        answer = client.post(path, content=body)
        assert_failed(
            answer, 400, "invalid_input", f"the body has {name!r} twice in one object; give it once"
        )
    answer = client.get("/v1/reviews?limit=1&limit=2")
    assert_failed(answer, 400, "invalid_input", "the query has 'limit' twice; give it once")
