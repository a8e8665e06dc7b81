"""Every metric the server has."""

from collections.abc import Mapping, Sequence
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from service import __version__
from service.errors import DeadlineExceeded, Forbidden, Overloaded, TooLarge, Unauthorized, Unavailable
from service.telemetry.reviews import ReviewTelemetry
from service.telemetry.shared import forget_series, gathered

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LOAD_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
_SCORES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)

_REJECTING = (Unauthorized, Forbidden, Overloaded, DeadlineExceeded, TooLarge, Unavailable)
_FLAGGING = ("score_above_threshold", "not_certified")
_MODE = ("model", "version", "mode")
_VERSION = ("model", "version")


class Telemetry:
    """The metrics of one server, in a registry of its own.

    Labels are models and versions that exist, modes, status codes and codes of errors and reasons: none is
    taken from a request.

    Attributes:
        reviews: what is told of the review queue, and of promises after deployment.
    """

    def __init__(self) -> None:
        # A second series for each, that nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client left it unannotated
        self.registry = registry = CollectorRegistry()
        self._told: dict[str, set[str]] = {}
        self._of_requests(registry)
        self._of_queue(registry)
        self._of_rows(registry)
        self._of_models(registry)
        self.reviews = ReviewTelemetry(registry)
        self._of_loads(registry)

    def _of_requests(self, registry: CollectorRegistry) -> None:
        # What each request counts finds its series in a dictionary, without the checks of labels().
        self._requests = cache(
            Counter(
                "unsure_requests_total",
                "Inference requests answered, by status code; a model that does not exist counts as unknown.",
                (*_MODE, "code"),
                registry=registry,
            ).labels
        )
        self._request_seconds = cache(
            Histogram(
                "unsure_request_duration_seconds",
                "Inference requests, from their first byte to their answer.",
                _MODE,
                buckets=_SECONDS,
                registry=registry,
            ).labels
        )
        self._queue_seconds = cache(
            Histogram(
                "unsure_queue_duration_seconds",
                "Waiting for the device.",
                _MODE,
                buckets=_SECONDS,
                registry=registry,
            ).labels
        )
        self._compute_seconds = cache(
            Histogram(
                "unsure_compute_duration_seconds",
                "Running on the device: a batch of rows that ran together.",
                _MODE,
                buckets=_SECONDS,
                registry=registry,
            ).labels
        )
        self._batch_rows = cache(
            Histogram(
                "unsure_batch_rows", "Rows that ran together.", _MODE, buckets=_ROWS, registry=registry
            ).labels
        )

    def _of_queue(self, registry: CollectorRegistry) -> None:
        self._pending_rows = Gauge(
            "unsure_pending_rows",
            "Rows waiting or running now.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._queue_fill = Gauge(
            "unsure_queue_fill_ratio",
            "Share of the queue that is taken, of rows or of samples, whichever has less room; of several "
            "processes that of the fullest.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._rejected = Counter(
            "unsure_rejected_total",
            "Requests turned away for want of a key, or turned away or given up by the queue, by error code.",
            ("reason",),
            registry=registry,
        )
        # A series that appears with its first count shows no increase.
        for kind in _REJECTING:
            self._rejected.labels(kind.code)

    def _of_rows(self, registry: CollectorRegistry) -> None:
        self._rows = cache(Counter("unsure_rows_total", "Rows answered.", _MODE, registry=registry).labels)
        self._samples = cache(
            Counter(
                "unsure_samples_total",
                "Monte Carlo samples computed: rows times samples.",
                _VERSION,
                registry=registry,
            ).labels
        )
        self._low_confidence = cache(
            Counter(
                "unsure_low_confidence_total",
                "Rows flagged.",
                (*_VERSION, "reason"),
                registry=registry,
            ).labels
        )
        self._score = cache(
            Histogram(
                "unsure_score",
                "Scores that a policy compared with its threshold.",
                _VERSION,
                buckets=_SCORES,
                registry=registry,
            ).labels
        )

    def _of_models(self, registry: CollectorRegistry) -> None:
        self._model_ready = Gauge(
            "unsure_model_ready",
            "1 where a version answers, else 0; an unloaded model has none.",
            _VERSION,
            registry=registry,
            multiprocess_mode="livemin",
        )

    def _of_loads(self, registry: CollectorRegistry) -> None:
        self._load_seconds = Histogram(
            "unsure_model_load_duration_seconds",
            "Loading a version, from its folder to its verified plan.",
            ("model",),
            buckets=_LOAD_SECONDS,
            registry=registry,
        )
        self._load_failures = Counter(
            "unsure_model_load_failures_total", "Loads that failed.", ("model",), registry=registry
        )
        self._build = Gauge(
            "unsure_build_info",
            "Always 1; labels tell what runs.",
            ("version", "torch"),
            registry=registry,
            multiprocess_mode="livemax",
        )

    def built_with(self, torch_version: str) -> None:
        """Tell what runs."""
        self._build.labels(__version__, torch_version).set(1)

    def pending(self, rows: int, taken_share: float) -> None:
        """Tell how many rows wait or run, and the share of the queue that is taken."""
        self._pending_rows.set(rows)
        self._queue_fill.set(taken_share)

    def answered(self, model: str, version: str, mode: str, code: int, seconds: float) -> None:
        """Count a request and its duration."""
        self._requests(model, version, mode, str(code)).inc()
        self._request_seconds(model, version, mode).observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count a request that was turned away or given up."""
        self._rejected.labels(reason).inc()

    def ran(self, model: str, version: str, mode: str, *, rows: int, queue_seconds: float) -> None:
        """Count a request that was computed."""
        self._queue_seconds(model, version, mode).observe(queue_seconds)
        self._rows(model, version, mode).inc(rows)

    def ran_together(self, model: str, version: str, mode: str, rows: int, seconds: float) -> None:
        """Count a batch that ran on the device, of one request or several."""
        self._batch_rows(model, version, mode).observe(rows)
        self._compute_seconds(model, version, mode).observe(seconds)

    def sampled(self, model: str, version: str, samples: int) -> None:
        """Count samples: rows times samples."""
        self._samples(model, version).inc(samples)

    def decided(self, model: str, version: str, score: float, reasons: Sequence[str]) -> None:
        """Count what a policy decided about one row."""
        self._score(model, version).observe(score)
        for reason in reasons:
            self._low_confidence(model, version, reason).inc()

    def loaded(self, model: str, seconds: float) -> None:
        """Count a load of a version."""
        self._load_seconds.labels(model).observe(seconds)

    def load_failed(self, model: str) -> None:
        """Count a failed load."""
        self._load_failures.labels(model).inc()

    def versions(self, model: str, ready: Mapping[str, bool]) -> None:
        """Tell which versions a model has, and whether each answers; others are forgotten."""
        self._load_failures.labels(model)
        for version, answers in ready.items():
            self._model_ready.labels(model, version).set(answers)
            for reason in _FLAGGING if answers else ():
                self._low_confidence(model, version, reason)
        for version in self._told.get(model, set()) - ready.keys():
            forget_series(self._model_ready, model, version)
        for version in self._told.get(model, set()):
            self.reviews.forget_drift(model, version)  # of a calibration that may be another now
        self._told[model] = set(ready)

    def exposition(self) -> tuple[bytes, str]:
        """Give everything in the Prometheus text format, and the media type of that."""
        return generate_latest(gathered(self.registry)), CONTENT_TYPE_LATEST
