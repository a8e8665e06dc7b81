"""Functions of torch that drop somewhere inside, taken apart so that the inside can be seen.

While a function mode handles a call it is off, so what happens within one of these would pass it by.
Attention is written out here by its definition and a recurrent net layer by layer, with the dropout as a call
of its own; what torch itself writes in Python is run again as it stands, with the mode on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from service.sampling.recurrent import BATCHED, is_padded

Drop = Callable[[Tensor, float], Tensor]  # values, rate → values with dropout


def attention(
    drop: Drop,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute softmax(q·kᵀ·scale + mask), drop, ·v: `F.scaled_dot_product_attention` by its definition.

    Args:
        drop: the dropout of the attention weights, [rows, …, heads, length, other length].
        query: [rows, …, heads, length, width].
        key: [rows, …, heads, other length, width].
        value: [rows, …, heads, other length, other width].
        attn_mask: boolean, True may attend, or added to the scores; broadcasts over the weights.
        dropout_p: the rate.
        is_causal: each position attends to itself and those before it.
        scale: of the scores; 1/√width if left out.
        enable_gqa: several heads of the query share one of key and value.

    Returns:
        [rows, …, heads, length, other width].
    """
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (tensor.repeat_interleave(groups, -3) for tensor in (key, value))
    scores = query @ key.transpose(-2, -1) * (1 / sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        added = attn_mask.dtype != torch.bool
        scores = scores + attn_mask if added else scores.masked_fill(~attn_mask, -torch.inf)
    # A position that may attend to nothing gets zeros, as in torch, and not the NaN of an empty softmax.
    nowhere = (scores == -torch.inf).all(-1, keepdim=True)
    return drop(scores.softmax(-1).masked_fill(nowhere, 0.0), dropout_p) @ value


def layers(
    function: Callable[..., tuple[Tensor, ...]],
    drop: Drop,
    values: Tensor,
    states: Tensor | Sequence[Tensor],
    weights: Sequence[Tensor],
    biased: bool,
    layers: int,
    dropout: float,
    _train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """Run a recurrent function of torch a layer at a time, with the dropout between the layers.

    Args:
        function: torch.lstm, torch.gru, torch.rnn_tanh or torch.rnn_relu; the rest are its own arguments.
        drop: the dropout of what one layer gives to the next, a mask for each step of time.
        values: [rows, length, features], or the first two the other way round.
        states: the first hidden state, [layers·directions, rows, width]; for an LSTM with the cell state.
        weights: of all layers, one after the other.
        biased: whether there are biases among the weights.
        layers: how many.
        dropout: the rate.
        bidirectional: whether a layer runs both ways.
        batch_first: whether the rows are the first dimension.

    Returns:
        The outputs of the last layer, and the last states of all, as torch gives them.
    """
    ways, each = 1 + bidirectional, len(weights) // layers
    several = not isinstance(states, Tensor)
    last: list[tuple[Tensor, ...]] = []
    for layer in range(layers):
        begin = slice(layer * ways, (layer + 1) * ways)
        state = [held[begin] for held in states] if several else states[begin]
        own = weights[layer * each : (layer + 1) * each]
        given = function(values, state, own, biased, 1, 0.0, False, bidirectional, batch_first)
        last.append(given[1:])
        values = drop(given[0], dropout) if layer < layers - 1 else given[0]
    return values, *(torch.cat(held) for held in zip(*last, strict=True))


_PADDED_LENGTH = "_padded_length"


def pack(_drop: Drop, values: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Pack sequences as torch does, and note on the batch sizes how long they were with their padding."""
    packed, batch_sizes = torch._pack_padded_sequence(values, lengths, batch_first)  # noqa: SLF001  # has no other name
    setattr(batch_sizes, _PADDED_LENGTH, values.shape[1 if batch_first else 0])
    return packed, batch_sizes


def packed_layers(
    function: Callable[..., tuple[Tensor, ...]],
    drop: Drop,
    values: Tensor,
    batch_sizes: Tensor,
    states: Tensor | Sequence[Tensor],
    weights: Sequence[Tensor],
    biased: bool,
    stacked: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    """Run a recurrent function of torch over packed sequences, as `layers` does over padded ones.

    What drops between layers is padded before and packed again after: the mask has units for each step of the
    padded length, so a sequence meets the same mask whatever the lengths of those beside it, packed or not.

    Args:
        function: as for `layers`.
        drop: the dropout of [length, rows, features].
        values: [steps of all rows, features], step by step.
        batch_sizes: how many rows have each step, [longest], not increasing.
        states: as for `layers`, with the rows in the order of the packing.
        weights: of all layers.
        biased: as for `layers`, as are the further arguments.
        stacked: how many layers.
        dropout: the rate.
        train: whether to drop.
        bidirectional: whether a layer runs both ways.

    Returns:
        The packed outputs of the last layer, and the last states of all.
    """
    length = getattr(batch_sizes, _PADDED_LENGTH, len(batch_sizes))
    steps = torch.arange(len(batch_sizes)).repeat_interleave(batch_sizes).to(values.device)
    rows = torch.cat([torch.arange(int(size)) for size in batch_sizes]).to(values.device)

    def packed(given: Tensor, *args: Any) -> tuple[Tensor, ...]:
        return function(given, batch_sizes, *args[:-1])  # the last is whether rows come first

    def dropped(given: Tensor, rate: float) -> Tensor:
        padded = given.new_zeros(length, int(batch_sizes[0]), given.shape[-1])
        return drop(padded.index_put((steps, rows), given), rate)[steps, rows]

    return layers(
        packed, dropped, values, states, weights, biased, stacked, dropout, train, bidirectional, False
    )


@dataclass(frozen=True)
class Composite:
    """A function that is written out here.

    Args:
        drops: whether a call, by its positional and named arguments, drops anything.
        run: takes the dropout before the function's own arguments.
    """

    drops: Callable[[Sequence[Any], Mapping[str, Any]], bool]
    run: Callable[..., Any]


def _attention_drops(args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    rate = args[4] if len(args) > 4 else given.get("dropout_p", 0.0)
    return bool(rate > 0)


def _layers_drop(args: Sequence[Any], _given: Mapping[str, Any]) -> bool:
    layers, rate, train = args[4:7] if is_padded(args) else args[5:8]
    return bool(layers > 1 and rate > 0 and train)


def _recurrent(function: Callable[..., tuple[Tensor, ...]], drop: Drop, *args: Any) -> tuple[Tensor, ...]:
    if is_padded(args):
        return layers(BATCHED[function], drop, *args)
    return packed_layers(function, drop, *args)


COMPOSITES: Mapping[Callable[..., Any], Composite] = {
    F.scaled_dot_product_attention: Composite(_attention_drops, attention),
    torch._pack_padded_sequence: Composite(lambda _args, _given: True, pack),  # noqa: SLF001
    **{function: Composite(_layers_drop, partial(_recurrent, function)) for function in BATCHED},
}
"""Functions that are written out here."""


def _reopened(function: Any) -> Callable[..., Any]:
    """Copy a Python function of torch without its first question, whether a mode wants to handle it."""
    names = function.__globals__ | {"has_torch_function": lambda _tensors: False}
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


REOPENED: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.multi_head_attention_forward: _reopened(F.multi_head_attention_forward)
}
"""Functions that are run as they stand, with the mode on."""
