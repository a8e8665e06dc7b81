"""One replica of one model: the server as it is everywhere, restricted to that model."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError

from service.app import build
from service.errors import Unavailable
from service.fleet.place import Apply
from service.logs import start_logging
from service.process import prepare_process
from service.ray_serve.autoscaling import PENDING_SAMPLES
from service.ray_serve.exchange import Answered, Asked, answered_by
from service.ray_serve.following import Following
from service.settings import Settings

log = logging.getLogger("unsure")

LEDGER = "ledger"
_LOOK_SECONDS = 5.0  # between looks for changes that were made while a replica started


@dataclass(frozen=True)
class _Beside:
    """The place of a replica: beside others of its model."""

    model: str
    known: int
    unloaded: Sequence[str]
    beside: bool = True
    elsewhere: Sequence[str] = ()
    ends_in_trouble: bool = False  # Ray ends what is not healthy

    @property
    def models(self) -> Sequence[str]:
        return (self.model,)

    def linked(self, apply: Apply) -> Following:
        return Following(self.known, _since, _record, _spread, self.model, apply)


class Replica:
    """Serves one model.

    Args:
        settings: of the operator.
        model: its name.
    """

    async def __init__(self, settings: Settings, model: str) -> None:  # type: ignore[misc]  # Ray awaits it
        self._stack = AsyncExitStack()
        start_logging(settings.log_level, settings.log_format)
        resources = ray.get_runtime_context().get_assigned_resources()
        prepare_process(settings.threads or max(1, int(resources.get("CPU", 1))))
        actions, known = await _ledger().since.remote(0)
        unloaded = (model,) if actions and actions[-1] == "unload" else ()
        self._app = build(
            replace(settings, device=_device(settings.device, resources)),
            _Beside(model, known, unloaded),
            owns_process=True,
        )
        self._following: Following = self._app.state.changes
        await self._stack.enter_async_context(self._app.router.lifespan_context(self._app))
        looking = asyncio.create_task(self._look())
        self._stack.callback(looking.cancel)

    async def __del__(self) -> None:
        """Answer what was accepted, and stop; Ray calls this."""
        await self._stack.aclose()

    async def answer(self, asked: Asked) -> Answered:
        """Answer a request."""
        return await answered_by(self._app, asked)

    async def exposition(self) -> tuple[str, bytes]:
        """Give the metrics of this replica, and what it is called."""
        text, _ = self._app.state.telemetry.exposition()
        return replica_name(), text

    async def follow(self) -> bool:
        """Make the changes that this replica does not have; tells whether it could."""
        return await asyncio.to_thread(self._following.follow)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell what waits here; Ray calls this, and hands it to `QueueCost`."""
        return {PENDING_SAMPLES: float(self._app.state.scheduler.pending_cost)}

    def check_health(self) -> None:
        """Raise where what is admitted would not run; Ray calls this, and ends a replica that is not healthy.

        Raises:
            Unavailable: why.
        """
        trouble = self._app.state.scheduler.trouble
        if trouble:
            raise Unavailable(trouble)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(RayError, ValueError):  # the ledger is being started anew
                await self.follow()


def replica_name() -> str:
    """Give what Ray calls this replica."""
    return str(serve.get_replica_context().replica_tag)


def _device(name: str, resources: dict[str, Any]) -> str:
    """Choose the device: what Ray has given, whatever else the machine has."""
    if name != "auto":
        return name
    return "cuda" if resources.get("GPU") else "cpu"


def _ledger() -> Any:
    return serve.get_deployment_actor(LEDGER)


def _since(known: int) -> tuple[list[str], int]:
    found: tuple[list[str], int] = ray.get(_ledger().since.remote(known))
    return found


def _record(action: str) -> int:
    try:
        count: int = ray.get(_ledger().record.remote(action))
    except (RayError, ValueError) as cause:
        raise Unavailable(
            f"this replica alone could {action}: the others cannot be told yet; ask again"
        ) from cause
    return count


def _spread() -> list[bool]:
    """Have every replica of the model follow; one that is dead reads the folder anew in another's place."""
    context = serve.get_replica_context()
    fellows = serve.get_deployment_handle(context.deployment, context.app_name)
    outcomes = fellows.broadcast("follow").results(return_exceptions=True)
    return [outcome is True for outcome in outcomes if not isinstance(outcome, RayActorError)]
