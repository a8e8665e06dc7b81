"""What `unsure inspect` tells about one model, as the server would serve it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from service.api.model_views import DropoutReply, SiteView, dropout_reply
from service.app import execution
from service.errors import NotFound
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder, model_folders
from service.sampling.planner import PlanChoice
from service.settings import Settings


def load(settings: Settings, name: str, version: int | None) -> ServedModel:
    """Load a version of a model, the highest if left out, as the server does.

    Raises:
        UnsureError: there is no such model or version, or it cannot be served.
    """
    folders = {folder.name: folder for folder in model_folders(settings.repository)}
    if name not in folders:
        known = ", ".join(folders) or "none"
        raise NotFound(f"{settings.repository} has no model {name!r}; it has: {known}")
    folder = folders[name]
    number = _chosen(folder, version)
    # To look must not change what the server will read.
    looking = replace(execution(settings), keep_findings=False)
    return prepare(folder.read(folder.manifest(), number, settings.allowed_factories), looking)


def _chosen(folder: ModelFolder, version: int | None) -> int:
    versions = folder.versions()
    if version is None:
        return versions[0]
    if version not in versions:
        known = ", ".join(map(str, versions))
        raise NotFound(f"model {folder.name} has no version {version}; it has: {known}")
    return version


def as_json(model: ServedModel) -> str:
    """Give what `GET /v1/models/{model}/dropout` answers."""
    return msgspec.json.format(msgspec.json.encode(dropout_reply(model))).decode()


_HEADS = ("site", "kind", "rate", "mask", "sampled", "cost after it")


def as_text(model: ServedModel) -> str:
    """Tell it to people."""
    report = dropout_reply(model)
    paragraphs = [
        _heading(model),
        _table(_HEADS, map(_site, report.sites)) if report.sites else "",
        _findings(report),
    ]
    if model.engine.plans:
        paragraphs.append(_plans(model.engine.plans))
    if model.engine.report.can_sample and model.inexact is None:
        paragraphs.append('Mean and variance have a closed form: sampling.samples = "exact" draws nothing.')
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _heading(model: ServedModel) -> str:
    identity, manifest = model.identity, model.manifest
    rows = ", ".join(f"{tensor.name} {tensor.dtype}{list(tensor.shape)}" for tensor in manifest.input)
    return (
        f"{identity.model}, version {identity.version}: {manifest.task}, "
        f"{model.engine.parameters:,} parameters, one row is {rows}"
    )


def _site(site: SiteView) -> Sequence[str]:
    sampled = "yes" if site.sampled else "no" if site.fired else "never runs"
    shape = "×".join(map(str, site.mask_shape)) or "-"
    return site.name, site.kind, f"{site.rate:g}", shape, sampled, f"{site.share_of_cost:.0%}"


def _findings(report: DropoutReply) -> str:
    if not report.findings:
        return "Nothing was found wrong with its dropout."
    return "\n".join(
        f"{finding.severity}: {f'{finding.site}: ' if finding.site else ''}{finding.message}"
        for finding in report.findings
    )


def _plans(choice: PlanChoice) -> str:
    """Say what runs, and what each plan took."""
    names = sorted({name for name, _ in choice.seconds}, key=lambda name: choice.seconds.get((name, 1), 0.0))
    rows = [
        (str(rows), *(_milliseconds(choice.seconds.get((name, rows))) for name in names))
        for rows in choice.by_rows
    ]
    lines = []
    if names:
        lines = [
            f"Milliseconds for {choice.samples} samples, now or at an earlier load:",
            _table(("rows", *names), rows),
        ]
    for number, order in choice.by_rows.items():
        if lines[-1:] and lines[-1].endswith(f"and more: {order[0]}"):
            continue
        lines.append(f"{number} row{'s' if number > 1 else ''} and more: {order[0]}")
    lines += [f"not used: {name}: {reason}" for name, reason in choice.refused.items()]
    return "\n".join(lines)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
