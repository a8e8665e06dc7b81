"""The Open Inference Protocol face, /v2: health and metadata."""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.exchange import reply, version_number
from service.api.operations import MODEL_ERRORS, Operation, model_paths
from service.errors import Unavailable
from service.predictor.catalogue import Catalogue, Entry
from service.predictor.served_model import ServedModel

_DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64"}


class ServerMetadata(Struct):
    """What runs."""

    name: str
    version: str
    extensions: list[str]


class Health(Struct):
    """Whether the server runs, and whether it takes requests."""

    live: bool
    ready: bool


class TensorMetadata(Struct):
    """One tensor. A size of -1 is any."""

    name: str
    datatype: str
    shape: list[int]


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
        catalogue: knows the models.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def operations(self) -> list[Operation]:
        """List what this face can be asked."""
        return [
            Operation("GET", "/v2", "Describe the server", self.server, replies=(ServerMetadata,)),
            Operation("GET", "/v2/health/live", "Tell whether the server runs", self.live, replies=(Health,)),
            Operation(
                "GET",
                "/v2/health/ready",
                "Tell whether the server takes requests",
                self.ready,
                replies=(Health,),
                errors=(Unavailable,),
            ),
            *(
                Operation(
                    "GET",
                    path,
                    "Describe a model",
                    self.model,
                    replies=(ModelMetadata,),
                    errors=MODEL_ERRORS,
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
                )
                for path in model_paths("/v2")
            ),
        ]

    async def server(self, _request: Request) -> Response:
        """Answer GET /v2."""
        return reply(ServerMetadata("unsure", __version__, []))

    async def live(self, _request: Request) -> Response:
        """Answer GET /v2/health/live."""
        return reply(Health(live=True, ready=self._catalogue.ready))

    async def ready(self, _request: Request) -> Response:
        """Answer GET /v2/health/ready."""
        if not self._catalogue.ready:
            raise Unavailable(
                "the server is stopping" if self._catalogue.closed else "the models are still loading"
            )
        return reply(Health(live=True, ready=True))

    async def model(self, request: Request) -> Response:
        """Answer GET /v2/models/{model}."""
        entry = self._catalogue.entry(request.path_params["model"])
        return reply(_metadata(entry, self._model(request)))

    async def model_ready(self, request: Request) -> Response:
        """Answer GET /v2/models/{model}/ready."""
        return reply(ModelHealth(self._model(request).identity.model, ready=True))

    def _model(self, request: Request) -> ServedModel:
        return self._catalogue.find(request.path_params["model"], version_number(request))


def _metadata(entry: Entry, model: ServedModel) -> ModelMetadata:
    inputs = [
        TensorMetadata(tensor.name, _DATATYPES[tensor.dtype], [-1, *tensor.shape])
        for tensor in model.manifest.input
    ]
    versions = [str(number) for number in sorted(entry.versions)]
    return ModelMetadata(entry.name, versions, "pytorch_safetensors", inputs, _outputs(model))


def _outputs(model: ServedModel) -> list[TensorMetadata]:
    wide, one = [-1, model.shown_width], [-1]
    outputs = [TensorMetadata("output", "FP32", wide)]
    if not model.engine.report.can_sample:
        return outputs
    outputs += [TensorMetadata(name, "FP32", wide) for name in ("mean", "variance", "standard_error")]
    scalars = ["score"]
    if model.manifest.task == "classification":
        scalars += ["predictive_entropy", "mutual_information"]
    outputs += [TensorMetadata(name, "FP32", one) for name in scalars]
    return [*outputs, TensorMetadata("low_confidence", "BOOL", one)]
