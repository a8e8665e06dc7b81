"""Answers of the Open Inference Protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from service.api.infer_body import HEADER_LENGTH, Parameters
from service.errors import InvalidInput, NoDropout
from service.predictor.answers import Prediction, PredictionAnswer, UncertaintyAnswer, ValuePrediction
from service.predictor.served_model import ServedModel
from service.predictor.tokenized import measured, offsets

BINARY = "application/octet-stream"
"""Of a body that has tensors in binary behind its JSON."""

_ELEMENTS = {"FP32": "<f4", "BOOL": "?", "INT64": "<i8"}


class OutputTensor(Struct):
    """One output tensor; where its data is not here, it is in binary behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


class InferReply(Struct):
    """Outputs of a model."""

    model_name: str
    model_version: str
    id: str
    parameters: Parameters
    outputs: list[OutputTensor]


@dataclass(frozen=True)
class Output:
    """One output that a model declares.

    Args:
        name: of the output.
        wide: whether a row has a number for each class or value, or one.
        of: finds it in an uncertainty answer.
        datatype: of its elements.
        of_tokens: whether each token has it, where tokens are labelled.
    """

    name: str
    wide: bool
    of: Callable[[UncertaintyAnswer], Any]
    datatype: str = "FP32"
    of_tokens: bool = True

    def shape(self, model: ServedModel) -> list[int]:
        """Give its shape; -1 is any."""
        tokens = [-1] if self.of_tokens and model.manifest.per_token else []
        width = 2 if self is OFFSETS else model.shown_width
        return [-1, *tokens, *([width] if self.wide else [])]


def _measure(name: str) -> Callable[[UncertaintyAnswer], Any]:
    return lambda answer: measured(answer.sampled.measures, name)


def shown(output: Output, answer: PredictionAnswer) -> Any:
    """Give an output of the whole network."""
    return offsets(answer.texts) if output is OFFSETS else _values(answer.prediction)


def _values(prediction: Prediction) -> Any:
    return prediction.value if isinstance(prediction, ValuePrediction) else prediction.together


def _whole(answer: UncertaintyAnswer) -> Any:
    assert answer.whole is not None  # noqa: S101  # it was asked for
    return _values(answer.whole)


WHOLE = Output("output", True, _whole)

OFFSETS = Output("offsets", True, lambda answer: offsets(answer.texts), "INT64")
"""Where tokens begin and end in their text; given only where it is asked for by name."""

SAMPLED = {
    output.name: output
    for output in (
        Output("mean", True, _measure("mean")),
        Output("variance", True, _measure("variance")),
        Output("standard_error", True, _measure("standard_error")),
        Output("score", False, lambda answer: answer.sampled.scores, of_tokens=False),
        Output("predictive_entropy", False, _measure("predictive_entropy")),
        Output("mutual_information", False, _measure("mutual_information")),
        Output("low_confidence", False, lambda answer: answer.low_confidence, "BOOL", of_tokens=False),
    )
}
"""Outputs that make a request one for samples."""

_OF_CLASSES = {"predictive_entropy", "mutual_information"}


def outputs_of(model: ServedModel) -> list[Output]:
    """List what a model declares: the deterministic output, and those of its samples."""
    plain = [WHOLE, OFFSETS] if model.manifest.per_token else [WHOLE]
    if not model.engine.report.can_sample:
        return plain
    classifies = model.manifest.classifies
    return [*plain, *(output for name, output in SAMPLED.items() if classifies or name not in _OF_CLASSES)]


def chosen(model: ServedModel, names: Sequence[str], *, sampled: bool) -> list[Output]:
    """Find the outputs that are asked for; of none named, the deterministic one, or all of the samples.

    Raises:
        InvalidInput: the model has none of a name.
        NoDropout: samples are asked for, and there is nothing to sample.
    """
    if sampled and not model.engine.report.can_sample:
        raise NoDropout(f"model {model.identity.model} has no dropout to sample; ask for {WHOLE.name} alone")
    declared = {output.name: output for output in outputs_of(model)}
    if not names:
        return [one for one in declared.values() if (one.name in SAMPLED) == sampled and one is not OFFSETS]
    for name in names:
        if name not in declared:
            raise InvalidInput(f"there is no output {name[:80]!r}; there are: {', '.join(declared)}")
    return [declared[name] for name in dict.fromkeys(names)]


def infer_response(
    model: ServedModel,
    identifier: str,
    parameters: Parameters,
    arrays: Mapping[Output, Any],
    in_binary: Callable[[str], bool],
) -> Response:
    """Answer with outputs: their numbers in the JSON, or behind it."""
    blobs: list[bytes] = []
    outputs = []
    for output, array in arrays.items():
        tensor = OutputTensor(output.name, output.datatype, list(array.shape))
        if in_binary(output.name):
            blobs.append(array.astype(_ELEMENTS[output.datatype]).tobytes())
            tensor.parameters = {"binary_data_size": len(blobs[-1])}
        else:
            tensor.data = array.ravel().tolist()
        outputs.append(tensor)
    identity = model.identity
    content = msgspec.json.encode(
        InferReply(identity.model, identity.version, identifier, parameters, outputs)
    )
    if not blobs:
        return Response(content, media_type="application/json")
    return Response(
        b"".join([content, *blobs]),
        media_type=BINARY,
        headers={HEADER_LENGTH: str(len(content))},
    )
