"""The audit of a model at load: it is served as its numbers promise, or refused with the reason."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from operator import or_

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from service.errors import ModelRefused
from service.sampling.advice import findings
from service.sampling.comparison import agree, is_rounding, one_output
from service.sampling.discovery import Discovery, Example, discover
from service.sampling.flow import Flow
from service.sampling.generators import draws_itself, generators
from service.sampling.interception import DropoutCall, ModulePaths
from service.sampling.kinds import BERNOULLI, UNIFORM
from service.sampling.left_on import drawn_in_vain, left_on, refuse_unregistered
from service.sampling.masks import site_factors
from service.sampling.observation import PassObserver, RandomOperation
from service.sampling.precision import in_float64
from service.sampling.report import DropoutReport, IdleDropout
from service.sampling.signature import choose_output
from service.sampling.sites import Selection, Site, select
from service.sampling.state import ModelState
from service.sampling.stochastic import Inputs, StochasticModel, masked
from service.sampling.surroundings import surroundings
from service.sampling.trees import scripted_functions

_DRAWN = frozenset({BERNOULLI.name, UNIFORM.name})

_RANDOM_UNSEEN = (
    "the model is random in a way that torch does not draw (a mask must come of torch.bernoulli or "
    "torch.rand, and not of numpy), or remembers what it was asked before"
)
_AUDIT_SEED = 0
_AUDIT_ROWS = 5
_FEW = range(8)
_NAMED = 5  # of parameters and buffers, in an error
_OFTEN = 0.5  # as a rate
_LARGEST_IN_FLOAT64 = 1 << 30  # bytes of weights as they are; four times that are in use meanwhile


@torch.no_grad()
def audit(model: StochasticModel, example: Example, selection: Selection, tokens: int = 1) -> DropoutReport:
    """Check everything that a correct answer rests on, with example rows.

    Args:
        model: both trees.
        example: makes the same inputs each time for a number of rows.
        selection: which sites to sample.
        tokens: of an example row, where the model has outputs for each; what changes for one does for all.

    Raises:
        ModelRefused: predictions are random, some randomness is no site's, samples do not repeat, sampling
            changes the model, or a row's answer depends on the rows beside it.
    """
    before, stood = _state(model), generators()
    try:
        model.predict(example(_AUDIT_ROWS))
        _check_modes(before)
        _check_prediction(model, example)
        flow, found = _discovered(model, example)
        _check_modes(before)
        refuse_random(model, found.random)
        _refuse_mode_of_the_original(model, example, found)
        sites = select(found.sites, selection)
        _check_selection(found.sites, sites, selection)
        _check_training_mode(model, example, found)
        samples = _check_samples(model, example, sites)
        _check_numbers(before, partial(_both_ways, model, example, sites))
    except Exception:
        # Whatever is wrong, this may be why.
        _refuse_own_generators(stood, partial(_in_training, model, example))
        raise
    _refuse_own_generators(stood, partial(_both_ways, model, example, sites))
    effect = _effect(samples, tokens)
    if not all(effect):
        # Where little is dropped a few samples may drop nothing at all, and yet sampling does change it.
        often = _samples(model, example(_AUDIT_ROWS), sites, often=True)
        effect = tuple(map(or_, effect, _effect(often, tokens)))
    idle = tuple(_idle(model.dropping, sites))
    around = surroundings(flow)
    return DropoutReport(sites, around, idle, effect, tuple(findings(sites, around, idle, effect)))


def refuse_random(model: StochasticModel, operations: Sequence[RandomOperation]) -> None:
    """Refuse random operations that no dropout function has asked for."""
    if not operations:
        return
    if scripted := scripted_functions(model.predicting):
        more = (
            f"; dropout in TorchScript cannot be seen, and it runs {', '.join(scripted)}: give the plain "
            f"function{'s' if len(scripted) > 1 else ''}"
        )
    else:
        more = (
            "; noise is not sampled, and a mask must come of torch.rand or torch.bernoulli with torch's own "
            "generator"
        )
    _refuse_random(operations, f"no dropout function that can be sampled owns it{more}")


def _refuse_mode_of_the_original(model: StochasticModel, example: Example, found: Discovery) -> None:
    """Refuse what looks at the mode of the network that predicts, and would not drop where samples are.

    Functions that hold the network are made anew for the copy that drops, and refused where that cannot be;
    by a way that nobody has looked at, it is seen here.
    """
    modules = [module for module in model.predicting.modules() if not module.training]
    try:
        for module in modules:
            module.training = True
        other = discover(model, example)
    finally:
        for module in modules:
            module.training = False
    calls, usual = ({(site.name, site.rate) for site in one.sites} for one in (other, found))
    differs = sorted({name for name, _ in calls ^ usual} | {random.path for random in other.random})
    if differs:
        raise ModelRefused(
            f"dropout at {', '.join(differs)} looks at the mode of another module than the one that runs: of "
            "the network that samples' copy was made of; let it look at self.training, where self is a "
            "module of the model"
        )


def _refuse_own_generators(stood: object, run: Callable[[], object]) -> None:
    if stood != generators() and draws_itself(run):
        raise ModelRefused(
            "the model draws from the generator of Python or numpy, which cannot be sampled; draw with "
            "torch: a mask with torch.bernoulli, and what decides whether a layer runs with torch.rand"
        )


def _discovered(model: StochasticModel, example: Example) -> tuple[Flow, Discovery]:
    """Find the sites; where training mode gives more outputs, choose the one that eval mode gives."""
    flow = Flow(model.dropping)
    found = discover(model, example, flow)
    expected = model.predict(example(2))
    if isinstance(found.output, Tensor) or not isinstance(expected, Tensor):
        return flow, found
    choose_output(model.dropping, found.output, partial(_is_same, expected))
    flow = Flow(model.dropping)
    return flow, discover(model, example, flow)


def _check_prediction(model: StochasticModel, example: Example) -> None:
    inputs = example(_AUDIT_ROWS)
    refuse_unregistered(model, inputs)
    random_in_eval = _random_in_eval(model, inputs)
    if random_in_eval and not drawn_in_vain(model, inputs):
        _refuse_random(random_in_eval, left_on(model, inputs))

    def predict(rows: Inputs) -> Tensor:
        return one_output(model.predict(rows), len(rows[0]))

    first = predict(inputs)
    if first.isnan().any():
        raise ModelRefused(
            "the model gave NaN on made-up rows; if it takes only some values, say which by a range for its "
            "[[input]] in model.toml, such as range = [0, 1]"
        )
    predict(_reversed(inputs))  # what a model remembers of other rows must not show
    if not torch.equal(first, predict(inputs)):
        raise ModelRefused(
            "the model gives another output when it predicts the same rows again in eval mode: it is "
            "random, or remembers what it was asked before"
        )
    _check_rows_apart(
        "predict", first, inputs, lambda one, rows: one_output(one.predict(rows), len(rows[0])), model
    )


def _is_same(expected: Tensor, given: Tensor) -> bool:
    """Compare two outputs for the same two rows."""
    if expected.shape != given.shape:
        return False
    flat, other = expected.reshape(2, -1), given.reshape(2, -1)
    return agree(flat, other, spread=flat.std(0))


def _check_training_mode(model: StochasticModel, example: Example, found: Discovery) -> None:
    """Compare eval mode with training mode when nothing is dropped: samples must be of the same network."""
    expected, given = one_output(model.predict(example(2)), 2), one_output(found.output, 2)

    def again(exact: StochasticModel) -> tuple[Tensor, Tensor]:
        return one_output(exact.predict(example(2)), 2), one_output(discover(exact, example).output, 2)

    if not _is_same(expected, given) and not _is_rounding(model, expected, given, again):
        if not torch.equal(given, one_output(discover(model, example).output, 2)):
            raise ModelRefused(f"{_RANDOM_UNSEEN}: with nothing dropped it gave two outputs")
        for reason in found.unfollowed:
            raise reason
        raise ModelRefused(
            "in training mode the model does more than drop: with nothing dropped it gives "
            f"{given[0, :3].tolist()}, and in eval mode {expected[0, :3].tolist()}{_of_decisions(found)}"
        )


def _of_decisions(found: Discovery) -> str:
    deciding = [site.name for site in found.sites if site.decides]
    if not deciding:
        return ""
    return (
        f". What runs is decided by the numbers drawn at {', '.join(deciding)}; where what runs is scaled "
        "for that, or more often left out than not, multiply it by a mask of torch.bernoulli instead"
    )


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
        names = ", ".join(repr(site.path) for site in found)
        raise ModelRefused(
            f"sampling.sites {list(selection)} names none of the model's dropout sites: {names}"
        )
    for site in selected:
        if site.kind in _DRAWN and site.rate > 0 and not site.sampled:
            raise ModelRefused(
                f"sampling.sites leaves out {site.name}, whose mask the model draws and scales by itself: "
                "it has no off; sample it too"
            )


def _samples(model: StochasticModel, inputs: Inputs, sites: Sequence[Site], *, often: bool = False) -> Tensor:
    """Run a few samples by themselves, [samples, rows, width]."""
    return torch.stack([_sample(model, inputs, sites, number, often=often) for number in _FEW])


def _effect(samples: Tensor, tokens: int) -> tuple[bool, ...]:
    """Tell for each output whether samples differ in it, [samples, rows, tokens · width]."""
    differs = (samples != samples[0]).any(0).any(0)
    return tuple(differs.unflatten(0, (tokens, -1)).any(0).tolist())


def _sample(
    model: StochasticModel, inputs: Inputs, sites: Sequence[Site], number: int, *, often: bool = False
) -> Tensor:
    """Run one sample by itself, [rows, width]; `often` drops at least half of each site's units."""
    by_name = {site.name: site for site in sites}

    def drop(call: DropoutCall, site: Site) -> Tensor:
        drawn = replace(site, rate=max(site.zeros, _OFTEN), drawn_rate=None) if often else site
        return masked(call, site, _mask(drawn, number).to(inputs[0].device), in_place=True)

    return one_output(model.sample(inputs, by_name, drop), len(inputs[0]))


