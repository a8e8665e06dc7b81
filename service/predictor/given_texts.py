"""Texts as the Open Inference Protocol gives them: tensors of BYTES."""

from collections.abc import Iterator, Sequence

import msgspec

from service.errors import InvalidInput
from service.predictor.given_tensors import DATATYPES, GivenTensor

_LENGTH_BYTES = 4


def given_texts(name: str, given: Sequence[GivenTensor]) -> list[str]:
    """Read texts.

    Args:
        name: of the one input.
        given: the inputs of a request.

    Raises:
        InvalidInput: not this model's inputs.
    """
    datatype, named = DATATYPES["string"], f"input {name}"
    if [tensor.name for tensor in given] != [name]:
        has = ", ".join(tensor.name for tensor in given) or "none"
        raise InvalidInput(f"inputs must be {name}, once, and are {has}")
    (tensor,) = given
    if tensor.datatype != datatype:
        raise InvalidInput(f"{named} must have datatype {datatype}, and has {tensor.datatype}")
    if len(tensor.shape) != 1 or tensor.shape[0] < 1:
        raise InvalidInput(f"{named} must have shape [rows], not 0, and has {list(tensor.shape)}")
    texts = list(_binary(tensor.data, named)) if tensor.binary else _json(tensor.data, named)
    if len(texts) != tensor.shape[0]:
        raise InvalidInput(
            f"{named} of shape {list(tensor.shape)} takes as many texts, and has {len(texts)} of them"
        )
    return texts


def _json(data: bytes, named: str) -> list[str]:
    try:
        return msgspec.json.decode(data, type=list[str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise InvalidInput(f"{named}: data must be an array of strings: {cause}") from cause


def _binary(data: bytes, named: str) -> Iterator[str]:
    """Read elements, each a length of four bytes, little-endian, and as many bytes of UTF-8."""
    place = row = 0
    while place < len(data):
        head = data[place : place + _LENGTH_BYTES]
        size = int.from_bytes(head, "little")
        place += len(head)
        text = data[place : place + size]
        if len(head) < _LENGTH_BYTES or len(text) < size:
            raise InvalidInput(f"{named}: row {row} takes more bytes than were sent")
        try:
            yield text.decode()
        except UnicodeDecodeError as cause:
            raise InvalidInput(f"{named}: row {row} is not UTF-8: {cause.reason}") from cause
        place, row = place + size, row + 1
