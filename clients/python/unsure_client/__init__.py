"""A client of unsure, the inference server that knows when its models don't know.

from unsure_client import Client

with Client("http://127.0.0.1:8000") as client:
    result = client.uncertainty("breast-cancer", rows, samples=50)
    result.low_confidence   # which rows a person should look at
"""

from unsure_client.async_client import AsyncClient
from unsure_client.client import Client
from unsure_client.errors import (
    Conflict,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    ModelChanged,
    ModelError,
    NoDropout,
    NotFound,
    Overloaded,
    RequestFailed,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    UnsureError,
)
from unsure_client.models import AdaptiveSamples, DropoutReport, Guarantee, Model, ModelLine, Policy
from unsure_client.parts import Batching
from unsure_client.predicted import Predictions
from unsure_client.predictions import ClassPredictions, ValuePredictions
from unsure_client.retries import Retries
from unsure_client.reviews import Review, ReviewPage
from unsure_client.sampled import Reason
from unsure_client.tokens import PredictedTokens, TokenPredictions, TokenUncertainties, UncertainTokens
from unsure_client.uncertainties import (
    AnyUncertainties,
    ClassUncertainties,
    Uncertainties,
    ValueUncertainties,
)

__version__ = "0.1.0"

__all__ = [
    "AdaptiveSamples",
    "AnyUncertainties",
    "AsyncClient",
    "Batching",
    "ClassPredictions",
    "ClassUncertainties",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DeadlineExceeded",
    "DropoutReport",
    "Forbidden",
    "Guarantee",
    "InvalidInput",
    "Model",
    "ModelChanged",
    "ModelError",
    "ModelLine",
    "NoDropout",
    "NotFound",
    "Overloaded",
    "Policy",
    "PredictedTokens",
    "Predictions",
    "Reason",
    "RequestFailed",
    "Retries",
    "Review",
    "ReviewPage",
    "TokenPredictions",
    "TokenUncertainties",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UncertainTokens",
    "Uncertainties",
    "UnexpectedAnswer",
    "UnsureError",
    "ValuePredictions",
    "ValueUncertainties",
]
