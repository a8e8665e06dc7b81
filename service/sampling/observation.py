"""Watching a pass below all of torch's Python: what is random, what it costs, what it makes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from service.sampling.flow import Flow
from service.sampling.interception import ModulePaths


@dataclass(frozen=True)
class RandomOperation:
    """A random operation, by its name in ATen, and the path of the module that was running."""

    operation: str
    path: str


class PassObserver(TorchDispatchMode):
    """Watch one pass.

    Not for inference mode: there, composite operations arrive whole, and an attention without dropout looks
    as random as one with it.

    Args:
        paths: of the tree that runs.
        flow: is told of every operation.

    Attributes:
        random: every random operation, whatever asked for it: the safety net under the sites.
        flops: floating-point operations of matrix products, convolutions and attention so far.
        made_bytes: the size of every tensor made so far, in order; a view counts as what it shows.
    """

    def __init__(self, paths: ModulePaths, flow: Flow | None = None) -> None:
        super().__init__()
        self._paths = paths
        self._flow = flow
        self.random: list[RandomOperation] = []
        self.flops = 0
        self.made_bytes: list[int] = []

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and not _turned_off(func, args, kwargs or {}):
            self.random.append(RandomOperation(str(func), self._paths.current))
        made = func(*args, **(kwargs or {}))
        self.made_bytes += [leaf.nbytes for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=made)
        if self._flow is not None:
            self._flow.saw(func, args, kwargs or {}, made)
        return made


# An operation that may be random is not where one of its arguments says so.
_OFF: dict[str, object] = {"dropout_p": 0.0, "training": False, "train": False}


def _turned_off(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    schema = func._schema  # noqa: SLF001  # torch has no public name for what it dispatches on
    names = [argument.name for argument in schema.arguments]
    given = {argument.name: argument.default_value for argument in schema.arguments}
    given |= dict(zip(names, args, strict=False)) | kwargs
    return any(name in given and given[name] == off for name, off in _OFF.items())
