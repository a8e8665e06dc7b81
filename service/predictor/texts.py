"""Texts of a request, as the tensors that a tokenizer makes of them.

Nothing is padded: texts of one number of tokens run together, so a text has the answer that it has alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from service.errors import InvalidInput, ModelError
from service.predictor.given_tensors import GivenTensor
from service.predictor.given_texts import given_texts
from service.predictor.inputs import TORCH_DTYPES, parts_by_name
from service.predictor.rows import Array, Inputs, Rows
from service.predictor.taken import Taken
from service.repository.manifest import InputSpec

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

TEXT = "text"
"""The name of the one input of a text model, for clients."""

_LONG_BYTES = 4096  # about 2 ms: a tokenizer takes some 2.4 MB a second (one core, measured 2026-11)
_AT_ONCE = 64
_CHARACTERS = 64  # of a text, per token that it may have: far more than words have


class TextReader:
    """Turns texts into tensors.

    Args:
        max_tokens: of a text.
        specs: the tensors that are filled, in the order of forward's arguments.
        tokenizer: neither cuts nor pads.

    Attributes:
        max_tokens: of a text.
        taken: what clients send.
        tensors: how many the network takes: the first of those that are read.
        highest: number of the last token that there is.
        ranges: of made-up rows, per tensor.
    """

    def __init__(self, max_tokens: int, specs: Sequence[InputSpec], tokenizer: "Tokenizer") -> None:
        self.max_tokens = max_tokens
        self.taken = (Taken(TEXT, "string", ()),)
        self.tensors = len(specs)
        self.highest = max(tokenizer.get_vocab().values())
        self.ranges = tuple(_ranges(0, self.highest)[spec.name] for spec in specs)
        self._specs = specs
        self._tokenizer = tokenizer

    def takes_long(self, inputs: bytes | Sequence[GivenTensor]) -> bool:
        """Tell whether others should not wait while texts are read."""
        given = [inputs] if isinstance(inputs, bytes) else [tensor.data for tensor in inputs]
        return sum(map(len, given)) > _LONG_BYTES

    def read(self, inputs: bytes | Sequence[GivenTensor]) -> Rows:
        """Read texts.

        Args:
            inputs: a tensor; or JSON: an array of strings, or an object that has it as "text".

        Returns:
            At least one row; those of one number of tokens are together.

        Raises:
            InvalidInput: not texts, or one that has no tokens or too many.
        """
        texts = _given(inputs)
        return self._rows(texts, self._encoded(texts))

    def rows_as_sent(self, inputs: bytes | Sequence[GivenTensor], numbers: Sequence[int]) -> list[bytes]:
        """Give the JSON of some rows of inputs that have been read: a text is a row, however it came."""
        texts = _given(inputs)
        return [msgspec.json.encode(texts[number]) for number in numbers]

    def longest(self) -> Inputs:
        """Make up a row of as many tokens as a text may have, each the last of the tokenizer's."""
        values = _ranges(self.highest, self.highest)
        return tuple(
            torch.full((1, self.max_tokens), int(values[spec.name][1]), dtype=TORCH_DTYPES[spec.dtype])
            for spec in self._specs
        )

    def _encoded(self, texts: Sequence[str]) -> Iterator["Encoding"]:
        """Encode some at a time: an encoding takes many times what its text does."""
        _check_characters(texts, self.max_tokens)
        for start in range(0, len(texts), _AT_ONCE):
            try:
                encodings = self._encode(texts[start : start + _AT_ONCE])
            except KeyboardInterrupt:
                raise
            except BaseException as cause:  # native code: where it panics, that is no Exception
                raise ModelError("the model's tokenizer failed on a text", str(cause)) from cause
            yield from encodings

    def _encode(self, texts: Sequence[str]) -> Sequence["Encoding"]:
        return self._tokenizer.encode_batch_fast(list(texts))

    def _rows(self, _texts: Sequence[str], encodings: Iterable["Encoding"]) -> Rows:
        rows = [self._filled(row, encoding) for row, encoding in enumerate(encodings)]
        return Rows.of([list(column) for column in zip(*rows, strict=True)])

    def _filled(self, row: int, encoding: "Encoding") -> list[Array]:
        self._check(row, encoding)
        return [_values(spec, encoding) for spec in self._specs]

    def _check(self, row: int, encoding: "Encoding") -> None:
        tokens = len(encoding.ids)
        if tokens > self.max_tokens:
            raise InvalidInput(
                f"inputs {TEXT}: row {row} has {tokens} tokens, and the model takes {self.max_tokens} at "
                "most; shorten the text, or send it in parts"
            )
        if all(encoding.special_tokens_mask):
            raise InvalidInput(f"inputs {TEXT}: row {row} has nothing that the tokenizer makes a token of")


def _check_characters(texts: Sequence[str], max_tokens: int) -> None:
    """Refuse, before it costs anything, what has too many tokens for certain."""
    most = max_tokens * _CHARACTERS
    for row, text in enumerate(texts):
        if len(text) > most:
            raise InvalidInput(
                f"inputs {TEXT}: row {row} has {len(text)} characters, more than the {most} that are read "
                f"for {max_tokens} tokens; shorten the text, or send it in parts"
            )


def _ranges(lowest: int, highest: int) -> dict[str, tuple[float, float]]:
    """Give the range of each tensor: nothing is masked, and a row is one text."""
    return {"input_ids": (lowest, highest), "attention_mask": (1, 1), "token_type_ids": (0, 0)}


def _values(spec: InputSpec, encoding: "Encoding") -> Array:
    values = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    return np.array(values[spec.name], spec.dtype)


def _given(inputs: bytes | Sequence[GivenTensor]) -> list[str]:
    return _texts(inputs) if isinstance(inputs, bytes) else given_texts(TEXT, inputs)


def _texts(inputs: bytes) -> list[str]:
    """Decode a JSON array of strings."""
    try:
        texts = msgspec.json.decode(_array(inputs), type=list[str])
    except msgspec.ValidationError as cause:
        raise InvalidInput(_complaint(str(cause))) from cause
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise InvalidInput(f"inputs {TEXT}{_where(inputs)}: {cause}") from cause
    if not texts:
        raise InvalidInput(f"inputs {TEXT} must be an array of at least one text")
    return texts


def _array(inputs: bytes) -> bytes:
    if not inputs.lstrip().startswith(b"{"):
        return inputs
    given = parts_by_name(inputs)
    if set(given) != {TEXT}:
        raise InvalidInput(f"inputs must have {TEXT}, and has {', '.join(given) or 'nothing'}")
    return bytes(given[TEXT])


def _complaint(message: str) -> str:
    """Say which row is wrong, from the decoder's "Expected `str`, got `int` - at `$[3]`"."""
    what, _, where = message.partition(" - at `$")
    row = re.match(r"\[(\d+)\]", where)
    if not row:
        return f"inputs {TEXT} must be an array of at least one text"
    return f"inputs {TEXT}: row {row[1]} must be a string: {what[0].lower()}{what[1:]}"


def _where(inputs: bytes) -> str:
    """Find the row that is no text, where the decoder does not say."""
    try:
        rows = msgspec.json.decode(_array(inputs), type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    for row, text in enumerate(rows):
        try:
            msgspec.json.decode(text, type=str)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return f": row {row}"
    return ""
