"""Dropout that eval mode does not turn off: why a model whose predictions are random is so."""

from collections.abc import Iterator, Mapping
from functools import partial
from inspect import getclosurevars
from types import FunctionType, MethodType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from service.errors import ModelRefused
from service.sampling.comparison import one_output
from service.sampling.interception import DropoutCall, DropoutPass, ModulePaths
from service.sampling.observation import PassObserver
from service.sampling.stochastic import Inputs, StochasticModel

_LARGEST = 1 - 2**-24
_OF_TORCH = frozenset(vars(nn.Module()))


def left_on(model: StochasticModel, inputs: Inputs) -> str:
    """Say, for a model that is random in eval mode, what makes it so and what to do."""
    calls = [
        call for call in _calls_in_eval(model, inputs) if not call.kind.draws and call.arguments.rate > 0
    ]
    if not calls:
        return (
            "it runs in eval mode too, so predictions would be random; draw where self.training says so, and "
            "the server turns it on for samples"
        )
    named = ", ".join(f"{call.name} (rate {call.arguments.rate:g})" for call in calls)
    return (
        f"dropout is left on in eval mode at {named}, so predictions would differ from call to call; drop in "
        "training mode alone, which the server turns on for samples: F.dropout(x, p, "
        "training=self.training), "
        "an nn.Dropout that __init__ makes, and for attention dropout_p=p if self.training else 0.0"
    )


def drawn_in_vain(model: StochasticModel, inputs: Inputs) -> bool:
    """Tell whether what a model draws in eval mode changes nothing: at either end of what it may draw."""
    outputs = []
    for end in (0.0, _LARGEST):

        def answer(call: DropoutCall, end: float = end) -> Tensor:
            if not call.kind.draws:
                raise ModelRefused("it drops")
            number = end if call.kind.uniform else round(end)
            values = call.arguments.values
            return values.fill_(number) if call.arguments.in_place else torch.full_like(values, number)

        paths = ModulePaths(model.predicting)
        try:
            with PassObserver(paths) as observer, DropoutPass(paths, answer, frozenset(), len(inputs[0])):
                output = model.predict(inputs)
        except ModelRefused:
            return False
        finally:
            paths.remove()
        if observer.random:
            return False
        outputs.append(one_output(output, len(inputs[0])))
    return torch.equal(*outputs)


def refuse_unregistered(model: StochasticModel, inputs: Inputs) -> None:
    """Refuse modules that drop or learn, and that torch does not know to be parts of the model.

    Raises:
        ModelRefused: some run; the text says where they are kept.
    """
    known = set(model.predicting.modules())
    hidden = [
        (where, owner, module)
        for path, holder in model.predicting.named_modules()
        for name, held in vars(holder).items()
        if name not in _OF_TORCH
        for where, owner, module in _modules(f"{path}.{name}".lstrip("."), held, holder)
        if module not in known
    ]
    ran: set[nn.Module] = set()
    hooks = [
        part.register_forward_pre_hook(lambda part, _inputs: ran.add(part))
        for _, _, module in hidden
        for part in module.modules()
    ]
    if not hooks:
        return
    try:
        model.predict(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for where, owner, module in hidden:
        if any(part in ran and _drops_or_learns(part) for part in module.modules()):
            way_out = _WAYS_OUT.get(type(owner), "make them attributes of the module itself")
            raise ModelRefused(
                f"the model runs {type(module).__name__} in {where}, a {type(owner).__name__}, where torch "
                "does not "
                "see that it is a part of the model: .train() and .eval() do not reach its dropout, and its "
                f"weights are not saved; {way_out}"
            )


_WAYS_OUT: dict[type, str] = {
    **dict.fromkeys((list, tuple, set), "keep such modules in an nn.ModuleList"),
    dict: "keep such modules in an nn.ModuleDict",
}


def _drops_or_learns(module: nn.Module) -> bool:
    return (isinstance(module, _DropoutNd) and module.p > 0) or any(
        held.requires_grad for held in module.parameters(recurse=False)
    )


def _modules(
    where: str, held: object, owner: object, depth: int = 3
) -> Iterator[tuple[str, object, nn.Module]]:
    """Find modules in what a module holds besides its parts, with where they are and what holds them."""
    if issubclass(type(held), nn.Module):  # a weak proxy says it is an instance of what it stands for
        yield where, owner, cast("nn.Module", held)
    elif depth and not isinstance(held, Tensor | type):
        for inside in _held_by(held):
            yield from _modules(where, inside, held, depth - 1)


def _held_by(held: object) -> list[object]:
    match held:
        case list() | tuple() | set():
            return list(held)
        case Mapping():
            return list(held.values())
        case partial():
            return [held.func, *held.args, *held.keywords.values()]
        case MethodType():
            return [held.__self__]
        case FunctionType():
            return [*getclosurevars(held).nonlocals.values(), *(held.__defaults__ or ())]
        case _:
            return list(getattr(held, "__dict__", {}).values())


def _calls_in_eval(model: StochasticModel, inputs: Inputs) -> list[DropoutCall]:
    calls: list[DropoutCall] = []

    def record(call: DropoutCall) -> Tensor:
        calls.append(call)
        return call.keep_all()

    paths = ModulePaths(model.predicting)
    try:
        with DropoutPass(paths, record, frozenset(), len(inputs[0])):
            model.predict(inputs)
    finally:
        paths.remove()
    return calls
