"""Whose identifier was told is in the queue, whenever its process is killed."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import killed_writers
import pytest
from readme import ROOT
from sqlalchemy import select, text

from service.review.database import Database
from service.review.items import Item
from service.review.paging import Filter
from service.review.schema import ITEMS
from service.review.store import Store

ROUNDS = {"sqlite": 40, "postgresql": 10}


def told_by_writers(url: str, rounds: int) -> list[tuple[str, list[str]]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "fixtures")])}
    command = [sys.executable, Path(killed_writers.__file__), url, str(rounds), "7"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told: list[tuple[str, list[str]]] = json.loads(done.stdout)
    return told


def everything(store: Store) -> list[Item]:
    items: list[Item] = []
    after: str | None = None
    while True:
        page = store.page(Filter(), "oldest", 500, after)
        items += page.items
        after = page.next_cursor
        if after is None:
            return items


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_what_was_told_is_there_once_and_whole(database: Database, database_url: str) -> None:
    told = told_by_writers(database_url, ROUNDS[database.dialect])
    assert len({request.split("-")[0] for request, _ in told}) > ROUNDS[database.dialect] / 2
    store = Store(database, 60.0)
    items = {item.id: item for item in everything(store)}  # each is read whole
    for request, identifiers in told:
        rows = [(items[one].row.request_id, items[one].row.number) for one in identifiers]
        assert rows == [(request, number) for number in range(killed_writers.GROUP_ROWS)]
    groups = defaultdict(Counter)
    for item in items.values():
        groups[item.row.request_id][item.row.number] += 1
    once = Counter(range(killed_writers.GROUP_ROWS))
    assert [request for request, numbers in groups.items() if numbers != once] == []
    with database.reading() as connection:
        assert len(connection.execute(select(ITEMS.c.fingerprint).distinct()).all()) == len(items)
        if database.dialect == "sqlite":
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
