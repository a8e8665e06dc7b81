"""What the audit reports, and what stands between its findings and a later surprise."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import SAMPLED, Named, functional, images, in_a_loop, mlp, plain, shared_twice
from torch import Tensor, nn

from service.errors import ModelError, ModelRefused, NoDropout
from service.sampling.engine import Budgets, Engine
from service.sampling.sites import Selection

FLOAT = torch.float32
QUICK = Budgets(measuring_seconds=0)


def audited(model: nn.Module, shape: Sequence[int] = (6,), selection: Selection = "all") -> Engine:
    return Engine(model, [list(shape)], [FLOAT], selection, budgets=QUICK)


def function(forward: Callable[[nn.Module, Tensor], Tensor], **children: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), Named(forward, **children))


def test_sites_are_reported_as_they_are() -> None:
    report = audited(images(), (2, 8, 8)).report
    assert [(site.path, site.kind, site.rate, site.mask_shape) for site in report.sites] == [
        ("3", "dropout2d", 0.3, (1, 8, 1, 1)),
        ("6", "feature_alpha_dropout", 0.2, (1, 8, 1, 1)),
        ("9", "dropout", 0.5, (1, 32)),
    ]
    shares = [site.share_of_cost for site in report.sites]
    # Multiplications: 8·8·9·2·8 in the first convolution, 8·8·9·8·8 in the second, 32·3 in the head.
    first, second, head = 9216, 36864, 96
    total = first + second + head
    assert shares == pytest.approx([(second + head) / total, head / total, head / total])
    assert report.can_sample
    assert [(finding.code, finding.site) for finding in report.findings] == [("rate_above_usual", "3")]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (functional(), ["(model)", "(model):1"]),
        (shared_twice(), ["drop", "drop:1"]),
        (in_a_loop(), ["drop", "drop:1", "drop:2"]),
    ],
)
def test_every_call_is_a_site_of_its_own(model: nn.Module, names: list[str]) -> None:
    assert [site.name for site in audited(model).report.sites] == names


def test_sites_without_rows_keep_their_whole_shape() -> None:
    factory, shapes, dtypes = SAMPLED["dropped_weights"]
    (site,) = Engine(factory(), shapes, dtypes, budgets=QUICK).report.sites
    assert site.mask_shape == (3, 6)


def test_rows_may_be_any_dimension() -> None:
    factory, shapes, dtypes = SAMPLED["rows_second"]
    (site,) = Engine(factory(), shapes, dtypes, budgets=QUICK).report.sites
    assert site.mask_shape == (5, 1, 6)


def test_attention_drops_its_weights_and_is_reported_where_it_is() -> None:
    """Heads that are folded into the rows are parts of a row's mask."""
    factory, shapes, dtypes = SAMPLED["encoder"]
    sites = Engine(factory(), shapes, dtypes, budgets=QUICK).report.sites
    assert [(site.path, site.rate, site.mask_shape) for site in sites[:4]] == [
        ("layers.layers.0.self_attn", 0.2, (1, 2, 5, 5)),
        ("layers.layers.0.dropout1", 0.2, (1, 5, 6)),
        ("layers.layers.0.dropout", 0.2, (1, 5, 12)),
        ("layers.layers.0.dropout2", 0.2, (1, 5, 6)),
    ]
    assert len(sites) == 8
    factory, shapes, dtypes = SAMPLED["multihead"]
    (site,) = Engine(factory(), shapes, dtypes, budgets=QUICK).report.sites
    assert (site.path, site.mask_shape) == ("attend", (2, 5, 5))


def test_a_mask_of_the_models_own_has_one_unit_a_row_and_cannot_be_left_out() -> None:
    factory, shapes, dtypes = SAMPLED["stochastic_depth"]
    (site,) = Engine(factory(), shapes, dtypes, budgets=QUICK).report.sites
    assert (site.path, site.kind, site.mask_shape) == ("(model)", "bernoulli", (1, 1))
    assert site.rate == pytest.approx(0.2)
    both = nn.Sequential(factory(), nn.Dropout(0.5))
    with pytest.raises(ModelRefused, match=r"leaves out 0, whose mask the model draws and scales by itself"):
        audited(both, selection="head")


