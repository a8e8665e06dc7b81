"""What came of a run, told to whoever started it."""

from service.scoring.asked import samples_in_words
from service.scoring.distribution import Distribution
from service.scoring.run import Made

_BINS, _WIDTH = 16, 40
_QUANTILES = {"median": 0.5, "90 % below": 0.9, "99 % below": 0.99}


def summary(made: Made, found: Distribution) -> str:
    """Give it in lines."""
    lines = [_heading(made), *_failed(found)]
    if found.rows:
        lines += [_flagged(made, found), _certified(made), _spread(made, found), "", *_bars(made, found)]
    return "\n".join(lines)


def _heading(made: Made) -> str:
    identity, decision = made.model.identity, made.decision
    return (
        f"{made.rows:,} rows of {made.asked.input} by {identity.model}, version {identity.version}: "
        f"{samples_in_words(decision.rounds)}, seed {decision.seed}."
    )


def _failed(found: Distribution) -> list[str]:
    if not found.failed:
        return []
    return [f"{found.failed:,} of them have no answer: the column error says why."]


def _flagged(made: Made, found: Distribution) -> str:
    policy = made.decision.policy
    if policy.flags_every_row is not None:
        return f"Flagged: all, since {policy.flags_every_row}."
    share = found.flagged / found.rows
    return f"Flagged: {found.flagged:,} ({share:.1%}), {policy.measure} above {policy.threshold:.4g}."


def _certified(made: Made) -> str:
    policy = made.decision.policy
    guarantee = policy.guarantee
    if guarantee is None:
        return f"Not certified: {'; '.join(policy.uncertified)}."
    confidence = "" if guarantee.confidence is None else f", confidence {guarantee.confidence:.3g}"
    return f"Certified: {guarantee.contract}, target error {guarantee.target_error:.3g}{confidence}."


def _spread(made: Made, found: Distribution) -> str:
    quantiles = ", ".join(f"{name} {found.quantile(share):.3g}" for name, share in _QUANTILES.items())
    return (
        f"{made.decision.policy.measure}: mean {found.mean:.3g}, {quantiles}, "
        f"from {found.low:.3g} to {found.high:.3g}."
    )


def _bars(made: Made, found: Distribution) -> list[str]:
    """Draw a line for each range of scores; those that are flagged in another hatching."""
    edges, counts = found.histogram(_BINS)
    most, threshold = max(int(counts.max()), 1), made.decision.policy.threshold
    return [
        f"{low:9.3g} – {high:<9.3g} {_bar(count, most, flagged=low >= threshold):{_WIDTH}} {count:,}"
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    ]


def _bar(count: int, most: int, *, flagged: bool) -> str:
    return ("░" if flagged else "█") * -(-count * _WIDTH // most)
