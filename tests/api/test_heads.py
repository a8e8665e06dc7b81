"""Heads of requests: a foreign name, a page of another site, one header twice."""

import http.client
from pathlib import Path
from typing import Any

import pytest
from errors_on_the_wire import assert_failed
from repositories import Repository
from servers import Serve, listening
from starlette.testclient import TestClient

from service.access.issue import issue
from service.app import build
from service.errors import StartError
from service.settings import Settings

HERE = "http://127.0.0.1:8000"
HOST = "127.0.0.1:8000"
READING = {"GET", "HEAD"}

ELSEWHERE: list[dict[str, str]] = [
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://127.0.0.1:8000@elsewhere.example"},
    {"Origin": "http://127.0.0.1:8000.elsewhere.example"},
    {"Origin": "file://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": "Cross-Site", "Origin": HERE},
    {"Sec-Fetch-Site": "", "Origin": HERE},
]
OWN: list[dict[str, str]] = [
    {},
    {"Origin": HERE},
    {"Origin": "HTTP://127.0.0.1:8000"},
    {"Origin": HERE, "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    # A proxy that ends TLS, and puts its own name for the server into Host.
    {"Origin": "https://unsure.example.com", "Sec-Fetch-Site": "same-origin"},
]

FOREIGN = [
    "elsewhere.example",
    "elsewhere.example:8000",
    "localhost.elsewhere.example",
    "127.0.0.1.elsewhere.example:8000",
    "localhost@elsewhere.example",
    "elsewhere.example@localhost:8000",
    "localhost:8000@elsewhere.example",
    "localhost elsewhere.example",
    "localhost,elsewhere.example",
    "localhost..",
    "localhost:8000:1",
    "localhost:x",
    "127.1",
    "2130706433",
    "0.0.0.0:8000",
    "192.168.1.7:8000",
    "[::2]:8000",
    "[::1",
    "::1",
    "[localhost]",
    "notlocalhost",
    "",
]
KNOWN = [
    "localhost",
    "LocalHost:8000",
    "localhost.",
    "localhost.:8000",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.9.8.7:8000",
    "[::1]",
    "[::1]:8000",
    "[0:0:0:0:0:0:0:1]:8000",
    "[::ffff:127.0.0.1]:8000",
]


def routes_of(client: TestClient) -> list[tuple[str, str]]:
    """Name every route of the application, with something in place of its parameters."""
    filled = {
        "model": "small",
        "version": "1",
        "id": "01a1fe19-98ca-7000-b282-0f16eb335314",
        "file": "main.js",
    }
    return [
        (method, HERE + route.path.format(**filled))  # type: ignore[attr-defined]
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in sorted(route.methods)  # type: ignore[attr-defined]
    ]


@pytest.fixture
def client(repository: Repository, serve: Serve) -> TestClient:
    repository.add()
    return serve()


def test_a_page_of_another_site_asks_for_nothing_but_to_read(client: TestClient) -> None:
    routes = routes_of(client)
    changing = [route for route in routes if route[0] not in READING]
    assert len(changing) >= 12
    for method, url in changing:
        for headers in ELSEWHERE:
            sent = headers | {"Content-Type": "text/plain"}
            answer = client.request(method, url, headers=sent, content=b"{}")
            assert_failed(answer, 403, "forbidden", "a page of another site")
    for method, url in routes:
        # What only reads is answered; without CORS, to nobody who could read it.
        for headers in ELSEWHERE if method in READING else OWN:
            assert client.request(method, url, headers=headers).status_code != 403, (method, url, headers)
    counted = client.get("/metrics").text
    assert f'unsure_rejected_total{{reason="forbidden"}} {len(changing) * len(ELSEWHERE)}.0' in counted


def test_a_refused_page_has_resolved_nothing(repository: Repository, serve: Serve, tmp_path: Path) -> None:
    repository.add(policy={"measure": "predictive_entropy", "threshold": 0.0, "review": True})
    client = serve(review_url=f"sqlite:///{tmp_path}/reviews.db")
    row = {"inputs": [[0.5, -1.0, 2.0, 0.0, 1.5, -0.5]]}
    ask = f"{HERE}/v1/models/small/uncertainty"
    review = client.post(ask, json=row, headers={"Origin": HERE}).json()["results"][0]["review_id"]
    item, evil = f"{HERE}/v1/reviews/{review}", {"Origin": "https://elsewhere.example"}
    for step in ("claim", "resolve"):
        said = b'{"reviewer": "mallory"' + (b"}" if step == "claim" else b', "label": "a"}')
        assert client.post(f"{item}/{step}", content=said, headers=evil).status_code == 403
    assert client.get(item).json()["status"] == "pending"
    assert client.post(f"{item}/claim", json={"reviewer": "ann"}, headers={"Origin": HERE}).status_code == 200


def test_without_keys_this_machine_is_asked_under_its_own_names(client: TestClient) -> None:
    for method, url in routes_of(client):
        answer = client.request(method, url, headers={"Host": "elsewhere.example:8000"})
        assert answer.status_code == 403, (method, url)
    for host in FOREIGN:
        answer = client.get(f"{HERE}/v1/models", headers={"Host": host})
        assert_failed(answer, 403, "forbidden", "UNSURE_ALLOWED_HOSTS")
    for host in KNOWN:
        assert client.get(f"{HERE}/v1/models", headers={"Host": host}).status_code == 200, host


def test_a_page_is_the_servers_own_by_the_port_that_its_scheme_means(client: TestClient) -> None:
    index = "/v2/repository/index"
    for origin, host, status in [
        ("http://localhost", "localhost", 200),
        ("http://localhost", "localhost:80", 200),
        ("https://localhost", "localhost:443", 200),
        ("https://localhost", "localhost:80", 403),
        ("http://localhost.", "localhost", 200),
        ("http://[::1]:8000", "[::1]:8000", 200),
        ("http://[::1]:8000", "[::1]:8001", 403),
    ]:
        answer = client.post(HERE + index, headers={"Origin": origin, "Host": host})
        assert answer.status_code == status, (origin, host)


def test_other_names_are_the_operators(repository: Repository, serve: Serve) -> None:
    client = serve(allowed_hosts="unsure.example.com, *.ward.example, 10.1.2.3", host="0.0.0.0")  # noqa: S104
    there = "http://10.9.9.9:8000"  # the address that the connection came in by, as a probe asks
    for url, host, status in [
        (there, "unsure.example.com", 200),
        (there, "Unsure.Example.com.:8443", 200),
        (there, "a.b.ward.example", 200),
        (there, "ward.example", 403),
        (there, "evilward.example", 403),
        (there, "10.1.2.3:8000", 200),
        (there, "10.9.9.9:8000", 200),
        (there, "10.9.9.8:8000", 403),
        (there, "localhost:8000", 200),
    ]:
        assert client.get(f"{url}/v1/models", headers={"Host": host}).status_code == status, host
    for origin, status in [
        ("https://unsure.example.com", 200),
        ("https://unsure.example.com:8443", 403),
        ("https://elsewhere.example", 403),
    ]:
        answer = client.post(f"{there}/v2/repository/index", headers={"Origin": origin})
        assert answer.status_code == status, origin


def test_where_keys_or_the_operator_guard_any_name_will_do(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    issue(tmp_path / "keys.toml", "all", ["predict"])
    guarded = serve(wait=False, api_keys_file=tmp_path / "keys.toml")
    assert guarded.get(f"{HERE}/v2/health/live", headers={"Host": "elsewhere.example"}).status_code == 200
    for given in ({"allowed_hosts": "*"}, {"host": "0.0.0.0", "without_keys": True}):  # noqa: S104
        client = serve(**given)
        assert client.get(f"{HERE}/v1/models", headers={"Host": "elsewhere.example"}).status_code == 200


@pytest.mark.parametrize("names", ["a b", "http://unsure.example.com", "unsure.example.com:8000", "a,*b"])
def test_what_is_no_name_is_told_at_the_start(repository: Repository, names: str) -> None:
    with pytest.raises(StartError, match=r"--allowed-hosts has .* names or addresses without a port"):
        build(Settings(repository=repository.path, allowed_hosts=names, review_url="off"))


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Content-Type", "Content-Length", "Host", "Origin", "X-Request-ID", "Sec-Fetch-Site"],
)
def test_a_header_of_which_one_would_be_passed_over_stands_once(client: TestClient, name: str) -> None:
    sent = [(name, "1"), (name, "2")]
    answer = client.post(f"{HERE}/v2/repository/index", headers=sent)  # type: ignore[arg-type]
    assert_failed(answer, 400, "invalid_input", f"the header {name.title()} stands twice; send it once")


def test_a_name_that_comes_to_mean_this_machine_reads_nothing(repository: Repository) -> None:
    """Over a socket, as a browser asks after DNS rebinding; an old program without any Host is served."""
    repository.add()
    settings = Settings(repository=repository.path, factories="networks", plan="vmap", review_url="off")
    with listening(build(settings)) as address:

        def asked(path: str, host: str | None, *more: str) -> Any:
            connection = http.client.HTTPConnection(address)
            if host is None:
                connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
            connection.putrequest("POST" if more else "GET", path, skip_host=True)
            for name, value in [("Host", host), *([("Origin", more[0])] if more else [])]:
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            status = connection.getresponse().status
            connection.close()
            return status

        port = address.rpartition(":")[2]
        assert asked("/v1/models", f"rebound.example:{port}") == 403
        assert (
            asked("/v2/repository/index", f"rebound.example:{port}", f"http://rebound.example:{port}") == 403
        )
        assert asked("/v1/models", None) == 200
        assert asked("/v1/models", f"localhost:{port}") == 200
        assert asked("/v2/repository/index", f"localhost:{port}", f"http://localhost:{port}") == 200
        assert asked("/v2/repository/index", f"localhost:{port}", "http://localhost:1") == 403


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_no_other_site_frames_a_page_or_runs_anything_in_it(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= {
        *policy
    }
    assert not [one for one in policy if "unsafe" in one or "http" in one or "*" in one]
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    for answer in (path, "/v1/models", "/metrics", "/nothing"):
        assert client.get(answer).headers["x-content-type-options"] == "nosniff"
