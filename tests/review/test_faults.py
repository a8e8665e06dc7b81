"""What is wrong with a database is told in a sentence that has a way out, and once."""

import logging
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reviewed import row
from sqlalchemy import text

from service.errors import Unavailable
from service.review.database import Database
from service.review.paging import Filter
from service.review.store import Store

LEASE_SECONDS = 60.0
SOON = 0.05
OTHERS = "it has tables of these names that this version did not make"


def stored(url: str, patience_seconds: float = 5.0) -> Store:
    return Store(Database(url, patience_seconds), LEASE_SECONDS)


def refused(store: Store, since: str) -> None:
    """Let rows in in vain; the answer must say why, and nothing of where the database is."""
    with pytest.raises(Unavailable) as refusal:
        store.enter([row(1)])
    assert str(refusal.value) == (
        f"the review queue's database does not answer, since {since}; the server's log says why"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.db"
    store = stored(f"sqlite:///{path}")
    store.enter([row()])
    store.close()
    return path


def asked(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def be_later(path: Path) -> None:
    asked(path, "UPDATE review_schema SET version_num = '9999'")


def be_emptied(path: Path) -> None:
    asked(path, "DROP TABLE review_items")


def be_anothers(path: Path) -> None:
    asked(path, "DROP TABLE review_schema")


def be_text(path: Path) -> None:
    path.write_text("no database at all" * 100)


def be_damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + bytes(range(256)) * 512)


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def be_nowhere(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("harm", "since", "way_out"),
    [
        (be_later, "a later version of unsure has made it", "'9999'); run that version here"),
        (be_emptied, "its tables are gone", "drop the table review_schema too"),
        (be_anothers, OTHERS, "name another database"),
        (be_text, "its file is no database of SQLite", "move the file away"),
        (be_damaged, "its file is damaged", "put a backup in its place"),
        (be_a_folder, "its path is no file", "move away what is there"),
        (be_nowhere, "the folder of its file is not there", "make the folder"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_a_way_out(
    path: Path, harm: Callable[[Path], None], since: str, way_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    harm(path)
    store = stored(f"sqlite:///{path}")
    for _ in range(2):
        refused(store, since)
    store.close()
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert f"{path} failed: {since} (" in record.message
    assert way_out in record.message


def test_who_has_it_locked_is_to_let_go(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    connection = sqlite3.connect(path)
    connection.execute("BEGIN IMMEDIATE")
    store = stored(f"sqlite:///{path}", SOON)
    refused(store, "another has it locked")
    assert "(database is locked); end what writes to it" in caplog.text
    connection.close()
    assert store.enter([row(1)])
    store.close()


def test_a_file_that_this_user_may_not_write_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """To root nothing is forbidden: SQLite is told to write nothing, as the system would tell it."""
    store = stored(f"sqlite:///{path}")
    store.open()
    for connection in [store._database._engine.raw_connection() for _ in range(5)]:
        connection.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]
        connection.close()
    refused(store, "this process may not read and write its file")
    assert "let the user that it runs as do so" in caplog.text
    store.close()


@pytest.fixture
def short_files() -> Iterator[Callable[[int], None]]:
    """Let no file get longer than that many bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_is_full_is_told_once_however_often_it_is_read_meanwhile(
    path: Path, short_files: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unsure")
    store = stored(f"sqlite:///{path}")
    (first,) = store.enter([row()])
    short_files(512)  # the journal would be longer
    for _ in range(3):
        refused(store, "its disk cannot be read or written")
        assert [item.id for item in store.page(Filter(), "oldest", 10).items] == [first]
    short_files(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    store.enter([row(1)])
    assert [one.levelno for one in caplog.records if one.name == "unsure"] == [logging.ERROR, logging.INFO]
    assert "(disk I/O error); look whether it is full or broken" in caplog.text
    store.close()


def test_another_failure_is_told_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = stored(f"sqlite:///{path}")
    be_nowhere(path)
    refused(store, "the folder of its file is not there")
    path.parent.mkdir()
    be_text(path)
    refused(store, "its file is no database of SQLite")
    assert caplog.text.count(" failed: ") == 2
    store.close()


@pytest.mark.parametrize(
    ("statement", "since"),
    [
        ("UPDATE review_schema SET version_num = '9999'", "a later version of unsure has made it"),
        ("DROP TABLE review_items", "its tables are gone"),
        (
            "ALTER TABLE review_items DROP score",
            OTHERS,
        ),
        ("ALTER DATABASE postgres SET default_transaction_read_only = on", "it only reads"),
    ],
)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_is_wrong_with_postgresql_is_told(database_url: str, statement: str, since: str) -> None:
    maker = Database(database_url)
    with maker.writing() as connection:
        connection.execute(text(statement))
    store = stored(database_url)
    try:
        refused(store, since)
    finally:
        with maker.writing() as connection:
            connection.execute(text("SET TRANSACTION READ WRITE"))
            connection.execute(text("ALTER DATABASE postgres RESET default_transaction_read_only"))
        maker.close()
        store.close()


def test_a_server_that_is_away_is_told() -> None:
    store = stored("postgresql+psycopg://unsure@127.0.0.1:1/reviews")
    refused(store, "it cannot be reached")
    store.close()
