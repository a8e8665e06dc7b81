"""How long work takes, on whatever device."""

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor


def seconds(run: Callable[[], object]) -> float:
    """Run something to its end, on whatever device; gives its seconds."""
    start = perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - start


def timed(run: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Run something to its end; gives what it made, and its seconds."""
    start = perf_counter()
    made = run()
    if made.is_cuda:
        torch.cuda.synchronize(made.device)  # or only the start of the work would be timed
    return made, perf_counter() - start
