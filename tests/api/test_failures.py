"""Every error of the contract: its status, its code, its one shape; and that others are unharmed."""

import asyncio
import pickle
import re
import threading
from typing import Any

import pytest
from errors_on_the_wire import assert_failed
from held import Held
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

from service.api.failures import FAILURES
from service.predictor.catalogue import Catalogue
from service.predictor.served_model import ServedModel
from service.scheduling.worker import Worker

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
FAR = [1000.0, *ROW[1:]]  # the first feature is above 100, which some networks do not stand
PREDICT = "/v1/models/small/predict"
UNCERTAINTY = "/v1/models/small/uncertainty"


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    repository.add()
    return serve(max_body_bytes=100_000, max_pending_rows=100, max_sample_values=1000)


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "the body is empty; it must be a JSON object"),
    (b"{", "the body is not JSON"),
    (b'{"inputs": [[1, 2,]]}', "the body is not JSON"),
    (b"\xff\xfe{}", "the body is not JSON"),
    (b'{"inputs": [[NaN,1,2,3,4,5]]}', "JSON has no NaN"),
    (b'{"inputs": [[-Infinity,1,2,3,4,5]]}', "JSON has no -Infinity"),
    (b'{"inputs": [[1e999,1,2,3,4,5]]}', "number out of range"),
    (b'{"inputs": [[1e39,1,2,3,4,5]]}', "row 0 holds a number too large for float32"),
    (b'{"inputs": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", "the body nests too deeply"),
    (b"[]", "expected `object`, got `array`"),
    (b"{}", "missing required field `inputs`"),
    (b'{"inputs": [[1,2,3,4,5,6]], "input": 1}', "unknown field `input`"),
    (b'{"inputs": []}', "must be an array of at least one row"),
    (b'{"inputs": null}', "must be an array of at least one row"),
    (b'{"inputs": [[1,2,3,4,5,6],[1,2,3]]}', "rows must have shape [6]; row 1 has [3]"),
    (b'{"inputs": [["1",2,3,4,5,6]]}', "row 0: expected `float`, got `str`"),
    (b'{"inputs": [null, 1e400]}', "rows must have shape [6]; row 0 has no array but null"),
    (b'{"inputs": [[1,2,3],[1e999,2,3,4,5,6]]}', "rows must have shape [6]; row 0 has [3]"),
]


@pytest.mark.parametrize("path", [PREDICT, UNCERTAINTY])
@pytest.mark.parametrize(("body", "message"), BAD_BODIES)
def test_a_bad_body_is_400(client: TestClient, path: str, body: bytes, message: str) -> None:
    assert_failed(client.post(path, content=body), 400, "invalid_input", message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"samples": 1}, "samples must be from 2 to 1000, and is 1"),
        ({"samples": 0}, "samples must be from 2 to 1000, and is 0"),
        ({"samples": -5}, "samples must be from 2 to 1000, and is -5"),
        ({"samples": 10**9}, "samples must be from 2 to 1000, and is 1000000000"),
        ({"samples": 2.0}, "expected `int"),
        ({"samples": True}, "expected `int"),
        ({"samples": "many"}, "invalid enum value 'many'"),
        ({"samples": None}, "expected `int"),
        ({"seed": -1}, "seed must be from 0 to 2**64 - 1, and is -1"),
        ({"seed": 2**64}, f"seed must be from 0 to 2**64 - 1, and is {2**64}"),
        ({"seed": 1.5}, "expected `int"),
        ({"threshold": "high"}, "expected `float"),
        ({"include": ["everything"]}, "invalid enum value 'everything'"),
        ({"include": "samples"}, "expected `array`"),
        ({"review": "yes"}, "expected `bool`"),
        (
            {"include": ["samples"], "samples": 400},
            "1 rows of 400 samples make 1200 numbers, more than the 1000",
        ),
        ({"include": ["quantiles"], "samples": 400}, "1200 numbers, more than the 1000 allowed"),
    ],
)
def test_a_bad_field_is_400(client: TestClient, more: dict[str, Any], message: str) -> None:
    answer = client.post(UNCERTAINTY, json={"inputs": [ROW]} | more)
    assert_failed(answer, 400, "invalid_input", message)


