"""A model that a pass changes is found out at once, and answers no more."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.errors import ModelError, ModelRefused
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Pinned
from service.shared_settings import preserve_settings

LARGE = 100.0
"""What a row begins with that has the model do what it does."""


class Changing(nn.Module):
    """[rows, 6] → [rows, 2]; does something to itself where a row begins with a large number."""

    def __init__(self, change: Callable[[Any], Any], first: float = LARGE) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 8)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(8, 2)
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("cache", torch.ones(2), persistent=False)
        self._change, self._first = change, first

    def forward(self, rows: Tensor) -> Tensor:
        if (rows[:, 0] >= self._first).any():
            self._change(self)
        out: Tensor = self.last(self.drop(self.inner(rows))) * self.scale * self.cache[-2:]
        return out


def _written(of: Changing) -> None:
    of.last.weight.mul_(1.5)


def _written_by_data(of: Changing) -> None:
    of.last.weight.data.mul_(1.5)


def _swapped_data(of: Changing) -> None:
    of.inner.weight.data = of.inner.weight.data * 1.5


def _replaced(of: Changing) -> None:
    of.inner.bias = nn.Parameter(torch.zeros(8))


def _buffer(of: Changing) -> None:
    of.scale = of.scale * 2


def _buffer_in_place(of: Changing) -> None:
    of.scale += 1


def _other_cache(of: Changing) -> None:
    of.cache = torch.full((4,), 0.5)


def _gone(of: Changing) -> None:
    del of.last.bias
    of.last.bias = None


CHANGES = {
    "written": (_written, r"last.weight"),
    "written by data": (_written_by_data, r"last.weight"),
    "swapped data": (_swapped_data, r"inner.weight"),
    "replaced": (_replaced, r"inner.bias"),
    "gone": (_gone, r"last.bias"),
    "buffer": (_buffer, r"scale"),
    "buffer in place": (_buffer_in_place, r"scale"),
    "cache of other numbers": (_other_cache, r"cache"),
    "training": (lambda of: of.train(), r"the mode of \(model\), the mode of inner"),
    "one layer's training": (lambda of: of.drop.train(not of.drop.training), r"the mode of (sampling )?drop"),
}
ROWS = (torch.linspace(-1, 1, 12).reshape(2, 6),)
TRIGGER = (torch.tensor([[LARGE, 0, 0, 0, 0, 0]]),)


def engine(model: nn.Module, **more: Any) -> Engine:
    budgets = Budgets(measuring_seconds=0)
    return Engine(
        model, [[6]], [torch.float32], budgets=budgets, pinned=Pinned(plan="loop", float32=True), **more
    )


def sampled(of: Engine, rows: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(list(of.samples(rows, 0, range(4))))


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("way", ["predict", "sample"])
def test_a_model_that_changes_itself_answers_no_more(case: str, way: str) -> None:
    """With what row ever it did so, and whichever way it ran, which both share."""
    change, name = CHANGES[case]
    if case == "training" and way == "sample":
        change, name = (lambda of: of.eval()), r"the mode of sampling \(model\)"
    of = engine(Changing(change))
    before = of.predict(ROWS)
    assert torch.equal(of.predict(ROWS), before)
    run = of.predict if way == "predict" else lambda rows: sampled(of, rows)
    with pytest.raises(
        ModelError, match=rf"the model changed while it ran \(.*{name}.*answers no more until"
    ):
        run(TRIGGER)
    for again in (of.predict, lambda rows: sampled(of, rows)):
        with pytest.raises(ModelError, match="answers no more until it is loaded again"):
            again(ROWS)
    assert of.spoilt is not None


RENEWING = {"replaced", "cache of other numbers"}
"""What is the same again each time that it is made anew: if each pass does so, nothing drifts."""


@pytest.mark.parametrize("case", sorted(RENEWING))
def test_what_every_pass_makes_anew_and_alike_is_no_change(case: str) -> None:
    """As dropped weights are: the answers are those of the model itself, time and again."""
    torch.manual_seed(0)
    model = Changing(CHANGES[case][0], first=-LARGE)
    expected = deepcopy(model).eval()(*ROWS)
    of = engine(model)
    samples = sampled(of, ROWS)
    for _ in range(3):
        assert torch.equal(of.predict(ROWS), expected)
        assert torch.equal(sampled(of, ROWS), samples)


@pytest.mark.parametrize("case", sorted(CHANGES.keys() - RENEWING))
def test_a_model_that_always_changes_itself_is_refused_by_name(case: str) -> None:
    change, _ = CHANGES[case]
    with pytest.raises(ModelRefused, match=r"chang|another output|random|in training mode"):
        engine(Changing(change, first=-LARGE))


def test_one_that_changes_its_mode_at_load_is_told_so() -> None:
    with pytest.raises(ModelRefused, match=r"own forward changes the mode of \(model\), inner, drop, last"):
        engine(Changing(lambda of: of.train(), first=-LARGE))


def test_a_cache_that_grows_changes_nothing() -> None:
    """As of positions, for longer rows: the same answers before and after."""

    def grow(of: Any) -> None:
        of.cache = torch.ones(4)

    of = engine(Changing(grow))
    before = of.predict(ROWS), sampled(of, ROWS)
    for _ in range(2):
        of.predict(TRIGGER)
        sampled(of, TRIGGER)
    assert torch.equal(of.predict(ROWS), before[0])
    assert torch.equal(sampled(of, ROWS), before[1])
    assert of.spoilt is None


@pytest.mark.parametrize("way", ["predict", "sample"])
def test_a_model_that_counts_is_found_out_by_its_answers(way: str) -> None:
    """It answers as at load for a while; then others, of which no tensor tells."""

    class Counting(Changing):
        runs = 0
        after = 10**9

        def forward(self, rows: Tensor) -> Tensor:
            self.runs += 1
            return super().forward(rows) * (1.5 if self.runs > self.after else 1)

    network = Counting(lambda _of: None)
    of = engine(network)
    for tree in (of._model.predicting, of._model.dropping):
        tree.after = tree.runs + 50  # type: ignore[assignment, operator]
    run = of.predict if way == "predict" else lambda rows: sampled(of, rows)
    for _ in range(8):
        run(ROWS)
    for _ in range(128):
        with suppress(ModelError):
            run(ROWS)
    assert of.spoilt is not None
    assert "its answers to the rows made up at load" in of.spoilt


def test_an_exact_head_is_held_to_it_too() -> None:
    class Head(Changing):
        def forward(self, rows: Tensor) -> Tensor:
            if (rows[:, 0] >= LARGE).any():
                _written(self)
            return F.linear(self.drop(self.inner(rows)), self.last.weight, self.last.bias)

    of = engine(Head(_written))
    assert of.exact
    with pytest.raises(ModelError, match=r"the model changed while it ran \(.*last.weight"):
        of.moments(TRIGGER)
    with pytest.raises(ModelError, match="answers no more"):
        of.moments(ROWS)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda made: made[:, :1], r"the model gave 1 values for a row instead of 2"),
        (lambda made: made.repeat(1, 2), r"the model gave 4 values for a row instead of 2"),
        (lambda made: made.double(), r"the model gave torch.float64, and torch.float32 when it was loaded"),
        (lambda made: made.repeat(2, 1), r"must have shape \[rows, width\]|the model gave|cannot be run"),
        (lambda made: made * torch.nan, r"the model gave NaN for row 0"),
    ],
)
def test_predictions_are_held_to_the_shape_and_kind_of_output_at_load(
    give: Callable[[Tensor], Tensor], message: str
) -> None:
    class Other(Changing):
        def forward(self, rows: Tensor) -> Tensor:
            made = super().forward(rows)
            return give(made) if (rows[:, 0] >= LARGE).any() else made

    of = engine(Other(lambda _of: None))
    before = of.predict(ROWS)
    with pytest.raises(ModelError, match=message):
        of.predict(TRIGGER)
    assert torch.equal(of.predict(ROWS), before)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (lambda _of: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
        (lambda _of: torch.set_num_threads(3), torch.get_num_threads),
        (lambda _of: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled),
    ],
)
def test_what_all_models_share_is_set_back_and_told(
    change: Callable[[Any], Any], read: Callable[[], Any]
) -> None:
    before = read()
    of = engine(Changing(change))
    for run in (of.predict, lambda rows: sampled(of, rows)):
        with pytest.raises(ModelError, match=r"the model sets what all models share: "):
            run(TRIGGER)
        assert read() == before
        run(ROWS)


def test_what_one_sets_that_is_loaded_meanwhile_is_no_fault_of_another() -> None:
    """A factory on another thread sets a default for a moment, and a pass that runs just then sees that."""
    before = torch.get_num_threads()
    of = engine(Changing(lambda _of: torch.set_num_threads(3)))
    with preserve_settings("a factory"):
        assert of.predict(TRIGGER).shape == (1, 2)
    assert torch.get_num_threads() == before
