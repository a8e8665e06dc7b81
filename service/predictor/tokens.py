"""Texts of which each token is labelled, as tensors, with what each token stands for."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from service.errors import InvalidInput
from service.predictor.rows import Array, Rows
from service.predictor.texts import TEXT, TextReader
from service.predictor.tokenized import TokenizedText
from service.repository.manifest import InputSpec

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Span = tuple[int, int]


class TokenReader(TextReader):
    """Turns texts into tensors, of which the last says which tokens have an answer, [rows, tokens].

    Tokens that stand for no character of the text have none: those that the tokenizer adds, and empty ones.

    Args:
        max_tokens: of a text.
        specs: the tensors that are filled, in the order of forward's arguments.
        tokenizer: neither cuts nor pads.
        words: whether the first token of a word alone has an answer, and stands for the word.
    """

    def __init__(
        self, max_tokens: int, specs: Sequence[InputSpec], tokenizer: "Tokenizer", *, words: bool = False
    ) -> None:
        super().__init__(max_tokens, specs, tokenizer)
        self._spans = _of_words if words else _of_tokens

    def _encode(self, texts: Sequence[str]) -> Sequence["Encoding"]:
        return self._tokenizer.encode_batch(list(texts))  # the fast way knows no offsets

    def _rows(self, texts: Sequence[str], encodings: Iterable["Encoding"]) -> Rows:
        columns: list[list[Array]] = []
        tokenized: list[TokenizedText] = []
        for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            filled = self._filled(row, encoding)
            spans = dict(self._spans(encoding))
            if not spans:
                raise InvalidInput(f"inputs {TEXT}: row {row} has no token that stands for a part of it")
            columns.append([*filled, np.isin(np.arange(len(encoding.ids)), list(spans))])
            tokenized.append(TokenizedText(text, tuple(spans.values())))
        return Rows.of([list(column) for column in zip(*columns, strict=True)], tokenized)


def _of_tokens(encoding: "Encoding") -> Iterator[tuple[int, Span]]:
    """Give the tokens that stand for a part of the text, by their places, and what that is."""
    for place, (added, (start, end)) in enumerate(
        zip(encoding.special_tokens_mask, encoding.offsets, strict=True)
    ):
        if not added and end > start:
            yield place, (start, end)


def _of_words(encoding: "Encoding") -> Iterator[tuple[int, Span]]:
    """Give the first token of each word, and the word; a token that is of no word stands for itself."""
    words = encoding.word_ids
    spans = dict(_of_tokens(encoding))
    last = {words[place]: end for place, (_, end) in spans.items()}
    seen: set[int | None] = {None}
    for place, (start, end) in spans.items():
        word = words[place]
        if word is None or word not in seen:
            seen.add(word)
            yield place, (start, end if word is None else last[word])
