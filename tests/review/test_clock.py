"""A clock that jumps: no claim lapses by it, and nothing is removed."""

import logging
from dataclasses import dataclass

import pytest
from reviewed import row

from service.errors import Conflict
from service.review.clock import SteadyClock
from service.review.database import Database
from service.review.identifiers import Identifiers, time_of
from service.review.paging import Filter
from service.review.store import Store

DAY = 86_400.0
YEAR = 365 * DAY
START = 1_795_000_000.0


@dataclass
class Machine:
    """What passes on a machine, and how far its clock is off."""

    passed: float = 0.0
    ahead: float = 0.0

    def clock(self) -> SteadyClock:
        """A clock as a process that starts now has it."""
        return SteadyClock(lambda: START + self.passed + self.ahead, lambda: self.passed)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def server(database: Database, machine: Machine) -> Store:
    """A store as a server that starts now has it."""
    clock = machine.clock()
    return Store(database, 60.0, clock, clock.steady_seconds)


def test_small_steps_are_followed_and_large_ones_are_not(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    now = machine.clock()
    for ahead in (0.0, 300.0, -300.0, 3000.0):
        machine.passed, machine.ahead = machine.passed + 10, ahead
        assert now() == START + machine.passed + ahead
    for jump in (10 * YEAR, -10 * YEAR, 7200.0):
        machine.passed, machine.ahead = machine.passed + 10, 3000.0 + jump
        assert now() == pytest.approx(START + machine.passed + 3000)
    assert len(caplog.records) == 3
    assert "not believed for a day; if it is right, start the server anew" in caplog.text
    machine.ahead = 0.0
    assert now() == START + machine.passed


def test_a_clock_that_keeps_to_its_step_for_a_day_is_believed(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    now = machine.clock()
    machine.passed += 5 * DAY
    assert now.steady_seconds() == 5 * DAY
    machine.ahead = 2 * DAY  # a machine that was restored after two days
    for _ in range(24):
        assert now() == pytest.approx(START + machine.passed)
        machine.passed += 3600
    assert now() == START + machine.passed + 2 * DAY
    assert now.steady_seconds() == 0
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_clock_ten_years_ahead_takes_nobodys_claim_and_removes_nothing(
    database: Database, machine: Machine
) -> None:
    store = server(database, machine)
    machine.passed = 2 * DAY
    claimed, _ = store.enter([row(0)])[0], store.enter([row(1)])
    store.claim(claimed, "ann")
    machine.ahead = 10 * YEAR
    with pytest.raises(Conflict, match="claimed by ann"):
        store.claim(claimed, "bob")
    assert store.forget(30 * DAY, 100) == 0
    (late,) = store.enter([row(2)])
    machine.passed, machine.ahead = machine.passed + 61, 0.0
    store.claim(claimed, "bob")  # the lease of a minute is over
    (after,) = store.enter([row(3)])
    assert claimed < late < after
    assert time_of(after) == pytest.approx(START + machine.passed, abs=0.002)


def test_a_server_that_starts_ten_years_ahead_removes_nothing_for_a_day(
    database: Database, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    server(database, machine).enter([row(number) for number in range(3)])
    machine.ahead = 10 * YEAR
    store = server(database, machine)
    assert store.forget(30 * DAY, 100) == 0
    store.enter([row(3)])  # with a time ten years ahead, as that of everything since
    machine.passed += 3600
    assert server(database, machine).forget(30 * DAY, 100) == 0  # another process, started in between
    assert store.forget(30 * DAY, 100) == 0
    assert len(store.page(Filter(), "oldest", 10).items) == 4
    assert "until the server has run for a day: by the clock, no row entered for 3649.0 days" in caplog.text
    machine.passed += DAY
    assert store.forget(30 * DAY, 100) == 3  # nobody has set it right: then it is right


def test_a_server_that_starts_after_an_ordinary_pause_removes_what_is_old(
    database: Database, machine: Machine
) -> None:
    store = server(database, machine)
    for number in range(5):
        store.enter([row(number)])
        machine.passed += 10 * DAY
    assert server(database, machine).forget(30 * DAY, 100) == 2


def test_the_time_of_an_identifier_is_when_it_was_made() -> None:
    assert time_of(Identifiers().new(1_795_000_000.123)) == pytest.approx(1_795_000_000.123, abs=1e-3)
