"""One model, ready to predict and to be sampled, from any number of threads."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from math import prod

import torch
from torch import Tensor, nn

from service.errors import InvalidInput, ModelError, ModelRefused, NoDropout, OutOfMemory, words_of
from service.sampling.audit import audit, refuse_random
from service.sampling.comparison import agree, one_output
from service.sampling.compiled import Key
from service.sampling.discovery import discover
from service.sampling.example import ExampleRows, Shapes
from service.sampling.executor import Budgets, Executor, Pinned, Usual
from service.sampling.layout import Layout, Work, drawn
from service.sampling.masks import MaskStore
from service.sampling.names import LOOP
from service.sampling.planner import PlanChoice
from service.sampling.raised import model_error
from service.sampling.shortcuts import find_shortcuts
from service.sampling.signature import Calling
from service.sampling.sites import Selection, select
from service.sampling.state import ModelState
from service.sampling.stochastic import Inputs, StochasticModel
from service.shared_settings import changed_by_one_that_loads, restore, shared_settings

_LOG = logging.getLogger("unsure")

_KNOWN_SHAPES = 256
_LOOKS = frozenset(1 << power for power in range(3, 10))
_LOOK_EVERY = 1024  # passes: 0.5 % of the time
_FIRST_ROWS = 5
_NOTICED = 5  # times what tells two runs of one model apart: a model is not given up for rounding

# Between chunks a request can be given up, and one is what memory grows with: 5000 samples take what 64 do.
# A pass of the loop is as long as many samples of another plan.
_LOOP_SAMPLES = 8
_CHUNK_SAMPLES = 64
_MASK_COPIES = 4  # words, booleans, factors, and what they are multiplied with


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
        usual: the seed and the number of samples of most requests.
        pinned: what is not left to measuring.
        known: what measuring found earlier, for the same model on the same machine.
        names: of the inputs; passed by name where all are parameters of forward, else by order.
        output: which of the model's outputs, where it gives several.
        per_token: whether outputs are of each token, [rows, tokens, width], as long as the first input is.

    Attributes:
        example: makes the rows that the passes at load ran on.
        report: the sites and what the audit noticed.
        width: how many values the model gives for a row, or for each of its tokens.
        spoilt: why it answers no more, once a pass has changed it; None while it is as it was loaded.

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
        usual: Usual | None = None,
        pinned: Pinned | None = None,
        known: PlanChoice | None = None,
        names: Sequence[str] = (),
        output: str | None = None,
        *,
        per_token: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self._budgets = budgets or Budgets()
        self._selection = selection
        self.example = ExampleRows(shapes, dtypes, self.device, ranges)
        self._per_token = per_token
        try:
            calling = Calling(model, names, output, per_token=per_token)
            self._model = StochasticModel(model.to(self.device), calling)
        except ModelRefused:
            raise
        except Exception as cause:
            raise ModelRefused(f"the model cannot be made ready to run: {words_of(cause)}") from cause
        self._masks = MaskStore(self._budgets.masks_bytes, self.device)
        self._executor = Executor(
            self._model, self._masks, self.device, self._budgets, usual or Usual(), pinned or Pinned()
        )
        self._layout = lru_cache(_KNOWN_SHAPES)(self._discover)
        self._state: ModelState | None = None
        self._runs = 0
        self.spoilt: str | None = None
        try:
            tokens = self._tokens(self.example.shapes)
            self.report = audit(self._model, self.example, selection, tokens)
            first = self._first_answers()
            self.width, self._dtype = first[0].shape[1] // tokens, first[0].dtype
            if self.report.can_sample:
                layout = self._layout(self.example.shapes)
                self._executor.choose(layout, self.example, tokens * self.width, known)
            self._first, self._state = first, self._noted()
        except ModelRefused:
            raise
        except Exception as cause:
            error = model_error(cause)
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
            [rows, width], on the engine's device; of tokens [rows, tokens · width].

        Raises:
            ModelError: the model raised, or gave NaN or a wrong shape.
        """
        placed = self._placed(inputs)
        blocks = self._blocks(placed, self._predicted_row_bytes(placed))
        width = self._tokens(_row_shapes(placed)) * self.width
        while True:
            try:
                with self._unchanged():
                    return _checked(torch.cat([self._predicted(block, width) for block in blocks]))
            except OutOfMemory as error:
                _, blocks = _smaller(1, blocks, error)

    def samples(self, inputs: Inputs, seed: int, samples: range, plan: str | None = None) -> Iterator[Tensor]:
        """Run thinned networks, a chunk of samples at a time.

        Args:
            inputs: one tensor per argument of forward, [rows, …].
            seed: chooses the networks, 0 to 2**64 - 1.
            samples: which ones, a range of step 1; sample t of a seed is the same in every range.
            plan: how to run them; left out, as measured at load.

        Yields:
            [samples in this chunk, rows, width], on the engine's device, in order; of tokens
            [samples, rows, tokens · width].

        Raises:
            NoDropout: there is nothing to sample with rows of this shape.
            ModelError: the model raised, or gave NaN or a wrong shape.
        """
        placed = self._placed(inputs)
        layout = self._layout_of(placed)
        blocks = self._blocks(placed, layout.row_bytes)
        ranking = (plan,) if plan else self._executor.ranking(layout, len(blocks[0][0]))
        step = self._chunk_samples(layout, len(blocks[0][0]), ranking)
        kept_samples = samples.stop if self._masks.worth_keeping(layout.sampled, samples.stop) else 0
        width = self._tokens(_row_shapes(placed)) * self.width
        start = samples.start
        while start < samples.stop:
            chunk = range(start, min(start + step, samples.stop))
            try:
                networks = drawn(self._masks, layout, seed, chunk, kept_samples)
                works = (Work(block, layout, networks) for block in blocks)
                with self._unchanged():
                    outputs = [self._executor.run(work, ranking, width) for work in works]
            except OutOfMemory as error:
                step, blocks = _smaller(step, blocks, error)
                continue
            yield _checked(torch.cat(outputs, dim=1))
            start = chunk.stop

    def moments(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Give mean and variance over all thinned networks, in closed form: where `exact` says so.

        Args:
            inputs: one tensor per argument of forward, [rows, …].

        Returns:
            Each [rows, width], float64, on the engine's device.

        Raises:
            NoDropout: there is nothing to sample with rows of this shape.
            InvalidInput: with rows of this shape there is no closed form.
            ModelError: the model raised, or gave NaN or a wrong shape.
        """
        placed = self._placed(inputs)
        layout = self._layout_of(placed)
        blocks = self._blocks(placed, layout.row_bytes)
        with self._unchanged():
            means, variances = zip(*(self._moments(block, layout) for block in blocks), strict=True)
        return _checked(torch.cat(means)), _checked(torch.cat(variances))

    def compile(self, inputs: Inputs, seed: int, samples: int) -> None:
        """Compile code for requests of this shape now, and not when enough of them have run.

        Raises:
            ModelError: no code could be made; the text says why.
        """
        placed = self._placed(inputs)
        layout = self._layout_of(placed)
        ranking = self._executor.ranking(layout, len(placed[0]))
        chunk = range(min(samples, self._chunk_samples(layout, len(placed[0]), ranking)))
        self._executor.compile(Work(placed, layout, drawn(self._masks, layout, seed, chunk, 0)))

    @property
    def plans(self) -> PlanChoice | None:
        """What measuring the plans found; None where there is nothing to sample."""
        return self._executor.choice

    @property
    def exact(self) -> bool:
        """Whether mean and variance over all thinned networks have a closed form."""
        return self.report.can_sample and self._layout(self.example.shapes).last_layer is not None

    @property
    def parameters(self) -> int:
        """How many numbers the model has learned."""
        return sum(held.numel() for held in self._model.predicting.parameters())

    @property
    def compiled(self) -> Mapping[Key, float]:
        """What there is compiled code for, and its time as a share of that of the plan it stands for."""
        return self._executor.compiled.ratios if self._executor.compiled else {}

    def plan(self, rows: int) -> str:
        """Give the plan that measuring found fastest for so many rows."""
        return self.plans.ranking(rows)[0] if self.plans else LOOP

    def _chunk_samples(self, layout: Layout, rows: int, ranking: Sequence[str]) -> int:
        """How many samples fit the budget, both what rows and what masks take, and are soon done."""
        masks_bytes = _MASK_COPIES * sum(site.mask_bytes for site in layout.sampled)
        sample_bytes = rows * self._executor.sample_row_bytes(layout, ranking)
        fit = self._budgets.chunk_bytes // max(sample_bytes, masks_bytes)
        return max(1, min(fit, _LOOP_SAMPLES if ranking[0] == LOOP else _CHUNK_SAMPLES))

    def _blocks(self, inputs: Inputs, row_bytes: int) -> list[Inputs]:
        """Cut rows so that one pass of a block fits the budget."""
        rows = max(1, self._budgets.chunk_bytes // row_bytes)
        return _split(inputs, rows)

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
            raise model_error(cause) from cause
        if not layout.sampled:
            raise NoDropout(
                f"with rows of shape {_words(_row_shapes(inputs))} the model has nothing to sample"
            )
        return layout

    @torch.inference_mode()
    def _predicted(self, inputs: Inputs, width: int) -> Tensor:
        try:
            output = one_output(self._model.predict(inputs), len(inputs[0]))
        except Exception as cause:
            raise model_error(cause) from cause
        if output.shape[1] != width:
            raise ModelError(f"the model gave {output.shape[1]} values for a row instead of {width}")
        if output.dtype != self._dtype:
            raise ModelError(f"the model gave {output.dtype}, and {self._dtype} when it was loaded")
        return output

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Hold what runs to leaving the model as it was loaded; once it is another, nothing runs any more.

        Raises:
            ModelError: it is another, or has set what all models share, which is as before.
        """
        if self.spoilt:
            raise ModelError(self.spoilt)
        before = shared_settings()
        try:
            yield
        finally:
            # One that is loaded meanwhile sets them for a moment: no other model is to blame for that.
            if before != shared_settings() and not changed_by_one_that_loads():
                raise ModelError(f"the model sets what all models share: {', '.join(restore(before))}")
            self._check_unchanged()

    def _check_unchanged(self) -> None:
        if self._state is None:  # while it is loaded
            return
        changed, transient = self._state.changed()
        self._runs += 1
        look = self._runs in _LOOKS or self._runs % _LOOK_EVERY == 0
        # A cache may grow with longer rows, and a model may count: whether its answers are the same decides.
        if (transient or look) and not changed and not self._answers_as_at_load():
            changed = transient or ["its answers to the rows made up at load"]
        if transient:
            self._state = self._noted()
        if changed:
            self.spoilt = (
                f"the model changed while it ran ({', '.join(changed)}), so that its answers would be others "
                "from now on; it answers no more until it is loaded again"
            )
            _LOG.error("%s", self.spoilt)
            raise ModelError(self.spoilt)

    @torch.inference_mode()
    def _first_answers(self) -> tuple[Tensor, Tensor]:
        """Give outputs of example rows in eval mode, and in training mode with nothing dropped."""
        rows = self.example(_FIRST_ROWS)
        whole = one_output(self._model.predict(rows), _FIRST_ROWS)
        undropped = self._model.intercepted(rows, lambda call: call.keep_all())
        return whole, one_output(undropped, _FIRST_ROWS)

    def _answers_as_at_load(self) -> bool:
        try:
            pairs = list(zip(self._first, self._first_answers(), strict=True))
        except Exception as cause:
            raise model_error(cause) from cause
        return all(agree(one, other, _NOTICED * one.std(0)) for one, other in pairs)

    def _noted(self) -> ModelState:
        low = {"bfloat16 ": self._executor.low.dropping} if self._executor.low else {}
        trees = {"": self._model.predicting, "sampling ": self._model.dropping}
        # What a pass makes anew, the audit has held to be the same each time. A batched pass may have left
        # tensors behind that are none any more: the first pass replaces them.
        self._first_answers()
        before = ModelState(trees)
        self._first_answers()
        return ModelState(trees | low, renewed=before.replaced())

    @torch.inference_mode()
    def _moments(self, inputs: Inputs, layout: Layout) -> tuple[Tensor, Tensor]:
        if layout.last_layer is None:
            shapes = _words(_row_shapes(inputs))
            raise InvalidInput(f"with rows of shape {shapes} there is no closed form; ask for samples")
        try:
            return layout.last_layer.moments(self._model, inputs, layout.sites)
        except Exception as cause:
            raise model_error(cause) from cause

    def _discover(self, shapes: Shapes) -> Layout:
        def example(rows: int) -> Inputs:
            return self.example(rows, shapes)

        found = discover(self._model, example)
        refuse_random(self._model, found.random)
        sites = {site.name: site for site in select(found.sites, self._selection)}
        first = next((name for name, site in sites.items() if site.sampled), None)
        shortcuts = find_shortcuts(self._model, example(2), sites)
        layout = Layout(sites, found.row_bytes(), found.row_bytes(after=first), shortcuts)
        if first is None:
            return layout
        layout = replace(layout, last_layer=self._executor.last_layer(layout, example))
        if self.plans is None:
            return layout
        width = self._tokens(shapes) * self.width
        return replace(layout, refused=self._executor.refused(layout, example, width))

    def _tokens(self, shapes: Shapes) -> int:
        """How many times a row has the model's values."""
        return shapes[0][0] if self._per_token else 1

    def _placed(self, inputs: Inputs) -> Inputs:
        return tuple(tensor.to(self.device) for tensor in inputs)


def _smaller(step: int, blocks: Sequence[Inputs], error: OutOfMemory) -> tuple[int, list[Inputs]]:
    """Take half the samples at a time, or for one sample half the rows; for one row, give up.

    The answer stays the same: masks depend on neither.
    """
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    rows = len(blocks[0][0])
    if step > 1:
        return step // 2, list(blocks)
    if rows == 1:
        raise error
    return 1, [half for block in blocks for half in _split(block, (rows + 1) // 2)]


def _split(inputs: Inputs, rows: int) -> list[Inputs]:
    return list(zip(*(tensor.split(rows) for tensor in inputs), strict=True))


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
