"""The JSON of the native face, as types: what is decoded, encoded, and shown in the OpenAPI document."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from service.predictor.drawing import MAX_ERROR, MIN_ERROR, MIN_SAMPLES
from service.uncertainty.sequential import DEFAULT_ERROR

Numbers = list[float]

# Limits that the predictor holds, in its own words: here they are only told.
AT_LEAST_TWO = {"minimum": MIN_SAMPLES}
SEEDS = {"minimum": 0, "maximum": 2**64 - 1}

_ROWS = {"type": "array", "minItems": 1}
_ROW = {"anyOf": [{"type": "array"}, {"type": "number"}, {"type": "string"}, {"type": "object"}]}
Inputs = Annotated[
    Raw,
    Meta(
        description="An array of rows, each of the model's input shape; for a model of several inputs, an "
        "object of such arrays by their names; for a text model, an array of strings. Where the model's "
        "`inputs` tell `columns`, a row may be an object of its numbers by these names, in any order: each "
        "once, and no other.",
        extra_json_schema={
            "oneOf": [
                _ROWS | {"items": _ROW},
                {"type": "object", "minProperties": 1, "additionalProperties": _ROWS},
            ]
        },
    ),
]


class PredictBody(Struct, forbid_unknown_fields=True):
    """A request for predictions."""

    inputs: Inputs


class AdaptiveSamples(Struct, forbid_unknown_fields=True):
    """As many samples as a row's flag needs."""

    min: Annotated[int, Meta(description="The fewest, from 2.", extra_json_schema=AT_LEAST_TWO)]
    max: Annotated[
        int, Meta(description="The most, up to the model's max_samples.", extra_json_schema=AT_LEAST_TWO)
    ]
    error: Annotated[
        float,
        Meta(
            description="Probability of a settled flag that endless samples would turn, 1e-6 to 0.25.",
            extra_json_schema={"minimum": MIN_ERROR, "maximum": MAX_ERROR},
        ),
    ] = DEFAULT_ERROR


