"""Texts of which each token is labelled, as tensors, with what each token stands for."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from service.errors import InvalidInput
from service.predictor.rows import Array, Rows
from service.predictor.texts import TEXT, TextReader
from service.predictor.tokenized import TokenizedText

if TYPE_CHECKING:
    from tokenizers import Encoding


class TokenReader(TextReader):
    """Turns texts into tensors, of which the last says which tokens have an answer, [rows, tokens].

    Tokens that stand for no character of the text have none: those that the tokenizer adds, and empty ones.
    """

    def _encode(self, texts: Sequence[str]) -> Sequence["Encoding"]:
        return self._tokenizer.encode_batch(list(texts))  # the fast way knows no offsets

    def _rows(self, texts: Sequence[str], encodings: Iterable["Encoding"]) -> Rows:
        columns: list[list[Array]] = []
        tokenized: list[TokenizedText] = []
        for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            filled = self._filled(row, encoding)
            counted = _stand_for_text(encoding)
            if not counted.any():
                raise InvalidInput(f"inputs {TEXT}: row {row} has no token that stands for a part of it")
            columns.append([*filled, counted])
            spans = tuple(span for span, has in zip(encoding.offsets, counted, strict=True) if has)
            tokenized.append(TokenizedText(text, spans))
        return Rows.of([list(column) for column in zip(*columns, strict=True)], tokenized)


def _stand_for_text(encoding: "Encoding") -> Array:
    spans = zip(encoding.special_tokens_mask, encoding.offsets, strict=True)
    return np.array([not added and end > start for added, (start, end) in spans], bool)