def _mask(site: Site, number: int) -> Tensor:
    return site_factors(_AUDIT_SEED, site, range(number, number + 1))[0]


def _check_samples(model: StochasticModel, example: Example, sites: Sequence[Site]) -> Tensor:
    """Run samples twice, with others between, and rows apart; gives them, [samples, rows, width]."""
    inputs = example(_AUDIT_ROWS)
    samples = _samples(model, inputs, sites)
    _sample(model, _reversed(inputs), sites, 0)
    if not torch.equal(samples, _samples(model, inputs, sites)):
        raise ModelRefused(f"{_RANDOM_UNSEEN}: one set of masks gave two outputs")
    _check_rows_apart("sample", samples[0], inputs, lambda one, rows: _sample(one, rows, sites, 0), model)
    return samples


def _check_rows_apart(
    step: str,
    batch: Tensor,
    inputs: Inputs,
    run: Callable[[StochasticModel, Inputs], Tensor],
    model: StochasticModel,
) -> None:
    """Compare each row's answer in a batch, [rows, width], with that alone and in the reversed batch."""

    def alone(one: StochasticModel) -> Tensor:
        singles = (tuple(tensor[row : row + 1] for tensor in inputs) for row in range(len(batch)))
        return torch.cat([run(one, single) for single in singles])

    def backwards(one: StochasticModel) -> Tensor:
        return run(one, _reversed(inputs)).flip(0)

    def both(way: Callable[[StochasticModel], Tensor], exact: StochasticModel) -> tuple[Tensor, Tensor]:
        return run(exact, inputs), way(exact)

    for way in (alone, backwards):
        other = way(model)
        if agree(batch, other, spread=batch.std(0)):
            continue
        if _is_rounding(model, batch, other, partial(both, way)):
            continue
        row = int((batch - other).abs().amax(-1).argmax())
        raise ModelRefused(
            f"the model's answer to {step} a row depends on the rows beside it (a batch norm without "
            "running statistics does this, or a layer that takes rows for positions): in a batch "
            f"{batch[row, :3].tolist()}, elsewhere {other[row, :3].tolist()}"
        )


