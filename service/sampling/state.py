"""What must not change while a model runs: its mode, its weights and its buffers.

To compare all numbers would cost more than a prediction does. Looked at after each pass are which tensors
there are, where in memory, how often they were written, and three numbers of each: torch does not count what
is written by way of `.data`, which as a rule changes a whole tensor.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, eq=False)
class _Held:
    """A tensor in its place.

    Args:
        name: with the tree's before it.
        place: without it.
        holder: the parameters or buffers of a module.
        key: the tensor's there.
        tensor: as it was found.
        version: torch's count of writes to it.
        record: of all its numbers, a digest of a weight's and a copy of a buffer's; None where they are not
            compared.
        weight: whether it is a parameter.
        transient: whether it is no part of what is saved, as a cache is.
    """

    name: str
    place: str
    holder: Mapping[str, Tensor | None]
    key: str
    tensor: Tensor
    version: int
    record: Tensor | None
    weight: bool
    transient: bool


class ModelState:
    """Modes, parameters and buffers of modules, as they are when this is made.

    Args:
        trees: the modules, by what stands before their names.
        exact: whether `changed_for_good` is wanted.
        renewed: places of tensors that each pass makes anew, which are not looked at.
    """

    def __init__(
        self, trees: Mapping[str, nn.Module], *, exact: bool = False, renewed: Collection[str] = ()
    ) -> None:
        self._renewed = renewed
        self._attributes: list[tuple[str, dict[str, Any]]] = []
        self._held: list[_Held] = []
        for tree, root in trees.items():
            for path, module in root.named_modules():
                self._attributes.append((f"{tree}{path or '(model)'}", vars(module)))
                self._hold(tree, f"{path}." if path else "", module, exact=exact)
        unique = {id(held.tensor): held for held in self._held}.values()
        self._tensors = [held.tensor for held in unique]
        self._names = [held.name for held in unique]
        self._counted = [held for held in unique if not held.tensor.is_inference()]
        self._probes = [probe for held in unique for probe in _probes(held.tensor)]
        self._places = [held.name for held in unique for _ in _probes(held.tensor)]
        self._before = self._now()

    def _hold(self, tree: str, path: str, module: nn.Module, *, exact: bool) -> None:
        vague = module._non_persistent_buffers_set  # noqa: SLF001  # nothing public tells
        for holder, weight in ((module._parameters, True), (module._buffers, False)):  # noqa: SLF001
            for key, tensor in holder.items():
                if tensor is None or path + key in self._renewed:
                    continue
                record = _record(tensor, weight=weight) if exact else None
                held = (holder, key, tensor, _version(tensor), record, weight)
                transient = not weight and key in vague
                self._held.append(_Held(tree + path + key, path + key, *held, transient=transient))

    def changed(self) -> tuple[list[str], list[str]]:
        """Name what has changed, by a look that is cheap: of what must not, and of transient buffers.

        A module's name stands for its mode.
        """
        if self._now() == self._before:
            return [], []
        modes, places, memory, versions, probes = (
            [before != now for before, now in zip(*both, strict=True)]
            for both in zip(self._before, self._now(), strict=True)
        )
        names = [held.name for held in self._held]
        named = zip(
            [*names, *self._names, *(held.name for held in self._counted), *self._places],
            [*places, *memory, *versions, *probes],
            strict=True,
        )
        transient = {held.name for held in self._held if held.transient}
        changed = sorted({name for name, differs in named if differs})
        mode = [
            f"the mode of {name}"
            for (name, _), differs in zip(self._attributes, modes, strict=True)
            if differs
        ]
        return mode + [one for one in changed if one not in transient], [
            one for one in changed if one in transient
        ]

    def changed_modes(self) -> list[str]:
        """Name the modules that have gone from training to eval mode, or the other way."""
        modes = zip(self._attributes, self._before[0], self._now()[0], strict=True)
        return [name for (name, _), before, now in modes if before != now]

    def changed_for_good(self, run: Callable[[], object]) -> list[str]:
        """Name what passes leave changed: parameters that were replaced or written, and numbers of buffers.

        Left out is what each pass makes anew and alike, such as dropped weights.

        Args:
            run: runs one more pass of all trees.
        """
        changed = [held for held in self._held if _differs(held)]
        replaced = [held for held in changed if held.holder.get(held.key) is not held.tensor]
        if replaced:
            run()
            first = {held.name: _copied(held.holder.get(held.key)) for held in replaced}
            run()
            alike = {
                held.name
                for held in replaced
                if (now := held.holder.get(held.key)) is not None and _equal(first[held.name], now)
            }
            changed = [held for held in changed if held.name not in alike]
        return [held.name for held in changed]

    def replaced(self) -> set[str]:
        """Give the places, without a tree's name, where another tensor is now."""
        return {held.place for held in self._held if held.holder.get(held.key) is not held.tensor}

    def _now(self) -> tuple[list[Any], ...]:
        return (
            [attributes.get("training") for _, attributes in self._attributes],
            [held.holder.get(held.key) is held.tensor for held in self._held],
            [tensor.data_ptr() for tensor in self._tensors],
            [held.tensor._version for held in self._counted],  # noqa: SLF001  # torch's count of writes
            [numbers.item(place) for numbers, place in self._probes],
        )


def _differs(held: _Held) -> bool:
    now = held.holder.get(held.key)
    if now is None or not _equal(_record(now, weight=held.weight), held.record):
        return True
    return held.weight and (now is not held.tensor or _version(now) != held.version)


def _copied(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Compare bit by bit, so that NaN equals itself."""
    if one is None or other is None:
        return one is other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(_words(one), _words(other)) if _is_plain(one) else True


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001


def _probes(tensor: Tensor) -> list[tuple[Any, int]]:
    """Give numbers of a tensor to look at, as words that equal themselves; none where a look is dear."""
    if not _is_plain(tensor) or tensor.device.type != "cpu":
        return []
    words = tensor.detach().view(_WORDS[tensor.itemsize]).numpy()
    last = tensor.numel() - 1
    return [(words, place) for place in sorted({0, last // 2, last})]


def _record(tensor: Tensor, *, weight: bool) -> Tensor | None:
    """Give what tells a tensor's numbers from others: of a weight, which is large, the sum of its words."""
    if not _is_plain(tensor):
        return None
    return _words(tensor).sum(dtype=torch.int64) if weight else tensor.detach().clone()


def _words(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(_WORDS[tensor.itemsize])


def _is_plain(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
    return plain and tensor.numel() > 0 and tensor.itemsize in _WORDS
