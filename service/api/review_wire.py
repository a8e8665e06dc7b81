"""The JSON of reviews, as types."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from service.api.wire import ReasonView

Status = Literal["pending", "claimed", "resolved"]
Model = Annotated[str, Meta(description="Of this model alone.")]
Audit = (
    Annotated[
        bool, Meta(description="Audits alone, or others alone; of what is not resolved for admin alone.")
    ]
    | UnsetType
)
Value = float | list[float]
Label = Annotated[
    Annotated[str, Meta(min_length=1, max_length=1000)] | bool | int | float,
    Meta(description="A label's name; a number or a truth value stands for the name that says the same."),
]
Reviewer = Annotated[str, Meta(min_length=1, max_length=200, description="Who reviews: any name.")]

MOST_ITEMS = 200


class ListQuery(Struct, forbid_unknown_fields=True):
    """Which reviews to list."""

    status: Annotated[
        Literal["pending", "claimed", "resolved", "any"], Meta(description="Where they stand.")
    ] = "pending"
    model: Model = ""
    audit: Audit = UNSET
    order: (
        Annotated[
            Literal["uncertain", "oldest"],
            Meta(
                description="By score, the highest first, which compares rows of one model; or by age. Left "
                "out, by score, or by age where that would tell which are audits."
            ),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=MOST_ITEMS, description="The most to give.")] = 50
    cursor: Annotated[str, Meta(description="`next_cursor` of the answer before, in the same order.")] = ""


class ExportQuery(Struct, forbid_unknown_fields=True):
    """Which reviews to export, and how."""

    format: Annotated[
        Literal["jsonl", "label-studio"],
        Meta(description="One object a line, or the tasks that Label Studio imports."),
    ] = "jsonl"
    status: Annotated[
        Literal["pending", "claimed", "resolved", "any"], Meta(description="Where they stand.")
    ] = "any"
    model: Model = ""
    audit: Audit = UNSET


class ClaimBody(Struct, forbid_unknown_fields=True):
    """Who wants it."""

    reviewer: Reviewer


class ReleaseBody(Struct, forbid_unknown_fields=True):
    """Who gives it back; left out, whoever has it."""

    reviewer: Reviewer | UnsetType = UNSET


class ResolveBody(Struct, forbid_unknown_fields=True):
    """What is right: a label of the model's in classification, values in regression.

    Of a text whose tokens are labelled, the label is "correct" where all of theirs are, else "wrong".
    """

    reviewer: Reviewer
    label: Label | UnsetType = UNSET
    value: Value | UnsetType = UNSET
    note: Annotated[str, Meta(max_length=10_000)] = ""


class ClaimView(Struct):
    """Whose it is for now."""

    reviewer: str
    expires_at: datetime


class ResolutionView(Struct):
    """What the reviewer said; `agreed` is whether the model was right by it."""

    reviewer: str
    label: str | None
    value: Value | None
    note: str
    agreed: bool
    resolved_at: datetime


class Review(Struct):
    """A row that a person should look at.

    `input` is left out of lists, and null where the server keeps its hash alone. While audits are drawn, what
    tells them from flagged rows is null until they are resolved, except for keys with the scope admin.
    """

    id: str
    status: Status
    created_at: datetime
    model: str
    version: str
    task: Literal["classification", "token_classification", "regression"]
    policy_id: str
    measure: str
    threshold: float | None
    score: float | None
    reasons: list[ReasonView] | None
    prediction: dict[str, Any]
    statistics: dict[str, Any] | None
    request_id: str
    row: Annotated[int, Meta(description="Number of the row within its request.")]
    audit: Annotated[bool | None, Meta(description="Whether it was not flagged, and is here to check that.")]
    input_sha256: str | None
    claim: ClaimView | None
    resolution: ResolutionView | None
    input: (
        Annotated[Raw, Meta(extra_json_schema={"description": "The row, as one of `inputs`."})] | UnsetType
    ) = UNSET


class ReviewList(Struct):
    """Some reviews; `next_cursor` gives those behind them, and is null where there are none."""

    reviews: list[Review]
    next_cursor: str | None
    order: Literal["uncertain", "oldest"]
    blind: Annotated[
        bool,
        Meta(description="Whether what tells audits from flagged rows is left out until it is resolved."),
    ]


class ReviewTally(Struct):
    """How many reviews of one version stand where; of those resolved, how many agree with the model."""

    model: str
    version: str
    pending: int
    claimed: int
    resolved: int
    agreed: int


class AuditView(Struct):
    """What reviewers say of rows that were not flagged, as the present policy decides, and chance chose.

    `error` is the share of them that the model had wrong, null of none; more than `error_lower_bound` of all
    rows that are not flagged are wrong, at all moments together; `promised_error` is the share that may be,
    null where nothing is promised of these rows; `refuted` is whether the bound is above it.
    """

    rows: int
    error: float | None
    error_lower_bound: float
    promised_error: float | None
    refuted: bool


class WatchedVersion(Struct):
    """A version whose promise or scores are watched.

    `audits` is null where audits say nothing; `score_drift` is the population stability index of its last
    scores against those of the calibration, null where there are too few.
    """

    model: str
    version: str
    audits: AuditView | None
    score_drift: float | None


class ReviewStats(Struct):
    """The queue in numbers, by versions; `watched` are those that promise something, or were audited."""

    versions: list[ReviewTally]
    watched: list[WatchedVersion]
