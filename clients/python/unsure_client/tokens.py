"""Answers of models that label each token: arrays of tokens, row by row, for some texts have more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from unsure_client.columns import Columns, Floats, Integers, Json
from unsure_client.frames import frame
from unsure_client.predictions import Reply
from unsure_client.sampled import Sampled

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, kw_only=True)
class Tokens:
    """The tokens of one text.

    Args:
        text: what each stands for.
        start: its first character, in code points as Python counts them, [tokens].
        end: the one behind its last, [tokens].
        label: of each.
        class_index: [tokens].
        confidence: the class's probability, [tokens].
    """

    text: tuple[str, ...]
    start: Integers
    end: Integers
    label: tuple[str, ...]
    class_index: Integers
    confidence: Floats

    def __len__(self) -> int:
        """Give the number of tokens."""
        return len(self.text)


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictedTokens(Tokens):
    """With the probabilities of each, [tokens, classes]."""

    probabilities: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class UncertainTokens(Tokens):
    """With what the networks say about each. Entropies in nats.

    Args:
        mean: of the networks' probabilities, [tokens, classes].
        variance: of them, [tokens, classes].
        standard_error: of `mean`, [tokens, classes].
        predictive_entropy: of the mean, [tokens].
        expected_entropy: the mean of the networks' own, [tokens].
        mutual_information: their difference, [tokens].
        variation_ratio: the share of networks that say another class, [tokens].
        score: that the policy compares, [tokens]; the text has the highest.
    """

    mean: Floats
    variance: Floats
    standard_error: Floats
    predictive_entropy: Floats
    expected_entropy: Floats
    mutual_information: Floats
    variation_ratio: Floats
    score: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenPredictions(Reply):
    """Predicted classes of tokens.

    Args:
        tokens: of each row.
    """

    tokens: tuple[PredictedTokens, ...]

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.tokens)

    def to_pandas(self) -> "pandas.DataFrame":
        """Give a table, one line a token; `row` is the number of its row, or what the DataFrame calls it."""
        return _frame(self.tokens, self.index)


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenUncertainties(Sampled):
    """What the networks say about tokens; score and flag are of a text.

    Args:
        tokens: of each row.
    """

    tokens: tuple[UncertainTokens, ...]

    def to_pandas(self) -> "pandas.DataFrame":
        """Give a table, one line a text; its tokens are in `tokens_to_pandas`."""
        return frame(self._flag_columns(), self.index)

    def tokens_to_pandas(self) -> "pandas.DataFrame":
        """Give a table, one line a token; `row` is the number of its row, or what the DataFrame calls it."""
        return _frame(self.tokens, self.index)


def predicted_tokens(columns: Columns) -> tuple[PredictedTokens, ...]:
    """Read the tokens of predictions."""
    return tuple(PredictedTokens(**_read(PredictedTokens, row)) for row in columns.values("tokens"))


def uncertain_tokens(columns: Columns) -> tuple[UncertainTokens, ...]:
    """Read the tokens of uncertainties."""
    return tuple(UncertainTokens(**_read(UncertainTokens, row)) for row in columns.values("tokens"))


_TEXTS = ("text", "label")
_WHOLE = ("start", "end", "class_index")


def _read(kind: type[Tokens], tokens: Sequence[Json]) -> Mapping[str, Any]:
    names = [field.name for field in fields(kind)]
    return {name: _column(name, [token[name] for token in tokens]) for name in names}


def _column(name: str, values: list[Any]) -> Any:
    if name in _TEXTS:
        return tuple(values)
    return np.array(values, dtype=np.int64 if name in _WHOLE else np.float64)


def _frame(rows: Sequence[Tokens], index: Any) -> "pandas.DataFrame":
    places = range(len(rows)) if index is None else index
    named = [[place] * len(of) for place, of in zip(places, rows, strict=True)]
    columns: dict[str, Any] = {"row": [place for part in named for place in part]}
    for field in fields(rows[0]):
        parts = [getattr(of, field.name) for of in rows]
        texts = field.name in _TEXTS
        columns[field.name] = [one for part in parts for one in part] if texts else np.concatenate(parts)
    return frame(columns, None)
