"""The front by itself, before models that answer as a test says."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from repositories import Repository
from starlette.testclient import TestClient

from service.access.issue import issue
from service.api.receiving import BodyLimits
from service.app import build
from service.errors import DeadlineExceeded, Overloaded, RequestError, Unavailable
from service.ray_serve.application import Before
from service.ray_serve.exchange import Answered, Asked
from service.ray_serve.front import Front
from service.settings import Settings

LIMITS = BodyLimits(bytes=1000, receiving_bytes=10_000, seconds=30)


class Model:
    """A model whose replicas answer with the path that they were asked, or fail."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: RequestError | None = None
        self.asked: list[tuple[str, Asked]] = []

    async def answer(self, asked: Asked) -> Answered:
        return self._answered("answer", asked)

    async def change(self, asked: Asked) -> Answered:
        return self._answered("change", asked)

    async def tell(self, asked: Asked) -> Answered:
        return self._answered("tell", asked)

    def _answered(self, how: str, asked: Asked) -> Answered:
        self.asked.append((how, asked))
        if self.failure is not None:
            raise self.failure
        return Answered(200, ((b"content-type", b"text/plain"),), asked.path.encode())


@pytest.fixture
def model() -> Model:
    return Model("digits")


@pytest.fixture
def client(model: Model, repository: Repository) -> Any:
    settings = Settings(repository=repository.path, review_url="off")
    own = build(settings, Before(("digits",)))
    models: Any = [model]
    with TestClient(Front(own, models, LIMITS, "front").application(), raise_server_exceptions=False) as one:
        yield one


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/v1/models/digits", "answer"),
        ("/v1/models/digits/versions/2/predict", "answer"),
        ("/v2/models/digits/infer", "answer"),
        ("/v2/repository/models/digits/load", "change"),
        ("/v2/health/ready", "tell"),
    ],
)
def test_what_is_about_a_model_goes_to_it(client: TestClient, model: Model, path: str, how: str) -> None:
    method = "GET" if how == "tell" else "POST"
    answer = client.request(method, f"{path}?a=1", content=b"body" if method == "POST" else None)
    assert answer.status_code == 200
    ((called, asked),) = model.asked
    assert (called, asked.method, asked.path, asked.query) == (how, method, path, b"a=1")
    assert asked.body == (b"body" if method == "POST" else b"")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v2", "/v2/health/live"])
def test_what_is_about_none_is_answered_here(client: TestClient, model: Model, path: str) -> None:
    assert client.get(path).status_code == 200
    assert model.asked == []


@pytest.mark.parametrize("path", ["/v1/models/digits-2/predict", "/v1/models/digi/predict"])
def test_a_name_that_begins_alike_is_another(client: TestClient, model: Model, path: str) -> None:
    answer = client.post(path, json={"inputs": []})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["error"].endswith("there are: digits")
    assert model.asked == []


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Unavailable("the replica is gone"), 503, "unavailable"),
        (DeadlineExceeded("no replica has answered"), 504, "deadline_exceeded"),
        (Overloaded("too many wait", 1), 429, "overloaded"),
    ],
)
def test_a_failure_is_told_as_everywhere(
    client: TestClient, model: Model, failure: RequestError, status: int, code: str
) -> None:
    model.failure = failure
    answer = client.post("/v1/models/digits/predict", json={"inputs": []})
    assert (answer.status_code, answer.json()["code"], answer.json()["error"]) == (status, code, str(failure))
    ready = client.get("/v2/health/ready")
    assert ready.status_code == (429 if status == 429 else 503)


def test_a_body_that_is_too_large_goes_nowhere(client: TestClient, model: Model) -> None:
    answer = client.post("/v1/models/digits/predict", content=b" " * 1001)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert model.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/digits/predict"),
        ("POST", "/v2/repository/models/digits/load"),
        ("POST", "/v2/repository/index"),
        ("GET", "/v1/models"),
        ("POST", "/v1/reviews/1/resolve"),
        ("GET", "/v2/health/ready"),
        ("GET", "/metrics"),
    ],
)
def test_nothing_of_a_body_is_read_without_a_key(
    model: Model, repository: Repository, tmp_path: Path, method: str, path: str
) -> None:
    issue(tmp_path / "keys.toml", "one", ("predict",), None)
    settings = Settings(repository=repository.path, review_url="off", api_keys_file=tmp_path / "keys.toml")
    models: Any = [model]
    front = Front(build(settings, Before(("digits",))), models, LIMITS, "front").application()
    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("the body was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    asyncio.run(front(asked, receive, send))
    (status,) = {message["status"] for message in sent if message["type"] == "http.response.start"}
    is_open = path in ("/v2/health/ready", "/metrics")
    assert status != 401 if is_open else status == 401
    assert is_open or model.asked == []


def test_behind_a_prefix_a_model_is_asked_by_its_own_path(model: Model, repository: Repository) -> None:
    own, models = build(Settings(repository=repository.path, review_url="off"), Before(("digits",))), [model]
    front = Front(own, models, LIMITS, "front").application()  # type: ignore[arg-type]
    with TestClient(front, root_path="/ward") as client:
        for path in (
            "/v1/models/digits/predict",
            "/v2/repository/models/digits/load",
            "/v1/models/digits/a?b",
        ):
            client.post(f"/ward{quote(path)}", json={})
        assert client.get("/ward/v2/health/ready").status_code == 200
    assert [(how, asked.path) for how, asked in model.asked] == [
        ("answer", "/v1/models/digits/predict"),
        ("change", "/v2/repository/models/digits/load"),
        ("answer", "/v1/models/digits/a?b"),
        ("tell", "/v2/health/ready"),
    ]


def test_a_replica_sees_the_request_by_its_name(client: TestClient, model: Model) -> None:
    client.get("/v1/models/digits", headers={"X-Request-ID": "mine", "Authorization": "Bearer key"})
    headers = dict(model.asked[0][1].headers)
    assert (headers[b"x-request-id"], headers[b"authorization"]) == (b"mine", b"Bearer key")


def test_a_page_of_another_site_reaches_no_model(client: TestClient, model: Model) -> None:
    for path in (
        "/v1/models/digits/predict",
        "/v2/repository/models/digits/unload",
        "/v2/repository/index",
        "/v1/reviews/x/resolve",
    ):
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = client.post(path, content=b"{}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    for path in ("/v1/models", "/v1/models/digits", "/docs", "/"):
        answer = client.get(f"http://127.0.0.1:8000{path}", headers={"Host": "elsewhere.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    assert model.asked == []
    same = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/models/digits/predict", content=b"{}", headers=same).status_code == 200


def test_the_address_that_a_request_came_in_by_may_be_asked(model: Model, repository: Repository) -> None:
    """As Kubernetes asks its probes, and Prometheus: by the front, and by whom that hands them on to."""
    settings = Settings(repository=repository.path, review_url="off", allowed_hosts="unsure.example.com")
    own = build(settings, Before(("digits",)))
    models: Any = [model]
    with TestClient(Front(own, models, LIMITS, "front").application(), "http://10.1.2.3:8000") as client:
        for path in ("/v2/health/ready", "/v1/models/digits", "/docs"):
            assert client.get(path).status_code == 200
            assert client.get(path, headers={"Host": "elsewhere.example"}).status_code == 403
    assert {asked.server for _, asked in model.asked} == {("10.1.2.3", 8000)}
