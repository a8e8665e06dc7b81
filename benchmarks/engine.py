"""The engine against the usual loop: what T samples cost. Needs torch and numpy only.

Every figure is a median over repeats that are taken in turns, so that a slow moment of the machine meets all
ways alike; ratios are within one run. Beside each way stands how far its mean is from the loop's, as a share
of the Monte Carlo standard error: speed that moves the answer is no speed.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from measuring import (  # the folder of a script is on its path
    SEED,
    Way,
    compiles,
    in_turns,
    loaded,
    machine,
    naive,
    progress,
    sampled,
    seeded,
    train_mode,
)
from torch import Tensor
from works import WORKS, Work

sys.path.insert(0, str(Path(__file__).parents[1]))

from service.sampling.memory import keep_freed_memory
from service.sampling.precision import shares
from service.uncertainty.classification import ClassificationMoments

QUICK = (0, 3)  # one row each
_MEMORY_WORK = 1  # the MLP with 32 rows


def measure(work: Work, repeats: int, device: str) -> list[str]:
    """Measure one work; gives the lines of the table."""
    ways = _ways(work, device)
    seconds = in_turns(ways, repeats)
    reference = ways["loop"]()
    return [_line(work, name, run, seconds, reference) for name, run in ways.items()]


def _ways(work: Work, device: str) -> dict[str, Way]:
    engine, rows = loaded(work, device), work.inputs().to(device)
    plain = train_mode(seeded(work)).to(device)
    compiled = ", compiled" if compiles(engine, rows, work) else ""
    ways: dict[str, Way] = {
        "one prediction": lambda: engine.predict((rows,)),
        "naive loop": lambda: naive(plain, rows, work.samples),
    }
    for plan in engine.plans.by_rows[1] if engine.plans else ():
        ways[plan] = lambda plan=plan: sampled(engine, rows, work.samples, plan)  # type: ignore[misc]
    ways["as chosen" + compiled] = lambda: sampled(engine, rows, work.samples)
    return ways


def _line(work: Work, name: str, run: Way, seconds: dict[str, float], reference: Tensor) -> str:
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


def peak_memory(samples: int) -> None:
    """Print the peak of resident memory, in MB, of a request whose measures are streamed as a server does."""
    work = WORKS[_MEMORY_WORK]
    engine, rows = loaded(work), work.inputs()
    moments = ClassificationMoments(logits=True)
    for chunk in engine.samples((rows,), SEED, range(samples)):
        moments.update(chunk)
    moments.measures()
    print(_peak_kilobytes() // 1024)


def _peak_kilobytes() -> int:
    """Read it from Linux: what getrusage gives a new process begins at the peak of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _peaks() -> list[str]:
    """Measure peaks in processes of their own."""
    peaks = {}
    for samples in (50, 5000):
        progress(f"peak memory of {samples} samples")
        done = subprocess.run(
            [sys.executable, __file__, "--peak", str(samples)], stdout=subprocess.PIPE, text=True, check=True
        )
        peaks[samples] = int(done.stdout)
    return [f"| {samples} | {peak} | {peak / peaks[50]:.2f} |" for samples, peak in peaks.items()]


def print_times(works: list[Work], repeats: int, device: str) -> None:
    """Print the table of times, with the machine above it."""
    print(machine(device), end="\n\n")
    print("| work | way | ms | × naive | predictions | off by, of a standard error |")
    print("|---|---|---|---|---|---|")
    for work in works:
        progress(work.name)
        lines = measure(work, repeats, device)
        progress("")
        print("\n".join(lines), flush=True)


def print_peaks() -> None:
    """Print the table of peak memory."""
    lines = _peaks()
    progress("")
    print("\n| samples | peak MB | ratio |\n|---|---|---|")
    print("\n".join(lines))


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--repeats", type=int, default=7, help="of each way; the median is shown")
    options.add_argument("--device", default="cpu")
    options.add_argument("--works", type=int, nargs="*", help="numbers of works to run, from 0; else all")
    options.add_argument("--quick", action="store_true", help="one repeat of the smallest works: no figures")
    options.add_argument("--peaks", action="store_true", help="peak memory too, as when all works are run")
    options.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    return options.parse_args()


def main() -> None:
    """Print the tables."""
    given = _options()
    keep_freed_memory()
    if given.peak:
        peak_memory(given.peak)
        return
    chosen = given.works if given.works is not None else QUICK if given.quick else range(len(WORKS))
    print_times([WORKS[number] for number in chosen], 1 if given.quick else given.repeats, given.device)
    if given.peaks or (given.works is None and not given.quick):
        print_peaks()


if __name__ == "__main__":
    main()
