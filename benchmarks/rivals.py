"""The engine beside other libraries for MC dropout: what samples cost, and what is sampled at all.

Each library is used as its documentation says: baal as `MCDropoutModule` in a `ModelWrapper`, in eval mode;
torch-uncertainty as `mc_dropout(network, num_estimators)`, in eval mode. Both can run samples one by one or
as one large batch. Run it by `make bench-rivals`: they live in an environment of their own.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
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
from mechanisms import MECHANISMS, Mechanism
from torch import Tensor, nn
from works import WORKS, Work

sys.path.insert(0, str(Path(__file__).parents[1]))

from service.sampling.engine import Engine
from service.sampling.executor import Budgets
from service.sampling.memory import keep_freed_memory

QUICK = (0,)
ROWS = 16  # of each mechanism
GROUPS = 20  # of samples, for a standard error
FAR = 5.0  # standard errors: what chance does not do

Sampler = Callable[[Tensor, int], Tensor]  # rows, how many samples → [samples, rows, width]
Ready = Callable[[nn.Module], Sampler]  # makes a network ready, which the library may change


def with_baal(network: nn.Module, *, at_once: bool) -> Sampler:
    """Patch a network by baal."""
    from baal.bayesian.dropout import MCDropoutModule
    from baal.modelwrapper import ModelWrapper, TrainingArgs

    model = MCDropoutModule(network)
    wrapper = ModelWrapper(model, TrainingArgs(replicate_in_memory=at_once, use_cuda=False))
    model.eval()
    return lambda rows, samples: wrapper.predict_on_batch(rows, iterations=samples).permute(2, 0, 1)


def with_torch_uncertainty(network: nn.Module, *, at_once: bool) -> Sampler:
    """Wrap a network by torch-uncertainty; how many samples it gives is an attribute of the wrapper."""
    from torch_uncertainty.methods import mc_dropout

    model = mc_dropout(network, num_estimators=1, on_batch=at_once).eval()

    def run(rows: Tensor, samples: int) -> Tensor:
        model.num_estimators = samples
        return model(rows).unflatten(0, (samples, len(rows)))

    return run


RIVALS: dict[str, dict[str, Ready]] = {
    name: {"one batch": partial(ready, at_once=True), "one by one": partial(ready, at_once=False)}
    for name, ready in (("baal", with_baal), ("torch-uncertainty", with_torch_uncertainty))
}


def with_unsure(network: nn.Module, row_shape: tuple[int, ...]) -> Sampler:
    """Load a network as a server does, with little measuring."""
    budgets = Budgets(measuring_seconds=0.1)
    engine = Engine(network, [row_shape], [torch.float32], budgets=budgets)
    return lambda rows, samples: sampled(engine, rows, samples)


def in_train_mode(network: nn.Module) -> Sampler:
    """Do without a library: what all others are held against."""
    return partial(naive, train_mode(network))


@dataclass(frozen=True)
class Seen:
    """What the samples of a network show.

    Args:
        deviation: over samples, averaged over rows and outputs.
        error: the standard error of that, by a jackknife over groups of samples.
        mean: over samples, [rows, width].
        mean_error: its standard error, [rows, width].
    """

    deviation: float
    error: float
    mean: Tensor
    mean_error: Tensor

    @classmethod
    def of(cls, samples: Tensor) -> "Seen":
        """Look at samples, [samples, rows, width]; samples that do not fill the groups are left out."""
        groups = samples.double().unflatten(0, (GROUPS, -1))
        without = torch.tensor(
            [groups[torch.arange(GROUPS) != left].flatten(0, 1).std(0).mean() for left in range(GROUPS)]
        )
        whole = groups.flatten(0, 1)
        spread = whole.std(0)
        error = (without.var(correction=0) * (GROUPS - 1)).sqrt()
        return cls(spread.mean().item(), error.item(), whole.mean(0), spread / len(whole) ** 0.5)

    def ratio(self, plain: "Seen") -> tuple[float, float]:
        """Divide by the deviation of another; gives the ratio and its standard error."""
        ratio = self.deviation / plain.deviation
        return ratio, (
            (self.error / plain.deviation) ** 2 + (ratio * plain.error / plain.deviation) ** 2
        ) ** 0.5

    def mean_is_off(self, plain: "Seen") -> float:
        """Give the largest distance of two means, in standard errors of their difference."""
        error = (self.mean_error**2 + plain.mean_error**2).sqrt().clamp_min(1e-6)
        return ((self.mean - plain.mean).abs() / error).max().item()


@dataclass(frozen=True)
class Outcome:
    """What came of sampling a network in one way.

    Args:
        ratio: of the deviation to that in training mode; None if it raised.
        error: of the ratio.
        words: for the table.
    """

    ratio: float | None
    error: float
    words: str

    @property
    def wrong(self) -> float:
        """How far from right: 1 where nothing was sampled, and worst where it raised."""
        return float("inf") if self.ratio is None else abs(self.ratio - 1)


def outcome(ready: Ready, mechanism: Mechanism, beside: bool, samples: int, plain: Seen) -> Outcome:
    """Sample a mechanism's network in one way, and hold it against training mode."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = ready(mechanism.network(beside))
        seen = _seen(run, mechanism, samples)
    except Exception as cause:  # noqa: BLE001 - whatever a library raises is its answer
        return Outcome(None, 0.0, _raised(cause))
    ratio, error = seen.ratio(plain)
    words = f"{ratio:.2f}" + ", warns" * any(issubclass(one.category, UserWarning) for one in caught)
    off = seen.mean_is_off(plain)
    if abs(ratio - 1) <= FAR * error and off > FAR:
        words += f", mean off by {off:.0f} standard errors"
    return Outcome(ratio, error, words)


