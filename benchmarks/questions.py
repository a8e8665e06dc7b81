"""What the soak asks: models with random weights, questions, and the answers computed beside the server."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_model
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.zoo import cnn, mlp
from service.app import build
from service.settings import Settings

RELATIVE, ABSOLUTE = 1e-5, 1e-6  # rounding, which the rows beside a row may turn
CHANGING = "values"  # this model is loaded and unloaded now and then

_HEADER = "Inference-Header-Content-Length"
_WORDS = {"request_id", "id", "message"}  # of one answer alone, or with rounded numbers

_MODEL = """name = "{name}"
task = "{task}"
source = {{ kind = "factory", factory = "{factory}", arguments = {{ {arguments} }} }}
input = [{{ name = "rows", dtype = "float32", shape = {shape} }}]
output = {{ {output} }}
policy = {{ measure = "{measure}", threshold = 0.5 }}
"""


@dataclass(frozen=True)
class Model:
    """A model of the soak.

    Args:
        name: of its folder.
        shape: of a row.
        factory: as model.toml names it.
        arguments: of the factory.
        variance_head: whether it gives values and their noise; else it is a classifier of three classes.
    """

    name: str
    shape: tuple[int, ...]
    factory: str
    arguments: Mapping[str, Any]
    variance_head: bool = False

    def write(self, repository: Path) -> None:
        """Put it into a repository, with random weights."""
        torch.manual_seed(0)
        module, function = self.factory.split(":")
        network = getattr({"models.zoo.mlp": mlp, "models.zoo.cnn": cnn}[module], function)(**self.arguments)
        folder = repository / self.name / "1"
        folder.mkdir(parents=True)
        save_model(network, str(folder / "weights.safetensors"))
        folder.with_name("model.toml").write_text(
            _MODEL.format(
                name=self.name,
                task="regression" if self.variance_head else "classification",
                factory=self.factory,
                arguments=", ".join(
                    f"{name} = {json.dumps(value)}" for name, value in self.arguments.items()
                ),
                shape=list(self.shape),
                output="variance_head = true" if self.variance_head else 'labels = ["a", "b", "c"]',
                measure="standard_deviation" if self.variance_head else "predictive_entropy",
            )
        )

    def rows(self, number: int) -> Any:
        """Make up rows."""
        return np.random.default_rng(number).standard_normal((number, *self.shape)).astype("<f4")


MODELS = (
    Model("classes", (12,), "models.zoo.mlp:classifier", {"features": 12, "classes": 3}),
    Model(
        "images",
        (1, 8, 8),
        "models.zoo.cnn:classifier",
        {"image": [1, 8, 8], "classes": 3, "channels": [8, 16]},
    ),
    Model(CHANGING, (6,), "models.zoo.mlp:regressor", {"features": 6}, variance_head=True),
)


@dataclass(frozen=True)
class Question:
    """A request, and what it may be answered with.

    Args:
        path: it goes to.
        body: of a POST; None for a GET.
        headers: beside the usual ones.
        statuses: of the right answers.
        expected: the answer, read; None where any will do.
    """

    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    expected: Any = None


def good_questions() -> Iterator[Question]:
    """Ask every model in every way."""
    for model in MODELS:
        # While it is unloaded it answers 503, and that is right.
        statuses = (200, 503) if model.name == CHANGING else (200,)
        for path, body in _native(model):
            yield Question(f"/v1/models/{model.name}/{path}", json.dumps(body).encode(), {}, statuses)
        for written, headers in _infer(model):
            yield Question(f"/v2/models/{model.name}/infer", written, headers, statuses)


def _native(model: Model) -> Iterator[tuple[str, dict[str, Any]]]:
    one, some, many = (model.rows(number).tolist() for number in (1, 5, 12))
    yield "predict", {"inputs": one}
    yield "predict", {"inputs": many}
    for seed, samples in ((0, 50), (0, 20), (1, 50), (2, 100)):
        yield "uncertainty", {"inputs": one, "samples": samples, "seed": seed}
        yield "uncertainty", {"inputs": some, "samples": samples, "seed": seed}
    yield "uncertainty", {"inputs": many, "samples": {"min": 16, "max": 100}}
    yield "uncertainty", {"inputs": some, "samples": 16, "include": ["samples", "quantiles"]}


def _infer(model: Model) -> Iterator[tuple[bytes, dict[str, str]]]:
    rows = model.rows(4)
    tensor = {"name": "rows", "datatype": "FP32", "shape": list(rows.shape)}
    sampled: dict[str, Any] = {
        "outputs": [{"name": "output"}, {"name": "mean"}, {"name": "variance"}],
        "parameters": {"samples": 30},
    }
    plain: dict[str, Any] = {}
    for more in (plain, sampled):
        yield json.dumps({"inputs": [tensor | {"data": rows.ravel().tolist()}]} | more).encode(), {}
        blob = rows.tobytes()
        parameters = {"binary_data_output": True} | more.get("parameters", {})
        sized = tensor | {"parameters": {"binary_data_size": len(blob)}}
        head = json.dumps({"inputs": [sized]} | more | {"parameters": parameters}).encode()
        yield head + blob, {_HEADER: str(len(head))}


def other_questions() -> Iterator[Question]:
    """Ask what is wrong, and what is no inference."""
    model = MODELS[0]
    predict, uncertainty = f"/v1/models/{model.name}/predict", f"/v1/models/{model.name}/uncertainty"
    good = model.rows(1).tolist()
    for body in (b"", b"{", b'{"inputs": [[NaN]]}', b'{"inputs": [[1, 2]]}', b"[" * 50_000):
        yield Question(predict, body, {}, (400,))
    yield Question(uncertainty, json.dumps({"inputs": good, "samples": 1}).encode(), {}, (400,))
    yield Question(f"/v2/models/{model.name}/infer", b"{}", {_HEADER: "9"}, (400,))
    yield Question("/v1/models/nothing/predict", b"{}", {}, (400, 404))
    yield Question(predict, b" " * 300_000, {}, (400,))
    yield Question(predict, None, {}, (405,))
    for path in (
        "/metrics",
        "/v1/models",
        "/v2/health/ready",
        f"/v1/models/{model.name}/dropout",
        "/openapi.json",
    ):
        yield Question(path)
    yield Question("/v2/repository/index", b"")


def answered(repository: Path) -> list[Question]:
    """Ask the good questions in this process, one by one, with the plain loop as the plan."""
    settings = Settings(
        repository=repository,
        plan="loop",
        precision="float32",
        compile_after_seconds=0,
        review_url="off",
    )
    with TestClient(build(settings)) as client:
        while client.get("/v2/health/ready").status_code != 200:
            pass
        return [_answered(client, question) for question in good_questions()]


def _answered(client: TestClient, question: Question) -> Question:
    answer = client.post(question.path, content=question.body or b"", headers=dict(question.headers))
    assert answer.status_code == 200, answer.text
    expected = read(answer.headers, answer.content)
    return Question(question.path, question.body, question.headers, question.statuses, expected)


def read(headers: Mapping[str, str], content: bytes) -> Any:
    """Read an answer: its JSON, and the numbers in binary behind it."""
    length = int(headers.get(_HEADER.lower()) or len(content))
    return [json.loads(content[:length]), np.frombuffer(content[length:], "<f4").tolist()]


def alike(given: Any, expected: Any) -> bool:
    """Tell whether an answer is the expected one, but for rounding."""
    if isinstance(expected, dict):
        names = expected.keys() - _WORDS
        return given.keys() == expected.keys() and all(alike(given[name], expected[name]) for name in names)
    if isinstance(expected, list):
        return len(given) == len(expected) and all(map(alike, given, expected))
    if isinstance(expected, float):
        return isclose(given, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(given == expected)
