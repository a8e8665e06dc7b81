"""Arguments checked where a layer or a network is made, so that a mistake in a manifest has its sentence."""

from collections.abc import Sequence


def checked_rate(name: str, rate: object) -> float:
    """Give a rate, the probability that a unit is dropped.

    Raises:
        ValueError: it is no number from 0 to less than 1.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"{name} is {rate!r}; it must be a number from 0 to less than 1")
    return float(rate)


def checked_rates(name: str, rates: object, layers: int) -> list[float]:
    """Give each layer's rate, from one for all or from a list.

    Raises:
        ValueError: one is no rate, or there is not one for each layer.
    """
    if isinstance(rates, str) or not isinstance(rates, Sequence):
        return [checked_rate(name, rates)] * layers
    if len(rates) != layers:
        raise ValueError(f"{name} has {len(rates)} rates for {layers} layers; give one for each, or a number")
    return [checked_rate(f"{name}[{index}]", rate) for index, rate in enumerate(rates)]


def checked_size(name: str, size: object) -> int:
    """Give a size.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} is {size!r}; it must be a whole number of at least 1")
    return size


def checked_sizes(name: str, sizes: object, count: int | None = None) -> list[int]:
    """Give sizes, of which there must be some, or just so many.

    Raises:
        ValueError: one is no size, or there are none, or not so many.
    """
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not sizes:
        raise ValueError(f"{name} is {sizes!r}; it must be a list of one size or more")
    if count is not None and len(sizes) != count:
        raise ValueError(f"{name} has {len(sizes)} sizes; it must have {count}")
    return [checked_size(f"{name}[{index}]", size) for index, size in enumerate(sizes)]


def checked_divisible(name: str, size: int, divisor_name: str, divisor: int) -> None:
    """Check that one size is a multiple of another.

    Raises:
        ValueError: it is not.
    """
    if size % divisor:
        raise ValueError(f"{name} is {size}; it must be divisible by {divisor_name}, {divisor}")
