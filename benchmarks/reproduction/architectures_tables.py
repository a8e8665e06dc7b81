"""Architectures on digits: accuracy and calibration, and what each score is worth."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, product
from typing import Any

import numpy as np

from reproduction.architectures import SAMPLED, WHOLE, WHOLE_SCORES
from reproduction.shifted_images import SHIFTS
from reproduction.summaries import Summary, table
from service.certification.probabilities import reliability
from service.uncertainty.scores import CLASSIFICATION_SCORES

Result = Mapping[str, Any]
Results = Sequence[Result]

WAYS = (WHOLE, SAMPLED)
SCORES = (
    *(f"{WHOLE} {name}" for name in WHOLE_SCORES),
    *(f"{SAMPLED} {name}" for name in sorted(CLASSIFICATION_SCORES)),
)
TOLD_APART_BY = (f"{WHOLE} max_probability", f"{SAMPLED} predictive_entropy", f"{SAMPLED} mutual_information")

PREDICTION_HEAD = (
    "architecture",
    *(f"{figure}, {way}" for figure in ("accuracy, %", "negative log-likelihood", "ECE, %") for way in WAYS),
)
RISK_HEAD = ("AUGRC × 1000", *SCORES)
SHIFT_HEAD = ("AUROC", *(f"{kind}: {score}" for kind, score in product(SHIFTS, TOLD_APART_BY)))


def by_family(results: Results) -> dict[str, list[Result]]:
    """Put the results of a family together."""
    families: dict[str, list[Result]] = {}
    for result in results:
        families.setdefault(result["family"], []).append(result)
    return families


def predictions_table(results: Results) -> str:
    """Write accuracy, negative log-likelihood and calibration error."""
    return table(
        PREDICTION_HEAD,
        (
            [
                family,
                *(accuracy(runs, way).words(2) for way in WAYS),
                *(loss(runs, way).words(4) for way in WAYS),
                *(f"{100 * calibration_error(runs, way):.2f}" for way in WAYS),
            ]
            for family, runs in by_family(results).items()
        ),
    )


def risks_table(results: Results) -> str:
    """Write the AUGRC of each score."""
    return _scores_table(RISK_HEAD, results, lambda runs: (risk(runs, score).words(2) for score in SCORES))


def shifts_table(results: Results) -> str:
    """Write how well shifted images are told from real ones."""
    cells = list(product(SHIFTS, TOLD_APART_BY))
    return _scores_table(
        SHIFT_HEAD, results, lambda runs: (told_apart(runs, kind, score).words(3) for kind, score in cells)
    )


def _scores_table(head: Sequence[str], results: Results, cells: Callable[[Results], Any]) -> str:
    return table(head, ([family, *cells(runs)] for family, runs in by_family(results).items()))


def accuracy(runs: Results, way: str) -> Summary:
    """Summarise the share of test rows that are right, in percent."""
    return Summary.of([100 * float(np.mean(run["right"][way])) for run in runs])


def loss(runs: Results, way: str) -> Summary:
    """Summarise the negative log-likelihood."""
    return Summary.of([run["loss"][way] for run in runs])


def calibration_error(runs: Results, way: str) -> float:
    """Compute the expected calibration error of the test rows of all runs together.

    It is biased upwards, the more so the fewer rows there are.
    """
    confidence, right = (
        np.array(list(chain.from_iterable(run[key][way] for run in runs))) for key in ("confidence", "right")
    )
    return reliability(confidence, right).expected_error


def risk(runs: Results, score: str) -> Summary:
    """Summarise the AUGRC of a score, in thousandths."""
    return Summary.of([1000 * run["augrc"][score] for run in runs])


def told_apart(runs: Results, kind: str, score: str) -> Summary:
    """Summarise the AUROC of a score for one kind of shifted images."""
    return Summary.of([run["auroc"][kind][score] for run in runs])
