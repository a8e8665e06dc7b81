"""Several processes as one: what one is told all do, what dies is started anew, and the end."""

import os
import signal
from typing import Any

import pytest
from fleets import FAILED, fleet

from service.fleet.supervisor import Member, Supervisor


def test_the_first_loads_alone_and_the_others_beside_it() -> None:
    with fleet(3) as running:
        first = running.next()
        assert (first.number, first.beside) == (0, False)
        first.do("answer")
        others = [running.next(), running.next()]
        assert {(one.number, one.beside) for one in others} == {(1, True), (2, True)}


def test_what_one_is_asked_all_do_the_one_who_was_asked_first() -> None:
    with fleet(3) as running:
        zero, one, two = running.started(3)
        one.do(("reload", "digits"))
        assert one.next() == ("applied", "reload", "digits")
        assert zero.next() == ("applied", "reload", "digits")
        assert two.next() == ("applied", "reload", "digits")
        assert one.next() == ("done",)


def test_what_fails_where_it_was_asked_is_told_there_and_done_by_nobody() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do(("reload", "refused by 1"))
        assert one.next() == ("InvalidInput", "not refused by 1")
        one.do(("reload", "digits"))  # what the other hears first shows that it heard nothing before
        assert zero.next() == ("applied", "reload", "digits")


def test_what_others_could_not_do_is_told() -> None:
    with fleet(2) as running:
        _, one = running.started(2)
        one.do(("reload", "refused by 0"))
        assert one.next() == ("applied", "reload", "refused by 0")
        kind, text = one.next()
        assert kind == "Unavailable"
        assert "1 of 2 processes could not reload refused by 0" in text


def test_changes_asked_at_one_time_are_made_in_one_order_by_all() -> None:
    with fleet(2) as running:
        members = running.started(2)
        for turn in range(10):
            for one in members:
                one.do(("reload" if one.number else "unload", str(turn)))
            told = [[one.next() for _ in range(3)] for one in members]
            applied = [[message for message in heard if message[0] == "applied"] for heard in told]
            assert applied[0] == applied[1]
            assert len(applied[0]) == 2


def test_a_change_that_takes_long_holds_up_none_of_another_model() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do("hold")
        assert one.next() == ("holding",)
        zero.do(("reload", "digits"))
        assert zero.next() == ("applied", "reload", "digits")
        one.do(("reload", "never held"))
        assert one.next() == ("applied", "reload", "never held")
        assert zero.next() == ("applied", "reload", "never held")
        assert one.next() == ("done",)
        one.do("go on")
        assert one.next() == ("applied", "reload", "digits")
        assert zero.next() == ("done",)


def test_what_dies_is_started_anew_and_told_what_is_out_of_service() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do(("unload", "digits"))
        assert zero.next() == ("applied", "unload", "digits")
        os.kill(one.pid, signal.SIGKILL)
        another = running.next()
        assert (another.number, another.beside, another.unloaded) == (1, True, ["digits"])
        another.do("answer")
        zero.do(("reload", "digits"))
        assert another.next() == ("applied", "reload", "digits")
        another.do("die")
        assert running.next().unloaded == []


def test_a_death_amid_a_change_keeps_nobody_waiting() -> None:
    with fleet(3) as running:
        zero, _, two = running.started(3)
        zero.do(("reload", "fatal to 1"))
        assert zero.next() == ("applied", "reload", "fatal to 1")
        assert two.next() == ("applied", "reload", "fatal to 1")
        assert zero.next() == ("done",)


def test_what_ends_the_one_who_asked_is_not_tried_on_the_others() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do(("reload", "fatal to 1"))
        assert running.next().number == 1
        zero.do(("reload", "digits"))
        assert zero.next() == ("applied", "reload", "digits")  # and nothing before


