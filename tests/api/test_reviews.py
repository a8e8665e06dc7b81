"""The review queue on the wire: what is flagged enters before it is answered, and goes its way."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import texts
from errors_on_the_wire import assert_failed
from jsonschema import Draft202012Validator
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient
from wires import until

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
ROWS = [ROW, [2 * value for value in ROW], [value - 1 for value in ROW]]
FLAGGED = {"measure": "predictive_entropy", "threshold": -1}
SURE = {"measure": "predictive_entropy", "threshold": 10}
UNCERTAINTY = "/v1/models/small/uncertainty"
BROKEN = "sqlite:////nowhere/reviews.db"


@pytest.fixture
def serve(serve: Serve, repository: Repository) -> Serve:
    """Start servers with a queue."""
    url = f"sqlite:///{repository.path.parent}/reviews.db"
    return lambda **given: serve(**{"review_url": url} | given)


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    repository.add(policy=FLAGGED)
    return serve()


def ask(client: TestClient, rows: Any = ROWS, headers: Any = None, **more: Any) -> dict[str, Any]:
    answer = client.post(UNCERTAINTY, json={"inputs": rows} | more, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(answer: dict[str, Any]) -> list[str | None]:
    return [row["review_id"] for row in answer["results"]]


def get(client: TestClient, path: str = "", **query: Any) -> Any:
    answer = client.get(f"/v1/reviews{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def step(client: TestClient, identifier: str, verb: str, **body: Any) -> Any:
    return client.post(f"/v1/reviews/{identifier}/{verb}", json=body or None)


def test_what_is_flagged_is_in_the_queue_as_it_was_answered(client: TestClient) -> None:
    answer = ask(client, seed=7)
    assert "review_error" not in answer
    assert len(set(ids(answer))) == 3
    for number, result in enumerate(answer["results"]):
        review = get(client, f"/{result['review_id']}")
        assert review["status"] == "pending"
        assert (review["model"], review["version"], review["row"]) == ("small", "1", number)
        assert (review["request_id"], review["policy_id"]) == (answer["request_id"], answer["policy"]["id"])
        assert (review["score"], review["threshold"], review["audit"]) == (result["score"], -1, False)
        assert review["reasons"] == result["reasons"]
        assert review["prediction"] == {key: result[key] for key in ("label", "class_index", "confidence")}
        told = {key: value for key, value in review["statistics"].items() if key != "seed"}
        assert told == {key: result[key] for key in told}
        assert {"mean", "variance", "mutual_information", "samples"} <= told.keys()
        assert review["statistics"]["seed"] == 7
        assert review["input"] == ROWS[number]
        assert review["claim"] is review["resolution"] is None


def test_a_regression_is_reviewed_by_its_interval(repository: Repository, serve: Serve) -> None:
    policy = {"measure": "standard_deviation", "threshold": 0}
    repository.add(factory="values", task="regression", output={"variance_head": True}, policy=policy)
    client = serve()
    result = ask(client, [ROW])["results"][0]
    review = get(client, f"/{result['review_id']}")
    assert review["prediction"] == {"value": result["mean"], "interval": result["interval"]}
    step(client, review["id"], "claim", reviewer="ann")
    assert_failed(
        step(client, review["id"], "resolve", reviewer="ann", label="a"), 400, "invalid_input", "give a value"
    )
    resolved = step(client, review["id"], "resolve", reviewer="ann", value=result["interval"]["upper"])
    assert resolved.json()["resolution"]["agreed"] is True


@pytest.mark.parametrize(
    ("policy", "body", "entered"),
    [
        (FLAGGED, {}, True),
        (FLAGGED, {"review": True}, True),
        (FLAGGED, {"review": False}, False),
        (FLAGGED | {"review": False}, {}, False),
        (FLAGGED | {"review": False}, {"review": True}, True),
        (SURE, {}, False),
        (SURE, {"review": True}, False),
        (SURE, {"threshold": -1}, True),
    ],
)
def test_flagged_rows_enter_where_request_or_policy_say_so(
    repository: Repository, serve: Serve, policy: dict[str, Any], body: dict[str, Any], entered: bool
) -> None:
    repository.add(policy=policy)
    client = serve()
    answer = ask(client, **body)
    assert [one is not None for one in ids(answer)] == [entered] * 3
    assert "review_error" not in answer
    assert len(get(client)["reviews"]) == 3 * entered


@pytest.mark.parametrize(
    ("samples", "marked"),
    [(10, None), ({"min": 10, "max": 10}, None), ({"min": 5, "max": 10}, True)],
)
def test_an_item_tells_whether_its_samples_were_adaptive(
    client: TestClient, samples: Any, marked: Any
) -> None:
    for identifier in ids(ask(client, samples=samples)):
        assert get(client, f"/{identifier}")["statistics"].get("adaptive") is marked


def test_the_same_request_enters_once(client: TestClient) -> None:
    sent = {"X-Request-ID": "order-17"}
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: ids(ask(client, headers=sent)), range(24)))
    assert all(one == answers[0] for one in answers)
    assert (
        ids(ask(client, ROWS[::-1], headers=sent)) != answers[0]
    )  # under one identifier, but another request
    assert ids(ask(client)) != answers[0]
    assert len(get(client)["reviews"]) == 3 + 2 + 3  # the row in the middle is the same row


def test_the_other_face_enters_too(client: TestClient) -> None:
    tensor = {"name": "features", "datatype": "FP32", "shape": [3, 6], "data": ROWS}
    body = {"id": "order-18", "inputs": [tensor], "parameters": {"samples": 5}}
    for _ in range(2):
        assert client.post("/v2/models/small/infer", json=body).status_code == 200
    plain = {"inputs": [tensor]}
    assert client.post("/v2/models/small/infer", json=plain).status_code == 200
    native = get(client, f"/{ids(ask(client))[0]}")
    reviews = [get(client, f"/{one['id']}") for one in get(client, order="oldest")["reviews"]]
    assert [(one["request_id"], one["row"]) for one in reviews[:3]] == [("order-18", row) for row in range(3)]
    assert [one["input"] for one in reviews[:3]] == ROWS
    assert reviews[0]["input_sha256"] == native["input_sha256"]
    assert len(reviews) == 6


@pytest.mark.parametrize("path", ["/v1/models/small/uncertainty", "/v2/models/small/infer"])
def test_a_row_of_several_inputs_is_an_object(repository: Repository, serve: Serve, path: str) -> None:
    tensors = [
        {"name": "left", "dtype": "float32", "shape": [3]},
        {"name": "right", "dtype": "int64", "shape": [2]},
    ]
    repository.add(factory="two_inputs", input=tensors, policy=FLAGGED)
    client = serve()
    given = [
        {"name": "left", "datatype": "FP32", "shape": [2, 3], "data": [[1, 2, 3], [0.5, 0, 0]]},
        {"name": "right", "datatype": "INT64", "shape": [2, 2], "data": [[4, 5], [0, 1]]},
    ]
    native = {"inputs": {one["name"]: one["data"] for one in given}}
    body = {"inputs": given, "parameters": {"samples": 5}} if "infer" in path else native
    assert client.post(path, json=body).status_code == 200
    last = get(client, order="oldest")["reviews"][1]
    assert get(client, f"/{last['id']}")["input"] == {"left": [0.5, 0, 0], "right": [0, 1]}


def test_a_row_is_kept_as_it_was_sent(client: TestClient) -> None:
    body = b'{"inputs": [ [1.50,2e0, 3,4,5,0.1] ]}'
    identifier = client.post(UNCERTAINTY, content=body).json()["results"][0]["review_id"]
    assert b'"input":[1.50,2e0, 3,4,5,0.1]' in client.get(f"/v1/reviews/{identifier}").content


def test_inputs_may_be_kept_as_hashes_alone(repository: Repository, serve: Serve) -> None:
    repository.add(policy=FLAGGED)
    client = serve(review_inputs="hashed")
    secret = [0.123456789, 0, 0, 0, 0, 0]
    identifier = ids(ask(client, [secret]))[0]
    review = get(client, f"/{identifier}")
    assert review["input"] is None
    assert len(review["input_sha256"]) == 64
    files = repository.path.parent.glob("reviews.db*")
    assert not any(b"0.123456789" in path.read_bytes() for path in files)


def test_an_item_goes_its_way(client: TestClient) -> None:
    (identifier, other, _) = ids(ask(client))
    assert_failed(
        step(client, identifier, "resolve", reviewer="ann", label="a"), 409, "conflict", "claim it first"
    )
    assert_failed(step(client, identifier, "release"), 409, "conflict", "claimed by nobody")
    claimed = step(client, identifier, "claim", reviewer="ann").json()
    assert (claimed["status"], claimed["claim"]["reviewer"]) == ("claimed", "ann")
    assert_failed(step(client, identifier, "claim", reviewer="bob"), 409, "conflict", "claimed by ann")
    assert_failed(step(client, identifier, "release", reviewer="bob"), 409, "conflict", "not by bob")
    assert step(client, identifier, "release", reviewer="ann").json()["status"] == "pending"
    step(client, identifier, "claim", reviewer="bob")
    refused = step(client, identifier, "resolve", reviewer="bob", label="z")
    assert_failed(refused, 400, "invalid_input", "label must be one of a, b, c, and is 'z'")
    resolved = step(client, identifier, "resolve", reviewer="bob", label="a", note="clear").json()
    assert (resolved["status"], resolved["claim"]) == ("resolved", None)
    said = resolved["resolution"]
    assert (said["reviewer"], said["label"], said["value"], said["note"]) == ("bob", "a", None, "clear")
    assert said["agreed"] is (resolved["prediction"]["label"] == "a")
    for verb, body in (
        ("claim", {"reviewer": "bob"}),
        ("release", {}),
        ("resolve", {"reviewer": "bob", "label": "a"}),
    ):
        assert_failed(step(client, identifier, verb, **body), 409, "conflict", "resolved already, by bob")
    step(client, str(other), "claim", reviewer="ann")
    listed = {
        status: len(get(client, status=status)["reviews"])
        for status in ("pending", "claimed", "resolved", "any")
    }
    assert listed == {"pending": 1, "claimed": 1, "resolved": 1, "any": 3}
    counts = {"pending": 1, "claimed": 1, "resolved": 1, "agreed": int(said["agreed"])}
    versions = [{"model": "small", "version": "1"} | counts]
    assert get(client, "/stats") == {"versions": versions, "watched": []}


def test_an_unknown_review_is_not_found(client: TestClient) -> None:
    for answer in (
        client.get("/v1/reviews/none"),
        step(client, "none", "claim", reviewer="a"),
        step(client, "none", "release"),
        step(client, "none", "resolve", reviewer="a", label="a"),
    ):
        assert_failed(answer, 404, "not_found", "there is no review none")


@pytest.mark.parametrize(
    ("verb", "body", "message"),
    [
        ("claim", {}, "reviewer"),
        ("claim", {"reviewer": ""}, "length >= 1"),
        ("claim", {"reviewer": "a\0"}, "null character"),
        ("claim", {"reviewer": "a", "by": 1}, "unknown field `by`"),
        ("release", {"reviewer": 1}, "expected `str`"),
        ("resolve", {"reviewer": "a"}, "give a label"),
        ("resolve", {"reviewer": "a", "value": 1}, "give a label"),
        ("resolve", {"reviewer": "a", "label": "a", "note": "\0"}, "null character"),
    ],
)
def test_a_wrong_body_is_refused(client: TestClient, verb: str, body: dict[str, Any], message: str) -> None:
    identifier = str(ids(ask(client))[0])
    step(client, identifier, "claim", reviewer="a")
    assert_failed(step(client, identifier, verb, **body), 400, "invalid_input", message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=open", "invalid enum value 'open'"),
        ("order=newest", "invalid enum value"),
        ("limit=0", ">= 1"),
        ("limit=201", "<= 200"),
        ("limit=many", "expected `int`"),
        ("state=pending", "unknown field `state`"),
        ("limit=1&limit=2", "'limit' twice"),
        ("cursor=none", "cursor must be"),
        ("model=%00", "null character"),
    ],
)
def test_a_wrong_query_is_refused(client: TestClient, query: str, message: str) -> None:
    assert_failed(client.get(f"/v1/reviews?{query}"), 400, "invalid_input", message)


@pytest.mark.parametrize("order", ["uncertain", "oldest"])
def test_pages_follow_one_another(client: TestClient, order: str) -> None:
    entered = ids(ask(client)) + ids(ask(client))
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = get(client, order=order, limit=2, cursor=cursor, model="small")
        assert all("input" not in one for one in page["reviews"])
        found += page["reviews"]
        cursor = page["next_cursor"]
    assert sorted(one["id"] for one in found) == sorted(str(one) for one in entered)
    key = "score" if order == "uncertain" else "id"
    values = [one[key] for one in found]
    assert values == sorted(values, reverse=order == "uncertain")
    assert get(client, model="other")["reviews"] == []


def test_the_queue_is_exported_whole(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.review_export._PAGE_ITEMS", 2)
    assert client.get("/v1/reviews/export").content == b""
    assert get(client, "/export", format="label-studio") == []
    entered = ids(ask(client)) + ids(ask(client))
    first = str(entered[0])
    step(client, first, "claim", reviewer="ann")
    step(client, first, "resolve", reviewer="ann", label="b")
    lines = client.get("/v1/reviews/export")
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == [
        get(client, f"/{one}") for one in entered
    ]
    tasks = get(client, "/export", format="label-studio")
    assert [task["data"]["review_id"] for task in tasks] == entered
    assert [task["data"]["input"] for task in tasks] == ROWS * 2
    assert [len(task["annotations"]) for task in tasks] == [1, 0, 0, 0, 0, 0]
    assert tasks[0]["annotations"][0]["result"][0]["value"] == {"choices": ["b"]}
    assert len(client.get("/v1/reviews/export", params={"status": "resolved"}).text.splitlines()) == 1


def test_a_row_that_was_sent_on_several_lines_is_exported_on_one(client: TestClient) -> None:
    row = "[1.50,\r\n  2,\t3e0,\n4, 5, 6]"
    answer = client.post(UNCERTAINTY, content=f'{{"inputs": [{row}]}}')
    assert answer.status_code == 200, answer.text
    (line,) = client.get("/v1/reviews/export").text.splitlines()
    assert json.loads(line)["input"] == [1.5, 2, 3, 4, 5, 6]
    assert line.endswith('"input":[1.50,    2,\t3e0, 4, 5, 6]}'), line


def test_answers_are_as_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    identifier = str(ids(ask(client))[0])

    def check(method: str, template: str, body: Any = None, status: int = 200, **query: Any) -> None:
        answer = client.request(method, template.format(id=identifier), json=body, params=query)
        assert answer.status_code == status
        schema = document["paths"][template][method.lower()]["responses"][str(status)]["content"][
            "application/json"
        ]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())

    check("GET", "/v1/reviews")
    check("GET", "/v1/reviews/stats")
    check("GET", "/v1/reviews/export", format="label-studio")
    check("POST", "/v1/reviews/{id}/claim", {"reviewer": "ann"})
    check("POST", "/v1/reviews/{id}/release")
    check("POST", "/v1/reviews/{id}/release", status=409)
    check("POST", "/v1/reviews/{id}/claim", {"reviewer": "ann"})
    check("POST", "/v1/reviews/{id}/resolve", {"reviewer": "ann", "label": "a"})
    check("GET", "/v1/reviews/{id}")
    (parameters,) = [document["paths"]["/v1/reviews"]["get"]["parameters"]]
    assert {one["name"] for one in parameters} == {"status", "model", "audit", "order", "limit", "cursor"}


def test_an_item_outlives_the_server(repository: Repository, serve: Serve) -> None:
    repository.add(policy=FLAGGED)
    identifier = ids(ask(serve()))[0]
    again = serve()
    assert get(again, f"/{identifier}")["status"] == "pending"
    assert ids(ask(again)) != [None] * 3


def test_a_claim_is_as_long_as_the_operator_says(repository: Repository, serve: Serve) -> None:
    repository.add(policy=FLAGGED)
    client = serve(review_lease_seconds=-1.0)  # no operator's: a lease that has lapsed when it begins
    identifier = str(ids(ask(client))[0])
    assert step(client, identifier, "claim", reviewer="ann").json()["status"] == "pending"
    assert step(client, identifier, "claim", reviewer="bob").status_code == 200


def test_a_queue_that_is_down_lets_answers_go_and_says_so(
    repository: Repository, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    repository.add(policy=FLAGGED)
    client = serve(review_url=BROKEN)
    answer = ask(client)
    assert ids(answer) == [None] * 3
    assert all(row["low_confidence"] for row in answer["results"])
    assert answer["review_error"] == (
        "the review queue's database does not answer, since the folder of its file is not there; "
        "the server's log says why"
    )
    assert "unable to open" in caplog.text or "No such file" in caplog.text
    assert_failed(client.get("/v1/reviews"), 503, "unavailable", "does not answer")
    assert_failed(client.get("/v1/reviews/export"), 503, "unavailable", "does not answer")
    assert client.get("/v2/health/ready").status_code == 200


def test_the_log_tells_of_an_outage_twice_and_of_its_end(
    repository: Repository, serve: Serve, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    repository.add(policy=FLAGGED)
    folder = tmp_path / "later"
    client = serve(review_url=f"sqlite:///{folder}/reviews.db")
    for _ in range(5):
        ask(client)
    assert 'unsure_review_missed_total{reason="database"} 15.0' in client.get("/metrics").text
    folder.mkdir()
    caplog.set_level("INFO")
    assert None not in ids(ask(client)) + ids(ask(client))
    told = [record.getMessage() for record in caplog.records if "review queue" in record.getMessage()]
    assert len(told) == 4
    assert "failed: " in told[0]
    assert "rows do not enter the review queue, from request" in told[1]
    assert told[2:] == [
        "the review queue's database answers again",
        "rows enter the review queue again; 15 did not, or not in time",
    ]


def test_a_share_of_what_is_not_flagged_enters_as_audits(repository: Repository, serve: Serve) -> None:
    repository.add(policy=SURE)
    client = serve(review_audit_share=0.25)
    rows = [[float(number), 0, 0, 0, 0, 0] for number in range(200)]
    for _ in range(2):
        assert set(ids(ask(client, rows, headers={"X-Request-ID": "a"}))) == {None}
    ask(client, rows, review=False)
    ask(client, rows, threshold=20)
    audits = get(client, status="any", limit=200)["reviews"]
    assert 25 < len(audits) < 75
    ask(client, rows[::-1])
    again = get(client, status="any", limit=200)["reviews"]
    assert len(again) == 2 * len(audits)
    rows_of = [{str(get(client, f"/{one['id']}")["input"]) for one in some} for some in (again, audits)]
    assert rows_of[0] == rows_of[1]
    step(client, again[0]["id"], "claim", reviewer="ann")
    told = step(client, again[0]["id"], "resolve", reviewer="ann", label="a").json()
    assert (told["audit"], told["reasons"]) == (True, [])


def test_what_audits_say_is_a_metric(
    repository: Repository, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.review.watching._SECONDS", 0.05)
    repository.add(policy=SURE)
    client = serve(review_audit_share=1.0)
    label = ask(client, [ROW])["results"][0]["label"]
    (audit,) = get(client)["reviews"]
    step(client, audit["id"], "claim", reviewer="ann")
    other = next(one for one in "abc" if one != label)
    assert step(client, audit["id"], "resolve", reviewer="ann", label=other).status_code == 200
    until(lambda: 'unsure_audit_rows{model="small",version="1"} 1.0' in client.get("/metrics").text)
    assert 'unsure_audit_error{model="small",version="1"} 1.0' in client.get("/metrics").text


def test_an_audit_that_cannot_enter_keeps_no_answer_back(repository: Repository, serve: Serve) -> None:
    repository.add(policy=SURE)
    client = serve(review_url=BROKEN, review_failure="refuse", review_audit_share=1.0)
    assert "review_error" not in ask(client)


def test_decisions_are_counted(client: TestClient) -> None:
    for identifier, right in zip(ids(ask(client)), (True, False, None), strict=True):
        review = get(client, f"/{identifier}")
        step(client, review["id"], "claim", reviewer="ann")
        if right is not None:
            label = review["prediction"]["label"]
            other = next(one for one in "abc" if one != label)
            step(client, review["id"], "resolve", reviewer="ann", label=label if right else other)
    metrics = client.get("/metrics").text
    assert 'unsure_review_decisions_total{agreed="true"} 1.0' in metrics
    assert 'unsure_review_decisions_total{agreed="false"} 1.0' in metrics


def test_a_queue_that_is_down_refuses_where_the_operator_says_so(
    repository: Repository, serve: Serve
) -> None:
    repository.add(policy=FLAGGED)
    repository.add("sure", policy=SURE)
    client = serve(review_url=BROKEN, review_failure="refuse")
    answer = client.post(UNCERTAINTY, json={"inputs": ROWS})
    assert_failed(answer, 503, "unavailable", "no answer is given without the review it needs")
    assert client.post(UNCERTAINTY, json={"inputs": ROWS, "review": False}).status_code == 200
    assert client.post("/v1/models/sure/uncertainty", json={"inputs": ROWS}).status_code == 200


def test_there_need_be_no_queue(repository: Repository, serve: Serve, tmp_path: Path) -> None:
    repository.add(policy=FLAGGED)
    client = serve(review_url="off")
    answer = ask(client)
    assert ids(answer) == [None] * 3
    assert "review_error" not in answer
    assert ask(client, review=True)["review_error"] == "this server keeps no review queue"
    for path in ("", "/stats", "/export", "/none"):
        assert_failed(client.get(f"/v1/reviews{path}"), 404, "not_found", "keeps no review queue")
    assert list(tmp_path.glob("reviews*")) == []


@pytest.mark.parametrize("path", ["/v1/models/films/uncertainty", "/v2/models/films/infer"])
def test_a_text_is_kept_as_a_string(repository: Repository, serve: Serve, path: str) -> None:
    texts.add(repository, policy=FLAGGED)
    client = serve(factories="texts")
    films = ["a good film", "very very bad"]
    tensor = {"name": "text", "datatype": "BYTES", "shape": [2], "data": films}
    body = {"inputs": [tensor], "parameters": {"samples": 5}} if "infer" in path else {"inputs": films}
    assert client.post(path, json=body).status_code == 200
    reviews = [get(client, f"/{one['id']}") for one in get(client, order="oldest")["reviews"]]
    assert [one["input"] for one in reviews] == films


@pytest.mark.parametrize(
    ("labels", "said", "kept"),
    [
        (["1", "2", "3"], 1, "1"),
        (["1", "2", "3"], 2.0, "2"),
        (["1", "2", "3"], "03", "3"),
        (["false", "true", "x"], True, "true"),
        (["False", "True", "x"], False, "False"),
        (["a", "b", "c"], " b ", "b"),
        (["a", "b", "c"], 1, None),
        (["1", "2", "3"], 0, None),
        (["1", "01", "x"], "1.0", None),
    ],
)
def test_a_label_is_a_name_however_it_is_written_and_never_a_number_of_a_class(
    repository: Repository, serve: Serve, labels: list[str], said: Any, kept: str | None
) -> None:
    repository.add(policy=FLAGGED, output={"labels": labels})
    client = serve()
    result = ask(client, [ROW])["results"][0]
    step(client, result["review_id"], "claim", reviewer="ann")
    answer = step(client, result["review_id"], "resolve", reviewer="ann", label=said)
    if kept is None:
        assert_failed(answer, 400, "invalid_input", "label ")
        assert get(client, f"/{result['review_id']}")["status"] == "claimed"
        return
    resolution = answer.json()["resolution"]
    assert (resolution["label"], resolution["agreed"]) == (kept, kept == result["label"])
