"""A server of two processes is killed under load: every review that a client was told of is there, once."""

import os
import signal
import threading
from collections import Counter
from itertools import count
from pathlib import Path

import httpx
import pytest
from processes import Process, served
from repositories import Repository

from service.review.database import Database
from service.review.items import Item
from service.review.paging import Filter
from service.review.store import Store

pytestmark = pytest.mark.end_to_end

ROWS = [[0.5, -1.0, 2.0, 0.0, 1.5, -0.5], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
CLIENTS = 4
ENOUGH = 40  # answers, before the kill
SECONDS = 60


class Clients:
    """Ask until the server is gone, each request twice: the second may reach the other process."""

    def __init__(self, server: Process, prefix: str) -> None:
        self.told: dict[str, list[list[str]]] = {}
        self.enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(server.address, f"{prefix}-{number}"))
            for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self, address: str, prefix: str) -> None:
        for number in count():
            answers = self.told[f"{prefix}-{number}"] = []
            for _ in range(2):
                try:
                    answer = httpx.post(
                        f"http://{address}/v1/models/small/uncertainty",
                        json={"inputs": ROWS, "samples": 2},
                        headers={"X-Request-ID": f"{prefix}-{number}"},
                    )
                except httpx.TransportError:
                    return
                answers.append([row["review_id"] for row in answer.json()["results"]])
            if len(self.told) > ENOUGH:
                self.enough.set()


def everything(path: Path) -> dict[str, Item]:
    database = Database(f"sqlite:///{path}")
    page = Store(database, 60.0).page(Filter(), "oldest", 1_000_000)
    database.close()
    return {item.id: item for item in page.items}


def test_a_killed_server_has_kept_what_it_told(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.add(policy={"measure": "predictive_entropy", "threshold": -1})
    path = tmp_path / "reviews.db"
    told: dict[str, list[list[str]]] = {}
    for round_ in range(2):
        with served(repository.path, WORKERS=2, REVIEW_URL=f"sqlite:///{path}") as server:
            clients = Clients(server, f"round-{round_}")
            assert clients.enough.wait(SECONDS)
            # The supervisor first, or it would start others.
            for pid in [server.pid, *server.members()]:
                os.kill(pid, signal.SIGKILL)
            clients.join()
            told |= clients.told
    items = everything(path)
    for request, answers in told.items():
        for answer in answers:
            assert answer == answers[0]
            rows = [(items[one].row.request_id, items[one].row.number) for one in answer]
            assert rows == [(request, number) for number in range(len(ROWS))]
    entered = Counter((item.row.request_id, item.row.number) for item in items.values())
    assert set(entered.values()) == {1}
    assert len({request for request, _ in entered}) * len(ROWS) == len(entered)


def asked(server: Process) -> tuple[list[str | None], str | None]:
    """Ask once; gives the identifiers that are told, and why there are none."""
    answer = server.client.post("/v1/models/small/uncertainty", json={"inputs": ROWS, "samples": 2})
    assert answer.status_code == 200, answer.text
    return [row["review_id"] for row in answer.json()["results"]], answer.json().get("review_error")


def test_a_queue_that_is_deleted_or_moved_under_a_server(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.add(policy={"measure": "predictive_entropy", "threshold": -1})
    folder = tmp_path / "queue"
    folder.mkdir()
    path = folder / "reviews.db"
    with served(repository.path, REVIEW_URL=f"sqlite:///{path}") as server:
        first, _ = asked(server)
        assert everything(path).keys() == set(first)
        path.unlink()
        second, _ = asked(server)
        assert everything(path).keys() == set(second)
        folder.rename(tmp_path / "away")
        told, reason = asked(server)
        assert (set(told), reason) == (
            {None},
            "the review queue's database does not answer, since the folder of its file is not there; "
            "the server's log says why",
        )
        (tmp_path / "away").rename(folder)
        third, reason = asked(server)
        assert reason is None
        assert everything(path).keys() == {*second, *third}
        log = server.log.read_text()
    assert log.count("was deleted, moved or replaced while in use") == 1
    assert f"No such file or directory: '{folder}'" in log
    assert "transactional DDL" not in log
