"""What a model raised, as an error of ours."""

import torch

from service.errors import ModelError, ModelRefused, OutOfMemory, RequestError, words_of

_CPU_ALLOCATOR = "can't allocate memory"  # torch has no error of its own for this on CPU


def model_error(cause: BaseException) -> RequestError:
    """Name what went wrong while a model ran; an error of ours stays as it is."""
    if isinstance(cause, RequestError):
        return cause
    if isinstance(cause, ModelRefused):
        return ModelError("the model cannot be run with rows of this shape", str(cause))
    detail = words_of(cause)
    if isinstance(cause, torch.OutOfMemoryError) or _CPU_ALLOCATOR in detail:
        return OutOfMemory("the model ran out of memory", detail)
    return ModelError(f"the model raised {type(cause).__name__}", detail)
