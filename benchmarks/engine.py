"""The engine against the usual loop: what T samples cost. Needs torch and numpy only.

Every figure is a median over repeats that are taken in turns, so that a slow moment of the machine meets all
ways alike; ratios are within one run. Beside each way stands how far its mean is from the loop's, as a share
of the Monte Carlo standard error: speed that moves the answer is no speed.
"""

import argparse
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from works import WORKS, Work  # the folder of a script is on its path

from service.errors import ModelError
from service.sampling.engine import Engine
from service.sampling.executor import Usual
from service.sampling.memory import keep_freed_memory
from service.sampling.precision import has_bfloat16, shares

SEED = 0
_MEMORY_WORK = 1  # the MLP with 32 rows


def measure(work: Work, repeats: int, device: str) -> list[str]:
    """Measure one work; gives the lines of the table."""
    engine = _engine(work, device)
    torch.manual_seed(SEED)
    plain, rows = _train_mode(work.network()).to(device), work.inputs().to(device)
    compiled = _compile(engine, rows, work)
    ways: dict[str, Callable[[], Tensor]] = {
        "one prediction": lambda: engine.predict((rows,)),
        "naive loop": lambda: _naive(plain, rows, work.samples),
    }
    for plan in engine.plans.by_rows[1] if engine.plans else ():
        ways[plan] = lambda plan=plan: _sampled(engine, rows, work.samples, plan)
    ways["as chosen" + compiled] = lambda: _sampled(engine, rows, work.samples, None)
    seconds = dict(zip(ways, _in_turns(list(ways.values()), repeats), strict=True))
    reference = ways["loop"]()
    return [_line(work, name, run, seconds, reference) for name, run in ways.items()]


def _line(
    work: Work, name: str, run: Callable[[], Tensor], seconds: dict[str, float], reference: Tensor
) -> str:
    took = seconds[name]
    off = ""
    if name not in ("one prediction", "naive loop"):
        off = "{:.1e}, {:.1e}".format(*shares(reference, run()))
    times = (
        f"{took * 1e3:.2f}",
        f"{seconds['naive loop'] / took:.1f}",
        f"{took / seconds['one prediction']:.2f}",
    )
    return f"| {' | '.join([work.name, name, *times, off])} |"


def _engine(work: Work, device: str) -> Engine:
    torch.manual_seed(SEED)
    return Engine(
        work.network(),
        [work.row_shape],
        [work.dtype],
        device=device,
        ranges=[work.range],
        usual=Usual(SEED, work.samples),
    )


def _compile(engine: Engine, rows: Tensor, work: Work) -> str:
    """Compile as a server does once such requests have run for a while; says so, if code came of it."""
    try:
        engine.compile((rows,), SEED, work.samples)
    except ModelError:
        return ""
    return ", compiled"


@torch.inference_mode()
def _naive(network: nn.Module, rows: Tensor, samples: int) -> Tensor:
    return torch.stack([network(rows) for _ in range(samples)])


def _train_mode(network: nn.Module) -> nn.Module:
    network.train()
    for module in network.modules():
        if isinstance(module, _NormBase):
            module.eval()
    return network


def _sampled(engine: Engine, rows: Tensor, samples: int, plan: str | None) -> Tensor:
    return torch.cat(list(engine.samples((rows,), SEED, range(samples), plan)))


def _in_turns(ways: Sequence[Callable[[], Tensor]], repeats: int) -> list[float]:
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


def peak_memory(samples: int) -> None:
    """Print the peak of resident memory, in MB, of a request whose moments are streamed."""
    work = WORKS[_MEMORY_WORK]
    engine, rows = _engine(work, "cpu"), work.inputs()
    total = torch.zeros(())
    for chunk in engine.samples((rows,), SEED, range(samples)):
        total += chunk.sum()
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _peaks() -> list[str]:
    """Measure peaks in processes of their own."""
    peaks = {}
    for samples in (50, 5000):
        done = subprocess.run(
            [sys.executable, __file__, "--peak", str(samples)], capture_output=True, text=True, check=True
        )
        peaks[samples] = int(done.stdout)
    return [f"| {samples} | {peak} | {peak / peaks[50]:.2f} |" for samples, peak in peaks.items()]


def _machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "CPU"
    low = "with" if has_bfloat16(torch.device(device)) else "without"
    return f"{name}, {torch.get_num_threads()} threads, {low} bfloat16 arithmetic, torch {torch.__version__}"


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=7, help="of each way; the median is shown")
    options.add_argument("--device", default="cpu")
    options.add_argument(
        "--works", type=int, nargs="*", help="numbers of works to run, from 0; all if left out"
    )
    options.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    keep_freed_memory()
    if given.peak:
        peak_memory(given.peak)
        return
    print(_machine(given.device), file=sys.stderr)
    print("| work | way | ms | × naive | predictions | off by, of a standard error |")
    print("|---|---|---|---|---|---|")
    chosen = WORKS if given.works is None else [WORKS[number] for number in given.works]
    for work in chosen:
        for line in measure(work, given.repeats, given.device):
            print(line, flush=True)
    print("\n| samples | peak MB | ratio |\n|---|---|---|")
    print("\n".join(_peaks()))


if __name__ == "__main__":
    main()
