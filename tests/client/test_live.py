"""Both clients against a real server, over a real socket, and its answers as curl would have them."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import taggers
from repositories import Repository
from servers import listening, wait_until_ready
from unsure_client import (
    AdaptiveSamples,
    Batching,
    ClassPredictions,
    ClassUncertainties,
    InvalidInput,
    NoDropout,
    NotFound,
    Retries,
    TooLarge,
    Unauthorized,
    ValuePredictions,
    ValueUncertainties,
)
from waited import KINDS, client_of

from service.access.issue import issue
from service.app import build
from service.settings import Settings

ROWS = np.random.default_rng(0).normal(size=(20, 6)).round(3)
BODY_BYTES = 2000  # of which the 20 rows take about a half
PENDING_SAMPLES = 20_000
VALUES: dict[str, Any] = {
    "task": "regression",
    "factory": "values",
    "output": {"variance_head": True},
    "policy": {"measure": "standard_deviation", "threshold": 1e9},
}
POLICY = {"measure": "predictive_entropy", "threshold": 1.08}
TWO = [
    {"name": "left", "dtype": "float32", "shape": [2]},
    {"name": "right", "dtype": "int64", "shape": [3]},
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    repository = Repository(tmp_path_factory.mktemp("client") / "repository")
    for version in (1, 2):
        repository.add(version=version, policy=POLICY)
    repository.add("named", columns={"features": list("abcdef")})
    repository.add("values", **VALUES)
    repository.add("two", factory="two_inputs", input=TWO)
    repository.add("plain", factory="plain")
    taggers.add(repository, policy=POLICY | {"threshold": 0.0, "review": False})
    settings = Settings(
        repository=repository.path,
        factories="networks",
        plan="vmap",
        max_body_bytes=BODY_BYTES,
        max_pending_samples=PENDING_SAMPLES,
        deadline_seconds=120,  # a machine that is busy with other things is slow, and not wrong
    )
    with listening(build(settings)) as address, httpx.Client(base_url=f"http://{address}") as http:
        wait_until_ready(http)
        yield f"http://{address}"


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    with client_of(request.param, address, timeout=120, retries=Retries(0)) as client:
        yield client


def curled(address: str, path: str, **body: Any) -> Any:
    answer = httpx.post(f"{address}/v1/models/{path}", json={"inputs": ROWS.tolist()} | body, timeout=120)
    return answer.raise_for_status().json()


def assert_rows_are(result: Any, rows: list[dict[str, Any]], names: set[str]) -> None:
    """Hold each column to what the server says of each row."""
    assert len(result) == len(rows)
    for name in names:
        np.testing.assert_allclose(getattr(result, name), [row[name] for row in rows], rtol=1e-5, atol=1e-7)


def test_predictions_of_classes(client: Any, address: str) -> None:
    rows = curled(address, "small/predict")["predictions"]
    result = client.predict("small", ROWS, request_id="mine")
    assert isinstance(result, ClassPredictions)
    assert (result.model, result.version, result.request_ids) == ("small", "2", ("mine",))
    assert result.label == tuple(row["label"] for row in rows)
    assert result.probabilities.shape == (20, 3)
    assert result.class_index.dtype == np.int64
    assert_rows_are(result, rows, set(rows[0]) - {"label"})


def test_predictions_of_values(client: Any, address: str) -> None:
    rows = curled(address, "values/predict")["predictions"]
    result = client.predict("values", ROWS)
    assert isinstance(result, ValuePredictions)
    assert result.value.shape == (20, 2)
    assert_rows_are(result, rows, set(rows[0]))


def test_uncertainty_of_classes(client: Any, address: str) -> None:
    body = {"samples": 30, "seed": 5, "threshold": 1.08, "include": ["samples", "quantiles"]}
    told = curled(address, "small/uncertainty", **body)
    result = client.uncertainty("small", ROWS, **body, review=False)
    assert isinstance(result, ClassUncertainties)
    assert (result.seed, result.sampling) == (5, AdaptiveSamples(30, 30, told["samples"]["error"]))
    assert json.loads(json.dumps(asdict(result.policy))) == told["policy"]
    rows = told["results"]
    apart = {"label", "reasons", "review_id", "sample_outputs", "quantiles"}
    assert_rows_are(result, rows, set(rows[0]) - apart)
    assert result.label == tuple(row["label"] for row in rows)
    assert [[vars(reason) for reason in reasons] for reasons in result.reasons] == [
        row["reasons"] for row in rows
    ]
    assert result.low_confidence.dtype == np.bool_
    assert 0 < result.low_confidence.sum() < 20
    assert result.review_id == (None,) * 20
    np.testing.assert_allclose(result.sample_outputs, [row["sample_outputs"] for row in rows], rtol=1e-5)
    for name in ("0.05", "0.5", "0.95"):
        np.testing.assert_allclose(
            result.quantiles[name], [row["quantiles"][name] for row in rows], rtol=1e-5
        )


def test_uncertainty_of_values(client: Any, address: str) -> None:
    rows = curled(address, "values/uncertainty", samples=20)["results"]
    result = client.uncertainty("values", ROWS, samples=20)
    assert isinstance(result, ValueUncertainties)
    assert_rows_are(result, rows, {"mean", "variance", "aleatoric_variance", "total_variance", "score"})
    np.testing.assert_allclose(result.interval_lower, [row["interval"]["lower"] for row in rows], rtol=1e-5)
    np.testing.assert_allclose(result.interval_upper, [row["interval"]["upper"] for row in rows], rtol=1e-5)
    assert result.interval_level == rows[0]["interval"]["level"]
    assert result.interval_method == rows[0]["interval"]["method"]
    assert result.sample_outputs is None
    assert result.quantiles is None


def test_adaptive_samples_differ_by_row(client: Any) -> None:
    result = client.uncertainty("small", ROWS, samples=AdaptiveSamples(8, 200), include=["samples"])
    assert (result.sampling.min, result.sampling.max) == (8, 200)
    assert len(set(result.samples.tolist())) > 1
    assert [len(outputs) for outputs in result.sample_outputs] == result.samples.tolist()


def test_many_requests_give_the_answer_of_one(address: str) -> None:
    whole = curled(address, "small/uncertainty", samples=30, seed=5)["results"]
    for kind in KINDS:
        with client_of(kind, address, timeout=120, batching=Batching(rows=3)) as client:
            result = client.uncertainty("small", ROWS, samples=30, seed=5, request_id="mine")
        assert result.request_ids == tuple(f"mine.{first}" for first in range(0, 20, 3))
        assert_rows_are(result, whole, {"mean", "variance", "score", "low_confidence", "samples"})


def test_fresh_networks_are_the_same_in_all_requests_of_a_call(address: str) -> None:
    same = np.repeat(ROWS[:1], 4, axis=0)
    with client_of("async", address, timeout=120, batching=Batching(rows=1)) as client:
        first, second = (client.uncertainty("small", same, samples=20, seed="fresh") for _ in range(2))
    for result in (first, second):
        np.testing.assert_allclose(result.mean, result.mean[:1].repeat(4, axis=0), rtol=1e-5)
    assert first.seed != second.seed


def test_what_the_server_finds_too_large_is_halved(client: Any, address: str) -> None:
    """By its body, and by the samples that may wait."""
    many = np.tile(ROWS, (5, 1))
    result = client.predict("small", many, request_id="mine")
    assert len(result) == 100
    assert {"mine.0.0", "mine.0.1"} <= {name[:8] for name in result.request_ids}
    np.testing.assert_allclose(result.probabilities[:20], result.probabilities[80:], rtol=1e-5)
    assert len(client.uncertainty("small", ROWS, samples=1000)) == 20


def test_one_row_that_is_too_large_is_told(client: Any) -> None:
    with pytest.raises(TooLarge, match="of rows 1 to 1: the body is over") as caught:
        client.predict("small", [[0.5] * 6, [0.5] * 2000])
    assert caught.value.rows == range(1, 2)


def test_an_error_says_which_request_and_which_rows(address: str) -> None:
    wrong = [*ROWS.tolist()[:5], [1.0]]
    for kind in KINDS:
        with (
            client_of(kind, address, batching=Batching(rows=4)) as client,
            pytest.raises(InvalidInput, match=r"of rows 4 to 5: .*row 1 has") as caught,
        ):
            client.predict("small", wrong, request_id="mine")
        error = caught.value
        assert (error.status, error.code, error.request_id) == (400, "invalid_input", "mine.4")
        assert error.rows == range(4, 6)


def test_tokens_are_arrays_of_each_text(client: Any, address: str) -> None:
    texts = ["a good film", "bad", "not bad films"]
    found = client.predict("tags", texts)
    curl = curled(address, "tags/predict", inputs=texts)["predictions"]
    assert [of.label for of in found.tokens] == [tuple(one["label"] for one in row["tokens"]) for row in curl]
    assert found.tokens[2].probabilities.shape == (4, taggers.CLASSES)
    table = found.to_pandas()
    assert table["row"].tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert table["text"].tolist()[-2:] == ["film", "s"]
    result = client.uncertainty("tags", texts, samples=8)
    assert len(result) == 3
    assert result.score.tolist() == pytest.approx([of.score.max() for of in result.tokens])
    assert result.low_confidence.tolist() == [True] * 3
    assert "at '" in result.reasons[0][0].message
    assert (result.tokens[0].start.tolist(), result.tokens[0].end.tolist()) == ([0, 2, 7], [1, 6, 11])
    series = client.uncertainty("tags", pd.Series(texts, index=[7, 8, 9]), samples=8)
    assert series.to_pandas().index.tolist() == [7, 8, 9]
    assert series.tokens_to_pandas()["row"].tolist() == [7, 7, 7, 8, 9, 9, 9, 9]
    assert "mean_3" in series.tokens_to_pandas()


def test_errors_are_told_by_their_class(client: Any) -> None:
    for kind, ask in (
        (NotFound, lambda: client.predict("nobody", ROWS)),
        (NotFound, lambda: client.predict("small", ROWS, version=9)),
        (NotFound, lambda: client.model("no/body?")),
        (NoDropout, lambda: client.uncertainty("plain", ROWS)),
        (InvalidInput, lambda: client.uncertainty("small", ROWS, samples=1)),
    ):
        with pytest.raises(kind) as caught:
            ask()
        assert caught.value.rows is None


def test_versions_are_reached_by_number(client: Any) -> None:
    first, second = (client.predict("small", ROWS, version=number) for number in (1, "2"))
    assert (first.version, second.version) == ("1", "2")
    assert not np.allclose(first.probabilities, second.probabilities)


def test_a_data_frame_is_told_back_by_its_index(client: Any) -> None:
    frame = pd.DataFrame(ROWS, columns=list("abcdef"), index=[f"patient {number}" for number in range(20)])
    told = client.uncertainty("small", frame, samples=20).to_pandas()
    assert list(told.index) == list(frame.index)
    plain = client.uncertainty("small", ROWS, samples=20)
    np.testing.assert_allclose(told[["mean_0", "mean_1", "mean_2"]], plain.mean, rtol=1e-5)
    assert told["low_confidence"].tolist() == plain.low_confidence.tolist()
    assert set(told["reasons"]) == {"", "score_above_threshold"}
    assert list(client.predict("small", frame).to_pandas()["label"]) == list(
        client.predict("small", ROWS).label
    )
    values = client.uncertainty("values", frame, samples=20).to_pandas()
    assert {"mean_1", "aleatoric_variance_0", "interval_lower_1", "score"} <= set(values)
    assert set(client.predict("values", frame).to_pandas()) >= {"value_0", "aleatoric_variance_1"}


def test_the_columns_of_a_data_frame_are_found_by_name(client: Any) -> None:
    frame = pd.DataFrame(ROWS, columns=list("abcdef"))
    plain = client.predict("named", ROWS)
    turned = client.predict("named", frame[list("fbdace")])
    np.testing.assert_allclose(turned.probabilities, plain.probabilities, rtol=1e-5)
    sampled = client.uncertainty("named", frame[list("edcbaf")], samples=20)
    np.testing.assert_allclose(sampled.mean, client.uncertainty("named", ROWS, samples=20).mean, rtol=1e-5)
    by_name = client.predict("named", frame[list("fbdace")].to_dict("records"))
    np.testing.assert_allclose(by_name.probabilities, plain.probabilities, rtol=1e-5)
    with pytest.raises(InvalidInput, match=r"unknown to the model, 'A' \(did you mean 'a'\?\)"):
        client.predict("named", frame.rename(columns={"a": "A"}))
    with pytest.raises(InvalidInput, match=r"row 0 has 'A' \(did you mean 'a'\?\)"):
        client.predict("named", frame.rename(columns={"a": "A"}).to_dict("records"))
    assert client.model("named").inputs[0].columns == tuple("abcdef")


def test_inputs_have_names(client: Any) -> None:
    left, right = ROWS[:, :2], np.arange(60).reshape(20, 3)
    whole = client.predict("two", {"left": left, "right": right})
    framed = client.predict("two", {"left": pd.DataFrame(left), "right": right.tolist()})
    np.testing.assert_allclose(framed.probabilities, whole.probabilities, rtol=1e-5)


def test_models_are_described(client: Any) -> None:
    assert {line.name: line.versions for line in client.models()} == {
        "named": ("1",),
        "plain": ("1",),
        "small": ("1", "2"),
        "tags": ("1",),
        "two": ("1",),
        "values": ("1",),
    }
    model = client.model("small")
    assert (model.name, model.version, model.task) == ("small", "2", "classification")
    assert (model.inputs[0].shape, model.output.labels) == ((6,), ("a", "b", "c"))
    assert (model.sampling.max_samples, model.policy.threshold) == (1000, 1.08)
    assert model.sampling.samples == 50
    assert model.plan["by_rows"]
    report = client.dropout("small")
    assert report.can_sample
    assert [(site.kind, site.rate, site.mask_shape) for site in report.sites] == [
        ("dropout", 0.5, (1, 32))
    ] * 2


def test_readiness_is_asked(client: Any) -> None:
    client.wait_until_ready(60)
    assert client.ready() is True
    with client_of("blocking", "http://127.0.0.1:9") as nobody:
        assert nobody.ready() is False


def test_a_key_is_sent(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.add()
    path = tmp_path / "keys.toml"
    key = issue(path, "ward", ("predict",))
    settings = Settings(repository=repository.path, factories="networks", plan="vmap", api_keys_file=path)
    with listening(build(settings)) as address:
        for kind in KINDS:
            with client_of(kind, f"http://{address}/", api_key=key) as client:
                client.wait_until_ready()
                assert len(client.predict("small", ROWS)) == 20
            with client_of(kind, f"http://{address}") as client, pytest.raises(Unauthorized):
                client.predict("small", ROWS)
