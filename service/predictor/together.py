"""Rows of several requests, sampled together: one pass of the networks, and each request its own numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from service.errors import ModelError
from service.predictor.answers import Sampled
from service.predictor.rows import Inputs, parted
from service.predictor.sampled_rows import SampledRows
from service.uncertainty.sequential import Rounds


@dataclass(frozen=True)
class Draw:
    """Which samples to run, and what to keep of them.

    Args:
        rounds: how many.
        threshold: which a row's score is held against.
        outputs: whether to keep every sample's output.
        quantiles: whether to compute quantiles over the samples.
    """

    rounds: Rounds
    threshold: float
    outputs: bool = False
    quantiles: bool = False


@dataclass(frozen=True)
class Asked:
    """Rows of one request, all of one shape.

    Args:
        inputs: one tensor per input, [rows, …].
        draw: which samples.
    """

    inputs: Inputs
    draw: Draw

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.inputs[0])


class Strand:
    """Requests that take samples in the same rounds.

    Args:
        numbers: of the requests among all that run together.
        asked: by these requests.
        made: makes rows of their inputs and thresholds.
    """

    def __init__(self, numbers: Sequence[int], asked: Sequence[Asked], made: "MakeRows") -> None:
        draws = [one.draw for one in asked]
        self.numbers = numbers
        self._inputs = joined([one.inputs for one in asked])
        self.rows = made(
            self._inputs,
            np.repeat([draw.threshold for draw in draws], [one.rows for one in asked]),
            draws[0].rounds,
            outputs=any(draw.outputs for draw in draws),
            quantiles=any(draw.quantiles for draw in draws),
        )
        self._asked = asked
        self._spans = iter(self.rows.rounds.spans)
        self._span = next(self._spans)

    @property
    def pending(self) -> bool:
        """Whether any row takes more samples."""
        return len(self.rows.pending) > 0

    @property
    def end(self) -> int:
        """Where the round ends that it is in."""
        return self._span[1]

    @property
    def inputs(self) -> Inputs:
        """Of the rows that take more samples."""
        whole = len(self.rows.pending) == len(self._inputs[0])
        return self._inputs if whole else tuple(tensor[self.rows.pending] for tensor in self._inputs)

    def end_round(self) -> None:
        """Let go the rows that are settled."""
        self.rows.end_round(*self._span)
        self._span = next(self._spans, self._span)

    def answers(self) -> Iterator[tuple[int, Sampled]]:
        """Give each request's number and what its samples gave."""
        parts = parted(self.rows.sampled(), [one.rows for one in self._asked])
        for number, asked, part in zip(self.numbers, self._asked, parts, strict=True):
            yield number, _without_others(part, asked.draw)


def _without_others(part: Sampled, draw: Draw) -> Sampled:
    """Leave out what only other requests asked for."""
    if part.outputs is not None and not draw.outputs:
        part = replace(part, outputs=None)
    if part.quantiles is not None and not draw.quantiles:
        part = replace(part, quantiles=None)
    return part


MakeRows = Callable[..., SampledRows]
RunSamples = Callable[[Inputs, range], Iterator[Tensor]]


def sample_together(
    asked: Sequence[Asked], run: RunSamples, made: MakeRows, shown: Callable[[Tensor], Tensor]
) -> list[Sampled]:
    """Sample rows of several requests with the same networks.

    Sample t of a request is the same beside others as alone: a request of 20 samples takes the first 20 of
    one of 50.

    Args:
        asked: by each request; all rows of one shape.
        run: gives samples of a range of some rows, a chunk at a time.
        made: makes rows that take samples.
        shown: turns outputs into what an answer shows of them.

    Returns:
        What the samples gave, for each request.
    """
    strands = _strands(asked, made)
    start = 0
    while active := [strand for strand in strands if strand.pending]:
        end = min(strand.end for strand in active)
        sizes = [len(strand.rows.pending) for strand in active]
        try:
            for outputs in run(joined([strand.inputs for strand in active]), range(start, end)):
                for strand, part in zip(active, torch.split(outputs, sizes, dim=1), strict=True):
                    strand.rows.update(part, shown)
        except ModelError as cause:
            # Of several requests nobody is told of a row: each is tried alone.
            raise cause.renumbered(active[0].rows.pending.tolist()) if len(asked) == 1 else cause from cause
        for strand in active:
            if strand.end == end:
                strand.end_round()
        start = end
    answers = dict(answer for strand in strands for answer in strand.answers())
    return [answers[number] for number in range(len(asked))]


def joined(inputs: Sequence[Inputs]) -> Inputs:
    """Put the rows of several requests one after another."""
    return inputs[0] if len(inputs) == 1 else tuple(torch.cat(parts) for parts in zip(*inputs, strict=True))


def _strands(asked: Sequence[Asked], made: MakeRows) -> list[Strand]:
    numbers: dict[Any, list[int]] = {}
    for number, one in enumerate(asked):
        numbers.setdefault(one.draw.rounds, []).append(number)
    return [Strand(those, [asked[number] for number in those], made) for those in numbers.values()]
