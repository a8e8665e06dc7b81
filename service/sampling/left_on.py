"""Dropout that eval mode does not turn off: why a model whose predictions are random is so."""

from torch import Tensor

from service.sampling.interception import DropoutCall, DropoutPass, ModulePaths
from service.sampling.stochastic import Inputs, StochasticModel


def left_on(model: StochasticModel, inputs: Inputs) -> str:
    """Say, for a model that is random in eval mode, what makes it so and what to do."""
    calls = [
        call for call in _calls_in_eval(model, inputs) if not call.kind.draws and call.arguments.rate > 0
    ]
    if not calls:
        return "it runs in eval mode too, so predictions would be random"
    named = ", ".join(f"{call.name} (rate {call.arguments.rate:g})" for call in calls)
    return (
        f"dropout is left on in eval mode at {named}, so predictions would differ from call to call; drop in "
        "training mode alone: F.dropout(x, p, training=self.training), and for attention "
        "dropout_p=p if self.training else 0.0"
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
