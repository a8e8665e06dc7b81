"""The application that `serve deploy` and `serve run` take: `service.ray_serve.application:unsure`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import DeploymentActorConfig

from service.app import body_limits, build, key_ring
from service.errors import StartError
from service.fleet.place import Apply
from service.logs import start_logging
from service.process import prepare_process
from service.ray_serve.arguments import settings_of
from service.ray_serve.following import Following
from service.ray_serve.front import Front
from service.ray_serve.ledger import Ledger
from service.ray_serve.remote import RemoteModel
from service.ray_serve.replica import LEDGER, Replica, replica_name
from service.repository.folder import model_folders
from service.repository.manifest import MODEL_NAME
from service.settings import Settings

FRONT = "_front"
"""Of the deployment in front of the models, whose own names never begin so."""

_ONGOING = 1000  # requests at one replica: the queue that refuses, and puts rows together, is our own
_WAITING = 1000  # requests at each front for which no replica has room


def unsure(arguments: dict[str, Any]) -> Application:
    """Make the application.

    Args:
        arguments: settings by their names, and `models`, the names of those to serve; all of the repository
            where it is left out. The repository is read here, and must be at the same path on all machines.

    Raises:
        StartError: they name something that is not there, or that cannot be on several machines.
    """
    given = dict(arguments)
    wanted = given.pop("models", None)
    settings = settings_of(given)
    key_ring(settings)  # what is wrong with the keys is told here, and not by every replica that starts
    names = _models(settings, wanted)
    models = {name: _model(settings, name) for name in names}
    return serve.deployment(
        serve.ingress()(_Front), name=FRONT, ray_actor_options={"num_cpus": 0.5}, **_serving(settings)
    ).bind(settings, models=models)


def _models(settings: Settings, wanted: Sequence[str] | None) -> list[str]:
    if not settings.repository.is_dir():
        raise StartError(
            f"the model repository {settings.repository} is not a folder; name one with repository"
        )
    names = [
        folder.name for folder in model_folders(settings.repository) if MODEL_NAME.fullmatch(folder.name)
    ]
    if wanted is not None and (isinstance(wanted, str) or not wanted):
        raise StartError(
            f"models must be a list of names, and is {wanted!r}; leave it out for all of the repository"
        )
    missing = sorted(set(wanted or ()) - set(names))
    if missing:
        raise StartError(
            f"the repository {settings.repository} has no folder {', '.join(missing)}; "
            f"it has: {', '.join(names) or 'none'}"
        )
    return sorted(names if wanted is None else wanted)


def _model(settings: Settings, name: str) -> Application:
    ledger = DeploymentActorConfig(name=LEDGER, actor_class=Ledger, actor_options={"num_cpus": 0})
    deployed = serve.deployment(
        Replica,
        name=name,
        ray_actor_options={"num_cpus": 1},
        max_queued_requests=_WAITING,
        deployment_actors=[ledger],
        **_serving(settings),
    )
    return deployed.bind(settings, name)


def _serving(settings: Settings) -> dict[str, Any]:
    return {
        "max_ongoing_requests": _ONGOING,
        "graceful_shutdown_timeout_s": float(settings.drain_seconds),
        "logging_config": {"enable_access_log": False},
    }


@dataclass(frozen=True)
class Before:
    """The place of the front: it serves no model itself."""

    elsewhere: Sequence[str]
    models: Sequence[str] = ()
    unloaded: Sequence[str] = ()
    beside: bool = True
    ends_in_trouble: bool = False

    def linked(self, apply: Apply) -> Following:
        """Connect it with nobody: there is nothing here that could change."""
        return Following(0, lambda _: ([], 0), lambda _: 0, list, "", apply)


class _Front:
    """The front as Ray starts it.

    Args:
        settings: of the operator.
        models: handles of the deployments of the models, by their names.
    """

    def __init__(self, settings: Settings, models: dict[str, Any]) -> None:
        self._settings = settings
        self._handles = models

    def __serve_build_asgi_app__(self) -> Any:
        """Make the application; Ray starts and stops it."""
        settings = self._settings
        start_logging(settings.log_level, settings.log_format)
        prepare_process(1)
        own = build(replace(settings, device="cpu"), Before(tuple(self._handles)), owns_process=True)
        models = [
            RemoteModel(name, handle, settings.deadline_seconds) for name, handle in self._handles.items()
        ]
        return Front(own, models, body_limits(settings), replica_name()).application()
