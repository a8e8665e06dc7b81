"""What is told of audits is about the policies that decide now."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from service.lifespan import Upkeep
from service.predictor.auditing import AuditFigures
from service.telemetry.metrics import Telemetry

ALL = {
    "unsure_audit_rows",
    "unsure_audit_error",
    "unsure_audit_error_lower_bound",
    "unsure_promised_error",
}


def of(telemetry: Telemetry) -> dict[str, set[str]]:
    """Give the metrics of each model's audits."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(telemetry.exposition()[0].decode()):
        for sample in family.samples if family.name in ALL else ():
            found.setdefault(sample.labels["model"], set()).add(sample.name)
    return found


def test_a_promise_that_nobody_makes_any_more_is_refuted_no_more() -> None:
    telemetry, models = Telemetry(), ("kept", "unloaded")
    catalogue: Any = None  # these figures are computed already
    upkeep = Upkeep(None, 0.0, catalogue, telemetry.reviews)
    kept, unloaded = (AuditFigures(model, "1", 50, 0.1, 0.05, 0.02) for model in models)
    upkeep._tell_audits([kept, unloaded])
    assert of(telemetry) == {"kept": ALL, "unloaded": ALL}
    upkeep._tell_audits([kept])
    assert of(telemetry) == {"kept": ALL}
    upkeep._tell_audits([kept, unloaded])
    assert of(telemetry) == {"kept": ALL, "unloaded": ALL}
