"""Models that label tokens, served on both faces, held to their own library's answers."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reviewed
import taggers
import torch
from protocol import outputs
from repositories import Repository
from servers import wait_until_ready
from starlette.testclient import TestClient
from transformers import AutoModelForTokenClassification, AutoTokenizer

from service.api.review_views import review
from service.app import build
from service.review.items import Item
from service.settings import Settings

TEXTS = ["a good film", "very bad films", "not good", "Bad , bad film"]
POLICY = {"measure": "predictive_entropy", "threshold": 0.7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    taggers.add(Repository(folder), policy=POLICY)
    queue = f"sqlite:///{folder.parent / 'reviews.db'}"
    settings = Settings(repository=folder, plan="vmap", review_url=queue)
    with TestClient(build(settings), raise_server_exceptions=False) as served:
        wait_until_ready(served)
        yield served


def asked(client: TestClient, some: Any = TEXTS, **more: Any) -> Any:
    answer = client.post("/v1/models/tags/uncertainty", json={"inputs": some, "samples": 30} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_tokens_have_the_labels_of_their_own_library(client: TestClient, folder: Path) -> None:
    version = folder / "tags" / "1"
    tokenizer = AutoTokenizer.from_pretrained(version)
    network = AutoModelForTokenClassification.from_pretrained(version).eval()
    found = client.post("/v1/models/tags/predict", json={"inputs": TEXTS}).json()["predictions"]
    for text, row in zip(TEXTS, found, strict=True):
        given = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        spans = given.pop("offset_mapping")[0, 1:-1].tolist()
        with torch.no_grad():
            expected = network(**given).logits.softmax(-1)[0, 1:-1]
        assert [[token["start"], token["end"]] for token in row["tokens"]] == spans
        assert [token["text"] for token in row["tokens"]] == [text[slice(*span)] for span in spans]
        assert np.allclose([token["probabilities"] for token in row["tokens"]], expected, atol=1e-6)
        labels = [taggers.LABELS[index] for index in expected.argmax(-1).tolist()]
        assert [token["label"] for token in row["tokens"]] == labels
        assert [token["confidence"] for token in row["tokens"]] == pytest.approx(expected.amax(-1).tolist())


def test_a_text_is_as_uncertain_as_its_worst_token_which_is_named(client: TestClient) -> None:
    reply = asked(client, review=False)
    scores = [row["score"] for row in reply["results"]]
    middle = float(np.median(scores))
    reply = asked(client, review=False, threshold=middle)
    for text, row in zip(TEXTS, reply["results"], strict=True):
        worst = max(row["tokens"], key=lambda token: token["score"])
        assert row["score"] == worst["score"] == worst["predictive_entropy"]
        assert row["low_confidence"] == (row["score"] > middle)
        named = f"at {worst['text']!r} ({worst['start']} to {worst['end']})"
        assert [reason["message"].endswith(named) for reason in row["reasons"]] == [True] * row[
            "low_confidence"
        ]
        for token in row["tokens"]:
            assert token["text"] == text[token["start"] : token["end"]]
            assert len(token["mean"]) == len(token["variance"]) == taggers.CLASSES
            assert max(token["variance"]) > 0
            assert token["confidence"] == max(token["mean"])
        assert (row["samples"], row["review_id"]) == (30, None)
    assert {row["low_confidence"] for row in reply["results"]} == {True, False}
    assert len({len(row["tokens"]) for row in reply["results"]}) == 3


def test_a_text_has_one_answer_alone_and_beside_others_of_any_length(client: TestClient) -> None:
    together = asked(client, TEXTS * 2, review=False)["results"]
    for text, row in zip(TEXTS * 2, together, strict=True):
        (alone,) = asked(client, [text], review=False)["results"]
        means = [[token["mean"] for token in of["tokens"]] for of in (row, alone)]
        assert np.allclose(*means, atol=1e-6)


def test_adaptive_sampling_lets_texts_go_apart(client: TestClient) -> None:
    adaptive = {"min": 8, "max": 400, "error": 0.05}
    reply = asked(client, TEXTS, samples=adaptive, review=False, threshold=1.2)
    rows = reply["results"]
    assert len({row["samples"] for row in rows}) > 1
    assert min(row["score_standard_error"] for row in rows) > 0
    settled = [row for row in rows if row["settled"]]
    assert settled
    for row in settled:
        full = asked(client, [TEXTS[rows.index(row)]], samples=400, review=False, threshold=1.2)["results"][0]
        assert full["low_confidence"] == row["low_confidence"]


def infer(client: TestClient, some: list[str], *names: str, **parameters: Any) -> Any:
    given = {"name": "text", "datatype": "BYTES", "shape": [len(some)], "data": some}
    body = {"inputs": [given], "outputs": [{"name": name} for name in names], "parameters": parameters}
    return client.post("/v2/models/tags/infer", json=body)


def test_the_open_inference_protocol_has_tensors_of_tokens(client: TestClient) -> None:
    native = asked(client, TEXTS[:1], review=False)["results"][0]["tokens"]
    found = outputs(infer(client, TEXTS[:1], samples=30))
    assert list(found) == [
        *("mean", "variance", "standard_error", "score", "predictive_entropy", "mutual_information"),
        "low_confidence",
    ]
    assert np.allclose(found["mean"], [[token["mean"] for token in native]], atol=1e-6)
    assert found["predictive_entropy"].shape == (1, 3)
    assert found["score"].shape == (1,)
    plain = outputs(infer(client, TEXTS[:1]))
    assert {name: values.shape for name, values in plain.items()} == {"output": (1, 3, taggers.CLASSES)}
    spans = outputs(infer(client, TEXTS[:1], "offsets", "output"))["offsets"]
    assert spans.tolist() == [[[token["start"], token["end"]] for token in native]]
    told = {one["name"]: one for one in client.get("/v2/models/tags").json()["outputs"]}
    assert told["output"]["shape"] == told["mean"]["shape"] == [-1, -1, taggers.CLASSES]
    assert told["offsets"] == {"name": "offsets", "datatype": "INT64", "shape": [-1, -1, 2]}
    assert told["predictive_entropy"]["shape"] == [-1, -1]
    assert told["score"]["shape"] == told["low_confidence"]["shape"] == [-1]


def test_texts_of_other_lengths_fit_no_tensor_but_what_is_of_texts(client: TestClient) -> None:
    for more in ({}, {"samples": 20}):
        refused = infer(client, TEXTS, **more)
        assert refused.status_code == 400
        assert "row 1 has 4, which fit no one tensor: send texts one at a time" in refused.json()["error"]
    assert outputs(infer(client, TEXTS, "score", "low_confidence"))["score"].shape == (len(TEXTS),)
    assert outputs(infer(client, [TEXTS[0], "not a film"], "output"))["output"].shape == (
        2,
        3,
        taggers.CLASSES,
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"include": ["samples"]}, "include: model tags labels tokens, whose raw samples are not kept"),
        ({"include": ["quantiles"]}, "include: model tags labels tokens"),
        ({"samples": "exact"}, "is a classifier, and averages probabilities; ask for a number"),
        ({"inputs": [" "]}, "row 0 has nothing that the tokenizer makes a token of"),
        ({"inputs": [[1, 2]]}, "row 0 must be a string"),
    ],
)
def test_what_is_not_for_tokens_is_refused(client: TestClient, change: Any, sentence: str) -> None:
    answer = client.post("/v1/models/tags/uncertainty", json={"inputs": TEXTS} | change)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_a_flagged_text_is_reviewed_as_a_whole(client: TestClient) -> None:
    row = asked(client, TEXTS[:1], threshold=0.0)["results"][0]
    path = f"/v1/reviews/{row['review_id']}"
    item = client.get(path).json()
    assert item["task"] == "token_classification"
    assert item["input"] == TEXTS[0]
    hashed = sha256()
    for numbers in ([2, 10, 4, 6, 3], [1] * 5):  # [CLS] a good film [SEP]
        hashed.update(b"int64 [5]\n" + np.array(numbers, "<i8").tobytes())
    assert item["input_sha256"] == hashed.hexdigest()
    shown = [{key: token[key] for key in item["prediction"]["tokens"][0]} for token in row["tokens"]]
    assert item["prediction"]["tokens"] == shown
    assert item["reasons"][0]["message"] == row["reasons"][0]["message"]
    assert item["statistics"]["predictive_entropy"] == [
        token["predictive_entropy"] for token in row["tokens"]
    ]
    client.post(f"{path}/claim", json={"reviewer": "ann"})
    refused = client.post(f"{path}/resolve", json={"reviewer": "ann", "label": "B-FILM"})
    assert refused.status_code == 400
    assert "say correct, where all of their labels are, or wrong, and not 'B-FILM'" in refused.json()["error"]
    done = client.post(f"{path}/resolve", json={"reviewer": "ann", "label": "wrong"}).json()
    assert (done["resolution"]["label"], done["resolution"]["agreed"]) == ("wrong", False)
    (task,) = client.get("/v1/reviews/export?format=label-studio&status=resolved").json()
    assert task["predictions"][0]["result"][0]["value"] == {
        "start": 0, "end": 1, "labels": [row["tokens"][0]["label"]],
    }  # fmt: skip


@pytest.mark.parametrize("family", ["distilbert", "roberta"])
def test_other_families_are_served_and_nothing_of_the_text_is_kept(tmp_path: Path, family: str) -> None:
    repository = Repository(tmp_path / "repository")
    taggers.add(repository, family=family, policy=POLICY | {"threshold": 0.0})
    settings = Settings(
        repository=repository.path,
        plan="vmap",
        review_url=f"sqlite:///{tmp_path / 'reviews.db'}",
        review_inputs="hashed",
    )
    with TestClient(build(settings), raise_server_exceptions=False) as served:
        wait_until_ready(served)
        (row,) = asked(served, TEXTS[:1])["results"]
        item = served.get(f"/v1/reviews/{row['review_id']}")
    assert "film" in str(row)
    assert "film" not in item.text
    assert set(item.json()["prediction"]["tokens"][0]) == {
        "start",
        "end",
        "label",
        "class_index",
        "confidence",
    }


def test_while_audits_are_among_them_nobody_sees_how_sure_the_model_was() -> None:
    token = {"text": "Paris", "start": 0, "end": 5, "label": "B-LOC", "class_index": 2, "confidence": 0.4}
    row = reviewed.row(task="token_classification", prediction={"tokens": [token]})
    shown = review(Item("id", 0.0, row), 1.0, blind=True)
    assert shown.prediction == {
        "tokens": [{"text": "Paris", "start": 0, "end": 5, "label": "B-LOC", "class_index": 2}]
    }
    assert review(Item("id", 0.0, row), 1.0, blind=False).prediction == {"tokens": [token]}
