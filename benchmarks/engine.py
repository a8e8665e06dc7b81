"""The engine against the usual loop: what T samples cost. Needs torch and numpy only.

Every figure is a median over repeats that are taken in turns, so that a slow moment of the machine meets all
ways alike; ratios are within one run. Beside each way stands how far its mean is from the loop's, as a share
of the Monte Carlo standard error: speed that moves the answer is no speed.
"""

import argparse
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from service.sampling.engine import Engine
from service.sampling.plans import LOOP, VMAP, Plan

SEED = 0


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    Args:
        name: for the table.
        network: builds it.
        row_shape: of its input.
        rows: of the request.
        samples: of the request.
    """

    name: str
    network: Callable[[], nn.Module]
    row_shape: tuple[int, ...]
    rows: int
    samples: int = 50


def mlp() -> nn.Module:
    """784-1024-1024-10, rate 0.5."""
    return nn.Sequential(
        nn.Linear(784, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 10),
    )


def cnn() -> nn.Module:
    """Three convolutions over 3×32×32, spatial dropout after the later two, a head with dropout."""
    return nn.Sequential(
        *_block(3, 32, 0.0),
        *_block(32, 64, 0.1),
        *_block(64, 128, 0.2),
        nn.Flatten(),
        nn.Linear(128 * 16, 256),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(256, 10),
    )


def cnn_head_only() -> nn.Module:
    """The same, dropping in the head alone."""
    network = cnn()
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    return network


def _block(before: int, after: int, rate: float) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(rate),
    ]


WORKS = (
    Work("MLP, 1 row", mlp, (784,), 1),
    Work("MLP, 32 rows", mlp, (784,), 32),
    Work("MLP, 256 rows", mlp, (784,), 256),
    Work("CNN, 1 row", cnn, (3, 32, 32), 1),
    Work("CNN, 16 rows", cnn, (3, 32, 32), 16),
    Work("CNN, head only, 16 rows", cnn_head_only, (3, 32, 32), 16),
)


def measure(work: Work, repeats: int, device: str) -> list[str]:
    """Measure one work; gives the lines of the table."""
    torch.manual_seed(SEED)
    engine = Engine(work.network(), [work.row_shape], [torch.float32], device=device)
    plain = _train_mode(work.network()).to(device)
    rows = torch.randn(work.rows, *work.row_shape, device=device)
    ways: dict[str, Callable[[], Tensor]] = {
        "one prediction": lambda: engine.predict((rows,)),
        "naive loop": lambda: _naive(plain, rows, work.samples),
        "loop": lambda: _sampled(engine, rows, work.samples, LOOP),
        "vmap": lambda: _sampled(engine, rows, work.samples, VMAP),
        "as chosen": lambda: _sampled(engine, rows, work.samples, None),
    }
    seconds = _in_turns(list(ways.values()), repeats)
    prediction, naive = seconds[0], seconds[1]
    reference = ways["loop"]()
    lines = []
    for (name, run), took in zip(ways.items(), seconds, strict=True):
        deviation = _deviation(run(), reference) if name in ("loop", "vmap", "as chosen") else ""
        cells = [
            work.name,
            name,
            f"{took * 1e3:.2f}",
            f"{naive / took:.1f}",
            f"{took / prediction:.1f}",
            deviation,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@torch.inference_mode()
def _naive(network: nn.Module, rows: Tensor, samples: int) -> Tensor:
    return torch.stack([network(rows) for _ in range(samples)])


def _train_mode(network: nn.Module) -> nn.Module:
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return network


def _sampled(engine: Engine, rows: Tensor, samples: int, plan: Plan | None) -> Tensor:
    return torch.cat(list(engine.samples((rows,), SEED, range(samples), plan)))


def _deviation(samples: Tensor, reference: Tensor) -> str:
    """Compare means, as a share of the standard error of the mean: mean and maximum over rows and outputs."""
    error = reference.double().std(0) / len(reference) ** 0.5
    shares = (samples.double().mean(0) - reference.double().mean(0)).abs() / error
    return f"{shares.mean().item():.1e}, {shares.max().item():.1e}"


def _in_turns(ways: list[Callable[[], Tensor]], repeats: int) -> list[float]:
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(repeats + 1):
        for way, taken in zip(ways, times, strict=True):
            start = perf_counter()
            way()
            _synchronize()
            if turn:  # the first warms up
                taken.append(perf_counter() - start)
    return [median(taken) for taken in times]


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "CPU"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=7, help="of each way; the median is shown")
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    print(_machine(given.device), file=sys.stderr)
    print("| work | way | ms | × naive | predictions | off by, of a standard error |")
    print("|---|---|---|---|---|---|")
    for work in WORKS:
        for line in measure(work, given.repeats, given.device):
            print(line, flush=True)


if __name__ == "__main__":
    main()
