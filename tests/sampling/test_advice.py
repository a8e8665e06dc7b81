"""Each finding has a network that it is made about, and one nearly the same that it is not made about."""

from collections.abc import Callable, Sequence

import advised_networks as advised
import pytest
import torch
import torch.nn.functional as F
from huggingface_networks import HUGGINGFACE
from networks import SAMPLED, Named
from torch import nn

from models.zoo import cnn, mlp
from service.sampling.advice import nothing_dropped
from service.sampling.audit import audit
from service.sampling.catalogue import FINDINGS
from service.sampling.example import ExampleRows
from service.sampling.report import DropoutReport
from service.sampling.stochastic import StochasticModel

FLAT, IMAGE, SEQUENCE = (6,), (2, 8, 8), (5, 6)


def report(network: nn.Module, shape: Sequence[int]) -> DropoutReport:
    example = ExampleRows([list(shape)], [torch.float32], torch.device("cpu"))
    return audit(StochasticModel(network), example, "all")


def told(network: nn.Module, shape: Sequence[int]) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.site) for finding in report(network, shape).findings]


WRONG: dict[str, tuple[str, str | None, Sequence[int], Callable[[], nn.Module]]] = {
    "more than half": ("rate_above_half", "2", FLAT, lambda: advised.rate(0.6)),
    "early maps": ("rate_above_usual", "2", IMAGE, lambda: advised.convolutions(nn.Dropout2d(0.3))),
    "later maps": ("rate_above_usual", "9", IMAGE, lambda: advised.convolutions(last=nn.Dropout2d(0.4))),
    "embedding": ("rate_above_usual", "(model)", FLAT, lambda: advised.embedded(0.3)),
    "attention": ("rate_above_usual", "(model)", SEQUENCE, lambda: advised.attending(0.3)),
    "transformer": ("rate_above_usual", "0.dropout2", SEQUENCE, lambda: advised.encoder_layer(0.3)),
    "tiny and alone": ("samples_alike", None, FLAT, lambda: advised.alone(0.001, 32)),
    "tiny": ("rate_too_small", "2", FLAT, lambda: advised.rate(0.001, 10)),
    "elements": ("elements_of_maps", "2", IMAGE, lambda: advised.convolutions(nn.Dropout(0.1))),
    "elements, by function": (
        *("elements_of_maps", "(model)", IMAGE),
        lambda: advised.functional_convolutions(F.dropout),
    ),
    "steps": ("mask_per_step", "(model)", SEQUENCE, lambda: advised.in_an_lstm("each")),
    "steps, all read": (
        *("mask_per_step", "(model)", SEQUENCE),
        lambda: advised.whole_output(lambda states: states.mean(1)),
    ),
    "steps of a loop": ("mask_per_step", "drop", SEQUENCE, lambda: advised.step_by_step("each")),
    "steps of a cell": ("mask_per_step", "drop", SEQUENCE, advised.cells),
    "between layers": ("mask_per_step", "net", SEQUENCE, SAMPLED["lstm"][0]),
    "between layers, both ways": ("mask_per_step", "net", SEQUENCE, SAMPLED["gru"][0]),
    "output": ("output_dropped", "1", FLAT, lambda: nn.Sequential(nn.Linear(6, 1), nn.Dropout(0.3))),
    "logits": ("output_dropped", "3", FLAT, lambda: advised.output_softened(dropout_last=True)),
    "skip": ("skip_path_dropped", "1.drop", FLAT, lambda: advised.block(advised.skip_dropped)),
    "skip, by function": (
        *("skip_path_dropped", "1", FLAT),
        lambda: advised.block(advised.skip_dropped_functionally),
    ),
    "stream": ("skip_path_dropped", "1.drop", FLAT, lambda: advised.streams(advised.stream_dropped)),
    "norm": ("before_batch_norm", "1", FLAT, lambda: advised.normed(nn.Dropout(0.1), nn.BatchNorm1d(32))),
    "norm after an activation": (
        *("before_batch_norm", "1", FLAT),
        lambda: advised.normed(nn.Dropout(0.1), nn.ReLU(), nn.BatchNorm1d(32)),
    ),
    "norm later": ("batch_norm_later", "2", FLAT, lambda: advised.later_norm(0.2)),
    "one": ("rate_one", "0", FLAT, lambda: nn.Sequential(nn.Dropout(1.0), nn.Linear(6, 3), nn.Dropout(0.3))),
}  # fmt: skip

