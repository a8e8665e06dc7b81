"""POST …/infer of the Open Inference Protocol: what it refuses, always in the one shape of errors."""

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from errors_on_the_wire import assert_failed
from protocol import HEADER, INFER, ROWS, binary, body, tensor
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    repository.add()
    return serve(max_body_bytes=100_000)


BAD_REQUESTS: dict[str, tuple[Any, str]] = {
    "no inputs": ({}, "missing required field `inputs`"),
    "inputs of none": (body() | {"inputs": []}, "inputs must be features, each once, and are none"),
    "an array": ([], "expected `object`, got `array`"),
    "another input": (body(tensor(name="x")), "inputs must be features, each once, and are x"),
    "an input twice": (body(tensor(), tensor()), "each once, and are features, features"),
    "another datatype": (body(tensor(datatype="FP64")), "must have datatype FP32, and has FP64"),
    "no datatype there is": (body(tensor(datatype="float32")), "must have datatype FP32, and has float32"),
    "zero rows": (body(tensor(shape=[0, 6], data=[])), "expected `int` >= 1"),
    "no rows' dimension": (body(tensor(ROWS[0])), "must have shape [rows, 6], none of it 0, and has [6]"),
    "a wrong width": (body(tensor(ROWS[:, :5])), "must have shape [rows, 6], none of it 0, and has [2, 5]"),
    "a negative size": (body(tensor(shape=[-1, 6])), "expected `int` >= 1"),
    "a size of many digits": (body(tensor(shape=[10**4000, 6])), "expected `int` <= 9223372036854775807"),
    "a size as text": (body(tensor(shape=["2", 6])), "expected `int`, got `str`"),
    "too few numbers": (body(tensor(data=[1.0] * 11)), "takes 12 numbers, flat or nested so"),
    "other nesting": (body(tensor(data=[[1.0] * 4] * 3)), "data has shape [3, 4]"),
    "ragged data": (body(tensor(data=[[1.0] * 5, [1.0] * 7])), "data must be 12 numbers"),
    "null data": (body(tensor(data=None)), "data must be 12 numbers that fit FP32"),
    "null for a number": (body(tensor(data=[None] * 12)), "data must be 12 numbers that fit FP32"),
    "truths for numbers": (body(tensor(data=[True] * 12)), "data must be 12 numbers that fit FP32"),
    "text for numbers": (body(tensor(data=["1"] * 12)), "data must be 12 numbers that fit FP32"),
    "a number too large": (
        body(tensor(data=[1e39] * 12)),
        "row 0 holds NaN, infinity, or a number too large",
    ),
    "no data": (body({"name": "features", "datatype": "FP32", "shape": [2, 6]}), "has no data and no binary"),
    "an unknown output": (
        body(outputs=[{"name": "logits"}]),
        "there is no output 'logits'; there are: output",
    ),
    "classes": (
        body(outputs=[{"name": "output", "parameters": {"classification": 2}}]),
        "parameters.classification is not supported",
    ),
    "shared memory": (
        body(outputs=[{"name": "output", "parameters": {"shared_memory_region": "here"}}]),
        "parameters.shared_memory_region is not supported",
    ),
    "binary as text": (
        body(outputs=[{"name": "output", "parameters": {"binary_data": "no"}}]),
        "parameters.binary_data must be true or false",
    ),
    "an identifier that is a number": (body(id=7), "expected `str | null`, got `int`"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_400(client: TestClient, case: str) -> None:
    given, message = BAD_REQUESTS[case]
    assert_failed(client.post(INFER, json=given), 400, "invalid_input", message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": "many"}, "parameters.samples must be an integer"),
        ({"samples": 2.5}, "parameters.samples must be an integer, and is 2.5"),
        ({"samples": True}, "parameters.samples must be an integer"),
        ({"samples": 1}, "samples must be from 2 to 1000, and is 1"),
        ({"samples": 1001}, "samples must be from 2 to 1000, and is 1001"),
        ({"seed": "7"}, "parameters.seed must be an integer"),
        ({"seed": -1}, "seed must be from 0 to 2**64 - 1, and is -1"),
        ({"seed": 2**64}, "seed must be from 0 to 2**64 - 1"),
        ({"timeout": 1.5}, "parameters.timeout must be an integer, and is 1.5"),
        ({"timeout": -1}, "parameters.timeout must be microseconds, from 0, and is -1"),
        ({"binary_data_output": 1}, "parameters.binary_data_output must be true or false"),
        ({"x": None}, "got `null`"),
        ({"x": [1]}, "got `array`"),
        ({"x": {}}, "got `object`"),
        ([], "got `array`"),
    ],
)
def test_a_bad_parameter_is_400(client: TestClient, given: Any, message: str) -> None:
    assert_failed(client.post(INFER, json=body(parameters=given)), 400, "invalid_input", message)


@pytest.mark.parametrize("where", ["input", "output"])
def test_parameters_are_scalars_wherever_they_are(client: TestClient, where: str) -> None:
    nested = {"parameters": {"x": [1]}}
    given = body(tensor(**nested)) if where == "input" else body(outputs=[{"name": "output", **nested}])
    assert_failed(client.post(INFER, json=given), 400, "invalid_input", "got `array`")


def test_json_has_no_nan(client: TestClient) -> None:
    text = json.dumps(body(tensor(data=[float("nan")] * 12)))
    assert_failed(client.post(INFER, content=text), 400, "invalid_input", "JSON has no NaN")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_binary_has_no_nan_either(client: TestClient, value: float) -> None:
    rows = ROWS.copy()
    rows[1, 2] = value
    content, headers = binary(rows)
    answer = client.post(INFER, content=content, headers=headers)
    assert_failed(answer, 400, "invalid_input", "row 1 holds NaN, infinity")


def sent(content: bytes, **headers: str) -> dict[str, Any]:
    return {"content": content, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}


def _declared(size: Any, **more: Any) -> bytes:
    given = tensor(parameters={"binary_data_size": size})
    del given["data"]
    return json.dumps(body(given | more)).encode()


def _behind(head: bytes, blob: bytes, length: int | None = None) -> dict[str, Any]:
    return {"content": head + blob, "headers": {HEADER: str(len(head) if length is None else length)}}


HEAD, BLOB = _declared(48), ROWS.tobytes()
BAD_BINARIES: dict[str, tuple[dict[str, Any], str]] = {
    "bytes too few": (_behind(HEAD, BLOB[:-4]), "binary_data_size is 48, and 44 bytes are left"),
    "bytes too many": (
        _behind(HEAD, BLOB + b"1234"),
        "52 bytes follow the JSON, and the inputs account for 48",
    ),
    "of another size": (
        _behind(_declared(44), BLOB[:-4]),
        "of shape [2, 6] takes 48 bytes, and 44 were sent",
    ),
    "negative": (_behind(_declared(-1), BLOB), "binary_data_size must be a number of bytes, and is -1"),
    "text": (_behind(_declared("48"), BLOB), "binary_data_size must be a number of bytes"),
    "truth": (_behind(_declared(True), BLOB), "binary_data_size must be a number of bytes"),
    "data too": (
        _behind(_declared(48, data=[1.0]), BLOB),
        "has data and a binary_data_size; give one of them",
    ),
    "unused": (
        _behind(json.dumps(body()).encode(), b"x"),
        "1 bytes follow the JSON, and the inputs account for 0",
    ),
    "no header": ({"content": HEAD + BLOB}, "the body is not JSON"),
    "junk": ({"content": json.dumps(body()) + "{}"}, "the body is not JSON"),
    "a long header": (_behind(HEAD, BLOB, 10**6), f"{HEADER} must be from 0 to"),
    "a short header": (_behind(HEAD, BLOB, 5), "the body is not JSON"),
    "no JSON": (_behind(HEAD, BLOB, 0), "the body is empty; it must be a JSON object"),
    "digits": (sent(HEAD, **{HEADER.replace("-", "_"): "9" * 5000}), f"{HEADER} must be from 0 to"),
    "no number": (sent(HEAD, **{HEADER.replace("-", "_"): "-1"}), "and is '-1'"),
    "empty": ({"content": b""}, "the body is empty; it must be a JSON object"),
    "no gzip": (sent(HEAD, Content_Encoding="gzip"), "the body is not gzip"),
    "no deflate": (sent(HEAD, Content_Encoding="deflate"), "the body is not deflate"),
    "cut": (sent(gzip.compress(HEAD)[:-4], Content_Encoding="gzip"), "is not one whole gzip stream"),
    "more": (sent(zlib.compress(HEAD) + b"x", Content_Encoding="deflate"), "is not one whole deflate stream"),
    "br": (sent(HEAD, Content_Encoding="br"), "must be gzip, deflate or identity, and is 'br'"),
}


@pytest.mark.parametrize("case", BAD_BINARIES)
def test_a_bad_binary_body_is_400(client: TestClient, case: str) -> None:
    given, message = BAD_BINARIES[case]
    assert_failed(client.post(INFER, **given), 400, "invalid_input", message)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_inflates_over_the_limit_is_413(client: TestClient, encoding: str) -> None:
    large = json.dumps(body()).encode() + b" " * 100_000_000
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](large)
    del large
    tracemalloc.start()
    try:
        answer = client.post(INFER, **sent(bomb[:99_000], Content_Encoding=encoding))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_failed(answer, 413, "too_large", "the inflated body is over 100000 bytes")
    assert peak_bytes < 20_000_000


