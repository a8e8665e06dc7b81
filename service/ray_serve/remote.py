"""One model's replicas, as whoever stands in front of them asks them."""

import asyncio
from collections.abc import Iterable
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from service.errors import DeadlineExceeded, Overloaded, Unavailable
from service.ray_serve.exchange import Answered, Asked

_PATIENCE_SECONDS = 2.0  # beyond a request's own deadline, which a replica sees to
_LOOK_SECONDS = 5.0  # for what is asked of all models or replicas


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

    async def answer(self, asked: Asked) -> Answered:
        """Have a replica answer.

        Args:
            asked: the request.

        Raises:
            Unavailable: the replica died over it, or there is none.
            Overloaded: too many wait for one.
            DeadlineExceeded: no replica was there, or had time, until the deadline.
        """
        return await self._answered(asked, self._seconds)

    async def change(self, asked: Asked) -> Answered:
        """Have a replica load or unload, which takes as long as it takes; raises as `answer` does."""
        return await self._answered(asked, None)

    async def tell(self, asked: Asked) -> Answered:
        """Have a replica answer what costs nothing, and so at once; raises as `answer` does."""
        return await self._answered(asked, _LOOK_SECONDS)

    async def _answered(self, asked: Asked, seconds: float | None) -> Answered:
        try:
            async with asyncio.timeout(seconds):
                answered: Answered = await self._handle.answer.remote(asked)
        except TimeoutError as cause:
            raise DeadlineExceeded(
                f"no replica of {self.name} has answered within {seconds:g} s; try later"
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
