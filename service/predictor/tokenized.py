"""Texts with the places of their tokens, for models that label each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInput
from service.uncertainty.scores import score
from service.uncertainty.tokens import TokenMeasures

_SHOWN = 40  # characters of a token, where people read it


@dataclass(frozen=True)
class TokenizedText:
    """A text, and where those of its tokens stand that have an answer.

    Args:
        text: as it was sent; empty where it must not be told.
        spans: the first character of each and the one behind its last, counted in code points.
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    def without_text(self) -> "TokenizedText":
        """Give the spans alone, for what must not repeat the text."""
        return TokenizedText("", self.spans)

    def token(self, place: int) -> str:
        """Give what a token stands for."""
        start, end = self.spans[place]
        return self.text[start:end]

    def worst(self, scores: Sequence[float]) -> str:
        """Say to people which token has the highest score."""
        place = int(np.argmax(scores))
        start, end = self.spans[place]
        token = self.token(place)
        shown = token if len(token) <= _SHOWN else f"{token[:_SHOWN]}…"
        return f"{shown!r} ({start} to {end})" if self.text else f"{start} to {end}"


def check_alike(texts: Sequence[TokenizedText]) -> None:
    """Refuse texts of different numbers of tokens.

    Raises:
        InvalidInput: the text says how many they have.
    """
    counts = [len(text.spans) for text in texts]
    other = next((row for row, count in enumerate(counts) if count != counts[0]), None)
    if other is not None:
        raise InvalidInput(
            f"row 0 has {counts[0]} tokens with an answer, and row {other} has {counts[other]}, which fit "
            "no one tensor: send texts one at a time, or to /v1"
        )


def offsets(texts: Sequence[TokenizedText]) -> NDArray[np.int64]:
    """Give the spans of texts that have as many tokens, [rows, tokens, 2]."""
    return np.array([text.spans for text in texts])


def measured(measures: object, name: str) -> Any:
    """Give a measure of rows, [rows, ...], or of texts that have as many tokens, [rows, tokens, ...]."""
    if isinstance(measures, TokenMeasures):
        return np.stack([getattr(tokens, name) for tokens in measures.tokens])
    return getattr(measures, name)


def worst_tokens(texts: Sequence[TokenizedText], measures: object, measure: str) -> list[str]:
    """Say of each text which of its tokens has its score; nothing where no tokens are labelled."""
    if not isinstance(measures, TokenMeasures):
        return []
    pairs = zip(texts, measures.tokens, strict=True)
    return [text.worst(score(tokens, measure).tolist()) for text, tokens in pairs]
