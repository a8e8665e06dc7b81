"""Finding the sites of a model by running it.

Two passes with different numbers of rows tell which dimension of each site's input holds the rows: the one
that grew. Where it grew by more than one for a row, rows are folded into it with something else, and a pass
in which one row is another tells how; or, where that changes too little there, passes in which entries are
others, by the rows whose outputs change. All rows share a mask, so it holds the parts of one row there.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from service.errors import ModelRefused
from service.sampling.flow import Flow
from service.sampling.interception import DropoutCall
from service.sampling.kinds import BERNOULLI, UNIFORM, Shape
from service.sampling.observation import PassObserver, RandomOperation
from service.sampling.sites import RowDimension, Site
from service.sampling.stochastic import Inputs, StochasticModel
from service.sampling.thresholds import ThresholdWatch

_ROUNDING = 1e-6
_ENDS = (0.0, 1 - 2**-20)  # of draws from 0 to 1: whatever the rate, one of them changes what is made of 0.5

Example = Callable[[int], Inputs]  # a number of rows → inputs with so many rows


@dataclass(frozen=True)
class Discovery:
    """What passes in which nothing was dropped have shown, for inputs of one shape.

    Args:
        sites: in the order of the forward pass; nothing selected yet.
        output: of the dropping tree on two rows, with nothing dropped.
        random: random operations that no dropout function asked for.
        unfollowed: what is to be said of masks, where the pass does something else than eval mode does.
        growth: what one row adds to each tensor of a pass, in bytes, in the order they were made.
        made_before: how many tensors were made before a site, by its name.
    """

    sites: tuple[Site, ...]
    output: Any
    random: tuple[RandomOperation, ...]
    unfollowed: tuple[ModelRefused, ...]
    growth: tuple[int, ...]
    made_before: Mapping[str, int]

    def row_bytes(self, after: str | None = None) -> int:
        """Tell what one row adds to the largest tensor, of all or of those made after a site; at least 1."""
        return max((1, *self.growth[self.made_before[after] if after else 0 :]))


@dataclass(frozen=True)
class _SeenCall:
    call: DropoutCall
    shape: Shape
    flops_before: int
    made_before: int


@dataclass(frozen=True)
class _Walk:
    """One pass: its dropout calls, what was seen from below, what became of draws, and its output."""

    calls: list[_SeenCall]
    observer: PassObserver
    watch: ThresholdWatch
    output: Any


@torch.no_grad()
def discover(model: StochasticModel, example: Example, flow: Flow | None = None) -> Discovery:
    """Run the dropping tree on 2 and on 3 rows, and compare what its dropout calls met.

    Args:
        model: whose sites are found.
        example: makes rows.
        flow: records the first pass, where it is given.

    Raises:
        ModelRefused: the calls differ between the passes, or the rows cannot be told apart.
    """
    two, three = _walk(model, example(2), flow), _walk(model, example(3))
    if [seen.call.name for seen in two.calls] != [seen.call.name for seen in three.calls]:
        raise ModelRefused(
            "which dropout layers run differs from pass to pass, by the number of rows or by something "
            "that the model remembers or draws unseen; such a model has no sites"
        )
    names = [seen.call.name for seen in two.calls]
    if len(set(names)) < len(names):
        raise ModelRefused(
            f"two dropout calls have one name: {', '.join(names)}; rename a module with a colon"
        )
    finder = _RowFinder(model, example)
    sites = tuple(
        _site(seen, finder.find(seen, other), 1 - seen.flops_before / max(1, two.observer.flops))
        for seen, other in zip(two.calls, three.calls, strict=True)
    )
    for site in dict.fromkeys(two.watch.decisions):
        _check_turned(two.calls, _walk(model, example(2), turned=(site,)).calls, site)
    made = zip(two.observer.made_bytes, three.observer.made_bytes, strict=False)
    return Discovery(
        sites=tuple(
            replace(
                _rated(site, two.watch.rates, three.watch.rates), decides=site.name in two.watch.decisions
            )
            for site in sites
        ),
        output=two.output,
        random=tuple(two.observer.random),
        unfollowed=tuple(two.watch.unfollowed),
        # Tensor by tensor: a transposed weight is large, but no row makes it larger.
        growth=tuple(more - less for less, more in made),
        made_before={seen.call.name: seen.made_before for seen in two.calls},
    )


def _check_turned(calls: Sequence[_SeenCall], turned: Sequence[_SeenCall], site: str) -> None:
    """Refuse a model that has other sites where it decides otherwise at a site."""
    usual = {seen.call.name: _what(seen) for seen in calls}
    other = [seen.call.name for seen in turned if usual.get(seen.call.name) != _what(seen)]
    if other:
        raise ModelRefused(
            f"what runs is decided by the numbers drawn at {site}, and decided otherwise there is other "
            f"dropout at {', '.join(other)}: it cannot be sampled; put what may be left out, with its "
            "dropout, into a module of its own"
        )


def _what(seen: _SeenCall) -> tuple[object, ...]:
    kind, rate = seen.call.kind, seen.call.arguments.rate
    return kind.name, rate, kind.mask_shape(seen.shape)


def _walk(
    model: StochasticModel, inputs: Inputs, flow: Flow | None = None, turned: Sequence[str] = ()
) -> _Walk:
    seen: list[_SeenCall] = []
    observer, watch = PassObserver(model.paths, flow), ThresholdWatch(turned)

    def record(call: DropoutCall) -> Tensor:
        shape, made = tuple(call.arguments.values.shape), len(observer.made_bytes)
        seen.append(_SeenCall(call, shape, observer.flops, made))
        kept = call.keep_all()
        if call.kind.uniform:
            watch.follow(call.name, kept)
        elif call.kind.draws:
            watch.follow_mask(call.name, kept, 1 - call.arguments.rate)
        given = flow.dropped(call, kept) if flow else kept
        if given is kept:  # else it was seen when it was made
            observer.made_bytes.append(kept.nbytes)  # nothing is dropped here, and a sample makes this much
        return given

    with observer, watch, flow or nullcontext():
        if flow:
            flow.begin(inputs)
        output = model.intercepted(inputs, record)
    if flow:
        flow.end(output)
    return _Walk(seen, observer, watch, output)


def _site(seen: _SeenCall, rows: RowDimension | None, share_of_cost: float) -> Site:
    call = seen.call
    mask_shape = list(call.kind.mask_shape(seen.shape))
    if rows is not None and mask_shape[rows.index] > 1:
        mask_shape[rows.index] = rows.parts
    return Site(
        name=call.name,
        path=call.path,
        kind=call.kind.name,
        rate=call.arguments.rate,
        mask_shape=tuple(mask_shape),
        kept_scale=call.kind.kept_scale(call.arguments.rate),
        share_of_cost=share_of_cost,
        rows=rows,
    )


def _rated(site: Site, two: Mapping[str, Tensor], three: Mapping[str, Tensor]) -> Site:
    """Give a site of uniform draws its rate, on average over its units, as passes of 2 and 3 rows show it."""
    if site.kind == BERNOULLI.name and site.name in two:
        rate = two[site.name]
        inverted = rate.min() == rate.max() and abs(rate.max().item() - (1 - site.rate)) < _ROUNDING
        return replace(site, rate=1 - site.rate, drawn_rate=site.rate) if inverted else site
    if site.kind != UNIFORM.name:
        return site
    if site.name not in two or site.name not in three:
        raise ModelRefused(
            f"what becomes of the uniform numbers drawn at {site.name} is not seen: no function of torch "
            "compares them with a rate"
        )
    rate = two[site.name]
    if not _same_for_all_rows(site.rows, rate, three[site.name]):
        raise ModelRefused(
            f"the probability of the mask drawn at {site.name} depends on the row, so it is no dropout: "
            "dropout has one for all rows"
        )
    return replace(site, rate=rate.mean().item())


def _same_for_all_rows(rows: RowDimension | None, two: Tensor, three: Tensor) -> bool:
    if two.min() == two.max() == three.min() == three.max():
        return True
    if rows is not None and two.dim() > rows.index and two.shape[rows.index] != three.shape[rows.index]:
        apart = torch.cat([_rows_first(rows, rates) for rates in (two, three)])
        return bool((apart == apart[0]).all())
    return two.shape == three.shape and torch.equal(two, three)


def _rows_first(rows: RowDimension, values: Tensor) -> Tensor:
    return rows.unfolded(values).movedim(rows.index + 1, 0)


class _RowFinder:
    """Tells where the inputs of dropout calls hold the rows.

    Args:
        model: is run again where the shapes do not tell.
        example: makes rows.
    """

    def __init__(self, model: StochasticModel, example: Example) -> None:
        self._model = model
        self._example = example

    def find(self, two: _SeenCall, three: _SeenCall) -> RowDimension | None:
        """Compare what one call met in passes of two and of three rows: the rows are where it grew."""
        name = two.call.name
        sizes = list(zip(two.shape, three.shape, strict=False))
        grown = [index for index, (less, more) in enumerate(sizes) if less != more]
        if len(two.shape) != len(three.shape) or len(grown) > 1:
            raise ModelRefused(
                f"dropout at {name}: its input has no one dimension of rows: {two.shape}, {three.shape}"
            )
        if not grown:
            return None
        (index,) = grown
        parts, rest = divmod(two.shape[index], 2)
        if rest or three.shape[index] != 3 * parts:
            raise ModelRefused(
                f"dropout at {name}: dimension {index} does not grow by rows: {two.shape}, {three.shape}"
            )
        return RowDimension(index, parts, self._places(name, index, parts))

    def _places(self, name: str, index: int, parts: int) -> int:
        """Tell in how many places of the folded dimension a row's entries lie."""
        ways = [RowDimension(index, parts, outer) for outer in range(1, parts + 1) if parts % outer == 0]
        if len(ways) > 1:
            changed = self._changed_entries(name, index)
            ways = [way for way in ways if changed <= way.entries(1, 3)]
        if len(ways) > 1:
            # What comes in says too little, as where a mask is drawn or a sequence attends to one token.
            ways = [way for way in ways if self._rows_touched(name, way) == {1}]
        if len(ways) != 1:
            raise ModelRefused(
                f"dropout at {name}: rows are folded into dimension {index} of its input, and it does not "
                "show which entries are whose; keep rows in a dimension of their own"
            )
        return ways[0].outer

    def _changed_entries(self, name: str, index: int) -> set[int]:
        """Change the second of three rows, and see which entries of the folded dimension change."""
        rows = self._example(3)
        others = tuple(tensor.clone() for tensor in rows)
        for tensor, other in zip(others, _other_rows(self._example), strict=True):
            tensor[1] = other
        first, second = (self._met(name, inputs) for inputs in (rows, others))
        return _differing(first.movedim(index, 0), second.movedim(index, 0))

    def _met(self, name: str, inputs: Inputs) -> Tensor:
        met: list[Tensor] = []

        def record(call: DropoutCall) -> Tensor:
            if call.name == name:
                values = call.arguments.values
                # What a draw is written over is nobody's: memory as it was found.
                met.append(torch.zeros_like(values) if call.kind.draws else values.clone())
            return call.keep_all()

        self._model.intercepted(inputs, record)
        return met[0]

    def _rows_touched(self, name: str, way: RowDimension) -> set[int]:
        """Change what would be the second row's entries of three, and see which rows' outputs change."""
        entries = torch.tensor(sorted(way.entries(1, 3)))

        def passed(end: float | None) -> list[Tensor]:
            def answer(call: DropoutCall) -> Tensor:
                kept = call.keep_all()
                if call.name != name or end is None:
                    return kept
                others = torch.full_like(kept, end)
                if not call.kind.draws:  # no constant, which a norm would not see
                    others += torch.arange(kept.numel(), device=kept.device).view(kept.shape).sin()
                at = entries.to(kept.device)
                return kept.index_copy(way.index, at, others.index_select(way.index, at))

            made = tree_leaves(self._model.intercepted(self._example(3), answer))
            return [leaf for leaf in made if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == 3]

        usual = passed(None)
        others = [passed(end) for end in _ENDS]
        return {
            row for other in others for pair in zip(usual, other, strict=True) for row in _differing(*pair)
        }


def _differing(first: Tensor, second: Tensor) -> set[int]:
    """Give the entries of the first dimension in which two tensors differ."""
    differs = (first != second) & ~(first.isnan() & second.isnan())
    return set(differs.reshape(len(first), -1).any(1).nonzero().flatten().tolist())


def _other_rows(example: Example) -> Inputs:
    """Rows of an example of its own, for the place of others."""
    return tuple(tensor[-1] for tensor in example(5))
