"""What a serving process sets for itself, once."""

import gc
import logging
import os
import sys

import torch

from service.sampling.memory import keep_freed_memory

log = logging.getLogger("unsure")

_OTHER_FILES = 128  # open beside connections: weights, libraries, the loop's own
_SWITCH_SECONDS = 0.0001
_COLLECT_EVERY = (50_000, 20, 100)  # objects, young collections, middle ones


def share_of_cores(processes: int) -> int:
    """Tell how many cores each of so many processes has."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def prepare_process(threads: int) -> None:
    """Set how threads share a process.

    Args:
        threads: of torch.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    # The thread that answers waits for the one that computes, ten times as long by Python's default.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # A body of a million rows is a million lists: by Python's default collecting takes most of its reading.
    gc.set_threshold(*_COLLECT_EVERY)


def keep_what_is_loaded() -> None:
    """Take all that there is at the start out of garbage collection.

    A full collection walks torch and the models, a few hundred thousand objects, while requests wait.
    """
    gc.collect()
    gc.freeze()


def let_go_of_what_is_replaced() -> None:
    """Collect garbage everywhere, and go on so: what a request still holds of a model is garbage later."""
    gc.unfreeze()
    gc.collect()


def connections_that_fit(connections: int) -> int:
    """Tell how many connections the process may have, after asking for as many files as it is allowed."""
    if sys.platform == "win32":
        return connections
    import resource  # there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = connections + _OTHER_FILES
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == unlimited or soft >= wanted:
        return connections
    fit = max(1, soft - _OTHER_FILES)
    log.warning("the process may open %d files: %d connections are let in, not %d", soft, fit, connections)
    return fit