def test_a_body_of_just_the_limit_is_inflated(client: TestClient) -> None:
    text = json.dumps(body()).encode()
    for size, status in ((100_000, 200), (100_001, 413)):
        squeezed = gzip.compress(text + b" " * (size - len(text)))
        answer = client.post(INFER, **sent(squeezed, Content_Encoding="gzip"))
        assert answer.status_code == status


def test_a_body_over_the_limit_is_413(client: TestClient) -> None:
    content, headers = binary(np.zeros((5000, 6), np.float32))
    answer = client.post(INFER, content=content, headers=headers)
    assert_failed(answer, 413, "too_large", "the body is over 100000 bytes")


@pytest.mark.parametrize("more", [{"parameters": {"samples": 5}}, {"outputs": [{"name": "mean"}]}])
def test_samples_of_a_model_without_dropout_are_422(
    repository: Repository, serve: Serve, more: dict[str, Any]
) -> None:
    repository.add(factory="plain")
    client = serve()
    assert_failed(client.post(INFER, json=body(**more)), 422, "no_dropout", "has no dropout to sample")
    assert client.post(INFER, json=body()).status_code == 200


@pytest.mark.parametrize("samples", [None, 20])
def test_a_passed_timeout_is_504(client: TestClient, samples: int | None) -> None:
    more = {} if samples is None else {"samples": samples}
    answer = client.post(INFER, json=body(parameters={"timeout": 1} | more))
    assert_failed(answer, 504, "deadline_exceeded", "no answer within 1e-06 s")


@pytest.mark.parametrize("timeout", [0, 10**8, 10**400])
def test_a_long_timeout_or_none_is_good(client: TestClient, timeout: int) -> None:
    assert client.post(INFER, json=body(parameters={"timeout": timeout})).status_code == 200


def test_what_is_not_there_is_404(client: TestClient) -> None:
    for path in ("/v2/models/large/infer", "/v2/models/small/versions/7/infer"):
        assert_failed(client.post(path, json=body()), 404, "not_found", "no ")
    assert_failed(client.get(INFER), 405, "method_not_allowed", "it takes POST")


def test_outputs_of_both_kinds_are_admitted_together_or_not_at_all(
    repository: Repository, serve: Serve
) -> None:
    """Rows that never fit twice are too large: to ask again would not help."""
    repository.add()
    client = serve(max_pending_rows=3)
    both = body(outputs=[{"name": "output"}, {"name": "mean"}])
    assert_failed(client.post(INFER, json=both), 413, "too_large", "4 rows are more than the 3 that fit")
    assert client.post(INFER, json=body(parameters={"samples": 5})).status_code == 200
