"""Folders of Hugging Face served as they are, held to their own library's answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
import torch
from protocol import outputs
from repositories import Repository
from servers import Serve
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, AutoTokenizer

FILMS = ["a good film", "very very bad", "not good", "bad"]


def add(repository: Repository, kind: Any, name: str = "films") -> Path:
    folder = repository.path / name / "1"
    kind(folder)
    pretrained.write_manifest(folder)
    return folder


def served(client: Any, rows: Any, name: str = "films") -> Any:
    answer = client.post(f"/v1/models/{name}/predict", json={"inputs": rows})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_texts_have_the_answers_of_their_own_library(repository: Repository, serve: Serve) -> None:
    folder = add(repository, pretrained.save_text)
    client = serve()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        given = (tokenizer(text, return_tensors="pt", padding=False) for text in FILMS)
        expected = torch.cat([network(**one).logits.softmax(-1) for one in given])
    found = served(client, FILMS)
    assert np.allclose([row["probabilities"] for row in found], expected, atol=1e-6)
    assert [row["label"] for row in found] == [pretrained.LABELS[int(row.argmax())] for row in expected]
    given = {"name": "text", "datatype": "BYTES", "shape": [4], "data": FILMS}
    answer = client.post("/v2/models/films/infer", json={"inputs": [given]})
    assert np.allclose(outputs(answer)["output"], expected, atol=1e-6)
    sampled = client.post("/v1/models/films/uncertainty", json={"inputs": FILMS, "samples": 20}).json()
    assert min(row["mutual_information"] for row in sampled["results"]) > 0
    assert client.get("/v1/models/films").json()["inputs"] == [
        {"name": "text", "dtype": "string", "shape": []}
    ]
    refused = client.post("/v1/models/films/predict", json={"inputs": ["bad " * 20]})
    assert "row 0 has 22 tokens, and the model takes 14 at most" in refused.json()["error"]


def test_images_are_sent_as_pixels(repository: Repository, serve: Serve) -> None:
    folder = add(repository, pretrained.save_image, "pictures")
    client = serve()
    pixels = torch.randint(0, 256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(1)).float()
    mean, deviation = (
        torch.tensor(numbers).reshape(3, 1, 1) for numbers in (pretrained.MEAN, pretrained.DEVIATION)
    )
    network = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = network(pixel_values=(pixels / 255 - mean) / deviation).logits.softmax(-1)
    found = served(client, pixels.tolist(), "pictures")
    assert np.allclose([row["probabilities"] for row in found], expected, atol=1e-5)
    told = client.get("/v1/models/pictures").json()
    assert told["inputs"] == [{"name": "pixel_values", "dtype": "float32", "shape": [3, 8, 8]}]
    assert list(told["files_sha256"]) == ["model.safetensors", "config.json", "preprocessor_config.json"]


def test_a_model_fine_tuned_by_the_library_knows_what_it_learnt(repository: Repository, serve: Serve) -> None:
    folder = add(repository, pretrained.save_text)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    learnt, classes = ["good", "very good", "good film", "bad", "a bad film", "very bad"], [2, 2, 2, 0, 0, 0]
    batch = tokenizer(learnt, return_tensors="pt", padding=True)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    torch.manual_seed(0)
    network.train()
    for _ in range(80):
        optimizer.zero_grad()
        network(**batch, labels=torch.tensor(classes)).loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    found = served(serve(), learnt)
    assert [row["class_index"] for row in found] == classes


@pytest.mark.parametrize("manifest", [{}, {"output": {"variance_head": False}}])
def test_one_output_is_a_regression(repository: Repository, serve: Serve, manifest: Any) -> None:
    folder = repository.path / "grades" / "1"
    pretrained.save_text(folder)
    weights = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, ignore_mismatched_sizes=True
    )
    weights.save_pretrained(folder)
    policy = {"measure": "standard_deviation", "threshold": 1.0}
    pretrained.write_manifest(folder, task="regression", policy=policy, **manifest)
    assert len(served(serve(), ["bad"], "grades")[0]["value"]) == 1


def test_labels_that_the_model_does_not_have_are_refused(repository: Repository, serve: Serve) -> None:
    folder = add(repository, pretrained.save_text)
    pretrained.write_manifest(folder, output={"labels": ["a", "b"]})
    client = serve()
    assert client.post("/v1/models/films/predict", json={"inputs": FILMS}).status_code == 503
    reasons = [one["reason"] for one in client.post("/v2/repository/index", json={}).json()]
    assert any("output.labels has 2, and the model gives 3 classes" in reason for reason in reasons)
