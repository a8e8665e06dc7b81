"""Single rows of a request: as JSON, and by a hash."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from torch import Tensor

from service.predictor.given_tensors import GivenTensor
from service.predictor.inputs import InputReader
from service.predictor.rows import Rows
from service.predictor.texts import TextReader


class RowInputs:
    """Finds rows of a request that has been read.

    Args:
        given: what the client sent.
        reader: that has read it.
        rows: what it has read.
    """

    def __init__(
        self, given: bytes | Sequence[GivenTensor], reader: InputReader | TextReader, rows: Rows
    ) -> None:
        self._given = given
        self._reader = reader
        self._places = {
            number: (group, place) for group in rows.groups for place, number in enumerate(group.numbers)
        }

    def json(self, numbers: Sequence[int]) -> list[bytes]:
        """Give rows as `inputs` of the native face has them: as they were sent, where that was JSON."""
        if isinstance(self._reader, TextReader):
            return self._reader.rows_as_sent(self._given, numbers)
        if isinstance(self._given, bytes):
            return self._reader.rows_as_sent(self._given, numbers)
        names = self._reader.names
        return [_row_json(names, self._tensors(number)) for number in numbers]

    def digest(self, number: int) -> str:
        """Give the SHA-256 of a row: of the dtype, the shape and the little-endian numbers of its tensors."""
        hashed = sha256()
        for tensor in self._tensors(number):
            array = tensor.numpy()
            hashed.update(f"{array.dtype.name} {list(array.shape)}\n".encode())
            hashed.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return hashed.hexdigest()

    def _tensors(self, number: int) -> list[Tensor]:
        group, place = self._places[number]
        return [tensor[place] for tensor in group.inputs[: self._reader.tensors]]


def _row_json(names: Sequence[str], tensors: Sequence[Tensor]) -> bytes:
    values = [tensor.tolist() for tensor in tensors]
    return msgspec.json.encode(dict(zip(names, values, strict=True)) if len(names) > 1 else values[0])
