"""A browser for all tests of a file, and servers that it looks at."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from browsers import Open, Tab, chromium
from repositories import Repository
from selenium.webdriver import Chrome
from servers import listening, wait_until_ready

from service.app import build
from service.settings import Settings


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(driver: Chrome, repository: Repository) -> Iterator[Open]:
    """Serve the repository, and look at it; a page that complained fails the test when it ends."""
    tabs = []
    with ExitStack() as stack:

        def start(where: str = "", **given: Any) -> Tab:
            usual = {"repository": repository.path, "factories": "networks,texts", "plan": "vmap"}
            reviews = {"review_url": f"sqlite:///{repository.path.parent}/reviews.db"}
            address = stack.enter_context(listening(build(Settings(**usual | reviews | given))))
            with httpx.Client(base_url=f"http://{address}") as client:
                if not given.get("protect_all"):
                    wait_until_ready(client)
            tab = Tab(driver, address)
            tabs.append(tab)
            tab.looked_at(1440, "light")
            tab.open(where)
            return tab

        yield start
        for tab in tabs:
            assert tab.complaints() == []
            tab.driver.get("about:blank")  # or its polling would outlive the server
