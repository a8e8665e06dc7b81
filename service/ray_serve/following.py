"""Changes of a model that reach all of its replicas, whichever was asked."""

import logging
import threading
from collections.abc import Callable
from typing import cast

from service.errors import Unavailable, UnsureError
from service.fleet.messages import Action
from service.fleet.place import Apply

log = logging.getLogger("unsure")

Since = Callable[[int], tuple[list[str], int]]
Record = Callable[[str], int]
Spread = Callable[[], list[bool]]


class Following:
    """A replica's end of its model's ledger.

    Args:
        known: how many changes of the ledger its model was loaded with.
        since: gives the changes after so many, and how many there are.
        record: writes a change down; gives how many there are.
        spread: has every replica follow; gives of each whether it could.
        model: whose.
        apply: makes a change here.
    """

    def __init__(
        self, known: int, since: Since, record: Record, spread: Spread, model: str, apply: Apply
    ) -> None:
        self._known = known
        self._since = since
        self._record = record
        self._spread = spread
        self._model = model
        self._apply = apply
        self._turn = threading.Lock()

    def reload(self, model: str) -> None:
        """Let all replicas read the model's folder anew.

        Raises:
            UnsureError: what kept this one from it; then none has done it.
            Unavailable: some have, and others have not.
        """
        self._ask("reload", model)

    def unload(self, model: str) -> None:
        """Let all replicas take the model out of service; raises as `reload` does."""
        self._ask("unload", model)

    def listen(self) -> None:
        """Nothing: a replica is told, and looks by itself."""

    def loaded(self) -> None:
        """Nothing: Ray asks a replica for nothing before its start is over."""

    def follow(self) -> bool:
        """Make the changes that this replica does not have; tells whether it could make them all."""
        with self._turn:
            actions, self._known = self._since(self._known)
            made = [self._made(cast("Action", action)) for action in actions]
            return all(made)

    def _ask(self, action: Action, model: str) -> None:
        with self._turn:
            self._apply(action, model)
            count = self._record(action)
            # Where others came between, this replica makes their changes, and its own once more.
            self._known = count if count == self._known + 1 else self._known
        outcomes = self._spread()
        failed = outcomes.count(False)
        if failed:
            raise Unavailable(
                f"{failed} of {len(outcomes)} replicas could not {action} {model}; their log says why: "
                f"{action} it again"
            )

    def _made(self, action: Action) -> bool:
        try:
            self._apply(action, self._model)
        except UnsureError as failure:
            log.warning("this replica could not %s %s: %s", action, self._model, failure)
            return False
        return True
