"""What `unsure inspect` tells about one model, as the server would serve it."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from service.api.model_views import DropoutReply, FindingView, SiteView, dropout_reply
from service.app import execution
from service.errors import NotFound
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder, ReadModel, model_folders
from service.sampling.planner import PlanChoice
from service.settings import Settings


def load(settings: Settings, name: str, version: int | None, *, keep_findings: bool = False) -> ServedModel:
    """Load a version of a model, the highest if left out, as the server does.

    Args:
        settings: of the operator.
        name: of the model.
        version: its number.
        keep_findings: whether to write down what measuring finds; to look must not change what the server
            will read.

    Raises:
        UnsureError: there is no such model or version, or it cannot be served.
    """
    running = replace(execution(settings), keep_findings=keep_findings)
    return prepare(read(settings, name, version), running)


def read(settings: Settings, name: str, version: int | None) -> ReadModel:
    """Read a version of a model, the highest if left out; arguments and errors as above."""
    folders = {folder.name: folder for folder in model_folders(settings.repository)}
    if name not in folders:
        known = ", ".join(folders) or "none"
        raise NotFound(f"{settings.repository} has no model {name!r}; it has: {known}")
    folder = folders[name]
    return folder.read(folder.manifest(), _chosen(folder, version), settings.allowed_factories)


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


_HEADS = ("site", "kind", "rate", "mask", "sampled", "cost", "params")
_SHARES = "cost and params: the share of the operations, and of the parameters, that come after the site."
_NARROWEST, _WIDEST = 60, 120


def as_text(model: ServedModel) -> str:
    """Tell it to people, in lines as wide as their terminal."""
    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size().columns))
    report = dropout_reply(model)
    paragraphs = [
        _wrapped(_heading(model), width),
        *_sites(report, width),
        _findings(report, width),
    ]
    if model.engine.plans:
        paragraphs.append(_plans(model.engine.plans))
    if model.engine.report.can_sample and model.inexact is None:
        paragraphs.append(
            _wrapped('Mean and variance have a closed form: sampling.samples = "exact" draws nothing.', width)
        )
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _heading(model: ServedModel) -> str:
    identity, manifest = model.identity, model.manifest
    rows = ", ".join(f"{taken.name} {taken.dtype}{list(taken.shape)}" for taken in model.inputs.taken)
    if manifest.tokenizer:
        rows = f"a text of up to {manifest.tokenizer.max_tokens} tokens"
    return (
        f"{identity.model}, version {identity.version}: {manifest.task}, "
        f"{model.engine.parameters:,} parameters, one row is {rows}"
    )


def _sites(report: DropoutReply, width: int) -> Iterable[str]:
    if not report.sites:
        return
    cells = [_site(site) for site in report.sites]
    rest = len(aligned(_HEADS[1:], [line[1:] for line in cells]).partition("\n")[0]) + len("  ")
    lines = [part for line in cells for part in _broken(line, width - rest)]
    yield f"{aligned(_HEADS, lines)}\n{_wrapped(_SHARES, width)}"


def _site(site: SiteView) -> Sequence[str]:
    sampled = "yes" if site.sampled else "no" if site.fired else "never runs"
    shape = "×".join(map(str, site.mask_shape)) or "-"
    shares = (f"{site.share_of_cost:.0%}", f"{site.share_of_parameters:.0%}") if site.fired else ("-", "-")
    return site.name, site.kind, f"{site.rate:g}", shape, sampled, *shares


def _broken(cells: Sequence[str], width: int) -> Iterable[Sequence[str]]:
    """Break a path that is too long for its column at its dots, over lines of which the last has the rest."""
    name, *rest = cells
    pieces = textwrap.wrap(
        name.replace(".", ". "), width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    *first, last = (piece.replace(". ", ".") for piece in pieces)  # an indent follows no dot
    return [*((piece, *([""] * len(rest))) for piece in first), (last, *rest)]


def _findings(report: DropoutReply, width: int) -> str:
    """Tell each finding once, however many sites it is about."""
    if not report.findings:
        return "Nothing was found wrong with its dropout."
    alike: dict[tuple[str, str], list[FindingView]] = {}
    for finding in report.findings:
        alike.setdefault((finding.code, finding.message), []).append(finding)
    return "\n\n".join(_finding(same, width) for same in alike.values())


def _finding(same: Sequence[FindingView], width: int) -> str:
    first = same[0]
    named = [finding.site for finding in same if finding.site]
    about = f"{', '.join(named)}: " if named else ""
    lines = (
        _wrapped(f"{first.severity}: {about}{first.message} [{first.code}]", width),
        _wrapped(f"  What to do: {first.remedy}", width),
        _wrapped(f"  Source: {first.source}", width),
    )
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> str:
    indent = "  " if text.startswith("  ") else ""
    return textwrap.fill(
        text, width, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )


def _plans(choice: PlanChoice) -> str:
    """Say what runs, and what each plan took."""
    names = sorted({name for name, _ in choice.seconds}, key=lambda name: choice.seconds.get((name, 1), 0.0))
    rows = [
        (str(rows), *(milliseconds(choice.seconds.get((name, rows))) for name in names))
        for rows in choice.by_rows
    ]
    lines = []
    if names:
        lines = [
            f"Milliseconds for {choice.samples} samples, now or at an earlier load:",
            aligned(("rows", *names), rows),
        ]
    if not choice.steady:
        lines.append(
            "They differed from run to run: the machine did other things. The next start measures anew."
        )
    for number, order in choice.by_rows.items():
        if lines[-1:] and lines[-1].endswith(f"and more: {order[0]}"):
            continue
        lines.append(f"{number} row{'s' if number > 1 else ''} and more: {order[0]}")
    lines += [f"not used: {name}: {reason}" for name, reason in choice.refused.items()]
    return "\n".join(lines)


def milliseconds(seconds: float | None) -> str:
    """Tell a time to people, in milliseconds; what was not measured is a dash."""
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns, for people."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
