"""What the fuzzing has found, one plain test each."""

import gzip
import json
import re
import tracemalloc
import zlib
from itertools import product
from typing import Any

import pytest
from errors_on_the_wire import assert_failed
from fuzzing import SPARE, Fuzzed
from repositories import Repository
from servers import Serve

from service.errors import InvalidInput
from service.predictor.inputs import InputReader
from service.repository.manifest import InputSpec

PREDICT = "/v1/models/small/predict"


@pytest.fixture(scope="module")
def document(fuzzed: Fuzzed) -> Any:
    with fuzzed.client() as client:
        return client.get("/openapi.json").json()


def test_binary_tensors_are_documented_both_ways(document: Any) -> None:
    for path in ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"):
        operation = document["paths"][path]["post"]
        for content in (operation["requestBody"]["content"], operation["responses"]["200"]["content"]):
            assert content.keys() == {"application/json", "application/octet-stream"}
        headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        assert headers == {"Inference-Header-Content-Length", "Content-Encoding"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_every_body_may_be_compressed(fuzzed: Fuzzed, document: Any, encoding: str) -> None:
    """The same answer as to the body itself; one that is not compressed as it says is 400 and named."""
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    bodies = [path for path, methods in document["paths"].items() if "requestBody" in methods.get("post", {})]
    assert len(bodies) >= 12
    headers = {"Content-Encoding": encoding}
    with fuzzed.client() as client:
        for path in bodies:
            model = SPARE if "repository" in path else "small"
            url = path.format(model=model, version="1", id="0" * 32)
            body = json.dumps({"inputs": [[0.5] * 6]}).encode()
            plain = client.post(url, content=body)
            squeezed = client.post(url, content=compress(body), headers=headers)
            assert plain.status_code == squeezed.status_code, path
            assert _but_for_identifiers(plain) == _but_for_identifiers(squeezed), path
            if plain.status_code == 200:
                assert_failed(client.post(url, content=body, headers=headers), 400, "invalid_input", encoding)
                both = [("Content-Encoding", encoding)] * 2
                assert_failed(
                    client.post(url, content=compress(body), headers=both),
                    400,
                    "invalid_input",
                    "Content-Encoding",
                )


def _but_for_identifiers(answer: Any) -> str:
    return re.sub(r"[0-9a-f-]{32,36}", "", answer.text)


ODD_NAMES = [
    "a" * 256,
    "a" * 4000,
    "%C3%A9" * 200,
    "%00",
    "%2e%2e",
    "a%2Fb",
    "a%0Ab",
    "%ff",
    "-",
    " ",
    "9" * 400,
]


def test_no_name_in_a_path_is_a_fault_of_the_server(fuzzed: Fuzzed, document: Any) -> None:
    """Of every operation, in the place of every parameter: file systems and databases refuse some."""
    asked = 0
    with fuzzed.client() as client:
        for path, methods in document["paths"].items():
            for method, parameter, name in product(methods, ("model", "version", "id"), ODD_NAMES):
                if f"{{{parameter}}}" not in path:
                    continue
                usual = {"model": "small", "version": "1", "id": "0" * 32} | {parameter: name}
                answer = client.request(
                    method, path.format(**usual), content=b"{}" if method == "post" else None
                )
                assert answer.status_code in (400, 404, 405), (method, path, name)
                assert answer.json().keys() == {"error", "code", "request_id"}
                asked += 1
    assert asked > 100


def test_the_document_is_an_object_by_its_own_account(document: Any) -> None:
    content = document["paths"]["/openapi.json"]["get"]["responses"]["200"]["content"]
    assert content == {"application/json": {"schema": {"type": "object"}}}


def test_limits_are_documented(document: Any) -> None:
    schemas = document["components"]["schemas"]
    body, adaptive = schemas["UncertaintyBody"]["properties"], schemas["AdaptiveSamples"]["properties"]
    seed, number = body["seed"]["anyOf"][0], body["samples"]["anyOf"][0]
    assert (seed["minimum"], seed["maximum"]) == (0, 2**64 - 1)
    assert number["minimum"] == adaptive["min"]["minimum"] == adaptive["max"]["minimum"] == 2
    assert (adaptive["error"]["minimum"], adaptive["error"]["maximum"]) == (1e-6, 0.25)
    assert body["inputs"]["oneOf"][0]["minItems"] == body["inputs"]["oneOf"][1]["minProperties"] == 1
    infer = schemas["InferBody"]["properties"]
    assert infer["inputs"]["minItems"] == 1
    assert infer["parameters"]["anyOf"][0]["properties"]["samples"] == {"type": "integer", "minimum": 2}
    assert schemas["InferInput"]["properties"]["shape"]["items"]["minimum"] == 1
    parameters = document["paths"]["/v1/models/{model}/versions/{version}/predict"]["post"]["parameters"]
    model, version, _encoding = parameters
    assert "pattern" in model["schema"]
    assert "pattern" in version["schema"]


@pytest.mark.parametrize("length", ["\u00b2", "27, 27", "-1"])
def test_an_odd_content_length_is_no_fault_of_the_server(
    repository: Repository, serve: Serve, length: str
) -> None:
    """A server in front of the application may pass on what this one's own refuses."""
    repository.add()
    headers = {b"content-length": length.encode("latin-1")}
    answer = serve().post(PREDICT, content=b'{"inputs": []}', headers=headers)
    assert_failed(answer, 400, "invalid_input", "must be an array of at least one row")


@pytest.mark.parametrize("rows", [b"1," * 1_000_000 + b"1", b"[]," * 1_000_000 + b"[]"])
def test_a_complaint_about_one_row_does_not_hold_them_all(rows: bytes) -> None:
    """It took half a gigabyte for 16 megabytes of rows."""
    reader = InputReader([InputSpec("features", "float32", (6,))])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=r"rows must have shape \[6\]; row 0 has"):
            reader.read(b"[" + rows + b"]")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * len(rows)


@pytest.mark.parametrize("wrong", ["[1, 2]", '"text"', '{"a": ' + "1" * 5000 + "}", "{}"])
def test_a_complaint_finds_its_row_behind_others(wrong: str) -> None:
    reader = InputReader([InputSpec("features", "float32", (1,))])
    with pytest.raises(InvalidInput, match=r"rows must have shape \[1\]; row 2 (has|is)"):
        reader.read(f" [ [1] ,\n[2],{wrong}, [4, {json.dumps('[')}]]".encode())


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/models/spare/load"])
def test_only_what_is_empty_is_an_empty_body(fuzzed: Fuzzed, path: str) -> None:
    """Blanks are no JSON, and were taken for a body that is not there."""
    with fuzzed.client() as client:
        assert client.post(path).status_code == 200
        assert_failed(client.post(path, content=b"\r\n"), 400, "invalid_input", "the body is empty")
