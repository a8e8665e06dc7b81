"""Rows by the names of their columns, over both faces."""

import json
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

NAMES = ["age", "mean radius", "größe", "bmi", "s1", "s2"]
ROWS = np.random.default_rng(3).normal(size=(12, 6)).round(4).tolist()
FLAGGED = {"measure": "predictive_entropy", "threshold": -1}


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    repository.add(columns={"features": NAMES}, policy=FLAGGED, sampling={"samples": 20})
    repository.add("unnamed", policy=FLAGGED)
    return serve(review_url=f"sqlite:///{repository.path.parent}/reviews.db")


def by_name(row: list[float], seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(6)
    return {NAMES[place]: row[place] for place in order}


@pytest.mark.parametrize("verb", ["predict", "uncertainty"])
def test_every_order_has_the_answer_of_the_reference(client: TestClient, verb: str) -> None:
    path = f"/v1/models/small/{verb}"
    told: list[Any] = []
    for inputs in (
        ROWS,
        [by_name(row, seed) for seed, row in enumerate(ROWS)],
        [by_name(row, seed) if seed % 3 else row for seed, row in enumerate(ROWS)],
        {"features": [by_name(row, 0) for row in ROWS]},
    ):
        answer = client.post(path, json={"inputs": inputs}).json()
        told.append([{**row, "review_id": None} for row in answer.get("results", answer.get("predictions"))])
    for other in told[1:]:
        assert_alike(other, told[0])


def test_other_names_are_refused_and_named(client: TestClient) -> None:
    """Nothing of the request is answered, whichever row it is."""
    renamed = {("Age" if name == "age" else name): value for name, value in by_name(ROWS[0], 1).items()}
    doubled = json.dumps({"inputs": [by_name(ROWS[0], 1)]})[:-3] + ', "age": 1}]}'
    for body, words in (
        ({"inputs": [ROWS[0], renamed]}, "row 1 has 'Age' (did you mean 'age'?)"),
        ({"inputs": [by_name(ROWS[0], 1) | {"id": 1}]}, "row 0 has 'id', unknown to the model"),
        ({"inputs": [{"age": 1}]}, "row 0 lacks the columns 'mean radius', 'größe', 'bmi', 's1', 's2'"),
        (doubled, "row 0 has 'age' more than once"),
        ({"inputs": by_name(ROWS[0], 1)}, "stands in an array"),
    ):
        text = body if isinstance(body, str) else json.dumps(body)
        for verb in ("predict", "uncertainty"):
            answer = client.post(f"/v1/models/small/{verb}", content=text)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
            assert words in answer.json()["error"]
    answer = client.post("/v1/models/unnamed/predict", json={"inputs": [by_name(ROWS[0], 1)]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert "the model's columns have no names: send an array, or name them" in answer.json()["error"]


def test_both_faces_tell_the_names(client: TestClient) -> None:
    named, unnamed = (client.get(f"/v1/models/{name}").json()["inputs"][0] for name in ("small", "unnamed"))
    assert named["columns"] == NAMES
    assert "columns" not in unnamed
    named, unnamed = (client.get(f"/v2/models/{name}").json()["inputs"][0] for name in ("small", "unnamed"))
    assert json.loads(named["parameters"]["columns"]) == NAMES
    assert unnamed == {"name": "features", "datatype": "FP32", "shape": [-1, 6]}


def test_a_row_by_name_is_reviewed_as_it_was_sent(client: TestClient) -> None:
    """Its hash is of its numbers in the model's order: the same row is the same, however it came."""
    rows = [by_name(ROWS[0], 5), ROWS[0]]
    answer = client.post("/v1/models/small/uncertainty", json={"inputs": rows}).json()
    reviews = [client.get(f"/v1/reviews/{row['review_id']}").json() for row in answer["results"]]
    assert [list(review["input"]) for review in reviews] == [list(rows[0]), ROWS[0]]
    assert [review["input"] for review in reviews] == rows
    assert reviews[0]["input_sha256"] == reviews[1]["input_sha256"]
