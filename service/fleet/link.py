"""A process's end of its fleet: what the supervisor says is done, what is asked here is asked of all."""

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from service.errors import Unavailable, UnsureError
from service.fleet.messages import (
    Action,
    Asked,
    Change,
    Changed,
    Loaded,
    Outcome,
    ToProcess,
    ToSupervisor,
    from_supervisor,
    send,
)

log = logging.getLogger("unsure")

_STOPPING = "the server is stopping"

Apply = Callable[[Action, str], None]


@dataclass(frozen=True)
class Membership:
    """A process's place in a fleet.

    Args:
        connection: to the supervisor.
        beside: whether others answer already.
        unloaded: models that are out of service.
    """

    connection: Connection
    beside: bool
    unloaded: Sequence[str] = ()


class Link:
    """Connects a process with its supervisor, and so with its fellows.

    Args:
        connection: to the supervisor.
        apply: makes a change here; raises one of our errors where it cannot.
        orphaned: called once, from a thread, when the supervisor is gone.
    """

    def __init__(self, connection: Connection, apply: Apply, orphaned: Callable[[], None]) -> None:
        self._connection = connection
        self._apply = apply
        self._orphaned = orphaned
        self._sending = threading.Lock()
        self._tickets = itertools.count()
        self._waiting: dict[int, Future[Outcome]] = {}
        self._failures: dict[tuple[Action, str], UnsureError] = {}

    def listen(self) -> None:
        """Do what the supervisor says, from a thread of its own."""
        threading.Thread(target=self._listen, name="fleet", daemon=True).start()

    def loaded(self) -> None:
        """Tell that requests are answered here."""
        with suppress(OSError):  # nobody is there to be told, which the thread that listens sees to
            self._send(Loaded())

    def reload(self, model: str) -> None:
        """Let all processes read a model's folder anew.

        Raises:
            UnsureError: what kept the first of them from it; then none has done it.
            Unavailable: some have, and others have not.
        """
        self._ask("reload", model)

    def unload(self, model: str) -> None:
        """Let all processes take a model out of service; raises as `reload` does."""
        self._ask("unload", model)

    def _ask(self, action: Action, model: str) -> None:
        ticket = next(self._tickets)
        answer = self._waiting[ticket] = Future()
        try:
            self._send(Asked(ticket, action, model))
        except OSError as cause:
            raise Unavailable(_STOPPING) from cause
        outcome = answer.result()
        failure = self._failures.pop((action, model), None)
        if failure is not None:
            raise failure
        if outcome.failed:
            raise Unavailable(
                f"{outcome.failed} of {outcome.done + outcome.failed} processes could not {action} {model}; "
                f"their log says why: {action} it again"
            )

    def _listen(self) -> None:
        try:
            while True:
                self._take(from_supervisor(self._connection))
        except (EOFError, OSError):
            for answer in list(self._waiting.values()):
                answer.set_exception(Unavailable(_STOPPING))
            self._orphaned()

    def _take(self, message: ToProcess) -> None:
        if isinstance(message, Outcome):
            self._waiting.pop(message.ticket).set_result(message)
        else:
            self._send(Changed(self._change(message)))

    def _change(self, change: Change) -> bool:
        # Only the one who asked tells what failed, and it is the first that is told to make the change.
        self._failures.pop((change.action, change.model), None)
        try:
            self._apply(change.action, change.model)
        except UnsureError as failure:
            self._failures[change.action, change.model] = failure
            log.warning("this process could not %s %s: %s", change.action, change.model, failure)
        except Exception:
            log.exception("this process could not %s %s", change.action, change.model)
        else:
            return True
        return False

    def _send(self, message: ToSupervisor) -> None:
        with self._sending:
            send(self._connection, message)
