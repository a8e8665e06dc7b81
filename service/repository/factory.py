"""Building a model's network by the function that its manifest names, from the allowed packages only."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib import import_module

from torch import nn

from service.errors import FactoryError
from service.repository.manifest import FactorySource


def build(source: FactorySource, allowed: Sequence[str]) -> nn.Module:
    """Call a factory.

    Args:
        source: names the function and its arguments.
        allowed: packages and modules whose functions may be called.

    Raises:
        FactoryError: it is not allowed, not there, raised, or gave no module.
    """
    made = _called(_function(source.factory, allowed), source)
    if not isinstance(made, nn.Module):
        raise FactoryError(
            f"source.factory {source.factory} gave a {type(made).__name__}, not a torch.nn.Module"
        )
    # A factory may keep what it made and give it again: the next model's weights must not be this one's.
    return deepcopy(made)


def _function(factory: str, allowed: Sequence[str]) -> Callable[..., object]:
    module_name, function_name = factory.split(":")
    if not _is_inside(module_name, allowed):
        raise FactoryError(
            f"source.factory {factory} is not in an allowed package ({', '.join(allowed) or 'none'}); "
            "the operator can add its package to UNSURE_FACTORIES"
        )
    try:
        function: object = getattr(import_module(module_name), function_name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as cause:  # a script's exit, or a panic of native code, must not be the server's
        way_out = (
            "; install its package here, or name its folder in PYTHONPATH"
            if _is_missing(module_name, cause)
            else ""
        )
        raise FactoryError(
            f"source.factory {factory}: importing {module_name} raised {cause!r}{way_out}"
        ) from cause
    # What an allowed module has imported is not thereby allowed.
    if not callable(function) or not _is_inside(getattr(function, "__module__", None) or "", allowed):
        raise FactoryError(f"source.factory {factory}: {module_name} defines no function {function_name}")
    return function


def _is_missing(module: str, cause: BaseException) -> bool:
    """Tell whether it is the module itself that is not found, and not one that it imports."""
    return isinstance(cause, ModuleNotFoundError) and _is_inside(module, [cause.name or ""])


def _is_inside(module: str, allowed: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in allowed)


def _called(function: Callable[..., object], source: FactorySource) -> object:
    try:
        return function(**source.arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as cause:
        raise FactoryError(
            f"source.factory {source.factory} with source.arguments {source.arguments} raised "
            f"{type(cause).__name__}: {cause}"
        ) from cause
