"""The Open Inference Protocol face, /v2."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.exchange import is_request_id, reply, request_id, version_number
from service.api.infer_body import InferBody, InferRequest, Parameters, read_infer
from service.api.infer_reply import (
    SAMPLED,
    WHOLE,
    InferReply,
    Output,
    chosen,
    infer_response,
    outputs_of,
    shown,
)
from service.api.observed import Observer, is_sampled
from service.api.operations import INFERENCE_ERRORS, MODEL_ERRORS, Operation, model_paths
from service.errors import NoDropout, Unavailable
from service.predictor.answers import (
    DETERMINISTIC,
    MC_DROPOUT,
    Question,
    UncertaintyAnswer,
    UncertaintyQuestion,
)
from service.predictor.catalogue import Catalogue
from service.predictor.entry import Entry
from service.predictor.given_tensors import DATATYPES
from service.predictor.predictor import Predictor
from service.predictor.served_model import ServedModel
from service.uncertainty.sequential import Rounds

_EXTENSIONS = ["binary_tensor_data", "model_repository"]


class ServerMetadata(Struct):
    """What runs."""

    name: str
    version: str
    extensions: list[str]


class Health(Struct):
    """Whether the server runs, and whether it takes requests."""

    live: bool
    ready: bool


class TensorParameters(Struct):
    """What the numbers of a row are called, in their order: as JSON, since parameters are scalars."""

    columns: str


class TensorMetadata(Struct):
    """One tensor. A size of -1 is any."""

    name: str
    datatype: str
    shape: list[int]
    parameters: TensorParameters | UnsetType = UNSET


class ModelMetadata(Struct):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelHealth(Struct):
    """Whether a model answers."""

    name: str
    ready: bool


class ProtocolFace:
    """Handlers of /v2.

    Args:
        predictor: answers questions.
        catalogue: knows the models.
        observer: counts requests.
        max_body_bytes: the largest body, as sent and inflated.
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
            Operation(
                "GET", "/v2", "Describe the server", self.server, replies=(ServerMetadata,), scope=None
            ),
            Operation(
                "GET",
                "/v2/health/live",
                "Tell whether the server runs",
                self.live,
                replies=(Health,),
                scope=None,
            ),
            Operation(
                "GET",
                "/v2/health/ready",
                "Tell whether the server takes requests",
                self.ready,
                replies=(Health,),
                errors=(Unavailable,),
                scope=None,
            ),
            *(
                Operation(
                    "GET",
                    path,
                    "Describe a model",
                    self.model,
                    replies=(ModelMetadata,),
                    errors=MODEL_ERRORS,
                    scope="predict",
                )
                for path in model_paths("/v2")
            ),
            *(
                Operation(
                    "GET",
                    f"{path}/ready",
                    "Tell whether a model answers",
                    self.model_ready,
                    replies=(ModelHealth,),
                    errors=MODEL_ERRORS,
                    scope="predict",
                )
                for path in model_paths("/v2")
            ),
            *(
                Operation(
                    "POST",
                    f"{path}/infer",
                    "Infer",
                    self.infer,
                    InferBody,
                    (InferReply,),
                    (*INFERENCE_ERRORS, NoDropout),
                    scope="predict",
                    binary=True,
                )
                for path in model_paths("/v2")
            ),
        ]

    async def server(self, _request: Request) -> Response:
        """Answer GET /v2."""
        return reply(ServerMetadata("unsure", __version__, _EXTENSIONS))

    async def live(self, _request: Request) -> Response:
        """Answer GET /v2/health/live."""
        return reply(Health(live=True, ready=not self._why_not_ready()))

    async def ready(self, _request: Request) -> Response:
        """Answer GET /v2/health/ready."""
        reason = self._why_not_ready()
        if reason:
            raise Unavailable(reason)
        return reply(Health(live=True, ready=True))

    async def model(self, request: Request) -> Response:
        """Answer GET /v2/models/{model}."""
        entry, number = self._catalogue.entry(request.path_params["model"]), version_number(request)
        return reply(_metadata(entry, entry.default if number is None else entry.version(number)))

    async def model_ready(self, request: Request) -> Response:
        """Answer GET /v2/models/{model}/ready."""
        return reply(ModelHealth(self._model(request).identity.model, ready=True))

    async def infer(self, request: Request) -> Response:
        """Answer POST …/infer."""
        return await self._observer.observe(request, self._infer)

    def _why_not_ready(self) -> str | None:
        return self._catalogue.why_not_ready or self._predictor.trouble

    async def _infer(self, request: Request) -> Response:
        asked = await read_infer(request, self._max_body_bytes)
        sampled = _wants_samples(asked)
        if sampled:
            is_sampled(request)
        model = self._model(request)
        outputs = chosen(model, asked.outputs, sampled=sampled)
        identifier = asked.id or request_id(request.scope)
        if not sampled:
            question = Question(*_question(asked, request), alike=_alike(outputs))
            plain = await self._predictor.predict(question, model)
            arrays: dict[Output, Any] = {output: shown(output, plain) for output in outputs}
            return infer_response(model, identifier, {"mode": DETERMINISTIC}, arrays, asked.in_binary)
        drawn = await self._predictor.uncertainty(_draw(asked, request, outputs), model)
        arrays = {output: output.of(drawn) for output in outputs}
        return infer_response(model, identifier, _parameters(drawn), arrays, asked.in_binary)

    def _model(self, request: Request) -> ServedModel:
        return self._catalogue.find(request.path_params["model"], version_number(request))


