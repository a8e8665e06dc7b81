"""The engine on networks that others wrote: which load, whether their numbers are right, and at what speed.

A network is loaded as a model of a repository is, from a safetensors file into a network that was built anew,
and sampled by the plan that measuring found. Beside it stands the naive loop: the network in training mode
with its norms in eval mode, so many passes with masks of torch's own. Their means and deviations must agree
within a number of standard errors, for each row and output; and the prediction must be the one in eval mode.

Each network has a process of its own with a limit of time: one that crashes or hangs is a row of the table.
"""

import argparse
import os
import platform
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from json import dumps, loads
from pathlib import Path
from select import select
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measuring import SEED, progress, train_mode  # the folder of a script is on its path
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from zoo_entry import Entry, library
from zoo_models import ENTRIES

sys.path.insert(0, str(Path(__file__).parents[1]))

from service.errors import UnsureError
from service.repository.weights import load_weights
from service.sampling.engine import Engine
from service.sampling.executor import Budgets, Pinned, Usual

SAMPLES = 16
TURNS = 3
ROWS = 3
BOUND = 5.0
"""Standard errors; a hundred networks with a hundred figures each exceed it once in a hundred runs."""

LIMIT_SECONDS = 60
"""Of processor time, and ten times as much by the clock."""
_OUTPUTS = 64  # of a row are compared, spread over all
_LONG_SECONDS = 4.0  # after which no further turn is begun
_MEASURING_SECONDS = 1.0
_SLOW = 1.5
_REASON = 200  # letters of a reason that the table has

RIGHT, WRONG, NOTHING, REFUSED = "right", "wrong", "nothing to sample", "refused"
NOT_SERVED, NOT_BUILT, CRASHED, TOO_LONG = "right, task not served yet", "not built", "crashed", "out of time"
PACKAGES = [
    "torch",
    "timm",
    "torchvision",
    "transformers",
    "monai",
    "segmentation-models-pytorch",
    "vit-pytorch",
    "efficientnet_pytorch",
    "torchaudio",
    "rtdl_revisiting_models",
    "tab-transformer-pytorch",
    "pytorch-tabnet",
    "pytorch-forecasting",
    "torch-geometric",
]


@dataclass(frozen=True)
class Outcome:
    """What became of one network.

    Args:
        verdict: in a word.
        reason: why it was refused, or what is wrong.
        plan: that ran it.
        ratio: how many times faster than the naive loop; 0 where it was not timed.
        z: how many standard errors means and deviations are apart, at most.
    """

    verdict: str
    reason: str = ""
    plan: str = ""
    ratio: float = 0.0
    z: tuple[float, float] = (0.0, 0.0)


def examine(entry: Entry) -> Outcome:
    """Load a network, and hold its samples against the naive loop."""
    try:
        inputs = _rows(entry, ROWS)
        plain = _settled(entry)
    except Exception as cause:  # noqa: BLE001  # whatever a library raises
        return Outcome(NOT_BUILT, _words(cause))
    try:
        engine = _loaded(entry, plain)
    except UnsureError as cause:
        return Outcome(REFUSED, _words(cause))
    with torch.inference_mode():
        whole = _output(entry, plain.eval(), inputs)
    if (gap := (engine.predict(inputs) - whole).abs().max().item()) > 1e-4 * (1 + whole.abs().max().item()):
        return Outcome(WRONG, f"the prediction differs by {gap:.1e}")
    if not engine.report.can_sample:
        return Outcome(NOTHING, "; ".join(finding.message for finding in engine.report.findings))
    expected, given, ratio = _both(entry, train_mode(plain), engine, inputs, TURNS)
    apart = z_scores(expected, given)
    if max(apart) > BOUND:  # by chance, or by few samples with heavy tails? more of them tell
        expected, given, _ = _both(entry, plain, engine, inputs, 4 * TURNS)
        apart = z_scores(expected, given)
    plan = engine.plan(ROWS)
    if max(apart) > BOUND:
        return Outcome(WRONG, "{:.1f} and {:.1f} standard errors".format(*apart), plan, ratio, apart)
    served = entry.task in ("", "tokens")
    reason = "" if served else entry.task
    return Outcome(RIGHT if served else NOT_SERVED, reason, plan, ratio, apart)