@torch.inference_mode()
def _seen(run: Sampler, mechanism: Mechanism, samples: int) -> Seen:
    return Seen.of(run(mechanism.inputs(ROWS), samples))


def _raised(cause: Exception) -> str:
    return f"raises {type(cause).__name__}: {str(cause).split('. ')[0].splitlines()[0]}"


def plainly(mechanism: Mechanism, beside: bool, samples: int) -> Seen:
    """Sample a mechanism's network in training mode."""
    network = mechanism.network(beside)
    torch.manual_seed(SEED + 1)  # building has seeded: others must not be given the very same masks
    return _seen(in_train_mode(network), mechanism, samples)


def unsures(mechanism: Mechanism, beside: bool, samples: int, plain: Seen) -> Outcome:
    """Sample it by the engine."""
    ready = partial(with_unsure, row_shape=mechanism.row_shape)
    return outcome(ready, mechanism, beside, samples, plain)


def best(ways: dict[str, Ready], mechanism: Mechanism, beside: bool, samples: int, plain: Seen) -> str:
    """Sample in all ways of a library; gives the words of the best, and of others that differ much."""
    found = {how: outcome(ready, mechanism, beside, samples, plain) for how, ready in ways.items()}
    how = min(found, key=lambda how: found[how].wrong)
    others = [other for other in found if abs(found[other].wrong - found[how].wrong) > 0.1]
    if not others:
        return found[how].words
    return "; ".join(f"{found[name].words} ({name})" for name in (how, *others))


def print_sampled(samples: int) -> None:
    """Print what each library samples of each mechanism, alone and beside an nn.Dropout."""
    print(f"\n| mechanism | {' | '.join(_columns(''))} | {' | '.join(_columns(' beside nn.Dropout'))} |")
    print("|---" * 7 + "|")
    for mechanism in MECHANISMS:
        progress(mechanism.name)
        cells = [cell for beside in (False, True) for cell in _cells(mechanism, beside, samples)]
        progress("")
        print(f"| {mechanism.name} | {' | '.join(cells)} |", flush=True)


def _columns(suffix: str) -> Iterable[str]:
    return [name + suffix for name in ("unsure", *RIVALS)]


def _cells(mechanism: Mechanism, beside: bool, samples: int) -> Iterator[str]:
    plain = plainly(mechanism, beside, samples)
    yield unsures(mechanism, beside, samples, plain).words
    for ways in RIVALS.values():
        yield best(ways, mechanism, beside, samples, plain)


def state_line(library: str, ready: Ready) -> str:
    """Tell what sampling leaves behind in a network that was in eval mode."""
    mechanism = MECHANISMS[1]  # a norm and an nn.Dropout
    network, rows = mechanism.network(beside=False).eval(), mechanism.inputs(ROWS)
    before = list(network.modules())
    flags = [module.training for module in before]
    with torch.inference_mode():
        ready(network)(rows, 2)
    replaced = sum(one is not other for one, other in zip(before, network.modules(), strict=True))
    flipped = sum(flag != module.training for flag, module in zip(flags, network.modules(), strict=True))
    drops = [_drops(network, rows), _drops(network.eval(), rows)]
    return f"| {library} | {replaced} | {flipped} | {' | '.join('yes' if one else 'no' for one in drops)} |"


