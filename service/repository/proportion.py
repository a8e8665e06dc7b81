"""A network in proportion to its weights: what its file cannot fill is not built to its end.

One number of a configuration makes a million layers, which would take hours and the machine's memory,
whatever else the process serves. What the weights' file holds is known before.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import msgspec
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy

from service.files import open_file

_HEADER_BYTES = 100_000_000  # more is refused by safetensors itself

# For what a factory builds and throws away; and so many times what the file has, for what is tied.
_SPARE_PARAMETERS, _SPARE_MODULES, _SPARE_VALUES = 10_000, 100_000, 2**28
_TIMES_PARAMETERS, _TIMES_MODULES, _TIMES_VALUES = 10, 100, 10


class OutOfProportion(ValueError):
    """A network is far larger than its weights."""


@contextmanager
def in_proportion(weights: Path) -> Iterator[None]:
    """End what builds a network in this thread once it is far larger than a file of weights.

    Args:
        weights: a safetensors file; one that cannot be read stands for an empty one.

    Raises:
        OutOfProportion: within, from where a module or a parameter gets its place.
    """
    tensors, values = _held(weights)
    most_parameters = _SPARE_PARAMETERS + _TIMES_PARAMETERS * tensors
    most_modules = _SPARE_MODULES + _TIMES_MODULES * tensors
    most_values = _SPARE_VALUES + _TIMES_VALUES * values
    here = threading.get_ident()
    parameters = modules = total = 0

    def check() -> None:
        if parameters > most_parameters or modules > most_modules or total > most_values:
            raise OutOfProportion(
                f"after {modules:,} modules and {parameters:,} parameters of {total:,} numbers the network "
                f"is far larger than {weights.name}, which has {tensors:,} tensors of {values:,} numbers; "
                "correct how many layers it has, and how wide they are"
            )

    def with_parameter(_module: nn.Module, _name: str, parameter: Any) -> None:
        nonlocal parameters, total
        if threading.get_ident() == here:
            parameters += 1
            total += 0 if is_lazy(parameter) else parameter.numel()
            check()

    def with_module(_module: nn.Module, _name: str, _submodule: Any) -> None:
        nonlocal modules
        if threading.get_ident() == here:
            modules += 1
            check()

    hooks = (
        register_module_parameter_registration_hook(with_parameter),
        register_module_module_registration_hook(with_module),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _held(path: Path) -> tuple[int, int]:
    """Count the tensors of a file, and their numbers."""
    try:
        with open_file(path) as file:
            size = min(int.from_bytes(file.read(8), "little"), _HEADER_BYTES)
            header = msgspec.json.decode(file.read(size), type=dict[str, Any])
        shapes = [held["shape"] for name, held in header.items() if name != "__metadata__"]
        return len(shapes), sum(prod(shape) for shape in shapes)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return 0, 0
