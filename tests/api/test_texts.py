"""Texts as rows, on both faces, from a server."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import texts
import tritonclient.http as triton
from protocol import HEADER, outputs
from repositories import Repository
from servers import Serve, listening, wait_until_ready
from starlette.testclient import TestClient
from tritonclient.utils import serialize_byte_tensor

from service.app import build
from service.predictor.texts import TextReader
from service.settings import Settings

FILMS = ["a good film", "very very bad", "not good", "a film not good"]
INFER = "/v2/models/films/infer"


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    texts.add(repository)
    return serve(factories="texts")


def probabilities(client: TestClient, some: list[str]) -> Any:
    answer = client.post("/v1/models/films/predict", json={"inputs": some})
    assert answer.status_code == 200, answer.text
    return np.array([row["probabilities"] for row in answer.json()["predictions"]])


def test_a_text_has_one_answer_alone_and_beside_others(client: TestClient) -> None:
    together = probabilities(client, FILMS)
    assert np.allclose(together, np.concatenate([probabilities(client, [text]) for text in FILMS]), atol=1e-6)
    assert len(np.unique(together[:, 0])) == len(FILMS)
    asked = {"samples": 20, "seed": 7}
    both, one = (
        client.post("/v1/models/films/uncertainty", json={"inputs": some} | asked).json()["results"]
        for some in (FILMS, FILMS[-1:])
    )
    assert np.allclose(both[-1]["mean"], one[0]["mean"], atol=1e-6)
    assert min(row["variance"][0] for row in both) > 0


def test_texts_that_take_long_to_read_are_read_apart(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    usual = TextReader.read

    def seen(self: TextReader, inputs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return usual(self, inputs)

    monkeypatch.setattr(TextReader, "read", seen)
    many = FILMS * 200
    found = probabilities(client, many)
    assert np.allclose(found, np.tile(probabilities(client, FILMS), (200, 1)), atol=1e-6)
    refused = client.post("/v1/models/films/predict", json={"inputs": [*many, ""]})
    assert refused.status_code == 400
    assert "row 800 has nothing" in refused.json()["error"]
    assert [name.startswith("reading") for name in threads] == [True, False, True]


def test_both_forms_of_the_protocol_take_texts(client: TestClient) -> None:
    given = {"name": "text", "datatype": "BYTES", "shape": [4]}
    expected = probabilities(client, FILMS)
    answer = client.post(INFER, json={"inputs": [given | {"data": FILMS}]})
    assert np.allclose(outputs(answer)["output"], expected, atol=1e-6)
    blob = serialize_byte_tensor(np.array(FILMS, dtype=object)).item()
    head = json.dumps({"inputs": [given | {"parameters": {"binary_data_size": len(blob)}}]}).encode()
    answer = client.post(INFER, content=head + blob, headers={HEADER: str(len(head))})
    assert np.allclose(outputs(answer)["output"], expected, atol=1e-6)


def test_what_a_text_model_takes_is_told(client: TestClient) -> None:
    told = client.get("/v1/models/films").json()
    assert told["inputs"] == [{"name": "text", "dtype": "string", "shape": []}]
    assert len(told["files_sha256"]["tokenizer.json"]) == 64
    protocol = client.get("/v2/models/films").json()
    assert protocol["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize("half", ["\\ud800", "\\uDC00 more", "\\ud83d \\ude00", "\\ud83d\\ude00 \\ud83d"])
def test_half_of_a_surrogate_pair_is_told_as_such(client: TestClient, half: str) -> None:
    body = f'{{"inputs": ["a", "{half}"]}}'
    answer = client.post("/v1/models/films/predict", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    place = body.rindex("\\ud83d") if half.endswith("\\ud83d") else body.index("\\u")
    assert f"the body is not JSON: at byte {place} a text has half of a pair" in answer.json()["error"]


def test_a_new_tokenizer_is_served_after_a_load(client: TestClient, repository: Repository) -> None:
    before = client.get("/v1/models/films").json()["files_sha256"]["tokenizer.json"]
    other = texts.tokenizer()
    other.normalizer = None
    other.save(str(repository.path / "films" / "1" / "tokenizer.json"))
    changed = probabilities(client, ["GOOD"])
    assert client.post("/v2/repository/models/films/load").status_code == 200
    assert client.get("/v1/models/films").json()["files_sha256"]["tokenizer.json"] != before
    assert not np.allclose(probabilities(client, ["GOOD"]), changed)


@pytest.fixture
def address(repository: Repository) -> Iterator[str]:
    texts.add(repository)
    with listening(build(Settings(repository=repository.path, factories="texts", plan="vmap"))) as address:
        yield address


@pytest.mark.parametrize("binary", [True, False])
def test_a_published_client_sends_texts(
    repository: Repository, serve: Serve, address: str, binary: bool
) -> None:
    import httpx

    with httpx.Client(base_url=f"http://{address}") as plain:
        wait_until_ready(plain)
        expected = probabilities(plain, FILMS)  # type: ignore[arg-type]
    given = triton.InferInput("text", [4], "BYTES")
    given.set_data_from_numpy(np.array(FILMS, dtype=object), binary_data=binary)
    with triton.InferenceServerClient(address) as client:
        answer = client.infer("films", [given])
    assert np.allclose(answer.as_numpy("output"), expected, atol=1e-6)
