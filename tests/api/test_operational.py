"""Metrics, the OpenAPI document and the page made of it."""

import re
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]


def values(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_metrics_count_what_happened(repository: Repository, serve: Serve) -> None:
    repository.add(policy={"measure": "predictive_entropy", "threshold": -1})
    client = serve()
    client.post("/v1/models/small/predict", json={"inputs": [ROW] * 3})
    client.post("/v1/models/small/uncertainty", json={"inputs": [ROW] * 2, "samples": 10})
    client.post("/v1/models/small/uncertainty", json={"inputs": "none"})
    client.post("/v1/models/unheard-of/predict", json={"inputs": [ROW]})
    client.post("/v1/models/small/versions/99/predict", json={"inputs": [ROW]})
    found = values(client)
    model = {"model": "small", "version": "1"}
    predict, sample = model | {"mode": "deterministic"}, model | {"mode": "mc_dropout"}
    expected = {
        key("unsure_requests_total", **predict, code="200"): 1,
        key("unsure_requests_total", **sample, code="200"): 1,
        key("unsure_requests_total", **sample, code="400"): 1,
        key("unsure_requests_total", model="unknown", version="unknown", mode="deterministic", code="404"): 1,
        key("unsure_requests_total", model="small", version="unknown", mode="deterministic", code="404"): 1,
        key("unsure_request_duration_seconds_count", **sample): 2,
        key("unsure_queue_duration_seconds_count", **sample): 1,
        key("unsure_compute_duration_seconds_count", **predict): 1,
        key("unsure_batch_rows_sum", **predict): 3,
        key("unsure_rows_total", **predict): 3,
        key("unsure_rows_total", **sample): 2,
        key("unsure_samples_total", **model): 20,
        key("unsure_low_confidence_total", **model, reason="score_above_threshold"): 2,
        key("unsure_score_count", **model): 2,
        key("unsure_pending_rows"): 0,
        key("unsure_model_ready", **model): 1,
        key("unsure_model_load_duration_seconds_count", model="small"): 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert sum(value for (name, _), value in found.items() if name == "unsure_requests_total") == 5
    assert "None" not in client.get("/metrics").text
    assert "unheard-of" not in client.get("/metrics").text


def test_two_servers_count_apart(repository: Repository, serve: Serve) -> None:
    repository.add()
    one, other = serve(), serve()
    one.post("/v1/models/small/predict", json={"inputs": [ROW]})
    labels = {"model": "small", "version": "1", "mode": "deterministic"}
    assert values(one)[key("unsure_rows_total", **labels)] == 1
    assert key("unsure_rows_total", **labels) not in values(other)


def test_the_openapi_document_is_valid_and_describes_every_route(serve: Serve) -> None:
    client = serve()
    document = client.get("/openapi.json").json()
    validate(document)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    routes = {
        (method, route.path)  # type: ignore[attr-defined]
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    assert described == routes - {("GET", "/"), ("GET", "/page/{file}")}
    assert ("POST", "/v1/models/{model}/versions/{version}/uncertainty") in described


def test_the_openapi_document_says_what_is_answered(repository: Repository, serve: Serve) -> None:
    """Real answers, good and bad, against the schemas they are said to have."""
    from jsonschema import Draft202012Validator

    repository.add()
    values_model = {"measure": "standard_deviation", "threshold": 1}
    repository.add(
        "reg", factory="values", task="regression", output={"variance_head": True}, policy=values_model
    )
    client = serve()
    document = client.get("/openapi.json").json()

    def check(method: str, path: str, template: str, body: object = None) -> None:
        answer = client.request(method, path, json=body)
        responses = document["paths"][template][method.lower()]["responses"]
        schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())

    everything = {"inputs": [ROW], "include": ["samples", "quantiles"]}
    for model in ("small", "reg"):
        check("POST", f"/v1/models/{model}/predict", "/v1/models/{model}/predict", {"inputs": [ROW]})
        check("POST", f"/v1/models/{model}/uncertainty", "/v1/models/{model}/uncertainty", everything)
        check("GET", f"/v1/models/{model}", "/v1/models/{model}")
        check("GET", f"/v1/models/{model}/dropout", "/v1/models/{model}/dropout")
        check("GET", f"/v2/models/{model}", "/v2/models/{model}")
        check("GET", f"/v2/models/{model}/ready", "/v2/models/{model}/ready")
        tensors = [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": ROW}]
        for parameters in (None, {"samples": 5}):
            asked = {"inputs": tensors, "parameters": parameters}
            check("POST", f"/v2/models/{model}/infer", "/v2/models/{model}/infer", asked)
        check("POST", f"/v2/models/{model}/infer", "/v2/models/{model}/infer", {})
    for path in ("/v1/models", "/v2", "/v2/health/live", "/v2/health/ready"):
        check("GET", path, path)
    check("POST", "/v2/repository/index", "/v2/repository/index")
    for verb in ("load", "unload"):
        for model in ("reg", "none"):
            path = f"/v2/repository/models/{{model}}/{verb}"
            check("POST", path.format(model=model), path)
    check("POST", "/v1/models/small/predict", "/v1/models/{model}/predict", {"inputs": []})
    check("POST", "/v1/models/none/predict", "/v1/models/{model}/predict", {"inputs": []})


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.targets += [given[name] or "" for name in ("href", "src") if name in given]
        self.ids |= {given["id"] or ""} if "id" in given else set()


def test_the_page_shows_every_operation_and_needs_no_other_host(serve: Serve) -> None:
    client = serve()
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page.text
    links = Links()
    links.feed(page.text)
    assert "script" not in links.tags
    for target in links.targets:
        assert target == "/openapi.json" or (target.startswith("#") and target[1:] in links.ids), target


@pytest.mark.parametrize("name", ["unsure_requests_total", "unsure_score", "unsure_build_info"])
def test_metrics_are_there_before_the_first_request(serve: Serve, name: str) -> None:
    assert re.search(rf"^# HELP {name} ", serve().get("/metrics").text, re.MULTILINE)