def test_a_model_without_dropout_can_predict_only() -> None:
    engine = audited(plain())
    assert not engine.report.can_sample
    assert engine.plans is None
    assert [finding.code for finding in engine.report.findings] == ["no_dropout"]


def test_rates_of_zero_and_one_are_told() -> None:
    model = nn.Sequential(nn.Dropout(0.0), nn.Linear(6, 4), nn.Dropout(1.0), nn.Dropout(0.5), nn.Linear(4, 2))
    engine = audited(model)
    assert [(finding.code, finding.site) for finding in engine.report.findings] == [
        ("no_effect", None),
        ("rate_one", "2"),
        ("rate_zero", "0"),
    ]
    outputs = torch.cat(list(engine.samples((torch.randn(1, 6),), 0, range(3))))
    assert torch.equal(outputs, model[4].bias.expand_as(outputs))  # all units of the last layer are gone
    assert not engine.report.can_sample


def test_dropout_that_never_runs_is_told() -> None:
    model = function(
        lambda self, x: self.get_submodule("used")(x), used=nn.Dropout(0.3), unused=nn.Dropout(0.4)
    )
    report = audited(model).report
    assert [(idle.path, idle.kind, idle.rate) for idle in report.idle] == [("1.unused", "Dropout", 0.4)]
    (finding,) = [one for one in report.findings if one.code == "never_runs"]
    assert finding.site == "1.unused"


@pytest.mark.parametrize(
    ("selection", "sampled"),
    [("all", ["2", "5"]), ("head", ["5"]), (["2"], ["2"]), (["[0-3]"], ["2"]), (["*"], ["2", "5"])],
)
def test_selected_sites_are_sampled_and_no_others(selection: Selection, sampled: list[str]) -> None:
    engine = audited(mlp(), selection=selection)
    assert [site.path for site in engine.report.sites if site.sampled] == sampled
    rest = [site.path for site in engine.report.sites if not site.sampled]
    assert [finding.site for finding in engine.report.findings] == rest


def test_an_unsampled_site_drops_nothing() -> None:
    """Only the head's site is sampled: with the head's mask applied by hand, the rest is eval mode."""
    torch.manual_seed(0)
    model = mlp()
    engine = audited(model, selection="head")
    x = torch.randn(3, 6)
    (outputs,) = engine.samples((x,), 4, range(1))
    (site,) = [site for site in engine.report.sites if site.sampled]
    factors = engine._masks.factors(4, site, range(1), 1)[0]
    with torch.no_grad():
        expected = model[6](model[:5](x) * factors)  # the model itself is in eval mode: its dropout is idle
    assert np.allclose(outputs[0], expected, atol=1e-6)


def test_a_pattern_that_names_nothing_is_refused() -> None:
    with pytest.raises(ModelRefused, match=r"names none of the model's dropout sites: '2', '5'"):
        audited(mlp(), selection=["decoder.*"])


def test_dropout_whose_result_is_thrown_away_is_no_dropout() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        self.get_submodule("drop")(x)
        return x

    report = audited(function(forward, drop=nn.Dropout(0.5))).report
    assert not report.can_sample
    assert [finding.code for finding in report.findings] == ["no_effect"]


def test_outputs_that_sampling_does_not_change_are_named() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], self.get_submodule("drop")(x[:, 1:2]), x[:, 2:3]], -1)

    report = audited(function(forward, drop=nn.Dropout(0.5))).report
    assert report.effect == (False, True, False)
    (finding,) = [one for one in report.findings if one.code == "partial_effect"]
    assert finding.message == "sampling does not change these outputs: 0, 2"


def test_a_rate_too_small_to_be_seen_in_a_few_samples_has_an_effect_all_the_same() -> None:
    report = audited(nn.Sequential(nn.Linear(6, 2), nn.Dropout(1e-6), nn.Linear(2, 3))).report
    assert report.effect == (True, True, True)
    assert "samples_alike" in [finding.code for finding in report.findings]


