"""What the benchmarks of speed share. Needs torch and numpy only."""

import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from works import Work  # the folder of a script is on its path

from service.errors import ModelError
from service.sampling.engine import Engine
from service.sampling.executor import Usual
from service.sampling.precision import has_bfloat16
from service.sampling.timing import seconds

SEED = 0

Way = Callable[[], Tensor]


def in_turns(ways: Mapping[str, Way], repeats: int) -> dict[str, float]:
    """Time each way so often, in turns, after one turn that warms up; gives medians in seconds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            taken = seconds(way)
            if turn:
                times[name].append(taken)
    return {name: median(each) for name, each in times.items()}


@torch.inference_mode()
def naive(network: nn.Module, rows: Tensor, samples: int) -> Tensor:
    """Call a network so often, as people write it; gives [samples, rows, width]."""
    return torch.stack([network(rows) for _ in range(samples)])


def train_mode(network: nn.Module) -> nn.Module:
    """Put all of a network in training mode but its norms, which would use the batch's statistics."""
    network.train()
    for module in network.modules():
        if isinstance(module, _NormBase):
            module.eval()
    return network


def seeded(work: Work) -> nn.Module:
    """Build the network of a work; each call gives the same weights."""
    torch.manual_seed(SEED)
    return work.network()


def loaded(work: Work, device: str = "cpu") -> Engine:
    """Load the network of a work as a server does, with measuring."""
    usual = Usual(SEED, work.samples)
    return Engine(
        seeded(work), [work.row_shape], [work.dtype], device=device, ranges=[work.range], usual=usual
    )


def compiles(engine: Engine, rows: Tensor, work: Work) -> bool:
    """Compile as a server does once such requests have run for a while; says whether code came of it."""
    try:
        engine.compile((rows,), SEED, work.samples)
    except ModelError:
        return False
    return True


def sampled(engine: Engine, rows: Tensor, samples: int, plan: str | None = None) -> Tensor:
    """Sample by a plan, or as measuring chose; gives [samples, rows, width]."""
    return torch.cat(list(engine.samples((rows,), SEED, range(samples), plan)))


def machine(device: str = "cpu") -> str:
    """Name what times depend on."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "CPU"
    low = "with" if has_bfloat16(torch.device(device)) else "without"
    return f"{name}, {torch.get_num_threads()} threads, {low} bfloat16 arithmetic, torch {torch.__version__}"


def progress(text: str) -> None:
    """Tell a person at a terminal what runs now, on one line that is written over; "" clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