def test_one_that_starts_amid_a_change_knows_of_it() -> None:
    with fleet(3) as running:
        zero, one, two = running.started(3)
        two.do("hold")
        assert two.next() == ("holding",)
        zero.do(("unload", "digits"))
        assert one.next() == ("applied", "unload", "digits")
        one.do("die")
        assert running.next().unloaded == ["digits"]
        two.do("go on")
        assert two.next() == ("applied", "unload", "digits")


def test_what_a_fellow_does_not_know_is_out_of_service() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do(("unload", "unknown to 0"))
        assert one.next() == ("applied", "unload", "unknown to 0")
        assert one.next() == ("done",)
        zero.do(("unload", "unknown to 0"))
        assert zero.next()[0] == "NotFound"


def test_who_waits_for_a_change_when_all_stops_is_told() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        for each in (zero, one):
            each.do("ignore signals")
            assert each.next() == ("ignoring",)
        one.do("hold")
        assert one.next() == ("holding",)
        zero.do(("reload", "digits"))
        assert zero.next() == ("applied", "reload", "digits")
        running.process.terminate()
        assert zero.next()[0] in ("Unavailable", "orphaned")
        assert zero.next()[0] in ("Unavailable", "orphaned")


def test_one_that_loads_hears_of_a_change_once_it_has_loaded() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do("die")
        another = running.next()
        zero.do(("reload", "digits"))
        assert zero.next() == ("applied", "reload", "digits")
        another.do("answer")
        assert another.next() == ("applied", "reload", "digits")
        assert zero.next() == ("done",)


def test_where_the_first_cannot_start_nobody_does() -> None:
    with fleet(2) as running:
        running.next().do("die")
        assert running.ended() == FAILED


def test_a_signal_ends_all_and_what_does_not_end_is_killed() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        one.do("ignore signals")
        assert one.next() == ("ignoring",)
        running.process.terminate()
        assert running.ended() == 0
        for pid in (zero.pid, one.pid):
            assert not _alive(pid)


def test_one_that_hangs_is_replaced_and_keeps_no_change_waiting() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        os.kill(one.pid, signal.SIGSTOP)
        zero.do(("unload", "digits"))
        assert zero.next() == ("applied", "unload", "digits")
        assert zero.next() == ("done",)
        another = running.next()
        assert (another.number, another.beside, another.unloaded) == (1, True, ["digits"])
        assert not _alive(one.pid)


def test_one_that_is_stopped_ends_with_the_others() -> None:
    with fleet(2) as running:
        _, one = running.started(2)
        os.kill(one.pid, signal.SIGSTOP)
        running.process.terminate()
        assert running.ended() == 0
        assert not _alive(one.pid)


class _Process:
    """A process that a supervisor looks at, without a system behind it."""

    pid, exitcode, sentinel = 1, None, None

    def __init__(self) -> None:
        self.killed = False

    def is_alive(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True

    def join(self, _seconds: float) -> None:
        """It is dead at once."""


def test_time_in_which_the_supervisor_stood_still_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: a container that was paused for an hour kills nobody; silence of 20 s does."""
    now = [0.0]
    monkeypatch.setattr("service.fleet.supervisor.monotonic", lambda: now[0])
    supervisor = Supervisor(1, lambda: None, None, 0, lambda _pid: None)
    process: Any = _Process()
    supervisor._members[0] = Member(0, process, None, 0.0, patience=20.0)  # type: ignore[arg-type]
    now[0] += 3600
    supervisor._kill_the_silent()
    assert not process.killed
    for _ in range(36):
        now[0] += 0.5
        supervisor._kill_the_silent()
    assert not process.killed
    now[0] += 0.5
    supervisor._kill_the_silent()
    assert process.killed


def test_processes_without_a_supervisor_are_told() -> None:
    with fleet(2) as running:
        zero, one = running.started(2)
        assert running.process.pid is not None
        os.kill(running.process.pid, signal.SIGKILL)
        for member in (zero, one):
            assert member.next() == ("orphaned",)
            member.do("die")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
