"""Functions of torch that drop somewhere inside, taken apart so that the inside can be seen.

While a function mode handles a call it is off, so what happens within one of these would pass it by.
Attention is written out here by its definition, with the dropout as a call of its own; what torch itself
writes in Python is run again as it stands, with the mode on.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

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


COMPOSITES: Mapping[Callable[..., Any], Callable[..., Tensor]] = {F.scaled_dot_product_attention: attention}
"""Functions that are written out here; each takes the dropout before its own arguments."""


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