def _is_rounding(
    model: StochasticModel,
    expected: Tensor,
    given: Tensor,
    again: Callable[[StochasticModel], tuple[Tensor, Tensor]],
) -> bool:
    """Tell whether two outputs are the same but for rounding, by having both anew in float64."""
    if sum(held.nbytes for held in model.predicting.parameters()) > _LARGEST_IN_FLOAT64:
        return False
    try:
        return is_rounding(expected, given, lambda: again(in_float64(model)))
    except Exception:  # noqa: BLE001  # not every model runs in float64, and then it is not known
        return False


def _reversed(inputs: Inputs) -> Inputs:
    return tuple(tensor.flip(0) for tensor in inputs)


def _state(model: StochasticModel) -> ModelState:
    return ModelState({"": model.predicting, "sampling ": model.dropping}, exact=True)


def _check_modes(state: ModelState) -> None:
    if changed := state.changed_modes():
        raise ModelRefused(
            f"the model's own forward changes the mode of {', '.join(changed)}, which decides whether "
            "dropout drops: leave train() and eval() to whoever calls the model"
        )


def _check_numbers(state: ModelState, run: Callable[[], object]) -> None:
    if changed := state.changed_for_good(run):
        names = ", ".join(changed[:_NAMED])
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        raise ModelRefused(f"{names}{more}: changed while the model ran, so that its answers would drift")


def _both_ways(model: StochasticModel, example: Example, sites: Sequence[Site]) -> None:
    model.predict(example(2))
    _sample(model, example(2), sites, 0)


def _in_training(model: StochasticModel, example: Example) -> None:
    model.predict(example(2))
    model.intercepted(example(2), DropoutCall.keep_all)


def _idle(tree: nn.Module, sites: Sequence[Site]) -> Iterable[IdleDropout]:
    reached = {site.path for site in sites}
    rates = {(site.path, site.rate) for site in sites}
    for path, module in tree.named_modules():
        if not isinstance(module, _DropoutNd) or path in reached:
            continue
        # Attention is often given the rate of a dropout child, and drops by itself.
        if (path.rpartition(".")[0], module.p) not in rates:
            yield IdleDropout(path, type(module).__name__, module.p)
