"""Self-attention and encoder layers of a Transformer (Vaswani et al. 2017)."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.arguments import checked_divisible, checked_rate
from models.layers.residual import Residual


class SelfAttention(nn.Module):
    """dropout(softmax(q·kᵀ / √d))·v over a layer norm of its input, with several heads.

    Args:
        width: of each position, [rows, positions, width] in and out; divisible by `heads`.
        heads: each attends with d = width / heads.
        dropout: the rate of the attention weights, after the softmax.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        checked_divisible("width", width, "heads", heads)
        self.heads = heads
        self.dropout = checked_rate("attention_dropout", dropout)
        self.norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            values: [rows, positions, width].
            present: [rows, positions], boolean; nobody attends to where it is false.
        """
        parts = self.queries_keys_values(self.norm(values)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.movedim(1, -2).unbind(1)  # each [rows, heads, positions, d]
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if present is None else present[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        given: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return given


class EncoderLayer(nn.Module):
    """x + dropout(attention(x)), then x + dropout(dense(x)), with the norms in the branches.

    Norms first train without a warm-up of the learning rate (Xiong et al. 2020).

    Args:
        width: of each position, [rows, positions, width] in and out.
        heads: of the attention.
        hidden: units of the dense branch, Linear → GELU → Linear.
        attention_dropout: the rate of the attention weights.
        residual_dropout: the rate of what each branch adds.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, attention_dropout: float, residual_dropout: float
    ) -> None:
        super().__init__()
        rate = checked_rate("residual_dropout", residual_dropout)
        self.attention = Residual(SelfAttention(width, heads, attention_dropout), rate)
        dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.dense = Residual(dense, rate)

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Give [rows, positions, width]; `present` as for the attention."""
        given: Tensor = self.dense(self.attention(values, present))
        return given
