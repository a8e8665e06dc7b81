"""When a row has had enough samples: a test of its score against the threshold, repeated in rounds.

A row is settled where its score is on one side of the threshold by more than chance can explain: where it
stays on that side while the mean that it is made of moves against it, by up to t(α_k, G - 1) standard
errors of the score (the jackknife's, with Student's t for its degrees of freedom). Where the score is
linear that is |score - threshold| > t · SE. Six things keep the promise that a settled flag is not the
flag of endless samples with a probability of at most `error`:

- **Looking several times.** Round k, which ends at n_k samples, may err with α_k = error · (n_k - n_(k-1))
  / max. These add up to `error`: alpha spending in proportion to what is known (Lan & DeMets 1983; Kim &
  DeMets 1987), added up, since the joint distribution of t over the rounds is not known. Only one side of
  the threshold is wrong, so the tests are one-sided.
- **What was not seen yet.** Where nearly all networks agree, the spread of a few samples says nothing about
  the networks that do not. So two imagined samples that speak against the decision join those that were
  drawn, as in Agresti & Coull (1998): 16 samples that are all sure settle nothing that a tenth of the
  networks could turn.
- **Bias.** Entropies of a mean are biased low: the bias that the jackknife finds counts where it is against
  the decision.
- **Curvature.** An entropy is steep where networks agree, and flat at its maximum, where a standard error
  is next to nothing. So the mean moves, the way that the samples speak against least, and not the score
  along a line.
- **Ties.** A score that is the greatest of components is above the threshold where one of them is, each
  tested with α_k / C for the C that may be at the threshold (Bonferroni), and below where all are, each with
  α_k: if the score is above, so is one of them, and the others only make the test stricter
  (intersection-union; Berger 1982). The least of components is the same, turned over.
- **Tokens.** A text is above the threshold where one of its tokens is, so the same holds of its tokens: one
  of them settles it above, each tested with α_k / C for its C tokens, or all of them below, each tested with
  α_k. Of a text that is below only the former can be wrong, with at most C · α_k / C; of one that is above
  only the latter, where its token that is above is said to be below, with α_k.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from service.uncertainty.components import Margins, ScoredMoments, components_of
from service.uncertainty.jackknife import Resamples
from service.uncertainty.scores import score
from service.uncertainty.student import t_quantile
from service.uncertainty.tokens import TokenMoments

Array = NDArray[np.float64]

DEFAULT_ERROR = 0.005

_GROWTH = 4 / 3
"""Each round ends at so many times the samples of the one before."""

_STEPS = 4  # over the top of an entropy, the far end of the way may be lower than its middle


@dataclass(frozen=True)
class Rounds:
    """How many samples a row may take, and how sure its flag must be.

    Args:
        minimum: samples of the first round, at least 2.
        maximum: samples of the last; equal to `minimum` for a fixed number.
        error: probability of a settled flag that endless samples would turn, above 0 and below 0.5.
    """

    minimum: int
    maximum: int
    error: float = DEFAULT_ERROR

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The first sample of each round, and the first of the next."""
        spans = [(0, self.minimum)]
        while (end := spans[-1][1]) < self.maximum:
            spans.append((end, min(self.maximum, ceil(end * _GROWTH))))
        return spans

    def spent(self, start: int, end: int) -> float:
        """Give the probability with which a round from so many samples to so many may err."""
        return self.error * (end - start) / self.maximum


def score_standard_error(moments: ScoredMoments | TokenMoments, name: str) -> Array:
    """Estimate how far the score is from that of endless samples, [rows]; of a text, that of its worst token.

    The variation ratio is a share of votes, of which √(v (1 - v) T + ¼) / (T + 1) is half the width of
    Wilson's interval at one standard error: not 0 where all votes agree. The others have the jackknife's.
    """
    if isinstance(moments, TokenMoments):
        errors = moments.of_rows(score_standard_error(moments.tokens, name))
        each = moments.tokens.groups.resamples()
        scores = moments.of_rows(score(moments.tokens.statistics(each.whole, each.count), name))
        return np.array([error[one.argmax()] for error, one in zip(errors, scores, strict=True)])
    resamples = moments.groups.resamples()
    whole = score(moments.statistics(resamples.whole, resamples.count), name)
    if name == "variation_ratio":
        count = moments.groups.count
        return np.asarray(np.sqrt(whole * (1 - whole) * count + 0.25) / (count + 1))
    left_out = score(moments.statistics(resamples.left_out, resamples.rest), name)
    return resamples.standard_error(whole, left_out)


def settled(
    moments: ScoredMoments | TokenMoments, name: str, threshold: Array | float, error: float
) -> NDArray[np.bool_]:
    """Tell which rows' score is on its side of the threshold by more than chance, [rows].

    Args:
        moments: of the samples so far, at least 2.
        name: of the score.
        threshold: a score above it is flagged; one for all rows, or [rows].
        error: probability with which this look may err.
    """
    if isinstance(moments, TokenMoments):
        each = error / moments.of_tokens(moments.counts)
        above, below = _sure_sides(moments.tokens, name, moments.of_tokens(threshold), each, error)
        pairs = zip(moments.of_rows(above), moments.of_rows(below), strict=True)
        return np.array([up.any() or down.all() for up, down in pairs])
    above, below = _sure_sides(moments, name, threshold, error, error)
    return above | below


def _sure_sides(
    moments: ScoredMoments, name: str, threshold: Array | float, above: Array | float, below: Array | float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which rows' score is above the threshold by more than chance, and which below, each [rows].

    Args:
        moments: of the samples so far, at least 2.
        name: of the score.
        threshold: one for all rows, or [rows].
        above: probability with which a row may be said to be above that is not; one for all, or [rows].
        below: the same of below.
    """
    components = components_of(moments, name, threshold)
    drawn = components.drawn
    up = components.margins(drawn.whole, drawn.count) > 0
    side = np.where(up, 1.0, -1.0)
    against = drawn.with_samples(np.where(up[..., None], components.lowest, components.highest))
    greatest = components.deciding > 0
    ways = {greatest: components.contenders, not greatest: np.ones(1)}
    quantiles = [
        _quantiles(error / ways[way], len(drawn.sizes) - 1) for way, error in ((True, above), (False, below))
    ]
    sure = _least_distances(components.margins, against, np.where(up, *quantiles), side) > 0
    one, all_of = (sure & (up == greatest)).any(-1), (sure & (up != greatest)).all(-1)
    return (one, all_of) if greatest else (all_of, one)


def _quantiles(tails: Array | float, degrees: int) -> Array:
    """Give Student's quantile of each tail, [1] or [rows], as [..., 1]."""
    return np.array([[t_quantile(tail, degrees)] for tail in np.ravel(tails).tolist()])


def _least_distances(margins: Margins, against: Resamples, t: Array, side: Array) -> Array:
    """Give how far on its side each component is at the least, on the way of t standard errors.

    Args:
        margins: of the components.
        against: what was drawn, and imagined against `side`, [groups, rows, components, width].
        t: [rows, components].
        side: 1 above the threshold, -1 below, [rows, components].
    """
    whole, left_out = margins(against.whole, against.count), margins(against.left_out, against.rest)
    bias = np.minimum(0, side * (against.corrected(whole, left_out) - whole))
    steps = np.linspace(0, 1, _STEPS + 1).reshape(-1, 1, 1, 1)
    way = against.whole - steps * (side * t)[..., None] * against.direction(whole, left_out)
    return np.asarray((side * margins(way, against.count)).min(0) + bias)
