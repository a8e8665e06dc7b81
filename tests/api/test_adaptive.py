"""Adaptive sampling over HTTP: each row's answer is that of a fixed request of as many samples."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

UNCERTAINTY = "/v1/models/small/uncertainty"
ROWS = [[factor * value for value in (0.5, -1.0, 2.0, 0.0, 1.5, -0.5)] for factor in (0.1, 1, 2, 4, 8, 16)]


def asked(client: TestClient, rows: list[list[float]] = ROWS, **more: Any) -> dict[str, Any]:
    answer = client.post(UNCERTAINTY, json={"inputs": rows, "seed": 9} | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("model", "place"),  # of the threshold among the scores, so that some rows are near and some are far
    [
        ({}, lambda scores: 0.99 * min(scores)),
        (
            {
                "factory": "values",
                "task": "regression",
                "output": {"variance_head": True},
                "policy": {"measure": "standard_deviation", "threshold": 0.1},
            },
            np.median,
        ),
    ],
)
def test_a_row_has_its_own_first_samples(
    repository: Repository, serve: Serve, model: dict[str, Any], place: Callable[[list[float]], float]
) -> None:
    repository.add(**model)
    client = serve()
    threshold = float(place([row["score"] for row in asked(client, samples=400)["results"]]))
    include = ["samples", "quantiles"]
    samples = {"min": 4, "max": 300, "error": 0.2}
    adaptive = asked(client, samples=samples, threshold=threshold, include=include)
    assert adaptive["samples"] == samples
    counts = [row["samples"] for row in adaptive["results"]]
    assert len(set(counts)) > 1
    for index, row in enumerate(adaptive["results"]):
        alone = asked(client, [ROWS[index]], samples=row["samples"], threshold=threshold, include=include)
        (fixed,) = alone["results"]
        assert len(row["sample_outputs"]) == row["samples"]
        # One look at the end of a fixed request may settle what several looks with the same error did not.
        assert_alike(row | {"settled": True}, fixed | {"settled": True})


def test_rows_that_take_all_samples_say_whether_they_are_settled(
    repository: Repository, serve: Serve
) -> None:
    repository.add()
    client = serve()
    most = {"min": 16, "max": 60}
    score = asked(client, [ROWS[2]], samples=60)["results"][0]["score"]
    (near,) = asked(client, [ROWS[2]], samples=most, threshold=score * 1.001)["results"]
    assert (near["samples"], near["settled"]) == (60, False)
    (far,) = asked(client, [ROWS[2]], samples=most, threshold=-1)["results"]
    assert (far["samples"], far["settled"], far["low_confidence"]) == (16, True, True)


def test_what_was_drawn_is_counted(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    counter = 'unsure_samples_total{model="small",version="1"} '

    def drawn() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.removeprefix(counter)) for line in lines if line.startswith(counter))

    before = drawn()
    results = asked(client, samples={"min": 16, "max": 300}, threshold=0.5)["results"]
    assert drawn() - before == sum(row["samples"] for row in results) < 300 * len(ROWS)


def test_a_model_may_sample_adaptively_by_default(repository: Repository, serve: Serve) -> None:
    repository.add(sampling={"samples": {"min": 16, "max": 200, "error": 0.02}})
    client = serve()
    rounds = {"min": 16, "max": 200, "error": 0.02}
    assert client.get("/v1/models/small").json()["sampling"]["samples"] == rounds
    assert asked(client)["samples"] == rounds


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"min": 1, "max": 400}, "samples.min must be from 2 to samples.max, 400, and is 1"),
        ({"min": 50, "max": 40}, "samples.min must be from 2 to samples.max, 40, and is 50"),
        ({"min": 16, "max": 1001}, "samples.max must be from 2 to 1000, and is 1001"),
        ({"min": 16, "max": 400, "error": 0}, "samples.error must be from 1e-06 to 0.25, and is 0"),
        ({"min": 16, "max": 400, "error": 0.5}, "samples.error must be from 1e-06 to 0.25, and is 0.5"),
        ({"min": 16, "max": 400, "most": 3}, "unknown field `most`"),
        ({"min": 16}, "missing required field `max`"),
        ({"min": 16.5, "max": 400}, "expected `int`"),
    ],
)
def test_a_bad_range_is_400(
    repository: Repository, serve: Serve, samples: dict[str, Any], message: str
) -> None:
    repository.add()
    answer = serve().post(UNCERTAINTY, json={"inputs": ROWS, "samples": samples})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert message in answer.json()["error"]
