"""A calibration in words."""

from service.calibration.calibrating import Outcome
from service.calibration.run import Made
from service.repository.calibration import Calibration, Found, Promise


def percent(share: float) -> str:
    """Write a share as people do: 2 %, 0.5 %, 18 %."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"


def promise_in_words(calibration: Calibration) -> str:
    """Say what is promised, and what it costs; or that nothing is, and what it would take."""
    found, promise = calibration.found, calibration.promise
    target = percent(promise.target_error)
    sure = "on average" if promise.confidence is None else f"{percent(promise.confidence)} confidence"
    what = wrong_in_words(promise)
    if found.threshold is None:
        return _nothing(found, target, sure)
    flagged = percent(1 - found.accepted / found.rows)
    kept = (
        f"Of the rows not flagged at most {target} are {what} ({sure})"
        if promise.contract == "selective_risk"
        else f"Of all rows at most {target} are {what} and not flagged ({sure})"
    )
    return f"{kept}; {_cost(calibration, flagged)}."


def wrong_in_words(promise: Promise) -> str:
    """Say what counts as wrong: of values, how far off is too far."""
    if promise.tolerances is not None:
        each = [f"{one:g} in value {place}" for place, one in enumerate(promise.tolerances, 1)]
        return f"off by more than {', '.join(each[:-1])} or {each[-1]}"
    return "wrong" if promise.tolerance is None else f"more than {promise.tolerance:g} off"


def _cost(calibration: Calibration, flagged: str) -> str:
    found = calibration.found
    if calibration.rows_of == "all":
        return f"expect {flagged} to be flagged"
    if found.accepted == found.rows:
        return "the threshold stays what it was"
    return f"of the rows that are not flagged today, {flagged} would be flagged too"


def _nothing(found: Found, target: str, sure: str) -> str:
    needed = (
        f"About {found.rows_needed} labelled rows are needed, if further rows are like these"
        if found.rows_needed is not None
        else "No threshold has so few errors even on these rows: more rows will not help, but a better model "
        "or a higher --target-error would"
    )
    return (
        f"Nothing can be certified: on {found.rows} rows no threshold keeps the errors at {target} ({sure}). "
        f"{needed}. Until then the server flags every row; without calibration.json it goes by model.toml "
        "again."
    )


def made_in_words(made: Made) -> str:
    """Tell what came of a calibration, in paragraphs."""
    calibration, outcome = made.calibration, made.outcome
    identity = made.model.identity
    rows = len(made.labelled.rows)
    choosing = len(outcome.split.choosing)
    paragraphs = [
        promise_in_words(calibration),
        f"{identity.model}, version {identity.version}: {rows} rows of {made.data}, {choosing} to choose the "
        f"score and {calibration.found.rows} to certify its threshold.",
        *_measured(calibration),
        f"Scores by AUGRC on the {choosing} rows, lower is better:\n{_table(outcome)}",
        *filter(None, [untold(outcome)]),
    ]
    if calibration.temperature != 1:
        paragraphs.append(
            f"The logits of samples are divided by {calibration.temperature:.4g} before the softmax."
        )
    paragraphs += _asked_for(made)
    if made.note:
        paragraphs.append(made.note)
    if made.labelled.repeated:
        paragraphs.append(
            f"{made.labelled.repeated} rows are the same as others: rows that are copies of each other make "
            "a promise look surer than it is."
        )
    return "\n\n".join(paragraphs)


def untold(outcome: Outcome) -> str:
    """Say that rows without an error choose no score; empty where they do."""
    if any(one.augrc for one in outcome.figures):
        return ""
    return (
        f"None of these rows is wrong, so that they tell no score from another; {outcome.measure} is taken."
    )


def _asked_for(made: Made) -> list[str]:
    """Say what a request must ask for, where that is not what it gets."""
    samples = made.calibration.draws.samples
    if samples == made.model.manifest.sampling.samples:
        return []
    return [
        f'The promise is about requests with "samples": {samples}; others are answered with certified false. '
        f"To give each as many, write samples = {samples} under [sampling] into model.toml."
    ]


def _measured(calibration: Calibration) -> list[str]:
    found = calibration.found
    if found.threshold is None:
        return []
    return [
        f"Flagged is a row with {calibration.measure} above {found.threshold:.6g}. Of {found.accepted} rows "
        f"below, {found.errors} {'was' if found.errors == 1 else 'were'} wrong; the exact bound is "
        f"{percent(found.error_bound)}."
    ]


def _table(outcome: Outcome) -> str:
    figures = outcome.figures
    width = max(len(one.measure) for one in figures)
    lines = [f"{'':{width}}     AUGRC      AURC  AUROC  AUGRC of all rows"]
    for one in figures:
        auroc = "    -" if one.auroc is None else f"{one.auroc:.3f}"
        over_all = outcome.over_all[one.measure]
        lines.append(f"{one.measure:{width}}  {one.augrc:.6f}  {one.aurc:.6f}  {auroc}  {over_all:.6f}")
    return "\n".join(lines)
