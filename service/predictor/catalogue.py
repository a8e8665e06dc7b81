"""The models of the server: which there are, which answer."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

from service.errors import LoadError, NotFound, Unavailable
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder, model_folders
from service.repository.manifest import MODEL_NAME, Manifest
from service.telemetry.metrics import Telemetry

State = Literal["loading", "ready", "unavailable"]

UNKNOWN = "unknown"
"""Stands in a metric for every model or version that the server does not have."""

log = logging.getLogger("unsure")


@dataclass
class Entry:
    """One model of the repository.

    Args:
        name: of the model.
        versions: those that answer.
        failed: those that could not be loaded; the log says why.
        loading: whether there may be more to come.
    """

    name: str
    versions: dict[int, ServedModel] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    loading: bool = True

    @property
    def state(self) -> State:
        """Whether the model answers."""
        if self.versions:
            return "ready"
        return "loading" if self.loading else "unavailable"

    @property
    def default(self) -> ServedModel:
        """The highest version that answers.

        Raises:
            Unavailable: none does.
        """
        if not self.versions:
            raise Unavailable(f"model {self.name} {_why_not[self.state]}")
        return self.versions[max(self.versions)]

    def version(self, number: int) -> ServedModel:
        """Give one version.

        Raises:
            Unavailable: it is there, but does not answer.
            NotFound: there is none of that number.
        """
        if number in self.versions:
            return self.versions[number]
        if self.loading or number in self.failed:
            state: State = "loading" if self.loading else "unavailable"
            raise Unavailable(f"version {number} of model {self.name} {_why_not[state]}")
        known = ", ".join(map(str, sorted(self.versions))) or "none"
        raise NotFound(f"model {self.name} has no version {number}; it has {known}")


_why_not: Mapping[State, str] = {
    "loading": "is still loading; try again in a moment",
    "unavailable": "could not be loaded; `unsure inspect` and the server's log say why",
}


class Catalogue:
    """Loads the models of a repository, one bad model never standing in the others' way.

    Args:
        repository: its folder.
        allowed_factories: packages whose functions may build models.
        execution: how they are run.
        telemetry: counts loads.
    """

    def __init__(
        self, repository: Path, allowed_factories: tuple[str, ...], execution: Execution, telemetry: Telemetry
    ) -> None:
        self._repository = repository
        self._allowed_factories = allowed_factories
        self._execution = execution
        self._telemetry = telemetry
        self._entries: dict[str, Entry] = {}
        self._complete = False
        self.closed = False

    def entries(self) -> list[Entry]:
        """List the models by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def entry(self, name: str) -> Entry:
        """Give one model.

        Raises:
            NotFound: there is none of that name.
        """
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(sorted(self._entries)) or "none"
            raise NotFound(f"there is no model {name!r}; there are: {known}") from None

    def find(self, name: str, version: int | None) -> ServedModel:
        """Give a model that answers.

        Args:
            name: of the model.
            version: its number; None for the highest that answers.

        Raises:
            NotFound: there is none.
            Unavailable: it is loading, or could not be loaded.
        """
        entry = self.entry(name)
        return entry.default if version is None else entry.version(version)

    def labels(self, name: str, version: str | None) -> tuple[str, str]:
        """Give a request's model and version for a metric: only what exists, else `UNKNOWN`."""
        entry = self._entries.get(name)
        if entry is None:
            return UNKNOWN, UNKNOWN
        if version is None:
            return name, entry.default.identity.version if entry.versions else UNKNOWN
        existing = {str(number) for number in (*entry.versions, *entry.failed)}
        return name, version if version in existing else UNKNOWN

    def close(self) -> None:
        """Stop being ready, and begin to load no more."""
        self.closed = True

    @property
    def ready(self) -> bool:
        """Whether every model that can be loaded is, and the server is not about to stop."""
        return self._complete and not self.closed

    def load(self) -> None:
        """Load every model; then the catalogue is ready.

        Raises:
            ManifestError: the repository's folder cannot be read.
        """
        folders = [folder for folder in model_folders(self._repository) if _has_a_models_name(folder)]
        self._entries = {folder.name: Entry(folder.name) for folder in folders}
        if not folders:
            log.warning("the model repository %s is empty", self._repository)
        for folder in folders:
            if not self.closed:
                self._load(folder, self._entries[folder.name])
        self._complete = True
        ready = sum(bool(entry.versions) for entry in self._entries.values())
        log.info("%d of %d models are ready", ready, len(self._entries))

    def _load(self, folder: ModelFolder, entry: Entry) -> None:
        try:
            manifest = folder.manifest()
            numbers = folder.versions()
        except (Exception, SystemExit) as cause:  # noqa: BLE001  # logged; one model must not stop the others
            self._failed(entry, UNKNOWN, cause)
        else:
            for number in numbers:
                self._load_version(folder, manifest, number, entry)
        entry.loading = False

    def _load_version(self, folder: ModelFolder, manifest: Manifest, number: int, entry: Entry) -> None:
        start = perf_counter()
        try:
            model = prepare(folder.read(manifest, number, self._allowed_factories), self._execution)
        except (Exception, SystemExit) as cause:  # noqa: BLE001  # logged; one model must not stop the others
            entry.failed.append(number)
            self._failed(entry, str(number), cause)
        else:
            entry.versions[number] = model
            seconds = perf_counter() - start
            self._telemetry.loaded(entry.name, str(number), seconds)
            _tell(model, seconds)

    def _failed(self, entry: Entry, version: str, cause: BaseException) -> None:
        self._telemetry.load_failed(entry.name, version)
        what = f"model {entry.name}" if version == UNKNOWN else f"version {version} of model {entry.name}"
        if isinstance(cause, LoadError):
            log.error("%s cannot be served: %s", what, cause)
        else:
            log.error("%s cannot be served, by a fault of the server", what, exc_info=cause)


def _has_a_models_name(folder: ModelFolder) -> bool:
    """Ask this before a name becomes a label, or part of an answer."""
    if MODEL_NAME.fullmatch(folder.name):
        return True
    log.warning(
        "folder %r of the repository is no model: a name must match %s", folder.name, MODEL_NAME.pattern
    )
    return False


def _tell(model: ServedModel, seconds: float) -> None:
    name = f"{model.identity.model}/{model.identity.version}"
    log.info("model %s is ready after %.1f s: %s", name, seconds, _summary(model))
    for finding in model.engine.report.findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        about = f"site {finding.site}" if finding.site else "dropout"
        log.log(level, "model %s: %s: %s", name, about, finding.message)


def _summary(model: ServedModel) -> str:
    sites = sum(site.sampled for site in model.engine.report.sites)
    if not model.engine.report.can_sample:
        return "no dropout to sample"
    return f"{sites} dropout site{'s' if sites > 1 else ''}, plan {model.engine.plan(1)}"
