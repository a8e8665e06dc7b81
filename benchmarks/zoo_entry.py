"""What an entry of the zoo is, and what its tables share.

A library is imported by name when a network of it is built: none of them is needed to read a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Input:
    """One argument of forward.

    Args:
        shape: of a row.
        dtype: of its values.
        range: of its values; None for standard normal ones.
        name: of the parameter of forward; "" to pass it by order.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    range: tuple[float, float] | None = None
    name: str = ""


@dataclass(frozen=True)
class Entry:
    """One network.

    Args:
        library: whose it is.
        name: of the network.
        build: makes it.
        inputs: what it takes.
        output: which of its outputs by name, where it has several; None where it gives one tensor.
        task: "" for one that is served; else what it gives, and its numbers are compared flattened.
        adapter: what a user would write around it: "" for nothing.
    """

    library: str
    name: str
    build: Build = field(repr=False)
    inputs: tuple[Input, ...]
    output: str | None = None
    task: str = ""
    adapter: str = ""


def library(name: str) -> Any:
    """Import a package.

    torchvision's file of compiled operations belongs to one build of torch. Beside another it does not load,
    and the import stops at the first operation that nobody has defined; no network here calls one.
    """
    if name.partition(".")[0] in _USE_TORCHVISION:
        _define_missing_operations()
    return import_module(name)


_USE_TORCHVISION = frozenset(
    {
        *("timm", "torchvision", "monai", "segmentation_models_pytorch", "transformers", "vit_pytorch"),
        "pytorch_forecasting",
    }
)
_DEFINED: list[Any] = []  # an operation is gone with what defined it


def _define_missing_operations() -> None:
    if _DEFINED:
        return
    try:
        import_module("torchvision")
    except ModuleNotFoundError:
        return
    except (RuntimeError, OSError):
        operations: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            operations.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DEFINED.append(operations)


class First(nn.Module):
    """The first of a network's outputs, or the one of a name: a forward that gives several."""

    def __init__(self, network: nn.Module, name: str | int = 0) -> None:
        super().__init__()
        self.network = network
        self.name = name

    def forward(self, *values: Tensor) -> Any:
        given = self.network(*values)
        return given if isinstance(given, Tensor) else given[self.name]


class Flat(nn.Module):
    """What a network gives, in one row of numbers for each row: of tensors, tuples and mappings."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *values: Tensor, **named: Tensor) -> Tensor:
        rows = len(next(iter((*values, *named.values()))))
        return torch.cat(
            [part.reshape(rows, -1) for part in _tensors(self.network(*values, **named), rows)], 1
        )


def _tensors(given: Any, rows: int) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given] if given.is_floating_point() and given.dim() and len(given) == rows else []
    if isinstance(given, Mapping):
        return [leaf for part in given.values() for leaf in _tensors(part, rows)]
    if isinstance(given, list | tuple):
        return [leaf for part in given for leaf in _tensors(part, rows)]
    return []


class Pooled(nn.Module):
    """A linear head on the mean over the positions that a network gives: a body used as a classifier."""

    def __init__(self, network: nn.Module, width: int, *, transposed: bool = False) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(width, 3)
        self.transposed = transposed

    def forward(self, values: Tensor) -> Tensor:
        given = self.network(values)
        given = given if isinstance(given, Tensor) else given[0]
        dims = tuple(range(2, given.dim())) if self.transposed else tuple(range(1, given.dim() - 1))
        pooled: Tensor = self.head(given.mean(dims))
        return pooled


def image(size: int = 32, channels: int = 3) -> tuple[Input, ...]:
    return (Input((channels, size, size)),)


def made(module: str, name: str, *args: Any, **given: Any) -> Build:
    def build() -> nn.Module:
        network: nn.Module = getattr(library(module), name)(*args, **given)
        return network

    return build


def flat(build: Build) -> Build:
    return lambda: Flat(build())