def z_scores(expected: Tensor, given: Tensor) -> tuple[float, float]:
    """Compare means and variances of two sets of samples, each [samples, rows, outputs].

    Returns:
        The largest differences in standard errors: of means, and of variances by their fourth moments.
    """
    sides = [_moments(samples.double()) for samples in (expected, given)]
    (mean, variance, mean_error, variance_error), other = sides
    rounding = 1e-5 * mean.abs().max().clamp_min(1e-30)
    means = (mean - other[0]).abs() / (mean_error + other[2] + rounding**2).sqrt()
    spread = (variance - other[1]).abs() / (variance_error + other[3] + rounding**4).sqrt()
    return means.max().item(), spread.max().item()


def _moments(samples: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give mean and variance over samples, and the squares of their standard errors."""
    mean = samples.mean(0)
    squares = (samples - mean) ** 2
    variance = squares.mean(0)
    return mean, variance, variance / len(samples), squares.var(0) / len(samples)


def _rows(entry: Entry, rows: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(SEED)
    made = []
    for taken in entry.inputs:
        values = torch.randn(rows, *taken.shape, generator=generator)
        if taken.range:
            low, high = taken.range
            values = low + (high - low) * torch.rand(rows, *taken.shape, generator=generator)
        made.append(values.round().to(taken.dtype) if not taken.dtype.is_floating_point else values)
    return tuple(made)


def _settled(entry: Entry) -> nn.Module:
    """Build a network as if it had been trained a little.

    As built, a layer may multiply with zero, and a norm knows nothing of what it meets: little would show.
    """
    torch.manual_seed(SEED)
    network = entry.build()
    with torch.no_grad():
        for held in network.parameters():
            if held.is_floating_point() and held.max() == held.min():
                held.add_(0.1 * torch.randn_like(held))
        norms = [module for module in network.modules() if isinstance(module, _NormBase)]
        if norms:
            usual = [norm.momentum for norm in norms]
            for norm in norms:
                norm.momentum = 0.5
            network.train()
            for _ in range(4):
                _called(entry, network, _rows(entry, 4 * ROWS))
            for norm, momentum in zip(norms, usual, strict=True):
                norm.momentum = momentum
    return network.eval()


def _loaded(entry: Entry, trained: nn.Module) -> Engine:
    """Load weights into a network built anew, as a server does."""
    torch.manual_seed(SEED + 1)
    network = entry.build()
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save_model(trained, str(path))
        load_weights(network, path)
    return Engine(
        network,
        [taken.shape for taken in entry.inputs],
        [taken.dtype for taken in entry.inputs],
        ranges=[taken.range for taken in entry.inputs],
        budgets=Budgets(measuring_seconds=_MEASURING_SECONDS),
        usual=Usual(SEED, SAMPLES),
        pinned=Pinned(float32=True),
        names=[taken.name for taken in entry.inputs if taken.name],
        output=entry.output,
        per_token=entry.task == "tokens",
    )


def _called(entry: Entry, network: nn.Module, inputs: Sequence[Tensor]) -> Any:
    if not entry.inputs[0].name:
        return network(*inputs)
    return network(**{taken.name: given for taken, given in zip(entry.inputs, inputs, strict=True)})


def _output(entry: Entry, network: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    given = _called(entry, network, inputs)
    chosen: Tensor = given if entry.output is None else given[entry.output]
    return chosen.reshape(len(inputs[0]), -1)


def _both(
    entry: Entry, plain: nn.Module, engine: Engine, inputs: tuple[Tensor, ...], turns: int
) -> tuple[Tensor, Tensor, float]:
    """Sample both ways in turns; gives samples of each, and the ratio of their shortest times."""
    expected: list[Tensor] = []
    given: list[Tensor] = []
    slow: list[float] = []
    fast: list[float] = []
    columns = torch.linspace(0, _width(engine, inputs) - 1, min(_OUTPUTS, _width(engine, inputs))).long()
    torch.manual_seed(SEED + 2)
    for turn in range(turns):
        start = time.perf_counter()
        with torch.inference_mode():
            expected += [_output(entry, plain, inputs)[:, columns] for _ in range(SAMPLES)]
        slow.append(time.perf_counter() - start)
        start = time.perf_counter()
        for chunk in engine.samples(inputs, SEED, range(turn * SAMPLES, (turn + 1) * SAMPLES)):
            given.extend(chunk[..., columns])
        fast.append(time.perf_counter() - start)
        # A server keeps the masks of its own seed; what these samples take was drawn a moment ago.
        start = time.perf_counter()
        for _ in engine.samples(inputs, SEED, range(SAMPLES)):
            pass
        fast.append(time.perf_counter() - start)
        if sum(slow) > _LONG_SECONDS and turns == TURNS:
            break
    return torch.stack(expected), torch.stack(given), min(slow) / min(fast)


def _width(engine: Engine, inputs: Sequence[Tensor]) -> int:
    return engine.predict(tuple(inputs)).shape[1]


def _words(cause: BaseException) -> str:
    detail = getattr(cause, "detail", "") or str(cause)
    text = " ".join(
        f"{'' if isinstance(cause, UnsureError) else type(cause).__name__ + ': '}{detail}".split()
    )
    return re.sub(r"/\S*/", "…/", text)


# A process for each -----------------------------------------------------------------------------------------


@dataclass
class _Child:
    entry: Entry
    pid: int
    pipe: int
    ends: float
    text: bytes = b""


def run(entries: Sequence[Entry], jobs: int) -> Iterator[tuple[Entry, Outcome]]:
    """Examine networks, so many at a time, each in a process forked from this one with its libraries."""
    waiting, running = list(entries), list[_Child]()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_forked(waiting.pop(0)))
        ready, _, _ = select([child.pipe for child in running], [], [], 1.0)
        for child in list(running):
            if child.pipe in ready and (part := os.read(child.pipe, 1 << 16)):
                child.text += part
            elif child.pipe in ready:
                running.remove(child)
                yield child.entry, _ended(child)
            elif time.monotonic() > child.ends:
                running.remove(child)
                os.kill(child.pid, signal.SIGKILL)
                _ended(child)
                yield child.entry, Outcome(TOO_LONG, f"{10 * LIMIT_SECONDS} s")


def _forked(entry: Entry) -> _Child:
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Child(entry, pid, reading, time.monotonic() + 10 * LIMIT_SECONDS)
    used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + LIMIT_SECONDS, used + LIMIT_SECONDS + 5))
    try:
        outcome = examine(entry)
    except BaseException as cause:  # noqa: BLE001  # the process is the network's alone
        outcome = Outcome(CRASHED, _words(cause))
    os.write(writing, dumps(vars(outcome)).encode())
    os._exit(0)


def _ended(child: _Child) -> Outcome:
    os.close(child.pipe)
    _, status = os.waitpid(child.pid, 0)
    if not child.text and -os.waitstatus_to_exitcode(status) == signal.SIGXCPU:
        return Outcome(TOO_LONG, f"{LIMIT_SECONDS} s of processor time")
    if not child.text:
        return Outcome(CRASHED, f"the process ended with {os.waitstatus_to_exitcode(status)}")
    found = loads(child.text)
    return replace(Outcome(**found), z=tuple(found["z"]))


def table(found: Sequence[tuple[Entry, Outcome]]) -> Iterator[str]:
    """Write the page."""
    counts = Counter(outcome.verdict for _, outcome in found)
    ratios = sorted(outcome.ratio for _, outcome in found if outcome.ratio)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES if _installed(name))
    yield "# Networks that others wrote"
    yield ""
    yield "Written by `make zoo`; [how to read it](README.md#networks-that-others-wrote)."
    yield ""
    passes = f"{TURNS} × {SAMPLES} samples of {ROWS} rows"
    how = f"one thread a network, float32, {passes}"
    yield f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {how}. {packages}."
    yield ""
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    yield f"{len(found)} networks: {listed}."
    if ratios:
        tenth = ratios[len(ratios) // 10]
        slow = sum(ratio < _SLOW for ratio in ratios)
        yield f"Ratio to the naive loop: median {median(ratios):.1f}, a tenth below {tenth:.1f},"
        yield f"{slow} below {_SLOW}, least {ratios[0]:.2f}."
    yield ""
    yield "| library | network | verdict | × naive | plan | z of means, deviations | why |"
    yield "|---|---|---|---|---|---|---|"
    for entry, outcome in found:
        ratio = f"{outcome.ratio:.2f}" if outcome.ratio else ""
        z = "{:.1f}, {:.1f}".format(*outcome.z) if outcome.ratio else ""
        reason = outcome.reason if len(outcome.reason) <= _REASON else outcome.reason[: _REASON - 1] + "…"
        why = "; ".join(filter(None, (reason, entry.adapter and f"adapter: {entry.adapter}")))
        cells = (entry.library, entry.name, outcome.verdict, ratio, outcome.plan, z, why.replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |"


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except ImportError:
        return False


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "CPU"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "CPU")


def _imported(entries: Sequence[Entry]) -> None:
    """Import what networks are of before processes are forked, so that each has it."""
    modules = {
        "MONAI": "monai.networks.nets",
        "rtdl": "rtdl_revisiting_models",
        "torch-geometric": "torch_geometric.nn",
        "vit-pytorch": "vit_pytorch",
        "tab-transformer-pytorch": "tab_transformer_pytorch",
        "pytorch-tabnet": "pytorch_tabnet.tab_network",
        "pytorch-forecasting": "pytorch_forecasting",
    }
    for name in dict.fromkeys(entry.library for entry in entries):
        progress(f"importing {name}")
        try:
            library(modules.get(name, name))
        except Exception as cause:  # noqa: BLE001  # none of its networks is built then, and each says so
            print(f"{name}: {_words(cause)}", file=sys.stderr)


def _found_earlier(path: Path | None) -> dict[tuple[str, str], Outcome]:
    """Read what a run that was stopped has found."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    read = [loads(line) for line in lines]
    return {(of, name): replace(Outcome(**found), z=tuple(found["z"])) for of, name, found in read}


def main() -> None:
    """Examine networks, and print the page or write it to a file."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("names", nargs="*", help="parts of 'library network'; left out, all")
    options.add_argument("--jobs", type=int, default=2, help="networks at a time")
    options.add_argument("--found", type=Path, help="a file of outcomes: what is there is not done again")
    options.add_argument("--write", type=Path, help="a file for the page")
    given = options.parse_args()
    torch.set_num_threads(1)
    entries = [
        entry
        for entry in ENTRIES
        if not given.names or any(part in f"{entry.library} {entry.name}" for part in given.names)
    ]
    found = _found_earlier(given.found)
    waiting = [entry for entry in entries if (entry.library, entry.name) not in found]
    _imported(waiting)
    for entry, outcome in run(waiting, given.jobs):
        found[entry.library, entry.name] = outcome
        if given.found:
            with given.found.open("a") as file:
                file.write(dumps([entry.library, entry.name, vars(outcome)]) + "\n")
        progress(f"{len(found)} of {len(entries)}: {entry.library} {entry.name}")
        print(f"{entry.library} {entry.name}: {outcome}", file=sys.stderr, flush=True)
    page = "\n".join(table([(entry, found[entry.library, entry.name]) for entry in entries])) + "\n"
    if given.write:
        given.write.write_text(page)
    else:
        print(page)


if __name__ == "__main__":
    main()
