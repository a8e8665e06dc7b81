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

    Tokens that stand for no part of the text have none: those that the tokenizer adds, and white space.

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
            trimmed = ((place, _trimmed(text, span)) for place, span in self._spans(encoding))
            spans = {place: span for place, span in trimmed if span[1] > span[0]}
            if not spans:
                raise InvalidInput(f"inputs {TEXT}: row {row} has no token that stands for a part of it")
            columns.append([*filled, np.isin(np.arange(len(encoding.ids)), list(spans))])
            tokenized.append(TokenizedText(text, tuple(spans.values())))
        return Rows.of([list(column) for column in zip(*columns, strict=True)], tokenized)


def _of_tokens(encoding: "Encoding") -> Iterator[tuple[int, Span]]:
    """Give the tokens of the text, by their places, and what each stands for."""
    places = zip(encoding.special_tokens_mask, encoding.offsets, strict=True)
    return ((place, span) for place, (added, span) in enumerate(places) if not added)


def _of_words(encoding: "Encoding") -> Iterator[tuple[int, Span]]:
    """Give the first token of each word, and the word; a token that is of no word stands for itself."""
    words = encoding.word_ids
    found: dict[tuple[str, int], tuple[int, Span]] = {}
    for place, (start, end) in _of_tokens(encoding):
        word = words[place]
        key = ("token", place) if word is None else ("word", word)
        first, (begin, _) = found.get(key, (place, (start, end)))
        found[key] = first, (begin, end)
    return iter(found.values())


def _trimmed(text: str, span: Span) -> Span:
    """Leave out white space: some tokenizers count that before a word to it."""
    start, end = span
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
