"""Dropout that eval mode does not turn off: why a model whose predictions are random is so."""

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from service.copies import Reached
from service.errors import ModelRefused
from service.sampling.comparison import one_output
from service.sampling.interception import DropoutCall, DropoutPass, ModulePaths
from service.sampling.observation import PassObserver
from service.sampling.stochastic import Inputs, StochasticModel

_LARGEST = 1 - 2**-24


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
        "training mode alone, which the server turns on for samples: an nn.Dropout that __init__ makes, "
        "F.dropout(x, p, training=self.training), and for attention dropout_p=p if self.training else 0.0"
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
    reached, known = Reached(model.predicting), set(model.predicting.modules())
    hidden = [module for module in reached.modules if module not in known]
    if not hidden:
        return
    ran: set[nn.Module] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, _inputs: ran.add(module))
        for module in {part for module in hidden for part in module.modules()} - known
    ]
    try:
        model.predict(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for module in hidden:  # a whole before its parts
        if any(part in ran and _drops_or_learns(part) for part in module.modules()):
            raise ModelRefused(
                f"the model runs {type(module).__name__} at {reached.path(module)}, in a "
                f"{type(reached.holder(module)).__name__}, where torch does not see that it is a part of the "
                "model: .train() and .eval() do not reach its dropout, and its weights are not saved; keep "
                "such modules in an nn.ModuleList or an nn.ModuleDict, or as attributes of the module itself"
            )


def _drops_or_learns(module: nn.Module) -> bool:
    return (isinstance(module, _DropoutNd) and module.p > 0) or any(
        held.requires_grad for held in module.parameters(recurse=False)
    )


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
