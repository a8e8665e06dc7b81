"""A store in a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from reviewed import Clock

from service.review.database import Database
from service.review.store import Store

LEASE_SECONDS = 60.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reviews.db"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def store(database: Database, clock: Clock) -> Store:
    return Store(database, LEASE_SECONDS, clock)
