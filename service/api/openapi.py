"""The OpenAPI document, made from the table of operations."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from service import __version__
from service.api.failures import FAILURES, ErrorBody, Failure
from service.api.operations import Operation
from service.errors import Unauthorized

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
        "parameters": [_parameter(name) for name in re.findall(r"{(\w+)}", operation.path)],
        "responses": {"200": _success(operation)} | _errors(operation),
    }
    if _needs_key(operation):
        described["security"] = [{_SCHEME: [operation.scope] if operation.scope else []}]
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": _json([operation.body]),
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


def _parameter(name: str) -> Json:
    descriptions = {"model": "A model's name.", "version": "A version's number."}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": descriptions[name],
        "schema": {"type": "string"},
    }


def _success(operation: Operation) -> Json:
    if operation.replies:
        return {"description": "The answer.", "content": _json(operation.replies, many=operation.many)}
    return {"description": "The answer.", "content": {operation.media_type: {"schema": {"type": "string"}}}}


def _errors(operation: Operation) -> Json:
    codes = {kind.code for kind in operation.errors}
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
