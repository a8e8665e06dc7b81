"""Requests of the Open Inference Protocol: JSON, with or without tensors in binary behind it."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from starlette.requests import Request

from service.api.exchange import decode, read_body
from service.api.wire import AT_LEAST_TWO, SEEDS
from service.errors import InvalidInput
from service.predictor.given_tensors import GivenTensor

HEADER_LENGTH = "Inference-Header-Content-Length"

Scalar = bool | int | float | str
Parameters = dict[str, Scalar]

_RequestParameters = Annotated[
    Parameters,
    Meta(
        extra_json_schema={
            "properties": {
                "samples": {"type": "integer"} | AT_LEAST_TWO,
                "seed": {"type": "integer"} | SEEDS,
                "timeout": {"type": "integer", "minimum": 0, "description": "In microseconds."},
                "binary_data_output": {"type": "boolean"},
            }
        }
    ),
]
_InputParameters = Annotated[
    Parameters,
    Meta(extra_json_schema={"properties": {"binary_data_size": {"type": "integer", "minimum": 0}}}),
]
_OutputParameters = Annotated[
    Parameters, Meta(extra_json_schema={"properties": {"binary_data": {"type": "boolean"}}})
]

_LARGEST = 2**63 - 1
_UNSUPPORTED = ("classification", "shared_memory_region")

_LENGTH = re.compile(r"[0-9]{1,18}")


class InferInput(Struct):
    """One input tensor; its data is here, or in binary behind the JSON."""

    name: str
    datatype: str
    shape: Annotated[list[Annotated[int, Meta(ge=1, le=_LARGEST)]], Meta(extra_json_schema={"minItems": 1})]
    data: (
        Annotated[
            Raw,
            Meta(
                description="Numbers, flat or nested as the shape says, or texts; not for those in binary.",
                extra_json_schema={"type": "array", "minItems": 1},
            ),
        ]
        | UnsetType
    ) = UNSET
    parameters: _InputParameters | None = None


class InferOutput(Struct):
    """One output that is asked for."""

    name: str
    parameters: _OutputParameters | None = None


class InferBody(Struct):
    """A request for outputs of a model. Some clients write out what they leave out, as null."""

    inputs: Annotated[list[InferInput], Meta(extra_json_schema={"minItems": 1})]
    id: str | None = None
    outputs: list[InferOutput] | None = None
    parameters: _RequestParameters | None = None


class InferRequest:
    """A request, read.

    Args:
        body: its JSON.
        tensors: its inputs.

    Attributes:
        samples: how many are asked for; None where that is not said.
        seed: which networks are asked for; None where that is not said.

    Raises:
        InvalidInput: a parameter is of the wrong type, or asks for what there is not.
    """

    def __init__(self, body: InferBody, tensors: Sequence[GivenTensor]) -> None:
        self.id = body.id
        self.tensors = tuple(tensors)
        self.outputs = tuple(output.name for output in body.outputs or ())
        self._parameters = body.parameters or {}
        by_default = _truth(self._parameters, "binary_data_output", default=False)
        self._binary = {output.name: _binary_data(output, by_default) for output in body.outputs or ()}
        self._binary_by_default = by_default
        self.samples = self._integer("samples")
        self.seed = self._integer("seed")

    def in_binary(self, output: str) -> bool:
        """Tell whether an output is wanted in binary."""
        return self._binary.get(output, self._binary_by_default)

    @property
    def timeout_seconds(self) -> float | None:
        """How long the client waits; it gives microseconds, and 0 for no limit of its own."""
        microseconds = self._integer("timeout") or None
        if microseconds is not None and microseconds < 0:
            raise InvalidInput(f"parameters.timeout must be microseconds, from 0, and is {microseconds}")
        return None if microseconds is None else min(microseconds, _LARGEST) / 1e6

    def _integer(self, name: str) -> int | None:
        value = self._parameters.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise InvalidInput(f"parameters.{name} must be an integer, and is {value!r}")
        return value


def _truth(parameters: Parameters, name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"parameters.{name} must be true or false, and is {value!r}")
    return value


def _binary_data(output: InferOutput, by_default: bool) -> bool:
    parameters = output.parameters or {}
    for name in _UNSUPPORTED:
        if parameters.get(name):
            raise InvalidInput(f"output {output.name}: parameters.{name} is not supported")
    return _truth(parameters, "binary_data", default=by_default)


async def read_infer(request: Request, limit_bytes: int) -> InferRequest:
    """Read a request.

    Args:
        request: whose body has not been read.
        limit_bytes: of the body as sent, and again when inflated.

    Raises:
        InvalidInput: it is not a request of the protocol.
        TooLarge: it is over the limit.
    """
    body = await read_body(request, limit_bytes)
    length = _header_length(request.headers, len(body))
    parsed = decode(body[:length], InferBody)
    return InferRequest(parsed, _tensors(parsed.inputs, body[length:]))


def _header_length(headers: Mapping[str, str], body_length: int) -> int:
    given = headers.get(HEADER_LENGTH.lower())
    if given is None:
        return body_length
    if not (_LENGTH.fullmatch(given) and int(given) <= body_length):
        raise InvalidInput(f"{HEADER_LENGTH} must be from 0 to {body_length}, and is {given[:40]!r}")
    return int(given)


def _tensors(inputs: Sequence[InferInput], binary: bytes) -> list[GivenTensor]:
    tensors, start = [], 0
    for given in inputs:
        size = (given.parameters or {}).get("binary_data_size")
        data, start = _data(given, size, binary, start)
        tensors.append(
            GivenTensor(given.name, given.datatype, tuple(given.shape), data, binary=size is not None)
        )
    if start != len(binary):
        raise InvalidInput(f"{len(binary)} bytes follow the JSON, and the inputs account for {start} of them")
    return tensors


def _data(given: InferInput, size: Scalar | None, binary: bytes, start: int) -> tuple[bytes, int]:
    if size is None:
        if given.data is UNSET:
            raise InvalidInput(f"input {given.name} has no data and no binary_data_size")
        return bytes(given.data), start
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidInput(f"input {given.name}: binary_data_size must be a number of bytes, and is {size!r}")
    if given.data is not UNSET:
        raise InvalidInput(f"input {given.name} has data and a binary_data_size; give one of them")
    if start + size > len(binary):
        raise InvalidInput(
            f"input {given.name}: binary_data_size is {size}, and {len(binary) - start} bytes are left"
        )
    return binary[start : start + size], start + size
