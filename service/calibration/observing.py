"""Labelled rows through the samples that the server would take."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.calibration.data import LabelledRows
from service.certification.temperature import fitted_temperature
from service.predictor.answers import EXACT, ClassPrediction, Measures, Sampled, TokenPrediction
from service.predictor.rows import Group, Inputs, Rows
from service.predictor.served_model import ServedModel
from service.predictor.together import Draw
from service.repository.calibration import Draws
from service.uncertainty.classification import ClassificationMeasures
from service.uncertainty.scores import score, score_names
from service.uncertainty.sequential import Rounds
from service.uncertainty.tokens import TokenMeasures

Array = NDArray[np.float64]
Watch = Callable[[Iterable[Group], int], Iterable[Group]]

_ROWS_AT_ONCE = 128
_CLASSES_TO_FIT = 2000


@dataclass(frozen=True)
class Observed:
    """What the server would say of labelled rows, and whether it would be wrong.

    Args:
        measures: of all rows.
        scores: by the measure's name, each [rows].
        wrong: whether each row's answer is, 0 or 1, [rows].
        truth: class indices, [rows], of tokens [rows] of [tokens], or values, [rows, targets].
        plain: 1 - the greatest probability of the whole network, for comparison, [rows], of the worst token;
            None in regression.
    """

    measures: Measures
    scores: dict[str, Array]
    wrong: Array
    truth: NDArray[Any]
    plain: Array | None


def observe(
    model: ServedModel, labelled: LabelledRows, draws: Draws, tolerances: Sequence[float], watch: Watch
) -> Observed:
    """Sample rows as the server does.

    Args:
        model: as it is served.
        labelled: rows.
        draws: which samples.
        tolerances: in regression a row is wrong where a value is farther off; one for each, or for all.
        watch: is given the parts and how many there are, and passes them on.
    """
    parts = list(_parts(labelled.rows))
    sampled, plain = [], []
    for part in watch(parts, len(parts)):
        sampled.append(_sampled(model, part, draws))
        plain.append(model.predict(part.inputs))
    whole = labelled.rows.in_order(sampled)
    measures = whole.measures
    names = score_names(model.manifest.task)
    return Observed(
        measures=measures,
        scores={name: score(measures, name) for name in names},
        wrong=_wrong(measures, labelled.truth, tolerances),
        truth=labelled.truth,
        plain=_unsure(labelled.rows.in_order(plain)),
    )


def fit_temperature(
    model: ServedModel, labelled: LabelledRows, rows: NDArray[np.int64], draws: Draws
) -> float | None:
    """Fit a classifier's temperature to samples of some rows, by their numbers; of many, to the first.

    Of texts it is fitted to their tokens.
    """
    drawn: list[Array] = []
    truth: list[NDArray[np.int64]] = []
    wanted = to_fit(rows, labelled.truth)
    for part in _parts(labelled.rows):
        places = [place for place, number in enumerate(part.numbers) if number in wanted]
        if not places:
            continue
        draw = Draw(Rounds(draws.samples, draws.samples), threshold=0.0, outputs=True)  # type: ignore[arg-type]
        chosen = tuple(tensor[places] for tensor in part.inputs)
        drawn += _classes(model, model.drawn(chosen, draw, draws.seed), chosen)
        truth += [np.atleast_1d(labelled.truth[part.numbers[place]]) for place in places]
    return fitted_temperature(np.concatenate(drawn, 1), np.concatenate(truth))


def to_fit(rows: NDArray[np.int64], truth: NDArray[Any], most: int = _CLASSES_TO_FIT) -> set[int]:
    """Choose the first of some rows, whatever their shapes, until these have so many classes to be told.

    Args:
        rows: their numbers.
        truth: of all rows, [rows], or of tokens [rows] of [tokens].
        most: classes; the last text chosen may have more.
    """
    classes = np.array([np.size(truth[row]) for row in rows], int)
    return set(rows[classes.cumsum() - classes < most].tolist())


def _classes(model: ServedModel, sampled: Sampled, inputs: Inputs) -> list[Array]:
    """Give probabilities of each row, [samples, 1, classes], or of its tokens, [samples, tokens, classes]."""
    outputs = sampled.outputs or []
    if not model.manifest.per_token:
        return [row[:, None] for row in outputs]
    return [row[:, counted] for row, counted in zip(outputs, inputs[-1].numpy(), strict=True)]


def _parts(rows: Rows) -> Iterator[Group]:
    for group in rows.groups:
        for start in range(0, len(group), _ROWS_AT_ONCE):
            yield group.part(start, min(start + _ROWS_AT_ONCE, len(group)))


def _sampled(model: ServedModel, part: Group, draws: Draws) -> Sampled:
    samples = draws.samples
    draw = EXACT if samples == EXACT else Draw(Rounds(samples, samples), threshold=0.0)
    return model.drawn(part.inputs, draw, draws.seed)


def _wrong(measures: Measures, truth: NDArray[Any], tolerances: Sequence[float]) -> Array:
    if isinstance(measures, TokenMeasures):
        pairs = zip(measures.tokens, truth, strict=True)
        return np.array([float((tokens.class_index != labels).any()) for tokens, labels in pairs])
    if isinstance(measures, ClassificationMeasures):
        return np.asarray(measures.class_index != truth, float)
    return np.asarray((np.abs(measures.mean - truth) > np.array(tolerances)).any(-1), float)


def _unsure(prediction: Any) -> Array | None:
    if isinstance(prediction, TokenPrediction):
        return np.array([1 - tokens.max(-1).min() for tokens in prediction.probabilities])
    return 1 - prediction.probabilities.max(-1) if isinstance(prediction, ClassPrediction) else None
