"""Seeing each dropout call of a pass, and answering it in torch's place."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from service.errors import ModelRefused
from service.sampling.composites import COMPOSITES, REOPENED
from service.sampling.draws import DRAWS, read_draw
from service.sampling.kinds import KINDS, Arguments, Kind, arguments
from service.sampling.recurrent import BATCHED, BATCHED_CELLS, is_padded

OUTERMOST = "(model)"


class ModulePaths:
    """Which module of a tree is running, by its path. Each thread has its own view.

    Args:
        tree: hooks are put on its modules, and stay until `remove`.
    """

    def __init__(self, tree: nn.Module) -> None:
        self._local = threading.local()
        self._hooks: list[RemovableHandle] = []
        for path, module in tree.named_modules():
            self._follow(path or OUTERMOST, module)

    @property
    def current(self) -> str:
        """The path of the innermost module whose forward is running."""
        return self._stack[-1] if self._stack else OUTERMOST

    def restart(self) -> None:
        """Forget what an earlier pass of this thread left when it was broken off."""
        self._stack.clear()

    def remove(self) -> None:
        """Take the hooks off the tree."""
        for hook in self._hooks:
            hook.remove()

    @property
    def _stack(self) -> list[str]:
        try:
            return self._local.stack
        except AttributeError:
            self._local.stack = []
            return self._local.stack

    def _follow(self, path: str, module: nn.Module) -> None:
        def enter(_module: nn.Module, _inputs: object) -> None:
            self._stack.append(path)

        def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
            if self._stack:
                self._stack.pop()

        self._hooks.append(module.register_forward_pre_hook(enter))
        self._hooks.append(module.register_forward_hook(leave, always_call=True))


@dataclass(frozen=True)
class DropoutCall:
    """One call of a dropout function in training mode.

    Args:
        name: the site's name: its path, and for a later call of the same module in one pass its number.
        path: of the module in whose forward it stands.
        kind: which function.
        arguments: what it was called with.
        rows: of the pass.
    """

    name: str
    path: str
    kind: Kind
    arguments: Arguments
    rows: int

    def keep_all(self) -> Tensor:
        """Give what the call gives where nothing is dropped; a draw in place is written, as torch does."""
        given = self.arguments
        kept = self.kind.keep_all(given.values, given.rate)
        return given.values.copy_(kept) if self.kind.draws and given.in_place else kept


class DropoutPass(TorchFunctionMode):
    """One forward pass in which every dropout call is answered by `answer`. Used once, as a context.

    It sees the functions of `torch.nn.functional`, whether a module calls them or the model itself does.

    Args:
        paths: of the tree that runs.
        answer: stands for the dropout functions.
        held_in_eval: paths of modules that are in eval mode only because of their running statistics.
        rows: that the pass runs on.
    """

    def __init__(
        self,
        paths: ModulePaths,
        answer: Callable[[DropoutCall], Tensor],
        held_in_eval: frozenset[str],
        rows: int,
    ) -> None:
        super().__init__()
        self._rows = rows
        self._held_in_eval = held_in_eval
        self._paths = paths
        self._answer = answer
        self._calls: Counter[str] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func in KINDS:
            return self._dropped(KINDS[func], arguments(func, args, given))
        if func in DRAWS and (draw := read_draw(func, args, given)):
            return draw.finish(self._dropped(draw.kind, draw.arguments))
        if func in COMPOSITES and COMPOSITES[func].drops(args, given):
            return COMPOSITES[func].run(self._within, *args, **given)
        if func in REOPENED:
            with self:
                return REOPENED[func](*args, **given)
        if func in BATCHED and is_padded(args):
            return BATCHED[func](*args, **given)
        if func in BATCHED_CELLS:
            return BATCHED_CELLS[func](*args, **given)
        return func(*args, **given)

    def _dropped(self, kind: Kind, given: Arguments) -> Tensor:
        if given.training:
            return self._answer(self._call(kind, given))
        if given.rate > 0 and self._paths.current in self._held_in_eval:
            raise ModelRefused(
                f"dropout within {self._paths.current} cannot be sampled: the layer has running statistics, "
                "and must be in eval mode; drop outside of it"
            )
        return given.values

    def _within(self, values: Tensor, rate: float) -> Tensor:
        return self._dropped(KINDS[F.dropout], Arguments(values, rate, training=True, in_place=False))

    def _call(self, kind: Kind, given: Arguments) -> DropoutCall:
        path = self._paths.current
        earlier = self._calls[path]
        self._calls[path] += 1
        name = f"{path}:{earlier}" if earlier else path
        return DropoutCall(name, path, kind, given, self._rows)
