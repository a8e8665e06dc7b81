"""What a model raised, as an error of ours."""

from service.errors import ModelError, ModelRefused, RequestError


def model_error(cause: Exception) -> RequestError:
    """Name what went wrong while a model ran; an error of ours stays as it is."""
    if isinstance(cause, RequestError):
        return cause
    if isinstance(cause, ModelRefused):
        return ModelError("the model cannot be run with rows of this shape", str(cause))
    text = str(cause).strip()
    detail = f"{type(cause).__name__}: {text.splitlines()[0]}" if text else type(cause).__name__
    return ModelError(f"the model raised {type(cause).__name__}", detail)
