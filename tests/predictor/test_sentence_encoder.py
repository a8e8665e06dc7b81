"""A sentence encoder of real weights with a dropout head trained on it, served from its folder.

No published weights can be fetched here: they are learned here, from the docstrings of Python's library.
"""

import codecs
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
import sentence_encoder as encoder
import torch
from agreement import variance_error
from click.testing import CliRunner
from docstrings import SUBJECTS, Docstring, docstrings
from servers import wait_until_ready
from starlette.testclient import TestClient
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from service.app import build
from service.cli import main
from service.settings import Settings

LABELS = list(SUBJECTS)
SAMPLES = 20
STEPS = 120
TEST_ROWS, HELD_OUT_ROWS = 400, 700
NAME = "docstrings"

Row = tuple[str, int]


@dataclass(frozen=True)
class Learned:
    """A repository with the classifier, rows that it has not seen, and how well an encoder does untrained."""

    repository: Path
    test: Sequence[Row]
    held_out: Sequence[Row]
    others: dict[str, Sequence[str]]
    untrained_accuracy: float

    @property
    def folder(self) -> Path:
        return self.repository / NAME / "1"

    @property
    def settings(self) -> Settings:
        return Settings(repository=self.repository, plan="vmap", review_url="off", deadline_seconds=300)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    texts = docstrings()
    tokenizer = encoder.learn_tokenizer([one.text for one in texts])
    rows = labelled(tokenizer, texts)
    test, held_out, training = np.split(np.array(rows, object), [TEST_ROWS, TEST_ROWS + HELD_OUT_ROWS])
    repository = tmp_path_factory.mktemp("repository")
    accuracies = []
    for steps in (0, STEPS):
        network = encoder.untrained(tokenizer, LABELS)
        if steps:
            # Of the texts of the test nothing is learned, not even without labels.
            seen = unseen(texts, [*test, *held_out])
            encoder.learn_words(network, tokenizer, seen)
            encoder.learn_sentences(network, tokenizer, seen, steps)
        encoder.learn_head(network, tokenizer, training[:, 0].tolist(), training[:, 1].tolist())
        accuracies.append(accuracy(network, tokenizer, test))
    encoder.save(repository / NAME / "1", network, tokenizer)
    pretrained.write_manifest(
        repository / NAME / "1",
        policy={"measure": "predictive_entropy", "threshold": 1.0},
        sampling={"samples": SAMPLES, "seed": 5},
    )
    return Learned(
        repository, test.tolist(), held_out.tolist(), of_other_kinds(tokenizer, texts), accuracies[0]
    )


def labelled(tokenizer: Tokenizer, texts: Sequence[Docstring]) -> list[Row]:
    """Docstrings whose subject is known, shortened, each once, shuffled."""
    rows = {
        encoder.shortened(tokenizer, one.text): LABELS.index(one.subject)
        for one in texts
        if one.subject is not None
    }
    rows.pop("", None)
    shuffled = list(rows.items())
    random.Random(0).shuffle(shuffled)  # noqa: S311
    return shuffled


def unseen(texts: Sequence[Docstring], rows: Sequence[Row]) -> list[str]:
    beginnings = tuple(text for text, _ in rows)
    return [one.text for one in texts if not one.text.startswith(beginnings)]


def accuracy(network: Any, tokenizer: Tokenizer, rows: Sequence[Row]) -> float:
    with torch.no_grad():
        right = [
            int(network(torch.tensor([tokenizer.encode(text).ids])).logits.argmax()) == target
            for text, target in rows
        ]
    return float(np.mean(right))


def of_other_kinds(tokenizer: Tokenizer, texts: Sequence[Docstring]) -> dict[str, Sequence[str]]:
    """Words of all texts at random, Python code of packages of no subject, and English in a cipher."""
    chance = random.Random(1)  # noqa: S311
    words = [word for one in texts for word in one.text.split()]
    prose = [one for one in texts if one.subject is None and len(one.code.split()) > 5]
    kinds = {
        "random words": [" ".join(chance.sample(words, 20)) for _ in range(200)],
        "code": [one.code for one in prose[:200]],
        "cipher": [codecs.encode(one.text, "rot13") for one in prose[:200]],
    }
    return {
        kind: [short for text in given if (short := encoder.shortened(tokenizer, text))]
        for kind, given in kinds.items()
    }


