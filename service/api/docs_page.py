"""The OpenAPI document as one page for people: no script, nothing from another host."""

import json
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Any

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: light-dark(#666, #aaa); --code: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
details { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
code, pre { font: .9em ui-monospace, monospace; }
pre { background: var(--code); padding: .75rem; overflow-x: auto; }
.method { display: inline-block; min-width: 3.2em; font-weight: 700; }
.quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .75rem .25rem 0;
vertical-align: top; border-bottom: 1px solid var(--line); }
"""

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Lets in its own style, and nothing else."""


def docs_page(document: Json) -> str:
    """Render an OpenAPI document as HTML."""
    info = document["info"]
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
            f'<h1>{escape(info["title"])} <span class="quiet">{escape(info["version"])}</span></h1>',
            f"<p>{escape(info['description'])} ",
            'The same as a document for programs: <a href="/openapi.json">/openapi.json</a>.</p>',
            "<h2>Operations</h2>",
            *_operations(document),
            "<h2>Types</h2>",
            *(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())),
            "</body></html>",
        ]
    )


def _operations(document: Json) -> Iterable[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (
                f'<details><summary><span class="method">{method.upper()}</span> '
                f'<code>{escape(path)}</code> <span class="quiet">{escape(operation["summary"])}</span>'
                f"</summary>{_key(operation)}{_body(operation)}{_responses(operation)}</details>"
            )


def _key(operation: Json) -> str:
    texts = [
        f"<p>Needs a key with the scope <code>{escape(scopes[0])}</code>.</p>"
        if scopes
        else "<p>Needs a key.</p>"
        for requirement in operation.get("security", [])
        for scopes in requirement.values()
    ]
    return "".join(texts)


def _body(operation: Json) -> str:
    if "requestBody" not in operation:
        return ""
    return f"<p>Takes {_content(operation['requestBody']['content'])}.</p>"


def _responses(operation: Json) -> str:
    rows = [
        f"<tr><td>{status}</td><td>{_coded(response['description'])}</td>"
        f"<td>{_content(response['content'])}</td></tr>"
        for status, response in operation["responses"].items()
    ]
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>'


def _content(content: Json) -> str:
    return ", ".join(_type(described["schema"], media) for media, described in content.items())


def _type(schema: Json, otherwise: str = "") -> str:
    """Name a schema, with links to the types that have a section of their own."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f'<a href="#{name}"><code>{name}</code></a>'
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_type(choice) for choice in schema[word])
    if schema.get("type") == "array" and schema.get("items"):
        return f"array of {_type(schema['items'])}"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    return escape(otherwise or schema.get("type", "anything"))


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        f"<tr><td><code>{escape(key)}</code></td><td>{_type(field)}"
        f"{'' if key in required else ' <span class=quiet>(may be left out)</span>'}</td>"
        f"<td>{escape(field.get('description', ''))}</td></tr>"
        for key, field in schema.get("properties", {}).items()
    ]
    return (
        f'<details open id="{name}"><summary><code>{name}</code> '
        f'<span class="quiet">{escape(schema.get("description", ""))}</span></summary>'
        f'<div class="scroll"><table>{"".join(rows)}</table></div></details>'
    )


def _coded(text: str) -> str:
    """Turn the backticks of a description into code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
