"""How a model is called and what it gives, by name where it has names: one tensor is served."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any

from torch import Tensor, nn

from service.errors import ModelRefused

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Calling:
    """Calls a model: inputs by name where it has names for them, and one tensor of what it gives.

    Nothing is hung on the model for this: whoever built it may keep it, and give it again.

    Args:
        model: that is called, or copies of it.
        inputs: names of the inputs, in the order of the tensors. Where all are parameters of forward they are
            passed by name, since a forward may have others between them; else by order.
        output: which of several outputs; None where forward returns one tensor.
        per_token: whether the model labels tokens: it gives [rows, tokens, classes], which become the numbers
            of their row; the first of its inputs is [rows, tokens].
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Sequence[str] = (),
        output: str | None = None,
        *,
        per_token: bool = False,
    ) -> None:
        self._names = tuple(inputs) if inputs and set(inputs) <= _parameters(model.forward) else ()
        self._output = output
        self._per_token = per_token

    def __call__(self, model: nn.Module, inputs: Sequence[Tensor]) -> Any:
        """Run a pass on tensors that are the model's to write into."""
        made = model(**dict(zip(self._names, inputs, strict=True))) if self._names else model(*inputs)
        if self._output is not None:
            made = _chosen(made, self._output)
        return _flattened(made, inputs[0]) if self._per_token else made


def _flattened(made: object, tokens: Tensor) -> object:
    if not isinstance(made, Tensor):
        return made  # which is refused, and in better words
    if made.dim() != 3 or made.shape[:2] != tokens.shape[:2]:
        raise ModelRefused(
            "the output of a model that labels tokens must have shape [rows, tokens, classes]; "
            f"{list(tokens.shape)} tokens gave {list(made.shape)}"
        )
    return made.flatten(1)


def several_words(given: object) -> str:
    """Say what a forward gave in place of one tensor, and how to choose of it."""
    parts = _parts(given)
    if not parts:
        return f"returned {type(given).__name__}"
    listed = ", ".join(f"{name} {_words(part)}" for name, part in parts.items())
    return (
        f"returned {type(given).__name__} of {listed}; choose one in model.toml by its name under [output], "
        f'such as name = "{next(iter(parts))}"'
    )


def _parameters(forward: Callable[..., Any]) -> set[str]:
    return {name for name, parameter in signature(forward).parameters.items() if parameter.kind in _NAMED}


def _chosen(given: object, name: str) -> object:
    parts = _parts(given)
    if name in parts:
        return parts[name]
    if isinstance(given, Tensor):
        raise ModelRefused(f'output.name is "{name}", but forward returns one tensor: leave the name out')
    raise ModelRefused(f'output.name is "{name}", and the model\'s forward {several_words(given)}')


def _parts(given: object) -> Mapping[str, object]:
    """Name what a forward returned, and what of it is there: an output that was not asked for may be None."""
    return {name: part for name, part in _named(given).items() if part is not None}


def _named(given: object) -> Mapping[str, object]:
    """Name what a forward returned: by key, by field, or by position from "0"."""
    if isinstance(given, Mapping):
        return {str(key): part for key, part in given.items()}
    if isinstance(given, tuple) and hasattr(given, "_fields"):
        return given._asdict()  # type: ignore[attr-defined]  # of named tuples
    if isinstance(given, tuple | list):
        return {str(position): part for position, part in enumerate(given)}
    if is_dataclass(given):
        return {field.name: getattr(given, field.name) for field in fields(given)}
    return {}


def _words(part: object) -> str:
    return str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__


def choose_output(tree: nn.Module, given: object, is_it: Callable[[Tensor], bool]) -> None:
    """Make a tree that gives several outputs give one of them, by a hook.

    Args:
        tree: gets the hook.
        given: what it gave.
        is_it: whether an output is the one; the first is taken.

    Raises:
        ModelRefused: none is.
    """
    parts = _parts(given)
    found = (name for name, part in parts.items() if isinstance(part, Tensor) and is_it(part))
    name = next(found, None)
    if name is None:
        listed = ", ".join(f"{name} {_words(part)}" for name, part in parts.items())
        raise ModelRefused(
            f"in training mode the model's forward returned {type(given).__name__} of {listed}, and in "
            "eval mode one tensor, which with nothing dropped is none of these: what to sample is not known; "
            "return the same output in both modes, and others beside it in training mode"
        )
    tree.register_forward_hook(lambda _module, _args, given: _parts(given)[name])
