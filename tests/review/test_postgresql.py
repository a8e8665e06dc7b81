"""What a database over a wire may do: go, come back, and hang."""

import socket
import threading
from collections.abc import Iterator

import postgres
import pytest
from reviewed import row
from sqlalchemy import text

from service.errors import Unavailable
from service.review.database import Database
from service.review.store import Store

LEASE_SECONDS = 60.0
SOON = 0.2


@pytest.fixture
def restarted() -> Iterator[postgres.Cluster]:
    """A cluster that no other test asks meanwhile."""
    with postgres.cluster() as own:
        yield own


def test_a_database_that_was_restarted_is_used_again(restarted: postgres.Cluster) -> None:
    database = Database(restarted.empty())
    store = Store(database, LEASE_SECONDS)
    (before,) = store.enter([row()])
    restarted.stop()
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            store.enter([row(1)])
    restarted.start()
    (after,) = store.enter([row(1)])
    assert {store.item(one).row.number for one in (before, after)} == {0, 1}
    database.close()


def test_a_connection_that_is_cut_is_replaced(cluster: postgres.Cluster) -> None:
    url = cluster.empty()
    database = Database(url)
    store = Store(database, LEASE_SECONDS)
    store.enter([row()])
    other = Database(url)
    with other.writing() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert len(store.enter([row(1)])) == 1
    for one in (other, database):
        one.close()


def test_a_statement_that_waits_for_another_is_given_up(cluster: postgres.Cluster) -> None:
    url = cluster.empty()
    other, database = Database(url), Database(url, SOON)
    store = Store(database, LEASE_SECONDS)
    store.enter([row()])
    with other.writing() as connection:
        connection.execute(text("LOCK TABLE review_items"))
        with pytest.raises(Unavailable):
            store.enter([row(1)])
    assert len(store.enter([row(1)])) == 1
    for one in (other, database):
        one.close()


def test_a_host_that_says_nothing_is_given_up() -> None:
    """It takes connections and never answers; the driver waits for 2 s at least."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken: list[socket.socket] = []
        taking = threading.Thread(target=lambda: taken.append(silent.accept()[0]))
        taking.start()
        host, port = silent.getsockname()
        database = Database(f"postgresql+psycopg://unsure@{host}:{port}/reviews", SOON)
        with pytest.raises(Unavailable, match="does not answer"):
            Store(database, LEASE_SECONDS).open()
        taking.join()
        database.close()
        taken[0].close()
