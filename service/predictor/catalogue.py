"""The models of the server: which there are, which answer."""

import logging
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from service.errors import NotFound, Unavailable
from service.predictor.entry import UNKNOWN, Entry, Status
from service.predictor.execution import Execution
from service.predictor.loading import Failed, Loader, refusal
from service.predictor.served_model import ServedModel
from service.repository.folder import ModelFolder, model_folders
from service.repository.manifest import MODEL_NAME
from service.telemetry.metrics import Telemetry

log = logging.getLogger("unsure")


class Catalogue:
    """Loads the models of a repository, one bad model never standing in the others' way.

    What changes models (`load`, `reload`, `unload`) takes its time and is for threads of its own, one after
    another; what only looks may be called at any time.

    Args:
        repository: its folder.
        allowed_factories: packages whose functions may build models.
        execution: how they are run.
        telemetry: counts loads.
        only: the models that are served here; None for all of the repository.
        elsewhere: models that other processes serve, to be named to whoever asks for one that is not there.
    """

    def __init__(
        self,
        repository: Path,
        allowed_factories: tuple[str, ...],
        execution: Execution,
        telemetry: Telemetry,
        *,
        only: Collection[str] | None = None,
        elsewhere: Collection[str] = (),
    ) -> None:
        self._repository = repository
        self._only = only
        self._elsewhere = elsewhere
        self._loader = Loader(allowed_factories, execution, telemetry)
        self._telemetry = telemetry
        self._entries: dict[str, Entry] = {}
        self._changing = threading.Lock()
        self._complete = False
        self.closed = False

    def entries(self) -> list[Entry]:
        """List the models by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def served(self) -> list[ServedModel]:
        """List the versions that answer."""
        return [model for entry in self.entries() for model in entry.versions.values()]

    def entry(self, name: str) -> Entry:
        """Give one model.

        Raises:
            NotFound: there is none of that name.
        """
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(sorted({*self._entries, *self._elsewhere})) or "none"
            raise NotFound(f"there is no model {name!r}; there are: {known}") from None

    def find(self, name: str, version: int | None) -> ServedModel:
        """Give a model that answers.

        Args:
            name: of the model.
            version: its number; None for the highest that answers.

        Raises:
            NotFound: there is none.
            Unavailable: it is loading, unloaded, could not be loaded, or was changed by a pass.
        """
        entry = self.entry(name)
        model = entry.default if version is None else entry.version(version)
        if model.spoilt:
            self._telemetry.versions(name, entry.answers)
            where = f"version {model.identity.version} of model {name}"
            raise Unavailable(f"{where} is out of service: {model.spoilt}")
        return model

    def labels(self, name: str, version: str | None) -> tuple[str, str]:
        """Give a request's model and version for a metric: only what exists, else `UNKNOWN`."""
        entry = self._entries.get(name)
        if entry is None:
            return UNKNOWN, UNKNOWN
        if version is None:
            return name, entry.default.identity.version if entry.versions else UNKNOWN
        return name, version if version in entry.answers else UNKNOWN

    def index(self) -> list[Status]:
        """List every version of every model, and the folders that nobody has loaded; reads the disk."""
        known = self.entries()
        others = {folder.name for folder in self._folders()} - {entry.name for entry in known}
        waiting = [Status(name, "", "unavailable", "is not loaded yet") for name in others]
        statuses = [status for entry in known for status in entry.statuses()]
        return sorted([*statuses, *waiting], key=lambda status: status.name)

    def close(self) -> None:
        """Stop being ready, and begin to load no more."""
        self.closed = True

    @property
    def ready(self) -> bool:
        """Whether every model that can be loaded is, and the server is not about to stop."""
        return self._complete and not self.closed

    def load(self, without: Collection[str] = ()) -> None:
        """Load every model; then the catalogue is ready.

        Args:
            without: models that are out of service.

        Raises:
            ManifestError: the repository's folder cannot be read.
        """
        folders = self._folders(tell=True)
        self._entries = {
            folder.name: Entry(
                folder.name, loading=folder.name not in without, unloaded=folder.name in without
            )
            for folder in folders
        }
        if not folders and self._only is None:
            log.warning("the model repository %s is empty", self._repository)
        for folder in folders:
            if not self.closed and folder.name not in without:
                self._load(folder)
        self._complete = True
        ready = sum(bool(entry.versions) for entry in self._entries.values())
        log.info("%d of %d models are ready", ready, len(self._entries))

    def reload(self, name: str) -> None:
        """Read a model's folder anew; all of its versions take the place of those before, or none does.

        Raises:
            NotFound: there is no such folder.
            InvalidInput: a version cannot be loaded: the model is as it was.
            ModelError: the same, by a fault of the server.
            Unavailable: the server is starting or stopping.
        """
        with self._changing:
            self._check_ready()
            folder = self._folder(name)
            before = self._entries.get(name, Entry(name))
            if not before.versions:
                self._entries[name] = Entry(name, loading=True)
            versions, failures = self._read(folder)
            if failures:
                reasons = {version: one.reason for version, one in failures.items()}
                self._publish(replace(before, failed=reasons, unloaded=False))
                raise refusal(name, failures)
            self._publish(Entry(name, versions))

    def unload(self, name: str) -> None:
        """Take a model out of service; requests that have begun are answered.

        Raises:
            NotFound: there is no such model.
            Unavailable: the server is starting or stopping.
        """
        with self._changing:
            self._check_ready()
            self._publish(Entry(self.entry(name).name, unloaded=True))
            log.info("model %s is unloaded", name)

    def _load(self, folder: ModelFolder) -> None:
        """Load a model at the start: each version answers as soon as it can, whatever becomes of others."""
        entry = self._entries[folder.name]
        for version, outcome in self._loader.load(folder):
            if isinstance(outcome, Failed):
                entry = replace(entry, failed={**entry.failed, version: outcome.reason})
            else:
                entry = replace(entry, versions={**entry.versions, int(version): outcome})
            self._publish(entry)
        self._publish(replace(entry, loading=False))

    def _read(self, folder: ModelFolder) -> tuple[dict[int, ServedModel], dict[str, Failed]]:
        versions: dict[int, ServedModel] = {}
        failures: dict[str, Failed] = {}
        for version, outcome in self._loader.load(folder):
            if isinstance(outcome, Failed):
                failures[version] = outcome
            else:
                versions[int(version)] = outcome
        return versions, failures

    def _publish(self, entry: Entry) -> None:
        self._entries[entry.name] = entry
        self._telemetry.versions(entry.name, entry.answers)

    def _check_ready(self) -> None:
        if self.closed:
            raise Unavailable("the server is stopping")
        if not self._complete:
            raise Unavailable("the models are still loading; try again in a moment")

    def _folder(self, name: str) -> ModelFolder:
        path = self._repository / name
        if not (self._is_served(name) and path.is_dir()):
            raise NotFound(f"the repository has no folder {name!r}")
        return ModelFolder(path)

    def _folders(self, *, tell: bool = False) -> list[ModelFolder]:
        """List the folders of models: a name is asked before it becomes a label, or part of an answer."""
        folders = model_folders(self._repository)
        for folder in folders if tell else ():
            if not MODEL_NAME.fullmatch(folder.name):
                pattern = MODEL_NAME.pattern
                log.warning(
                    "folder %r of the repository is no model: a name must match %s", folder.name, pattern
                )
        return [folder for folder in folders if self._is_served(folder.name)]

    def _is_served(self, name: str) -> bool:
        return bool(MODEL_NAME.fullmatch(name)) and (self._only is None or name in self._only)
