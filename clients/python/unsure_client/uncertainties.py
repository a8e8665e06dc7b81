"""What the thinned networks of a call say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from unsure_client.columns import Columns, Floats, Integers, Json
from unsure_client.frames import frame
from unsure_client.predictions import reply_fields
from unsure_client.sampled import Sampled, sampled_fields
from unsure_client.tokens import TokenUncertainties, uncertain_tokens

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, kw_only=True)
class Uncertainties(Sampled):
    """What classes and values of rows have.

    Args:
        mean: of the networks' outputs, [rows, width].
        variance: of them, [rows, width].
        standard_error: of `mean`, for there are only so many samples, [rows, width].
        sample_outputs: of each row, [samples, width]; None unless they were asked for.
        quantiles: by name, such as "0.05", each [rows, width]; None unless they were asked for.
    """

    mean: Floats
    variance: Floats
    standard_error: Floats
    sample_outputs: tuple[Floats, ...] | None
    quantiles: Mapping[str, Floats] | None

    def to_pandas(self) -> "pandas.DataFrame":
        """Give a table, one line a row and one column a number: `mean_0` and so on, where a row has several.

        `reasons` are their codes, with commas between; sample outputs and quantiles are left out.
        """
        return frame(self._columns() | self._flag_columns(), self.index)

    def _columns(self) -> dict[str, Any]:
        """Give what is the task's own, and the moments."""
        return {"mean": self.mean, "variance": self.variance, "standard_error": self.standard_error}


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassUncertainties(Uncertainties):
    """What the networks say about classes. Entropies in nats.

    Args:
        label: of each row, by the mean.
        class_index: [rows].
        confidence: the class's mean probability, [rows].
        predictive_entropy: of the mean, [rows].
        expected_entropy: the mean of the networks' own, [rows].
        mutual_information: their difference: what the networks disagree about, [rows].
        variation_ratio: the share of networks that say another class, [rows].
    """

    label: tuple[str, ...]
    class_index: Integers
    confidence: Floats
    predictive_entropy: Floats
    expected_entropy: Floats
    mutual_information: Floats
    variation_ratio: Floats

    def _columns(self) -> dict[str, Any]:
        classes = {"label": self.label, "class_index": self.class_index, "confidence": self.confidence}
        return classes | super()._columns() | {name: getattr(self, name) for name in _MEASURES}


@dataclass(frozen=True, eq=False, kw_only=True)
class ValueUncertainties(Uncertainties):
    """What the networks say about values.

    Args:
        aleatoric_variance: the noise that the model expects, [rows, outputs]; None where it tells none.
        total_variance: `variance` and that, [rows, outputs].
        interval_lower: of an interval for each value, [rows, outputs].
        interval_upper: of it, [rows, outputs].
        interval_level: how probably the interval holds the value.
        interval_method: how it was made.
    """

    aleatoric_variance: Floats | None
    total_variance: Floats
    interval_lower: Floats
    interval_upper: Floats
    interval_level: float
    interval_method: str

    def _columns(self) -> dict[str, Any]:
        noise = {} if self.aleatoric_variance is None else {"aleatoric_variance": self.aleatoric_variance}
        bounds = {"interval_lower": self.interval_lower, "interval_upper": self.interval_upper}
        return super()._columns() | noise | {"total_variance": self.total_variance} | bounds


AnyUncertainties: TypeAlias = ClassUncertainties | TokenUncertainties | ValueUncertainties

_MEASURES = ("predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio")


def read_uncertainties(answers: Sequence[Json], index: Any) -> AnyUncertainties:
    """Read the answers to one call."""
    columns = Columns(answers, "results")
    sampled = reply_fields(columns, index) | sampled_fields(columns)
    if columns.has("tokens"):
        return TokenUncertainties(tokens=uncertain_tokens(columns), **sampled)
    shared = sampled | _shared(columns)
    if columns.has("interval"):
        return ValueUncertainties(**_values(columns), **shared)
    return ClassUncertainties(**_classes(columns), **shared)


def _shared(columns: Columns) -> dict[str, Any]:
    return {
        **{name: columns.floats(name) for name in ("mean", "variance", "standard_error")},
        "sample_outputs": _sample_outputs(columns),
        "quantiles": _quantiles(columns),
    }


def _classes(columns: Columns) -> dict[str, Any]:
    return {
        "label": tuple(columns.values("label")),
        "class_index": columns.integers("class_index"),
        **{name: columns.floats(name) for name in ("confidence", *_MEASURES)},
    }


def _values(columns: Columns) -> dict[str, Any]:
    noise = columns.floats("aleatoric_variance") if columns.has("aleatoric_variance") else None
    interval = columns.values("interval")[0]
    return {
        "aleatoric_variance": noise,
        "total_variance": columns.floats("total_variance"),
        "interval_lower": columns.nested("interval", "lower"),
        "interval_upper": columns.nested("interval", "upper"),
        "interval_level": interval["level"],
        "interval_method": interval["method"],
    }


def _sample_outputs(columns: Columns) -> tuple[Floats, ...] | None:
    """Read samples: of each row apart, since adaptive sampling takes more of some."""
    if not columns.has("sample_outputs"):
        return None
    return tuple(np.array(row, dtype=np.float64) for row in columns.values("sample_outputs"))


def _quantiles(columns: Columns) -> Mapping[str, Floats] | None:
    if not columns.has("quantiles"):
        return None
    return {name: columns.nested("quantiles", name) for name in columns.values("quantiles")[0]}
