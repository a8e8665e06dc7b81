"""The plans of one model: which there are, which are trusted, and which runs a piece of work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor

from service.errors import ModelError, ModelRefused
from service.sampling.closed_form import LastLayer, find_last_layer
from service.sampling.compiled import Compiled
from service.sampling.discovery import Example
from service.sampling.layout import Layout, Work, drawn
from service.sampling.masks import MaskStore
from service.sampling.names import LOOP, LOW
from service.sampling.planner import PlanChoice, choose_plans, differences, moves
from service.sampling.plans import Fold, Loop, Plan, Vmap
from service.sampling.precision import has_bfloat16, in_bfloat16, is_float32
from service.sampling.raised import model_error
from service.sampling.stochastic import Inputs, StochasticModel
from service.sampling.thinned import KeptSamples, Spread, Thinned
from service.sampling.timing import timed

_HELD_ROWS = 3
_HELD_SAMPLES = 8


@dataclass(frozen=True)
class Budgets:
    """What the engine may take.

    Args:
        masks_bytes: masks kept between calls.
        chunk_bytes: the largest tensor of one chunk of samples.
        cuts_bytes: weights cut to what samples keep, kept between calls.
        maps_bytes: maps of the channels of convolutions, while a chunk runs.
        measuring_seconds: measuring plans at load.
        compiling_after_seconds: how long requests of a shape have run before code is compiled for it; None
            for never.
    """

    masks_bytes: int = 64 << 20
    chunk_bytes: int = 64 << 20
    cuts_bytes: int = 256 << 20
    maps_bytes: int = 256 << 20
    measuring_seconds: float = 4.0
    compiling_after_seconds: float | None = None


@dataclass(frozen=True)
class Usual:
    """What most requests ask for: it is measured, and what it needs is kept.

    Args:
        seed: which networks.
        samples: how many.
    """

    seed: int = 0
    samples: int = 50


@dataclass(frozen=True)
class Pinned:
    """What is not left to measuring.

    Args:
        plan: the plan that runs whatever it can run; None to take the fastest.
        float32: whether nothing may run in a lower precision.
    """

    plan: str | None = None
    float32: bool = False


class Executor:
    """Runs work by the fastest plan that takes it.

    Args:
        model: to run.
        masks: where masks come from.
        device: where it runs.
        budgets: what it may take.
        usual: the seed and samples of most requests.
        pinned: what is not measured.

    Attributes:
        choice: what measuring found; None before `choose`.
        low: the model in bfloat16, where it runs in that.
        compiled: the plan that runs compiled code; None before `choose`.
    """

    def __init__(
        self,
        model: StochasticModel,
        masks: MaskStore,
        device: torch.device,
        budgets: Budgets,
        usual: Usual,
        pinned: Pinned,
    ) -> None:
        self._model = model
        self._masks = masks
        self._device = device
        self._budgets = budgets
        self._usual = usual
        self._pinned = pinned
        self._plans: Mapping[str, Plan] = {LOOP: Loop(model)}
        self.compiled: Compiled | None = None
        self.choice: PlanChoice | None = None
        self.low: StochasticModel | None = None

    def choose(self, layout: Layout, example: Example, width: int, known: PlanChoice | None) -> None:
        """Make the plans, and verify and measure them; or take what is known of them.

        Args:
            layout: of the example rows.
            example: makes them.
            width: of the model's output.
            known: what was measured earlier for the same model on the same machine.
        """
        self._plans = {plan.name: plan for plan in self._possible(layout)}
        run = partial(self._run_example, layout, example, width)
        samples, seconds = self._usual.samples, self._budgets.measuring_seconds
        able = self._able(layout, example)
        self.choice = choose_plans(able, run, samples, seconds, self._pinned.plan, known)
        first = {names[0] for names in self.choice.by_rows.values()}
        for name, plan in self._plans.items():
            if isinstance(plan, Thinned) and name not in first:
                plan.forget()
        bases = {name: plan for name, plan in self._plans.items() if isinstance(plan, Vmap)}
        after = self._budgets.compiling_after_seconds
        self.compiled = Compiled(bases, self._plans[LOOP], self._measured_ranking, after)

    def refused(self, layout: Layout, example: Example, width: int) -> frozenset[str]:
        """Hold the plans against the loop for rows of a shape that was not there at load."""
        names = [name for name in self._able(layout, example) if name in self._measured_ranking(layout, 1)]
        run = partial(self._run_example, layout, example, width)
        refused = differences(names, run, rows=2, samples=2)
        return frozenset(refused | moves(names, run, 2, self._usual.samples)[1])

    def last_layer(self, layout: Layout, example: Example) -> LastLayer | None:
        """Find the last layer, if samples of the loop are as it alone gives them."""
        inputs = example(_HELD_ROWS)
        last = find_last_layer(self._model, inputs, layout.sites)
        if last is None:
            return None
        work = self._usual_work(layout, inputs, _HELD_SAMPLES)
        masks = work.networks.masks[last.site.name]
        samples = self._plans[LOOP].run(work)
        return last if last.gives(samples, masks, self._model, inputs, layout.sites) else None

    def ranking(self, layout: Layout, rows: int) -> tuple[str, ...]:
        """Give the plans for so many rows, the one to try first in front."""
        measured = self._measured_ranking(layout, rows)
        pinned = tuple(name for name in measured if name.removesuffix(LOW) == self._pinned.plan)
        if pinned or not self.compiled:
            return (*pinned, *measured)
        return (self.compiled.name, *measured)

    def sample_row_bytes(self, layout: Layout, ranking: Sequence[str]) -> int:
        """Tell what one row of one more sample adds to the largest tensor of the first plan."""
        return self._plan(next(name for name in ranking if name in self._plans)).sample_row_bytes(layout)

    @torch.inference_mode()
    def run(self, work: Work, ranking: Sequence[str], width: int) -> Tensor:
        """Run work by the first plan that takes it, [samples, rows, width].

        Raises:
            ModelError: no plan takes it, or the model raised or gave outputs of a wrong shape.
        """
        plan = next((plan for plan in map(self._plan, ranking) if plan.takes(work)), None)
        if plan is None:
            raise ModelError(f"no plan of {', '.join(ranking)} takes this request")
        try:
            outputs, seconds = timed(lambda: plan.run(work))
        except Exception as cause:
            raise model_error(cause) from cause
        if self.compiled and plan is not self.compiled and self.compiled.name in ranking:
            self.compiled.note(work, seconds)
        return _shaped(outputs, (len(work.networks.samples), work.rows, width))

    def compile(self, work: Work) -> None:
        """Compile code for such work now.

        Raises:
            ModelError: no code could be made.
        """
        if self.compiled is None:
            raise ModelError("there is nothing to compile")
        self.compiled.compile(work)
        if not self.compiled.takes(work):
            reasons = list(self.compiled.failed.values()) or ["compiled code is no faster"]
            raise ModelError(f"no code was compiled: {reasons[-1]}")

    def _plan(self, name: str) -> Plan:
        return self.compiled if self.compiled and name == self.compiled.name else self._plans[name]

    def _measured_ranking(self, layout: Layout, rows: int) -> tuple[str, ...]:
        ranked = self.choice.ranking(rows) if self.choice else (LOOP,)
        return tuple(name for name in ranked if name not in layout.refused)

    def _possible(self, layout: Layout) -> list[Plan]:
        plans = self._of(self._model, layout)
        if self._pinned.float32 or not has_bfloat16(self._device) or not is_float32(self._model):
            return plans
        try:
            self.low = in_bfloat16(self._model)
        except ModelRefused:  # its weights cannot be replaced everywhere; it runs in its own precision
            return plans
        return plans + self._of(self.low, layout)

    def _of(self, model: StochasticModel, layout: Layout) -> list[Plan]:
        maps_bytes = self._budgets.maps_bytes
        kept = KeptSamples(self._usual.seed, self._usual.samples, self._budgets.cuts_bytes)
        return [
            Loop(model),
            Vmap(model),
            Fold(model),
            Spread(model, maps_bytes),
            Thinned(model, layout, self._masks, kept, maps_bytes),
        ]

    def _able(self, layout: Layout, example: Example) -> list[str]:
        work = self._usual_work(layout, example(1), 1)
        return [name for name, plan in self._plans.items() if plan.takes(work)]

    def _run_example(
        self, layout: Layout, example: Example, width: int, plan: str, rows: int, samples: int
    ) -> Tensor:
        return self.run(self._usual_work(layout, example(rows), samples), (plan,), width)

    def _usual_work(self, layout: Layout, inputs: Inputs, samples: int) -> Work:
        kept = samples if self._masks.worth_keeping(layout.sampled, samples) else 0
        return Work(inputs, layout, drawn(self._masks, layout, self._usual.seed, range(samples), kept))


def _shaped(outputs: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if outputs.shape[:2] != shape[:2] or outputs.numel() != prod(shape):
        raise ModelError(f"the model's samples have shape {list(outputs.shape)} instead of {list(shape)}")
    return outputs.reshape(shape)
