"""Versions that promise something as the JSON that clients see: whether what they promise still holds."""

from collections.abc import Mapping, Sequence

from service.api.review_wire import AuditView, WatchedVersion
from service.predictor.auditing import AuditFigures, audit_figures
from service.predictor.served_model import ServedModel
from service.review.store import Audit


def watched_versions(
    served: Sequence[ServedModel], audits: Sequence[Audit], drift: Mapping[tuple[str, str], float]
) -> list[WatchedVersion]:
    """Show the versions that are calibrated, or of which rows were audited.

    Args:
        served: versions that answer.
        audits: of all policies.
        drift: of scores, by model and version.
    """
    figures = {(one.model, one.version): one for one in audit_figures(served, audits)}
    calibrated = {model.identity.key for model in served if model.certificate.calibration is not None}
    return [
        WatchedVersion(*key, _audits(figures.get(key)), drift.get(key))
        for key in sorted(figures.keys() | calibrated)
    ]


def _audits(found: AuditFigures | None) -> AuditView | None:
    if found is None:
        return None
    error = found.error if found.rows else None
    return AuditView(found.rows, error, found.lower_bound, found.promised, found.refuted)
