"""A file that is deleted, moved or replaced while in use: what is told is in the file that the path names."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from reviewed import row

from service.errors import StartError, Unavailable
from service.review.database import Database
from service.review.paging import Filter
from service.review.store import Store

LEASE_SECONDS = 60.0
ENDINGS = ("", "-journal")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "queue").mkdir()
    return tmp_path / "queue" / "reviews.db"


def opened(path: Path, patience_seconds: float = 5.0) -> Iterator[Store]:
    database = Database(f"sqlite:///{path}", patience_seconds)
    yield Store(database, LEASE_SECONDS)
    database.close()


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    yield from opened(path)


@pytest.fixture
def other(path: Path) -> Iterator[Store]:
    """As another process's would be, except that it is in this one."""
    yield from opened(path)


def numbers(path: Path) -> list[int]:
    """Read what a file has, as whoever opens it by its name."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT number FROM review_items ORDER BY number").fetchall()
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return [number for (number,) in found]


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for ending in ENDINGS:
        Path(f"{path}{ending}").unlink(missing_ok=True)


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()


def replace_by_nothing(path: Path) -> None:
    (path.parent / "empty").touch()
    (path.parent / "empty").replace(path)


@pytest.mark.parametrize("harm", [delete, delete_all, delete_folder, replace_by_nothing])
def test_a_file_that_is_gone_is_begun_anew(
    store: Store, path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    store.enter([row(0)])
    harm(path)
    identifiers = store.enter([row(1)]) + store.enter([row(2)])
    assert numbers(path) == [1, 2]
    assert [store.item(one).row.number for one in identifiers] == [1, 2]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "was deleted, moved or replaced" in caplog.text


def test_questions_are_answered_by_the_file_that_is_there(store: Store, path: Path) -> None:
    store.enter([row(0)])
    delete(path)
    assert store.page(Filter(), "oldest", 10).items == []


def test_a_file_that_was_moved_away_is_whole(store: Store, path: Path, tmp_path: Path) -> None:
    store.enter([row(0)])
    path.rename(tmp_path / "backup.db")
    store.enter([row(1)])
    assert numbers(tmp_path / "backup.db") == [0]
    assert numbers(path) == [1]


def test_a_backup_that_takes_the_place_is_used_and_nothing_of_the_old_file_gets_into_it(
    store: Store, path: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    database = Database(f"sqlite:///{backup}")
    Store(database, LEASE_SECONDS).enter([row(number) for number in range(100, 150)])
    database.close()
    store.enter([row(0)])
    backup.replace(path)
    store.enter([row(1)])
    assert numbers(path) == [1, *range(100, 150)]


def test_the_journal_may_go_between_transactions_and_no_item_with_it(store: Store, path: Path) -> None:
    store.enter([row(0)])
    Path(f"{path}-journal").unlink()
    store.enter([row(1)])
    assert numbers(path) == [0, 1]


def test_what_an_earlier_version_wrote_with_a_log_ahead_is_taken_in(path: Path) -> None:
    """As a kill leaves it: the last item is in the log alone."""
    stores = opened(path)
    next(stores).enter([row(0)])
    next(stores, None)
    before = sqlite3.connect(path, isolation_level=None)
    before.execute("PRAGMA journal_mode = WAL").close()
    before.execute("UPDATE review_items SET number = 5").close()
    for ending in ("", "-wal", "-shm"):
        shutil.copyfile(f"{path}{ending}", path.with_name(f"killed.db{ending}"))
    before.close()
    killed = path.with_name("killed.db")
    stores = opened(killed)
    store = next(stores)
    store.enter([row(1)])
    assert numbers(killed) == [1, 5]
    assert not Path(f"{killed}-wal").exists()
    next(stores, None)


def test_a_file_that_an_earlier_version_still_uses_is_waited_for(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(path)) as before:
        before.execute("PRAGMA journal_mode = WAL").close()
        before.execute("CREATE TABLE others (number)").close()
        stores = opened(path, patience_seconds=0.05)
        store = next(stores)
        with pytest.raises(Unavailable):
            store.enter([row(0)])
        assert "another has it locked" in caplog.text
    store.enter([row(1)])
    assert numbers(path) == [1]
    next(stores, None)


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="the system does not tell what is mapped")
def test_nothing_of_it_is_mapped_or_ends_the_process_where_it_goes_bad(store: Store, path: Path) -> None:
    """To touch a mapped page of a file that was cut off, or may not be written, ends the process."""
    store.enter([row(0)])
    with store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE review_items SET number = 1")
        assert str(path.parent) not in Path("/proc/self/maps").read_text()
        os.truncate(f"{path}-journal", 0)
    store.enter([row(2)])
    assert numbers(path) == [1, 2]


def test_a_journal_of_a_process_that_was_killed_is_not_applied_to_a_backup(store: Store, path: Path) -> None:
    """SQLite takes the journal for one of whatever file has the name."""
    backup, journal = path.with_name("backup.db"), Path(f"{path}-journal")
    store.enter([row(number) for number in range(50)])
    store.forget(-1.0, 1000)  # so that pages are written anew
    with store._database.writing() as connection:
        connection.exec_driver_sql("PRAGMA cache_spill = 1")
        connection.exec_driver_sql("UPDATE review_items SET number = 7")
        left = journal.read_bytes()
    database = Database(f"sqlite:///{backup}")
    Store(database, LEASE_SECONDS).enter([row(number) for number in range(100, 150)])
    database.close()
    backup.replace(path)
    journal.write_bytes(left or b"\xd9\xd5\x05\xf9 \xa1c\xd7" + bytes(504))
    store._database._file._patience_seconds = 0.05  # type: ignore[union-attr]
    store.enter([row(1)])
    assert numbers(path) == [1, *range(100, 150)]


def test_a_folder_that_is_moved_away_and_back_keeps_what_it_had(store: Store, path: Path) -> None:
    store.enter([row(0)])
    away = path.parent.with_name("away")
    path.parent.rename(away)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.enter([row(1)])
    assert not path.parent.exists()
    away.rename(path.parent)
    store.enter([row(2)])
    assert numbers(path) == [0, 2]


def test_a_link_is_followed_where_it_leads_now(tmp_path: Path) -> None:
    first, second, link = (tmp_path / name for name in ("first.db", "second.db", "link.db"))
    link.symlink_to(first)
    stores = opened(link)
    store = next(stores)
    store.enter([row(0)])
    link.unlink()
    link.symlink_to(second)
    store.enter([row(1)])
    assert (numbers(first), numbers(second)) == ([0], [1])
    next(stores, None)


def test_nothing_is_told_of_a_file_that_goes_before_the_transaction_ends(store: Store, path: Path) -> None:
    store.open()
    with pytest.raises(Unavailable), store._database.writing():
        delete(path)
    store.enter([row(1)])
    assert numbers(path) == [1]


def test_nothing_is_written_where_the_file_went_while_another_was_waited_for(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fate is known only once the transaction has begun."""
    store.enter([row(0)])
    as_opened = store._database._file
    monkeypatch.setattr(as_opened, "is_as_opened", lambda: delete(path) is None)
    with pytest.raises(Unavailable):
        store.enter([row(1)])
    monkeypatch.undo()
    assert not path.exists()
    store.enter([row(2)])
    assert numbers(path) == [2]


