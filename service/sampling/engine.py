"""One model, ready to predict and to be sampled, from any number of threads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor, nn

from service.errors import ModelError, ModelRefused, NoDropout, RequestError
from service.sampling.audit import audit, refuse_random
from service.sampling.comparison import one_output
from service.sampling.discovery import discover
from service.sampling.example import ExampleRows, Shapes
from service.sampling.masks import MaskStore
from service.sampling.planner import PlanChoice, choose_plan
from service.sampling.plans import LOOP, Plan
from service.sampling.signature import called_by_name
from service.sampling.sites import Selection, Site, select
from service.sampling.stochastic import Inputs, Masks, StochasticModel

_KNOWN_SHAPES = 256
_MEASURING_SEED = 0

# Between chunks a request can be given up. A pass of the loop is as long as many samples of another plan.
_LOOP_SAMPLES = 8
_CHUNK_SAMPLES = 256
_MASK_COPIES = 4  # words, booleans, factors, and what they are multiplied with


@dataclass(frozen=True)
class Budgets:
    """What the engine may take.

    Args:
        masks_bytes: masks kept between calls.
        chunk_bytes: the largest tensor of one chunk of samples.
        measuring_seconds: measuring plans at load.
    """

    masks_bytes: int = 64 << 20
    chunk_bytes: int = 64 << 20
    measuring_seconds: float = 4.0


@dataclass(frozen=True)
class Layout:
    """What the engine knows of inputs of one shape.

    Args:
        sites: by name, in the order of the forward pass.
        row_bytes: what one row adds to the largest tensor of a pass.
    """

    sites: Mapping[str, Site]
    row_bytes: int

    @property
    def sampled(self) -> list[Site]:
        """The sites that samples drop at."""
        return [site for site in self.sites.values() if site.sampled]


class Engine:
    """Predictions and samples of one model.

    Args:
        model: with its weights; the engine owns it from now on.
        shapes: of one row, per argument of forward; -1 for any length.
        dtypes: per argument of forward.
        selection: which sites to sample.
        device: where to run.
        budgets: what it may take.
        ranges: of the values of made-up rows, per argument of forward; None for the usual.
        names: of the inputs; passed by name where all are parameters of forward, else by order.
        output: which of the model's outputs, where it gives several.

    Attributes:
        example: makes the rows that the passes at load ran on.
        report: the sites and what the audit noticed.
        width: how many values the model gives for a row.
        plans: what measuring the plans found; None where there is nothing to sample.

    Raises:
        ModelRefused: the model cannot be served correctly.
    """

    def __init__(
        self,
        model: nn.Module,
        shapes: Sequence[Sequence[int]],
        dtypes: Sequence[torch.dtype],
        selection: Selection = "all",
        device: torch.device | str = "cpu",
        budgets: Budgets | None = None,
        ranges: Sequence[tuple[float, float] | None] | None = None,
        names: Sequence[str] = (),
        output: str | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._budgets = budgets or Budgets()
        self._selection = selection
        self.example = ExampleRows(shapes, dtypes, self.device, ranges)
        self._model = StochasticModel(called_by_name(model.to(self.device), names, output))
        self._masks = MaskStore(self._budgets.masks_bytes, self.device)
        self._layout = lru_cache(_KNOWN_SHAPES)(self._discover)
        try:
            self.report = audit(self._model, self.example, selection)
            self.width = self.predict(self.example(1)).shape[1]
            self.plans = self._choose_plan() if self.report.can_sample else None
        except ModelRefused:
            raise
        except Exception as cause:
            error = _model_error(cause)
            words = getattr(error, "detail", "") or str(error)
            rows = f"made-up rows of shape {_words(self.example.shapes)}"
            raise ModelRefused(
                f"the model failed on {rows} (input.shape, input.dtype and input.range say so): {words}"
            ) from cause

    def predict(self, inputs: Inputs) -> Tensor:
        """Run the whole network.

        Args:
            inputs: one tensor per argument of forward, [rows, …].

        Returns:
            [rows, width], on the engine's device.

        Raises:
            ModelError: the model raised, or gave NaN or a wrong shape.
        """
        placed = self._placed(inputs)
        blocks = self._blocks(placed, self._predicted_row_bytes(placed))
        return _checked(torch.cat([self._predicted(block) for block in blocks]))

    def samples(
        self, inputs: Inputs, seed: int, samples: range, plan: Plan | None = None
    ) -> Iterator[Tensor]:
        """Run thinned networks, a chunk of samples at a time.

        Args:
            inputs: one tensor per argument of forward, [rows, …].
            seed: chooses the networks, 0 to 2**64 - 1.
            samples: which ones, a range of step 1; sample t of a seed is the same in every range.
            plan: how to run them; left out, as measured at load.

        Yields:
            [samples in this chunk, rows, width], on the engine's device, in order.

        Raises:
            NoDropout: there is nothing to sample with rows of this shape.
            ModelError: the model raised, or gave NaN or a wrong shape.
        """
        placed = self._placed(inputs)
        layout = self._layout_of(placed)
        blocks = self._blocks(placed, layout.row_bytes)
        block_rows = len(blocks[0][0])
        chosen = plan or self.plan(block_rows)
        step = self._chunk_samples(layout, block_rows, chosen)
        kept_samples = samples.stop if self._masks.worth_keeping(layout.sampled, samples.stop) else 0
        for start in range(samples.start, samples.stop, step):
            chunk = range(start, min(start + step, samples.stop))
            masks = self._drawn(layout, seed, chunk, kept_samples)
            yield _checked(
                torch.cat([self._sampled(block, layout, masks, chosen) for block in blocks], dim=1)
            )

    def plan(self, rows: int) -> Plan:
        """Give the plan that samples so many rows."""
        return self.plans.plan(rows) if self.plans else LOOP

    def _chunk_samples(self, layout: Layout, rows: int, plan: Plan) -> int:
        """How many samples fit the budget, both what rows and what masks take, and are soon done."""
        masks_bytes = _MASK_COPIES * sum(site.mask_bytes for site in layout.sampled)
        fit = self._budgets.chunk_bytes // max(rows * layout.row_bytes, masks_bytes)
        return max(1, min(fit, _LOOP_SAMPLES if plan is LOOP else _CHUNK_SAMPLES))

    def _blocks(self, inputs: Inputs, row_bytes: int) -> list[Inputs]:
        """Cut rows so that one pass of a block fits the budget."""
        rows = max(1, self._budgets.chunk_bytes // row_bytes)
        return list(zip(*(tensor.split(rows) for tensor in inputs), strict=True))

    def _predicted_row_bytes(self, inputs: Inputs) -> int:
        """Estimate what a row takes from what a made-up one took: nothing need be run to find out."""
        made_up, given = (
            sum(prod(shape) for shape in shapes) for shapes in (self.example.shapes, _row_shapes(inputs))
        )
        return max(1, self._layout(self.example.shapes).row_bytes * given // max(1, made_up))

    def _layout_of(self, inputs: Inputs) -> Layout:
        """Look at rows of a shape for the first time, or remember it."""
        try:
            layout = self._layout(_row_shapes(inputs))
        except Exception as cause:
            raise _model_error(cause) from cause
        if not layout.sampled:
            raise NoDropout(
                f"with rows of shape {_words(_row_shapes(inputs))} the model has nothing to sample"
            )
        return layout

    @torch.inference_mode()
    def _predicted(self, inputs: Inputs) -> Tensor:
        try:
            return one_output(self._model.predict(inputs), len(inputs[0]))
        except Exception as cause:
            raise _model_error(cause) from cause

    def _drawn(self, layout: Layout, seed: int, samples: range, kept_samples: int) -> Masks:
        return {site.name: self._masks.factors(seed, site, samples, kept_samples) for site in layout.sampled}

    @torch.inference_mode()
    def _sampled(self, inputs: Inputs, layout: Layout, masks: Masks, plan: Plan) -> Tensor:
        samples, rows = len(next(iter(masks.values()))), len(inputs[0])
        try:
            outputs = plan.run(self._model, inputs, layout.sites, masks)
        except Exception as cause:
            raise _model_error(cause) from cause
        if outputs.shape[:2] != (samples, rows) or outputs.numel() != samples * rows * self.width:
            expected = [samples, rows, self.width]
            raise ModelError(f"the model's samples have shape {list(outputs.shape)} instead of {expected}")
        return outputs.reshape(samples, rows, self.width)

    def _discover(self, shapes: Shapes) -> Layout:
        found = discover(self._model, lambda rows: self.example(rows, shapes))
        refuse_random(found.random)
        sites = select(found.sites, self._selection)
        return Layout({site.name: site for site in sites}, found.row_bytes)

    def _choose_plan(self) -> PlanChoice:
        layout = self._layout(self.example.shapes)

        def run(plan: Plan, rows: int, samples: int) -> Tensor:
            masks = self._drawn(layout, _MEASURING_SEED, range(samples), samples)
            outputs = self._sampled(self.example(rows), layout, masks, plan)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # or only the start of the work would be timed
            return outputs

        return choose_plan(run, self._budgets.measuring_seconds)

    def _placed(self, inputs: Inputs) -> Inputs:
        return tuple(tensor.to(self.device) for tensor in inputs)


def _row_shapes(inputs: Inputs) -> Shapes:
    return tuple(tuple(tensor.shape[1:]) for tensor in inputs)


def _words(shapes: Shapes) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)


def _checked(outputs: Tensor) -> Tensor:
    """Refuse NaN in [..., rows, width]: it would pass as a number until it meets a JSON answer."""
    nan = outputs.isnan()
    if nan.any():
        row = int(nan.any(-1).reshape(-1, outputs.shape[-2]).any(0).nonzero()[0])
        raise ModelError("the model gave NaN", row=row)
    return outputs


def _model_error(cause: Exception) -> RequestError:
    if isinstance(cause, RequestError):
        return cause
    if isinstance(cause, ModelRefused):
        return ModelError("the model cannot be run with rows of this shape", str(cause))
    text = str(cause).strip()
    detail = f"{type(cause).__name__}: {text.splitlines()[0]}" if text else type(cause).__name__
    return ModelError(f"the model raised {type(cause).__name__}", detail)