def _wants_samples(asked: InferRequest) -> bool:
    """Tell whether a request says how many samples, or which, or names an output made of them."""
    said = asked.samples is not None or asked.seed is not None
    return said or not SAMPLED.keys().isdisjoint(asked.outputs)


def _question(asked: InferRequest, request: Request) -> tuple[str, int | None, Any, float | None]:
    return request.path_params["model"], version_number(request), asked.tensors, asked.timeout_seconds


def _metadata(entry: Entry, model: ServedModel) -> ModelMetadata:
    inputs = [
        TensorMetadata(
            taken.name,
            DATATYPES[taken.dtype],
            [-1, *taken.shape],
            _column_names(model.manifest.columns.get(taken.name)),
        )
        for taken in model.inputs.taken
    ]
    versions = [str(number) for number in sorted(entry.versions)]
    return ModelMetadata(entry.name, versions, "pytorch_safetensors", inputs, _outputs(model))


def _column_names(columns: Sequence[str] | None) -> TensorParameters | UnsetType:
    return UNSET if columns is None else TensorParameters(msgspec.json.encode(columns).decode())


def _outputs(model: ServedModel) -> list[TensorMetadata]:
    return [TensorMetadata(output.name, output.datatype, output.shape(model)) for output in outputs_of(model)]


def _alike(outputs: Sequence[Output]) -> bool:
    """Tell whether texts must have as many tokens to fit one tensor."""
    return any(output.of_tokens for output in outputs)


def _draw(asked: InferRequest, request: Request, outputs: Sequence[Output]) -> UncertaintyQuestion:
    # The protocol's identifier may be any text, and of any length.
    identifier = asked.id if asked.id and is_request_id(asked.id) else request_id(request.scope)
    return UncertaintyQuestion(
        *_question(asked, request),
        identifier,
        alike=_alike(outputs),
        samples=asked.samples,
        seed=asked.seed,
        whole=WHOLE in outputs,
    )


def _parameters(drawn: UncertaintyAnswer) -> Parameters:
    samples = drawn.rounds.maximum if isinstance(drawn.rounds, Rounds) else 0
    return {
        "mode": MC_DROPOUT,
        "samples": samples,
        "seed": drawn.seed,
        "certified": drawn.policy.certified,
    }
