"""A real browser in which other pages are open."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
from browsers import Open
from repositories import Repository


@contextmanager
def elsewhere() -> Iterator[int]:
    """Serve an empty page; gives the port."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href=data:,><p>elsewhere")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


SEND = """
const done = arguments[arguments.length - 1];
const headers = { "Content-Type": "text/plain" };
fetch(arguments[0], { method: "POST", mode: "no-cors", headers, body: arguments[1] })
  .then(answer => done(answer.type), error => done(String(error)));
"""


def test_a_page_of_another_site_resolves_nothing(repository: Repository, open_page: Open) -> None:
    repository.add(policy={"measure": "predictive_entropy", "threshold": -1})
    tab = open_page()
    driver, server = tab.driver, httpx.Client(base_url=f"http://{tab.address}")
    row = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
    answer = server.post("/v1/models/small/uncertainty", json={"inputs": [row]}).json()
    review = answer["results"][0]["review_id"]

    def sent(step: str, body: str) -> Any:
        return driver.execute_async_script(SEND, f"http://{tab.address}/v1/reviews/{review}/{step}", body)

    with elsewhere() as port:
        # Another site, and another port of this one.
        for page in (f"http://rebound.example:{port}/", f"http://127.0.0.1:{port}/"):
            driver.get(page)
            assert sent("claim", '{"reviewer": "mallory"}') == "opaque"  # it got there, and was refused
            assert sent("resolve", '{"reviewer": "mallory", "label": "a"}') == "opaque"
            assert server.get(f"/v1/reviews/{review}").json()["status"] == "pending", page
        source = f"const frame = document.createElement('iframe'); frame.src = 'http://{tab.address}/docs';"
        tab.run(f"{source} document.body.append(frame)")
        driver.switch_to.frame(0)
        assert "Operations" not in driver.find_element("css selector", "body").text
        driver.switch_to.default_content()
    tab.complaints()  # of what was not let in
    server.close()


def test_a_name_that_comes_to_mean_this_machine_shows_nothing(
    repository: Repository, open_page: Open
) -> None:
    repository.add()
    tab = open_page()
    port = tab.address.rpartition(":")[2]
    for path in ("/", "/v1/models", "/docs"):
        tab.driver.get(f"http://rebound.example:{port}{path}")
        assert "this server is not asked under the name" in tab.text("body"), path
    tab.complaints()


def test_the_documentation_looks_as_it_should_under_its_policy(open_page: Open) -> None:
    tab = open_page()
    tab.driver.get(f"http://{tab.address}/docs")
    assert tab.run("return getComputedStyle(document.querySelector('.method')).fontWeight") == "700"
    assert tab.complaints() == []
