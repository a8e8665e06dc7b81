"""Keys on the wire: every route asks for what it needs, before anything else, and tells nothing."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from errors_on_the_wire import assert_failed
from openapi_spec_validator import validate
from repositories import Repository
from servers import Serve, listening, wait_until_ready
from starlette.testclient import TestClient
from tritonclient.utils import InferenceServerException

from service.access.issue import issue
from service.access.keys import SCOPES, Scope
from service.app import build
from service.settings import Settings

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
PREDICT = "/v1/models/small/predict"
UNKNOWN_REVIEW = "01a1fe19-98ca-7000-b282-0f16eb335314"

NEEDED: dict[tuple[str, str], Scope | None] = {
    ("GET", "/"): None,
    ("GET", "/page/{file}"): None,
    ("GET", "/docs"): None,
    ("GET", "/metrics"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/v2"): None,
    ("GET", "/v2/health/live"): None,
    ("GET", "/v2/health/ready"): None,
    ("GET", "/v1/models"): "predict",
    ("GET", "/v1/models/{model}"): "predict",
    ("GET", "/v1/models/{model}/dropout"): "predict",
    ("POST", "/v1/models/{model}/predict"): "predict",
    ("POST", "/v1/models/{model}/uncertainty"): "predict",
    ("POST", "/v1/models/{model}/versions/{version}/predict"): "predict",
    ("POST", "/v1/models/{model}/versions/{version}/uncertainty"): "predict",
    ("GET", "/v2/models/{model}"): "predict",
    ("GET", "/v2/models/{model}/ready"): "predict",
    ("GET", "/v2/models/{model}/versions/{version}"): "predict",
    ("GET", "/v2/models/{model}/versions/{version}/ready"): "predict",
    ("POST", "/v2/models/{model}/infer"): "predict",
    ("POST", "/v2/models/{model}/versions/{version}/infer"): "predict",
    ("GET", "/v1/reviews"): "review",
    ("GET", "/v1/reviews/export"): "review",
    ("GET", "/v1/reviews/stats"): "review",
    ("GET", "/v1/reviews/{id}"): "review",
    ("POST", "/v1/reviews/{id}/claim"): "review",
    ("POST", "/v1/reviews/{id}/release"): "review",
    ("POST", "/v1/reviews/{id}/resolve"): "review",
    ("POST", "/v2/repository/index"): "predict",
    ("POST", "/v2/repository/models/{model}/load"): "admin",
    ("POST", "/v2/repository/models/{model}/unload"): "admin",
}
"""What each route needs. Load is asked before unload: the server must not be empty in between."""

PAGE = {("GET", "/"), ("GET", "/page/{file}")}
"""The page has to be there to ask for a key; its files are the same everywhere."""


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.toml"


@pytest.fixture(scope="module")
def keys(keys_file: Path) -> dict[Scope, str]:
    """One key for each scope."""
    return {scope: issue(keys_file, scope, [scope]) for scope in SCOPES}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def ask(client: TestClient, route: tuple[str, str], headers: dict[str, str] | None = None) -> Any:
    method, template = route
    path = template.format(model="small", version="1", file="main.js", id=UNKNOWN_REVIEW)
    return client.request(method, path, headers=headers, follow_redirects=False)


def routes_of(client: TestClient) -> set[tuple[str, str]]:
    """Name the routes of an application."""
    return {
        (method, route.path)  # type: ignore[attr-defined]
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }


@pytest.fixture
def client(repository: Repository, serve: Serve, keys_file: Path, keys: dict[Scope, str]) -> TestClient:
    repository.add()
    return serve(api_keys_file=keys_file)


def test_every_route_is_in_the_table_of_these_tests(client: TestClient) -> None:
    assert routes_of(client) == NEEDED.keys()


def test_every_route_asks_for_the_scope_that_it_needs(client: TestClient, keys: dict[Scope, str]) -> None:
    for route, needed in NEEDED.items():
        bare = ask(client, route)
        if needed is None:
            assert bare.status_code == 200, route
            continue
        assert_failed(bare, 401, "unauthorized", "this needs a key; send it as `Authorization: Bearer <key>`")
        assert bare.headers["www-authenticate"] == "Bearer"
        for scope, key in keys.items():
            answer = ask(client, route, bearer(key))
            if scope == needed:
                # An inference request without a body is refused for its body; there is no such review.
                assert answer.status_code in (200, 400, 404), (route, scope, answer.text)
            else:
                message = f"this needs a key with the scope {needed}, and this key has {scope}"
                assert_failed(answer, 403, "forbidden", message)
                assert key not in answer.text


def test_everything_can_be_protected(
    repository: Repository, serve: Serve, keys_file: Path, keys: dict[Scope, str]
) -> None:
    repository.add()
    client = serve(wait=False, api_keys_file=keys_file, protect_all=True)
    for route in PAGE:
        assert ask(client, route).status_code == 200
    for route, needed in NEEDED.items():
        if route in PAGE:
            continue
        assert_failed(ask(client, route), 401, "unauthorized", "this needs a key")
        if needed is None:
            answers = [ask(client, route, bearer(key)) for key in keys.values()]
            assert {one.status_code for one in answers} <= {200, 503}, route
    client.headers.update(bearer(keys["review"]))
    wait_until_ready(client)
    assert_failed(client.get("/v1/models"), 403, "forbidden", "the scope predict, and this key has review")


def test_without_a_file_nothing_needs_a_key(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    assert client.post(PREDICT, json={"inputs": [ROW]}, headers=bearer("any")).status_code == 200
    assert {ask(client, route).status_code for route in NEEDED} == {200, 400, 404}


def test_a_good_key_is_answered_as_ever(client: TestClient, keys: dict[Scope, str]) -> None:
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
        header = {"Authorization": f"{scheme} {keys['predict']}"}
        assert client.post(PREDICT, json={"inputs": [ROW]}, headers=header).status_code == 200


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Bearer", "must be `Bearer <key>`"),
        ("Bearer ", "must be `Bearer <key>`"),
        ("Basic dXNlcjpzZWNyZXQ=", "must be `Bearer <key>`"),
        ("KEY", "must be `Bearer <key>`"),
        ("Bearer unsure_guess", "the key is none of this server's"),
        ("Bearer KEY.", "the key is none of this server's"),
        ("Bearer KEY KEY", "the key is none of this server's"),
        ("Bearer ÿ", "the key is none of this server's"),
        ("Bearer " + "x" * 20_000, "the key is none of this server's"),
    ],
)
def test_what_is_no_key_is_401_and_never_repeated(
    client: TestClient, keys: dict[Scope, str], header: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "unsure")
    sent = header.replace("KEY", keys["predict"])
    answer = client.get("/v1/models", headers={"Authorization": sent.encode("latin-1")})
    assert_failed(answer, 401, "unauthorized", message)
    for secret in (keys["predict"], sent.partition(" ")[2]):
        assert not secret or secret not in answer.text
        assert not secret or secret not in caplog.text


def test_the_query_is_no_place_for_a_key(client: TestClient, keys: dict[Scope, str]) -> None:
    """A path stands in logs and in histories."""
    answer = client.get("/v1/models", params={"key": keys["predict"], "access_token": keys["predict"]})
    assert_failed(answer, 401, "unauthorized", "this needs a key")


def test_who_has_no_key_learns_nothing_of_the_models(client: TestClient) -> None:
    known, unknown = client.get("/v1/models/small"), client.get("/v1/models/large")
    assert {known.status_code, unknown.status_code} == {401}
    assert known.json()["error"] == unknown.json()["error"]
    assert "small" not in known.text


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer unsure_guess"}, {"authorization": "KEY"}])
def test_a_body_is_not_read_before_its_key(
    client: TestClient, keys: dict[Scope, str], headers: dict[str, str]
) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    lines = [
        (name.encode(), text.replace("KEY", f"Bearer {keys['review']}").encode())
        for name, text in headers.items()
    ]
    for route, needed in NEEDED.items():
        if needed == "predict":
            path = route[1].format(model="small", version="1", id=UNKNOWN_REVIEW)
            scope = {"type": "http", "method": route[0], "path": path, "headers": lines, "query_string": b""}
            asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    statuses = {message["status"] for message in sent if message["type"] == "http.response.start"}
    assert statuses == ({403} if headers.get("authorization") == "KEY" else {401})


def test_a_key_works_and_ends_without_a_restart(
    repository: Repository, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.access.ring.CHECK_SECONDS", 0)
    path = tmp_path / "keys.toml"
    issue(path, "first", ["predict"])
    alone = path.read_text()
    client = serve(api_keys_file=path)
    second = bearer(issue(path, "second", ["predict"]))
    assert client.get("/v1/models", headers=second).status_code == 200
    path.write_text(alone)
    assert client.get("/v1/models", headers=second).status_code == 401


def test_refusals_are_counted_by_their_code_alone(client: TestClient, keys: dict[Scope, str]) -> None:
    for headers in ({}, bearer("unsure_guess"), bearer(keys["admin"])):
        client.post("/v1/models/of-a-stranger/predict", json={"inputs": [ROW]}, headers=headers)
    metrics = client.get("/metrics").text
    assert 'unsure_rejected_total{reason="unauthorized"} 2.0' in metrics
    assert 'unsure_rejected_total{reason="forbidden"} 1.0' in metrics
    assert "of-a-stranger" not in metrics
    assert 'code="401"' not in metrics


def test_a_wrong_method_is_told_without_a_key(client: TestClient) -> None:
    """It is in the documentation, which is open."""
    assert_failed(client.get(PREDICT), 405, "method_not_allowed", "it takes POST")


@pytest.mark.parametrize("protect_all", [False, True])
def test_the_openapi_document_says_what_needs_a_key(
    serve: Serve, keys_file: Path, keys: dict[Scope, str], *, protect_all: bool
) -> None:
    client = serve(wait=False, api_keys_file=keys_file, protect_all=protect_all)
    client.headers.update(bearer(keys["predict"]))
    document = client.get("/openapi.json").json()
    validate(document)
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for (method, path), needed in NEEDED.items():
        if (method, path) in PAGE:
            continue
        described = document["paths"][path][method.lower()]
        if needed or protect_all:
            assert described["security"] == [{"key": [needed] if needed else []}]
            assert {"401", "403"} <= described["responses"].keys()
            assert "WWW-Authenticate" in described["responses"]["401"]["headers"]
        else:
            assert "security" not in described
            assert "401" not in described["responses"]
    page = client.get("/docs").text
    assert "Needs a key with the scope <code>admin</code>." in page
    assert ("<p>Needs a key.</p>" in page) == protect_all


def test_the_openapi_document_of_an_open_server_names_no_keys(serve: Serve) -> None:
    client = serve()
    document = client.get("/openapi.json")
    assert "securitySchemes" not in document.json()["components"]
    assert "401" not in document.text
    assert "Needs a key" not in client.get("/docs").text


def test_a_client_of_the_protocol_sends_its_key(
    repository: Repository, keys_file: Path, keys: dict[Scope, str]
) -> None:
    """Over a real socket: a refusal that does not read the body leaves the connection good."""
    repository.add()
    settings = Settings(
        repository=repository.path,
        factories="networks",
        plan="vmap",
        api_keys_file=keys_file,
        review_url="off",
    )
    rows = triton.InferInput("features", [1, 6], "FP32")
    rows.set_data_from_numpy(np.array([ROW], np.float32))
    with listening(build(settings)) as address, triton.InferenceServerClient(address) as client:
        with httpx.Client(base_url=f"http://{address}") as plain:
            wait_until_ready(plain)
        for headers, message in (
            (None, "this needs a key"),
            (bearer(keys["review"]), "a key with the scope predict"),
        ):
            with pytest.raises(InferenceServerException, match=message):
                client.infer("small", [rows], headers=headers)
            answer = client.infer("small", [rows], headers=bearer(keys["predict"]))
            assert answer.as_numpy("output").shape == (1, 3)
        with pytest.raises(InferenceServerException, match="scope admin"):
            client.unload_model("small", headers=bearer(keys["predict"]))
        client.unload_model("small", headers=bearer(keys["admin"]))
