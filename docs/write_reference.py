"""Writes docs/reference from the program; a test holds the files to it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import command_reference
import rest_reference
from markdown_tables import table

from service.api.failures import FAILURES
from service.sampling.catalogue import FINDINGS
from service.sampling.layer_types import LAYER_TYPES, TOLERANCE
from service.settings import Setting, settings_table
from service.telemetry.metrics import Telemetry
from service.uncertainty.scores import score_names

FOLDER = Path(__file__).parent / "reference"


def settings() -> str:
    """Document every setting."""
    rows = [
        (f"`{one.variable}`", f"`{one.option}`", f"`{one.shown_default}`", _meaning(one))
        for one in settings_table()
    ]
    return _page(
        "Settings",
        "Each is an environment variable and an option of `unsure serve`; the option wins. An option whose\n"
        "default is `true` or `false` takes no value; its variable is set to `true` or `false`.",
        ("variable", "option", "default", "meaning"),
        rows,
    )


def _meaning(setting: Setting) -> str:
    choices = ", ".join(setting.described.choices)
    return f"{setting.described.text} One of {choices}." if choices else setting.described.text


def errors() -> str:
    """Document every error."""
    rows = [(str(one.status), f"`{one.code}`", one.meaning) for one in FAILURES]
    return _page(
        "Errors",
        'Every error has one shape, on every path: `{"error": "…", "code": "…", "request_id": "…"}`.\n'
        "`error` says what happened, the value and the way out, and is for people; `code` is for programs.\n"
        "A 401 has a `WWW-Authenticate` header, a 429 a `Retry-After` header in seconds.",
        ("status", "code", "when"),
        rows,
    )


def metrics() -> str:
    """Document every metric."""
    rows = [
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels) or "none", text)
        for name, kind, labels, text in sorted(_metrics())
    ]
    return _page(
        "Metrics",
        "`GET /metrics` gives them in the Prometheus text format. Labels are never taken from a request: a\n"
        "model or version that the server does not have counts as `unknown`.",
        ("metric", "type", "labels", "meaning"),
        rows,
    )


def scores() -> str:
    """Document the names of the scores."""
    rows = [(f"`{name}`", task) for task in ("classification", "regression") for name in score_names(task)]  # type: ignore[arg-type]
    return _page(
        "Scores",
        "What `policy.measure` of a model.toml may be. A row whose score is above `policy.threshold` is\n"
        "flagged. Formulas: [measures](../measures.md).",
        ("measure", "task"),
        rows,
    )


def findings() -> str:
    """Document every finding, and the rates that are usual."""
    rows = [(f"`{one.code}`", one.severity, one.meaning, one.remedy, one.source) for one in FINDINGS.values()]
    page = _page(
        "Findings",
        "What `unsure inspect MODEL` and `GET /v1/models/{model}/dropout` say about a model's dropout.\n"
        "A `warning` says that the uncertainty may not be what its owner expects; an `info` may be a\n"
        "matter of taste. None refuses anything. What stands around a site is told from the operations\n"
        "that ran, not from the names of classes. A model that drops in eval mode too is refused.",
        ("code", "severity", "when", "what to do", "source"),
        rows,
    )
    ranges = [(one.name, one.usual, one.source) for one in LAYER_TYPES]
    return f"{page}\n{_usual_rates(ranges)}"


def _usual_rates(ranges: Iterable[Sequence[str]]) -> str:
    text = (
        "The ranges are this project's, after what the sources use. `rate_above_usual` is said of a rate\n"
        f"more than {TOLERANCE:g} above its range: less is taste. A rate below is no mistake, since how\n"
        "much samples must differ is for the data to say; where so little is dropped that samples show\n"
        "nothing, `samples_alike` and `rate_too_small` say so. A site has the first type that fits."
    )
    lines = table(("type of layer", "usual rate", "after"), ranges)
    return "\n".join(["## Usual rates", "", text, "", *lines, ""])


def commands() -> str:
    """Document every command and its options."""
    return _written(
        "Commands",
        "What `unsure --help` says, and `--help` of each of its commands. Data goes to stdout and logs to\n"
        "stderr; a command that cannot go on says why in a sentence and ends with another status than 0. An\n"
        "option wins over its variable. `train` needs the extra of that name.",
        command_reference.commands(),
    )


def rest() -> str:
    """Document every operation of the API and its types."""
    described = rest_reference.document()
    return _written(
        "REST",
        "Every operation, and the types that it takes and gives. A server shows the same at `/docs`, and\n"
        "for programs as OpenAPI at `/openapi.json`. Every error is an [ErrorBody](#errorbody); when\n"
        "there is which: [errors](errors.md). What the numbers mean: [measures](../measures.md).",
        (*rest_reference.operations(described), "## Types\n", *rest_reference.types(described)),
    )


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": commands,
    "rest.md": rest,
    "settings.md": settings,
    "errors.md": errors,
    "findings.md": findings,
    "metrics.md": metrics,
    "scores.md": scores,
}


def _metrics() -> Iterable[tuple[str, str, Sequence[str], str]]:
    collectors: dict[Any, Any] = Telemetry().registry._collector_to_names
    for collector in collectors:
        (family,) = collector.collect()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, family.type, collector._labelnames, family.documentation


def _page(title: str, text: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _written(title, text, ["\n".join([*table(head, rows), ""])])


def _written(title: str, text: str, parts: Iterable[str]) -> str:
    written = "<!-- written by `make reference`; do not edit -->"
    return "\n".join([written, f"# {title}", "", text, "", "\n".join(parts)])


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
