"""The OpenAPI document as a page of Markdown."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from markdown_tables import table
from starlette.testclient import TestClient

from service.access.issue import issue
from service.access.keys import SCOPES
from service.app import build
from service.settings import Settings

Json = dict[str, Any]

_VERSION = "/versions/{version}"
_FACES = {
    "/v1/models": "Models",
    "/v1/reviews": "Reviews",
    "/v2": "Open Inference Protocol",
    "/": "Operations",
}
"""Headings, by how a path begins; the first that fits."""


def document() -> Json:
    """Give the document of a server that asks for keys, so that it tells what each operation needs."""
    with TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.toml"
        issue(keys, "reader", SCOPES, None)
        settings = Settings(repository=Path(folder), api_keys_file=keys, review_url="off")
        described: Json = TestClient(build(settings)).get("/openapi.json").json()
    return described


def operations(described: Json) -> Iterator[str]:
    """Write every operation below the heading of its face; one version of a model is asked like the model."""
    grouped: dict[str, dict[tuple[str, str], list[str]]] = {face: {} for face in _FACES.values()}
    for path, methods in described["paths"].items():
        face = next(face for begin, face in _FACES.items() if path.startswith(begin))
        for method in methods:
            grouped[face].setdefault((method, path.replace(_VERSION, "")), []).append(path)
    for face, found in grouped.items():
        yield f"## {face}\n"
        for (method, _), paths in found.items():
            yield from _operation(method, paths, described["paths"][paths[-1]][method])


def types(described: Json) -> Iterator[str]:
    """Write every type of a body or of a part of one."""
    for name, schema in sorted(described["components"]["schemas"].items()):
        yield f"### {name}\n"
        if schema.get("description"):
            yield f"{schema['description']}\n"
        if schema.get("properties"):
            yield from _table(("field", "type", "meaning"), _fields(schema))


def _operation(method: str, paths: Sequence[str], operation: Json) -> Iterator[str]:
    yield f"### {method.upper()} {paths[0]}\n"
    yield f"{operation['summary']}. {_key(operation)}\n"
    if len(paths) > 1:
        yield f"Of one version: `{paths[1]}`.\n"
    if operation["parameters"]:
        yield from _table(("parameter", "in", "type", "meaning"), _parameters(operation))
    if "requestBody" in operation:
        yield f"Takes {_content(operation['requestBody']['content'])}.\n"
    answers = operation["responses"]
    yield f"Answers {_content(answers['200']['content'])}.{_errors(answers)}\n"


def _key(operation: Json) -> str:
    scopes = [scope for need in operation.get("security", []) for held in need.values() for scope in held]
    return f"Where the server asks for keys: scope `{scopes[0]}`." if scopes else "Needs no key."


def _parameters(operation: Json) -> Iterator[tuple[str, ...]]:
    for one in operation["parameters"]:
        yield f"`{one['name']}`", one["in"], _type(one["schema"]), one["description"]


def _errors(answers: Json) -> str:
    """Name the codes; what each means has a page of its own."""
    codes = [
        f"{status} {one['description'].split(':')[0]}" for status, one in answers.items() if status != "200"
    ]
    return f" Errors: {', '.join(codes)}." if codes else ""


def _fields(schema: Json) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        left_out = "" if name in required else "may be left out"
        default = f", {json.dumps(field['default'])} then" if left_out and field.get("default") else ""
        meaning = field.get("description", "")
        told = (
            f"{meaning} ({left_out}{default})" if left_out and meaning else meaning or f"{left_out}{default}"
        )
        yield f"`{name}`", _type(field), told


def _content(content: Mapping[str, Json]) -> str:
    return " or ".join(_type(described["schema"], media) for media, described in content.items())


def _type(schema: Json, otherwise: str = "") -> str:
    """Name a schema, with links to the types that have a section of their own."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_type(choice) for choice in schema[word]))
    if schema.get("type") == "array" and schema.get("items"):
        return f"array of {_type(schema['items'])}"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    return otherwise or schema.get("type", "anything")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    return iter(("\n".join(table(head, rows)), ""))
