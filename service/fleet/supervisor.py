"""The process above a fleet: it starts the others, replaces what dies or hangs, passes on changes."""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from types import FrameType
from typing import Any

from service.errors import FleetError
from service.fleet.messages import Alive, Asked, Executed, Loaded, Order, Outcome, from_process, send

log = logging.getLogger("unsure")

_LOOK_SECONDS = 0.5  # between looks at what signals said
_GRACE_SECONDS = 5  # beyond the time that a process takes to drain
_STEADY_SECONDS = 60  # after which a death is not the same trouble as before
_LONGEST_PAUSE_SECONDS = 30
_LONGEST_LOOK_SECONDS = 2.0  # that counts as silence: where more passes, the supervisor itself stood still
_SILENT_SECONDS = 20.0  # of a process that tells every second that it runs: it is stopped, or stuck for good
_STARTING_SECONDS = 300.0  # until it tells so first: importing what it needs takes its time on a cold disk


Main = Callable[..., None]
"""A process: called with its end of the pipe, its number, whether it shall load before it is asked, and the
models that are out of service."""


@dataclass(eq=False)
class Member:
    """One process of the fleet.

    Args:
        number: from 0.
        process: of the operating system.
        connection: to it.
        started: when, in seconds.
        silence: seconds since it was heard of, of those in which the supervisor itself ran.
        patience: how much of that is too much.
    """

    number: int
    process: BaseProcess
    connection: Connection
    started: float
    silence: float = 0.0
    patience: float = _STARTING_SECONDS


@dataclass
class _Change:
    """A change on its way through the fleet."""

    asker: Member
    asked: Asked
    left: deque[Member]
    current: Member | None = None
    outcomes: list[bool] = field(default_factory=list)


