"""Weights from safetensors files, checked against their checksum and their model."""

from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_model
from torch import nn

from service.errors import WeightsError, words_of
from service.files import open_file
from service.repository.files import bound_digest

READ = "pread"
"""How safetensors reads: to touch a mapped file that was cut off meanwhile, as by cp, ends the process."""

_SHOWN = 3
_ARCHIVES = {
    b"\x80": "a pickle",
    b"PK": "a zip archive, as torch.save writes it",
    b"\x1f\x8b": "a gzip archive",
}


def load_weights(module: nn.Module, path: Path) -> str:
    """Load a module's parameters and buffers, all of them and nothing else.

    Args:
        module: takes the weights.
        path: a safetensors file. Where a file of the same name and ".sha256" lies beside it, in the format
            of sha256sum, the two must agree.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        WeightsError: missing, altered, not safetensors, not this module's, or not finite.
    """
    digest = bound_digest(path, WeightsError)
    try:
        missing, unexpected = load_model(_Versioned(module), path, strict=False, backend=READ)  # type: ignore[arg-type]
    except safetensors.SafetensorError as cause:
        raise WeightsError(f"{path} is not a safetensors file: {looks_like(path) or cause}") from cause
    except RuntimeError as cause:  # load_state_dict has no narrower error for a wrong shape
        raise WeightsError(f"{path} does not fit the model: {_last_line(cause)}") from cause
    except Exception as cause:  # what a model's own loading raises, of any kind
        raise WeightsError(f"{path} cannot be loaded: the model raised {words_of(cause)}") from cause
    check_names(path, missing, unexpected)
    check_finite(path, module)
    return digest


class _Versioned:
    """A module as safetensors loads it, with the versions of its layers, which a safetensors file has not.

    Some layers ask them of the weights (torchvision's MNASNet, old-style spectral norms). They are
    those of the layers that are here: what an older version has saved, a safetensors file does not tell.

    Args:
        module: takes the weights.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def state_dict(self) -> dict[str, Any]:
        """Give the module's own."""
        return self._module.state_dict()

    def load_state_dict(self, weights: dict[str, Any], *, strict: bool) -> Any:
        """Load weights as if the module had saved them."""
        versioned = OrderedDict(weights)
        versioned._metadata = getattr(self._module.state_dict(), "_metadata", {})  # type: ignore[attr-defined]  # noqa: SLF001
        return self._module.load_state_dict(versioned, strict=strict)


def looks_like(path: Path) -> str | None:
    with open_file(path) as file:
        start = file.read(2)
    for signature, name in _ARCHIVES.items():
        if start.startswith(signature):
            return (
                f"it is {name}, which could run code when opened; save it with safetensors.torch.save_model"
            )
    return None


def check_names(path: Path, missing: Collection[str], unexpected: Collection[str]) -> None:
    for problem, names in (("lacks", missing), ("has more than the model:", unexpected)):
        if names:
            shown = ", ".join(sorted(names)[:_SHOWN])
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise WeightsError(f"{path} {problem} {shown}{more}{_wrapped(missing, unexpected)}")


def _wrapped(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Recognise weights that were saved inside of a wrapper, as DataParallel and torch.compile are."""
    for prefix in ("module.", "_orig_mod."):
        if missing and {prefix + name for name in missing} <= set(unexpected):
            return f"; the file has them under {prefix!r}: save the module that is wrapped, not the wrapper"
    return ""


def check_finite(path: Path, module: nn.Module) -> None:
    """Refuse parameters that are no numbers; a buffer may hold infinity, as a mask of attention does."""
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity")
    for name, buffer in module.named_buffers():
        if buffer.isnan().any():
            raise WeightsError(f"{path}: {name} holds NaN")


def _last_line(cause: Exception) -> str:
    return str(cause).strip().splitlines()[-1].strip()
