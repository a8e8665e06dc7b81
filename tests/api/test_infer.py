"""POST …/infer of the Open Inference Protocol: what it answers."""

import gzip
import json
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from protocol import HEADER, INFER, ROWS, binary, body, outputs, parameters, tensor
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

from service.api.infer_reply import SAMPLED, infer_response

OF_SAMPLES = [*SAMPLED]


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    repository.add()
    return serve(max_body_bytes=100_000)


def test_a_plain_request_is_answered_as_predict_answers(client: TestClient) -> None:
    answer = client.post(INFER, json=body(id="mine"))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() | {"outputs": []} == {
        "model_name": "small",
        "model_version": "1",
        "id": "mine",
        "parameters": {"mode": "deterministic"},
        "outputs": [],
    }
    native = client.post("/v1/models/small/predict", json={"inputs": ROWS.tolist()}).json()
    assert outputs(answer).keys() == {"output"}
    assert np.allclose(outputs(answer)["output"], [row["probabilities"] for row in native["predictions"]])
    assert answer.json()["outputs"][0]["shape"] == [2, 3]
    assert answer.json()["outputs"][0]["datatype"] == "FP32"


def test_a_version_is_named_by_its_path(repository: Repository, serve: Serve) -> None:
    repository.add(version=1)
    repository.add(version=3)
    client = serve()
    assert client.post(INFER, json=body()).json()["model_version"] == "3"
    older = client.post("/v2/models/small/versions/1/infer", json=body())
    assert older.json()["model_version"] == "1"
    assert not np.allclose(outputs(older)["output"], outputs(client.post(INFER, json=body()))["output"])


@pytest.mark.parametrize("more", [{}, {"id": ""}, {"id": None}])
def test_an_identifier_is_made_where_none_is_given(client: TestClient, more: dict[str, Any]) -> None:
    answer = client.post(INFER, json=body(**more))
    assert answer.json()["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"samples": 20}},
        {"parameters": {"samples": 20, "seed": 7}},
        {"parameters": {"seed": 7}},
        {"outputs": [{"name": name} for name in OF_SAMPLES]},
    ],
)
def test_samples_a_seed_or_an_output_of_samples_make_a_request_for_samples(
    client: TestClient, more: dict[str, Any]
) -> None:
    answer = client.post(INFER, json=body(**more))
    asked = more.get("parameters", {})
    samples, seed = asked.get("samples", 50), asked.get("seed", 0)
    assert parameters(answer) == {
        "mode": "mc_dropout",
        "samples": samples,
        "seed": seed,
        "certified": False,
    }
    native = client.post(
        "/v1/models/small/uncertainty", json={"inputs": ROWS.tolist(), "samples": samples, "seed": seed}
    ).json()
    found = outputs(answer)
    assert sorted(found) == sorted(OF_SAMPLES)
    for name, values in found.items():
        assert np.allclose(values, [row[name] for row in native["results"]], atol=1e-6), name
    assert found["low_confidence"].dtype == bool
    assert 'mode="mc_dropout",model="small",version="1"' in client.get("/metrics").text


def test_another_seed_draws_other_networks(client: TestClient) -> None:
    means = [
        outputs(client.post(INFER, json=body(parameters={"samples": 20, "seed": seed})))["mean"]
        for seed in (1, 2)
    ]
    assert not np.allclose(*means)


def test_only_named_outputs_are_given_in_their_order(client: TestClient) -> None:
    names = ["score", "output", "mean"]
    answer = client.post(INFER, json=body(outputs=[{"name": name} for name in names]))
    assert [output["name"] for output in answer.json()["outputs"]] == names
    assert parameters(answer)["mode"] == "mc_dropout"
    plain = outputs(client.post(INFER, json=body()))["output"]
    assert np.allclose(outputs(answer)["output"], plain)
    assert not np.allclose(outputs(answer)["mean"], plain)
    alone = client.post(INFER, json=body(outputs=[{"name": "output"}]))
    assert parameters(alone) == {"mode": "deterministic"}


def test_a_regression_has_values_and_no_entropies(repository: Repository, serve: Serve) -> None:
    policy = {"measure": "standard_deviation", "threshold": 1}
    repository.add(factory="values", task="regression", output={"variance_head": True}, policy=policy)
    client = serve()
    found = outputs(client.post(INFER, json=body(parameters={"samples": 10})))
    assert found.keys() == {"mean", "variance", "standard_error", "score", "low_confidence"}
    declared = client.get("/v2/models/small").json()["outputs"]
    assert {tensor["name"] for tensor in declared} == found.keys() | {"output"}
    widths = {tensor["name"]: tensor["shape"][1:] for tensor in declared}
    assert all(list(values.shape[1:]) == widths[name] for name, values in found.items())


