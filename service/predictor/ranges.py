"""The ranges that integers of requests are held to."""

import numpy as np

from service.errors import InvalidInput
from service.predictor.rows import Array
from service.repository.manifest import InputSpec


def check_range(spec: InputSpec, array: Array, named: str, number: int | None = None) -> None:
    """Refuse integers outside of the range of the manifest, in all rows or in the row of a number."""
    if spec.range is None or not spec.dtype.startswith("int"):
        return
    lowest, highest = spec.range
    outside = np.argwhere((array < lowest) | (array > highest))
    if len(outside):
        place = tuple(outside[0])
        row = int(place[0]) if number is None else number
        raise InvalidInput(
            f"{named}: row {row} has {array[place]}, and the range is {lowest:g} to {highest:g}"
        )
