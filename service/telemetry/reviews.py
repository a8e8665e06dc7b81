"""The metrics of the review queue, and of what its audits and the scores say of promises."""

import math
from collections.abc import Collection, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.telemetry.shared import forget_series, told

_VERSION = ("model", "version")
_SCORE_DRIFT = "unsure_score_drift"


class ReviewTelemetry:
    """The metrics of reviews, audits and drift.

    Args:
        registry: that they join.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._audited: set[tuple[str, str]] = set()
        self._of_queue(registry)
        self._of_promises(registry)

    def _of_queue(self, registry: CollectorRegistry) -> None:
        self._items = Gauge(
            "unsure_review_items",
            "Items of the review queue, by where they stand; counted twice a minute.",
            ("status",),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._decisions = Counter(
            "unsure_review_decisions_total",
            "Reviews resolved by a request, by whether the model was right.",
            ("agreed",),
            registry=registry,
        )
        self._missed = Counter(
            "unsure_review_missed_total",
            "Rows that did not enter the review queue: its database failed, or was late.",
            ("reason",),
            registry=registry,
        )
        # A series that appears with its first count shows no increase.
        for agreed in (True, False):
            self._decisions.labels(str(agreed).lower())
        for reason in ("database", "late"):
            self._missed.labels(reason)

    def _of_promises(self, registry: CollectorRegistry) -> None:
        latest = partial(Gauge, labelnames=_VERSION, registry=registry, multiprocess_mode="livemostrecent")
        self._audit_rows = latest(
            "unsure_audit_rows",
            "Rows that were not flagged, entered the review queue by chance, and have a label.",
        )
        self._audit_error = latest("unsure_audit_error", "Share of the audit rows that the model had wrong.")
        self._audit_bound = latest(
            "unsure_audit_error_lower_bound",
            "More than this share of the rows that are not flagged is wrong: at all moments together, with "
            "the promise's confidence, or 95 %.",
        )
        self._promised_error = latest(
            "unsure_promised_error",
            "Share of the rows that are not flagged which may be wrong, as the calibration promises.",
        )
        self._score_drift = latest(
            _SCORE_DRIFT,
            "Population stability index of the last 500 to 1000 scores against those of the calibration.",
        )

    def items(self, counts: Mapping[str, int]) -> None:
        """Tell how many items of the review queue stand where."""
        for status, count in counts.items():
            self._items.labels(status).set(count)

    def decided(self, *, agreed: bool) -> None:
        """Count a resolution."""
        self._decisions.labels(str(agreed).lower()).inc()

    def missed(self, reason: str, rows: int) -> None:
        """Count rows that did not enter."""
        self._missed.labels(reason).inc(rows)

    def audited(
        self, model: str, version: str, *, rows: int, error: float, lower_bound: float, promised: float | None
    ) -> None:
        """Tell what audits say of a version's present policy."""
        self._audited.add((model, version))
        self._audit_rows.labels(model, version).set(rows)
        self._audit_error.labels(model, version).set(error)
        self._audit_bound.labels(model, version).set(lower_bound)
        self._promised_error.labels(model, version).set(math.nan if promised is None else promised)

    def forget_audits(self, but: Collection[tuple[str, str]]) -> None:
        """Tell no more of versions that are gone, or whose policy now neither promises nor was audited.

        Args:
            but: the versions that are told of still.
        """
        gauges = (self._audit_rows, self._audit_error, self._audit_bound, self._promised_error)
        for version in self._audited.difference(but):
            for gauge in gauges:
                forget_series(gauge, *version)
        self._audited.intersection_update(but)

    def drifted(self, model: str, version: str, index: float) -> None:
        """Tell how far a version's scores have moved from those it was calibrated with."""
        self._score_drift.labels(model, version).set(index)

    def drift(self) -> Mapping[tuple[str, str], float]:
        """Give how far the scores of each version have moved, whichever process has told it last."""
        indices = told(self._registry, _SCORE_DRIFT)
        return {(dict(labels)["model"], dict(labels)["version"]): one for labels, one in indices.items()}

    def forget_drift(self, model: str, version: str) -> None:
        """Tell no more how far a version's scores have moved."""
        forget_series(self._score_drift, model, version)
