"""A process's end of its fleet: what the supervisor says is done, what is asked here is asked of all."""

import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import ClassVar

from service.errors import NotFound, Unavailable, UnsureError
from service.fleet.messages import (
    Action,
    Alive,
    Asked,
    Executed,
    Loaded,
    Order,
    Outcome,
    ToProcess,
    ToSupervisor,
    from_supervisor,
    send,
)
from service.fleet.place import Apply

log = logging.getLogger("unsure")

_STOPPING = "the server is stopping"
_BEAT_SECONDS = 1.0


class Sender:
    """Sends to the supervisor, from any thread; and every second that this process runs.

    A thread of its own does that, so that a process that loads, compiles or computes is heard of.

    Args:
        connection: to the supervisor.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: ToSupervisor) -> None:
        """Send a message; raises OSError where nobody is there any more."""
        with self._sending:
            send(self._connection, message)

    def beat(self) -> None:
        """Begin to tell that this process runs."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def _beat(self) -> None:
        with suppress(OSError):  # nobody is there to be told, which the thread that listens sees to
            while True:
                self.send(Alive())
                time.sleep(_BEAT_SECONDS)


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
    sender: Sender = field(init=False)
    models: ClassVar[None] = None
    elsewhere: ClassVar[Sequence[str]] = ()
    ends_in_trouble: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Tell the supervisor from the start that this process runs."""
        object.__setattr__(self, "sender", Sender(self.connection))
        self.sender.beat()

    def linked(self, apply: Apply) -> "Link":
        """Connect a process with its supervisor; without one it ends, as if told to."""
        # Without a supervisor nobody would hear of a change that others make.
        return Link(
            self.connection, apply, orphaned=lambda: os.kill(os.getpid(), signal.SIGTERM), sender=self.sender
        )


class _Asking:
    """A change that was asked for here.

    Args:
        action: what to do.
        model: with which.

    Attributes:
        answer: that it is done, or why not.
        failure: why this process, the first that is told, could not do it.
    """

    def __init__(self, action: Action, model: str) -> None:
        self._action = action
        self._model = model
        self.answer: Future[None] = Future()
        self.failure: UnsureError | None = None

    def asks_for(self, order: Order) -> bool:
        """Tell whether an order may come of it."""
        return (order.action, order.model) == (self._action, self._model)

    def settle(self, outcome: Outcome) -> None:
        """Answer whoever waits."""
        failure = self.failure
        if failure is None and outcome.failed:
            failure = Unavailable(
                f"{outcome.failed} of {outcome.done + outcome.failed} processes could not {self._action} "
                f"{self._model}; their log says why: {self._action} it again"
            )
        if failure is None:
            self.answer.set_result(None)
        else:
            self.answer.set_exception(failure)


class Link:
    """Connects a process with its supervisor, and so with its fellows.

    Args:
        connection: to the supervisor.
        apply: makes a change here; raises one of our errors where it cannot.
        orphaned: called once, from a thread, when the supervisor is gone.
        sender: sends to the supervisor.
    """

    def __init__(
        self, connection: Connection, apply: Apply, orphaned: Callable[[], None], sender: Sender
    ) -> None:
        self._connection = connection
        self._apply = apply
        self._orphaned = orphaned
        self._send = sender.send
        self._tickets = itertools.count()
        self._waiting: dict[int, _Asking] = {}

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
        asked = _Asking(action, model)
        ticket = next(self._tickets)
        self._waiting[ticket] = asked
        try:
            self._send(Asked(ticket, action, model))
        except OSError as cause:
            raise Unavailable(_STOPPING) from cause
        asked.answer.result()

    def _listen(self) -> None:
        try:
            while True:
                self._take(from_supervisor(self._connection))
        except (EOFError, OSError):
            for asked in list(self._waiting.values()):
                asked.answer.set_exception(Unavailable(_STOPPING))
            self._orphaned()

    def _take(self, message: ToProcess) -> None:
        if isinstance(message, Outcome):
            self._waiting.pop(message.ticket).settle(message)
        else:
            # In a thread of its own: a load that takes long, or for ever, holds up none of another model.
            threading.Thread(target=self._carry_out, args=(message,), name="change", daemon=True).start()

    def _carry_out(self, order: Order) -> None:
        done = self._execute(order)
        with suppress(OSError):  # nobody is there to be told, which the thread that listens sees to
            self._send(Executed(order.model, done))

    def _execute(self, order: Order) -> bool:
        asked = next((one for one in list(self._waiting.values()) if one.asks_for(order)), None)
        failure: UnsureError | None = None
        try:
            self._apply(order.action, order.model)
        except UnsureError as cause:
            failure = cause
        except BaseException:  # whatever ends it: the supervisor waits for an answer
            log.exception("this process could not %s %s", order.action, order.model)
            return False
        if asked is not None:
            asked.failure = failure
        elif isinstance(failure, NotFound) and order.action == "unload":
            return True  # it is as out of service as can be
        if failure is not None:
            log.warning("this process could not %s %s: %s", order.action, order.model, failure)
        return failure is None
