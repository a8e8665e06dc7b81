"""What a manifest says of inputs and outputs reaches the model."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from answers import predicted, sampled
from networks import SeveralOutputs
from repositories import Repository

from service.errors import InvalidInput, ManifestError, ModelRefused
from service.predictor.execution import Execution
from service.predictor.given_tensors import GivenTensor
from service.predictor.served_model import ServedModel, prepare
from service.predictor.together import Draw
from service.repository.folder import ModelFolder
from service.uncertainty.sequential import Rounds

INPUTS = [
    {"name": "scale", "dtype": "float32", "shape": [1]},
    {"name": "features", "dtype": "float32", "shape": [6]},
]
LABELS = ["a", "b", "c"]


def served(repository: Repository, **output: Any) -> ServedModel:
    repository.add(factory="several_outputs", input=INPUTS, output={"labels": LABELS, **output})
    folder = ModelFolder(repository.path / "small")
    return prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution())


def test_inputs_and_the_output_are_those_of_the_names(repository: Repository) -> None:
    model = served(repository, name="logits")
    features, scale = torch.randn(4, 6), torch.rand(4, 1)
    rows = model.inputs.read(json.dumps({"features": features.tolist(), "scale": scale.tolist()}).encode())
    torch.manual_seed(1)  # as the repository made the weights
    with torch.no_grad():
        plain = SeveralOutputs().eval()(features, scale=scale)["logits"].softmax(-1)
    given = vars(predicted(model, rows))["probabilities"]
    assert np.allclose(given, plain, atol=1e-6)
    draw = Draw(rounds=Rounds(5, 5), threshold=0.5, outputs=True, quantiles=False)
    drawn = sampled(model, rows, 1, draw)
    assert [kept.shape for kept in drawn.outputs] == [(5, 3)] * 4
    assert drawn.quantiles is None


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({}, r"small/1: .* returned dict of hidden \[5, 6\], logits \[5, 3\]; choose one in model.toml"),
        ({"name": "0"}, r'output.name is "0", and the model\'s forward returned dict of hidden'),
    ],
)
def test_an_output_that_is_not_chosen_is_refused(
    repository: Repository, output: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelRefused, match=message):
        served(repository, **output)


def test_probabilities_must_not_be_taken_for_logits(repository: Repository) -> None:
    """A softmax of a softmax is near to even, whatever the model says, and every entropy is wrong."""
    repository.add(factory="softened")
    folder = ModelFolder(repository.path / "small")
    with pytest.raises(ManifestError, match=r'activation is "softmax", for logits, but .* say "none"'):
        prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution())


@pytest.mark.parametrize(
    ("factory", "labels", "activation", "message"),
    [
        ("squashed_alone", 2, "softmax", r"gives 1 class; .* give two: the logits \[0, z\] where"),
        ("squashed_alone", 2, "none", r"or \[1 - z, z\] where it is a probability"),
        ("squashed", 3, "none", r"look like a sigmoid's, .* give the logits from before the sigmoid"),
    ],
)
def test_what_is_no_classes_probabilities_is_refused_with_the_way_out(
    repository: Repository, factory: str, labels: int, activation: str, message: str
) -> None:
    """A softmax of what a sigmoid gave, or of one number, means nothing: it is never advised."""
    repository.add(factory=factory, output={"labels": LABELS[:labels], "activation": activation})
    folder = ModelFolder(repository.path / "small")
    with pytest.raises(ManifestError, match=message) as refused:
        prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution())
    assert "softmax" not in str(refused.value)


def test_integers_are_held_to_their_range(repository: Repository) -> None:
    """A number outside of a vocabulary is the request's fault, and no error of the model."""
    tokens = {"name": "tokens", "dtype": "int64", "shape": [-1], "range": [0, 9]}
    repository.add(factory="tokens_of_any_length", input=[tokens])
    folder = ModelFolder(repository.path / "small")
    model = prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution())
    with pytest.raises(InvalidInput, match=r"inputs tokens: row 1 has 10, and the range is 0 to 9"):
        model.inputs.read(b"[[1, 2], [3, 10]]")
    with pytest.raises(InvalidInput, match=r"inputs tokens: row 2 has -1, and the range is 0 to 9"):
        model.inputs.read(b"[[1, 2], [3], [-1]]")
    assert len(model.inputs.read(b"[[0, 9], [3]]")) == 2
    with pytest.raises(InvalidInput, match=r"input tokens: row 0 has 11, and the range is 0 to 9"):
        model.inputs.read([GivenTensor("tokens", "INT64", (1, 2), b"[9, 11]", binary=False)])