def test_a_sampled_dropout_that_does_not_run_is_an_error_and_not_a_silence() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        x = self.get_submodule("always")(x)
        return x if x.abs().max() > 100 else self.get_submodule("near")(x)

    engine = audited(function(forward, always=nn.Dropout(0.2), near=nn.Dropout(0.2)))
    with pytest.raises(ModelError, match=r"dropout at 1.near ran when the model was loaded, and not now"):
        list(engine.samples((torch.full((1, 6), 1e6),), 0, range(2)))


def any_length(forward: Callable[[nn.Module, Tensor], Tensor]) -> Engine:
    """An engine for [rows, any, 6], made up with length 8."""
    model = Named(forward, drop=nn.Dropout(0.5), last=nn.Linear(6, 2))
    return Engine(model, [[-1, 6]], [FLOAT], budgets=QUICK)


def test_randomness_of_other_lengths_is_refused_when_it_is_met() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        noise = torch.randn_like(x) if self.training and x.shape[1] > 10 else 0
        return self.get_submodule("last")(self.get_submodule("drop")(x + noise).mean(1))

    engine = any_length(forward)
    assert torch.cat(list(engine.samples((torch.randn(2, 9, 6),), 0, range(3)))).shape == (3, 2, 2)
    with pytest.raises(ModelError, match="cannot be run with rows of this shape") as raised:
        list(engine.samples((torch.randn(2, 11, 6),), 0, range(3)))
    assert "aten.randn_like.default" in raised.value.detail
    assert engine.predict((torch.randn(2, 11, 6),)).shape == (2, 2)


def test_a_length_that_the_model_cannot_take_is_its_error() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if x.shape[1] > 10:
            raise IndexError("position 11 of 10")
        return self.get_submodule("last")(self.get_submodule("drop")(x).mean(1))

    engine = any_length(forward)
    for ask in (engine.predict, lambda inputs: list(engine.samples(inputs, 0, range(2)))):
        with pytest.raises(ModelError, match="the model raised IndexError"):
            ask((torch.randn(2, 11, 6),))


def test_a_length_without_dropout_has_nothing_to_sample() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return self.get_submodule("last")((self.get_submodule("drop")(x) if x.shape[1] > 2 else x).mean(1))

    with pytest.raises(NoDropout, match=r"with rows of shape \[2, 6\] the model has nothing to sample"):
        list(any_length(forward).samples((torch.randn(1, 2, 6),), 0, range(2)))


def test_a_model_of_some_values_only_says_which_by_a_range() -> None:
    model = Named(lambda self, x: self.get_submodule("drop")(x.log()), drop=nn.Dropout(0.5))
    with pytest.raises(ModelRefused, match=r"gave NaN on made-up rows; .* range for its \[\[input\]\]"):
        audited(model)
    engine = Engine(model, [[6]], [FLOAT], ranges=[(1.0, 5.0)], budgets=QUICK)
    rows = engine.example(100)[0]
    assert 1 <= rows.min() < rows.max() <= 5


def test_dropout_beside_running_statistics_is_sampled() -> None:
    """A container that keeps statistics of its own: it is in eval mode, its children are not."""

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("running_mean", torch.zeros(1))
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(x)

    (site,) = audited(nn.Sequential(Watched(), nn.Linear(6, 2))).report.sites
    assert site.path == "0.drop"


def test_large_masks_are_cut_into_chunks_too() -> None:
    """Dropped weights of 1 MB a sample, one row: a chunk holds a budget's worth of masks, not all samples."""
    factory = Named(
        lambda self, x: F.linear(x, F.dropout(self.get_submodule("layer").weight, 0.3, self.training)),  # type: ignore[arg-type]
        layer=nn.Linear(512, 512),
    )
    budgets = Budgets(chunk_bytes=16 << 20, masks_bytes=1 << 20, measuring_seconds=0)
    engine = Engine(factory, [[512]], [FLOAT], budgets=budgets)
    chunks = list(engine.samples((torch.randn(1, 512),), 0, range(20)))
    assert max(len(chunk) for chunk in chunks) <= 4