def _drops(network: nn.Module, rows: Tensor) -> bool:
    return not torch.equal(network(rows), network(rows))


def print_states() -> None:
    """Print what each library leaves behind."""
    print("\n| library | modules replaced | training flags changed | a call drops | after .eval() |")
    print("|---|---|---|---|---|")
    print(state_line("train mode", in_train_mode))
    print(state_line("unsure", partial(with_unsure, row_shape=MECHANISMS[1].row_shape)))
    for library, ways in RIVALS.items():
        print(state_line(library, ways["one batch"]))


def print_times(works: Iterable[Work], repeats: int) -> None:
    """Print what samples cost."""
    print("\n| work | library | ms | × naive | deviation, × naive |\n|---|---|---|---|---|")
    for work in works:
        progress(work.name)
        lines = list(time_lines(work, repeats))
        progress("")
        print("\n".join(lines), flush=True)


def time_lines(work: Work, repeats: int) -> Iterator[str]:
    """Measure one work; of each library the faster way makes a line."""
    rows = work.inputs()
    ways = _plain_and_ours(work, rows)
    raised = {}
    for library, readies in RIVALS.items():
        for how, ready in readies.items():
            try:
                ways[f"{library}, {how}"] = _inferring(ready(seeded(work)), rows, work.samples)
            except Exception as cause:  # noqa: BLE001 - whatever a library raises is its answer
                raised[library] = _raised(cause)
    seconds = in_turns(ways, repeats)
    for name in _faster(seconds):
        yield _time_line(work, name, seconds, ways)
    for library, words in raised.items():
        yield f"| {work.name} | {library} | {words} | | |"


def _plain_and_ours(work: Work, rows: Tensor) -> dict[str, Way]:
    plain, engine = train_mode(seeded(work)), loaded(work)
    planned = engine.plan(len(rows))
    ways: dict[str, Way] = {
        "naive loop": lambda: naive(plain, rows, work.samples),
        f"unsure, as planned ({planned})": lambda: sampled(engine, rows, work.samples, planned),
    }
    if compiles(engine, rows, work):
        ways["unsure, compiled"] = lambda: sampled(engine, rows, work.samples)
    return ways


def _inferring(run: Sampler, rows: Tensor, samples: int) -> Way:
    return torch.inference_mode()(lambda: run(rows, samples))


def _faster(seconds: dict[str, float]) -> list[str]:
    """Leave out the slower way of each rival."""
    slower = set()
    for library, ways in RIVALS.items():
        timed = sorted((f"{library}, {how}" for how in ways), key=lambda name: seconds.get(name, 0.0))
        slower.update(timed[1:])
    return [name for name in seconds if name not in slower]


def _time_line(work: Work, name: str, seconds: dict[str, float], ways: dict[str, Way]) -> str:
    took, plain = seconds[name], seconds["naive loop"]
    share = _deviation(ways[name]()) / _deviation(ways["naive loop"]())
    return f"| {work.name} | {name} | {took * 1e3:.2f} | {plain / took:.1f} | {share:.1f} |"


def _deviation(samples: Tensor) -> float:
    return samples.double().std(0).mean().item()


def import_torchvision() -> None:
    """Import it also where its operators do not fit the build of torch, which needs two declared first.

    torch-uncertainty and torchmetrics import torchvision; sampling calls nothing of it.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


def versions() -> str:
    """Name what is compared."""
    found = []
    for name in ("unsure", "baal", "torch-uncertainty"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(name)
    return ", ".join(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries greet with warnings of their own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--repeats", type=int, default=7, help="of each way; the median is shown")
    options.add_argument("--works", type=int, nargs="*", help="numbers of works to time, from 0; else all")
    options.add_argument("--samples", type=int, default=2000, help="of each mechanism, in twenties")
    options.add_argument("--quick", action="store_true", help="one repeat, 200 samples: no figures")
    return options.parse_args()


def main() -> None:
    """Print the tables."""
    given = _options()
    keep_freed_memory()
    chosen = given.works if given.works is not None else QUICK if given.quick else range(len(WORKS))
    print(f"{versions()}; {machine()}")
    with _quiet():
        import_torchvision()
        print_times([WORKS[number] for number in chosen], 1 if given.quick else given.repeats)
        print_sampled(200 if given.quick else given.samples)
        print_states()


if __name__ == "__main__":
    main()