class Supervisor:
    """Keeps so many processes running.

    The first loads alone: what it finds out about the models, the others read. One that starts beside others
    loads before it listens, so that nobody is sent to a process that has nothing to say.

    Args:
        count: of the processes.
        main: runs in each; to be found by name in its module.
        argument: for it.
        drain_seconds: how long a process may take to end.
        buried: called with the number that the system had for a process which is dead.
        silent_seconds: after which a process that tells nothing is killed, and another takes its place.
    """

    def __init__(
        self,
        count: int,
        main: Main,
        argument: Any,
        drain_seconds: float,
        buried: Callable[[int], None],
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        self._context = get_context("spawn")  # threads and torch do not survive a fork
        self._count = count
        self._main = main
        self._argument = argument
        self._drain_seconds = drain_seconds
        self._buried = buried
        self._silent_seconds = silent_seconds
        self._looked = monotonic()
        self._members: dict[int, Member] = {}
        self._starts: dict[int, float] = {}  # when which number shall start
        self._deaths = [0] * count
        self._changes: dict[str, deque[_Change]] = {}  # by model: one's take nobody's turn
        self._unloaded: set[str] = set()
        self._answered = False
        self._stopping = False

    def run(self) -> None:
        """Serve until a signal says to stop.

        Raises:
            FleetError: the first process ended before it was ready.
        """
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        self._start(0, first=True)
        try:
            while not self._stopping:
                self._look()
        finally:
            self._end()

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _look(self) -> None:
        """Wait a moment for whatever happens, and see to it."""
        members = {one.connection: one for one in self._members.values()}
        sentinels = [one.process.sentinel for one in self._members.values()]
        for ready in wait([*members, *sentinels], _LOOK_SECONDS):
            if isinstance(ready, Connection):
                self._hear(members[ready])
        self._kill_the_silent()
        for member in list(self._members.values()):
            if not member.process.is_alive():
                self._bury(member)
        now = monotonic()
        for number in [number for number, due in self._starts.items() if due <= now]:
            del self._starts[number]
            self._start(number)

    def _kill_the_silent(self) -> None:
        """Kill what hangs, however it came to: changes of models wait for it, and connections that it has.

        After a look that took long everybody has been silent, since all stood still: a container that was
        paused, or a machine that slept. So a look counts for as long as looks take at most.
        """
        now = monotonic()
        passed, self._looked = min(now - self._looked, _LONGEST_LOOK_SECONDS), now
        for member in self._members.values():
            member.silence += passed
            if member.silence > member.patience and member.process.is_alive():
                log.error(
                    "process %d (pid %s) has not been heard of for %.0f s: it hangs, and is killed",
                    *(member.number + 1, member.process.pid, member.silence),
                )
                member.process.kill()
                member.process.join(_LOOK_SECONDS)

    def _start(self, number: int, *, first: bool = False) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, number, not first, sorted(self._unloaded), self._argument)
        process = self._context.Process(target=self._main, args=arguments, name=f"unsure-{number}")
        try:
            process.start()
        except OSError as cause:  # too many processes, or too little memory
            log.error("process %d could not be started (%s): later again", number + 1, cause)  # noqa: TRY400
            self._starts[number] = monotonic() + _LONGEST_PAUSE_SECONDS
            ours.close()
            return
        finally:
            theirs.close()
        self._members[number] = Member(number, process, ours, monotonic())

    def _hear(self, member: Member) -> None:
        try:
            message = from_process(member.connection)
        except (EOFError, OSError):  # it is dead, which its sentinel tells too
            return
        member.silence, member.patience = 0.0, self._silent_seconds
        if isinstance(message, Alive):
            return
        if isinstance(message, Loaded):
            self._loaded(member)
        elif isinstance(message, Asked):
            self._ask(member, message)
        else:
            self._executed(member, message)

    def _loaded(self, member: Member) -> None:
        self._answered = True
        log.info("process %d of %d has loaded", member.number + 1, self._count)
        missing = set(range(self._count)) - self._members.keys() - self._starts.keys()
        for number in missing:
            self._start(number)

    def _bury(self, member: Member) -> None:
        del self._members[member.number]
        member.connection.close()
        pid, status = member.process.pid, member.process.exitcode
        self._buried(pid or 0)
        if not self._answered and not self._stopping:
            raise FleetError(f"the first process ended with status {status} before it was ready; see its log")
        steady = monotonic() - member.started > _STEADY_SECONDS
        self._deaths[member.number] = deaths = 1 if steady else self._deaths[member.number] + 1
        pause = min(2.0 ** (deaths - 1) - 1, _LONGEST_PAUSE_SECONDS)
        self._starts[member.number] = monotonic() + pause
        log.error("process %d (pid %s) ended with status %s; another starts", member.number + 1, pid, status)
        self._lost(member)

    def _ask(self, member: Member, asked: Asked) -> None:
        # The one who asks is the first: where it fails, nobody else is told, and nothing has changed.
        changes = self._changes.setdefault(asked.model, deque())
        changes.append(_Change(member, asked, deque([member])))
        if len(changes) == 1:
            self._next(asked.model)

    def _executed(self, member: Member, executed: Executed) -> None:
        changes = self._changes.get(executed.model)
        if not changes or changes[0].current is not member:
            return
        change = changes[0]
        change.outcomes.append(executed.done)
        if executed.done and len(change.outcomes) == 1:
            # Whoever starts from now on knows it; one that is loading hears it when it has loaded.
            remember = self._unloaded.add if change.asked.action == "unload" else self._unloaded.discard
            remember(change.asked.model)
            change.left.extend(one for one in self._members.values() if one is not member)
        self._next(executed.model)

    def _lost(self, member: Member) -> None:
        """Go on without a process: the one in its place reads the disk anew."""
        for model, changes in list(self._changes.items()):
            for change in changes:
                if member in change.left:
                    change.left.remove(member)
                if change.asker is member and not change.outcomes:
                    change.left.clear()  # what may have ended the one who asked is not tried on the others
            if changes[0].current is member:
                self._next(model)

    def _next(self, model: str) -> None:
        """Tell the next process of a model's change, or the one who asked how it went."""
        changes = self._changes[model]
        while changes:
            change = changes[0]
            if change.left:
                change.current = change.left.popleft()
                self._tell(change.current, Order(change.asked.action, change.asked.model))
                return
            changes.popleft()
            self._finish(change)
        del self._changes[model]

    def _finish(self, change: _Change) -> None:
        done = sum(change.outcomes)
        self._tell(change.asker, Outcome(change.asked.ticket, done, len(change.outcomes) - done))

    def _tell(self, member: Member, message: Order | Outcome) -> None:
        with suppress(OSError):  # it is dead, which its sentinel tells
            send(member.connection, message)

    def _end(self) -> None:
        """Let all processes drain, and kill what does not."""
        members = list(self._members.values())
        for member in members:
            member.process.terminate()
            with suppress(ProcessLookupError):
                # One that is stopped hears it then.
                os.kill(member.process.pid or os.getpid(), signal.SIGCONT)
            member.connection.close()  # who waits for an answer hears that there will be none
        end = monotonic() + self._drain_seconds + _GRACE_SECONDS
        for member in members:
            member.process.join(max(0.0, end - monotonic()))
            if member.process.is_alive():
                log.error("process %d did not end in time, and is killed", member.number + 1)
                member.process.kill()
                member.process.join()