class UncertaintyBody(Struct, forbid_unknown_fields=True):
    """A request for Monte Carlo samples; what is left out takes the model's default."""

    inputs: Inputs
    samples: (
        Annotated[
            Annotated[int, Meta(extra_json_schema=AT_LEAST_TWO)] | AdaptiveSamples | Literal["exact"],
            Meta(
                description="How many, from 2 to the model's max_samples; or as many as each row needs; or "
                '"exact", for mean and variance in closed form, where the model\'s `sampling.exact` is true.'
            ),
        ]
        | UnsetType
    ) = UNSET
    seed: (
        Annotated[
            int,
            Meta(
                description="Which thinned networks, 0 to 2**64 - 1; null for fresh ones.",
                extra_json_schema=SEEDS,
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    threshold: (
        Annotated[float, Meta(description="A threshold of this request's own; the answer is not certified.")]
        | UnsetType
    ) = UNSET
    include: Annotated[
        list[Literal["samples", "quantiles"]],
        Meta(description="What to give besides: raw samples, quantiles; exact answers have none."),
    ] = []
    review: Annotated[bool, Meta(description="Whether flagged rows enter the review queue.")] | UnsetType = (
        UNSET
    )


class ClassRow(Struct):
    """The prediction of one row's class."""

    label: str
    class_index: int
    confidence: Annotated[float, Meta(description="The class's probability.")]
    probabilities: Numbers


class ValueRow(Struct):
    """The prediction of one row's values."""

    value: Numbers
    aleatoric_variance: Numbers | UnsetType = UNSET


class GuaranteeView(Struct):
    """What is promised of the rows that are not flagged; `confidence` is null where it holds on average."""

    contract: Literal["selective_risk", "joint_risk"]
    target_error: float
    confidence: float | None
    tolerance: (
        Annotated[float, Meta(description="In regression: a row is wrong where a value is farther off.")]
        | UnsetType
    ) = UNSET
    tolerances: (
        Annotated[
            Numbers,
            Meta(description="In place of `tolerance` where values have different ones: one for each."),
        ]
        | UnsetType
    ) = UNSET


class PolicyView(Struct):
    """What decided which rows are flagged."""

    id: str
    measure: str
    threshold: float
    source: Literal["calibrated", "configured", "request"]
    certified: bool
    guarantee: GuaranteeView | None
    uncertified_reasons: Annotated[list[str], Meta(description="Why nothing is promised; empty where it is.")]


class ReasonView(Struct):
    """Why a row is flagged."""

    code: str
    message: str


class Quantiles(Struct, rename={"low": "0.05", "median": "0.5", "high": "0.95"}):
    """Quantiles over the samples, element by element."""

    low: Numbers
    median: Numbers
    high: Numbers


class Interval(Struct):
    """An interval for each value."""

    level: float
    lower: Numbers
    upper: Numbers
    method: str


class PredictionSet(Struct):
    """Labels of which one is the truth for a share `level` of all rows."""

    level: float
    labels: list[str]
    method: str


class ClassUncertainty(Struct):
    """What the samples say about one row's class. Entropies in nats."""

    label: str
    class_index: int
    confidence: float
    mean: Numbers
    variance: Numbers
    standard_error: Numbers
    predictive_entropy: float
    expected_entropy: float
    mutual_information: float
    variation_ratio: float
    samples: Annotated[int, Meta(description="How many the row took.")]
    score: float
    score_standard_error: Annotated[float, Meta(description="Monte Carlo standard error of `score`.")]
    settled: Annotated[
        bool,
        Meta(description="Whether endless samples would flag the row alike, but for `samples.error`."),
    ]
    low_confidence: bool
    reasons: list[ReasonView]
    review_id: str | None
    prediction_set: PredictionSet | UnsetType = UNSET
    sample_outputs: list[Numbers] | UnsetType = UNSET
    quantiles: Quantiles | UnsetType = UNSET


class ValueUncertainty(Struct):
    """What the samples say about one row's values."""

    mean: Numbers
    variance: Numbers
    aleatoric_variance: Numbers | None
    total_variance: Numbers
    standard_error: Numbers
    interval: Interval
    samples: Annotated[int, Meta(description="How many the row took.")]
    score: float
    score_standard_error: Annotated[float, Meta(description="Monte Carlo standard error of `score`.")]
    settled: Annotated[
        bool,
        Meta(
            description="Whether endless samples would flag the row alike, but for `samples.error`; "
            "not promised of heavy-tailed values near the threshold."
        ),
    ]
    low_confidence: bool
    reasons: list[ReasonView]
    review_id: str | None
    sample_outputs: list[Numbers] | UnsetType = UNSET
    quantiles: Quantiles | UnsetType = UNSET


class Reply(Struct, kw_only=True):
    """What every answer says of itself."""

    model: str
    version: str
    mode: Literal["deterministic", "mc_dropout"]
    request_id: str


class ClassPredictions(Reply, kw_only=True):
    """Predicted classes, one a row, nothing dropped."""

    predictions: list[ClassRow]


class ValuePredictions(Reply, kw_only=True):
    """Predicted values, one a row, nothing dropped."""

    predictions: list[ValueRow]


class UncertaintyReply(Reply, kw_only=True):
    """What every Monte Carlo answer says of itself."""

    seed: int
    samples: Annotated[
        AdaptiveSamples | Literal["exact"],
        Meta(description="What each row could take; min and max of a fixed number are one."),
    ]
    policy: PolicyView
    review_error: (
        Annotated[str, Meta(description="Why rows that should be in the review queue are not.")] | UnsetType
    ) = UNSET


class ClassUncertainties(UncertaintyReply, kw_only=True):
    """Monte Carlo results of a classifier, one a row."""

    results: list[ClassUncertainty]


class ValueUncertainties(UncertaintyReply, kw_only=True):
    """Monte Carlo results of a regression model, one a row."""

    results: list[ValueUncertainty]
