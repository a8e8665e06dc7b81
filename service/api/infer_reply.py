"""Answers of the Open Inference Protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from service.api.infer_body import HEADER_LENGTH, Parameters
from service.errors import InvalidInput, NoDropout
from service.predictor.answers import ClassPrediction, UncertaintyAnswer, ValuePrediction
from service.predictor.served_model import ServedModel

BINARY = "application/octet-stream"
"""Of a body that has tensors in binary behind its JSON."""

_ELEMENTS = {"FP32": "<f4", "BOOL": "?"}


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
    """

    name: str
    wide: bool
    of: Callable[[UncertaintyAnswer], Any]
    datatype: str = "FP32"


def _measure(name: str) -> Callable[[UncertaintyAnswer], Any]:
    return lambda answer: getattr(answer.sampled.measures, name)


def shown(prediction: ClassPrediction | ValuePrediction) -> Any:
    """Give the deterministic output, [rows, width]."""
    return prediction.probabilities if isinstance(prediction, ClassPrediction) else prediction.value


def _whole(answer: UncertaintyAnswer) -> Any:
    assert answer.whole is not None  # noqa: S101  # it was asked for
    return shown(answer.whole)


_WHOLE = Output("output", True, _whole)

SAMPLED = {
    output.name: output
    for output in (
        Output("mean", True, lambda answer: answer.sampled.measures.mean),
        Output("variance", True, lambda answer: answer.sampled.measures.variance),
        Output("standard_error", True, lambda answer: answer.sampled.measures.standard_error),
        Output("score", False, lambda answer: answer.sampled.scores),
        Output("predictive_entropy", False, _measure("predictive_entropy")),
        Output("mutual_information", False, _measure("mutual_information")),
        Output("low_confidence", False, lambda answer: answer.low_confidence, "BOOL"),
    )
}
"""Outputs that make a request one for samples."""

_OF_CLASSES = {"predictive_entropy", "mutual_information"}


def outputs_of(model: ServedModel) -> list[Output]:
    """List what a model declares: the deterministic output, and those of its samples."""
    if not model.engine.report.can_sample:
        return [_WHOLE]
    classifies = model.manifest.task == "classification"
    return [_WHOLE, *(output for name, output in SAMPLED.items() if classifies or name not in _OF_CLASSES)]


def chosen(model: ServedModel, names: Sequence[str], *, sampled: bool) -> list[Output]:
    """Find the outputs that are asked for; of none named, the deterministic one, or all of the samples.

    Raises:
        InvalidInput: the model has none of a name.
        NoDropout: samples are asked for, and there is nothing to sample.
    """
    if sampled and not model.engine.report.can_sample:
        raise NoDropout(f"model {model.identity.model} has no dropout to sample; ask for {_WHOLE.name} alone")
    declared = {output.name: output for output in outputs_of(model)}
    if not names:
        return [output for output in declared.values() if (output.name in SAMPLED) == sampled]
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
