"""Writes docs/reference from the program; a test holds the files to it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from service.api.failures import FAILURES
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


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "errors.md": errors,
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
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    written = "<!-- written by `make reference`; do not edit -->"
    return "\n".join([written, f"# {title}", "", text, "", *lines, ""])


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
