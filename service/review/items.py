"""What the queue holds: a row that somebody should look at, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal

Status = Literal["pending", "claimed", "resolved"]
Task = Literal["classification", "token_classification", "regression"]

Value = float | list[float]

OF_TOKENS = ("correct", "wrong")
"""What is said of a text whose tokens are labelled, as a whole: the first where all of them are right."""


@dataclass(frozen=True)
class Reason:
    """Why a row is here."""

    code: str
    message: str


@dataclass(frozen=True)
class Row:
    """One row that shall enter, with what was answered about it.

    Args:
        request_id: of the request that it came with.
        number: of the row within the request, from 0.
        model: that answered.
        version: of the model.
        task: of the model.
        policy_id: of what decided.
        measure: the name of the score.
        threshold: of the policy.
        score: of the row.
        reasons: why it is flagged; empty where it is not.
        prediction: what was answered: a label, values, or tokens, each with a label.
        statistics: all that the samples gave, by name.
        input: the row as JSON; None where inputs are not to be stored.
        input_sha256: of the row's numbers, in hexadecimal digits.
        audit: whether it is here to check what was not flagged.
    """

    request_id: str
    number: int
    model: str
    version: str
    task: Task
    policy_id: str
    measure: str
    threshold: float
    score: float
    reasons: tuple[Reason, ...]
    prediction: Mapping[str, Any]
    statistics: Mapping[str, Any]
    input: bytes | None
    input_sha256: str
    audit: bool = False

    @property
    def fingerprint(self) -> str:
        """The same for a request that is sent again, under its identifier, and for nothing else.

        The identifier may be a client's own, and two clients may choose one: what was asked is part of it.
        """
        parts = (self.request_id, self.model, self.version, str(self.number), self.input_sha256)
        # None of these holds a line break: request identifiers and model names have patterns.
        return sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Claim:
    """Whose item it is for now.

    Args:
        reviewer: a name.
        expires: when it lapses, in seconds since 1970.
    """

    reviewer: str
    expires: float


@dataclass(frozen=True)
class Resolution:
    """What a reviewer said.

    Args:
        reviewer: a name.
        label: the right one, in classification; of tokens, whether all their labels are: one of `OF_TOKENS`.
        value: the right one, in regression: one for each of the model's.
        note: whatever else; may be empty.
        agreed: whether the model was right by it.
        time: when, in seconds since 1970.
    """

    reviewer: str
    label: str | None
    value: Value | None
    note: str
    agreed: bool
    time: float


@dataclass(frozen=True)
class Item:
    """One entry of the queue.

    Args:
        id: cannot be guessed; later ones are greater.
        created: when it entered, in seconds since 1970.
        row: what entered.
        claim: the last one, which may have lapsed.
        resolution: None until there is one.
    """

    id: str
    created: float
    row: Row
    claim: Claim | None = None
    resolution: Resolution | None = None

    def status(self, now: float) -> Status:
        """Tell where it stands: a claim that has lapsed is none."""
        if self.resolution is not None:
            return "resolved"
        return "pending" if self.held(now) is None else "claimed"

    def held(self, now: float) -> Claim | None:
        """Give the claim that holds."""
        return self.claim if self.claim is not None and self.claim.expires > now else None

    def without_claim(self) -> "Item":
        """Give it as it is when nobody has it."""
        return replace(self, claim=None)
