"""The JSON of texts whose tokens are labelled, as types."""

from typing import Annotated

from msgspec import Meta, Struct

from service.api.wire import Numbers, ReasonView, Reply, UncertaintyReply

Start = Annotated[int, Meta(description="First character of the token, in code points of the text, from 0.")]
End = Annotated[int, Meta(description="The character behind its last.")]


class TokenRow(Struct):
    """The prediction of one token's class."""

    text: str
    start: Start
    end: End
    label: str
    class_index: int
    confidence: Annotated[float, Meta(description="The class's probability.")]
    probabilities: Numbers


class TextRow(Struct):
    """The predictions of one text's tokens; those that stand for no part of it are left out."""

    tokens: list[TokenRow]


class TokenUncertainty(Struct):
    """What the samples say about one token's class. Entropies in nats."""

    text: str
    start: Start
    end: End
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
    score: float


class TextUncertainty(Struct):
    """What the samples say about one text; it is as uncertain as its most uncertain token."""

    tokens: list[TokenUncertainty]
    samples: Annotated[int, Meta(description="How many the text took.")]
    score: Annotated[float, Meta(description="The highest of its tokens.")]
    score_standard_error: Annotated[
        float, Meta(description="Monte Carlo standard error of that token's score.")
    ]
    settled: Annotated[
        bool,
        Meta(description="Whether endless samples would flag the text alike, but for `samples.error`."),
    ]
    low_confidence: bool
    reasons: list[ReasonView]
    review_id: str | None


class TokenPredictions(Reply, kw_only=True):
    """Predicted classes of the tokens of texts, one a row, nothing dropped."""

    predictions: list[TextRow]


class TokenUncertainties(UncertaintyReply, kw_only=True):
    """Monte Carlo results of a model that labels tokens, one text a row."""

    results: list[TextUncertainty]
