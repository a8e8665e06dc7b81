"""Each dropout function against torch's own: the two values a unit may take, and the mask it draws."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from service.sampling.kinds import KINDS, arguments

SHAPES = {
    "dropout": [(4, 5), (2, 3, 4)],
    "dropout1d": [(4, 5, 6), (4, 5)],
    "dropout2d": [(4, 5, 6, 7), (4, 5, 6)],
    "feature_dropout": [(4, 5, 6, 7), (4, 5)],
    "dropout3d": [(2, 3, 4, 5, 6), (3, 4, 5, 6)],
    "alpha_dropout": [(4, 5), (2, 3, 4)],
    "feature_alpha_dropout": [(4, 5, 6, 7), (4, 5)],
}
# Those of torch.ops.aten are the same functions by other names.
CASES = [
    (function, shape)
    for function, kind in KINDS.items()
    for shape in SHAPES[kind.name]
    if not type(function).__module__.startswith("torch._ops")
]


@pytest.mark.filterwarnings("ignore:dropout2d")
@pytest.mark.parametrize(("function", "shape"), CASES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8, 1.0])
def test_units_take_the_values_that_torch_gives_them(
    function: Callable[..., Tensor], shape: tuple[int, ...], rate: float
) -> None:
    """Over 60 draws of torch's, each unit is where our kept or our dropped value says; seed 1."""
    kind = KINDS[function]
    torch.manual_seed(1)
    values = torch.randn(shape)
    mask_shape = kind.mask_shape(shape)
    kept = kind.apply(values, torch.full(mask_shape, kind.kept_scale(rate)), rate)
    dropped = kind.apply(values, torch.zeros(mask_shape), rate)
    seen = set()
    for _ in range(60):
        given = function(values.clone(), rate, True)
        is_kept, is_dropped = (torch.isclose(given, expected, atol=1e-6) for expected in (kept, dropped))
        assert (is_kept | is_dropped).all()
        drawn = torch.isclose(given, kept, atol=1e-6).float()
        # One unit of the mask decides for all that it broadcasts over.
        reduced = drawn.amin(
            [axis for axis in range(len(shape)) if mask_shape[axis] != shape[axis]] or [], True
        )
        assert torch.equal(reduced.expand(shape), drawn) or mask_shape == shape
        seen.add(drawn.mean().item())
    assert rate == 1.0 or len(seen) > 1


@pytest.mark.parametrize("function", list(KINDS))
def test_arguments_are_read_however_they_are_written(function: Callable[..., Tensor]) -> None:
    values = torch.ones(2, 3, 4)
    assert arguments(function, (values,), {}).rate == 0.5
    assert arguments(function, (values,), {}).training is KINDS[function].on_by_default
    assert arguments(function, (values, 0.2, True, True), {}).in_place
    given = arguments(function, (values,), {"inplace": True, "training": False, "p": 0.7})
    assert (given.rate, given.training, given.in_place) == (0.7, False, True)
    assert arguments(function, (), {"input": values}).values is values
    assert arguments(function, (), {"self": values, "p": 0.1, "train": False}).training is False
    assert arguments(function, (values, 0.2, True), {}).in_place == ("dropout_" in function.__name__)
