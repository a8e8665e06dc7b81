"""Two views of one model that share every parameter and buffer: one predicts, one drops.

Nothing is ever switched between the two modes while serving: with two threads calling `.train()` and
`.eval()` on one module, 820 of 1500 predictions came out wrong (measured 2026-10).
"""

from types import FunctionType

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from service.copies import Reached, copied
from service.errors import ModelRefused


def predicting_tree(model: nn.Module) -> nn.Module:
    """Put the model itself into eval mode, frozen."""
    return model.eval().requires_grad_(False)


def dropping_tree(model: nn.Module) -> tuple[nn.Module, frozenset[str]]:
    """Copy the modules, not the tensors, into training mode, with layers of running statistics in eval.

    (A spectral norm's are the singular vectors that it improves with every pass in training mode.) Weights
    that torch's older hooks compute before each pass, of a weight norm or a spectral norm, are computed once.

    Everything else is in training mode, because functional dropout, attention and recurrent layers look at
    their own module's `training`, not at a dropout child's.

    Returns:
        The copy, and the paths of the layers that are in eval mode.

    Raises:
        ModelRefused: the model cannot be copied, or nothing can see into it.
    """
    reached = Reached(model)
    _refuse_opaque(model, reached)
    held: set[str] = set()
    tree = copied(reached, model, weight=lambda tensor: tensor)
    _compute_weights(tree)
    tree.train()
    for path, module in tree.named_modules():
        if isinstance(module, _SpectralNorm) or _has_running_statistics(module):
            module.training = False  # its children have a mode of their own
            held.add(path)
    return tree, frozenset(held)


def _refuse_opaque(model: nn.Module, reached: Reached) -> None:
    """Refuse modules and functions whose inside nothing can see."""
    for path, module in model.named_modules():
        scripted = isinstance(module, torch.jit.ScriptModule)
        if scripted or type(module).__module__.startswith("torch._dynamo"):  # which takes a second to import
            how = "TorchScript" if scripted else "compiled by torch.compile"
            where = f"the module {path}" if path else "the model"
            raise ModelRefused(f"{where} is {how}, and dropout in it cannot be seen; give the module itself")
    for one in reached.objects.values():
        # torch.compiler.disable leaves the same mark on what stays as it is.
        marks = vars(one) if isinstance(one, FunctionType) else {}
        if "_torchdynamo_orig_callable" in marks and "_torchdynamo_disable" not in marks:
            raise ModelRefused(
                f"{reached.path(one)} is the function {one.__qualname__} compiled by torch.compile, and "
                "dropout in it cannot be seen; give the function itself: the server compiles what pays"
            )


def scripted_functions(model: nn.Module) -> list[str]:
    """Name the functions of TorchScript that a model reaches, with where they were found."""
    reached = Reached(model)
    return [
        f"{one.name} ({reached.path(one)})"
        for one in reached.objects.values()
        if isinstance(one, torch.jit.ScriptFunction)
    ]


def _compute_weights(tree: nn.Module) -> None:
    """Put constants in the place of weights that a hook of a module computes before each pass."""
    for module in tree.modules():
        for key, hook in list(module._forward_pre_hooks.items()):  # noqa: SLF001  # as torch's own remover does
            if isinstance(hook, WeightNorm):
                weight = hook.compute_weight(module)
            elif isinstance(hook, SpectralNorm):
                weight = hook.compute_weight(module, do_power_iteration=False)
            else:
                continue
            del module._forward_pre_hooks[key]  # noqa: SLF001
            delattr(module, hook.name)
            setattr(module, hook.name, nn.Parameter(weight.detach(), requires_grad=False))


def _has_running_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) or "running_mean" in dict(module.named_buffers(recurse=False))
