"""The store: what enters is there, once, whole, in order."""

import re
import stat
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from reviewed import VALUED, Clock, row
from sqlalchemy import text

from service.errors import Conflict, InvalidInput, NotFound, StartError, Unavailable
from service.review.database import Database
from service.review.identifiers import Identifiers
from service.review.items import Row
from service.review.paging import Filter, Order
from service.review.schema import METADATA
from service.review.steps import Verdict
from service.review.store import Audit, Store

LEASE_SECONDS = 60.0
PENDING = Filter("pending")
NULL_NAMED = urlsafe_b64encode(b'["oldest", 0, "\\u0000"]').decode()


def listed(store: Store, order: Order = "oldest", limit: int = 3, wanted: Filter = PENDING) -> list[Row]:
    """Read all pages."""
    rows, after = [], None
    while True:
        page = store.page(wanted, order, limit, after)
        rows += [item.row for item in page.items]
        after = page.next_cursor
        if after is None:
            return rows


@pytest.mark.parametrize("given", [row(), VALUED, row(input=None, audit=True, reasons=())])
def test_what_enters_comes_back_as_it_was(store: Store, clock: Clock, given: Row) -> None:
    (identifier,) = store.enter([given])
    item = store.item(identifier)
    assert item.row == given
    assert (item.created, item.claim, item.resolution) == (clock.now, None, None)


def test_a_request_that_is_sent_again_enters_once(store: Store) -> None:
    rows = [row(number) for number in range(3)]
    first = store.enter(rows)
    assert len(set(first)) == 3
    assert store.enter(rows[::-1]) == first[::-1]
    assert store.enter([rows[0], row(3), rows[0]])[::2] == [first[0]] * 2
    assert len(listed(store)) == 4


@pytest.mark.parametrize(
    "changes",
    [{"request_id": "s"}, {"number": 9}, {"model": "m"}, {"version": "2"}, {"input_sha256": "1" * 64}],
)
def test_another_request_enters_beside_it(store: Store, changes: dict[str, object]) -> None:
    assert store.enter([row()]) != store.enter([row(**changes)])


def test_the_same_rows_enter_once_from_several_stores_at_once(store: Store, database_url: str) -> None:
    """As from several processes: each has connections of its own."""
    databases = [Database(database_url) for _ in range(4)]
    stores = [Store(one, LEASE_SECONDS) for one in databases]
    rows = [row(number) for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        given = list(
            threads.map(lambda number: stores[number % 4].enter(rows[:: 1 - number % 2 * 2]), range(40))
        )
    for one in databases:
        one.close()
    assert {tuple(sorted(ids)) for ids in given} == {tuple(sorted(given[0]))}
    assert [one.number for one in listed(store)] != []
    assert sorted(one.number for one in listed(store)) == list(range(20))


def test_rows_enter_all_or_none(store: Store) -> None:
    with pytest.raises(Unavailable):
        store.enter([row(), row(1, measure=None)])
    assert listed(store) == []


@pytest.mark.parametrize("order", ["uncertain", "oldest"])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_have_every_item_once_in_order(store: Store, clock: Clock, order: Order, limit: int) -> None:
    scores = [0.5, 0.9, 0.5, 0.1, 0.9, 0.7, 0.5, 0.2]
    for number, score in enumerate(scores):
        clock.now += number % 2  # two in one millisecond
        store.enter([row(number, score=score)])
    got = [one.number for one in listed(store, order, limit)]
    by_score = sorted(range(8), key=lambda number: (-scores[number], number))
    assert got == (list(range(8)) if order == "oldest" else by_score)


@pytest.mark.parametrize("order", ["uncertain", "oldest"])
def test_what_enters_or_leaves_between_pages_moves_nothing(store: Store, order: Order) -> None:
    identifiers = store.enter([row(number, score=number / 10) for number in range(6)])
    first = store.page(PENDING, order, 2)
    store.enter([row(10 + number, score=number / 10) for number in range(6)])
    for item in first.items:
        store.claim(item.id, "ann")
    rest = []
    after = first.next_cursor
    while after is not None:
        page = store.page(PENDING, order, 2, after)
        rest += [item.id for item in page.items]
        after = page.next_cursor
    assert len(rest) == len(set(rest))
    assert {item.id for item in first.items}.isdisjoint(rest)
    assert set(identifiers) <= {item.id for item in first.items} | set(rest)


@pytest.mark.parametrize("cursor", ["x", "é", "W10", "bnVsbA", "=", "a" * 5000, NULL_NAMED])
def test_a_cursor_that_is_none_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor must be"):
        store.page(PENDING, "oldest", 3, cursor)


def test_a_cursor_of_another_order_is_refused(store: Store) -> None:
    store.enter([row(0), row(1)])
    cursor = store.page(PENDING, "uncertain", 1).next_cursor
    with pytest.raises(InvalidInput, match="in the same order"):
        store.page(PENDING, "oldest", 1, cursor)


def test_an_item_goes_its_way(store: Store, clock: Clock) -> None:
    (identifier,) = store.enter([row()])
    assert store.claim(identifier, "ann").status(clock.now) == "claimed"
    with pytest.raises(Conflict, match="claimed by ann"):
        store.claim(identifier, "bob")
    clock.now += LEASE_SECONDS
    assert store.item(identifier).status(clock.now) == "pending"
    assert listed(store) != []
    with pytest.raises(Conflict, match="lapsed"):
        store.resolve(identifier, "ann", Verdict("3"))
    store.claim(identifier, "bob")
    store.release(identifier, None)
    store.claim(identifier, "bob")
    done = store.resolve(identifier, "bob", Verdict("3", note="sure"))
    assert store.item(identifier) == done
    assert done.resolution is not None
    assert (done.resolution.reviewer, done.resolution.note, done.resolution.time) == (
        "bob",
        "sure",
        clock.now,
    )
    assert listed(store) == []
    with pytest.raises(NotFound, match="there is no review none"):
        store.claim("none", "ann")


def test_one_of_many_reviewers_gets_an_item(store: Store) -> None:
    (identifier,) = store.enter([row()])

    def claim(number: int) -> bool:
        try:
            store.claim(identifier, f"reviewer {number}")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(claim, range(40))) == 1