@pytest.fixture(scope="module")
def client(learned: Learned) -> Iterator[TestClient]:
    with TestClient(build(learned.settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def asked(client: TestClient, texts: Sequence[str], question: str = "uncertainty", **more: Any) -> list[Any]:
    told = client.post(f"/v1/models/{NAME}/{question}", json={"inputs": [*texts]} | more)
    assert told.status_code == 200, told.text
    results: list[Any] = told.json()["predictions" if question == "predict" else "results"]
    return results


@pytest.fixture(scope="module")
def answers(learned: Learned, client: TestClient) -> list[Any]:
    return asked(client, [text for text, _ in learned.test])


@pytest.fixture(scope="module")
def of_others(learned: Learned, client: TestClient) -> dict[str, list[Any]]:
    return {kind: asked(client, texts) for kind, texts in learned.others.items()}


def test_the_learned_encoder_is_right_where_an_untrained_one_is_not(
    learned: Learned, client: TestClient
) -> None:
    predictions = asked(client, [text for text, _ in learned.test], "predict")
    truth = np.array([target for _, target in learned.test])
    right = np.array([one["class_index"] for one in predictions]) == truth
    error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
    most_common = np.bincount(truth).max() / len(truth)
    assert right.mean() > most_common + 10 * error
    assert right.mean() > learned.untrained_accuracy + 0.25


def test_mean_and_variance_are_those_of_the_plain_loop_in_training_mode(
    learned: Learned, client: TestClient
) -> None:
    texts = [text for text, _ in learned.test[:6]]
    served, passes = 400, 2000
    network: Any = AutoModelForSequenceClassification.from_pretrained(learned.folder).train()
    tokenizer = AutoTokenizer.from_pretrained(learned.folder)
    torch.manual_seed(0)
    for text, answer in zip(texts, asked(client, texts, samples=served), strict=True):
        with torch.no_grad():
            given = tokenizer([text] * passes, return_tensors="pt")
            plain = network(given["input_ids"], given["attention_mask"]).logits.softmax(1).double().numpy()
        more = np.sqrt(1 + passes / served)  # times as uncertain is the difference as what the passes tell
        mean, variance = plain.mean(0), plain.var(0, ddof=1)
        assert (np.abs(answer["mean"] - mean) <= 5 * more * np.sqrt(variance / passes)).all()
        # Of a class that is next to never meant, so few samples do not tell how wrong their variance is.
        known = mean > 0.01
        errors = 5 * more * variance_error(plain)
        assert (np.abs(answer["variance"] - variance) <= errors)[known].all()


@pytest.mark.parametrize("measure", ["predictive_entropy", "mutual_information"])
@pytest.mark.parametrize("kind", ["random words", "code", "cipher"])
def test_texts_of_another_kind_are_less_certain(
    answers: list[Any], of_others: dict[str, list[Any]], kind: str, measure: str
) -> None:
    usual, strange = (np.array([one[measure] for one in results]) for results in (answers, of_others[kind]))
    error = np.sqrt(usual.var() / len(usual) + strange.var() / len(strange))
    assert strange.mean() > usual.mean() + 5 * error


def test_a_calibrated_promise_holds_on_rows_held_out(learned: Learned, tmp_path: Path) -> None:
    data = tmp_path / "heldout.jsonl"
    data.write_text(
        "\n".join(json.dumps({"text": text, "label": LABELS[target]}) for text, target in learned.held_out)
    )
    target_error = 0.2
    told = CliRunner().invoke(
        main,
        ["calibrate", NAME, "--repository", str(learned.repository), "--plan", "vmap", "--data", str(data),
         "--target-error", str(target_error)],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    with TestClient(build(learned.settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        results = asked(client, [text for text, _ in learned.test])
    truth = [target for _, target in learned.test]
    kept = [
        answer["class_index"] != target
        for answer, target in zip(results, truth, strict=True)
        if not answer["low_confidence"]
    ]
    wrong = np.mean([answer["class_index"] != target for answer, target in zip(results, truth, strict=True)])
    assert wrong > target_error + 0.03  # or else the promise would cost nothing
    assert len(kept) > 50
    assert np.mean(kept) <= target_error + 2 * np.sqrt(target_error * (1 - target_error) / len(kept))
