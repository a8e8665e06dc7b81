"""What audits say of a promise: labels of rows that were not flagged, and that chance chose."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.certification.monitoring import lower_bound
from service.flagging.policy import Policy
from service.predictor.served_model import ServedModel
from service.review.store import Audit

_CONFIDENCE = 0.95  # of the bound, where no promise says another


@dataclass(frozen=True)
class AuditFigures:
    """Figures of one version, as its present policy decides.

    Args:
        model: its name.
        version: of it.
        rows: audit rows with a label.
        error: the share of them that the model had wrong; 0 of none.
        lower_bound: on the share of wrong ones among all rows that are not flagged, at every moment at once.
        promised: the share that may be wrong; None where nothing is promised of these rows.
    """

    model: str
    version: str
    rows: int
    error: float
    lower_bound: float
    promised: float | None

    @property
    def refuted(self) -> bool:
        """Whether labels show that more rows are wrong than was promised."""
        return self.promised is not None and self.lower_bound > self.promised


def audit_figures(served: Iterable[ServedModel], audits: Iterable[Audit]) -> Iterator[AuditFigures]:
    """Give the figures of each version that promises something, or of which rows were audited.

    Which values are wrong, the tolerance of a promise says: without one, nothing is told of regression.
    """
    counted = {audit.policy_id: audit for audit in audits}
    for model in served:
        audit = counted.get(model.policy.id)
        if _knows_wrong(model) and (audit or model.policy.guarantee):
            yield _figures(model, audit or Audit(model.policy.id, 0, 0))


def _knows_wrong(model: ServedModel) -> bool:
    """Tell whether labels were held against what a promise would be about."""
    guarantee = model.policy.guarantee
    return model.manifest.task != "regression" or (guarantee is not None and guarantee.of_values)


def _figures(model: ServedModel, audit: Audit) -> AuditFigures:
    rows, wrong = audit.labelled, audit.wrong
    bound = lower_bound(wrong, rows, _confidence(model.policy))
    return AuditFigures(*model.identity.key, rows, wrong / max(1, rows), bound, _promised(model.policy))


def _confidence(policy: Policy) -> float:
    guarantee = policy.guarantee
    return guarantee.confidence if guarantee and guarantee.confidence else _CONFIDENCE


def _promised(policy: Policy) -> float | None:
    guarantee = policy.guarantee
    return guarantee.target_error if guarantee and guarantee.contract == "selective_risk" else None
