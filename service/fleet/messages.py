"""What the processes of a fleet tell each other, over pipes of their own."""

from multiprocessing.connection import Connection
from typing import Literal

import msgspec

Action = Literal["reload", "unload"]


class Alive(msgspec.Struct, tag=True, frozen=True):
    """To the supervisor, every second: the process runs."""


class Loaded(msgspec.Struct, tag=True, frozen=True):
    """To the supervisor: all models are loaded."""


class Asked(msgspec.Struct, tag=True, frozen=True):
    """To the supervisor: one process was asked for a change that all shall make.

    Args:
        ticket: of the one who asks.
        action: what to do.
        model: with which.
    """

    ticket: int
    action: Action
    model: str


class Order(msgspec.Struct, tag=True, frozen=True):
    """To a process: do this.

    Args:
        action: what.
        model: with which.
    """

    action: Action
    model: str


class Executed(msgspec.Struct, tag=True, frozen=True):
    """To the supervisor: it was done, or not.

    Args:
        model: with which; a process is told of one change of a model at a time.
        done: whether it was.
    """

    model: str
    done: bool


class Outcome(msgspec.Struct, tag=True, frozen=True):
    """To the one who asked: how many processes have made the change.

    Args:
        ticket: of the one who asked.
        done: how many did.
        failed: how many did not.
    """

    ticket: int
    done: int
    failed: int


ToSupervisor = Alive | Loaded | Asked | Executed
ToProcess = Order | Outcome

_FROM_PROCESS: msgspec.json.Decoder[ToSupervisor] = msgspec.json.Decoder(ToSupervisor)
_FROM_SUPERVISOR: msgspec.json.Decoder[ToProcess] = msgspec.json.Decoder(ToProcess)


def send(connection: Connection, message: ToSupervisor | ToProcess) -> None:
    """Send a message.

    Raises:
        OSError: nobody is there any more.
    """
    connection.send_bytes(msgspec.json.encode(message))


def from_process(connection: Connection) -> ToSupervisor:
    """Wait for what a process says; raises as `from_supervisor` does."""
    return _FROM_PROCESS.decode(connection.recv_bytes())


def from_supervisor(connection: Connection) -> ToProcess:
    """Wait for what the supervisor says.

    Raises:
        EOFError, OSError: nobody is there any more.
    """
    return _FROM_SUPERVISOR.decode(connection.recv_bytes())