def test_fields_of_one_operation_are_unknown_to_the_other(client: TestClient) -> None:
    answer = client.post(PREDICT, json={"inputs": [ROW], "samples": 50})
    assert_failed(answer, 400, "invalid_input", "unknown field `samples`")


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "/v1/models/large/predict", "there is no model 'large'; there are: small"),
        ("GET", "/v1/models/large", "there is no model 'large'"),
        ("GET", "/v1/models/large/dropout", "there is no model 'large'"),
        ("POST", "/v1/models/small/versions/7/predict", "model small has no version 7; it has 1"),
        ("POST", "/v1/models/small/versions/new/uncertainty", "a version is a number, and 'new' is none"),
        ("POST", "/v1/models/small/versions/01/predict", "a version is a number, and '01' is none"),
        ("POST", f"/v1/models/small/versions/{'9' * 5000}/predict", "a version is a number, and '999"),
        ("GET", "/v2/models/large", "there is no model 'large'"),
        ("GET", "/v2/models/small/versions/7/ready", "model small has no version 7"),
        ("GET", "/v1/nothing", "there is no path /v1/nothing; see /docs"),
        ("GET", "/v1/models/", "there is no path /v1/models/"),
        ("POST", "/v1/models/../small/predict", "there is no path"),
        ("POST", "/v1/models/%2e%2e%2fsmall/predict", "there is no path"),
    ],
)
def test_what_is_not_there_is_404(client: TestClient, method: str, path: str, message: str) -> None:
    answer = client.request(method, path, json={"inputs": [ROW]} if method == "POST" else None)
    assert_failed(answer, 404, "not_found", message)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", PREDICT, "POST"), ("DELETE", "/v1/models", "GET"), ("PUT", "/metrics", "GET")],
)
def test_a_wrong_method_is_405(client: TestClient, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert_failed(answer, 405, "method_not_allowed", f"{path} does not take {method}; it takes")
    assert allowed in answer.headers["allow"]


def test_a_large_body_is_413(client: TestClient) -> None:
    body = b'{"inputs": [' + b" " * 100_000 + b"]}"
    assert_failed(client.post(PREDICT, content=body), 413, "too_large", "the body is over 100000 bytes")
    undeclared = client.post(
        PREDICT, content=(body[start : start + 1000] for start in range(0, len(body), 1000))
    )
    assert_failed(undeclared, 413, "too_large", "the body is over 100000 bytes")


def test_more_rows_than_ever_fit_are_413(client: TestClient) -> None:
    answer = client.post(PREDICT, json={"inputs": [ROW] * 101})
    assert_failed(
        answer, 413, "too_large", "101 rows are more than the 100 that fit the queue; split the request"
    )


def test_a_model_without_dropout_is_422_and_still_predicts(repository: Repository, serve: Serve) -> None:
    repository.add(factory="plain")
    client = serve()
    answer = client.post(UNCERTAINTY, json={"inputs": [ROW]})
    assert_failed(answer, 422, "no_dropout", "model small has no dropout to sample")
    assert client.post(PREDICT, json={"inputs": [ROW]}).status_code == 200


@pytest.mark.parametrize("path", [PREDICT, UNCERTAINTY])
def test_a_model_that_raises_is_500_for_that_request_alone(
    repository: Repository, serve: Serve, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    repository.add(factory="raising")
    client = serve()
    good = client.post(path, json={"inputs": [ROW]}).json()
    answer = client.post(path, json={"inputs": [[1000.0, *ROW[1:]]]})
    assert_failed(answer, 500, "model_error", "the model raised ValueError")
    assert "/secret/path" not in answer.text
    assert "ValueError: the first feature is out of range at /secret/path" in caplog.text
    again = client.post(path, json={"inputs": [ROW]}).json()
    assert again | {"request_id": ""} == good | {"request_id": ""}


@pytest.mark.parametrize("path", [PREDICT, UNCERTAINTY])
def test_a_model_that_gives_nan_is_500(repository: Repository, serve: Serve, path: str) -> None:
    repository.add(factory="giving_nan")
    client = serve()
    answer = client.post(path, json={"inputs": [ROW, [1000.0, *ROW[1:]]]})
    assert_failed(answer, 500, "model_error", "the model gave NaN for row 1")
    assert client.post(path, json={"inputs": [ROW]}).status_code == 200


@pytest.mark.parametrize("path", [PREDICT, UNCERTAINTY])
@pytest.mark.parametrize("value", [3.4e38, -3.4e38])
def test_a_row_with_which_the_network_overflows_is_the_clients(
    repository: Repository, serve: Serve, path: str, value: float
) -> None:
    """Times 10 it is more than float32 holds; and infinity less infinity is no number."""
    repository.add(factory="overflowing")
    client = serve()
    answer = client.post(path, json={"inputs": [ROW, [value, *ROW[1:]]]})
    message = (
        f"row 1 is out of the network's range: with numbers as large as {value:g} in features it overflows"
    )
    assert_failed(answer, 400, "invalid_input", message)
    assert client.post(path, json={"inputs": [ROW]}).status_code == 200


@pytest.mark.parametrize("path", [PREDICT, UNCERTAINTY])
def test_a_large_number_is_no_excuse_for_a_model_that_gives_nan(
    repository: Repository, serve: Serve, path: str
) -> None:
    """It does for 200 too: that is not the size of the number."""
    repository.add(factory="giving_nan")
    answer = serve().post(path, json={"inputs": [ROW, [3.4e38, *ROW[1:]]]})
    assert_failed(answer, 500, "model_error", "the model gave NaN for row 1")


def test_values_beyond_all_bounds_are_500(repository: Repository, serve: Serve) -> None:
    """A log variance of 1000 is finite, and its exponential is not."""
    policy = {"measure": "standard_deviation", "threshold": 1}
    repository.add(factory="unbounded", task="regression", output={"variance_head": True}, policy=policy)
    client = serve()
    for path in (PREDICT, UNCERTAINTY):
        answer = client.post(path, json={"inputs": [[1000.0] * 6]})
        assert_failed(answer, 500, "model_error", "infinity for row 0")


def test_what_is_no_probability_is_500_and_rounding_is_none(repository: Repository, serve: Serve) -> None:
    """A hair below 0 is rounding, and 2 below 0 is no probability: neither may turn into a score of -inf."""
    repository.add(factory="signed_probabilities", output={"labels": ["a", "b", "c"], "activation": "none"})
    client = serve()
    answer = client.post(UNCERTAINTY, json={"inputs": [[-50.0, *ROW[1:]]]}).json()
    assert answer["results"][0]["score"] >= 0
    for path in (PREDICT, UNCERTAINTY):
        answer = client.post(path, json={"inputs": [ROW, [1000.0, *ROW[1:]]]})
        assert_failed(answer, 500, "model_error", "the model gave no probabilities for row 1")


def in_background(client: TestClient, rows: int, answers: list[Any]) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: answers.append(client.post(PREDICT, json={"inputs": [ROW] * rows}))
    )
    thread.start()
    return thread


def test_a_full_queue_is_429_and_what_was_accepted_is_answered(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add()
    client = serve(max_pending_rows=5)
    held, answers = Held(monkeypatch), []
    thread = in_background(client, 4, answers)
    assert held.begun.wait(30)
    refused = client.post(PREDICT, json={"inputs": [ROW] * 2})
    assert_failed(refused, 429, "overloaded", "4 rows are pending and 2 more would exceed the limit of 5")
    assert int(refused.headers["retry-after"]) >= 1
    held.open.set()
    thread.join()
    assert answers[0].status_code == 200
    assert 'unsure_rejected_total{reason="overloaded"} 1.0' in client.get("/metrics").text


def test_a_passed_deadline_is_504(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add()
    client = serve(deadline_seconds=0.05)
    held = Held(monkeypatch)
    answer = client.post(PREDICT, json={"inputs": [ROW]})
    held.open.set()
    assert_failed(answer, 504, "deadline_exceeded", "no answer within 0.05 s")


def test_a_loading_server_is_503(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add("first")
    repository.add("small")
    loading, go = threading.Event(), threading.Event()
    load = Catalogue._load

    def held(catalogue: Catalogue, folder: Any) -> None:
        if folder.name == "small":
            loading.set()
            assert go.wait(30)
        load(catalogue, folder)

    monkeypatch.setattr(Catalogue, "_load", held)
    client = serve(wait=False)
    assert loading.wait(30)
    try:
        assert client.get("/v2/health/live").json() == {"live": True, "ready": False}
        assert_failed(client.get("/v2/health/ready"), 503, "unavailable", "the models are still loading")
        assert_failed(
            client.post(PREDICT, json={"inputs": [ROW]}), 503, "unavailable", "model small is still loading"
        )
        assert client.post("/v1/models/first/predict", json={"inputs": [ROW]}).status_code == 200
    finally:
        go.set()


def test_a_server_whose_compute_thread_died_is_not_ready_until_it_is_started_again(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who waited hears; the thread is started anew when the test lets it."""
    repository.add(factory="leaving_when_run")
    client = serve()
    start, restarting, go = Worker._started, threading.Event(), threading.Event()

    def held(worker: Worker) -> threading.Thread:
        restarting.set()
        assert go.wait(30)
        return start(worker)

    monkeypatch.setattr(Worker, "_started", held)
    answers: list[Any] = []
    dying = threading.Thread(target=lambda: answers.append(client.post(PREDICT, json={"inputs": [FAR]})))
    dying.start()
    assert restarting.wait(30)
    try:
        assert_failed(client.get("/v2/health/ready"), 503, "unavailable", "the thread that computes has died")
        assert client.get("/v2/health/live").json() == {"live": True, "ready": False}
        refused = client.post(PREDICT, json={"inputs": [ROW]})
        assert_failed(refused, 503, "unavailable", "the thread that computes has died")
    finally:
        go.set()
        dying.join()
    assert_failed(answers[0], 503, "unavailable", "the server lost what it was computing; ask again")
    assert client.get("/v2/health/ready").status_code == 200
    assert client.post(PREDICT, json={"inputs": [ROW]}).status_code == 200


def test_a_stopping_server_is_503(repository: Repository, serve: Serve) -> None:
    repository.add()
    client = serve()
    catalogue, scheduler = _rooms(client)
    catalogue.close()
    asyncio.run(scheduler.drain())
    assert_failed(client.get("/v2/health/ready"), 503, "unavailable", "the server is stopping")
    assert_failed(
        client.post(PREDICT, json={"inputs": [ROW]}), 503, "unavailable", "the server is shutting down"
    )


def _rooms(client: TestClient) -> tuple[Any, Any]:
    """Find the catalogue and the scheduler of a running server, by way of one of its handlers."""
    endpoint = next(
        route.endpoint for route in client.app.routes if route.path == "/v1/models/{model}/predict"
    )  # type: ignore[attr-defined]
    return endpoint.__self__._catalogue, endpoint.__self__._predictor._scheduler


BROKEN = {
    "manifest": "broken/model.toml: policy.measure 'guess' is none of",
    "labels": "broken/model.toml: output.labels has 2, and the model gives 3 classes",
    "probabilities": 'broken/model.toml: output.activation is "none", but the model gives no probabilities',
    "syntax": "broken/model.toml is not valid TOML",
    "depth": "broken/model.toml is not valid TOML",
    "key": "broken/model.toml: unknown key policy.thresold",
    "weights": "broken/1/weights.safetensors cannot be read",
    "pickle": "broken/1/weights.safetensors is not a safetensors file: it is a pickle",
    "factory": "broken/model.toml: source.factory os:system is not in an allowed package",
    "exit": "broken/model.toml: source.factory networks:leaving with source.arguments {} raised SystemExit",
    "randomness": "broken/1: the model has a random operation (aten.bernoulli_.float in drop)",
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_broken_model_is_named_in_the_log_and_the_others_serve(
    repository: Repository, serve: Serve, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    repository.add()
    _break(repository, case)
    client = serve()
    assert BROKEN[case] in caplog.text
    assert client.post(PREDICT, json={"inputs": [ROW]}).status_code == 200
    answer = client.post("/v1/models/broken/predict", json={"inputs": [ROW]})
    assert_failed(
        answer,
        503,
        "unavailable",
        "model broken could not be loaded; `unsure inspect` and the server's log say why",
    )
    metrics = client.get("/metrics").text
    assert 'unsure_model_load_failures_total{model="broken"} 1.0' in metrics
    assert 'unsure_model_ready{model="small",version="1"} 1.0' in metrics


def _break(repository: Repository, case: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "manifest": {"policy": {"measure": "guess", "threshold": 1}},
        "labels": {"output": {"labels": ["a", "b"]}},
        "probabilities": {"output": {"labels": ["a", "b", "c"], "activation": "none"}},
        "key": {"policy": {"measure": "predictive_entropy", "thresold": 1}},
        "randomness": {"factory": "always_random"},
    }
    folder = repository.add("broken", **changes.get(case, {}))
    weights, manifest = folder / "weights.safetensors", folder.parent / "model.toml"
    if case == "weights":
        weights.unlink()
    elif case == "pickle":
        weights.write_bytes(pickle.dumps({"weights": [1.0]}))
    elif case == "syntax":
        manifest.write_text("name = broken")
    elif case == "depth":
        manifest.write_text("x = " + "[" * 5000)
    elif case == "exit":
        manifest.write_text(manifest.read_text().replace("networks:mlp", "networks:leaving"))
    elif case == "factory":
        manifest.write_text(manifest.read_text().replace("networks:mlp", "os:system"))


def test_a_folder_that_is_no_models_is_told_and_ignored(
    repository: Repository, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    repository.add()
    for name in ("lost+found", "b\udcffd"):
        (repository.path / name).mkdir()
    client = serve()
    assert [model["name"] for model in client.get("/v1/models").json()["models"]] == ["small"]
    assert client.get("/metrics").status_code == 200
    assert "folder 'lost+found' of the repository is no model" in caplog.text


def test_an_error_is_not_as_long_as_what_caused_it(client: TestClient) -> None:
    body = {"inputs": [ROW], "x" * 50_000: 1}
    answer = client.post(PREDICT, json=body)
    assert_failed(answer, 400, "invalid_input", "unknown field")
    assert len(answer.text) < 1200


def test_a_broken_version_leaves_the_one_before_it_serving(repository: Repository, serve: Serve) -> None:
    repository.add(version=1)
    (repository.add(version=2) / "weights.safetensors").write_bytes(b"garbage")
    client = serve()
    assert client.post(PREDICT, json={"inputs": [ROW]}).json()["version"] == "1"
    answer = client.post("/v1/models/small/versions/2/predict", json={"inputs": [ROW]})
    assert_failed(answer, 503, "unavailable", "version 2 of model small could not be loaded")


def test_a_fault_of_ours_is_500_without_its_details(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_model: Any, _inputs: Any) -> None:
        raise AssertionError("a secret of the server")

    monkeypatch.setattr(ServedModel, "predict", fail)
    answer = client.post(PREDICT, json={"inputs": [ROW]})
    assert_failed(answer, 500, "internal_error", "the server failed; its log has the details")
    assert "secret" not in answer.text
    assert "a secret of the server" in caplog.text
    assert answer.json()["request_id"] in caplog.text


def test_a_client_who_leaves_is_no_fault_of_the_server(
    repository: Repository, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a body, and then no client: counted as 499, answered to nobody, and no error in the log."""
    repository.add()
    client = serve()
    received = iter(
        [{"type": "http.request", "body": b'{"inp', "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": [], "query_string": b""}
    asyncio.run(client.app(scope, receive, send))
    assert not sent
    assert 'mode="deterministic",model="small",version="1"' in client.get("/metrics").text
    assert 'unsure_requests_total{code="499"' in client.get("/metrics").text
    assert "ERROR" not in caplog.text


def test_a_request_that_the_stop_cuts_off_is_503(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add()
    client = serve()
    held = Held(monkeypatch)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"inputs": [[1,2,3,4,5,6]]}', "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def cut_off() -> None:
        scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": [], "query_string": b""}
        task = asyncio.create_task(client.app(scope, receive, send))
        assert await asyncio.to_thread(held.begun.wait, 30)
        task.cancel()
        await task
        held.open.set()

    asyncio.run(cut_off())
    assert sent[0]["status"] == 503
    assert b'"code":"unavailable"' in sent[1]["body"]
    counted = re.findall(r'unsure_requests_total{code="(\d+)"', client.get("/metrics").text)
    assert counted == ["503"]


def test_the_table_of_errors_is_complete_and_unambiguous() -> None:
    assert len({failure.code for failure in FAILURES}) == len(FAILURES)
    assert [(failure.status, failure.code) for failure in FAILURES] == [
        (400, "invalid_input"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (409, "conflict"),
        (413, "too_large"),
        (422, "no_dropout"),
        (429, "overloaded"),
        (500, "internal_error"),
        (500, "model_error"),
        (503, "unavailable"),
        (504, "deadline_exceeded"),
    ]


def infer(row: list[float], **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "features", "shape": [1, 6], "datatype": "FP32", "data": row}]} | more


ASKED: list[tuple[str, Any]] = [
    (PREDICT, lambda row: {"inputs": [row]}),
    (UNCERTAINTY, lambda row: {"inputs": [row], "samples": 8}),
    ("/v2/models/small/infer", infer),
    ("/v2/models/small/infer", lambda row: infer(row, parameters={"samples": 8})),
]


def test_another_width_is_the_models_error_on_both_faces(repository: Repository, serve: Serve) -> None:
    repository.add(factory="another_width")
    client = serve()
    for path, body in ASKED:
        before = client.post(path, json=body(ROW))
        assert before.status_code == 200
        message = "gave 4 values for a row instead of 3|samples have shape"
        answer = client.post(path, json=body(FAR))
        assert re.search(message, answer.json()["error"])
        assert_failed(answer, 500, "model_error", "the model")
        assert client.post(path, json=body(ROW)).status_code == 200


@pytest.mark.parametrize("asked", [ASKED[0], ASKED[3]], ids=["predict", "infer-samples"])
def test_a_model_that_writes_its_weights_is_out_of_service_until_it_is_loaded_again(
    repository: Repository, serve: Serve, asked: tuple[str, Any]
) -> None:
    repository.add(factory="writing")
    repository.add("other")
    client = serve()
    path, body = asked
    first = client.post(PREDICT, json={"inputs": [ROW]}).json()["predictions"]
    assert_failed(client.post(path, json=body(FAR)), 500, "model_error", "the model changed while it ran")
    for again, ask in ASKED:
        message = "version 1 of model small is out of service: the model changed while it ran"
        assert_failed(client.post(again, json=ask(ROW)), 503, "unavailable", message)
    assert client.get("/v2/models/small/ready").status_code == 503
    states = {line["name"]: line["state"] for line in client.get("/v1/models").json()["models"]}
    assert states == {"small": "unavailable", "other": "ready"}
    assert 'unsure_model_ready{model="small",version="1"} 0.0' in client.get("/metrics").text
    assert client.post("/v1/models/other/predict", json={"inputs": [ROW]}).status_code == 200
    assert client.post("/v2/repository/models/small/load", json={}).status_code == 200
    assert client.post(PREDICT, json={"inputs": [ROW]}).json()["predictions"] == first