@pytest.mark.parametrize("offset", [0.0, 200_000.0])
def test_a_plan_that_differs_is_refused_whatever_the_output_is_added_to(offset: float) -> None:
    """An in-place dropout that a residual branch sees: vmap gives half the deviation, beside any constant."""
    factory, shapes, dtypes = SAMPLED["in_place_alias"]
    torch.manual_seed(0)
    model = Named(lambda self, x: self.get_submodule("inner")(x) + offset, inner=factory())
    plans = Engine(model, shapes, dtypes, budgets=QUICK).plans
    assert plans is not None
    assert plans.refused.keys() == {"vmap", "fold"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_models_of_other_precisions_keep_theirs(dtype: torch.dtype) -> None:
    model = mlp().to(dtype)
    engine = Engine(model, [[6]], [dtype], budgets=QUICK)
    (outputs,) = engine.samples((torch.randn(2, 6, dtype=dtype),), 0, range(4))
    assert outputs.dtype == dtype


def test_a_dropout_call_that_was_not_there_at_load_is_an_error_and_not_a_silence() -> None:
    """Control flow that depends on the data: large rows take another way, with a dropout of its own."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        name = "far" if x.abs().max() > 100 else "near"
        return self.get_submodule(name)(x)

    engine = audited(function(forward, near=nn.Dropout(0.2), far=nn.Dropout(0.6)))
    with pytest.raises(ModelError, match=r"dropout at 1.far did not run when the model was loaded"):
        list(engine.samples((torch.full((1, 6), 1e6),), 0, range(2)))


def test_a_rate_that_changes_is_an_error() -> None:
    model = mlp()
    engine = audited(model)
    engine._model.dropping.get_submodule("2").p = 0.9  # type: ignore[assignment]
    with pytest.raises(ModelError, match=r"dropout at 2 had rate 0.5 at load and now 0.9"):
        list(engine.samples((torch.randn(1, 6),), 0, range(2)))


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_with_nan_is_named(row: int) -> None:
    engine = audited(mlp())
    x = torch.randn(4, 6)
    x[row, 1] = float("nan")
    for ask in (lambda: engine.predict((x,)), lambda: list(engine.samples((x,), 0, range(2)))):
        with pytest.raises(ModelError, match=f"the model gave NaN for row {row}"):
            ask()


def test_what_a_model_raises_is_told_and_its_words_are_kept_apart() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if x.max() > 100:
            raise KeyError("no such token")
        return F.dropout(x, 0.5, self.training)

    engine = audited(function(forward))
    for ask in (engine.predict, lambda inputs: list(engine.samples(inputs, 0, range(2)))):
        with pytest.raises(ModelError, match=r"^the model raised KeyError$") as raised:
            ask((torch.full((1, 6), 1e6),))
        assert raised.value.detail == "KeyError: 'no such token'"


def test_a_broken_pass_leaves_no_trace() -> None:
    """After a model has raised in the middle, paths start afresh: the next samples are what they were."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if x.max() > 100:
            raise ValueError("too large")
        return F.dropout(x, 0.5, self.training)

    engine = audited(function(forward))
    x = torch.randn(2, 6)
    before = list(engine.samples((x,), 0, range(3)))
    with pytest.raises(ModelError):
        list(engine.samples((x + 1e6,), 0, range(3)))
    assert all(torch.equal(*pair) for pair in zip(before, engine.samples((x,), 0, range(3)), strict=True))


@pytest.mark.parametrize(
    ("added", "is_rounding"),
    [
        (lambda x: (x + 50 * len(x)) - 50 * len(x), True),
        (lambda x: x + 3e-5 * len(x), False),
        (lambda x: (x + 5e4 * len(x)) - 5e4 * len(x), False),  # of which hardly a digit is left
    ],
)
def test_what_vanishes_in_float64_is_rounding_and_what_rows_take_of_each_other_is_not(
    added: Callable[[Tensor], Tensor], is_rounding: bool
) -> None:
    """Rows that hardly differ, so that nothing but rounding may, and more of it than a few last places."""
    layers = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.1), Named(lambda _, x: added(1.3 + 1e-5 * x)))
    if is_rounding:
        assert audited(layers).report.can_sample
    else:
        with pytest.raises(ModelRefused, match=r"depends on the rows beside it"):
            audited(layers)
