"""The OpenAPI document, made from the table of operations."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from service import __version__
from service.api.exchange import ENCODINGS, VERSION
from service.api.failures import FAILURES, ErrorBody, Failure
from service.api.infer_body import HEADER_LENGTH
from service.api.infer_reply import BINARY
from service.api.operations import Operation
from service.errors import Forbidden, Unauthorized
from service.repository.manifest import MODEL_NAME

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_SCHEME = "key"


def document(operations: Sequence[Operation]) -> Json:
    """Describe operations as OpenAPI 3.1."""
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "unsure",
            "version": __version__,
            "description": "PyTorch models trained with dropout: their predictions, and how sure they are.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(operations)} | _security_schemes(operations),
    }


def _operation(operation: Operation) -> Json:
    described: Json = {
        "summary": operation.summary,
        "operationId": _identifier(operation),
        "parameters": _parameters(operation),
        "responses": {"200": _success(operation)} | _errors(operation),
    }
    if _needs_key(operation):
        described["security"] = [{_SCHEME: [operation.scope] if operation.scope else []}]
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": _json([operation.body]) | _binary(operation),
        }
    return described


def _needs_key(operation: Operation) -> bool:
    return Unauthorized in operation.errors


def _security_schemes(operations: Iterable[Operation]) -> Json:
    if not any(map(_needs_key, operations)):
        return {}
    text = "A key of the server's operator; an operation names the scope that the key must have."
    return {"securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer", "description": text}}}


def _identifier(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path)
    return "_".join([operation.method.lower(), *words])


def _parameters(operation: Operation) -> list[Json]:
    path = [_PATH_PARAMETERS[name] for name in re.findall(r"{(\w+)}", operation.path)]
    binary = [_HEADER_LENGTH] if operation.binary else []
    body = [_CONTENT_ENCODING] if operation.body else []
    return path + binary + body + _query(operation)


def _query(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    (schema,) = msgspec.json.schema_components([operation.query])[1].values()
    return [
        _parameter(name, "query", described.pop("description", ""), described)
        for name, described in schema["properties"].items()
    ]


def _parameter(name: str, place: str, description: str, schema: Json) -> Json:
    required = place == "path"
    return {"name": name, "in": place, "required": required, "description": description, "schema": schema}


_PATH_PARAMETERS = {
    "model": _parameter(
        "model", "path", "A model's name.", {"type": "string", "pattern": f"^{MODEL_NAME.pattern}$"}
    ),
    "version": _parameter(
        "version", "path", "A version's number.", {"type": "string", "pattern": f"^({VERSION.pattern})$"}
    ),
}

_PATH_PARAMETERS["id"] = _parameter(
    "id", "path", "A review's identifier.", {"type": "string", "format": "uuid"}
)

_HEADER_LENGTH = _parameter(
    HEADER_LENGTH, "header", "How many bytes of the body are JSON.", {"type": "integer", "minimum": 0}
)
_CONTENT_ENCODING = _parameter(
    "Content-Encoding", "header", "How the body is compressed.", {"type": "string", "enum": ENCODINGS}
)


def _success(operation: Operation) -> Json:
    if operation.replies:
        content = _json(operation.replies, many=operation.many) | _binary(operation)
        return {"description": "The answer.", "content": content}
    kind = "object" if operation.media_type == "application/json" else "string"
    content = {operation.media_type: {"schema": {"type": kind}}}
    if operation.streams_array:
        content |= {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}
    return {"description": "The answer.", "content": content}


def _binary(operation: Operation) -> Json:
    """Describe JSON with tensors behind it."""
    return {BINARY: {"schema": {}}} if operation.binary else {}


def _errors(operation: Operation) -> Json:
    # A page of another site may read, as far as a browser lets it, and ask for nothing else.
    refused = () if operation.method == "GET" else (Forbidden,)
    codes = {kind.code for kind in (*operation.errors, *refused)}
    own = [failure for failure in FAILURES if failure.code in codes]
    return {str(failure.status): _error(failure) for failure in own}


def _error(failure: Failure) -> Json:
    described: Json = {
        "description": f"`{failure.code}`: {failure.meaning}",
        "content": _json([ErrorBody]),
    }
    if failure.code == Unauthorized.code:
        described["headers"] = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
    return described


def _json(kinds: Sequence[type], *, many: bool = False) -> Json:
    references: list[Json] = [{"$ref": _REFERENCE.format(name=kind.__name__)} for kind in kinds]
    schema = references[0] if len(kinds) == 1 else {"anyOf": references}
    return {"application/json": {"schema": {"type": "array", "items": schema} if many else schema}}


def _schemas(operations: Iterable[Operation]) -> Json:
    kinds: dict[type[msgspec.Struct], None] = {ErrorBody: None}
    for operation in operations:
        kinds |= dict.fromkeys(operation.replies)
        if operation.body is not None:
            kinds[operation.body] = None
    schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)[1]
    return {name: _tidied(schema) for name, schema in schemas.items()}


def _tidied(schema: Json) -> Json:
    """Take the first paragraph of a docstring, and give fields of several types their one description."""
    schema = schema | {"description": schema.get("description", "").split("\n\n")[0]}
    for field in schema.get("properties", {}).values():
        for choice in field.get("anyOf", []):
            if "description" in choice:
                field["description"] = choice.pop("description")
    return schema
