"""One model's replicas, as whoever stands in front of them asks them."""

import asyncio
from collections.abc import Iterable
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from service.errors import DeadlineExceeded, Overloaded, Unavailable
from service.ray_serve.exchange import Answered, Asked

_PATIENCE_SECONDS = 2.0  # beyond a request's own deadline, which a replica sees to
_LOOK_SECONDS = 5.0  # for what is asked of all replicas


class RemoteModel:
    """Asks one model's replicas.

    Args:
        name: of the model.
        handle: of its deployment.
        deadline_seconds: how long a request may take.
    """

    def __init__(self, name: str, handle: Any, deadline_seconds: float) -> None:
        self.name = name
        self._handle = handle
        self._seconds = deadline_seconds + _PATIENCE_SECONDS

    async def answer(self, asked: Asked, *, in_time: bool = True) -> Answered:
        """Have a replica answer.

        Args:
            asked: the request.
            in_time: whether the deadline holds.

        Raises:
            Unavailable: the replica died over it, or there is none.
            Overloaded: too many wait for one.
            DeadlineExceeded: no replica was there, or had time, until the deadline.
        """
        try:
            async with asyncio.timeout(self._seconds if in_time else None):
                answered: Answered = await self._handle.answer.remote(asked)
        except TimeoutError as cause:
            raise DeadlineExceeded(
                f"no replica of {self.name} has answered within {self._seconds:g} s; try later"
            ) from cause
        except BackPressureError as cause:
            raise Overloaded(f"too many requests wait for a replica of {self.name}", 1) from cause
        except RayTaskError:
            raise  # a fault of ours
        except (RayError, DeploymentUnavailableError, ReplicaUnavailableError) as cause:
            raise Unavailable(
                f"the replica of {self.name} that had the request is gone, or there is none; ask again"
            ) from cause
        return answered

    async def expositions(self) -> list[tuple[str, bytes]]:
        """Give the metrics of each replica that answers, by its name."""
        try:
            outcomes: Iterable[Any] = await self._handle.broadcast("exposition").results_async(
                timeout_s=_LOOK_SECONDS, return_exceptions=True
            )
        except TimeoutError:
            return []
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
