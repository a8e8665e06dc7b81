"""The audit of a model at load: it is served as its numbers promise, or refused with the reason."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from service.errors import ModelRefused
from service.sampling.discovery import Example, discover
from service.sampling.interception import ModulePaths
from service.sampling.kinds import BERNOULLI
from service.sampling.masks import keep_masks
from service.sampling.observation import PassObserver, RandomOperation
from service.sampling.report import DropoutReport, Finding, IdleDropout
from service.sampling.sites import Selection, Site, select
from service.sampling.stochastic import Inputs, Masks, StochasticModel

# A row alone and the same row in a batch take different matrix kernels: the rounding of fp32 through a deep
# net is some 1e-6 of its largest output (measured 2026-11); a row that sees its batch-mates is far off.
ROUNDING = 1e-4

_AUDIT_SEED = 0


@torch.no_grad()
def audit(model: StochasticModel, example: Example, selection: Selection) -> DropoutReport:
    """Check everything that a correct answer rests on, with example rows.

    Args:
        model: both trees.
        example: makes the same inputs each time for a number of rows.
        selection: which sites to sample.

    Raises:
        ModelRefused: predictions are random, some randomness is no site's, samples do not repeat, sampling
            changes the model, or a row's answer depends on the rows beside it.
    """
    before = _buffers(model.predicting)
    _check_prediction(model, example(2))
    found = discover(model, example)
    _refuse_random(found.random, "no dropout site owns it, so it cannot be sampled")
    sites = select(found.sites, selection)
    _check_selection(found.sites, sites, selection)
    _check_samples(model, example, sites)
    _check_buffers(before, _buffers(model.predicting))
    idle = tuple(_idle(model.dropping, sites))
    return DropoutReport(sites, idle, tuple(_findings(sites, idle)))


def one_output(output: object, rows: int) -> Tensor:
    """Check that a model gave one floating-point tensor with a row for each row; gives it as [rows, width].

    Raises:
        ModelRefused: it gave something else.
    """
    if not isinstance(output, Tensor):
        raise ModelRefused(
            f"the model's forward must return one tensor, and returned {type(output).__name__}"
        )
    if not output.is_floating_point():
        raise ModelRefused(f"the model's output must be floating point, and is {output.dtype}")
    if output.dim() == 0 or len(output) != rows or output.dim() > 2:
        raise ModelRefused(
            "the model's output must have shape [rows, width] or [rows]; "
            f"{rows} rows gave {list(output.shape)}"
        )
    return output.reshape(rows, -1)


def _check_prediction(model: StochasticModel, inputs: Inputs) -> None:
    _refuse_random(_random_in_eval(model, inputs), "it runs in eval mode too, so predictions would be random")
    first, again = (one_output(model.predict(inputs), 2) for _ in range(2))
    if not torch.equal(first, again):
        raise ModelRefused("the model gives another output each time it predicts the same rows in eval mode")
    _check_row_alone("predict", first, one_output(model.predict(_first_row(inputs)), 1))


def _random_in_eval(model: StochasticModel, inputs: Inputs) -> list[RandomOperation]:
    paths = ModulePaths(model.predicting)
    try:
        with PassObserver(paths) as observer:
            model.predict(inputs)
    finally:
        paths.remove()
    return observer.random


def _refuse_random(operations: Sequence[RandomOperation], reason: str) -> None:
    if operations:
        named = "; ".join(sorted({f"{seen.operation} in {seen.path}" for seen in operations}))
        raise ModelRefused(f"the model has a random operation ({named}): {reason}")


def _check_selection(found: Sequence[Site], selected: Sequence[Site], selection: Selection) -> None:
    if any(site.rate > 0 for site in found) and not any(site.sampled for site in selected):
        names = ", ".join(site.path for site in found)
        raise ModelRefused(
            f"sampling.sites {list(selection)} names none of the model's dropout sites: {names}"
        )
    for site in selected:
        if site.kind == BERNOULLI.name and not site.sampled:
            raise ModelRefused(
                f"sampling.sites leaves out {site.name}, whose mask the model draws and scales by itself: it has "
                "no off; sample it too"
            )


def _check_samples(model: StochasticModel, example: Example, sites: Sequence[Site]) -> None:
    masks = {site.name: _mask(site) for site in sites if site.sampled}
    inputs = example(2)
    first, again = (_sampled(model, inputs, sites, masks) for _ in range(2))
    if not torch.equal(first, again):
        raise ModelRefused(
            "the model is random in a way that torch does not draw: one set of masks gave two outputs"
        )
    _check_row_alone("sample", first, _sampled(model, _first_row(inputs), sites, masks))


def _sampled(model: StochasticModel, inputs: Inputs, sites: Sequence[Site], masks: Masks) -> Tensor:
    by_name = {site.name: site for site in sites}
    return one_output(model.sample(inputs, by_name, masks, in_place=True), len(inputs[0]))


def _mask(site: Site) -> Tensor:
    kept = keep_masks(_AUDIT_SEED, site.name, site.rate, site.mask_shape, range(1))[0]
    return torch.from_numpy(kept).float() * site.kept_scale


def _first_row(inputs: Inputs) -> Inputs:
    return tuple(tensor[:1] for tensor in inputs)


def _check_row_alone(step: str, batch: Tensor, alone: Tensor) -> None:
    if not close(batch[:1], alone):
        raise ModelRefused(
            f"the model's answer to {step} a row depends on the rows beside it (a batch norm without running "
            f"statistics does this): alone {alone[0, :3].tolist()}, in a batch {batch[0, :3].tolist()}"
        )


def close(one: Tensor, other: Tensor) -> bool:
    """Tell whether two outputs are equal to the rounding of fp32, relative to the largest value."""
    if one.shape != other.shape:
        return False
    largest = one.abs().max().item()
    return bool((one - other).abs().max().item() <= ROUNDING * largest)


def _buffers(tree: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in tree.named_buffers()}


def _check_buffers(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    for name, value in before.items():
        if not torch.equal(value, after[name]):
            raise ModelRefused(f"the buffer {name} changes while the model samples, so answers would drift")


def _idle(tree: nn.Module, sites: Sequence[Site]) -> Iterable[IdleDropout]:
    reached = {site.path for site in sites}
    for path, module in tree.named_modules():
        if isinstance(module, _DropoutNd) and path not in reached:
            yield IdleDropout(path, type(module).__name__, module.p)


def _findings(sites: Sequence[Site], idle: Sequence[IdleDropout]) -> Iterable[Finding]:
    if not any(site.sampled for site in sites):
        yield Finding("no_dropout", "warning", None, "nothing is dropped: uncertainty requests are refused")
    for module in idle:
        yield Finding(
            "never_runs", "warning", module.path, f"{module.kind} was never reached by a forward pass"
        )
    for site in sites:
        if site.rate == 0:
            yield Finding("rate_zero", "info", site.name, "its rate is 0: it does nothing and costs nothing")
        elif site.rate == 1:
            yield Finding(
                "rate_one", "warning", site.name, "its rate is 1: it drops everything, in every sample"
            )
        elif not site.sampled:
            yield Finding("not_sampled", "info", site.name, "sampling.sites leaves it out: it drops nothing")
