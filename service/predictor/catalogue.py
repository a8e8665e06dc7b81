"""The models of the server: which there are, which answer."""

import logging
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf
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

_QUIET_SECONDS = 10.0  # that a load waits for another to end: most are over by then


class Catalogue:
    """Loads the models of a repository, one bad model never standing in the others' way.

    What changes models (`load`, `reload`, `unload`) takes its time and is for threads of its own: one after
    another for one model, and side by side for several, where one takes long. What only looks may be called
    at any time.

    Args:
        repository: its folder.
        allowed_factories: packages whose functions may build models.
        execution: how they are run.
        telemetry: counts loads.
        load_seconds: how long a version may take to load.
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
        load_seconds: float = inf,
        only: Collection[str] | None = None,
        elsewhere: Collection[str] = (),
    ) -> None:
        self._repository = repository
        self._only = only
        self._elsewhere = elsewhere
        self._loader = Loader(allowed_factories, execution, telemetry, load_seconds, lambda: self.closed)
        self._telemetry = telemetry
        self._entries: dict[str, Entry] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._quiet = threading.Lock()
        self._listed = False
        self._complete = False
        self._broken = False
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
        return self.why_not_ready is None

    @property
    def why_not_ready(self) -> str | None:
        """What a client hears while the catalogue is not ready; None where it is."""
        if self.closed:
            return "the server is stopping"
        if self._broken:
            return "the models could not be loaded; the server's log says why"
        return None if self._complete else "the models are still loading; try again in a moment"

    def load(self, without: Collection[str] = ()) -> None:
        """Load every model, or give it up; then the catalogue is ready.

        They are loaded one after another, so that plans are measured in quiet; the next waits no longer than
        some seconds for one that takes long, or for ever.

        Args:
            without: models that are out of service.

        Raises:
            ManifestError: the repository's folder cannot be read.
        """
        try:
            self._load_all(without)
        except BaseException:
            self._broken = True
            raise
        self._complete = True

    def _load_all(self, without: Collection[str]) -> None:
        folders = self._folders(tell=True)
        self._entries = {
            folder.name: Entry(
                folder.name, loading=folder.name not in without, unloaded=folder.name in without
            )
            for folder in folders
        }
        if not folders and self._only is None:
            log.warning("the model repository %s is empty", self._repository)
        self._listed = True
        threads = []
        for folder in folders:
            if not self.closed and folder.name not in without:
                name = f"load model {folder.name}"
                thread = threading.Thread(target=self._load, args=(folder,), name=name, daemon=True)
                thread.start()
                thread.join(_QUIET_SECONDS)
                threads.append(thread)
        for thread in threads:
            thread.join()
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
        self._check_open(name)
        folder = self._folder(name)
        with self._turn(name):
            self._check_open(name)
            before = self._entries.get(name, Entry(name))
            if not before.versions:
                self._entries[name] = Entry(name, loading=True)
            with self._in_quiet(_QUIET_SECONDS):
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
        self._check_open(name)
        self.entry(name)
        with self._turn(name):
            self._check_open(name)
            self._publish(Entry(self.entry(name).name, unloaded=True))
            log.info("model %s is unloaded", name)

    def _load(self, folder: ModelFolder) -> None:
        """Load a model at the start: each version answers as soon as it can, whatever becomes of others."""
        entry = self._entries[folder.name]
        try:
            # Without patience: `_load_all` has waited, and would again for each model behind one that hangs.
            with self._turn(folder.name), self._in_quiet(0):
                for version, outcome in self._loader.load(folder):
                    if isinstance(outcome, Failed):
                        entry = replace(entry, failed={**entry.failed, version: outcome.reason})
                    else:
                        entry = replace(entry, versions={**entry.versions, int(version): outcome})
                    self._publish(entry)
        except BaseException as cause:  # noqa: BLE001  # logged; whatever ends it, clients hear that it ended
            failed = self._loader.failed(folder, UNKNOWN, cause)
            entry = replace(entry, failed={**entry.failed, UNKNOWN: failed.reason})
        finally:
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

    def _turn(self, name: str) -> threading.Lock:
        """Give the lock of a model, which one change of it has at a time."""
        return self._turns.setdefault(name, threading.Lock())

    @contextmanager
    def _in_quiet(self, patience_seconds: float) -> Iterator[None]:
        """Let other loads end first, so that plans are measured in quiet; but for none that takes long."""
        held = self._quiet.acquire(timeout=patience_seconds)
        try:
            yield
        finally:
            if held:
                self._quiet.release()

    def _publish(self, entry: Entry) -> None:
        self._entries[entry.name] = entry
        self._telemetry.versions(entry.name, entry.answers)

    def _check_open(self, name: str) -> None:
        """Refuse to change a model that is being loaded at the start; the others need not wait for it."""
        is_over = self._listed and not (name in self._entries and self._entries[name].loading)
        if self.why_not_ready and (self.closed or self._broken or not is_over):
            raise Unavailable(self.why_not_ready)

    def _folder(self, name: str) -> ModelFolder:
        path = self._repository / name
        # Unlike Path.is_dir, false for a name that is too long for the file system.
        if not (self._is_served(name) and os.path.isdir(path)):  # noqa: PTH112
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
