"""Which items of the review queue are a fair sample of the rows that are not flagged: audit rows alone.

Audit rows are chosen by a hash of the row, whatever it is, of those that were not flagged. Flagged rows are
here because their scores are high; another threshold, or another setting, shows another part of the rows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.errors import CalibrationError
from service.repository.calibration import Draws
from service.review.items import Item, Row

_NO_SAMPLES = 0  # what the statistics of an exact answer say


@dataclass(frozen=True)
class Serving:
    """How rows are answered today.

    Args:
        model: its name.
        version: of the model.
        policy_id: of what decides a row.
        draws: which samples.
    """

    model: str
    version: str
    policy_id: str
    draws: Draws


@dataclass(frozen=True)
class Audits:
    """A fair sample.

    Args:
        items: audit rows, the oldest first, all resolved.
        left_out: in words, what else was there; and how many.
    """

    items: Sequence[Item]
    left_out: Counter[str]

    def without(self, places: Iterable[int], why: str) -> "Audits":
        """Leave out items by their places."""
        gone = set(places)
        kept = [item for place, item in enumerate(self.items) if place not in gone]
        return Audits(kept, self.left_out + Counter({why: len(gone)}))


def fair_sample(items: Iterable[Item], serving: Serving) -> Audits:
    """Find the audit rows of today's setting up to the newest that is resolved.

    Args:
        items: of the model, the oldest first.
        serving: today's setting.

    Raises:
        CalibrationError: there are none, or some were passed over; the text says what to do.
    """
    left_out: Counter[str] = Counter()
    fair: list[Item] = []
    for item in items:
        why = _unfair(item.row, serving)
        if why is None:
            fair.append(item)
        else:
            left_out[why] += 1
    known = _resolved(fair, left_out, serving)
    newer = len(fair) - len(known)
    return Audits(known, left_out + Counter({"audit rows newer than the last that is resolved": newer}))


def in_words(left_out: Counter[str]) -> str:
    """Say what was left out; an empty text where nothing was."""
    told = "; ".join(f"{why}: {count}" for why, count in left_out.items() if count)
    return f"Left out of the review queue: {told}." if told else ""


def _unfair(row: Row, serving: Serving) -> str | None:
    if row.version != serving.version:
        return "items of other versions"
    if not row.audit or row.reasons:
        return "flagged rows, which are no fair sample"
    if row.policy_id != serving.policy_id:
        return "audit rows of another threshold or score"
    if not _drawn_alike(row, serving.draws):
        return "audit rows of other samples or another seed"
    if row.input is None:
        return "audit rows without their input"
    return None


def _drawn_alike(row: Row, draws: Draws) -> bool:
    if row.statistics.get("adaptive"):
        return False  # of those that took so many, only the hard ones are here
    if draws.samples == "exact":
        return row.statistics.get("samples") == _NO_SAMPLES
    return (row.statistics.get("samples"), row.statistics.get("seed")) == (draws.samples, draws.seed)


def _resolved(fair: Sequence[Item], left_out: Counter[str], serving: Serving) -> Sequence[Item]:
    """Give all up to the newest that is resolved, none of which may be open."""
    done = [place for place, item in enumerate(fair) if item.resolution is not None]
    named = f"{serving.model}, version {serving.version}"
    if not done:
        raise CalibrationError(_nothing(len(fair), left_out, named))
    known = fair[: done[-1] + 1]
    missing = len(known) - len(done)
    if missing:
        raise CalibrationError(
            f"of the {len(known)} audit rows of {named} up to the newest that is resolved, {missing} are "
            "not. Without them the others are no fair sample: what reviewers pass over is often what the "
            "model gets wrong. Resolve the oldest first, in the order of "
            f"`unsure reviews list --model {serving.model} --order oldest`"
        )
    return known


def _nothing(waiting: int, left_out: Counter[str], named: str) -> str:
    text = f"no audit row of {named} is resolved that today's setting decided; "
    if not waiting and left_out["audit rows without their input"]:
        return text + (
            f"{left_out['audit rows without their input']} are kept without their input: serve with "
            "UNSURE_REVIEW_INPUTS=stored, and wait for others, or bring labelled rows with --data"
        )
    if waiting:
        return text + f"{waiting} wait for a reviewer"
    told = in_words(left_out)
    return text + "bring labelled rows with --data" + (f". {told}".removesuffix(".") if told else "")
