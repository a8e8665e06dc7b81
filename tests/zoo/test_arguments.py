"""Arguments that no network can be made of are told in one sentence, with the value."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from models.layers.arguments import checked_rate, checked_rates
from models.layers.concrete import ConcreteDropout
from models.zoo import cnn, concrete, drop_connect, mlp, recurrent, resnet, transformer

IMAGE = {"image": [1, 8, 8], "classes": 3}
ROWS = {"features": 4, "classes": 3}
TOKENS = {"vocabulary": 9, "classes": 3}
HIDDEN = (mlp, drop_connect, concrete)

BAD: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    *(
        (module.classifier, ROWS | {"dropout": 1.0}, "dropout is 1.0; it must be a number")
        for module in HIDDEN
    ),
    *(
        (module.classifier, ROWS | {"hidden": []}, "hidden is []; it must be a list of one")
        for module in HIDDEN
    ),
    *((module.regressor, {"features": 0}, "features is 0; it must be a whole number") for module in HIDDEN),
    *(
        (
            module.regressor,
            {"features": 4, "dropout": [0.1]},
            "dropout has 1 rates for 2 layers; give one for each",
        )
        for module in HIDDEN
    ),
    (mlp.classifier, ROWS | {"dropout": [0.1, -0.2]}, "dropout[1] is -0.2"),
    (mlp.classifier, ROWS | {"hidden": [8, 0.5]}, "hidden[1] is 0.5"),
    (mlp.classifier, ROWS | {"classes": 0}, "classes is 0"),
    (cnn.classifier, IMAGE | {"spatial_dropout": 2}, "spatial_dropout is 2"),
    (cnn.classifier, IMAGE | {"head_dropout": "0.4"}, "head_dropout is '0.4'"),
    (
        cnn.classifier,
        IMAGE | {"image": [1, 8, 6]},
        "a side of the image is 6; it must be divisible by 2 to the 2",
    ),
    (resnet.classifier, IMAGE | {"dropout": [0.1]}, "dropout has 1 rates for 3 layers"),
    (resnet.classifier, IMAGE | {"image": [8, 8]}, "image has 2 sizes; it must have 3"),
    (recurrent.classifier, ROWS | {"cell": "rnn"}, "cell is 'rnn'; it must be one of lstm, gru"),
    (recurrent.classifier, ROWS | {"state_dropout": 1}, "state_dropout is 1"),
    (recurrent.classifier, ROWS | {"units": 8}, "units is 8; it must be a list"),
    (recurrent.token_classifier, TOKENS | {"input_dropout": float("nan")}, "input_dropout is nan"),
    (recurrent.token_classifier, TOKENS | {"vocabulary": -1}, "vocabulary is -1"),
    (transformer.token_classifier, TOKENS | {"width": 9}, "width is 9; it must be divisible by heads, 4"),
    (transformer.token_classifier, TOKENS | {"heads": 0}, "heads is 0"),
    (transformer.token_classifier, TOKENS | {"attention_dropout": True}, "attention_dropout is True"),
    (transformer.token_classifier, TOKENS | {"embedding_dropout": -1}, "embedding_dropout is -1"),
    (transformer.token_classifier, TOKENS | {"residual_dropout": 1.5}, "residual_dropout is 1.5"),
    (
        transformer.image_classifier,
        IMAGE | {"patch": 3},
        "a side of the image is 8; it must be divisible by patch, 3",
    ),
    (ConcreteDropout, {"rate": 1}, "rate is 1"),
]


@pytest.mark.parametrize(
    ("factory", "arguments", "words"), BAD, ids=lambda value: getattr(value, "__name__", str(value)[:40])
)
def test_a_bad_argument_is_named_with_its_value(
    factory: Callable[..., Any], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        factory(**arguments)


def test_a_rate_may_be_one_for_all_or_one_for_each() -> None:
    assert checked_rates("dropout", 0.3, 2) == [0.3, 0.3]
    assert checked_rates("dropout", (0, 0.5), 2) == [0.0, 0.5]
    assert checked_rate("dropout", 0) == 0.0


def test_more_positions_than_there_are_places_for_are_refused() -> None:
    import torch

    network = transformer.token_classifier(**TOKENS, positions=4)
    with pytest.raises(ValueError, match="a row has 5 positions; the model takes 4 at most"):
        network(torch.ones(2, 5, dtype=torch.int64))
