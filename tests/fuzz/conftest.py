"""One server for all of these tests: what they ask must leave it as it was."""

from collections.abc import Iterator

import pytest
from fuzzing import Fuzzed, add_models
from repositories import Repository
from servers import listening, wait_until_ready

from service.app import build
from service.settings import Settings


@pytest.fixture(scope="session")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """Serve the models; a pinned plan is not measured, which takes a second a model."""
    repository = Repository(tmp_path_factory.mktemp("fuzzed"))
    add_models(repository)
    settings = Settings(
        repository=repository.path,
        factories="networks",
        plan="vmap",
        device="cpu",
        review_url=f"sqlite:///{tmp_path_factory.mktemp('reviews')}/reviews.db",
    )
    with listening(build(settings)) as address:
        server = Fuzzed(address, repository.path)
        with server.client() as client:
            wait_until_ready(client)
        yield server
