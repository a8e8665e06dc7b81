"""What all tests share: a model repository made of small networks, and a server over it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from repositories import Repository
from servers import Serve, wait_until_ready
from starlette.testclient import TestClient

from service.app import build
from service.sampling import executor
from service.sampling.precision import has_bfloat16
from service.settings import Settings

# A slow machine is no failure: timing belongs to benchmarks. Inputs are fresh on every run, but in CI, where
# a change is judged by what it changed.
settings.register_profile("untimed", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("untimed")


_THREADS = torch.get_num_threads()


def pytest_report_header() -> str:
    """Say which kind of processor this is: tests in bfloat16 run on both kinds."""
    native = has_bfloat16(torch.device("cpu"))
    way = (
        "by the processor's own instructions"
        if native
        else "emulated: the processor has no instructions for it"
    )
    return f"tests in float32 but for those that take the fixture bfloat16, which compute it {way}"


@pytest.fixture(autouse=True, scope="session")
def float32() -> Iterator[None]:
    """Let every processor be one without bfloat16, so that plans and tolerances are the same on all.

    A test in bfloat16 takes the fixture of that name. A process that a test starts knows nothing of this:
    where its numbers are compared, it is started with UNSURE_PRECISION=float32.
    """
    with pytest.MonkeyPatch.context() as session:
        session.setattr(executor, "has_bfloat16", lambda _device: False)
        yield


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processor be one with bfloat16: any can compute it, if slowly."""
    monkeypatch.setattr(executor, "has_bfloat16", lambda _device: True)


@pytest.fixture(autouse=True)
def threads() -> None:
    """Give torch as many threads as at the start, whatever ran before: others round sums otherwise."""
    torch.set_num_threads(_THREADS)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "repository"
    path.mkdir()
    return Repository(path)


@pytest.fixture
def serve(repository: Repository) -> Iterator[Serve]:
    """Start servers over the repository, in this process; they are stopped when the test ends.

    A pinned plan is verified but not measured, which takes a second a model. There is no review queue.
    """
    with ExitStack() as stack:

        def start(*, wait: bool = True, **given: Any) -> TestClient:
            usual = {"repository": repository.path, "factories": "networks", "plan": "vmap"}
            settings = Settings(**usual | {"review_url": "off"} | given)
            client = stack.enter_context(TestClient(build(settings), raise_server_exceptions=False))
            if wait:
                wait_until_ready(client)
            return client

        yield start