def test_tensors_go_and_come_in_binary(client: TestClient) -> None:
    content, headers = binary(parameters={"binary_data_output": True, "samples": 10})
    answer = client.post(INFER, content=content, headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    expected = outputs(client.post(INFER, json=body(parameters={"samples": 10})))
    for name, values in outputs(answer).items():
        assert values.dtype == (bool if name == "low_confidence" else np.float32)
        assert np.allclose(values, expected.pop(name), rtol=1e-6), name
    assert not expected


def test_binary_is_asked_for_output_by_output(client: TestClient) -> None:
    def answered(by_default: bool, **chosen: bool | None) -> list[str]:
        named = [
            {"name": name} | ({} if binary is None else {"parameters": {"binary_data": binary}})
            for name, binary in chosen.items()
        ]
        more = {"parameters": {"binary_data_output": by_default}}
        answer = client.post(INFER, json=body(outputs=named, **more))
        length = int(answer.headers.get(HEADER, len(answer.content)))
        head = json.loads(answer.content[:length])
        assert outputs(answer).keys() == chosen.keys()
        return [output["name"] for output in head["outputs"] if "parameters" in output]

    assert answered(False, mean=True, score=None, output=False) == ["mean"]
    assert answered(True, mean=None, score=False) == ["mean"]
    assert answered(False, output=None) == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", "GZIP"])
def test_a_header_length_counts_the_inflated_body(client: TestClient, encoding: str) -> None:
    content, headers = binary()
    squeezed = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding.lower()](content)
    answer = client.post(INFER, content=squeezed, headers=headers | {"Content-Encoding": encoding})
    assert np.allclose(outputs(answer)["output"], outputs(client.post(INFER, json=body()))["output"])


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}]
)
def test_no_content_type_is_asked_for(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post(INFER, content=json.dumps(body()), headers=headers)
    assert answer.request.headers.get("content-type") == headers.get("Content-Type")
    assert answer.status_code == 200


def test_what_is_left_out_may_be_written_as_null(client: TestClient) -> None:
    nothing = {"parameters": None}
    given = body(tensor(**nothing), id=None, outputs=None, **nothing)
    assert outputs(client.post(INFER, json=given)).keys() == {"output"}
    named = body(outputs=[{"name": "output", **nothing}])
    assert outputs(client.post(INFER, json=named)).keys() == {"output"}


def test_what_other_servers_know_is_passed_over(client: TestClient) -> None:
    given = body(model_name="small", parameters={"sequence_id": 5, "priority": 1, "purpose": "test"})
    assert parameters(client.post(INFER, json=given)) == {"mode": "deterministic"}


def test_data_may_be_nested_as_the_shape_says(client: TestClient) -> None:
    flat = outputs(client.post(INFER, json=body()))
    nested = outputs(client.post(INFER, json=body(tensor(data=ROWS.tolist()))))
    assert np.array_equal(nested["output"], flat["output"])


def test_several_inputs_come_in_any_order(repository: Repository, serve: Serve) -> None:
    tensors = [
        {"name": "left", "dtype": "float32", "shape": [2]},
        {"name": "right", "dtype": "int64", "shape": [3]},
    ]
    repository.add(factory="two_inputs", input=tensors)
    client = serve()
    left = {"name": "left", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
    right = {"name": "right", "datatype": "INT64", "shape": [1, 3], "data": [[4, 5, 6]]}
    native = client.post(
        "/v1/models/small/predict", json={"inputs": {"left": [[1, 2]], "right": [[4, 5, 6]]}}
    ).json()
    for given in ([left, right], [right, left]):
        found = outputs(client.post(INFER, json=body(*given)))["output"]
        assert np.allclose(found[0], native["predictions"][0]["probabilities"])


def test_binary_inputs_follow_each_other_in_the_order_of_the_json(
    repository: Repository, serve: Serve
) -> None:
    tensors = [
        {"name": "left", "dtype": "float64", "shape": [2]},
        {"name": "right", "dtype": "int32", "shape": [3]},
    ]
    repository.add(factory="two_wide_inputs", input=tensors)
    client = serve()
    right, left = np.array([[4, 5, 6]], "<i4"), np.array([[1, 2]], "<f8")
    given = [
        {"name": name, "datatype": kind, "shape": [*array.shape], "parameters": {"binary_data_size": size}}
        for name, kind, array, size in (("right", "INT32", right, 12), ("left", "FP64", left, 16))
    ]
    head = json.dumps(body(*given)).encode()
    answer = client.post(
        INFER, content=head + right.tobytes() + left.tobytes(), headers={HEADER: str(len(head))}
    )
    in_json = [given[0] | {"data": [4, 5, 6]}, given[1] | {"data": [1, 2]}]
    for one in in_json:
        del one["parameters"]
    expected = outputs(client.post(INFER, json=body(*in_json)))
    assert np.array_equal(outputs(answer)["output"], expected["output"])


def test_open_lengths_take_any(repository: Repository, serve: Serve) -> None:
    tensors = [{"name": "features", "dtype": "float32", "shape": [-1, 6]}]
    repository.add(factory="any_length", input=tensors)
    client = serve()
    for length in (1, 4):
        rows = np.ones((2, length, 6), np.float32)
        native = client.post("/v1/models/small/predict", json={"inputs": rows.tolist()}).json()
        found = outputs(client.post(INFER, json=body(tensor(rows))))["output"]
        assert np.allclose(found, [row["probabilities"] for row in native["predictions"]])


def test_no_number_is_null(client: TestClient) -> None:
    """NaN has no JSON; in binary it is what it is."""

    class Identity:
        model, version = "small", "1"

    class Model:
        identity = Identity

    array = np.array([[1.0, np.nan, np.inf]])
    written = infer_response(Model, "", {}, {SAMPLED["mean"]: array}, lambda _: False)  # type: ignore[arg-type]
    assert msgspec.json.decode(written.body)["outputs"][0]["data"] == [1.0, None, None]
    blob = infer_response(Model, "", {}, {SAMPLED["mean"]: array}, lambda _: True)  # type: ignore[arg-type]
    assert bytes(blob.body).endswith(array.astype("<f4").tobytes())


def test_requests_are_counted(client: TestClient) -> None:
    client.post(INFER, json=body())
    client.post(INFER, json=body(parameters={"samples": 0}))
    metrics = client.get("/metrics").text
    for code, mode in ((200, "deterministic"), (400, "mc_dropout")):
        line = f'unsure_requests_total{{code="{code}",mode="{mode}",model="small",version="1"}} 1.0'
        assert line in metrics