def test_items_are_counted_and_listed_where_they_stand(store: Store, clock: Clock) -> None:
    identifiers = store.enter([row(number) for number in range(5)])
    store.claim(identifiers[0], "ann")
    clock.now += LEASE_SECONDS
    for identifier, label in zip(identifiers[1:4], ("3", "4", None), strict=True):
        store.claim(identifier, "bob")
        if label:
            store.resolve(identifier, "bob", Verdict(label))
    (tally,) = store.tallies()
    counts = {status: getattr(tally, status) for status in ("pending", "claimed", "resolved", "agreed")}
    assert counts == {"pending": 2, "claimed": 1, "resolved": 2, "agreed": 1}
    for status in ("pending", "claimed", "resolved"):
        assert len(listed(store, wanted=Filter(status))) == counts[status]
    assert len(listed(store, wanted=Filter())) == 5
    assert listed(store, wanted=Filter(model="other")) == []


def test_the_migrations_make_the_tables_that_the_program_asks(store: Store, database: Database) -> None:
    store.open()
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "review_schema"})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == "0002"


def test_a_database_of_a_later_program_is_left_alone(store: Store, database_url: str) -> None:
    store.enter([row()])
    later = Database(database_url)
    with later.writing() as connection:
        connection.execute(text("UPDATE review_schema SET version_num = '9999'"))
    later.close()
    old = Store(Database(database_url), LEASE_SECONDS)
    with pytest.raises(Unavailable):
        old.open()
    old.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_waits_for_the_disk_and_maps_no_file(store: Store, database: Database, tmp_path: Path) -> None:
    store.open()
    with database.writing() as connection:
        asked = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "mmap_size")
        }
    assert asked == {"journal_mode": "truncate", "synchronous": 2, "mmap_size": 0}
    assert stat.S_IMODE((tmp_path / "reviews.db").stat().st_mode) == 0o600


def test_a_database_that_comes_back_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    database = Database(f"sqlite:///{folder}/reviews.db")
    store = Store(database, LEASE_SECONDS)
    with pytest.raises(Unavailable, match="does not answer"):
        store.enter([row()])
    folder.mkdir()
    assert len(store.enter([row()])) == 1
    database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("reviews.db", "looks like sqlite"),
        ("mysql://host/x", "and not by mysql"),
        ("sqlite://", "must outlive the server"),
        ("sqlite:///:memory:", "must outlive the server"),
        ("postgresql+unheard://host/x", "driver postgresql.unheard is not installed"),
    ],
)
def test_a_url_that_keeps_nothing_is_refused(url: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        Database(url)


def test_identifiers_grow_whatever_the_clock_does() -> None:
    make = Identifiers()
    times = [5.0] * 5000 + [4.0] * 10 + [6.0]
    made = [make.new(now) for now in times]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one)
        for one in made
    )
    assert len({one[24:] for one in made}) == len(made)


def test_audits_are_counted_by_policy_once_they_are_labelled(store: Store) -> None:
    given = [row(number, audit=True, policy_id=f"policy-{number % 2}") for number in range(6)]
    audits, flagged = store.enter(given), store.enter([row(9, policy_id="policy-0")])
    for identifier, label in zip([*audits[:5], *flagged], ["3", "3", "8", "3", "3", "8"], strict=True):
        store.claim(identifier, "ann")
        store.resolve(identifier, "ann", Verdict(label))
    assert sorted(store.audits(), key=lambda one: one.policy_id) == [
        Audit("policy-0", labelled=3, wrong=1),
        Audit("policy-1", labelled=2, wrong=0),
    ]
