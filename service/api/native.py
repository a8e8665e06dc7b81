"""The native face, /v1."""

from typing import Literal

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from service.api.exchange import decode, read_body, reply, request_id, version_number
from service.api.model_views import (
    DropoutReply,
    ModelList,
    ModelReply,
    dropout_reply,
    model_line,
    model_reply,
)
from service.api.observed import Observer, is_sampled
from service.api.operations import INFERENCE_ERRORS, MODEL_ERRORS, Operation, model_paths
from service.api.token_wire import TokenPredictions, TokenUncertainties
from service.api.views import predict_reply, uncertainty_reply
from service.api.wire import (
    AdaptiveSamples,
    ClassPredictions,
    ClassUncertainties,
    PredictBody,
    UncertaintyBody,
    ValuePredictions,
    ValueUncertainties,
)
from service.errors import NoDropout
from service.predictor.answers import Exact, Question, UncertaintyQuestion
from service.predictor.catalogue import Catalogue
from service.predictor.predictor import Predictor
from service.uncertainty.sequential import Rounds

# The body and what it holds. Names in rows lie deeper: who reads these can say which row has one twice.
_FRAME_DEPTH = 2


class NativeFace:
    """Handlers of /v1.

    Args:
        predictor: answers questions.
        catalogue: knows the models.
        observer: counts requests.
        max_body_bytes: the largest body.
    """

    def __init__(
        self, predictor: Predictor, catalogue: Catalogue, observer: Observer, max_body_bytes: int
    ) -> None:
        self._predictor = predictor
        self._catalogue = catalogue
        self._observer = observer
        self._max_body_bytes = max_body_bytes

    def operations(self) -> list[Operation]:
        """List what this face can be asked."""
        return [
            *(
                Operation(
                    "POST",
                    f"{model}/predict",
                    "Predict, nothing dropped",
                    self.predict,
                    PredictBody,
                    (ClassPredictions, TokenPredictions, ValuePredictions),
                    INFERENCE_ERRORS,
                    scope="predict",
                )
                for model in model_paths("/v1")
            ),
            *(
                Operation(
                    "POST",
                    f"{model}/uncertainty",
                    "Sample thinned networks: mean, variance, measures and a flag",
                    self.uncertainty,
                    UncertaintyBody,
                    (ClassUncertainties, TokenUncertainties, ValueUncertainties),
                    (*INFERENCE_ERRORS, NoDropout),
                    scope="predict",
                )
                for model in model_paths("/v1")
            ),
            Operation(
                "GET", "/v1/models", "List the models", self.models, replies=(ModelList,), scope="predict"
            ),
            Operation(
                "GET",
                "/v1/models/{model}",
                "Describe a model",
                self.model,
                replies=(ModelReply,),
                errors=MODEL_ERRORS,
                scope="predict",
            ),
            Operation(
                "GET",
                "/v1/models/{model}/dropout",
                "Report a model's dropout",
                self.dropout,
                replies=(DropoutReply,),
                errors=MODEL_ERRORS,
                scope="predict",
            ),
        ]

    async def predict(self, request: Request) -> Response:
        """Answer POST …/predict."""
        return await self._observer.observe(request, self._predict)

    async def uncertainty(self, request: Request) -> Response:
        """Answer POST …/uncertainty."""
        is_sampled(request)
        return await self._observer.observe(request, self._uncertainty)

    async def models(self, _request: Request) -> Response:
        """Answer GET /v1/models."""
        return reply(ModelList([model_line(entry) for entry in self._catalogue.entries()]))

    async def model(self, request: Request) -> Response:
        """Answer GET /v1/models/{model}."""
        entry = self._catalogue.entry(request.path_params["model"])
        return reply(model_reply(entry, entry.default))

    async def dropout(self, request: Request) -> Response:
        """Answer GET /v1/models/{model}/dropout."""
        return reply(dropout_reply(self._catalogue.find(request.path_params["model"], None)))

    async def _predict(self, request: Request) -> Response:
        body = decode(await read_body(request, self._max_body_bytes), PredictBody, _FRAME_DEPTH)
        question = Question(request.path_params["model"], version_number(request), bytes(body.inputs))
        return reply(predict_reply(await self._predictor.predict(question), request_id(request.scope)))

    async def _uncertainty(self, request: Request) -> Response:
        body = decode(await read_body(request, self._max_body_bytes), UncertaintyBody, _FRAME_DEPTH)
        identifier = request_id(request.scope)
        question = _question(request.path_params["model"], version_number(request), body, identifier)
        return reply(uncertainty_reply(await self._predictor.uncertainty(question), identifier))


def _question(model: str, version: int | None, body: UncertaintyBody, identifier: str) -> UncertaintyQuestion:
    return UncertaintyQuestion(
        model,
        version,
        bytes(body.inputs),
        request_id=identifier,
        review=None if body.review is UNSET else body.review,
        samples=_samples(body.samples),
        seed=_seed(body.seed),
        threshold=None if body.threshold is UNSET else body.threshold,
        include_samples="samples" in body.include,
        include_quantiles="quantiles" in body.include,
    )


def _samples(given: int | Exact | AdaptiveSamples | UnsetType) -> int | Exact | Rounds | None:
    if isinstance(given, AdaptiveSamples):
        return Rounds(given.min, given.max, given.error)
    return None if given is UNSET else given


def _seed(given: int | UnsetType | None) -> int | Literal["fresh"] | None:
    if given is UNSET:
        return None
    if given is None:
        return "fresh"
    return given
