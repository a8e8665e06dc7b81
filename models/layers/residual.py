"""Residual connections with dropout where it belongs."""

from torch import Tensor, nn

from models.layers.arguments import checked_rate


class Residual(nn.Module):
    """y = skip(x) + dropout(branch(x)): the branch is dropped, and never the skip path.

    What the skip path loses is lost to every layer after it; dropping there stops a deep network from
    learning (He et al. 2016, "Identity mappings in deep residual networks", table 1).

    Args:
        branch: takes x, [rows, …], and what else forward is given; gives the output's shape.
        dropout: the rate of the branch's units, right before the sum.
        skip: brings x to the output's shape; left out, x itself.
    """

    def __init__(self, branch: nn.Module, dropout: float, skip: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.drop = nn.Dropout(checked_rate("dropout", dropout))
        self.skip = skip or nn.Identity()

    def forward(self, values: Tensor, *more: Tensor | None) -> Tensor:
        """Give skip(values) + dropout(branch(values, *more))."""
        total: Tensor = self.skip(values) + self.drop(self.branch(values, *more))
        return total
