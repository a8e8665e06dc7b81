"""Inputs by name and outputs by name: the tensor that is served is the one that was meant."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from networks import mlp
from torch import Tensor, nn

from service.errors import ModelRefused
from service.sampling.engine import Budgets, Engine

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0)


class Heads(NamedTuple):
    logits: Tensor
    hidden: Tensor


@dataclass
class Answer:
    logits: Tensor
    hidden: Tensor | None


class Several(nn.Module):
    """Gives what `wrap` makes of logits [rows, 3] and hidden values [rows, 6]."""

    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.net, self._wrap = mlp(), wrap

    def forward(self, features: Tensor) -> Any:
        return self._wrap(self.net(features), features * 2)


FORMS: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "dictionary": (lambda logits, hidden: {"hidden": hidden, "logits": logits}, "logits"),
    "ordered dictionary": (lambda logits, hidden: OrderedDict(logits=logits, hidden=hidden), "logits"),
    "tuple": (lambda logits, hidden: (hidden, logits), "1"),
    "list": (lambda logits, hidden: [logits, hidden], "0"),
    "named tuple": (Heads, "logits"),
    "dataclass": (Answer, "logits"),
    "numbered dictionary": (lambda logits, hidden: {7: hidden, 8: logits}, "8"),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_named_output_is_served(form: str) -> None:
    wrap, name = FORMS[form]
    torch.manual_seed(0)
    model = Several(wrap)
    plain = Engine(model.net, [[6]], [FLOAT], budgets=QUICK)
    several = Several(wrap)
    several.load_state_dict(model.state_dict())
    named = Engine(several, [[6]], [FLOAT], output=name, budgets=QUICK)
    x = (torch.randn(4, 6),)
    assert torch.equal(named.predict(x), plain.predict(x))
    assert [site.path for site in named.report.sites] == ["net.2", "net.5"]
    assert named.plans is not None
    assert not named.plans.refused


@pytest.mark.parametrize(
    ("wrap", "output", "message"),
    [
        (
            FORMS["dictionary"][0],
            None,
            r'returned dict of hidden \[5, 6\], logits \[5, 3\]; choose .* name = "hid',
        ),
        (
            FORMS["tuple"][0],
            None,
            r"returned tuple of 0 \[5, 6\], 1 \[5, 3\]; choose one .* under \[output\]",
        ),
        (
            lambda logits, _: Answer(logits, None),
            None,
            r"returned Answer of logits \[5, 3\]; choose",
        ),
        (FORMS["tuple"][0], "2", r'output.name is "2", and .* returned tuple of 0 \[5, 6\], 1'),
        (
            lambda logits, _: Answer(logits, None),
            "hidden",
            r'is "hidden", and .* returned Answer of logits \[5, 3\];',
        ),
        (lambda logits, _: logits, "logits", r"forward returns one tensor: leave the name out"),
        (lambda _logits, _: {}, None, r"must return one tensor, and returned dict$"),
    ],
)
def test_an_output_that_is_not_chosen_or_not_there_is_refused(
    wrap: Any, output: str | None, message: str
) -> None:
    with pytest.raises(ModelRefused, match=message):
        Engine(Several(wrap), [[6]], [FLOAT], output=output, budgets=QUICK)


class Apart(nn.Module):
    """Parameters lie between its inputs, and they are not in the order of the tables."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(6, 3)

    def forward(self, features: Tensor, cache: None = None, *, scale: Tensor) -> Tensor:
        assert cache is None
        return self.last(self.drop(features)) * scale


def test_inputs_are_passed_by_name_where_forward_has_them_all() -> None:
    torch.manual_seed(0)
    model = Apart()
    engine = Engine(model, [[1], [6]], [FLOAT, FLOAT], names=["scale", "features"], budgets=QUICK)
    scale, features = torch.randn(3, 1), torch.randn(3, 6)
    with torch.no_grad():
        assert torch.equal(engine.predict((scale, features)), model.last(features) * scale)
    assert torch.cat(list(engine.samples((scale, features), 0, range(5)))).shape == (5, 3, 3)


def test_inputs_are_passed_by_order_where_forward_calls_one_otherwise() -> None:
    class Order(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return left - right

    inputs = (torch.randn(3, 2), torch.randn(3, 2))
    for names, expected in (
        (["right", "other"], inputs[0] - inputs[1]),
        (["right", "left"], inputs[1] - inputs[0]),
        ([], inputs[0] - inputs[1]),
    ):
        engine = Engine(Order(), [[2], [2]], [FLOAT, FLOAT], names=names, budgets=QUICK)
        assert torch.equal(engine.predict(inputs), expected)
