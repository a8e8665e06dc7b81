"""The page's files over HTTP: complete, typed, kept by browsers, and closed to everything else."""

import re
import tomllib
from fnmatch import fnmatch

import pytest
from errors_on_the_wire import assert_failed
from readme import ROOT
from servers import Serve
from starlette.testclient import TestClient

from service.web.files import page_files

FILES = page_files()
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


@pytest.fixture
def client(serve: Serve) -> TestClient:
    return serve(wait=False)


def policy(client: TestClient) -> dict[str, list[str]]:
    directives = client.get("/").headers["content-security-policy"].split("; ")
    return {name: sources for name, *sources in (directive.split() for directive in directives)}


def test_the_page_is_served_at_the_root(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.content == client.get("/page/index.html").content
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_has_its_type_and_the_headers_of_all(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.content == FILES[name].content
    assert answer.headers["content-type"] == TYPES.get(name.split(".")[-1], "text/javascript; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == client.get("/").headers["content-security-policy"]


def test_a_file_that_a_browser_holds_is_not_sent_again(client: TestClient) -> None:
    etag = client.get("/page/main.js").headers["etag"]
    for held in (etag, f"W/{etag}", f'"other", {etag}'):
        again = client.get("/page/main.js", headers={"If-None-Match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get("/page/main.js", headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get("/page/page.css").headers["etag"] != etag


@pytest.mark.parametrize("name", ["none.js", "..%2Fpage.py", "%2e%2e%2f__init__.py", "main.js%00"])
def test_nothing_else_is_a_file_of_the_page(client: TestClient, name: str) -> None:
    assert_failed(client.get(f"/page/{name}"), 404, "not_found", "there is no path")


def test_the_policy_lets_nothing_in_but_the_page_itself(client: TestClient) -> None:
    assert policy(client) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }


def test_no_file_names_another_host_or_makes_markup_of_text() -> None:
    namespace = "http://www.w3.org/2000/svg"
    for name, file in FILES.items():
        text = file.content.decode().replace(namespace, "")
        assert not re.search(r"https?://|//[a-z]+\.", text), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), name


def test_every_file_is_used() -> None:
    texts = {name: file.content.decode() for name, file in FILES.items() if not name.endswith(".html")}
    imported = {name for text in texts.values() for name in re.findall(r'"\./([\w.]+)"', text)}
    assert imported == {name for name in FILES if name.endswith(".js")} - {"main.js"}


def test_the_page_asks_for_all_its_files_at_once() -> None:
    """Else a browser would find out file by file what the next ones are."""
    asked = re.findall(r'"page/([\w.]+)"', FILES["index.html"].content.decode())
    assert set(asked) == FILES.keys() - {"index.html"}


def test_the_files_are_in_what_is_installed() -> None:
    """The wheel takes whole packages; nothing there may be told to be left out."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"] == {"packages": ["service", "models"]}
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert not [name for name in FILES for pattern in ignored if fnmatch(name, pattern)]