def test_a_file_is_left_once_nobody_here_uses_it(path: Path) -> None:
    """Its memory would be shared with those who use the next."""
    stores = opened(path, patience_seconds=0.05)
    store = next(stores)
    store.enter([row(0)])
    with store._database.reading():
        delete(path)
        with pytest.raises(Unavailable):
            store.enter([row(1)])
    store.enter([row(2)])
    assert numbers(path) == [2]
    next(stores, None)


def test_all_users_of_a_file_go_on_with_the_same_one(store: Store, other: Store, path: Path) -> None:
    for one in (store, other):
        one.enter([row(0)])
    delete(path)
    for number in range(1, 5):
        (store, other)[number % 2].enter([row(number)])
    assert numbers(path) == [1, 2, 3, 4]


def test_a_uri_of_sqlite_is_refused() -> None:
    with pytest.raises(StartError, match="named by its path"):
        Database("sqlite:///file:/tmp/reviews.db?uri=true")


def be_text(path: Path) -> None:
    path.write_text("no database at all" * 100)


def be_a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("hinder", "reason"), [(be_text, "file is not a database"), (be_a_folder, "Is a directory")]
)
def test_what_is_no_database_is_told_and_the_queue_is_begun_once_it_is_gone(
    store: Store,
    path: Path,
    hinder: Callable[[Path], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hinder(path)
    with pytest.raises(Unavailable):
        store.enter([row(0)])
    assert reason in caplog.text
    path.rename(path.with_name("hindrance"))
    store.enter([row(1)])
    assert numbers(path) == [1]
