"""A store in a database of its own, of each kind."""

from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from reviewed import Clock

from service.review.database import Database
from service.review.store import Store

LEASE_SECONDS = 60.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    with postgres.cluster() as own:
        yield own


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/reviews.db"
    own: postgres.Cluster = request.getfixturevalue("cluster")
    return own.empty()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def store(database: Database, clock: Clock) -> Store:
    return Store(database, LEASE_SECONDS, clock)
