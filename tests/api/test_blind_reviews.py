"""While audits are drawn, nothing tells who reviews which of the open items are audits."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from errors_on_the_wire import assert_failed
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

from service.access.issue import issue

ROWS = [[0.1 * row * column - 1 for column in range(6)] for row in range(8)]
UNCERTAINTY = "/v1/models/small/uncertainty"
TELLING = ("audit", "score", "threshold", "reasons", "statistics", "input_sha256")


@pytest.fixture
def serve(serve: Serve, repository: Repository) -> Serve:
    """Start servers with a queue."""
    url = f"sqlite:///{repository.path.parent}/reviews.db"
    return lambda **given: serve(**{"review_url": url} | given)


def half_flagged(repository: Repository, serve: Serve, **policy: Any) -> float:
    """Add a model that flags half of the rows; gives its threshold."""
    repository.add(policy={"measure": "predictive_entropy", "threshold": 10})
    scores = sorted(row["score"] for row in ask(serve(review_url="off"))["results"])
    threshold = (scores[3] + scores[4]) / 2
    repository.add(policy={"measure": "predictive_entropy", "threshold": threshold} | policy)
    return threshold


def ask(client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = client.post(UNCERTAINTY, json={"inputs": ROWS}).json()
    return body


@pytest.fixture
def audited(repository: Repository, serve: Serve) -> TestClient:
    half_flagged(repository, serve)
    client = serve(review_audit_share=1.0)
    flags = [row["low_confidence"] for row in ask(client)["results"]]
    assert sorted(flags) == [False] * 4 + [True] * 4
    return client


def get(client: TestClient, path: str = "", **query: Any) -> Any:
    answer = client.get(f"/v1/reviews{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def resolve(client: TestClient, identifier: str) -> dict[str, Any]:
    for verb, said in (("claim", {}), ("resolve", {"label": "a"})):
        answer = client.post(f"/v1/reviews/{identifier}/{verb}", json={"reviewer": "ann"} | said)
        assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def assert_blind(review: dict[str, Any]) -> None:
    assert [review[name] for name in TELLING] == [None] * len(TELLING)
    assert review["prediction"].keys() == {"label", "class_index"}


def exported(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get("/v1/reviews/export", params=query).text.splitlines()]


def test_an_open_audit_looks_like_any_other_item(audited: TestClient) -> None:
    listed = get(audited)
    assert (listed["blind"], listed["order"]) == (True, "oldest")
    reviews = listed["reviews"]
    assert [review["row"] for review in reviews] == list(range(8))  # as they were asked, and not by score
    shapes = {json.dumps(review.keys() - {"input"}, default=sorted) for review in reviews}
    assert len(shapes) == 1
    first = reviews[0]["id"]
    for review in [*reviews, *(get(audited, f"/{one['id']}") for one in reviews), *exported(audited)]:
        assert_blind(review)
    assert_blind(audited.post(f"/v1/reviews/{first}/claim", json={"reviewer": "ann"}).json())
    assert_blind(audited.post(f"/v1/reviews/{first}/release").json())
    for task in audited.get("/v1/reviews/export", params={"format": "label-studio"}).json():
        assert (task["data"]["reasons"], task["predictions"][0]["score"]) == ([], 0)


def test_a_cursor_holds_no_score(audited: TestClient) -> None:
    cursor = get(audited, limit=1)["next_cursor"]
    assert json.loads(base64.urlsafe_b64decode(cursor + "=="))[:2] == ["oldest", 0.0]
    assert get(audited, limit=1, cursor=cursor)["reviews"][0]["row"] == 1


@pytest.mark.parametrize("query", [{"order": "uncertain"}, {"audit": "true"}, {"audit": "false"}])
def test_what_would_sort_audits_out_is_refused(audited: TestClient, query: dict[str, str]) -> None:
    for status in ("pending", "claimed", "any"):
        answer = audited.get("/v1/reviews", params=query | {"status": status})
        assert_failed(answer, 403, "forbidden", "would tell which open reviews are audits")
    if "audit" in query:
        assert_failed(audited.get("/v1/reviews/export", params=query), 403, "forbidden", "would tell")
    assert audited.get("/v1/reviews", params=query | {"status": "resolved"}).status_code == 200


def test_a_resolved_item_tells_all_and_is_found_by_what_it_was(audited: TestClient) -> None:
    results = [resolve(audited, review["id"]) for review in get(audited)["reviews"]]
    for review in results:
        assert review["audit"] == (review["score"] <= review["threshold"]) == (review["reasons"] == [])
        assert review["prediction"]["confidence"] > 0
        assert review["statistics"]["mean"]
    audits = {review["id"] for review in results if review["audit"]}
    for audit in (True, False):
        wanted = {"status": "resolved", "audit": str(audit).lower()}
        found = {review["id"] for review in get(audited, **wanted)["reviews"]}
        assert found == {review["id"] for review in exported(audited, **wanted)}
        assert (found == audits) == audit
        assert len(found) == 4
    assert_failed(audited.get("/v1/reviews?audit=maybe"), 400, "invalid_input", "audit")


def test_audits_that_were_drawn_before_stay_hidden_until_none_waits(
    audited: TestClient, serve: Serve
) -> None:
    later = serve()
    listed = get(later)
    assert listed["blind"]
    for review in listed["reviews"]:
        assert_blind(review)
        if resolve(later, review["id"])["audit"] is False:
            last = review["id"]
    assert get(later, f"/{last}")["audit"] is False
    listed = get(later)
    assert (listed["blind"], listed["order"]) == (False, "uncertain")


def test_where_no_audits_are_drawn_nothing_is_hidden(repository: Repository, serve: Serve) -> None:
    half_flagged(repository, serve)
    client = serve()
    ask(client)
    listed = get(client)
    assert (listed["blind"], listed["order"], len(listed["reviews"])) == (False, "uncertain", 4)
    scores = [review["score"] for review in listed["reviews"]]
    assert scores == sorted(scores, reverse=True)
    assert len(get(client, audit="false", order="uncertain")["reviews"]) == 4
    assert get(client, audit="true")["reviews"] == []


def test_a_key_with_the_scope_admin_sees_audits(repository: Repository, serve: Serve, tmp_path: Path) -> None:
    half_flagged(repository, serve)
    client = serve(review_audit_share=1.0, api_keys_file=_keys(tmp_path))
    headers = {name: {"Authorization": f"Bearer {key}"} for name, key in KEYS.items()}
    client.headers.update(headers["admin"])
    ask(client)
    listed = get(client, order="uncertain")
    assert (listed["blind"], [review["audit"] for review in listed["reviews"]]) == (
        False,
        [False] * 4 + [True] * 4,
    )
    assert len(get(client, audit="true")["reviews"]) == 4
    client.headers.update(headers["reviewer"])
    for review in get(client)["reviews"]:
        assert_blind(review)
    assert_failed(client.get("/v1/reviews?audit=true"), 403, "forbidden", "a key that has the scope admin")


KEYS: dict[str, str] = {}


def _keys(folder: Path) -> Path:
    path = folder / "keys.toml"
    KEYS["admin"] = issue(path, "admin", ["predict", "review", "admin"])
    KEYS["reviewer"] = issue(path, "reviewer", ["predict", "review"])
    return path
