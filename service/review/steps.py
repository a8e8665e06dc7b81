"""The steps that an item takes: pending → claimed → resolved, and back to pending by release or by lapse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.errors import Conflict, InvalidInput
from service.labels import Labels
from service.review.items import OF_TOKENS, Claim, Item, Resolution, Value


@dataclass(frozen=True)
class Verdict:
    """What a reviewer says is right.

    Args:
        label: in classification; of tokens, one of `OF_TOKENS`.
        value: in regression.
        note: whatever else.
    """

    label: str | None = None
    value: Value | None = None
    note: str = ""

    def in_words_of(self, labels: Sequence[str]) -> "Verdict":
        """Give it with the model's own name for its label.

        Args:
            labels: of the model; none where these are not known.

        Raises:
            InvalidInput: the label is none of them, or may be several.
        """
        if self.label is None or not labels:
            return self
        try:
            index = Labels(labels).find(self.label)
        except ValueError as cause:
            raise InvalidInput(f"label {cause}") from cause
        if index is None:
            raise InvalidInput(f"label must be one of {', '.join(labels)}, and is {self.label[:40]!r}")
        return replace(self, label=labels[index])


def claimed(item: Item, reviewer: str, now: float, lease_seconds: float) -> Item:
    """Give the item as a reviewer's own for a while; claiming it again begins the while anew.

    Raises:
        Conflict: another has it, or it is resolved.
    """
    _check_open(item)
    held = item.held(now)
    if held is not None and held.reviewer != reviewer:
        raise Conflict(f"review {item.id} is claimed by {held.reviewer}; wait until it is released or lapses")
    return replace(item, claim=Claim(reviewer, now + lease_seconds))


def released(item: Item, reviewer: str | None, now: float) -> Item:
    """Give the item back to all.

    Args:
        item: that is claimed.
        reviewer: who has it; None for whoever that is.
        now: in seconds since 1970.

    Raises:
        Conflict: nobody has it, or another, or it is resolved.
    """
    _check_open(item)
    _check_held(item, reviewer, now)
    return item.without_claim()


def resolved(item: Item, reviewer: str, verdict: Verdict, now: float) -> Item:
    """Give the item with its resolution.

    Raises:
        Conflict: the reviewer does not have it, or it is resolved.
        InvalidInput: the verdict is not of the model's kind.
    """
    _check_open(item)
    _check_held(item, reviewer, now)
    _check_kind(item, verdict)
    agreed = _agreed(item.row.prediction, verdict)
    resolution = Resolution(reviewer, verdict.label, verdict.value, verdict.note, agreed, now)
    return replace(item, resolution=resolution)


def labelled(item: Item, reviewer: str, verdict: Verdict, now: float) -> Item:
    """Give the item with a resolution from elsewhere; the same word said again changes nothing.

    Raises:
        Conflict: another has it, or it is resolved otherwise.
        InvalidInput: the verdict is not of the model's kind.
    """
    done = item.resolution
    if done is not None and (done.reviewer, done.label, done.value) == (
        reviewer,
        verdict.label,
        verdict.value,
    ):
        return item
    return resolved(claimed(item, reviewer, now, lease_seconds=1.0), reviewer, verdict, now)


def _check_open(item: Item) -> None:
    if item.resolution is not None:
        raise Conflict(f"review {item.id} is resolved already, by {item.resolution.reviewer}")


def _check_held(item: Item, reviewer: str | None, now: float) -> None:
    held = item.held(now)
    if held is None:
        raise Conflict(f"review {item.id} is claimed by nobody, or the claim has lapsed; claim it first")
    if reviewer not in (None, held.reviewer):
        raise Conflict(f"review {item.id} is claimed by {held.reviewer}, and not by {reviewer}")


def _check_kind(item: Item, verdict: Verdict) -> None:
    kind, other = ("value", "label") if item.row.task == "regression" else ("label", "value")
    if getattr(verdict, kind) is None or getattr(verdict, other) is not None:
        raise InvalidInput(f"model {item.row.model} does {item.row.task}: give a {kind}, and no {other}")
    if item.row.task == "token_classification" and verdict.label not in OF_TOKENS:
        raise InvalidInput(
            f"model {item.row.model} labels tokens: say {OF_TOKENS[0]}, where all of their labels are, or "
            f"{OF_TOKENS[1]}, and not {verdict.label!r}"
        )
    if kind == "value":
        wanted, given = len(item.row.prediction["value"]), len(_listed(verdict.value))
        if wanted != given:
            raise InvalidInput(f"value must have {wanted} numbers, as the prediction has, and has {given}")


def _agreed(prediction: Mapping[str, Any], verdict: Verdict) -> bool:
    """Tell whether the model was right: by its label, or by all its values.

    A value is right within the tolerance that a promise is about; where there is none, within its interval.
    """
    if "tokens" in prediction:
        return verdict.label == OF_TOKENS[0]
    if verdict.label is not None:
        return bool(verdict.label == prediction["label"])
    said, tolerance = _listed(verdict.value), prediction.get("tolerance")
    tolerances = prediction.get("tolerances", None if tolerance is None else [tolerance] * len(said))
    if tolerances is not None:
        pairs = zip(prediction["value"], said, tolerances, strict=True)
        return all(abs(mean - one) <= most for mean, one, most in pairs)
    interval = prediction["interval"]
    bounds = zip(interval["lower"], said, interval["upper"], strict=True)
    return all(lower <= one <= upper for lower, one, upper in bounds)


def _listed(value: Value | None) -> list[float]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
