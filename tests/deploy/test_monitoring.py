"""Dashboard and alerts ask for metrics that the server has, and every metric is looked at somewhere."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from service.errors import RequestError
from service.predictor.answers import DETERMINISTIC, MC_DROPOUT
from service.settings import Settings
from service.telemetry.metrics import Telemetry

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "unsure.json").read_text("utf-8"))
PROMETHEUS = DEPLOY / "prometheus"
CONFIG, RULES, RULE_TESTS = (
    yaml.safe_load((PROMETHEUS / f"{name}.yaml").read_text("utf-8"))
    for name in ("prometheus", "alerts", "alerts_test")
)
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
COLUMNS = 24

_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")

_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\s*\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_CLAUSE = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_AGGREGATION = re.compile(r"\b(?:sum|min|max|avg|count|group)\s*(?:by\s*\(([^()]*)\)\s*)?(?=\()")
_NAME = re.compile(r"(?<![\w.$:])[A-Za-z_:][\w:]*(?![\w:]|\s*\()")  # a function's is followed by "("
_KEYWORDS = {"and", "or", "unless", "offset", "bool", "group_left", "group_right"}

OF_EVERY_TARGET = {"job", "instance"}
"""Labels that Prometheus itself adds."""


@dataclass(frozen=True)
class Query:
    """One expression.

    Args:
        where: it is written.
        expression: in PromQL; Grafana's variables may stand in strings and ranges.
        named: labels that the text beside it, a legend or an annotation, takes from its result.
    """

    where: str
    expression: str
    named: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.where

    @cached_property
    def metrics(self) -> list[str]:
        """Name the metrics."""
        return metrics_in(self.expression)

    def matchers(self) -> Iterator[tuple[str, str, str]]:
        """Give each label that a selector asks for, as metric, label and value."""
        for metric, inside in _SELECTOR.findall(self.expression):
            for label, value in _MATCHER.findall(inside):
                yield metric, label, value

    def clauses(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Give each grouping and matching clause, as its word, its labels and the metrics it is about."""
        for clause in _CLAUSE.finditer(self.expression):
            groups = clause[1] in ("by", "without")
            about = _argument(self.expression, clause.end()) if groups else self.expression
            yield clause[1], _listed(clause[2]), metrics_in(about)

    def result_labels(self, known: Mapping[str, set[str]]) -> set[str]:
        """Give the labels that the result may have: those it is grouped by, or those of its metrics."""
        labels: set[str] = set()
        rest = self.expression
        while aggregation := _AGGREGATION.search(rest):
            labels.update(_listed(aggregation[1] or ""))
            argument = _argument(rest, aggregation.end())
            rest = rest[: aggregation.start()] + rest[aggregation.end() + len(argument) + len("()") :]
        return labels.union(*(known[metric] for metric in metrics_in(rest)))


def metrics_in(expression: str) -> list[str]:
    """Name the metrics of an expression: the names that are no function, keyword, label or value."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = _CLAUSE.sub(" ", bare)
    return [name for name in _NAME.findall(bare) if name not in _KEYWORDS]


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


def _listed(labels: str) -> list[str]:
    return [label.strip() for label in labels.split(",") if label.strip()]


def _argument(expression: str, start: int) -> str:
    """Give what stands in the parentheses that open next."""
    opening = re.compile(r"\s*\(").match(expression, start)
    if opening is None:
        raise ValueError(f"write the grouping before what it groups: {expression}")
    depth = 0
    for place in range(opening.end() - 1, len(expression)):
        depth += {"(": 1, ")": -1}.get(expression[place], 0)
        if depth == 0:
            return expression[opening.end() : place]
    raise ValueError(f"a parenthesis is not closed: {expression}")


def panel_queries() -> Iterator[Query]:
    for panel in PANELS:
        for target in panel["targets"]:
            named = re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"])
            yield Query(f"panel {panel['title']} {target['refId']}", target["expr"], frozenset(named))


def template_queries() -> Iterator[Query]:
    """Write label_values(metric, label) as a query that groups by the label."""
    for name, variable in VARIABLES.items():
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found, f"variable {name}: only label_values(metric, label) is understood"
            assert variable["definition"] == variable["query"]["query"]
            yield Query(f"variable {name}", f"group by ({found[2]}) ({found[1]})")


def alert_queries() -> Iterator[Query]:
    for alert in ALERTS:
        named = re.findall(r"\$labels\.(\w+)", str(alert["annotations"]))
        yield Query(f"alert {alert['alert']}", alert["expr"], frozenset(named))


SHOWN = [*panel_queries(), *template_queries()]
ALERTING = [*alert_queries()]
QUERIES = SHOWN + ALERTING


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


def test_queue_alert_counts_on_the_limit() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    limit = Settings().max_pending_rows
    assert int(compose["services"]["unsure"]["environment"]["UNSURE_MAX_PENDING_ROWS"]) == limit
    expression = next(alert["expr"] for alert in ALERTS if alert["alert"] == "UnsureQueueFilling")
    share, counted = re.search(r"> ([\d.]+) \* (\d+)$", expression).groups()
    assert int(counted) == limit
    assert 0.5 <= float(share) < 1


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
