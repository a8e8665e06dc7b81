"""What is installed is what is imported: serving pulls nothing that serving does not need."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable

from readme import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OURS = {"service", "models"}
BY_IMPORT = {"prometheus_client": "prometheus-client", "sklearn": "scikit-learn", "PIL": "pillow"}
# Extras whose packages the service imports where a model, a file or the environment asks for it.
OF_SERVICE = ("text", "huggingface", "parquet", "images", "otel", "ray")
# uvicorn takes these up by itself where they are installed: a faster parser and a faster loop.
TAKEN_UP = {"httptools", "uvloop"}


def imported(package: str) -> set[str]:
    """Name the distributions that the files of a package import."""
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return {BY_IMPORT.get(name, name) for name in found - OURS - set(sys.stdlib_module_names)}


def names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", requirement)[0] for requirement in requirements}


def as_imported(distributions: Iterable[str]) -> set[str]:
    """Of OpenTelemetry's distributions all are imported by one name."""
    return {re.sub(r"^opentelemetry-.*", "opentelemetry", name) for name in distributions}


def test_dependencies_are_what_the_service_imports() -> None:
    asked = (one for name in OF_SERVICE for one in PROJECT["optional-dependencies"][name])
    extras = as_imported(names(asked))
    assert names(PROJECT["dependencies"]) | extras == imported("service") | TAKEN_UP
    assert not extras & names(PROJECT["dependencies"])


def test_serving_numbers_does_not_wait_for_what_only_some_need() -> None:
    others = {"pyarrow", "PIL", "tokenizers", "transformers", "opentelemetry", "ray"}
    script = f"import sys, service.server; print({others} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "set()\n"


def test_no_page_has_a_registry_asked_for_our_names() -> None:
    """One of them is somebody else's there, and the other might become anybody's."""
    pages = [ROOT / "README.md", ROOT / "clients/python/README.md", *(ROOT / "docs").rglob("*.md")]
    asked = [
        name
        for page in pages
        for command in re.findall(r"pip install ([^`\n#]*)", page.read_text("utf-8"))
        for name in re.findall(r"(?<![./\w-])unsure(?:-client)?\b", command)
    ]
    assert asked == []


def test_training_needs_its_extra_alone() -> None:
    extra = names(PROJECT["optional-dependencies"]["train"])
    assert imported("models") - names(PROJECT["dependencies"]) == extra
    assert not extra & names(PROJECT["dependencies"])


def test_every_requirement_is_pinned_in_the_constraints() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().split()
    }
    extras = PROJECT["optional-dependencies"].values()
    required = names(PROJECT["dependencies"]).union(*map(names, extras)) - {"unsure"}
    assert {name.lower().replace("_", "-") for name in required} <= pinned


def test_help_does_not_wait_for_torch() -> None:
    script = "import sys; from service.cli import main; main(['--help'], standalone_mode=False); print('torch' in sys.modules)"  # noqa: E501
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.endswith("False\n")
    assert "train Train a model, and add it to a model repository." in " ".join(printed.split())
