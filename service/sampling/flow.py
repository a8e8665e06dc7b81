"""What became of what in one pass: which operation made which value, and of which values and parameters.

Torch runs every model as the same few hundred operations below its Python, so a functional model leaves the
same record as a modular one, and a convolution is one whatever class called it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from service.sampling.interception import DropoutCall

Operation = Literal[
    "convolution",
    "linear",
    "product",
    "softmax",
    "embedding",
    "recurrent",
    "batch_norm",
    "norm",
    "add",
    "gate",
    "reduction",
    "site",
    "other",
]
"""`product` is a matrix product of two values, as in attention; `add` and `gate` join two values."""


@dataclass(eq=False, slots=True)
class Value:
    """One tensor of a pass.

    Args:
        number: in the order of the pass.
        operation: what made it.
        name: of that operation in ATen.
        inputs: the values it was made of; parameters are none.
        weights: ids of the parameters that it was made of directly.
        varies: whether it depends on the rows.
    """

    number: int
    operation: Operation
    name: str = ""
    inputs: list["Value"] = field(default_factory=list)
    weights: frozenset[int] = frozenset()
    varies: bool = False

    @property
    def moved(self) -> bool:
        """Whether its units lie in other dimensions than those of what it was made of."""
        return self.name in _MOVES


class Flow(TorchFunctionMode):
    """The record of one pass. Used once, as a context around it.

    Args:
        tree: that runs.

    Attributes:
        values: in the order they were made.
        sites: what each dropout call gave, by the site's name.
        outputs: what the pass gave.
    """

    def __init__(self, tree: nn.Module) -> None:
        super().__init__()
        self.values: list[Value] = []
        self.sites: dict[str, Value] = {}
        self.outputs: list[Value] = []
        self._parameters = {id(held): held for held in tree.parameters()}
        self._last_use: dict[int, int] = {}
        # Weak, so that the pass takes no more memory than without the record.
        self._of: Any = WeakTensorKeyDictionary()
        self._recurrent = False

    def begin(self, inputs: Iterable[Tensor]) -> None:
        """Note what the pass is given."""
        for tensor in inputs:
            self._note(tensor, Value(len(self.values), "other", varies=True))

    def end(self, output: object) -> None:
        """Note what the pass gave."""
        self.outputs = [self._of[leaf] for leaf in _tensors(output) if leaf in self._of]

    def saw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: object) -> None:
        """Note one operation below torch's Python."""
        name = func.overloadpacket.__name__.removesuffix("_")
        given = [] if name.startswith(_FACTORIES) else _tensors((args, kwargs))
        weights = {id(tensor) for tensor in given if id(tensor) in self._parameters}
        self._last_use |= dict.fromkeys(weights, len(self.values))
        inputs = [self._of[tensor] for tensor in given if tensor in self._of]
        for value in inputs:
            if not value.varies:
                weights |= value.weights
        varying = {id(value) for value in inputs if value.varies}
        operation = "recurrent" if self._recurrent else _operation(name, len(varying), bool(weights))
        for tensor in _tensors(made):
            value = Value(len(self.values), operation, name, inputs, frozenset(weights), bool(varying))
            if tensor in self._of:
                _write(value, self._of[tensor])
            self._note(tensor, value)

    def dropped(self, call: DropoutCall, kept: Tensor) -> Tensor:
        """Note a dropout call, and give what stands for its result: another tensor than its input."""
        values = call.arguments.values
        before = self._of.get(values)
        fresh = kept if call.kind.draws or call.arguments.in_place else kept.detach()
        inputs = [before] if before else []
        varies = bool(before and before.varies) and not call.kind.draws
        self.sites[call.name] = value = Value(len(self.values), "site", "", inputs, varies=varies)
        self._note(fresh, value)
        return fresh

    def share_of_parameters(self, value: Value) -> float:
        """Tell the share of the model's parameters that are used after a value was made, 0 to 1."""
        sizes = {key: held.numel() for key, held in self._parameters.items()}
        after = sum(sizes[key] for key, number in self._last_use.items() if number > value.number)
        return after / max(1, sum(sizes.values()))

    def _note(self, tensor: Tensor, value: Value) -> None:
        self.values.append(value)
        self._of[tensor] = value

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func not in _RECURRENT:
            return func(*args, **(kwargs or {}))
        self._recurrent = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self._recurrent = False


_RECURRENT = frozenset(
    {
        *(torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu),
        *(torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell),
    }
)
_FACTORIES = ("arange", "empty", "full", "new_", "ones", "rand", "zeros")
_PRODUCTS = frozenset({"addbmm", "addmm", "addmv", "baddbmm", "bmm", "dot", "linear", "matmul", "mm", "mv"})
_SUMS = frozenset({"add", "rsub", "sub"})
_GATES = frozenset({"div", "mul"})
_MOVES = frozenset({"_unsafe_view", "flatten", "permute", "reshape", "t", "transpose", "view"})
_VIEWS = (_MOVES - {"_unsafe_view"}) | {
    *("alias", "detach", "diagonal", "expand", "narrow", "select", "slice", "split", "split_with_sizes"),
    *("squeeze", "unbind", "unfold", "unsqueeze"),
}
# By a part of the name, since each has one for every kind of device.
_PARTS: tuple[tuple[str, Operation], ...] = (
    *(("conv", "convolution"), ("embedding", "embedding"), ("rnn", "recurrent")),
    *(("batch_norm", "batch_norm"), ("layer_norm", "norm"), ("group_norm", "norm"), ("rms_norm", "norm")),
    *(("scaled_dot_product", "product"), ("softmax", "softmax"), ("mkldnn_linear", "linear")),
    *(("pool", "reduction"), ("mean", "reduction"), ("sum", "reduction"), ("amax", "reduction")),
)


def _operation(name: str, varying: int, weighted: bool) -> Operation:
    if name in _PRODUCTS:
        return "linear" if varying < 2 and weighted else "product"
    if varying > 1 and name in _SUMS:
        return "add"
    if varying > 1 and name in _GATES:
        return "gate"
    return next((operation for part, operation in _PARTS if part in name), "other")


def _write(value: Value, part: Value) -> None:
    """Note that what is written into a part is written into the whole."""
    while part.name in _VIEWS and part.inputs:
        part = part.inputs[0]
        part.inputs = [*part.inputs, value]
        part.varies = part.varies or value.varies


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
