"""What has been changed about a model since it was deployed: one for all of its replicas.

Ray copies this module to where the ledger runs: it imports nothing of ours.
"""

import ray


@ray.remote
class Ledger:
    """The changes of one model, in the order in which every replica makes them."""

    def __init__(self) -> None:
        self._actions: list[str] = []

    def record(self, action: str) -> int:
        """Add a change; gives how many there are with it."""
        self._actions.append(action)
        return len(self._actions)

    def since(self, known: int) -> tuple[list[str], int]:
        """Give the changes after the first `known`, and how many there are in all.

        A ledger that was lost with its machine begins anew, and is shorter than what replicas know of it.
        """
        start = known if known <= len(self._actions) else 0
        return self._actions[start:], len(self._actions)