RIGHT: dict[str, tuple[Sequence[int], Callable[[], nn.Module]]] = {
    "half": (FLAT, lambda: advised.rate(0.5)),
    "early maps": (IMAGE, lambda: advised.convolutions(nn.Dropout2d(0.2))),
    "later maps": (IMAGE, lambda: advised.convolutions(last=nn.Dropout2d(0.3))),
    "embedding": (FLAT, lambda: advised.embedded(0.1)),
    "attention": (SEQUENCE, lambda: advised.attending(0.1)),
    "transformer": (SEQUENCE, lambda: advised.encoder_layer(0.1)),
    "tiny but wide": (FLAT, lambda: advised.alone(0.001, 64)),
    "maps": (IMAGE, lambda: advised.convolutions(nn.Dropout2d(0.1), nn.Dropout2d(0.1))),
    "maps, by function": (IMAGE, lambda: advised.functional_convolutions(F.dropout2d)),
    "patches": (IMAGE, advised.patches),
    "a mask for all steps": (SEQUENCE, lambda: advised.in_an_lstm("shared")),
    "a mask for all steps of a loop": (SEQUENCE, lambda: advised.step_by_step("shared")),
    "the last state": (SEQUENCE, lambda: advised.last_state(0.5)),
    "all states, the last read": (SEQUENCE, lambda: advised.whole_output(lambda states: states[:, -1])),
    "layers that share weights": (FLAT, advised.shared_depth),
    "before the output": (FLAT, lambda: nn.Sequential(nn.Linear(6, 9), nn.Dropout(0.3), nn.Linear(9, 1))),
    "before the logits": (FLAT, lambda: advised.output_softened(dropout_last=False)),
    "branch": (FLAT, lambda: advised.block(advised.branch_dropped)),
    "sum in a branch": (FLAT, lambda: advised.streams(advised.sum_dropped_in_the_branch)),
    "after the last block": (FLAT, lambda: advised.streams(advised.stream_dropped, layers=1)),
    "before a block": (FLAT, lambda: advised.block(advised.dropped_before_the_block)),
    "norm before": (FLAT, lambda: advised.normed(nn.BatchNorm1d(32), nn.Dropout(0.3))),
    "layer norm": (FLAT, lambda: advised.normed(nn.Dropout(0.3), nn.LayerNorm(32))),
    "norm later": (FLAT, lambda: advised.later_norm(0.1)),
    "in place, added": (FLAT, SAMPLED["in_place_alias"][0]),
    "stochastic depth": (FLAT, SAMPLED["stochastic_depth"][0]),
    "dropped weights": (FLAT, SAMPLED["dropped_weights"][0]),
    "zoo, classifier": (FLAT, lambda: mlp.classifier(features=6, classes=3)),
    "zoo, regressor": (FLAT, lambda: mlp.regressor(features=6)),
    "zoo, images": (IMAGE, lambda: cnn.classifier(image=IMAGE, classes=3)),
    "zoo, three blocks": (IMAGE, lambda: cnn.classifier(image=IMAGE, classes=3, channels=(8, 8, 8))),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_where_it_is(name: str) -> None:
    code, site, shape, network = WRONG[name]
    assert (code, site) in told(network(), shape)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_nearly_the_same_and_right_is_not_scolded(name: str) -> None:
    shape, network = RIGHT[name]
    assert told(network(), shape) == []


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", sorted(HUGGINGFACE))
def test_classifiers_of_hugging_face_are_not_scolded(name: str, attention: str) -> None:
    assert not HUGGINGFACE[name].engine(attention).report.findings


def test_every_finding_but_those_of_the_audits_tests_has_a_network() -> None:
    audits = {"no_dropout", "no_effect", "partial_effect", "never_runs", "rate_zero", "not_sampled"}
    assert {code for code, *_ in WRONG.values()} == FINDINGS.keys() - audits


def test_a_finding_says_what_was_seen_who_says_so_and_what_to_do() -> None:
    (finding,) = [one for one in report(advised.rate(0.6), FLAT).findings if one.severity == "warning"]
    assert finding.message == "its rate is 0.6: a sample keeps 40% of its units"
    assert finding.source.startswith("Srivastava et al. 2014")
    assert finding.remedy.startswith("Use 0.5 at most")


def test_a_range_is_told_with_its_own_source() -> None:
    (finding,) = report(advised.attending(0.3), SEQUENCE).findings
    assert finding.message == "its rate is 0.3; for attention weights 0.1 is usual"
    assert finding.source == "Devlin et al. 2019, BERT: pre-training of deep bidirectional transformers"


def test_warnings_come_first() -> None:
    network = nn.Sequential(
        nn.Linear(6, 9), nn.Dropout(0.0), nn.Linear(9, 9), nn.Dropout(0.7), nn.Linear(9, 3)
    )
    assert [code for code, _ in told(network, FLAT)] == ["rate_above_half", "rate_zero"]


def test_a_recurrent_net_is_told_of_once() -> None:
    factory, _, _ = SAMPLED["lstm"]
    codes = told(factory(), SEQUENCE)
    assert codes == [("mask_per_step", "net")]


def test_the_chance_that_nothing_is_dropped() -> None:
    """(1 - 0.001)^(50·10) for the first site, times (1 - 0.3)^(50·32) for the second."""
    sites = report(advised.rate(0.001, 10), FLAT).sites
    assert nothing_dropped(sites[:1]) == pytest.approx(0.999**500)
    assert nothing_dropped(sites) == pytest.approx(0.0, abs=1e-12)


def test_parameters_after_a_site_are_those_that_are_used_after_it() -> None:
    """6·32 + 32 before the first site; 32·32 + 32 between the two; 32·3 + 3 after them."""
    first, second = report(advised.rate(0.3), FLAT).around.values()
    total = 224 + 1056 + 99
    assert first.share_of_parameters == pytest.approx((1056 + 99) / total)
    assert second.share_of_parameters == pytest.approx(99 / total)


def test_a_weight_that_is_used_before_and_after_is_after() -> None:
    around = report(SAMPLED["in_a_loop"][0](), FLAT).around
    assert [one.share_of_parameters for one in around.values()] == [1.0, 1.0, 0.0]


def test_what_is_written_into_a_larger_tensor_is_followed() -> None:
    """Dropout whose result is copied, step by step, into a tensor made beforehand."""

    def forward(self: nn.Module, values: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(len(values), 2, 3)
        for step in range(2):
            out[:, step] = F.dropout(self.get_submodule("layer")(values), 0.3, self.training)
        return out.flatten(1)

    codes = told(Named(forward, layer=nn.Linear(6, 3)), FLAT)
    assert codes == [("output_dropped", "(model)"), ("output_dropped", "(model):1")]
