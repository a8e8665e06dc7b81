"""Dashboard and alerts ask for metrics that the server has, and every metric is looked at somewhere."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from watching_queries import (
    ALERTING,
    ALERTS,
    CONFIG,
    DASHBOARD,
    OF_EVERY_TARGET,
    PANELS,
    PROMETHEUS,
    QUERIES,
    RULE_TESTS,
    SHOWN,
    VARIABLES,
    Query,
    panel_queries,
)

from service.errors import DeadlineExceeded, Overloaded, RequestError
from service.flagging.policy import Policy
from service.predictor.answers import DETERMINISTIC, MC_DROPOUT
from service.settings import Settings
from service.telemetry.metrics import Telemetry

COLUMNS = 24
POLICY = Policy("digits", 1, "predictive_entropy", 0.5)


def exposed(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Give the labels of every series that a registry may expose, by its full name."""
    for collector in registry._collector_to_names:
        if collector._labelnames:  # without a child it exposes nothing
            collector.labels(*collector._labelnames)
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {sample.name: {*sample.labels, *OF_EVERY_TARGET} for sample in samples}


def families(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Give the full names of the series of every metric."""
    exposed(registry)
    return {family.name: {sample.name for sample in family.samples} for family in registry.collect()}


def unknown_labels(query: Query, known: Mapping[str, set[str]]) -> list[str]:
    """List the labels that a query asks of a metric that has none such."""
    asked: Iterable[tuple[str, str]] = [
        *((metric, label) for metric, label, _ in query.matchers()),
        *(
            (metric, label)
            for _, labels, metrics in query.clauses()
            for label in labels
            for metric in metrics
        ),
    ]
    return [f"{metric} has no label {label}" for metric, label in asked if label not in known[metric]]


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    return {**exposed(Telemetry().registry), "up": {"job", "instance"}}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not installed; it comes with Debian's package prometheus"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def check(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_metrics_exist(query: Query, known: dict[str, set[str]]) -> None:
    assert query.metrics
    assert [metric for metric in query.metrics if metric not in known] == []


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_labels_exist(query: Query, known: dict[str, set[str]]) -> None:
    assert unknown_labels(query, known) == []


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_only_buckets_are_grouped_by_le(query: Query) -> None:
    by_le = [metrics for _, labels, metrics in query.clauses() if "le" in labels]
    assert all(metric.endswith("_bucket") for metrics in by_le for metric in metrics)
    assert bool(by_le) == any(metric.endswith("_bucket") for metric in query.metrics)


def test_label_values_exist() -> None:
    values = {
        "reason": {kind.code for kind in RequestError.__subclasses__()},
        "mode": {DETERMINISTIC, MC_DROPOUT},
        "job": {scrape["job_name"] for scrape in CONFIG["scrape_configs"]},
    }
    asked = [
        (query.where, label, value)
        for query in QUERIES
        for _, label, alternatives in query.matchers()
        for value in alternatives.split("|")
        if label in values
    ]
    assert asked
    assert [one for one in asked if one[2] not in values[one[1]]] == []


@pytest.mark.parametrize("query", [query for query in QUERIES if query.named], ids=str)
def test_text_names_labels_of_the_result(query: Query, known: dict[str, set[str]]) -> None:
    assert query.named - query.result_labels(known) == set()


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {metric for query in panel_queries() for metric in query.metrics}
    assert [name for name, series in families(Telemetry().registry).items() if not series & shown] == []


def test_variables_are_defined() -> None:
    builtin = {"__rate_interval", "__all"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([DASHBOARD["panels"], DASHBOARD["templating"]])))
    assert used - builtin == set(VARIABLES)


def test_every_query_goes_to_the_chosen_data_source() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asked = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), VARIABLES["model"]]
    assert [one for one in asked if one["datasource"] != chosen] == []


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= COLUMNS, panel["title"]
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], f"{panel['title']} lies on {other}"


def test_panels_are_told_apart() -> None:
    for key in ("id", "title"):
        names = [panel[key] for panel in DASHBOARD["panels"]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_has_unit_and_description(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"].endswith(".")


def test_every_alert_is_seen_to_fire_and_to_stay_quiet() -> None:
    cases = [case for group in RULE_TESTS["tests"] for case in group.get("alert_rule_test", [])]
    firing = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert firing == {alert["alert"] for alert in ALERTS}
    healthy = next(group for group in RULE_TESTS["tests"] if group["name"] == "healthy")
    quiet = {"ALERTS": []}
    assert {one["expr"]: one["exp_samples"] for one in healthy["promql_expr_test"]} == quiet
    present = {metric for one in healthy["input_series"] for metric in Query("", one["series"]).metrics}
    assert present == {metric for query in ALERTING for metric in query.metrics}


def test_a_panel_of_models_shows_those_that_are_chosen(known: dict[str, set[str]]) -> None:
    unfiltered = [
        query.where
        for query in panel_queries()
        for metric in query.metrics
        if "model" in known[metric] and (metric, "model", "$model") not in query.matchers()
    ]
    assert unfiltered == []


def test_what_may_be_counted_is_there_before_its_first_count() -> None:
    """A series that appears with its first count shows no increase."""
    telemetry = Telemetry()
    telemetry.versions("digits", {"1": True})
    flags = replace(POLICY, flags_every_row="too few rows").decide([1]) + POLICY.decide([1])
    expected = {
        ("unsure_low_confidence_total", reason.code, 0.0) for flag in flags for reason in flag.reasons
    }
    expected |= {("unsure_rejected_total", kind.code, 0.0) for kind in (Overloaded, DeadlineExceeded)}
    found = {
        (sample.name, sample.labels.get("reason"), sample.value)
        for family in telemetry.registry.collect()
        for sample in family.samples
    }
    assert len(expected) == 4
    assert expected <= found
    assert ("unsure_model_load_failures_total", None, 0.0) in found


def test_latency_alert_comes_before_the_deadline() -> None:
    expression = next(alert["expr"] for alert in ALERTS if alert["alert"] == "UnsureLatencyHigh")
    assert float(expression.rsplit(">", 1)[1]) < Settings().deadline_seconds


def test_prometheus_accepts_the_configuration(promtool: str) -> None:
    assert (PROMETHEUS / "alerts.yaml").name in CONFIG["rule_files"]
    check(promtool, "check", "config", PROMETHEUS / "prometheus.yaml")
    check(promtool, "check", "rules", PROMETHEUS / "alerts.yaml")


def test_alerts_behave(promtool: str) -> None:
    check(promtool, "test", "rules", PROMETHEUS / "alerts_test.yaml")


def test_shown_queries_are_promql(promtool: str, tmp_path: Path) -> None:
    """As recording rules, because promtool checks those."""
    rules = [
        {"record": f"query_{number}", "expr": query.expression.replace("$__rate_interval", "1m")}
        for number, query in enumerate(SHOWN)
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    check(promtool, "check", "rules", path)
